//! A plugin: the driver that performs what the state machine decides.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crash_guard::{Fault, Installed};

use crate::builder::{Builder, EventCallback, Options};
use crate::contract::{Context, FailureCode};
use crate::entry::{Caller, Entering, Shared};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Refusal};
use crate::machine::{Action, Machine, Outcome, Request};
use crate::neighbour::Neighbours;
use crate::notice::Notice;
use crate::stage::{Identity, Stage, Staged};
use crate::state::{Snapshot, StateReport};
use crate::sys::{self, Spare};
use crate::version::{Digest, Version};

mod perform;
mod retire;
mod symbol;

pub use symbol::Symbol;

/// A library that is reloaded while the program runs.
///
/// All that happens happens on the thread that calls [`step`](Self::step). A plugin may move
/// between threads, and any number of them may live in a process, also one inside another's guest.
pub struct Plugin {
    path: PathBuf,
    options: Options,
    machine: Machine,
    /// Every version that is mapped and may be called again.
    versions: Vec<Version>,
    /// Retired versions that cannot be unmapped yet.
    lingering: Vec<Version>,
    /// Memory of a retired version, for the next one.
    spare: Option<Spare>,
    /// The copy of a retired version, for the next one.
    spare_copy: Option<Staged>,
    context: Shared,
    caller: Caller,
    /// The call that a step without news is, while a version runs and the machine is between requests.
    ready: Option<Entering>,
    notice: Notice,
    neighbours: Neighbours,
    stage: Arc<Stage>,
    /// The build that was looked at last.
    seen: Option<Identity>,
    /// When it is to be looked at again, although it has not changed itself.
    retry: Option<Retry>,
    /// The refusal that was told last.
    refused: Option<Refusal>,
    known_bad: Vec<Digest>,
    on_event: Option<EventCallback>,
    /// What has happened and was not told yet.
    events: VecDeque<Event>,
    preparing_since: Instant,
    /// How the version that is being loaded came here, until it is told.
    arrival: Option<Arrival>,
    /// The version that was called last.
    called: Option<u32>,
    failed: Option<FailureCode>,
    steps: u64,
    closed: bool,
    installed: Installed,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// The guest ran and returned this; it is not negative.
    Ran(i32),
    /// A version failed with this code, as an [`Event::Fault`] tells in full. If one before it
    /// worked, that one runs with the next step.
    Failed(FailureCode),
    /// No version can run; a build that can is loaded when it is there.
    Idle,
}

/// A build that may become loadable without any notice of it.
#[derive(Clone, Copy, Debug)]
struct Retry {
    after: Duration,
    since: Instant,
    /// Also as soon as anything is noticed.
    eager: bool,
}

impl Retry {
    /// `told`: something was noticed.
    fn is_due(&self, told: bool) -> bool {
        (told && self.eager) || self.since.elapsed() >= self.after
    }
}

/// How a version came to be loaded.
#[derive(Debug)]
enum Arrival {
    /// None ran before.
    First,
    /// It took over from another.
    From(u32, StateReport),
}

impl Plugin {
    /// Starts to open the library at `path`.
    ///
    /// ```no_run
    /// use reloader::{Plugin, Step};
    ///
    /// let mut plugin = Plugin::builder("target/debug/libguest.so")
    ///     .on_event(|event| println!("{event:?}"))
    ///     .open()?;
    /// while plugin.step() != Step::Ran(1) {
    ///     std::thread::sleep(std::time::Duration::from_millis(16));
    /// }
    /// plugin.close();
    /// # Ok::<(), reloader::Error>(())
    /// ```
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref())
    }

    pub(crate) fn open(builder: Builder) -> Result<Self, Error> {
        let Builder { path, options, on_event } = builder;
        // A relative path means the same file after the host has changed its directory.
        let path = std::path::absolute(&path)
            .map_err(|error| Error::io("the path cannot be made absolute", &path, error))?;
        check_file(&path, options.may_be_missing)?;
        let (stage, no_place) = match &options.temporary {
            Some(root) => (Stage::below(root)?, None),
            None => Stage::unless_said(&path)?,
        };
        let moved = no_place.map(|error| Event::CopiesMoved {
            directory: stage.root().to_owned(),
            reason: error.to_string(),
        });
        let installed = crash_guard::install(crash_guard::Config::new()).map_err(|error| {
            Error::new(ErrorKind::Guard, "the fault handlers cannot be installed").because(error)
        })?;
        Ok(Self {
            notice: Notice::new(&path, options.watch),
            machine: Machine::new(options.history, options.retreat),
            versions: Vec::new(),
            lingering: Vec::new(),
            spare: None,
            spare_copy: None,
            context: Shared::new(),
            caller: Caller::new(options.deadline),
            ready: None,
            stage,
            neighbours: Neighbours::default(),
            seen: None,
            retry: None,
            refused: None,
            known_bad: Vec::new(),
            on_event,
            events: moved.into_iter().collect(),
            preparing_since: Instant::now(),
            arrival: None,
            called: None,
            failed: None,
            steps: 0,
            closed: false,
            installed,
            path,
            options,
        })
    }

    /// Runs the guest once; before that, a new build takes over, or after a failure the last
    /// version that worked.
    ///
    /// Without news this costs an atomic load and a guarded call.
    #[inline]
    pub fn step(&mut self) -> Step {
        if self.notice.has_news() { self.step_after(true) } else { self.step_without_check() }
    }

    /// Runs the guest once without looking for a new build.
    #[inline]
    pub fn step_without_check(&mut self) -> Step {
        let Some(ready) = &self.ready else { return self.step_after(false) };
        // The machine would ask for just this call, and a guest that returns well changes nothing
        // in it.
        match ready.run(&mut self.context) {
            Ok(value) if value >= 0 => {
                self.steps += 1;
                Step::Ran(value)
            }
            result => self.step_failed(result),
        }
    }

    /// Looks for a new build with the next step, whatever has been noticed.
    pub fn check(&mut self) {
        self.notice.look();
    }

    /// Looks at the file itself: where it is another than the last one looked at, the next step
    /// finds that out, whatever has been noticed.
    ///
    /// This is one `stat` of the file, and one of each library that was found beside it.
    pub fn look(&mut self) {
        if self.has_changed() {
            self.check();
        }
    }

    /// Goes back to a version of the history, with the state that it was left with.
    ///
    /// # Errors
    /// When there is no such version, or when it fails to load; then the last version that worked
    /// takes over with the next step.
    pub fn roll_back_to(&mut self, version: u32) -> Result<(), Error> {
        let action = self.begin(Request::RollBack { to: version });
        match self.perform(action) {
            Outcome::RolledBack => Ok(()),
            Outcome::Failed => {
                let message = format!("version {version} failed when it was loaded again");
                Err(Error::new(ErrorKind::RollbackFailed, message).at(&self.path))
            }
            _ => {
                let history = self.history();
                let message = format!("no version {version} to go back to; there are {history:?}");
                Err(Error::new(ErrorKind::NoVersion, message).at(&self.path))
            }
        }
    }

    /// The version that runs, or that runs again with the next step.
    pub fn version(&self) -> Option<u32> {
        self.machine.current()
    }

    /// Whether that version is loaded: the next step runs it without loading it again.
    pub fn is_running(&self) -> bool {
        self.machine.running().is_some()
    }

    /// The versions that can be gone back to, oldest first.
    pub fn history(&self) -> Vec<u32> {
        self.machine.history().collect()
    }

    /// How many steps the versions made altogether.
    #[inline]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The library that is reloaded.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the guest is given with each call.
    #[inline]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The same, to be changed: the failure that a host has taken note of, for example.
    #[inline]
    pub fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    /// Gives the plugin a context of the host's, used from now on instead of its own, or its own
    /// again with null. What stands in it is not changed by that.
    ///
    /// # Safety
    /// The context must stay valid until another one is lent or the plugin is gone, and nobody may
    /// hold a reference to it while a method of the plugin runs.
    #[inline]
    #[allow(unsafe_code, reason = "forwards the caller's promise")]
    pub unsafe fn lend_context(&mut self, context: *mut Context) {
        // SAFETY: as the caller promises.
        unsafe { self.context.lend(context) };
    }

    /// Gives the guest a pointer of the host's, which it finds in each call from now on.
    pub fn set_userdata(&mut self, userdata: *mut std::ffi::c_void) {
        self.context.userdata.store(userdata, Ordering::Relaxed);
    }

    /// Where the private directory with the copies is made from now on.
    ///
    /// # Errors
    /// When it cannot be made there; then it stays where it was.
    pub fn set_temp_dir(&mut self, directory: impl AsRef<Path>) -> Result<(), Error> {
        self.stage = Stage::below(directory.as_ref())?;
        self.spare_copy = None;
        self.options.temporary = Some(directory.as_ref().to_owned());
        Ok(())
    }

    /// The state of the running version as a value.
    ///
    /// # Errors
    /// When no version runs.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(Snapshot::of(self.current()?))
    }

    /// Puts a state back into the running version, variable by variable.
    ///
    /// # Errors
    /// When no version runs.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<StateReport, Error> {
        Ok(snapshot.restore(self.current()?))
    }

    /// Calls the running version for `CR_CLOSE` and unloads everything.
    ///
    /// Dropping the plugin does the same.
    pub fn close(mut self) {
        self.shut_down();
    }

    /// The same for a plugin that is borrowed. Nothing runs any more with the steps that follow.
    pub fn shut_down(&mut self) {
        if self.closed {
            return;
        }
        let version = self.machine.current().or(self.called);
        let action = self.begin(Request::Close);
        let outcome = self.perform(action);
        self.closed = outcome == Outcome::Closed;
        self.tell(Event::Closed { version, steps: self.steps });
        self.tell_all();
    }

    fn running(&self) -> Option<&Version> {
        self.machine.running().and_then(|number| self.find(number))
    }

    fn current(&self) -> Result<&Version, Error> {
        self.running()
            .ok_or_else(|| Error::new(ErrorKind::NoVersion, "no version is running").at(&self.path))
    }

    fn find(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|version| version.number() == number)
    }

    /// Takes a request to the machine.
    fn begin(&mut self, request: Request) -> Action {
        self.ready = None;
        self.machine.begin(request)
    }

    #[cold]
    fn step_failed(&mut self, result: Result<i32, Box<Fault>>) -> Step {
        match self.begin(Request::Step { news: false }) {
            Action::Call { version, operation } => {
                let answer = self.called(version, operation, result);
                let action = self.machine.answer(answer);
                self.tell_all();
                self.finish_step(action)
            }
            action => self.finish_step(action),
        }
    }

    #[cold]
    fn step_after(&mut self, news: bool) -> Step {
        let news = news && self.is_new_build();
        let action = self.begin(Request::Step { news });
        self.finish_step(action)
    }

    fn finish_step(&mut self, action: Action) -> Step {
        match self.perform(action) {
            Outcome::Ran(value) => Step::Ran(value),
            Outcome::Failed => Step::Failed(self.failed.unwrap_or(FailureCode::OTHER)),
            _ => Step::Idle,
        }
    }

    /// Asks the file itself whether it is another than the last one looked at.
    fn is_new_build(&mut self) -> bool {
        let told = self.notice.looking();
        let retried = || self.retry.as_ref().is_some_and(|retry| retry.is_due(told));
        // Gone for the moment: its return is news.
        std::fs::metadata(&self.path).is_ok_and(|metadata| {
            // Something else may be in its place for the moment.
            metadata.is_file()
                && (self.seen != Some(sys::identity(&metadata))
                    || self.neighbours.have_changed()
                    || retried())
        })
    }

    fn has_changed(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|metadata| {
            self.seen != Some(sys::identity(&metadata)) || self.neighbours.have_changed()
        })
    }

    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    fn tell_all(&mut self) {
        while let Some(event) = self.events.pop_front() {
            if let Some(callback) = &mut self.on_event {
                callback(&event);
            }
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("path", &self.path)
            .field("version", &self.version())
            .field("history", &self.history())
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

/// Tells a mistaken path from a build that is merely bad.
fn check_file(path: &Path, may_be_missing: bool) -> Result<(), Error> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if may_be_missing && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(());
        }
        Err(error) => {
            let what = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "there is no such file; build it first, or allow it to be missing"
                }
                std::io::ErrorKind::PermissionDenied => {
                    "a directory on the way may not be searched; check its permissions"
                }
                _ => "the file cannot be looked at",
            };
            return Err(Error::io(what, path, error));
        }
    };
    if !metadata.is_file() {
        let what = "this is not a regular file; name the library itself";
        return Err(Error::new(ErrorKind::NotAFile, what).at(path));
    }
    std::fs::File::open(path)
        .map(drop)
        .map_err(|error| Error::io("the file cannot be read; check its permissions", path, error))
}
