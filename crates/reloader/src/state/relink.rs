//! Words that lead into the images of other versions, and the same words made to lead into this
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::atlas::{Atlas, Target};
use super::heap::{Heap, Piece};
use super::report::Untranslated;
use crate::sys;
use crate::version::Version;
use crate::words::{WORD, each_piece, words};

/// What came of a [`relink`].
#[derive(Debug, Default)]
pub(crate) struct Reach {
    pub(crate) translated: usize,
    pub(crate) untranslated: Vec<Untranslated>,
    /// The versions whose images are still led into.
    pub(crate) needs: BTreeSet<u32>,
    /// The whole heap that hangs on the state was looked at.
    pub(crate) complete: bool,
}

impl Reach {
    /// Both together.
    pub(crate) fn merge(&mut self, other: Self) {
        self.translated += other.translated;
        self.untranslated.extend(other.untranslated);
        self.needs.extend(other.needs);
        self.complete &= other.complete;
    }
}

/// At most this many untranslated words are described.
const DESCRIBED: usize = 64;
/// What is read at once; small enough to stay in the processor's nearer caches.
const PIECE: usize = 32 << 10;
/// How many words are judged at once.
const GROUP: usize = 32;

/// Looks through a version's whole state, and the heap that hangs on it, for words that lead into
/// the images of `others`, and makes them lead to the same thing in `target`.
pub(crate) fn relink(target: &Version, others: &[&Version], search_limit: usize) -> Reach {
    let mut relinker = Relinker::new(target, others, search_limit);
    for variable in &target.state().variables {
        let range = target.place(variable.address, variable.size);
        relinker.look_through(&range, |at| format!("{}+{:#x}", variable.name, at - range.start));
    }
    relinker.finish()
}

/// The same for one stretch of memory and what hangs on it.
pub(crate) fn relink_word(
    target: &Version,
    others: &[&Version],
    range: Range<usize>,
    name: &str,
    search_limit: usize,
) -> Reach {
    let mut relinker = Relinker::new(target, others, search_limit);
    relinker.look_through(&range, |_| name.to_owned());
    relinker.finish()
}

/// A search under way.
pub(crate) struct Relinker<'a> {
    target: &'a Version,
    others: &'a [&'a Version],
    /// From the lowest to the highest address of the other images: most words lie outside.
    span: Range<usize>,
    atlases: BTreeMap<u32, Option<Atlas>>,
    heap: Heap,
    /// What is looked at may be changed, and leads farther.
    known: bool,
    /// How many heap blocks lie between the state and what is looked at; 0 for the state itself.
    /// What would be changed on the heap is noted first.
    depth: u32,
    changes: Vec<Change>,
    piece: Vec<u8>,
    reach: Reach,
}

impl<'a> Relinker<'a> {
    pub(crate) fn new(target: &'a Version, others: &'a [&'a Version], search_limit: usize) -> Self {
        let images = others.iter().map(|version| version.range().clone());
        let lowest = images.clone().map(|image| image.start).min().unwrap_or(0);
        let highest = images.clone().map(|image| image.end).max().unwrap_or(0);
        Self {
            target,
            others,
            span: lowest..highest,
            atlases: BTreeMap::new(),
            heap: Heap::new(
                images.chain([target.range().clone()]).collect(),
                private(target, others),
                search_limit,
            ),
            known: true,
            depth: 0,
            changes: Vec::new(),
            piece: vec![0; PIECE],
            reach: Reach::default(),
        }
    }

    /// Looks at every aligned word of `range`; `name` says what lies at an address in it.
    pub(crate) fn look_through(&mut self, range: &Range<usize>, name: impl Fn(usize) -> String) {
        let mut piece = std::mem::take(&mut self.piece);
        each_piece(range, &mut piece, |from, part| {
            for (index, group) in part.chunks(GROUP * WORD).enumerate() {
                // Most memory holds no pointers: a group is passed over as a whole.
                let interesting = words(group).fold(false, |found, word| {
                    found | (self.leads_away(word) | Heap::is_candidate(word))
                });
                if interesting {
                    self.look_at(from + index * GROUP * WORD, group, &name);
                }
            }
        });
        self.piece = piece;
    }

    fn look_at(&mut self, at: usize, group: &[u8], name: &impl Fn(usize) -> String) {
        for (index, word) in words(group).enumerate() {
            // Between the images there is heap as well.
            let leads_there =
                self.leads_away(word) && self.translate(at + index * WORD, word, name);
            if !leads_there && self.known && Heap::is_candidate(word) {
                self.heap.follow(word, self.depth + 1);
            }
        }
    }

    /// Whether a word leads to where the other images lie, or at least near.
    fn leads_away(&self, word: usize) -> bool {
        word.wrapping_sub(self.span.start) < self.span.len()
    }

    /// Looks through the heap that hangs on what was looked at, and ends.
    pub(crate) fn finish(mut self) -> Reach {
        while let Some(Piece { range, known, depth }) = self.heap.next() {
            self.depth = depth;
            let what = if known { "heap block" } else { "memory" };
            self.known = known;
            self.look_through(&range, |at| {
                format!("{what} {:#x}+{:#x}", range.start, at - range.start)
            });
        }
        self.reach.complete = !self.heap.is_cut_short();
        self.change();
        self.reach
    }

    /// Makes the changes to the heap that were noted, except in blocks that the old version itself
    /// still has: the nodes of a list that is no state lead back to its head, and have to.
    fn change(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        if changes.is_empty() {
            return;
        }
        let owned = Owned::by(self.others, self.target, self.heap.limit());
        for Change { at, inverse, address, origin, name } in changes {
            // What was found in memory that was free, or about to be, may have been replaced since:
            // the search itself allocates.
            let mut found = [0; WORD];
            if !sys::read(at, &mut found) || usize::from_ne_bytes(found) != !inverse {
                continue;
            }
            if owned.as_ref().is_some_and(|owned| !owned.has(at))
                && sys::write(at, &address.to_ne_bytes())
            {
                self.reach.translated += 1;
            } else {
                let target = "something in a block that it may have itself".to_owned();
                self.leave(origin, name, target);
            }
        }
    }

    /// A word stays as it is.
    fn leave(&mut self, origin: u32, at: String, target: String) {
        self.reach.needs.insert(origin);
        if self.reach.untranslated.len() < DESCRIBED {
            self.reach.untranslated.push(Untranslated { at, target, version: origin });
        }
    }

    /// Makes the word at `at` lead to this version; false if it leads into none of the others.
    fn translate(&mut self, at: usize, word: usize, name: &impl Fn(usize) -> String) -> bool {
        let Some(origin) = self.others.iter().find(|version| version.range().contains(&word))
        else {
            return false;
        };
        let described = self.atlas(origin).and_then(|atlas| atlas.describe(word));
        let resolved =
            described.as_ref().and_then(|target| self.atlas(self.target)?.resolve(target));
        match resolved {
            // Farther away the search may have come by a word that is no pointer any more, into
            // memory that is none of the guest's. What leads to a vtable is an object of the
            // guest's wherever it is.
            Some(address)
                if self.depth > 0
                    && self.known
                    && (self.depth == 1 || described.as_ref().is_some_and(Target::is_vtable)) =>
            {
                let (origin, name) = (origin.number(), name(at));
                self.changes.push(Change { at, inverse: !word, address, origin, name });
            }
            Some(address) if self.depth == 0 && sys::write(at, &address.to_ne_bytes()) => {
                self.reach.translated += 1;
            }
            // The loader's own records lead into every image that it has, and to nothing that has a
            // name; an image that stayed for them would stay in them.
            _ if self.depth > 1 && described.is_none() => {}
            _ => {
                let target = match described {
                    Some(target) => target.describe(),
                    None => format!("offset {:#x}", word - origin.range().start),
                };
                self.leave(origin.number(), name(at), target);
            }
        }
        true
    }

    fn atlas(&mut self, version: &Version) -> Option<&Atlas> {
        self.atlases.entry(version.number()).or_insert_with(|| version.atlas()).as_ref()
    }
}

/// A word on the heap that is to lead to the new version.
struct Change {
    at: usize,
    /// What it was when it was found, all bits inverted: the search must not find it here.
    inverse: usize,
    address: usize,
    origin: u32,
    name: String,
}

/// The heap blocks that what is no state of the other versions leads to: the first and last nodes
/// of its lists, the roots of its trees.
struct Owned(BTreeMap<usize, usize>);

impl Owned {
    /// `None` if there is more than may be looked at.
    fn by(others: &[&Version], target: &Version, limit: usize) -> Option<Self> {
        let images = others.iter().chain([&target]).map(|version| version.range().clone());
        let mut heap = Heap::new(images.collect(), private(target, others), limit);
        for range in others.iter().flat_map(|version| version.own_memory()) {
            let mut piece = vec![0; PIECE.min(range.len())];
            each_piece(&range, &mut piece, |_, part| {
                words(part).for_each(|word| heap.follow(word, 1));
            });
        }
        let mut blocks = BTreeMap::new();
        while let Some(Piece { range, known, .. }) = heap.next() {
            if known {
                blocks.insert(range.start, range.end);
            }
        }
        (!heap.is_cut_short()).then_some(Self(blocks))
    }

    fn has(&self, address: usize) -> bool {
        self.0.range(..=address).next_back().is_some_and(|(_, &end)| address < end)
    }
}

/// Where the versions themselves are kept, with all that they and the loader note of them: full of
/// addresses that are to stay.
fn private(target: &Version, others: &[&Version]) -> Vec<usize> {
    let versions = others.iter().copied().chain([target]);
    versions.flat_map(Version::records).chain(sys::exit_records()).collect()
}
