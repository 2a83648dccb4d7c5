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
