//! Which thread executes where.
//!
//! A thread that waits in the kernel shows its program counter and stack pointer in
//! `/proc/self/task/T/syscall` (`proc_pid_syscall(5)`). One that runs is stopped for a moment by a
//! signal. Either way its stack is searched for return addresses, word by word, as far as the
//! mapping goes that it lies in; a stale word can only make an image stay longer.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::{maps, memory};
use crate::words::words;

/// The first other thread of the process that executes inside `range`, or cannot be shown not to.
pub(crate) fn thread_inside(range: &Range<usize>) -> Option<u32> {
    // Its links are itself, its parent and its entries: most processes are through here.
    let alone = std::fs::metadata("/proc/self/task").is_ok_and(|tasks| tasks.nlink() == 3);
    if alone {
        return None;
    }
    // SAFETY: no arguments, cannot fail.
    let own = unsafe { libc::gettid() };
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Some(0) };
    // Read before any thread is stopped: it may be one that holds the allocator's lock.
    let mappings = maps::mappings();
    tasks
        .flatten()
        .filter_map(|task| task.file_name().to_str()?.parse::<libc::pid_t>().ok())
        .filter(|&thread| thread != own)
        .find(|&thread| is_inside(thread, range, &mappings))
        .map(libc::pid_t::unsigned_abs)
}

fn is_inside(thread: libc::pid_t, range: &Range<usize>, mappings: &[Range<usize>]) -> bool {
    match waiting_at(thread) {
        Standing::At { pc, sp } => executes_in(pc, sp, range, mappings),
        Standing::Gone => false,
        Standing::Running => stop_and_look(thread, range, mappings),
    }
}

enum Standing {
    At { pc: usize, sp: usize },
    Running,
    Gone,
}

fn waiting_at(thread: libc::pid_t) -> Standing {
    let text = match std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // No such thread any more, or a kernel without this file.
            let alive = std::path::Path::new(&format!("/proc/self/task/{thread}")).exists();
            return if alive { Standing::Running } else { Standing::Gone };
        }
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Standing::Gone,
        Err(_) => return Standing::Running,
    };
    let mut fields = text.split_ascii_whitespace().rev();
    let mut address = || {
        let field = fields.next()?.strip_prefix("0x")?;
        usize::from_str_radix(field, 16).ok()
    };
    match (address(), address()) {
        (Some(pc), Some(sp)) => Standing::At { pc, sp },
        _ => Standing::Running,
    }
}

/// The farthest that a stack is searched.
const DEEPEST: usize = 64 << 20;

fn executes_in(pc: usize, sp: usize, range: &Range<usize>, mappings: &[Range<usize>]) -> bool {
    if range.contains(&pc) {
        return true;
    }
    let mut page = [0u8; 4096];
    let mut from = sp & !(size_of::<usize>() - 1);
    // Behind the stack there may be an image, which is full of words that lead into itself.
    let end = mappings.iter().find(|mapping| mapping.contains(&sp)).map_or(usize::MAX, |m| m.end);
    let deepest = sp.saturating_add(DEEPEST).min(end);
    while from < deepest {
        let length = page.len() - from % page.len();
        let Some(part) = page.get_mut(..length) else { break };
        if !memory::read_unwatched(from, part) {
            break;
        }
        if words(part).any(|word| range.contains(&word)) {
            return true;
        }
        from += length;
    }
    false
}

/// The one thread that is asked to stop, and what it answers.
static ASKED: AtomicI32 = AtomicI32::new(0);
static STATE: AtomicU32 = AtomicU32::new(FREE);
static PC: AtomicUsize = AtomicUsize::new(0);
static SP: AtomicUsize = AtomicUsize::new(0);
static ASKING: Mutex<()> = Mutex::new(());

const FREE: u32 = 0;
const WANTED: u32 = 1;
const STOPPED: u32 = 2;

/// How long a running thread may take to notice the signal before it counts as inside.
const PATIENCE: Duration = Duration::from_millis(50);

fn stop_and_look(thread: libc::pid_t, range: &Range<usize>, mappings: &[Range<usize>]) -> bool {
    let Some(signal) = stop_signal() else { return true };
    let _asking = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    ASKED.store(thread, Ordering::Relaxed);
    STATE.store(WANTED, Ordering::Release);
    // SAFETY: a signal to a thread of this process, for which a handler is installed for good.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) };
    let until = Instant::now() + PATIENCE;
    let inside = loop {
        if sent != 0 {
            break false;
        }
        if STATE.load(Ordering::Acquire) == STOPPED {
            let (pc, sp) = (PC.load(Ordering::Relaxed), SP.load(Ordering::Relaxed));
            break executes_in(pc, sp, range, mappings);
        }
        if Instant::now() > until {
            break true;
        }
        std::thread::yield_now();
    };
    ASKED.store(0, Ordering::Relaxed);
    STATE.store(FREE, Ordering::Release);
    inside
}

/// A real-time signal that nobody uses, with [`on_stop`] as its handler; it stays installed, for
/// the signal of a thread that was asked in vain may still come.
fn stop_signal() -> Option<c_int> {
    static SIGNAL: OnceLock<Option<c_int>> = OnceLock::new();
    *SIGNAL.get_or_init(|| {
        (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev().find(|&signal| {
            // SAFETY: `sigaction` reads and writes the two structures, of which zero is a valid
            // value.
            unsafe {
                let mut before: libc::sigaction = std::mem::zeroed();
                if libc::sigaction(signal, std::ptr::null(), &raw mut before) != 0
                    || before.sa_sigaction != libc::SIG_DFL
                {
                    return false;
                }
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_stop as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
                libc::sigaction(signal, &raw const action, std::ptr::null_mut()) == 0
            }
        })
    })
}

/// Says where the thread stands and waits until it has been looked at.
///
/// Async-signal-safe: atomics and two system calls.
extern "C" fn on_stop(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: `errno` is the thread's own; the kernel passes a `ucontext_t`.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        let thread = libc::syscall(libc::SYS_gettid);
        if libc::c_long::from(ASKED.load(Ordering::Relaxed)) == thread {
            let (pc, sp) = standing(context.cast());
            PC.store(pc, Ordering::Relaxed);
            SP.store(sp, Ordering::Relaxed);
            let stopped =
                STATE.compare_exchange(WANTED, STOPPED, Ordering::AcqRel, Ordering::Relaxed);
            while stopped.is_ok() && STATE.load(Ordering::Acquire) == STOPPED {
                libc::syscall(libc::SYS_sched_yield);
            }
        }
        *errno = saved;
    }
}

#[cfg(target_arch = "x86_64")]
unsafe fn standing(context: *const libc::ucontext_t) -> (usize, usize) {
    // SAFETY: the caller passes the context of an interrupted thread.
    let registers = unsafe { &(*context).uc_mcontext.gregs };
    (registers[libc::REG_RIP as usize] as usize, registers[libc::REG_RSP as usize] as usize)
}

#[cfg(target_arch = "aarch64")]
unsafe fn standing(context: *const libc::ucontext_t) -> (usize, usize) {
    // SAFETY: the caller passes the context of an interrupted thread.
    let machine = unsafe { &(*context).uc_mcontext };
    (machine.pc as usize, machine.sp as usize)
}
