//! What a plugin tells its host.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crash_guard::Fault;

use crate::contract::FailureCode;
use crate::state::StateReport;

/// Something happened to a plugin; given to the callback of
/// [`Builder::on_event`](crate::Builder::on_event).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The running version is about to be told to unload.
    BeforeUnload {
        /// The version that leaves.
        version: u32,
    },
    /// A version runs where none did before.
    Loaded {
        /// The version.
        version: u32,
        /// From the start of the check to the return of its load call.
        took: Duration,
        /// Whether the loader's own list has each version that is loaded, once; `None` if the list
        /// cannot be read here.
        modules_verified: Option<bool>,
    },
    /// A new version took over.
    Reloaded {
        /// The new version.
        version: u32,
        /// The version it took over from.
        from: u32,
        /// From the start of the check to the return of its load call.
        took: Duration,
        /// What became of the state.
        state: StateReport,
        /// Whether the loader's own list has each version that is loaded, once; `None` if the list
        /// cannot be read here.
        modules_verified: Option<bool>,
    },
    /// A build was not loaded; what ran before runs on untouched.
    Refused(Refusal),
    /// A version failed.
    Fault(Failure),
    /// A version that was left before runs again, with the state it was left with.
    ///
    /// That is its variables. What they point to on the heap is as the version that was left has
    /// left it.
    RolledBack {
        /// The version that runs again, at once or with the next step.
        version: u32,
        /// The version that was left.
        from: u32,
    },
    /// An old version was given up.
    Retired {
        /// The version.
        version: u32,
        /// Whether its image is gone from memory, or why not.
        memory: Memory,
    },
    /// The private copies lie beside the library from now on: the host has named no directory for
    /// them, and they cannot lie in the system's for temporary files, or not be loaded from there.
    CopiesMoved {
        /// The directory that theirs is made in.
        directory: PathBuf,
        /// Why.
        reason: String,
    },
    /// The plugin was closed.
    Closed {
        /// The version that ran last.
        version: Option<u32>,
        /// How many steps its versions made altogether.
        steps: u64,
    },
}

/// A build that was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number that the build would have had.
    pub version: u32,
    /// What sort of refusal it is.
    pub kind: RefusalKind,
    /// What is wrong, with the cure where there is one.
    pub reason: String,
}

/// Why a build was not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The image can never be loaded.
    BadImage,
    /// The image is not whole, and has not changed for a while; it is waited for all the same.
    Incomplete,
    /// The dynamic loader refused it: a library or a symbol is missing.
    Loader,
    /// The state policy does not allow it.
    State,
    /// It is the build that failed before, byte by byte.
    KnownBad,
    /// The private copy could not be made.
    Staging,
}

/// A version that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The version.
    pub version: u32,
    /// What it was doing.
    pub during: During,
    /// What happened.
    pub cause: Cause,
    /// Where in the guest's own code it happened, where that can be told.
    pub place: Option<Place>,
}

impl Failure {
    /// The failure as the guest contract numbers it.
    pub fn code(&self) -> FailureCode {
        match &self.cause {
            Cause::Fault(fault) => FailureCode::of_fault(fault.kind, fault.signal),
            Cause::Returned(_) => FailureCode::USER,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}: {}: ", self.version, self.during)?;
        match &self.cause {
            Cause::Fault(fault) => write!(f, "{fault}")?,
            Cause::Returned(value) => write!(f, "the guest returned {value}")?,
        }
        match &self.place {
            Some(place) => write!(f, ", {place}"),
            None => Ok(()),
        }
    }
}

/// What happened to a version that failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// It faulted: a signal, an exception, a deadline that passed.
    Fault(Box<Fault>),
    /// It returned a negative number.
    Returned(i32),
}

/// What a version was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum During {
    /// The dynamic loader was mapping it or its dependencies.
    Open,
    /// Its constructors ran.
    Constructor,
    /// Its entry function, for `CR_LOAD`.
    Load,
    /// Its entry function, for `CR_STEP`.
    Step,
    /// Its entry function, for `CR_UNLOAD`.
    Unload,
    /// Its entry function, for `CR_CLOSE`.
    Close,
    /// Its destructors ran.
    Destructor,
}

impl During {
    /// The word for it in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Constructor => "constructor",
            Self::Load => "load",
            Self::Step => "step",
            Self::Unload => "unload",
            Self::Close => "close",
            Self::Destructor => "destructor",
        }
    }
}

impl fmt::Display for During {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<crate::Operation> for During {
    fn from(operation: crate::Operation) -> Self {
        match operation {
            crate::Operation::Load => Self::Load,
            crate::Operation::Step => Self::Step,
            crate::Operation::Unload => Self::Unload,
            crate::Operation::Close => Self::Close,
        }
    }
}

/// A place in the guest's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address in the process.
    pub address: usize,
    /// The function, demangled.
    pub function: Option<String>,
    /// The source file, as the compiler recorded it.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => write!(f, "in {function}")?,
            None => write!(f, "at {:#x}", self.address)?,
        }
        if let Some(file) = &self.file {
            write!(f, " ({file}")?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// What became of the image of a version that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Memory {
    /// It is unmapped, and that was verified.
    Unmapped,
    /// A thread is executing in it, or may be; tried again later.
    ThreadInside {
        /// The thread's identifier.
        thread: u32,
    },
    /// Pointers that survive lead into it and could not be translated; tried again later.
    Referenced {
        /// Where they lie and where they lead, a few of them.
        by: Vec<String>,
    },
    /// More memory hangs on the state than the search for such pointers may look at.
    NotSearched,
    /// Destructors of `thread_local` variables of other threads are still to run in it.
    ThreadLocals,
    /// It handles a signal; tried again later.
    SignalHandler {
        /// The signal's number.
        signal: i32,
    },
    /// The loader keeps it, presumably for a library that has bound to these: the build has them as
    /// unique symbols.
    UniqueSymbols(Vec<String>),
    /// The loader keeps it for a reason that is not known, such as a handle somebody holds.
    Held,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmapped => f.write_str("unmapped"),
            Self::ThreadInside { thread } => {
                write!(f, "stays mapped: thread {thread} executes in it or may do so")
            }
            Self::Referenced { by } => {
                write!(f, "stays mapped: untranslated pointers: {}", by.join("; "))
            }
            Self::NotSearched => f.write_str(
                "stays mapped: more memory hangs on the state than the pointer search may look at \
                 (raise the search limit)",
            ),
            Self::ThreadLocals => f.write_str(
                "stays mapped: thread_local variables of other threads still have destructors in it",
            ),
            Self::SignalHandler { signal } => {
                write!(f, "stays mapped: its handler for signal {signal} is still installed")
            }
            Self::UniqueSymbols(names) => write!(
                f,
                "stays mapped: unique symbols (build with -fno-gnu-unique): {}",
                names.join(", ")
            ),
            Self::Held => f.write_str("stays mapped: somebody holds a handle of it"),
        }
    }
}
