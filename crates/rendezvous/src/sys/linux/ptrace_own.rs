//! The keeper's own process: what it has left of the watcher's, and how the two talk.

#![allow(unsafe_code, reason = "runs on bare system calls")]
#![allow(clippy::arithmetic_side_effects, reason = "the figures are the kernel's and small")]

use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_int, pid_t};

use super::ptrace_message::{Message, SIZE};
use super::ptrace_registers::errno;
use super::ptrace_target::each_thread;

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

/// Runs something while threads that end are buried at once.
///
/// A program whose threads are traced cannot run another one before its tracer has buried them,
/// and whoever attaches to it meanwhile waits until it has: both would wait for ever.
pub(super) fn reaping(target: pid_t, run: impl FnOnce()) {
    static TARGET: AtomicI32 = AtomicI32::new(0);
    extern "C" fn bury(_: c_int) {
        let target = TARGET.load(Ordering::Relaxed);
        // SAFETY: the location of this thread's errno is always valid.
        let errno = unsafe { &mut *libc::__errno_location() };
        let before = *errno;
        each_thread(target, &mut |id| {
            let flags = libc::WEXITED | libc::WNOHANG | libc::__WALL;
            // SAFETY: `waitid` writes into a local. What it would tell of a thread that has not
            // ended, which is told to whoever traces whatever the flags, is left for later.
            unsafe {
                let wait = |flags| {
                    let mut told: libc::siginfo_t = std::mem::zeroed();
                    let done = libc::waitid(libc::P_PID, id as libc::id_t, &mut told, flags);
                    done == 0 && told.si_pid() == id && told.si_code != libc::CLD_TRAPPED
                };
                if id != target && wait(flags | libc::WNOWAIT) {
                    wait(flags);
                }
            }
        });
        *errno = before;
    }
    TARGET.store(target, Ordering::Relaxed);
    // SAFETY: the handler calls only what a handler may, and its signal is masked before and after.
    unsafe {
        let mut children: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut children);
        libc::sigaddset(&mut children, libc::SIGCHLD);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = bury as *const () as usize;
        libc::sigaction(libc::SIGCHLD, &action, std::ptr::null_mut());
        libc::sigprocmask(libc::SIG_UNBLOCK, &children, std::ptr::null_mut());
        run();
        libc::sigprocmask(libc::SIG_BLOCK, &children, std::ptr::null_mut());
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(libc::SIGCHLD, &action, std::ptr::null_mut());
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

/// Whether there was room to say it; it is never waited for.
pub(super) fn say(kind: u64, value: u64) -> bool {
    let bytes = Message::new(kind, value).to_bytes();
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the kernel reads as many bytes as the array has. If nobody is there to read, the
    // next poll says so.
    let sent = unsafe { libc::send(SOCKET, bytes.as_ptr().cast(), SIZE, flags) };
    sent != -1
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
