//! Platforms whose loader speaks no ELF.

use std::ffi::c_void;
use std::io;

use super::module::{Generation, Mapping, Module};

pub(super) fn modules() -> Vec<Module> {
    Vec::new()
}

#[allow(unsafe_code, reason = "the signature is that of the platforms that use the handle")]
pub(super) unsafe fn module_by_handle(_handle: *mut c_void) -> Option<Module> {
    None
}

pub(super) fn mappings() -> io::Result<Vec<Mapping>> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn generation() -> Generation {
    Generation { loaded: 0, unloaded: 0 }
}
