//! A loaded image.

use std::ffi::{OsString, c_void};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::platform;
use super::remote::FileState;
use crate::{Image, Permissions, Section, SegmentKind};

/// A loaded image, as it was when it was looked up.
///
/// It does not keep the image loaded. What it says stays true for as long as the image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// What the loader added to every address of the image.
    pub bias: usize,
    /// The path by which the loader opened it: empty for the program itself, relative if it was
    /// loaded by a relative path, stale if the file has been renamed.
    pub path: PathBuf,
    /// Its program headers, as they are in memory.
    pub segments: Vec<ModuleSegment>,
    /// Its build ID, from the note in memory.
    pub build_id: Option<Vec<u8>>,
}

impl Module {
    /// From its first mapped byte to its last; empty if nothing is mapped.
    pub fn range(&self) -> Range<usize> {
        let start = self.mapped().map(|range| range.start).min().unwrap_or(0);
        let end = self.mapped().map(|range| range.end).max().unwrap_or(0);
        start..end
    }

    /// The addresses of its segments that are mapped.
    pub fn mapped(&self) -> impl Iterator<Item = Range<usize>> {
        let loads = self.segments.iter().filter(|segment| segment.kind == SegmentKind::LOAD);
        loads.map(|segment| segment.range.clone())
    }

    /// Whether an address is inside one of its mapped segments.
    pub fn contains(&self, address: usize) -> bool {
        self.mapped().any(|range| range.contains(&address))
    }

    /// Which file it was mapped from in this process, whatever its path leads to by now.
    ///
    /// # Errors
    ///
    /// What reading the process's mappings fails with; [`io::ErrorKind::NotFound`] if no file is
    /// mapped there.
    pub fn file_identity(&self) -> io::Result<FileIdentity> {
        let range = self.range();
        platform::mappings()?
            .into_iter()
            .find(|mapping| {
                mapping.identity.inode != 0
                    && mapping.range.start < range.end
                    && range.start < mapping.range.end
            })
            .map(|mapping| mapping.identity)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether it was mapped from the file of this device and inode, as `stat` gives them.
    ///
    /// # Errors
    ///
    /// As [`file_identity`](Module::file_identity).
    pub fn is_file(&self, device: u64, inode: u64) -> io::Result<bool> {
        let identity = self.file_identity()?;
        Ok(identity.device == device && identity.inode == inode)
    }

    /// What has become of the file that it was mapped from.
    ///
    /// # Errors
    ///
    /// As [`file_identity`](Module::file_identity), and what reading the file now at its path
    /// fails with.
    pub fn file_state(&self) -> io::Result<FileState> {
        FileState::of(self, &self.file_identity()?, Path::new("/"))
    }

    /// Whether `image` has this module's bytes: by build ID if both have one, else by the
    /// addresses and sizes of all segments, the image's whole layout.
    ///
    /// Two builds without a build ID may agree in layout. Where the image was read from a file,
    /// comparing [`file_identity`](Module::file_identity) with the file's is proof.
    pub fn matches(&self, image: &Image<'_>) -> bool {
        if let (Some(loaded), Some(stored)) = (&self.build_id, image.build_id()) {
            return loaded == stored;
        }
        self.segments.len() == image.segments().len()
            && self.segments.iter().zip(image.segments()).all(|(loaded, stored)| {
                let start = self.bias.wrapping_add(stored.address as usize);
                loaded.kind == stored.kind
                    && loaded.permissions == stored.permissions
                    && loaded.range.start == start
                    && loaded.range.len() as u64 == stored.memory_size
            })
    }

    /// Where an address of its image is in memory.
    pub fn address(&self, address: u64) -> usize {
        // Addresses of a module's image have the process's word size.
        self.bias.wrapping_add(address as usize)
    }
}

/// A program header of a loaded image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSegment {
    /// What it is about.
    pub kind: SegmentKind,
    /// What may be done with it, before the loader makes parts of it read-only.
    pub permissions: Permissions,
    /// Its addresses, the bias included.
    pub range: Range<usize>,
}

/// Which file a module was mapped from.
///
/// Overlay file systems and btrfs may name another device here than `stat` does. Where that
/// matters, compare with the identity of a mapping of the file in question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The device, as `stat` gives it.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// The path, as the kernel knows it now.
    pub path: OsString,
    /// Whether the file has no name any more.
    pub is_deleted: bool,
}

/// How many images the loader has loaded and unloaded since the process started.
///
/// Equal generations mean that nothing was loaded or unloaded in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation {
    /// `dlpi_adds`.
    pub loaded: u64,
    /// `dlpi_subs`.
    pub unloaded: u64,
}

/// A mapping, mostly of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) range: Range<usize>,
    /// The offset in the file that it starts at.
    pub(super) offset: u64,
    pub(super) is_executable: bool,
    pub(super) identity: FileIdentity,
}

/// Every image that is loaded in the caller's namespace, in the loader's order; the program comes
/// first.
pub fn modules() -> Vec<Module> {
    platform::modules().0
}

/// The image that has an address in one of its mapped segments.
pub fn module_of_address(address: usize) -> Option<Module> {
    modules().into_iter().find(|module| module.contains(address))
}

/// The image that `dlopen` returned a handle for, if it is in the caller's own namespace.
///
/// # Safety
///
/// `handle` was returned by `dlopen` or `dlmopen` and has not been closed. The image stays loaded
/// until the call returns.
#[allow(unsafe_code, reason = "passes the caller's promise on to the platform")]
pub unsafe fn module_by_handle(handle: *mut c_void) -> Option<Module> {
    // SAFETY: the caller promises exactly what the platform's function asks for.
    unsafe { platform::module_by_handle(handle) }
}

/// Where a section of a module's image is in memory: the bias plus the section's address.
///
/// The section must be of the module's own image, see [`Module::matches`], and
/// [addressable](Section::is_addressable).
pub fn locate(module: &Module, section: &Section<'_>) -> Range<usize> {
    let range = section.range();
    module.address(range.start)..module.address(range.end)
}

/// Whether any file is still mapped somewhere in a range of addresses.
///
/// # Errors
///
/// What reading the process's mappings fails with.
pub fn is_mapped(range: Range<usize>) -> io::Result<bool> {
    Ok(platform::mappings()?
        .iter()
        .any(|mapping| mapping.range.start < range.end && range.start < mapping.range.end))
}

/// Where a file is still mapped, known by its device and inode; empty if nowhere.
///
/// # Errors
///
/// What reading the process's mappings fails with.
pub fn mappings_of(device: u64, inode: u64) -> io::Result<Vec<Range<usize>>> {
    Ok(platform::mappings()?
        .into_iter()
        .filter(|mapping| mapping.identity.device == device && mapping.identity.inode == inode)
        .map(|mapping| mapping.range)
        .collect())
}

/// How often the loader has changed the list of images. Costs some 30 ns.
pub fn generation() -> Generation {
    platform::generation()
}
