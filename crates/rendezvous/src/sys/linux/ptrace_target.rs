//! The target as the keeper sees it through the kernel, without allocating.

#![allow(unsafe_code, reason = "runs on bare system calls")]
#![allow(clippy::arithmetic_side_effects, reason = "the figures are the kernel's and small")]

use std::ffi::CStr;
use std::fmt::Write;

use libc::{c_int, pid_t};

use super::ptrace_message::{Spot, Spots};
use super::ptrace_registers::{TRAP, Text, errno};

/// The memory of a process, open for writing wherever it is mapped.
pub(super) struct Memory(c_int);

impl Memory {
    pub(super) const NONE: Self = Self(-1);

    pub(super) fn of(process: pid_t) -> Self {
        Self(open(format_args!("/proc/{process}/mem"), libc::O_RDWR))
    }

    /// Whether all of it was written.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> bool {
        // SAFETY: the kernel reads as many bytes as there are.
        let written =
            unsafe { libc::pwrite64(self.0, bytes.as_ptr().cast(), bytes.len(), address as i64) };
        written == bytes.len() as isize
    }

    /// Puts the original text back where breakpoints are.
    pub(super) fn write_text_of(&self, spots: &Spots) {
        for spot in spots.iter().filter(|it| it.address != 0) {
            let (text, _) = spot.text.split_at(TRAP.len());
            self.write(spot.address, text);
        }
    }

    /// Whether the text of all spots is there, with or without a breakpoint at the begin of each.
    pub(super) fn has_text_of(&self, spots: &Spots) -> bool {
        spots.iter().all(|it| it.address == 0 || self.is_at(it, spots))
    }

    fn is_at(&self, spot: &Spot, spots: &Spots) -> bool {
        let mut there = Text::default();
        // SAFETY: the kernel writes at most as many bytes as the array has.
        let read = unsafe {
            libc::pread64(self.0, there.as_mut_ptr().cast(), there.len(), spot.address as i64)
        };
        // Another spot may be so near that its breakpoint is in the text of this one.
        let is_trap = |address: u64, byte: u8| {
            spots.iter().any(|it| {
                let within = address.checked_sub(it.address).filter(|_| it.address != 0);
                within.is_some_and(|at| TRAP.get(at as usize) == Some(&byte))
            })
        };
        let mut bytes = (spot.address..).zip(there.into_iter().zip(spot.text));
        read == there.len() as isize
            && bytes.all(|(address, (byte, text))| byte == text || is_trap(address, byte))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the descriptor is this value's own, or no descriptor at all.
        unsafe { libc::close(self.0) };
    }
}

/// Calls `visit` with the number of every thread of a process.
pub(super) fn each_thread(process: pid_t, visit: &mut dyn FnMut(pid_t)) {
    /// Where `struct linux_dirent64` has its length and its name.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let directory = open(format_args!("/proc/{process}/task"), libc::O_RDONLY | libc::O_DIRECTORY);
    let mut entries = [0u8; 2048];
    loop {
        // SAFETY: the kernel writes at most as many bytes as the array has.
        let read = unsafe {
            libc::syscall(libc::SYS_getdents64, directory, entries.as_mut_ptr(), entries.len())
        };
        let Some(mut rest) = usize::try_from(read).ok().and_then(|read| entries.get(..read)) else {
            break;
        };
        if rest.is_empty() {
            break;
        }
        while let Some(&[low, high]) = rest.get(LENGTH..LENGTH + 2) {
            let length = usize::from(u16::from_ne_bytes([low, high]));
            let name = rest.get(NAME..length).unwrap_or_default();
            if let Some(id) = number(name) {
                visit(id);
            }
            rest = rest.get(length.max(1)..).unwrap_or_default();
        }
    }
    // SAFETY: opened above.
    unsafe { libc::close(directory) };
}

/// Whether this process traces a thread or a process.
pub(super) fn is_traced(thread: pid_t) -> bool {
    const NAME: &[u8] = b"\nTracerPid:\t";
    let mut text = [0u8; 1024];
    let text = read(format_args!("/proc/{thread}/status"), &mut text);
    let line = text.windows(NAME.len()).position(|it| it == NAME);
    let digits = line.and_then(|at| text.get(at + NAME.len()..)).unwrap_or_default();
    let tracer = digits.split(|&byte| byte == b'\n').next().and_then(number);
    // SAFETY: `getpid` takes nothing.
    tracer == Some(unsafe { libc::getpid() })
}

/// Whether a thread has ended, though it is still listed, as a leader is until the last of its
/// threads has.
pub(super) fn has_ended(process: pid_t, thread: pid_t) -> bool {
    let mut text = [0u8; 128];
    let text = read(format_args!("/proc/{process}/task/{thread}/stat"), &mut text);
    // `12 (a name) with a bracket) Z …`
    let state = text.iter().rposition(|&byte| byte == b')').and_then(|at| text.get(at + 2));
    matches!(state, None | Some(b'Z' | b'X'))
}

pub(super) fn is_thread_of(process: pid_t, thread: pid_t) -> bool {
    // SAFETY: signal 0 only asks.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, 0) == 0 }
}

/// Whether two processes have the same memory, as far as the kernel says.
pub(super) fn shares_memory(one: pid_t, other: pid_t) -> bool {
    const KCMP_VM: c_int = 1;
    // SAFETY: `kcmp` takes numbers.
    unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_VM, 0, 0) == 0 }
}

/// A request that changes the tracee.
pub(super) fn request(request: libc::c_uint, thread: pid_t, data: usize) -> Result<(), c_int> {
    // SAFETY: the requests that are made through this change the tracee and nothing here.
    match unsafe { libc::ptrace(request as _, thread, 0usize, data) } {
        -1 => Err(errno()),
        _ => Ok(()),
    }
}

/// Whether a SIGTRAP of a breakpoint is on its way to a stopped thread.
pub(super) fn is_trap_pending(thread: pid_t) -> bool {
    let arguments = libc::ptrace_peeksiginfo_args { off: 0, flags: 0, nr: 1 };
    (0..64).any(|at| {
        let arguments = libc::ptrace_peeksiginfo_args { off: at, ..arguments };
        // SAFETY: an all-zero `siginfo_t` is valid; the kernel reads the arguments and writes one.
        unsafe {
            let mut information: libc::siginfo_t = std::mem::zeroed();
            let read = libc::ptrace(
                libc::PTRACE_PEEKSIGINFO as _,
                thread,
                &raw const arguments,
                &raw mut information,
            );
            // Greater than 0: from the kernel itself, not by `kill`.
            read == 1 && information.si_signo == libc::SIGTRAP && information.si_code > 0
        }
    })
}

/// The first bytes of a file; none if it cannot be read.
fn read<'buffer>(path: std::fmt::Arguments<'_>, buffer: &'buffer mut [u8]) -> &'buffer [u8] {
    let file = open(path, libc::O_RDONLY);
    // SAFETY: the kernel writes at most as many bytes as the buffer has; then the descriptor, if
    // there is one, is closed.
    let read = unsafe {
        let read = libc::read(file, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(file);
        read
    };
    usize::try_from(read).ok().and_then(|read| buffer.get(..read)).unwrap_or_default()
}

fn open(path: std::fmt::Arguments<'_>, flags: c_int) -> c_int {
    let mut text = Path([0; 64], 0);
    if text.write_fmt(path).is_err() {
        return -1;
    }
    let Ok(path) = CStr::from_bytes_until_nul(&text.0) else { return -1 };
    // SAFETY: the path is a C string.
    unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) }
}

/// A path without allocation; its last byte stays 0.
struct Path([u8; 64], usize);

impl Write for Path {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.1 + text.len();
        if end >= self.0.len() {
            return Err(std::fmt::Error);
        }
        let Some(room) = self.0.get_mut(self.1..end) else { return Err(std::fmt::Error) };
        room.copy_from_slice(text.as_bytes());
        self.1 = end;
        Ok(())
    }
}

fn number(name: &[u8]) -> Option<pid_t> {
    let digits = name.split(|&byte| byte == 0).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
