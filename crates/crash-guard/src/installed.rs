use core::ops::Range;

use crate::{Error, sys};

/// Takes the fault signals of the process, so that guarded calls come back with their faults.
///
/// A process can install as often as it likes: the signals of every `Config` are taken, the
/// largest alternate stack counts, and the previous handlers come back when the last
/// [`Installed`] is gone.
///
/// Every thread that opens a guard gets an alternate stack for handlers, and has the fault signals
/// unblocked: the kernel kills a thread that faults while they are blocked.
///
/// The module that contains this code stays loaded from now on, because its handler may be
/// called at any time.
///
/// # Errors
///
/// [`Error::Unsupported`] on a platform without guards; else if a signal cannot be taken, and
/// nothing has changed then.
///
/// # Examples
///
/// ```no_run
/// let installed = crash_guard::install(crash_guard::Config::new())?;
/// // … guarded calls, on any thread …
/// installed.uninstall();
/// # Ok::<(), crash_guard::Error>(())
/// ```
pub fn install(config: Config) -> Result<Installed, Error> {
    sys::install(&config)?;
    Ok(Installed { _private: () })
}

/// What [`install`] takes.
#[derive(Clone, Debug)]
#[must_use]
pub struct Config {
    pub(crate) signals: Option<Vec<i32>>,
    pub(crate) alternate_stack: usize,
}

impl Config {
    /// Every fault signal, and alternate stacks of 64 KiB.
    pub const fn new() -> Self {
        Self { signals: None, alternate_stack: 64 * 1024 }
    }

    /// Takes only these signals, by their numbers on this platform.
    ///
    /// The others stay as they are, and faults that they report are not caught. Without `SIGSEGV`
    /// and `SIGBUS` the functions of [`probe`](crate::probe) are fatal where there is no memory.
    pub fn signals(mut self, signals: impl IntoIterator<Item = i32>) -> Self {
        self.signals = Some(signals.into_iter().collect());
        self
    }

    /// How many bytes the stack has on which a thread's faults are handled, the previous
    /// handlers included. A thread gets it at its first guard, unless it has one of that size;
    /// there is a page below it that faults.
    pub const fn alternate_stack(mut self, bytes: usize) -> Self {
        self.alternate_stack = bytes;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// That guards are installed. When the last one is dropped, the previous handlers come back.
///
/// Calls that are guarded at that moment go on unguarded.
#[derive(Debug)]
#[must_use = "the handlers are given back when this is dropped"]
pub struct Installed {
    _private: (),
}

impl Installed {
    /// Says who handles the signals now. Libraries that install handlers of their own replace
    /// ours, and whether they pass signals on is up to them.
    pub fn verify(&self) -> Verification {
        Verification { signals: sys::check(&(0..0)) }
    }

    /// The same before a library is unmapped from `unloading`: a handler in it is replaced by
    /// ours, and if it was the one before ours it is forgotten. Otherwise the next fault would
    /// jump to where the library was.
    pub fn verify_and_repair(&self, unloading: Range<usize>) -> Verification {
        Verification { signals: sys::check(&unloading) }
    }

    /// Gives the signals back, if this is the last.
    pub fn uninstall(self) {}
}

impl Drop for Installed {
    fn drop(&mut self) {
        sys::uninstall();
    }
}

/// Who handles each signal that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The signals' numbers, the deadlines' included, each with what was found.
    pub signals: Vec<(i32, Disposition)>,
}

impl Verification {
    /// Whether every signal is ours now.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.signals
            .iter()
            .all(|(_, found)| matches!(found, Disposition::Ours | Disposition::Repaired))
    }

    /// What was found for a signal; nothing if it was not taken.
    #[must_use]
    pub fn of(&self, signal: i32) -> Option<Disposition> {
        self.signals.iter().find(|(number, _)| *number == signal).map(|(_, found)| *found)
    }
}

/// Who handles a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// Our handler.
    Ours,
    /// Our handler again: a handler that was about to be unmapped was replaced or forgotten.
    Repaired,
    /// Somebody else's handler, at this address; 0 and 1 stand for none and for ignoring.
    Replaced {
        /// Its address.
        handler: usize,
    },
    /// The operating system did not say.
    Unknown,
}
