//! Files that are really written when they seem to be.
#![allow(unsafe_code, reason = "leases, as the library asks for them")]

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes a file and waits until nobody has it open for writing.
///
/// Another test may start a program in between: its child has all open files, ours included, until
/// it runs the program, and a plugin rightly waits for that.
pub fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while is_open_for_writing(path) {
        assert!(Instant::now() < until, "somebody writes {}", path.display());
        std::thread::yield_now();
    }
}

/// As the kernel refuses a read lease then (`fcntl(2)`).
fn is_open_for_writing(path: &Path) -> bool {
    const F_SETSIG: libc::c_int = 10;
    let file = File::open(path).unwrap();
    // SAFETY: `fcntl` on a descriptor that `file` keeps open; these commands take integers.
    unsafe {
        libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG);
        if libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) == 0 {
            libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK);
            return false;
        }
    }
    std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
}
