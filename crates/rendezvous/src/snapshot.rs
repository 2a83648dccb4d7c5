//! The modules of a process at one moment.

use std::ops::Range;

use crate::error::WalkError;
use crate::identify::resolve_all;
use crate::list::{Head, MOST_MODULES, Node, State, Walk, heads};
use crate::locate::{Landmarks, Rendezvous};
use crate::mapping::Mappings;
use crate::memory::{Memory, PAGE_U64};
use crate::module::{Module, Role};
use crate::pages::Pages;

/// What a loader's lists said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The namespaces, each with its modules, in the loader's order.
    pub namespaces: Vec<Namespace>,
    /// Whether all of it was true at one moment.
    pub consistency: Consistency,
    /// What is wrong with the lists, if anything; what was found before it is there.
    pub problem: Option<WalkError>,
    /// How often the lists were read until they held still.
    pub attempts: u32,
}

/// One of the loader's lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Its head.
    pub head: Head,
    /// Its modules, in the loader's order; none in a place that the loader may use again.
    pub modules: Vec<Module>,
}

/// How far a snapshot can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// Everything was read twice and was the same, and the loader was not at work: it was all true
    /// at one moment between. Where the loader is glibc, it counted as many modules.
    ///
    /// What changed and changed back between the two readings of each word goes unseen. A count
    /// that is another one 65 times in a row while everything holds still is not one of modules,
    /// and is not insisted on.
    Consistent,
    /// Everything was read twice and was the same, while the loader was in the middle of a change:
    /// a group of images may be there in part. A process that is stopped there, or that died
    /// there, has no better answer.
    Changing,
    /// The lists did not hold still. What was found is a mixture of several moments.
    Torn,
}

/// What has become of a snapshot. See [`Rendezvous::extend`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extension {
    /// This many modules were added to it.
    Added(usize),
    /// More has changed than that modules were added at the end of lists: a new snapshot is
    /// needed.
    Reread,
}

impl Snapshot {
    /// That of a process without modules.
    pub(crate) const EMPTY: Snapshot = Snapshot {
        namespaces: Vec::new(),
        consistency: Consistency::Consistent,
        problem: None,
        attempts: 0,
    };

    /// The modules of all namespaces.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.namespaces.iter().flat_map(|namespace| &namespace.modules)
    }

    /// The modules of all namespaces.
    pub fn modules_mut(&mut self) -> impl Iterator<Item = &mut Module> {
        self.namespaces.iter_mut().flat_map(|namespace| &mut namespace.modules)
    }

    /// Finds the file and the build ID of each module that has neither yet.
    ///
    /// For build IDs no more than 256 MiB are read in all, and of one image no more than
    /// [`Module::resolve`] reads.
    pub fn resolve<M, T>(&mut self, memory: &M, mappings: &T)
    where
        M: Memory + ?Sized,
        T: Mappings + ?Sized,
    {
        let is_new = |module: &&mut Module| module.file.is_none() && module.build_id.is_none();
        resolve_all(self.modules_mut().filter(is_new), memory, mappings);
    }

    /// What it is, given that it held still.
    fn steady_consistency(&self) -> Consistency {
        let is_settled = |namespace: &Namespace| namespace.head.state == State::Consistent;
        if self.namespaces.iter().all(is_settled) {
            Consistency::Consistent
        } else {
            Consistency::Changing
        }
    }
}

impl Rendezvous {
    /// Reads the loader's lists.
    ///
    /// Everything is read, and then read again and compared, until it has held still or that was
    /// tried a thousand times. Files and build IDs are not looked for: [`Snapshot::resolve`] does.
    pub fn snapshot<M: Memory + ?Sized>(&self, memory: &M) -> Snapshot {
        let mut attempts = 0_u32;
        let mut changing = 0_u32;
        let mut miscounts = 0_u32;
        let pages = Pages::new(memory);
        loop {
            attempts = attempts.saturating_add(1);
            pages.forget();
            if memory.can_change() {
                pages.expect(self.trail.take().unwrap_or_else(|| self.landmarks()));
            }
            let mut snapshot = self.walk(&pages);
            snapshot.attempts = attempts;
            // What was read may be a mixture that comes about a second time, in which case the
            // loader counts otherwise. What it counts is read with the rest, before that is read
            // again.
            let is_counted = !memory.can_change() || self.is_counted(&pages, &snapshot);
            let holds_still = !memory.can_change() || pages.is_unchanged();
            miscounts = match (is_counted, holds_still) {
                (true, _) => 0,
                (false, true) => miscounts.saturating_add(1),
                (false, false) => miscounts,
            };
            // Should the count be of something else after all, it is not insisted on.
            let is_steady = holds_still && (is_counted || miscounts > MOST_MISCOUNTS);
            if is_steady {
                snapshot.consistency = snapshot.steady_consistency();
            }
            if snapshot.consistency == Consistency::Changing {
                changing = changing.saturating_add(1);
            }
            let is_final = snapshot.consistency == Consistency::Consistent
                || !memory.can_change()
                || attempts >= MOST_ATTEMPTS
                || changing >= MOST_CHANGING;
            if is_final {
                self.trail.keep(holds_still.then(|| pages.trail()).flatten());
                return snapshot;
            }
            std::thread::yield_now();
        }
    }

    /// Reads the heads of the loader's lists, not the lists: in which state each is, and where it
    /// begins.
    ///
    /// # Errors
    ///
    /// If the chain of heads is damaged.
    pub fn heads<M: Memory + ?Sized>(&self, memory: &M) -> Result<Vec<Head>, WalkError> {
        match heads(memory, self.layout, self.r_debug) {
            (heads, None) => Ok(heads),
            (_, Some(problem)) => Err(problem),
        }
    }

    /// Adds to a snapshot what the loader has appended since to the ends of its lists, and reads
    /// no more than that.
    ///
    /// That is all that happened if it has signalled [`State::Add`] and [`State::Consistent`], and
    /// no [`State::Delete`], since the snapshot was taken. A module that went from the middle of a
    /// list is noticed only where the loader counts its modules, as
    /// [`notices_removals`](Self::notices_removals) tells. The new modules are the last ones of
    /// their namespaces.
    pub fn extend<M: Memory + ?Sized>(&self, memory: &M, snapshot: &mut Snapshot) -> Extension {
        for _ in 0..MOST_EXTENSIONS {
            let pages = Pages::new(memory);
            let Some(tails) = self.tails(&pages, snapshot) else { break };
            if self.miscounts(&pages, snapshot, &tails) {
                break;
            }
            if memory.can_change() && !pages.is_unchanged() {
                continue;
            }
            let mut added = 0_usize;
            for (index, tail) in tails.into_iter().enumerate() {
                added = added.saturating_add(tail.modules.len());
                match snapshot.namespaces.get_mut(index) {
                    Some(known) => {
                        known.head = tail.head;
                        known.modules.extend(tail.modules);
                    }
                    None => snapshot.namespaces.push(tail),
                }
            }
            snapshot.consistency = snapshot.steady_consistency();
            return Extension::Added(added);
        }
        Extension::Reread
    }

    fn walk<M: Memory + ?Sized>(&self, pages: &Pages<'_, M>) -> Snapshot {
        let (heads, mut problem) = heads(pages, self.layout, self.r_debug);
        let mut left = MOST_MODULES;
        let mut namespaces = Vec::new();
        for head in heads {
            let mut modules = Vec::new();
            let index = namespaces.len();
            let outcome = self.list(pages, &mut left).run(head.first, 0, |node, name| {
                modules.push(self.module(index, modules.is_empty(), node, name));
            });
            problem = problem.or(outcome.err());
            namespaces.push(Namespace { head, modules });
        }
        // Until it is known that it held still.
        Snapshot { namespaces, consistency: Consistency::Torn, problem, attempts: 0 }
    }

    /// The pages where the heads are, the loader's count, and some of the names that are no
    /// library's.
    fn landmarks(&self) -> Vec<Range<u64>> {
        let Landmarks { program_headers, kernel, .. } = &self.landmarks;
        let count = self.counts.map(|counts| counts.namespaces);
        let kernel = kernel.as_ref().map(|kernel| kernel.start);
        let known = [self.r_debug, *program_headers].into_iter().chain(count).chain(kernel);
        let mut pages: Vec<u64> = known.map(|it| it.wrapping_sub(it % PAGE_U64)).collect();
        pages.sort_unstable();
        pages.dedup();
        pages.into_iter().map(|page| page..page.saturating_add(PAGE_U64)).collect()
    }

    /// What each list has behind its last known module; `None` if a list is not what it was.
    fn tails<M: Memory + ?Sized>(
        &self,
        pages: &Pages<'_, M>,
        known: &Snapshot,
    ) -> Option<Vec<Namespace>> {
        let (heads, None) = heads(pages, self.layout, self.r_debug) else { return None };
        if heads.len() < known.namespaces.len() {
            return None;
        }
        let mut left = MOST_MODULES.checked_sub(known.modules().count())?;
        let mut tails = Vec::new();
        for (index, head) in heads.into_iter().enumerate() {
            let known = known.namespaces.get(index);
            let known_modules = known.map_or(&[][..], |known| &known.modules);
            let is_same = known.is_none_or(|known| known.head.address == head.address)
                && known_modules.first().is_none_or(|first| first.link_map == head.first);
            if !is_same {
                return None;
            }
            let (next, previous) = match known_modules.last() {
                Some(last) => {
                    let node = self.node_layout.read(pages, self.layout, last.link_map).ok()?;
                    if (node.bias, node.dynamic) != (last.bias, last.dynamic) {
                        return None;
                    }
                    (node.next, last.link_map)
                }
                None => (head.first, 0),
            };
            let mut modules = Vec::new();
            let outcome = self.list(pages, &mut left).run(next, previous, |node, name| {
                let is_first = known_modules.is_empty() && modules.is_empty();
                modules.push(self.module(index, is_first, node, name));
            });
            outcome.ok()?;
            tails.push(Namespace { head, modules });
        }
        Some(tails)
    }

    /// Whether [`extend`](Self::extend) notices that modules were removed: the loader is glibc's,
    /// which counts them.
    pub fn notices_removals(&self) -> bool {
        self.counts.is_some()
    }

    /// Whether the loader, if it counts, counts as many modules as were found.
    fn is_counted<M: Memory + ?Sized>(&self, pages: &Pages<'_, M>, found: &Snapshot) -> bool {
        let Some(counts) = self.counts.filter(|_| found.problem.is_none()) else { return true };
        let heads: Vec<Head> = found.namespaces.iter().map(|namespace| namespace.head).collect();
        let counts = counts.read(pages, self.layout, &heads);
        counts
            .into_iter()
            .zip(&found.namespaces)
            .all(|(count, namespace)| count.is_none_or(|count| count == namespace.modules.len()))
    }

    /// Whether the loader counts other numbers of modules than are known together with the tails.
    fn miscounts<M: Memory + ?Sized>(
        &self,
        pages: &Pages<'_, M>,
        known: &Snapshot,
        tails: &[Namespace],
    ) -> bool {
        let Some(counts) = self.counts else { return false };
        let heads: Vec<Head> = tails.iter().map(|tail| tail.head).collect();
        let known = known.namespaces.iter().map(|namespace| namespace.modules.len());
        let counts = counts.read(pages, self.layout, &heads);
        counts.into_iter().zip(tails).zip(known.chain(std::iter::repeat(0))).any(
            |((count, tail), known)| {
                count.is_some_and(|count| count != known.saturating_add(tail.modules.len()))
            },
        )
    }

    fn list<'walk, 'memory, M: ?Sized>(
        &self,
        pages: &'walk Pages<'memory, M>,
        left: &'walk mut usize,
    ) -> Walk<'walk, 'memory, M> {
        Walk { pages, layout: self.layout, node_layout: self.node_layout, left }
    }

    fn module(
        &self,
        namespace: usize,
        is_first: bool,
        node: Node,
        name: Option<Vec<u8>>,
    ) -> Module {
        let role = self.landmarks.role(node.bias, node.dynamic, namespace == 0 && is_first);
        Module {
            namespace: u32::try_from(namespace).unwrap_or(u32::MAX),
            link_map: node.address,
            bias: node.bias,
            dynamic: node.dynamic,
            name,
            role,
            anchor: match role {
                Role::Program if node.dynamic == 0 => self.landmarks.program_headers,
                _ => node.dynamic,
            },
            file: None,
            build_id: None,
        }
    }
}

/// How often lists are read that do not hold still.
const MOST_ATTEMPTS: u32 = 1000;
/// How often in a row lists hold still of which the loader counts another number of modules.
const MOST_MISCOUNTS: u32 = 64;
/// How often lists are read while the loader says that it is at work on them.
const MOST_CHANGING: u32 = 100;
/// How often the ends of lists are read that do not hold still.
const MOST_EXTENSIONS: usize = 16;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::count::Counts;
    use crate::layout::{Class, Endian, Layout};
    use crate::list::NodeLayout;
    use crate::locate::{Trail, Way};
    use crate::memory::{PAGE, ReadError, Unreadable};

    /// A page with a list of one module, and the loader's count.
    struct Target {
        /// How often it was read.
        reads: Cell<u64>,
        /// The module's bias is another one at each of so many first reads.
        restless: u64,
        /// From this read on the count is right.
        right: u64,
    }

    const PAGE_AT: u64 = 0x1000;
    const NODE: u64 = 0x1100;
    const GLOBAL: u64 = 0x1200;

    impl Target {
        fn snapshot(restless: u64, right: u64) -> (Target, Snapshot) {
            let target = Target { reads: Cell::new(0), restless, right };
            let rendezvous = Rendezvous {
                layout: Layout { class: Class::Elf64, endian: Endian::Little },
                r_debug: PAGE_AT,
                way: Way::DynamicTable,
                node_layout: NodeLayout::SystemV,
                landmarks: Landmarks::default(),
                counts: Some(Counts { namespaces: GLOBAL }),
                loader: None,
                trail: Trail::default(),
            };
            let snapshot = rendezvous.snapshot(&target);
            (target, snapshot)
        }

        fn word(&self, address: u64) -> u64 {
            let reads = self.reads.get();
            match address {
                PAGE_AT => 1,
                0x1008 => NODE,
                NODE => reads.min(self.restless),
                0x1108 => 0x1f00,
                GLOBAL => NODE,
                0x1208 if reads < self.right => 2,
                0x1208 => 1,
                _ => 0,
            }
        }
    }

    impl Memory for Target {
        fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
            let unmapped = ReadError::new(address, buffer.len(), Unreadable::Unmapped);
            let start = address.checked_sub(PAGE_AT).ok_or(unmapped)? as usize;
            self.reads.set(self.reads.get() + 1);
            let words = (PAGE_AT..).step_by(8).take(PAGE / 8);
            let page: Vec<u8> = words.flat_map(|at| self.word(at).to_le_bytes()).collect();
            let end = start.checked_add(buffer.len()).ok_or(unmapped)?;
            buffer.copy_from_slice(page.get(start..end).ok_or(unmapped)?);
            Ok(())
        }
    }

    #[test]
    fn the_count_is_insisted_on_after_many_readings_that_did_not_hold_still() {
        let (target, snapshot) = Target::snapshot(600, 650);
        assert_eq!(snapshot.consistency, Consistency::Consistent);
        assert_eq!(snapshot.modules().count(), 1);
        assert!(snapshot.attempts > MOST_MISCOUNTS, "{}", snapshot.attempts);
        assert!(target.reads.get() >= target.right, "{}", target.reads.get());
    }

    #[test]
    fn a_count_that_never_is_that_of_the_modules_is_not_insisted_on() {
        let (_, snapshot) = Target::snapshot(0, u64::MAX);
        assert_eq!(snapshot.consistency, Consistency::Consistent);
        assert_eq!(snapshot.attempts, MOST_MISCOUNTS + 1);
    }
}
