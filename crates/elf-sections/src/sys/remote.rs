//! Images in another process, and whether the files of images are still the ones that were loaded.

use std::io;
use std::path::{Path, PathBuf};

use super::module::{FileIdentity, Module};
use super::platform;
use crate::Source;

/// An image that is loaded in another process, as it was when it was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteModule {
    /// The process.
    pub process: u32,
    /// Where it is there. Its path is the kernel's for the file; `[vdso]` for the image that the
    /// kernel itself provides.
    pub module: Module,
    /// Which file it was mapped from; `None` for the kernel's own.
    pub file: Option<FileIdentity>,
}

impl RemoteModule {
    /// What has become of its file, as the other process would find it by its path.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if it was mapped from no file; what reading the file now at its
    /// path fails with.
    pub fn file_state(&self) -> io::Result<FileState> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        // The process may see other files than we do.
        FileState::of(&self.module, file, &PathBuf::from(format!("/proc/{}/root", self.process)))
    }
}

/// The images of another process, by ascending addresses.
///
/// Found by what the kernel lists as mapped, and by the headers in the process's memory, so that
/// it does not matter which loader the process has, or whether it has finished starting. A file
/// that is only read through a mapping is not among them.
///
/// The process is not stopped: of an image that is just being loaded or unloaded, some segments
/// may be missing.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] if there is no such process, [`io::ErrorKind::PermissionDenied`]
/// if the system does not let the caller read its memory (it asks for as much as a debugger does:
/// the same user and, where Yama restricts it, a parent process), and
/// [`io::ErrorKind::Unsupported`] where processes are not made of ELF images.
pub fn modules_of(process: u32) -> io::Result<Vec<RemoteModule>> {
    platform::modules_of(process)
}

/// What has become of the file that an image was mapped from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileState {
    /// Whether the file that was mapped has lost the name it had, by being deleted or replaced.
    pub is_deleted: bool,
    /// Whether there is a file of the name now.
    pub is_there: bool,
    /// Whether that is the file that was mapped, by device and inode.
    pub is_same_file: bool,
    /// Whether that is the same build: see [`Module::matches`]. `None` if there is no file of the
    /// name now, or it is no image.
    pub is_same_build: Option<bool>,
}

impl FileState {
    /// Whether the file now at the path is the one that was mapped, and has not been written to:
    /// whether its section headers and symbols are those of the image in memory.
    pub fn is_unchanged(&self) -> bool {
        self.is_same_file && self.is_same_build == Some(true)
    }

    pub(super) fn of(module: &Module, file: &FileIdentity, root: &Path) -> io::Result<FileState> {
        let beneath_root = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let path = beneath_root(Path::new(&file.path));
        // A file's name may end as the kernel marks those that are deleted.
        let mut marked = path.clone().into_os_string();
        marked.push(" (deleted)");
        let is_file = |path: &Path| platform::is_file(path, file.device, file.inode);
        let (path, is_deleted) = match file.is_deleted {
            true if is_file(Path::new(&marked)) => (PathBuf::from(marked), false),
            is_deleted => (path, is_deleted),
        };
        let opened = match platform::open(&path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (is_there, is_same_file) = (false, false);
                return Ok(FileState { is_deleted, is_there, is_same_file, is_same_build: None });
            }
            Err(error) => return Err(error),
        };
        let is_there = true;
        if !opened.metadata()?.is_file() {
            let (is_same_file, is_same_build) = (false, None);
            return Ok(FileState { is_deleted, is_there, is_same_file, is_same_build });
        }
        let source = Source::new(opened)?;
        let is_same_build = source.image().ok().map(|image| module.matches(&image));
        let is_same_file = !is_deleted && is_file(&path);
        Ok(FileState { is_deleted, is_there, is_same_file, is_same_build })
    }
}
