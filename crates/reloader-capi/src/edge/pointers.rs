//! What callers point to, as values.

use std::ffi::{CStr, c_char};
use std::path::Path;
use std::ptr;

use crate::abi::Sized;
use crate::status::{Problem, Status};

/// # Safety
/// `text` is null or ends with a NUL, and lives for as long as is needed.
pub(super) unsafe fn text_or_null<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: as the caller promises.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// # Safety
/// As [`text_or_null`].
pub(super) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a CStr, Problem> {
    // SAFETY: as the caller promises.
    unsafe { text_or_null(text) }.ok_or_else(|| null(name))
}

/// The structure that a caller gives, of whatever size it is there.
///
/// # Safety
/// `from` is null or has as many bytes as its first member says.
pub(super) unsafe fn taken_or_empty<T: Sized>(from: *const T) -> Result<T, Problem> {
    let mut taken = T::EMPTY;
    if from.is_null() {
        return Ok(taken);
    }
    // SAFETY: as the caller promises.
    let size = unsafe { size_of_given(from) }?;
    // SAFETY: both have that many bytes; each member is valid with any of them that C can put there.
    unsafe {
        let behind = size.saturating_sub(size_of::<T>());
        let more = std::slice::from_raw_parts(from.add(1).cast::<u8>(), behind);
        if more.iter().any(|&byte| byte != 0) {
            return Err(Problem::argument("the structure asks for what only a newer library has"));
        }
        let known = size.min(size_of::<T>());
        ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut taken).cast::<u8>(), known);
    }
    Ok(taken)
}

/// Writes as much as the caller's structure has room for; its size stays.
///
/// # Safety
/// `to` is null or has as many bytes as its first member says.
pub(super) unsafe fn give<T: Sized>(to: *mut T, value: T, name: &str) -> Result<Status, Problem> {
    if to.is_null() {
        return Err(null(name));
    }
    // SAFETY: as the caller promises; so many bytes may be written.
    unsafe {
        let size = size_of_given(to)?;
        let start = size_of::<usize>();
        let room = size.min(size_of::<T>()).saturating_sub(start);
        let from = (&raw const value).cast::<u8>().add(start);
        ptr::copy_nonoverlapping(from, to.cast::<u8>().add(start), room);
    }
    Ok(Status::Ok)
}

/// The size that a caller's structure says it has.
///
/// # Safety
/// `given` has as many bytes as its first member says.
pub(super) unsafe fn size_of_given<T: Sized>(given: *const T) -> Result<usize, Problem> {
    // SAFETY: the size comes first in each of them.
    let size = unsafe { given.cast::<usize>().read_unaligned() };
    if (size_of::<usize>()..=LARGEST).contains(&size) {
        return Ok(size);
    }
    Err(Problem::argument(format!(
        "the structure says that its size is {size}; it is {} (initialise it with the macro)",
        size_of::<T>()
    )))
}

/// No structure of any version of the header is larger.
const LARGEST: usize = 4096;

#[cold]
#[inline(never)]
pub(super) fn null(name: &str) -> Problem {
    Problem::argument(format!("{name} is null"))
}

#[cfg(unix)]
pub(super) fn path_of(text: &CStr) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(text.to_bytes()))
}

#[cfg(not(unix))]
pub(super) fn path_of(text: &CStr) -> &Path {
    // What is not UTF-8 is no file's name here.
    Path::new(text.to_str().unwrap_or_default())
}
