//! POSIX.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use tempfile::NamedTempFile;

pub fn on_stop(stopping: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset and sets it, the second finds it
        // set.
        flag::register_conditional_default(signal, Arc::clone(&stopped))?;
        flag::register(signal, Arc::clone(&stopped))?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        if signals.forever().next().is_some() {
            stopping();
        }
    })?;
    Ok(())
}

pub fn take_stdout() -> io::Result<File> {
    let own = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(File::from(own))
}

pub fn reader_is_gone(output: impl AsFd) -> bool {
    // Errors and hang-ups are reported unasked.
    let mut descriptor = [PollFd::new(&output, PollFlags::empty())];
    matches!(poll(&mut descriptor, Some(&Timespec::default())), Ok(1..))
        && descriptor[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

pub fn wait_while_read(source: impl AsFd, output: impl AsFd) -> io::Result<()> {
    let mut descriptors =
        [PollFd::new(&source, PollFlags::IN), PollFd::new(&output, PollFlags::empty())];
    match poll(&mut descriptors, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub fn new_file(directory: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(directory)
}
