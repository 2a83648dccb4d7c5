//! Which block of the heap an address lies in.
//!
//! glibc keeps the size of a block, with three flags, in the word in front of it, and in the word
//! in front of the next block whether this one is in use (malloc.c, "struct malloc_chunk"). A
//! header is believed only if those that follow make sense as well: what is taken for a block is
//! going to be changed.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::sys;

/// What an address of heap memory belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A block that is in use.
    Block(Range<usize>),
    /// A block that was freed, or none: the end of one, as iterators point to it.
    Free,
    /// Another allocator's memory, or a stack.
    Unknown,
}

/// The blocks that were found.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    known: BTreeMap<usize, usize>,
    /// How many addresses were looked for in vain: each costs a search.
    strangers: usize,
}

impl Blocks {
    /// What `address` belongs to, which lies in the mapping `within`.
    pub(super) fn place(&mut self, address: usize, within: &Range<usize>) -> Place {
        if let Some((&start, &end)) = self.known.range(..=address).next_back()
            && address <= end
        {
            return if address < end { Place::Block(start..end) } else { Place::Free };
        }
        let mut place = at(address, within, LINKS);
        if place == Place::Unknown && self.strangers < MOST_STRANGERS {
            place = around(address, within);
            self.strangers += usize::from(place == Place::Unknown);
        }
        if let Place::Block(block) = &place {
            self.known.insert(block.start, block.end);
        }
        place
    }
}

const WORD: usize = size_of::<usize>();
/// What blocks start at multiples of.
const ALIGNMENT: usize = 2 * WORD;
/// A block's header and the word in front of it.
const HEAD: usize = 2 * WORD;
const SMALLEST: usize = 4 * WORD;
/// Flags in a header.
const PREVIOUS_IN_USE: usize = 1;
const MAPPED: usize = 2;
const FLAGS: usize = 7;
/// Large blocks are mappings of their own, of whole pages.
const PAGE: usize = 4096;
/// How many headers behind a block have to make sense: when a pointer leads to its start, and when
/// it was guessed.
const LINKS: usize = 2;
const MORE_LINKS: usize = 5;
/// How far in front of an address the start of its block is looked for; larger blocks are mappings
/// of their own.
const FARTHEST: usize = 256 << 10;
const MOST_PAGES: usize = 1 << 14;
const MOST_STRANGERS: usize = 256;

/// The block that starts at `address`.
fn at(address: usize, within: &Range<usize>, links: usize) -> Place {
    if !address.is_multiple_of(ALIGNMENT) || address.saturating_sub(HEAD) < within.start {
        return Place::Unknown;
    }
    let chunk = address - HEAD;
    let Some(header) = word(address - WORD) else { return Place::Unknown };
    let size = header & !FLAGS;
    if size < SMALLEST || !size.is_multiple_of(ALIGNMENT) || size > within.end - chunk {
        return Place::Unknown;
    }
    let end = chunk + size;
    if header & MAPPED != 0 {
        let whole = chunk.is_multiple_of(PAGE) && size.is_multiple_of(PAGE);
        return if whole { Place::Block(address..end) } else { Place::Unknown };
    }
    match chain(end, within, links) {
        // The next block's first word is this one's last.
        Some(next) if next & PREVIOUS_IN_USE != 0 => Place::Block(address..end + WORD),
        Some(_) => Place::Free,
        None => Place::Unknown,
    }
}

/// The header of the block at `chunk`, if it and those behind it make sense.
fn chain(mut chunk: usize, within: &Range<usize>, links: usize) -> Option<usize> {
    let mut first = None;
    for _ in 0..links {
        let header = word(chunk.checked_add(WORD)?)?;
        let size = header & !FLAGS;
        let fits = within.end.checked_sub(chunk).is_some_and(|rest| size <= rest);
        if size < ALIGNMENT || !size.is_multiple_of(ALIGNMENT) || header & MAPPED != 0 || !fits {
            return None;
        }
        first = first.or(Some(header));
        chunk += size;
        // The last one reaches to the end of the heap, which is that of a page; the rest of the
        // mapping is in reserve.
        if chunk.is_multiple_of(PAGE) {
            break;
        }
    }
    first
}

/// The block that `address` leads into the middle of.
fn around(address: usize, within: &Range<usize>) -> Place {
    let covers = |place: &Place| matches!(place, Place::Block(block) if block.contains(&address));
    let first = address.saturating_sub(FARTHEST).max(within.start).next_multiple_of(ALIGNMENT);
    let mut memory = vec![0; address.saturating_sub(first)];
    if sys::read(first, &mut memory) {
        for offset in (WORD..memory.len().saturating_sub(WORD)).step_by(ALIGNMENT).rev() {
            let header = memory.get(offset..offset + WORD).and_then(|w| w.try_into().ok());
            let size = usize::from_ne_bytes(header.unwrap_or_default()) & !FLAGS;
            let start = first + offset + WORD;
            if size >= address - start {
                let place = at(start, within, MORE_LINKS);
                let end = match &place {
                    Place::Block(block) => block.end,
                    Place::Free => start + size - WORD,
                    Place::Unknown => continue,
                };
                match address.cmp(&end) {
                    Ordering::Less => return place,
                    Ordering::Equal => return Place::Free,
                    Ordering::Greater => {}
                }
            }
        }
    }
    let pages = (0..MOST_PAGES).map_while(|n| (address & !(PAGE - 1)).checked_sub(n * PAGE));
    pages
        .take_while(|&page| page >= within.start)
        .filter(|&page| word(page + WORD).is_some_and(|header| header & FLAGS == MAPPED))
        .map(|page| at(page + HEAD, within, LINKS))
        .find(covers)
        .unwrap_or(Place::Unknown)
}

fn word(address: usize) -> Option<usize> {
    let mut bytes = [0; WORD];
    sys::read(address, &mut bytes).then(|| usize::from_ne_bytes(bytes))
}
