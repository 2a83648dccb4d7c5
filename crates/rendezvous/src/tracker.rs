//! What has changed since one last looked.

use std::collections::HashMap;

use crate::error::WalkError;
use crate::identify::resolve_all;
use crate::list::{Head, State};
use crate::locate::Rendezvous;
use crate::mapping::Mappings;
use crate::memory::Memory;
use crate::module::Module;
use crate::snapshot::{Consistency, Extension, Snapshot};

/// The modules of a process as they were last seen, and what the last look changed.
///
/// It decides and compares; the reading is the caller's, or [`advance`](Self::advance)'s, which is
/// meant for whoever stops or wakes each time the loader calls [`Head::breakpoint`].
///
/// ```
/// use rendezvous::{Process, Tracker};
///
/// # #[cfg(target_os = "linux")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let process = Process::own()?;
/// let rendezvous = process.locate()?.found().expect("this program has been loaded");
/// let mut tracker = Tracker::new();
/// tracker.advance(&rendezvous, &process)?;
/// // Attaching late is no special case: everything that is there is new.
/// assert_eq!(tracker.added().len(), tracker.snapshot().modules().count());
/// tracker.advance(&rendezvous, &process)?;
/// assert!(tracker.added().is_empty() && tracker.removed().is_empty());
/// # Ok(())
/// # }
/// # #[cfg(not(target_os = "linux"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracker {
    /// The state in which each namespace was when the loader last called.
    states: Vec<State>,
    snapshot: Snapshot,
    added: Vec<Module>,
    removed: Vec<Module>,
    generation: u64,
    /// What happened was not read, so that it is not known what the snapshot lacks.
    is_behind: bool,
}

/// What a call of the loader asks of its observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Nothing: it has only begun.
    Nothing,
    /// Modules were added at the ends of lists.
    Add,
    /// Modules were removed, perhaps not only those.
    Remove,
    /// What happened cannot be told: all lists must be read.
    Snapshot,
}

impl Action {
    /// What to do when a namespace that was in state `previous` at the loader's last call, `None`
    /// if it had not been seen, is in state `current` at this one.
    ///
    /// | `current` \ `previous` | `Consistent` | `Add` | `Delete` | none |
    /// |---|---|---|---|---|
    /// | `Consistent` | `Snapshot` | `Add` | `Remove` | `Add` |
    /// | `Add` | `Nothing` | `Add` | `Nothing` | `Nothing` |
    /// | `Delete` | `Nothing` | `Nothing` | `Nothing` | `Nothing` |
    ///
    /// Two `Add`s in a row are seen where the program defines an `_r_debug` of its own and the
    /// loader goes on with another: the end of the first change goes unseen.
    pub fn of(previous: Option<State>, current: State) -> Action {
        use State::{Add, Consistent, Delete, Unknown};
        match (previous, current) {
            (Some(Consistent), Consistent) => Action::Snapshot,
            (Some(Add) | None, Consistent) => Action::Add,
            (Some(Delete), Consistent) => Action::Remove,
            (Some(Add), Add) => Action::Add,
            (_, Add | Delete) => Action::Nothing,
            (Some(Unknown(_)), Consistent) | (_, Unknown(_)) => Action::Snapshot,
        }
    }
}

impl Tracker {
    /// One that has seen nothing yet.
    pub fn new() -> Tracker {
        Tracker {
            states: Vec::new(),
            snapshot: Snapshot::EMPTY,
            added: Vec::new(),
            removed: Vec::new(),
            generation: 0,
            is_behind: false,
        }
    }

    /// The modules as they were last seen.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// What the last look found that the one before had not.
    pub fn added(&self) -> &[Module] {
        &self.added
    }

    /// What the look before the last had found, and the last did not.
    pub fn removed(&self) -> &[Module] {
        &self.removed
    }

    /// How many looks have found a difference.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes note of the states of all namespaces at a call of the loader, and says what it asks
    /// for.
    ///
    /// A namespace that is as consistent as it was says nothing as long as another explains the
    /// call.
    pub fn observe(&mut self, heads: &[Head]) -> Action {
        let is_gone = heads.len() < self.states.len();
        let mut action = None;
        let mut is_explained = false;
        for (index, head) in heads.iter().enumerate() {
            let previous = self.states.get(index).copied();
            let own = Action::of(previous, head.state);
            if previous == Some(State::Consistent) && head.state == State::Consistent {
                continue;
            }
            is_explained = true;
            action = action.max(Some(own));
        }
        self.states = heads.iter().map(|head| head.state).collect();
        match action {
            Some(action) if is_explained && !is_gone && !self.is_behind => action,
            _ => Action::Snapshot,
        }
    }

    /// Takes the modules of a new snapshot for those that are there.
    ///
    /// A module is the same as one before if it has the same [`identity`](Module::identity), as
    /// far as both are known; what was found out about its file before is kept.
    pub fn update(&mut self, mut snapshot: Snapshot) {
        let mut before: Vec<Option<Module>> =
            std::mem::replace(&mut self.snapshot, Snapshot::EMPTY)
                .namespaces
                .into_iter()
                .flat_map(|namespace| namespace.modules.into_iter().map(Some))
                .collect();
        let known: HashMap<_, usize> = before
            .iter()
            .enumerate()
            .filter_map(|(index, module)| Some((place(module.as_ref()?), index)))
            .collect();
        self.added.clear();
        for module in snapshot.modules_mut() {
            let known = known.get(&place(module)).and_then(|&index| before.get_mut(index));
            let same = known.and_then(|known| known.take_if(|known| is_same(known, module)));
            match same {
                Some(known) => {
                    module.file = module.file.take().or(known.file);
                    module.build_id = module.build_id.take().or(known.build_id);
                }
                None => self.added.push(module.clone()),
            }
        }
        self.removed = before.into_iter().flatten().collect();
        self.states = snapshot.namespaces.iter().map(|namespace| namespace.head.state).collect();
        self.snapshot = snapshot;
        self.is_behind = false;
        self.count();
    }

    /// Reads what the loader's call asks for, no more, and takes note of it. An added module costs
    /// reading it, not the list.
    ///
    /// # Errors
    ///
    /// If the lists cannot be read; what is known stays as it is.
    pub fn advance<M: Memory + ?Sized>(
        &mut self,
        rendezvous: &Rendezvous,
        memory: &M,
    ) -> Result<(), WalkError> {
        let heads = rendezvous.heads(memory)?;
        self.added.clear();
        self.removed.clear();
        let is_enough = match self.observe(&heads) {
            Action::Nothing => true,
            Action::Add => self.extend(rendezvous, memory),
            // Where a removal would be noticed, it is worth a try.
            Action::Snapshot if !self.is_behind && rendezvous.notices_removals() => {
                self.extend(rendezvous, memory)
            }
            Action::Remove | Action::Snapshot => false,
        };
        if is_enough { Ok(()) } else { self.reread(rendezvous, memory) }
    }

    /// Finds the files and build IDs of the modules that the last look added.
    pub fn resolve<M, T>(&mut self, memory: &M, mappings: &T)
    where
        M: Memory + ?Sized,
        T: Mappings + ?Sized,
    {
        resolve_all(self.added.iter_mut(), memory, mappings);
        for added in &self.added {
            let namespace = usize::try_from(added.namespace).unwrap_or(usize::MAX);
            let Some(namespace) = self.snapshot.namespaces.get_mut(namespace) else { continue };
            // What was added is most often last.
            let known = namespace.modules.iter_mut().rev();
            for module in known.filter(|module| place(module) == place(added)).take(1) {
                *module = added.clone();
            }
        }
    }

    /// The process executes another program: nothing that was there is there any more.
    pub fn reset(&mut self) {
        self.update(Snapshot::EMPTY);
    }

    fn extend<M: Memory + ?Sized>(&mut self, rendezvous: &Rendezvous, memory: &M) -> bool {
        let namespaces = &self.snapshot.namespaces;
        let known: Vec<usize> = namespaces.iter().map(|it| it.modules.len()).collect();
        let extension = rendezvous.extend(memory, &mut self.snapshot);
        if extension == Extension::Reread {
            return false;
        }
        self.added = new_ones(&self.snapshot, &known);
        self.count();
        true
    }

    fn reread<M: Memory + ?Sized>(
        &mut self,
        rendezvous: &Rendezvous,
        memory: &M,
    ) -> Result<(), WalkError> {
        self.is_behind = true;
        let snapshot = rendezvous.snapshot(memory);
        match snapshot.problem {
            // The loader is in the middle of it, and will call again.
            None if snapshot.consistency == Consistency::Torn => Ok(()),
            None => {
                self.update(snapshot);
                Ok(())
            }
            Some(problem) => Err(problem),
        }
    }

    fn count(&mut self) {
        if !self.added.is_empty() || !self.removed.is_empty() {
            self.generation = self.generation.saturating_add(1);
        }
    }
}

impl Default for Tracker {
    fn default() -> Tracker {
        Tracker::new()
    }
}

/// What tells modules apart that are loaded at the same time.
fn place(module: &Module) -> (u32, u64, u64, u64) {
    (module.namespace, module.link_map, module.bias, module.dynamic)
}

/// Whether two modules at the same place are one, as far as both are known.
fn is_same(before: &Module, now: &Module) -> bool {
    let files = (before.identity().file, now.identity().file);
    let is_same_file = !matches!(files, (Some(before), Some(now)) if before != now);
    let is_same_build = match (&before.build_id, &now.build_id) {
        (Some(before), Some(now)) => before == now,
        _ => true,
    };
    is_same_file && is_same_build
}

/// The modules of each namespace beyond the first so many.
fn new_ones(snapshot: &Snapshot, known: &[usize]) -> Vec<Module> {
    let known = known.iter().copied().chain(std::iter::repeat(0));
    snapshot
        .namespaces
        .iter()
        .zip(known)
        .flat_map(|(namespace, known)| namespace.modules.get(known..).unwrap_or_default())
        .cloned()
        .collect()
}
