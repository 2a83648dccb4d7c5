//! Processes of the running system.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;

#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(not(target_os = "linux"))]
use unsupported as platform;

pub(crate) use platform::Alarm;
pub(crate) use platform::generation;
pub use platform::{FileMemory, Process, ProcessMappings};

/// What a means has noticed.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "nothing rings where nothing can be watched")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ring {
    /// The target ran through the place so often.
    Ran(u32),
    /// The target is stopped at the place.
    Stopped,
    /// Something may have been missed.
    Unsure,
    /// It runs another program.
    Exec,
    /// It has ended.
    Exit,
    /// Some time has passed.
    Time,
}
