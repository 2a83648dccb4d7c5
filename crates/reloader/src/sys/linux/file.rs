//! Files: their identity, their locks, whether somebody still writes them.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What tells one build from the next: device, inode, size, times of modification and of change, in
/// nanoseconds.
pub(crate) fn identity(metadata: &Metadata) -> [u64; 7] {
    [
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime() as u64,
        metadata.mtime_nsec() as u64,
        metadata.ctime() as u64,
        metadata.ctime_nsec() as u64,
    ]
}

/// `fcntl`'s command that chooses the signal of a lease (fcntl.h of Linux); libc lacks it.
const F_SETSIG: libc::c_int = 10;

/// Whether a process still has the file open for writing; `None` where the system does not tell.
///
/// The kernel grants a read lease only on a file that nobody has open, or mapped, for writing
/// (`fcntl(2)`, "Leases"). Somebody who opens it during the few microseconds of the lease is
/// delayed until it is given back, and the notice of that, a signal, is directed to SIGURG, which
/// is ignored by default.
pub(crate) fn being_written(file: &File) -> Option<bool> {
    is_leased(file, libc::F_RDLCK).map(|leased| !leased)
}

/// Whether anybody, this process included, has the file open once more or mapped, or that cannot be
/// told.
pub(crate) fn is_shared(file: &File) -> bool {
    is_leased(file, libc::F_WRLCK) != Some(true)
}

/// Whether the kernel grants a lease of this kind, which is given back at once; `None` where it
/// grants none at all.
fn is_leased(file: &File, kind: libc::c_int) -> Option<bool> {
    let descriptor = file.as_raw_fd();
    // SAFETY: `fcntl` on a descriptor that `file` keeps open; these commands take integers.
    let lease = unsafe {
        if libc::fcntl(descriptor, F_SETSIG, libc::SIGURG) != 0 {
            return None;
        }
        libc::fcntl(descriptor, libc::F_SETLEASE, kind)
    };
    if lease == 0 {
        // SAFETY: as above.
        unsafe { libc::fcntl(descriptor, libc::F_SETLEASE, libc::F_UNLCK) };
        return Some(true);
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => Some(false),
        _ => None,
    }
}

/// Opens a build for reading; of a pipe no writer is waited for.
pub(crate) fn open_build(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
    }
}

/// Takes the file's lock for as long as the file is open; false where another process has it.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: `flock` on a descriptor that `file` keeps open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}

/// Whether this is a directory, not a link to one, of the user that this process makes files as.
pub(crate) fn is_own_directory(metadata: &Metadata) -> bool {
    // SAFETY: no arguments, cannot fail.
    metadata.is_dir() && metadata.uid() == unsafe { libc::geteuid() }
}

/// Makes what is built readable, writable and searchable for its owner alone.
pub(crate) fn make_private(builder: &mut tempfile::Builder<'_, '_>) {
    builder.permissions(std::fs::Permissions::from_mode(0o700));
}

/// Whether the dynamic loader would not take this path as it stands (`ld.so(8)`, "Dynamic string
/// tokens").
pub(crate) fn has_loader_variable(path: &Path) -> bool {
    let path = path.as_os_str().as_bytes();
    let tokens: [&[u8]; 3] = [b"ORIGIN", b"LIB", b"PLATFORM"];
    path.split(|&byte| byte == b'$').skip(1).any(|rest| {
        let rest = rest.strip_prefix(b"{").unwrap_or(rest);
        tokens.iter().any(|token| rest.starts_with(token))
    })
}

/// A part of a path as the image spells it.
pub(crate) fn file_name(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_owned())
}

/// This process, which a fork changes.
pub(crate) fn process() -> u32 {
    std::process::id()
}

/// Maps a file that nobody else changes: a private copy.
pub(crate) fn map(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: the callers pass a copy in the process's own directory of mode 0700, which is changed
    // only while it is not mapped; it is never truncated.
    unsafe { memmap2::Mmap::map(file) }
}
