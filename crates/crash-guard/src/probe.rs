//! Accesses to memory that may not be there, without a guard.
//!
//! The access is a single known instruction, so that the handler can resume behind it and
//! nothing is abandoned: a miss costs a signal, a hit a few nanoseconds. Addresses are plain
//! numbers here.
//!
//! Without [`install`](crate::install) the kernel copies instead, which is slower; where it
//! refuses, as under some emulators, and on platforms without guards, nothing is readable.
//!
//! ```
//! use crash_guard::probe;
//!
//! let _installed = crash_guard::install(crash_guard::Config::new())?;
//! let number = 7usize;
//! assert_eq!(probe::read(&raw const number as usize), Some(7));
//! assert_eq!(probe::read(8), None);
//! # Ok::<(), crash_guard::Error>(())
//! ```

use crate::sys;

/// Reads the word at an address, which need not be aligned; nothing if it is not all readable.
///
/// What another thread is writing at that moment may be read half.
#[inline]
#[must_use]
pub fn read(address: usize) -> Option<usize> {
    sys::load(address)
}

/// Copies memory into `into` and says how many bytes there were before the first unreadable one.
#[must_use]
pub fn copy(address: usize, into: &mut [u8]) -> usize {
    sys::copy_in(address, into)
}

/// Writes `from` to an address and says how many bytes could be written before the first that
/// could not.
///
/// # Safety
///
/// The bytes there, as far as they are mapped and writable, must be the caller's to overwrite:
/// no reference may cover them, and nothing may depend on what they were.
#[allow(unsafe_code, reason = "forwards to sys")]
#[must_use]
pub unsafe fn write(address: usize, from: &[u8]) -> usize {
    // SAFETY: the caller's promise is the one `copy_out` asks for.
    unsafe { sys::copy_out(address, from) }
}

/// Whether `length` bytes can be read from an address on. Every page is touched once.
#[must_use]
pub fn readable(address: usize, length: usize) -> bool {
    let Some(last) = length.checked_sub(1) else { return true };
    let Some(last) = address.checked_add(last) else { return false };
    let mut byte = [0];
    let mut position = address;
    loop {
        if sys::copy_in(position, &mut byte) == 0 {
            return false;
        }
        match (position | (SMALLEST_PAGE - 1)).checked_add(1) {
            Some(next) if next <= last => position = next,
            _ => return true,
        }
    }
}

const SMALLEST_PAGE: usize = 4096;
