//! Whether this process has loaded anything since.

use crate::error::{LocateError, ProcessError};
use crate::locate::{Location, Rendezvous};
use crate::sys::{self, Process};

/// How many images this process has loaded and unloaded since it began, as its loader counts.
///
/// ```
/// use rendezvous::Generation;
///
/// let before = Generation::current();
/// // … whatever may load a library …
/// if Generation::current() != before {
///     println!("something was loaded or unloaded");
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Generation {
    /// `dlpi_adds`: how many images were loaded.
    pub loaded: u64,
    /// `dlpi_subs`: how many were unloaded.
    pub unloaded: u64,
}

impl Generation {
    /// What the loader says now. It is asked for no image but the first, which takes some tens of
    /// nanoseconds, however many there are.
    ///
    /// # Platform-specific behaviour
    ///
    /// Loaders that do not count, and systems without such a loader, always say 0.
    pub fn current() -> Generation {
        sys::generation()
    }
}

impl Rendezvous {
    /// The lists of this process. They are read as those of any other: with [`Process::own`].
    ///
    /// # Errors
    ///
    /// If the kernel keeps `/proc` from it, or there are none.
    pub fn current() -> Result<Rendezvous, ProcessError> {
        match Process::own()?.locate()? {
            Location::Found(rendezvous) => Ok(rendezvous),
            // Who asks has been loaded, if by anybody.
            Location::NotYet { .. } => Err(LocateError::NoList.into()),
        }
    }
}
