//! dyld, which calls back for every image: at once for those that are loaded, later for others.
//!
//! The callbacks run on the thread that loads, which may hold locks of the loader. They take the
//! registry's lock, under which nothing calls the loader.
#![allow(unsafe_code, reason = "the loader's interface is C, and its headers are in memory")]

use std::ffi::{CStr, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Once, OnceLock};

use super::{Module, Registry};
use crate::Image;

/// Keeps `registry` in step with the loader. The first one for ever: callbacks cannot be taken
/// back.
pub(super) fn follow(registry: &'static Registry) {
    static START: Once = Once::new();
    START.call_once(|| {
        let _ = FOLLOWED.set(registry);
        // SAFETY: both functions may be called at any time, and the callbacks are never unloaded:
        // the loader keeps an image for ever that has registered one.
        unsafe {
            _dyld_register_func_for_add_image(added);
            _dyld_register_func_for_remove_image(removed);
        }
    });
}

extern "C" fn added(header: *const c_void, slide: isize) {
    let Some(registry) = FOLLOWED.get() else { return };
    // SAFETY: the loader passes the header of an image that it has mapped and keeps mapped until
    // it has called back for its removal.
    let commands = unsafe { commands(header.cast()) };
    if let Some(commands) = commands {
        if let Ok(module) = Module::new(commands, slide.cast_unsigned(), path(header)) {
            registry.add(module);
        }
    }
}

extern "C" fn removed(header: *const c_void, _slide: isize) {
    if let Some(registry) = FOLLOWED.get() {
        registry.remove(header.addr());
    }
}

/// The header of a loaded image and the load commands behind it.
///
/// # Safety
///
/// `header` is that of an image that stays mapped as long as the slice is used.
unsafe fn commands<'a>(header: *const u8) -> Option<&'a [u8]> {
    // SAFETY: a loaded image begins with a page that holds its header, of which this is no more
    // than the smaller class has.
    let start = unsafe { std::slice::from_raw_parts(header, 28) };
    let size = Image::loaded_size(start)?;
    // SAFETY: the loader has read the commands that the header counts from this place, and maps
    // them with the header as one segment.
    Some(unsafe { std::slice::from_raw_parts(header, size) })
}

/// The path that the loader has for an image.
fn path(header: *const c_void) -> PathBuf {
    // SAFETY: all zeros are a valid value for this structure of pointers.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: any address may be asked for, and `info` is writable.
    let found = unsafe { libc::dladdr(header, &mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return PathBuf::new();
    }
    // SAFETY: the loader's string ends in NUL and lives as long as the image, which is not
    // unloaded while its callback runs.
    let path = unsafe { CStr::from_ptr(info.dli_fname) };
    PathBuf::from(OsStr::from_bytes(path.to_bytes()))
}

static FOLLOWED: OnceLock<&'static Registry> = OnceLock::new();

type Callback = extern "C" fn(*const c_void, isize);

unsafe extern "C" {
    fn _dyld_register_func_for_add_image(callback: Callback);
    fn _dyld_register_func_for_remove_image(callback: Callback);
}
