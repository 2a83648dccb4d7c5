//! Platforms whose loader speaks no ELF.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::path::Path;

use super::module::{Generation, Mapping, Module};
use super::remote::RemoteModule;

pub(super) fn modules() -> (Vec<Module>, Generation) {
    (Vec::new(), generation())
}

pub(super) fn modules_of(_process: u32) -> io::Result<Vec<RemoteModule>> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn is_file(_path: &Path, _device: u64, _inode: u64) -> bool {
    false
}

pub(super) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
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
