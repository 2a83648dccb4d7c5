use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Both sides of a new terminal.
pub fn terminal() -> (OwnedFd, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let side = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (terminal, side)
}

/// What was written to a terminal until its other side was closed, which reads as an error.
pub fn all_of(terminal: OwnedFd) -> String {
    let mut terminal = File::from(terminal);
    let mut bytes = Vec::new();
    let mut some = [0; 1024];
    while let Ok(count @ 1..) = terminal.read(&mut some) {
        bytes.extend_from_slice(&some[..count]);
    }
    String::from_utf8(bytes).unwrap()
}
