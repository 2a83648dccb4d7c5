//! The keeper's own process: what it has left of the watcher's, and how the two talk.

#![allow(unsafe_code, reason = "runs on bare system calls")]
#![allow(clippy::arithmetic_side_effects, reason = "the figures are the kernel's and small")]

use libc::c_int;

use super::ptrace_message::{Message, SIZE};
use super::ptrace_registers::{Text, errno};

/// Leaves everything of the watcher's behind but the two descriptors, and gives one that is ready
/// when a thread has stopped.
pub(super) fn settle(socket: c_int, watcher: c_int) -> c_int {
    // SAFETY: system calls on this process's own descriptors, signals and session, with pointers
    // to locals of the types that they expect.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
        libc::setsid();
        // Out of the way of 0 and 1 first.
        let socket = libc::fcntl(socket, libc::F_DUPFD, 3);
        let watcher = libc::fcntl(watcher, libc::F_DUPFD, 3);
        libc::dup2(socket, SOCKET);
        libc::dup2(watcher, WATCHER);
        if libc::syscall(libc::SYS_close_range, 2u32, u32::MAX, 0) != 0 {
            for descriptor in 2..0x1_0000 {
                libc::close(descriptor);
            }
        }
        libc::chdir(c"/".as_ptr());
        libc::prctl(libc::PR_SET_NAME, c"rendezvous".as_ptr());
        let mut children: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut children);
        libc::sigaddset(&mut children, libc::SIGCHLD);
        libc::signalfd(-1, &children, libc::SFD_NONBLOCK)
    }
}

/// What the watcher has said.
pub(super) enum Heard {
    Nothing,
    Message(Message),
    /// It is gone, or wants no more.
    TheEnd,
}

pub(super) fn hear() -> Heard {
    let mut bytes = [0; SIZE];
    // SAFETY: the kernel writes at most as many bytes as the array has.
    let received =
        unsafe { libc::recv(SOCKET, bytes.as_mut_ptr().cast(), SIZE, libc::MSG_DONTWAIT) };
    match received {
        -1 if errno() == libc::EAGAIN => Heard::Nothing,
        -1 | 0 => Heard::TheEnd,
        _ => Heard::Message(Message::from_bytes(&bytes)),
    }
}

pub(super) fn say(kind: u64, value: u64) {
    let bytes = Message { kind, value, text: Text::default() }.to_bytes();
    // SAFETY: the kernel reads as many bytes as the array has. If nobody is there to read, the
    // next poll says so.
    unsafe { libc::send(SOCKET, bytes.as_ptr().cast(), SIZE, libc::MSG_NOSIGNAL) };
}

/// Milliseconds of a clock that only goes forward.
pub(super) fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a `timespec` into a local.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

pub(super) const SOCKET: c_int = 0;
pub(super) const WATCHER: c_int = 1;
