//! The heap memory that hangs on the state.

use std::collections::HashSet;
use std::ops::Range;

use crate::sys;

/// A walk over blocks of heap memory, from pointer to pointer.
///
/// A word that could be a pointer is taken for one, as a conservative garbage collector does. What is looked at is
/// bounded by a number of bytes.
pub(crate) struct Heap {
    /// The process's anonymous writable memory, lowest first; read when the first candidate turns up.
    memory: Option<Vec<Range<usize>>>,
    /// Memory that is no heap, however it looks: the images' own.
    images: Vec<Range<usize>>,
    seen: HashSet<usize>,
    waiting: Vec<Range<usize>>,
    left: usize,
    cut_short: bool,
}

const WORD: usize = size_of::<usize>();

impl Heap {
    /// A walk that may look at `limit` bytes; with 0 it is not made at all.
    pub(crate) fn new(images: Vec<Range<usize>>, limit: usize) -> Self {
        Self {
            memory: (limit == 0).then(Vec::new),
            images,
            seen: HashSet::new(),
            waiting: Vec::new(),
            left: limit,
            cut_short: false,
        }
    }

    /// Notes where a word leads, if that is to the heap.
    pub(crate) fn follow(&mut self, word: usize) {
        if !word.is_multiple_of(WORD) || word < 0x1_0000 || word >> 47 != 0 {
            return;
        }
        let memory = self.memory.get_or_insert_with(sys::writable_memory);
        let behind = memory.partition_point(|range| range.start <= word);
        let Some(within) = behind.checked_sub(1).and_then(|index| memory.get(index)) else {
            return;
        };
        if !within.contains(&word) || self.images.iter().any(|image| image.contains(&word)) {
            return;
        }
        let block = word..word.saturating_add(block_size(word, within));
        if self.seen.insert(word) {
            match self.left.checked_sub(block.len()) {
                Some(left) => {
                    self.left = left;
                    self.waiting.push(block);
                }
                None => self.cut_short = true,
            }
        }
    }

    /// The next block to be looked at.
    pub(crate) fn next(&mut self) -> Option<Range<usize>> {
        self.waiting.pop()
    }

    /// Whether there was more than could be looked at.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.cut_short
    }
}

/// What is looked at of memory whose allocator is not known.
const UNKNOWN_BLOCK: usize = 256;

/// The size of the block at `address`.
///
/// glibc keeps it, with three flags, in the word in front (malloc.c, "struct malloc_chunk"; the last word of the chunk
/// counts as the next one's). A word that makes no sense there stands for another allocator, or for a pointer into
/// the middle of a block.
fn block_size(address: usize, within: &Range<usize>) -> usize {
    let rest = within.end.saturating_sub(address);
    let mut header = [0; WORD];
    let known = address.is_multiple_of(2 * WORD)
        && address - WORD >= within.start
        && sys::read(address - WORD, &mut header);
    let chunk = usize::from_ne_bytes(header) & !7;
    if known && chunk >= 4 * WORD && chunk.is_multiple_of(2 * WORD) && chunk - WORD <= rest {
        chunk - WORD
    } else {
        rest.min(UNKNOWN_BLOCK)
    }
}
