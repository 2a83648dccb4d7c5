//! Everything that touches the operating system and the processor. Each platform gives the same
//! functions; which one is compiled is decided here and nowhere else.
#![allow(unsafe_code, reason = "signal handlers, interrupted contexts and the frame in assembly")]

#[cfg(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#[path = "linux/mod.rs"]
mod platform;

#[cfg(not(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
#[path = "unsupported.rs"]
mod platform;

pub(crate) use platform::*;
