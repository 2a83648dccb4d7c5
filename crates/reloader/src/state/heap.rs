//! The heap memory that hangs on the state.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;

use super::block::{Blocks, Place};
use crate::sys;

/// A walk over blocks of heap memory, from pointer to pointer.
///
/// A word that could be a pointer is taken for one, as a conservative garbage collector does. The
/// walk keeps to blocks whose bounds are known: what lies behind one belongs to somebody else. What
/// is looked at is bounded by a number of bytes.
pub(crate) struct Heap {
    /// The process's anonymous writable memory, lowest first; read when the first candidate turns
    /// up.
    memory: Option<Vec<Range<usize>>>,
    /// Memory that is no heap, however it looks: the images' own.
    images: Vec<Range<usize>>,
    seen: HashSet<usize>,
    /// The nearest first.
    waiting: VecDeque<Piece>,
    blocks: Blocks,
    /// The reloader's and the loader's own: what is in a block with one of these is none of the
    /// guest's.
    private: Vec<usize>,
    limit: usize,
    left: usize,
    cut_short: bool,
}

const WORD: usize = size_of::<usize>();
/// Where programs have their memory: above the pages that are never mapped (vm.mmap_min_addr),
/// below the middle of the 48-bit address space.
const LOWEST: usize = 0x1_0000;
const HIGHEST: usize = 1 << 47;

impl Heap {
    /// A walk that may look at `limit` bytes; with 0 it is not made at all.
    ///
    /// Blocks that hold one of the addresses in `private` are passed over.
    pub(crate) fn new(images: Vec<Range<usize>>, mut private: Vec<usize>, limit: usize) -> Self {
        private.sort_unstable();
        Self {
            memory: (limit == 0).then(Vec::new),
            images,
            seen: HashSet::new(),
            waiting: VecDeque::new(),
            blocks: Blocks::default(),
            private,
            limit,
            left: limit,
            cut_short: false,
        }
    }

    /// Whether a word could be a pointer at all: aligned, and an address that programs have.
    #[inline]
    pub(crate) fn is_candidate(word: usize) -> bool {
        (word & (WORD - 1) == 0) & (word.wrapping_sub(LOWEST) < HIGHEST - LOWEST)
    }

    /// Notes where a word leads, if that is to the heap.
    ///
    /// `depth`: how many blocks lie between the state and what the word leads to, that one
    /// included.
    pub(crate) fn follow(&mut self, word: usize, depth: u32) {
        if !Self::is_candidate(word) {
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
        let (range, known) = match self.blocks.place(word, within) {
            Place::Block(block) => (block, true),
            Place::Unknown => (word..word.saturating_add(UNKNOWN).min(within.end), false),
            Place::Free => return,
        };
        let first = self.private.partition_point(|&address| address < range.start);
        if self.private.get(first).is_some_and(|address| range.contains(address)) {
            return;
        }
        if self.seen.insert(range.start) {
            match self.left.checked_sub(range.len()) {
                Some(left) => {
                    self.left = left;
                    self.waiting.push_back(Piece { range, known, depth });
                }
                None => self.cut_short = true,
            }
        }
    }

    /// The next block to be looked at.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        self.waiting.pop_front()
    }

    /// How many bytes it may look at.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether there was more than could be looked at.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.cut_short
    }
}

/// A piece of memory to be looked at.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) range: Range<usize>,
    /// It is known whose it is: a block that hangs on the state. Only such may be changed, and
    /// leads farther.
    pub(crate) known: bool,
    /// How many blocks lie between the state and it, itself included.
    pub(crate) depth: u32,
}

/// What is looked at of memory whose allocator is not known.
const UNKNOWN: usize = 256;
