//! How a plugin is opened.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::contract;
use crate::error::Error;
use crate::event::Event;
use crate::plugin::Plugin;

/// Options of a plugin; made by [`Plugin::builder`].
pub struct Builder {
    pub(crate) path: PathBuf,
    pub(crate) options: Options,
    pub(crate) on_event: Option<EventCallback>,
}

pub(crate) type EventCallback = Box<dyn FnMut(&Event) + Send>;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) entry: String,
    pub(crate) temporary: Option<PathBuf>,
    pub(crate) history: usize,
    pub(crate) state: StatePolicy,
    pub(crate) by_name: bool,
    pub(crate) refuse_hidden: bool,
    pub(crate) untagged_bss: bool,
    pub(crate) fresh_objects: bool,
    pub(crate) retreat: Retreat,
    pub(crate) watch_dependencies: bool,
    pub(crate) search_limit: usize,
    pub(crate) watch: Watch,
    pub(crate) deadline: Option<Duration>,
    pub(crate) retry_known_bad: bool,
    pub(crate) may_be_missing: bool,
}

/// How the state is carried from one version to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum StatePolicy {
    /// Each variable by its name, whatever its place; sizes may differ.
    #[default]
    BySymbol,
    /// The sections as they are, at the same addresses and of the same size, or the build is
    /// refused (cr's SAFEST).
    Identical,
    /// The sections as they are, of the same size, or the build is refused (cr's SAFE).
    SameSize,
    /// The sections as they are, as far as they fit; a build with less room is refused (cr's
    /// UNSAFE).
    Fits,
    /// Nothing is carried (cr's DISABLE).
    Off,
}

/// How a new build is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Watch {
    /// The operating system tells; where it cannot, as `Poll` every 100 ms.
    ///
    /// It tells of the file, of the directory it lies in, and of symbolic links on the way; that a
    /// directory further up was exchanged for another is found with the next [`Plugin::check`]. A
    /// forked child is told of nothing until its next check; from then on it polls.
    #[default]
    Notify,
    /// The file is looked at when this much time has passed since the last look.
    Poll(Duration),
    /// Only [`Plugin::check`] looks; what it finds half written, or with something missing, is
    /// looked at until that has changed.
    Manual,
}

/// Which version takes over when one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Retreat {
    /// The newest one that worked. A fault in an unload call does not keep a new build from taking
    /// over.
    #[default]
    Newest,
    /// The one before it, as in cr: when the version that failed had itself been gone back to, this
    /// is the one with the next lower number, even if that has failed in a step before. It is given
    /// the state then. A version that faults in its unload call is left for the one before it,
    /// where there is one; the new build is loaded a second later.
    Previous,
}

impl Builder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            options: Options {
                entry: contract::ENTRY.to_owned(),
                temporary: None,
                history: 3,
                state: StatePolicy::default(),
                by_name: false,
                refuse_hidden: false,
                untagged_bss: false,
                fresh_objects: false,
                retreat: Retreat::default(),
                watch_dependencies: true,
                search_limit: 64 << 20,
                watch: Watch::default(),
                deadline: None,
                retry_known_bad: false,
                may_be_missing: false,
            },
            on_event: None,
        }
    }

    /// The name of the guest's entry function; `cr_main` unless said otherwise.
    #[must_use]
    pub fn entry(mut self, name: impl Into<String>) -> Self {
        self.options.entry = name.into();
        self
    }

    /// Where the private directory with the copies is made; the system's temporary directory unless
    /// said otherwise, or the library's where that one cannot be used (it is missing, full, or
    /// mounted `noexec`), which [`Event::CopiesMoved`] tells.
    ///
    /// A directory that is named here is used or nothing is: where it cannot be, opening fails, or
    /// builds are refused with the reason until it can.
    #[must_use]
    pub fn temp_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.options.temporary = Some(directory.into());
        self
    }

    /// How many versions that worked are kept to go back to, besides the running one; 3 unless said
    /// otherwise.
    ///
    /// Each stays mapped with its state. With 0 a build whose load call fails is still undone.
    #[must_use]
    pub fn history(mut self, versions: usize) -> Self {
        self.options.history = versions;
        self
    }

    /// How the state is carried.
    #[must_use]
    pub fn state(mut self, policy: StatePolicy) -> Self {
        self.options.state = policy;
        self
    }

    /// Whether zero-initialised variables outside the state section are carried too; they are not
    /// unless said so.
    #[must_use]
    pub fn untagged_bss(mut self, carried: bool) -> Self {
        self.options.untagged_bss = carried;
        self
    }

    /// Whether they start fresh all the same in a build that registers destructors (it imports
    /// `__cxa_atexit`) or has functions of its own for its end (`-fno-use-cxa-atexit`, C's
    /// `__attribute__((destructor))`): objects lie there that those destroy, and their content is
    /// not carried behind their backs. They do not unless said so.
    #[must_use]
    pub fn fresh_objects(mut self, fresh: bool) -> Self {
        self.options.fresh_objects = fresh;
        self
    }

    /// Whether the policies that compare sections, once they accept a build, carry each variable by
    /// its name as [`StatePolicy::BySymbol`] does; they do not unless said so. Zero-initialised
    /// variables that are carried are compared then too.
    #[must_use]
    pub fn carried_by_name(mut self, by_name: bool) -> Self {
        self.options.by_name = by_name;
        self
    }

    /// Whether a build is refused where it, or the version that runs, has no section headers, so
    /// that its state cannot be found, or no names of variables (stripped) and state of another
    /// size. Under [`StatePolicy::BySymbol`] it is not unless said so: the state is lost, and the
    /// report says so. With this, the state of a stripped build is carried as a whole, also between
    /// it and one that has names.
    #[must_use]
    pub fn refuse_hidden_state(mut self, refuse: bool) -> Self {
        self.options.refuse_hidden = refuse;
        self
    }

    /// Which version takes over when one fails.
    #[must_use]
    pub fn retreat(mut self, retreat: Retreat) -> Self {
        self.options.retreat = retreat;
        self
    }

    /// How many bytes of heap memory that hangs on the state are searched for pointers into old
    /// images; 64 MiB unless said otherwise.
    ///
    /// An old image is unmapped only when the search came to its end, except with 0, which turns
    /// the search off.
    #[must_use]
    pub fn search_limit(mut self, bytes: usize) -> Self {
        self.options.search_limit = bytes;
        self
    }

    /// How a new build is noticed.
    #[must_use]
    pub fn watch(mut self, watch: Watch) -> Self {
        self.options.watch = watch;
        self
    }

    /// Whether a library that the guest needs, or another that it needs, and that lies in the
    /// guest's directory, makes a new build of the guest when it is built again; it does unless said
    /// otherwise.
    ///
    /// The version that is loaded then gets a copy of it, and of those there that need it, with
    /// their variables as they start. One
    /// that was in the process before the guest is the host's, and is never exchanged.
    #[must_use]
    pub fn watch_dependencies(mut self, watch: bool) -> Self {
        self.options.watch_dependencies = watch;
        self
    }

    /// How long one call into the guest may take; what takes longer is a fault. Unlimited unless
    /// said otherwise.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// Whether a build that failed is loaded again although its bytes are the same, as cr does; it
    /// is not unless said so.
    #[must_use]
    pub fn retry_known_bad(mut self, retry: bool) -> Self {
        self.options.retry_known_bad = retry;
        self
    }

    /// Whether the file may be missing for now; it may not unless said so.
    #[must_use]
    pub fn may_be_missing(mut self, may: bool) -> Self {
        self.options.may_be_missing = may;
        self
    }

    /// Calls `callback` with everything that happens: before an unload, after a load, on a fault, a
    /// rollback, a refusal.
    ///
    /// It is called on the thread that steps the plugin, in between the calls into the guest, never
    /// inside one.
    #[must_use]
    pub fn on_event(mut self, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.on_event = Some(Box::new(callback));
        self
    }

    /// Opens the plugin. Its first build is loaded by the first step.
    ///
    /// # Errors
    /// When the file is missing (see [`Builder::may_be_missing`]), is no regular file or may not be
    /// read, when the private directory cannot be made, or when the fault handlers cannot be
    /// installed. A file that is no loadable image is no error: it is refused with an [`Event`],
    /// and the fixed build is loaded when it is there.
    pub fn open(self) -> Result<Plugin, Error> {
        Plugin::open(self)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("path", &self.path).field("options", &self.options).finish()
    }
}
