//! How many modules glibc itself counts.
//!
//! `_rtld_global`, which its loader exports, begins with an array of `struct link_namespaces`, one
//! for each namespace, which has begun with the list's first node and the number of its nodes
//! since the structure was made up. That the first node is the one that the namespace's `r_debug`
//! names is checked each time before the number is believed.

use crate::layout::{Class, Layout};
use crate::list::Head;
use crate::memory::Memory;
use crate::pages::Pages;

/// Where glibc counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The address of `_rtld_global`.
    pub(crate) namespaces: u64,
}

impl Counts {
    /// The number of modules in each namespace, in their order; `None` for one of which it is not
    /// known.
    pub(crate) fn read<M: Memory + ?Sized>(
        self,
        pages: &Pages<'_, M>,
        layout: Layout,
        heads: &[Head],
    ) -> Vec<Option<usize>> {
        let mut from = self.namespaces;
        heads
            .iter()
            .enumerate()
            .map(|(index, head)| {
                if head.first == 0 {
                    return Some(0);
                }
                // All but the first `r_debug` are in the structures that count.
                let to = if index == 0 { from } else { head.address };
                let place = place(pages, layout, from..=to, head.first)?;
                from = layout.word_address(place, 2);
                let mut count = [0; 4];
                pages.read_exact_at(layout.word_address(place, 1), &mut count).ok()?;
                usize::try_from(layout.u32(&count, 0)?).ok()
            })
            .collect()
    }
}

/// The last address of the range at which there is this word.
fn place<M: Memory + ?Sized>(
    pages: &Pages<'_, M>,
    layout: Layout,
    range: std::ops::RangeInclusive<u64>,
    word: u64,
) -> Option<u64> {
    let step = match layout.class {
        Class::Elf32 => 4,
        Class::Elf64 => 8,
    };
    let places = std::iter::successors(Some(*range.start()), |at| at.checked_add(step));
    let mut place = None;
    for at in places.take_while(|at| range.contains(at)).take(MOST_WORDS) {
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..layout.word_size())?;
        pages.peek(at, bytes)?;
        if layout.word(bytes, 0) == Some(word) {
            pages.read_exact_at(at, bytes).ok()?;
            place = Some(at);
        }
    }
    place
}

/// As far as 16 namespaces of 512 bytes reach.
const MOST_WORDS: usize = 1024;
