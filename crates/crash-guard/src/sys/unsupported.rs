//! A platform without guards: `install` fails, and guarded calls are plain calls.

use core::ffi::{c_int, c_void};
use core::ops::Range;

use crate::{Config, Dispatch, Disposition, Entry, Error, Fault, Guard};

pub(crate) const REGISTER_NAMES: &[&str] = &[];

pub(crate) fn signal_name(_: i32) -> Option<&'static str> {
    None
}

pub(crate) fn install(_: &Config) -> Result<(), Error> {
    Err(Error::Unsupported)
}

pub(crate) fn uninstall() {}

pub(crate) fn check(_: &Range<usize>) -> Vec<(i32, Disposition)> {
    Vec::new()
}

pub(crate) fn remember_mask() {}

/// # Safety
///
/// As [`crate::release_loader_lock`].
pub(crate) unsafe fn release_loader_lock() -> usize {
    0
}

/// # Safety
///
/// As [`crate::call_fn`].
pub(crate) unsafe fn call(entry: Entry, argument: *mut c_void) -> Result<(), Fault> {
    // SAFETY: the caller promises that the call is sound as long as it does not fault.
    unsafe { entry(argument) };
    Ok(())
}

/// # Safety
///
/// As [`crate::call_fn`].
pub(crate) unsafe fn call_with(
    _: &Guard,
    entry: Entry,
    argument: *mut c_void,
) -> Result<(), Fault> {
    // SAFETY: as in `call`.
    unsafe { call(entry, argument) }
}

/// # Safety
///
/// As [`crate::call_fn`].
pub(crate) unsafe fn dispatch(
    _: &Guard,
    entry: Dispatch,
    argument: *mut c_void,
    number: c_int,
) -> Result<c_int, Fault> {
    // SAFETY: as in `call`.
    Ok(unsafe { entry(argument, number) })
}

pub(crate) fn barrier<R>(f: impl FnOnce() -> R) -> R {
    f()
}

pub(crate) fn load(_: usize) -> Option<usize> {
    None
}

pub(crate) fn copy_in(_: usize, _: &mut [u8]) -> usize {
    0
}

/// # Safety
///
/// Nothing is written.
pub(crate) unsafe fn copy_out(_: usize, _: &[u8]) -> usize {
    0
}

#[cfg(feature = "symbolize")]
pub(crate) fn modules() -> Vec<crate::symbolize::Module> {
    Vec::new()
}

#[cfg(feature = "symbolize")]
pub(crate) fn exported_symbol(_: usize) -> Option<String> {
    None
}
