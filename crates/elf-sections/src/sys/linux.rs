//! Linux: the loader's list of images in this process; what is mapped here and elsewhere.

#![allow(unsafe_code, reason = "reads the loader's own structures, which are given as pointers")]

mod maps;
mod process;

use std::ffi::{CStr, OsStr, OsString, c_int, c_void};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr;

pub(super) use self::maps::mappings;
pub(super) use self::process::modules_of;
use super::module::{Generation, Module, ModuleSegment};
use crate::layout::Layout;
use crate::note::{Note, NoteEntries};
use crate::{Class, Endian, Permissions, SegmentKind};

/// Every image of the caller's namespace, and the generation of this very list.
pub(super) fn modules() -> (Vec<Module>, Generation) {
    let mut modules = Vec::new();
    let mut generation = Generation { loaded: 0, unloaded: 0 };
    each_module(&mut |info| {
        generation = Generation { loaded: info.dlpi_adds, unloaded: info.dlpi_subs };
        modules.push(module(info));
        Walk::On
    });
    (modules, generation)
}

/// # Safety
///
/// `handle` was returned by `dlopen` or `dlmopen` and has not been closed.
pub(super) unsafe fn module_by_handle(handle: *mut c_void) -> Option<Module> {
    let mut map: *const LinkMap = ptr::null();
    // SAFETY: the caller promises an open handle, and for RTLD_DI_LINKMAP the loader writes one
    // pointer to where the last argument points.
    let failed = unsafe { libc::dlinfo(handle, RTLD_DI_LINKMAP, (&raw mut map).cast()) };
    if failed != 0 || map.is_null() {
        return None;
    }
    // SAFETY: an open handle's link map is not freed, and its first members are the public ones.
    let dynamic = unsafe { (*map).dynamic } as usize;
    // The bias may be 0 for several images, the dynamic table is every image's own.
    let mut found = None;
    each_module(&mut |info| {
        let candidate = module(info);
        let is_it = candidate
            .segments
            .iter()
            .any(|it| it.kind == SegmentKind::DYNAMIC && it.range.start == dynamic);
        if is_it {
            found = Some(candidate);
            return Walk::Stop;
        }
        Walk::On
    });
    found
}

pub(super) fn generation() -> Generation {
    let mut generation = Generation { loaded: 0, unloaded: 0 };
    each_module(&mut |info| {
        generation = Generation { loaded: info.dlpi_adds, unloaded: info.dlpi_subs };
        Walk::Stop
    });
    generation
}

/// Whether a path leads to the file of this device and inode.
pub(super) fn is_file(path: &Path, device: u64, inode: u64) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.dev() == device && file.ino() == inode)
}

/// Opens a file for reading without waiting for a writer, should it be a pipe by now.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// The members of the loader's `struct link_map` that it documents.
#[repr(C)]
struct LinkMap {
    bias: usize,
    name: *const libc::c_char,
    dynamic: *const c_void,
}

/// `RTLD_DI_LINKMAP` of `<dlfcn.h>`.
const RTLD_DI_LINKMAP: c_int = 2;

#[derive(PartialEq, Eq)]
enum Walk {
    On,
    Stop,
}

/// Calls `visit` for every image, under the loader's lock: it must not load or unload one.
fn each_module(visit: &mut dyn FnMut(&libc::dl_phdr_info) -> Walk) {
    type Visit<'a> = &'a mut dyn FnMut(&libc::dl_phdr_info) -> Walk;

    /// # Safety
    ///
    /// `info` is valid for reading, and `visit` points to a `Visit` that nobody else uses.
    unsafe extern "C" fn call(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        visit: *mut c_void,
    ) -> c_int {
        // SAFETY: `each_module` passes a pointer to its own parameter, which outlives the walk.
        let visit = unsafe { &mut *visit.cast::<Visit<'_>>() };
        // SAFETY: the loader passes a structure of its own that is valid during the call.
        let info = unsafe { &*info };
        c_int::from(visit(info) == Walk::Stop)
    }

    let mut visit: Visit<'_> = visit;
    // SAFETY: `call` gets the pointer that is given here, to a local that lives until the walk
    // ends. The closures of this file do not unwind, and an unwinding one would abort at `call`.
    unsafe { libc::dl_iterate_phdr(Some(call), (&raw mut visit).cast()) };
}

fn module(info: &libc::dl_phdr_info) -> Module {
    let bias = info.dlpi_addr as usize;
    let path = if info.dlpi_name.is_null() {
        OsString::new()
    } else {
        // SAFETY: a name that is not null is a C string that the loader keeps while the image is
        // loaded, and the loader's lock is held.
        let name = unsafe { CStr::from_ptr(info.dlpi_name) };
        OsStr::from_bytes(name.to_bytes()).to_owned()
    };
    let headers = if info.dlpi_phdr.is_null() {
        &[]
    } else {
        // SAFETY: the loader gives the address and number of the image's program headers, which
        // stay mapped while its lock is held.
        unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) }
    };
    let segments = headers
        .iter()
        .map(|header| {
            let start = bias.wrapping_add(header.p_vaddr as usize);
            ModuleSegment {
                kind: SegmentKind(header.p_type),
                permissions: Permissions(header.p_flags),
                range: start..start.saturating_add(header.p_memsz as usize),
            }
        })
        .collect();
    let mut module = Module { bias, path: PathBuf::from(path), segments, build_id: None };
    module.build_id = build_id(&module, headers);
    module
}

/// The build ID from a note that lies in a readable segment.
fn build_id(module: &Module, headers: &[ProgramHeader]) -> Option<Vec<u8>> {
    let class = if size_of::<usize>() == 8 { Class::Elf64 } else { Class::Elf32 };
    let endian = if cfg!(target_endian = "big") { Endian::Big } else { Endian::Little };
    let layout = Layout::new(class, endian);
    module.segments.iter().zip(headers).find_map(|(segment, header)| {
        let is_readable = module.segments.iter().any(|load| {
            load.kind == SegmentKind::LOAD
                && load.permissions.is_readable()
                && load.range.start <= segment.range.start
                && segment.range.end <= load.range.end
        });
        if segment.kind != SegmentKind::NOTE || !is_readable || segment.range.is_empty() {
            return None;
        }
        let start = segment.range.start as *const u8;
        // SAFETY: the range lies inside a readable PT_LOAD of an image that the loader has mapped
        // and, under its lock, will not unmap. Notes are not written to.
        let bytes = unsafe { std::slice::from_raw_parts(start, segment.range.len()) };
        let mut notes = NoteEntries::new(layout, bytes, 0, align(header));
        notes.find(Note::is_build_id).map(|note| note.descriptor.to_vec())
    })
}

fn align(header: &ProgramHeader) -> u64 {
    // Lossless: the field is 32 or 64 bits wide, as the processor's words are.
    header.p_align as usize as u64
}

#[cfg(target_pointer_width = "64")]
type ProgramHeader = libc::Elf64_Phdr;
#[cfg(target_pointer_width = "32")]
type ProgramHeader = libc::Elf32_Phdr;
