//! One load of a guest.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crash_guard::{Fault, Installed};
use elf_sections::{Image, Routines};

use crate::builder::Options;
use crate::contract::{Main, Operation};
use crate::entry::{Caller, Entering};
use crate::event::{Cause, During, Failure, Memory, RefusalKind};
use crate::neighbour::Neighbours;
use crate::stage::{Identity, NotStaged, Stage, Staged};
use crate::state::{Atlas, Reach, Sort, StateMap, Variable};
use crate::sys::{self, Exit, Handle, Opening, Spare};

mod checked;
mod dependencies;
mod digest;
mod objection;
mod place;

use checked::Checked;
pub(crate) use dependencies::{hands_path_down, plan_to_hand_path_down, search_path};
pub(crate) use digest::Digest;
use objection::Objection;

/// A loaded version of the guest.
#[derive(Debug)]
pub(crate) struct Version {
    number: u32,
    staged: Staged,
    handle: Handle,
    /// The libraries it needs, as it asks for them, and the files to open for that.
    needed: Vec<(Vec<u8>, PathBuf)>,
    /// The same, opened for it before it was.
    dependencies: Vec<Handle>,
    main: Main,
    caller: Caller,
    bias: usize,
    /// The whole image in memory.
    range: Range<usize>,
    state: StateMap,
    /// Its writable memory, by image addresses.
    writable: Vec<Range<u64>>,
    finalizers: Vec<usize>,
    /// The symbols that were unique in the build. They are not in the copy, but a library may have
    /// bound to them.
    unique: Vec<String>,
    /// Memory of this version whose content lives on in another.
    given: Vec<Range<usize>>,
    /// Memory of this version whose content came from another.
    received: Vec<Range<usize>>,
    /// What was given or received is this version's to destroy: of all that share it, it ran last.
    holds: bool,
    /// Memory of this version that has pages of its own, which the next one can have.
    renewed: Vec<Range<usize>>,
    /// Where this version's state leads, besides itself.
    reach: Reach,
    /// Why it could not be unmapped, as far as that was told.
    told: Option<Memory>,
}

/// Why a build did not become a version.
#[derive(Debug)]
pub(crate) enum Unready {
    /// Somebody is just writing it.
    BeingWritten,
    /// It is not whole, for the reason given; the build as it was seen.
    Incomplete(String, Identity),
    /// Its private copy cannot lie there, or not be loaded from there; the build as it was seen.
    NoPlace(String, Option<Identity>),
    /// It cannot be loaded; the build as it was seen.
    Refused(RefusalKind, String, Option<Identity>),
    /// It faulted; what is mapped of it is still to be given up.
    Faulted(Box<Failure>, Identity, Option<Digest>, Option<Box<Version>>),
}

/// What a build is loaded with.
pub(crate) struct Loading<'a> {
    pub(crate) source: &'a Path,
    pub(crate) number: u32,
    pub(crate) options: &'a Options,
    pub(crate) stage: &'a Arc<Stage>,
    pub(crate) caller: &'a Caller,
    pub(crate) known_bad: &'a [Digest],
    pub(crate) neighbours: &'a Neighbours,
}

impl Version {
    /// Checks, copies, maps and constructs the build; `accept` may still refuse its state, before
    /// any of its code runs.
    ///
    /// On every way out but success nothing of it is left, except what the error gives back, and
    /// what the loader itself keeps of an image that faulted inside it.
    pub(crate) fn prepare(
        loading: &Loading<'_>,
        spare: Option<Staged>,
        accept: impl FnOnce(&StateMap) -> Option<String>,
    ) -> Result<Self, Unready> {
        let (staged, copy) =
            loading.stage.copy(loading.source, loading.number, spare).map_err(not_staged)?;
        let identity = staged.identity();
        let refused = |kind, reason: String| Unready::Refused(kind, reason, Some(identity));
        let faulted = |during, fault, place, digest, remains| {
            let cause = Cause::Fault(Box::new(fault));
            let failure = Failure { version: loading.number, during, cause, place };
            Unready::Faulted(Box::new(failure), identity, digest, remains)
        };
        let checked = Checked::of(&staged, copy, loading)?;
        if let Some(reason) = accept(&checked.state) {
            return Err(refused(RefusalKind::State, reason));
        }
        // The build itself is not to blame, and its bytes may work once the library is mended.
        let dependencies = dependencies::open(loading, &checked.dependencies)
            .map_err(|fault| faulted(During::Open, *fault, None, None, None))?;
        let handle = match sys::open(loading.caller, staged.path()) {
            Opening::Opened(handle) => handle,
            Opening::Refused(reason) => {
                dependencies::close(loading, dependencies);
                let copy = staged.path().display().to_string();
                let Objection { words, no_place } = Objection::of(reason);
                if no_place {
                    return Err(Unready::NoPlace(words, Some(identity)));
                }
                let reason = words.replace(&copy, &loading.source.display().to_string());
                return Err(refused(RefusalKind::Loader, reason));
            }
            Opening::Faulted(fault) => {
                let digest = Digest::of(staged.path());
                return Err(faulted(During::Open, *fault, None, digest, None));
            }
        };
        let main = sys::symbol(&handle, &loading.options.entry).map(sys::as_main);
        // Not from the entry's address: where that is chosen by a function of the image, its symbol
        // leads elsewhere.
        let bias = sys::bias_of(&handle);
        let (Some(main), Some(bias)) = (main, bias) else {
            drop(sys::close(loading.caller, handle));
            dependencies::close(loading, dependencies);
            let reason = format!("no function {:?} is exported", loading.options.entry);
            return Err(refused(RefusalKind::BadImage, reason));
        };
        let range = shift(&checked.range, bias);
        let caller = loading.caller.within(range.clone());
        let mut version = Self {
            number: loading.number,
            staged,
            handle,
            needed: checked.dependencies,
            dependencies,
            main,
            caller,
            bias,
            range,
            state: checked.state,
            writable: checked.writable,
            finalizers: Vec::new(),
            unique: checked.unique,
            given: Vec::new(),
            received: Vec::new(),
            holds: true,
            renewed: Vec::new(),
            reach: Reach { complete: true, ..Reach::default() },
            told: None,
        };
        version.finalizers = version.routines(&checked.finalizers, true);
        for (slots, registration) in &checked.registrations {
            let slots: Vec<usize> = slots.iter().map(|&slot| version.in_memory(slot)).collect();
            // Where a slot cannot be written, the C library runs those destructors inside
            // `dlclose`.
            sys::divert(&slots, *registration);
        }
        match version.construct(&checked.initializers) {
            Ok(()) => Ok(version),
            Err(fault) => {
                let place = version.place_of(&fault);
                let digest = version.digest();
                let remains = Some(Box::new(version));
                Err(faulted(During::Constructor, fault, place, digest, remains))
            }
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn identity(&self) -> Identity {
        self.staged.identity()
    }

    pub(crate) fn range(&self) -> &Range<usize> {
        &self.range
    }

    pub(crate) fn state(&self) -> &StateMap {
        &self.state
    }

    pub(crate) fn needed(&self) -> &[(Vec<u8>, PathBuf)] {
        &self.needed
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    pub(crate) fn set_reach(&mut self, reach: Reach) {
        self.reach = reach;
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        Digest::of(self.staged.path())
    }

    /// A stretch of the image in memory.
    pub(crate) fn place(&self, address: u64, size: u64) -> Range<usize> {
        let start = self.in_memory(address);
        start..start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// A call of its entry function, to be run while the version is mapped.
    pub(crate) fn entering(&self, operation: Operation) -> Entering {
        Entering::new(self.caller.clone(), self.main, operation)
    }

    /// The places of everything in this version.
    pub(crate) fn atlas(&self) -> Option<Atlas> {
        self.read_copy(|image| Atlas::of(image, self.bias, &self.state))
    }

    /// What a variable of the state is, if the debug information tells.
    pub(crate) fn sort(&self, variable: &Variable) -> Option<Sort> {
        self.read_copy(|image| variable.sort(image))?
    }

    /// Its writable memory that is no state, in memory.
    pub(crate) fn own_memory(&self) -> Vec<Range<usize>> {
        let mut own = Vec::new();
        for range in &self.writable {
            let mut start = range.start;
            for variable in &self.state.variables {
                if range.contains(&variable.address) {
                    own.push(start..variable.address.max(start));
                    start = start.max(variable.address.saturating_add(variable.size));
                }
            }
            own.push(start..range.end.max(start));
        }
        own.iter().map(|range| self.place(range.start, range.end - range.start)).collect()
    }

    /// Reads the image in the copy that it was loaded from.
    fn read_copy<T>(&self, read: impl FnOnce(&Image<'_>) -> T) -> Option<T> {
        let file = File::open(self.staged.path()).ok()?;
        let bytes = sys::map(&file).ok()?;
        Some(read(&Image::parse(&bytes).ok()?))
    }

    /// The content of `sources` lives on in another version.
    pub(crate) fn gave_away(&mut self, sources: Vec<Range<usize>>) {
        for source in sources {
            if !self.given.contains(&source) {
                self.given.push(source);
            }
        }
        self.holds = false;
    }

    /// The content of `targets` came from another version.
    pub(crate) fn received(&mut self, targets: Vec<Range<usize>>) {
        self.received = targets;
    }

    /// It was given pages that the next version can have.
    pub(crate) fn set_renewed(&mut self, renewed: Vec<Range<usize>>) {
        self.renewed = renewed;
    }

    /// The version's pages that the next one can have; it is not called again.
    pub(crate) fn salvage(&self) -> Option<Spare> {
        sys::salvage(self.renewed.iter().max_by_key(|place| place.len())?)
    }

    /// Another version has the state now, or has it again.
    pub(crate) fn lets_go(&mut self) {
        self.holds = false;
    }

    /// The version takes its state back: it runs again.
    pub(crate) fn takes_back(&mut self) {
        self.holds = true;
    }

    /// Destroys what the constructors made in `place`, which is about to be overwritten. The
    /// registrations stay: what comes in will have to be destroyed as well.
    pub(crate) fn destroy_fresh(&self, exits: &[Exit], place: &Range<usize>) {
        for exit in exits.iter().filter(|exit| place.contains(&exit.object)) {
            // If it faults, the object's content leaks; it is overwritten all the same.
            drop(sys::call_destructor(&self.caller, exit));
        }
    }

    /// Where this version's own records of addresses are kept.
    pub(crate) fn records(&self) -> Vec<usize> {
        let mut records = sys::records(&self.handle);
        records.extend([std::ptr::from_ref(self).addr(), self.finalizers.as_ptr().addr()]);
        let lists = [&self.given, &self.received, &self.renewed];
        records.extend(lists.map(|list| list.as_ptr().addr()));
        records
    }

    /// Runs the destructors: of the objects that still belong to this version, then of the image.
    pub(crate) fn destruct(&mut self) -> Vec<Fault> {
        let mut faults = Vec::new();
        // A destructor may register another.
        for _ in 0..ROUNDS {
            let exits = sys::take_exits(&self.range);
            if exits.is_empty() {
                break;
            }
            for exit in exits {
                let shared = || self.given.iter().chain(&self.received);
                let gone = !self.holds && shared().any(|place| place.contains(&exit.object));
                if !gone && let Err(fault) = sys::call_destructor(&self.caller, &exit) {
                    faults.push(fault);
                }
            }
        }
        for finalizer in std::mem::take(&mut self.finalizers) {
            if let Err(fault) = sys::call_finalizer(&self.caller, finalizer) {
                faults.push(fault);
            }
        }
        faults
    }

    /// It failed: its destructors are not run.
    pub(crate) fn distrust(&mut self) {
        self.finalizers.clear();
        sys::forget_exits(&self.range);
    }

    /// Whether this reason to stay is news.
    pub(crate) fn is_news(&mut self, memory: &Memory) -> bool {
        let news = self
            .told
            .as_ref()
            .is_none_or(|told| std::mem::discriminant(told) != std::mem::discriminant(memory));
        self.told = Some(memory.clone());
        news
    }

    /// Something needs it and there is no later: it stays until the process ends. Only its file
    /// goes.
    pub(crate) fn leave_mapped(self) {
        drop(sys::take_exits(&self.range));
    }

    /// Unmaps the version and says whether it is gone; its copy is then free.
    pub(crate) fn unmap(self, caller: &Caller, installed: &Installed) -> (Memory, Option<Staged>) {
        sys::forget_exits(&self.range);
        sys::forget_image(&self.range);
        // A guest that has set fault handlers of its own takes them with it.
        let handlers = installed.verify_and_repair(self.range.clone());
        let closed = sys::close(caller, self.handle);
        for dependency in self.dependencies {
            // And so does a library that goes with it; most times there is none, and no need to ask
            // where it lies.
            let range = if handlers.is_ours() { None } else { sys::range_of(&dependency) };
            drop(sys::close(caller, dependency));
            if let Some(range) = range.filter(|range| !sys::page_is_mapped(range.start)) {
                installed.verify_and_repair(range);
            }
        }
        let path: PathBuf = self.staged.path().to_owned();
        let gone = closed.is_ok()
            && !sys::is_loaded(self.range.start, &path)
            && (!sys::page_is_mapped(self.range.start) || !sys::is_mapped(&path));
        if gone {
            (Memory::Unmapped, Some(self.staged))
        } else if self.unique.is_empty() {
            (Memory::Held, None)
        } else {
            (Memory::UniqueSymbols(self.unique), None)
        }
    }

    fn construct(&self, initializers: &Routines) -> Result<(), Fault> {
        for initializer in self.routines(initializers, false) {
            sys::call_initializer(&self.caller, initializer)?;
        }
        Ok(())
    }

    /// The functions that the loader would call, in its order: for the start, or reversed for the
    /// end.
    fn routines(&self, routines: &Routines, reversed: bool) -> Vec<usize> {
        let function = routines.function.map(|function| self.in_memory(function));
        let mut array = vec![0; routines.array.as_ref().map_or(0, array_size)];
        if let Some(range) = &routines.array
            && !sys::read(self.in_memory(range.start), &mut array)
        {
            array.clear();
        }
        let array = array.chunks_exact(size_of::<usize>()).filter_map(|word| {
            let function = usize::from_ne_bytes(word.try_into().ok()?);
            // 0 and -1 are placeholders (System V ABI, "Initialization and Termination Functions").
            (function != 0 && function != usize::MAX).then_some(function)
        });
        let mut all: Vec<usize> = function.into_iter().chain(array).collect();
        if reversed {
            all.reverse();
        }
        all
    }

    fn in_memory(&self, address: u64) -> usize {
        self.bias.wrapping_add(address as usize)
    }
}

/// How often destructors may register further ones.
const ROUNDS: usize = 16;
/// The most that is read of a list of constructors.
const LONGEST_ARRAY: u64 = 16 << 20;

fn array_size(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start).min(LONGEST_ARRAY)).unwrap_or(0)
}

fn shift(range: &Range<u64>, bias: usize) -> Range<usize> {
    bias.wrapping_add(range.start as usize)..bias.wrapping_add(range.end as usize)
}

fn not_staged(error: NotStaged) -> Unready {
    match error {
        NotStaged::Changing => Unready::BeingWritten,
        NotStaged::Empty(identity) => Unready::Incomplete("the file is empty".to_owned(), identity),
        NotStaged::Unreadable(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Unready::BeingWritten
        }
        NotStaged::Unreadable(error) => {
            Unready::Refused(RefusalKind::Staging, format!("it cannot be read: {error}"), None)
        }
        NotStaged::Unwritable(path, error) => Unready::NoPlace(
            format!("the private copy {} cannot be written: {error}", path.display()),
            None,
        ),
    }
}
