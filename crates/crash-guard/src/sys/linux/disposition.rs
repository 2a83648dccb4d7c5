//! The process's signal handlers: ours, those that were there before, and how a signal that is
//! not for us gets to them.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::io;

use libc::{SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_RESTART, SA_SIGINFO, SIG_DFL, SIG_IGN};
use libc::{SIGBUS, SIGSEGV, SIGSYS, SIGTRAP, siginfo_t};

use super::arch::Context;
use super::{arch, deadline, modules};
use crate::{Disposition, Error};

/// Whether guards are installed.
#[inline]
pub(super) fn is_installed() -> bool {
    INSTALLED.load(Ordering::Acquire)
}

pub(super) fn set_installed(installed: bool) {
    INSTALLED.store(installed, Ordering::SeqCst);
}

/// The signals we handle, deadlines apart, as a mask.
pub(super) fn fault_signals() -> u64 {
    FAULT_SIGNALS.load(Ordering::Relaxed)
}

/// The number of signals that are ours, deadlines included.
pub(super) fn ours() -> impl Iterator<Item = c_int> {
    let fault_signals = fault_signals();
    (1..=64)
        .filter(move |signal| fault_signals & bit(*signal) != 0 || *signal == deadline::signal())
}

/// Unblocks our signals on the calling thread.
pub(super) fn unblock_fault_signals() {
    let mut signals = fault_signals();
    if deadline::signal() != 0 {
        signals |= bit(deadline::signal());
    }
    // SAFETY: the kernel reads 8 bytes.
    unsafe { change_mask(libc::SIG_UNBLOCK, signals) };
}

/// Makes our handler the signal's, and keeps what was there before.
///
/// # Errors
///
/// The system call that failed.
pub(super) fn take(signal: c_int, is_fault: bool) -> Result<(), Error> {
    let present = query(signal)?;
    if present.sa_sigaction != arch::handler() {
        // Where our handler can run, it must find its predecessor.
        PREDECESSORS[signal as usize].publish(signal, &present);
        let replaced = exchange(signal, &our_action(present.sa_flags))?;
        if replaced.sa_sigaction != arch::handler() {
            PREDECESSORS[signal as usize].publish(signal, &replaced);
        }
    }
    if is_fault {
        FAULT_SIGNALS.fetch_or(bit(signal), Ordering::Relaxed);
    }
    Ok(())
}

/// Gives every signal back to its predecessor, unless somebody else has taken it meanwhile; they
/// may pass signals on to us, and we go on passing them on.
pub(super) fn give_back_all() {
    for signal in ours() {
        if is_ours(signal) != Some(true) {
            continue;
        }
        if signal == deadline::signal() {
            if deadline::is_any_armed() {
                continue; // its signal's default action would end the process
            }
            // Ignoring a signal discards those that wait to be delivered.
            let _ = exchange(signal, &plain_action(SIG_IGN));
        }
        let _ = exchange(signal, &PREDECESSORS[signal as usize].action());
    }
}

/// Looks at every signal's handler. One that lies in `unloading` is replaced by ours; one before
/// us that does is forgotten.
pub(super) fn check(unloading: &Range<usize>) -> Vec<(c_int, Disposition)> {
    ours().map(|signal| (signal, check_one(signal, unloading))).collect()
}

fn check_one(signal: c_int, unloading: &Range<usize>) -> Disposition {
    let predecessor = &PREDECESSORS[signal as usize];
    let mut forgotten = false;
    if unloading.contains(&predecessor.handler.load(Ordering::Acquire)) {
        predecessor.publish(signal, &plain_action(SIG_DFL));
        forgotten = true;
    }
    let Ok(present) = query(signal) else { return Disposition::Unknown };
    let handler = present.sa_sigaction;
    if handler == arch::handler() {
        return if forgotten { Disposition::Repaired } else { Disposition::Ours };
    }
    if unloading.contains(&handler) && exchange(signal, &our_action(present.sa_flags)).is_ok() {
        return Disposition::Repaired;
    }
    Disposition::Replaced { handler }
}

/// Whether nobody handles a signal.
pub(super) fn is_default(signal: c_int) -> bool {
    query(signal).is_ok_and(|action| action.sa_sigaction == SIG_DFL)
}

/// Does with a signal that is not for us what would happen without us. Called in the handler, and
/// it must not hold anything: the predecessor may not return.
///
/// # Safety
///
/// The arguments must be those of a signal handler that has not returned.
pub(super) unsafe fn pass_on(signal: c_int, information: *mut siginfo_t, context: *mut c_void) {
    let predecessor = &PREDECESSORS[signal as usize];
    let action = predecessor.action();
    // SAFETY: the kernel's arguments are live; the predecessor was the process's handler for
    // this signal and is called as the kernel would call it.
    unsafe {
        let sent = (*information).si_code <= 0;
        match action.sa_sigaction {
            SIG_IGN if sent => {}
            SIG_DFL | SIG_IGN => default_action(signal, information),
            // The handler of Rust's standard library must not be called: it resets the signal
            // and leaves a lock held. It only wants to look at an overflow before the process
            // dies, so it gets its place back and the instruction is executed again.
            _ if predecessor.is_std.load(Ordering::Relaxed) => {
                if sent {
                    default_action(signal, information);
                } else {
                    libc::sigaction(signal, &action, null_mut());
                }
            }
            _ => {
                call(&action, predecessor, signal, information, context);
                // What std's handler of another copy does with a signal that was sent to the
                // process: it resets the signal and expects it to happen again.
                if sent && is_default(signal) {
                    resend(signal, information);
                }
            }
        }
    }
}

unsafe fn call(
    action: &libc::sigaction,
    predecessor: &Predecessor,
    signal: c_int,
    information: *mut siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: see `pass_on`. The mask is what the kernel would have set, and ours again after.
    unsafe {
        let mut mask =
            Context::new(context).mask() | (&raw const action.sa_mask).cast::<u64>().read();
        if action.sa_flags & SA_NODEFER == 0 {
            mask |= bit(signal);
        }
        if action.sa_flags & SA_RESETHAND != 0 {
            predecessor.handler.store(SIG_DFL, Ordering::Release);
            predecessor.is_std.store(false, Ordering::Release);
        }
        let ours = change_mask(libc::SIG_SETMASK, mask);
        if action.sa_flags & SA_SIGINFO != 0 {
            let handler: extern "C-unwind" fn(c_int, *mut siginfo_t, *mut c_void) =
                core::mem::transmute(action.sa_sigaction);
            handler(signal, information, context);
        } else {
            let handler: extern "C-unwind" fn(c_int) = core::mem::transmute(action.sa_sigaction);
            handler(signal);
        }
        change_mask(libc::SIG_SETMASK, ours);
    }
}

/// Sets the default action and lets it happen: a faulting instruction is executed again, so that
/// a core file shows it; a signal that would not come again is sent again as it was.
unsafe fn default_action(signal: c_int, information: *mut siginfo_t) {
    let comes_again = !matches!(signal, SIGTRAP | SIGSYS);
    // SAFETY: `information` is live. The resent signal waits until the handler has returned,
    // because the signal is blocked while its handler runs.
    unsafe {
        libc::sigaction(signal, &plain_action(SIG_DFL), null_mut());
        if (*information).si_code <= 0 || !comes_again {
            resend(signal, information);
        }
    }
}

unsafe fn resend(signal: c_int, information: *mut siginfo_t) {
    // SAFETY: the kernel reads `information`, which is live.
    unsafe {
        let (process, thread) = (libc::getpid(), libc::gettid());
        libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, signal, information);
    }
}

/// What handled a signal before us. Only plain numbers, so that the handler can read them at any
/// time; the handler's address is written last and read first.
struct Predecessor {
    handler: AtomicUsize,
    flags: AtomicI32,
    mask: AtomicU64,
    is_std: AtomicBool,
}

impl Predecessor {
    fn publish(&self, signal: c_int, action: &libc::sigaction) {
        // SAFETY: the kernel's 8-byte mask is the start of the C library's larger one.
        let mask = unsafe { (&raw const action.sa_mask).cast::<u64>().read() };
        self.mask.store(mask, Ordering::Relaxed);
        self.flags.store(action.sa_flags & !SA_RESTORER, Ordering::Relaxed);
        self.is_std.store(is_std_handler(signal, action), Ordering::Relaxed);
        self.handler.store(action.sa_sigaction, Ordering::Release);
    }

    fn action(&self) -> libc::sigaction {
        let mut action = plain_action(self.handler.load(Ordering::Acquire));
        action.sa_flags = self.flags.load(Ordering::Relaxed);
        let mask = self.mask.load(Ordering::Relaxed);
        // SAFETY: the kernel's 8-byte mask is the start of the C library's larger one.
        unsafe { (&raw mut action.sa_mask).cast::<u64>().write(mask) };
        action
    }
}

/// Recognises std's handler for stack overflows by its flags and the module it is in.
fn is_std_handler(signal: c_int, action: &libc::sigaction) -> bool {
    if !matches!(signal, SIGSEGV | SIGBUS)
        || matches!(action.sa_sigaction, SIG_DFL | SIG_IGN)
        || action.sa_flags & !SA_RESTORER != SA_SIGINFO | SA_ONSTACK
    {
        return false;
    }
    let std: fn() -> ! = std::process::abort;
    modules::base(action.sa_sigaction).is_some_and(|base| modules::base(std as usize) == Some(base))
}

fn our_action(flags: c_int) -> libc::sigaction {
    let mut action = plain_action(arch::handler());
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | (flags & SA_RESTART);
    // Nothing else runs on the alternate stack, but a fault in the handler must reach whoever
    // handles it instead of ending the process without a word.
    let mask = !fault_signals_possible();
    // SAFETY: the kernel's 8-byte mask is the start of the C library's larger one.
    unsafe { (&raw mut action.sa_mask).cast::<u64>().write(mask) };
    action
}

fn plain_action(handler: usize) -> libc::sigaction {
    // SAFETY: a sigaction may be all zeros.
    let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action
}

fn fault_signals_possible() -> u64 {
    super::FAULT_SIGNALS.iter().fold(0, |mask, (signal, _)| mask | bit(*signal))
}

fn is_ours(signal: c_int) -> Option<bool> {
    let present = query(signal).ok()?;
    Some(present.sa_sigaction == arch::handler())
}

fn query(signal: c_int) -> Result<libc::sigaction, Error> {
    let mut present = plain_action(SIG_DFL);
    // SAFETY: without a new action the call only writes `present`.
    outcome(unsafe { libc::sigaction(signal, core::ptr::null(), &mut present) })?;
    Ok(present)
}

fn exchange(signal: c_int, action: &libc::sigaction) -> Result<libc::sigaction, Error> {
    let mut replaced = plain_action(SIG_DFL);
    // SAFETY: `action` is either our handler, which is never unloaded, or one that the process
    // had before.
    outcome(unsafe { libc::sigaction(signal, action, &mut replaced) })?;
    Ok(replaced)
}

fn outcome(result: c_int) -> Result<(), Error> {
    if result == 0 {
        return Ok(());
    }
    Err(Error::Os { call: "sigaction", source: io::Error::last_os_error() })
}

/// Changes the calling thread's mask and returns the old one.
unsafe fn change_mask(how: c_int, mask: u64) -> u64 {
    let mut old = 0u64;
    // SAFETY: the kernel reads and writes 8 bytes each.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const mask, &raw mut old, 8usize) };
    old
}

fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

static INSTALLED: AtomicBool = AtomicBool::new(false);
static FAULT_SIGNALS: AtomicU64 = AtomicU64::new(0);
static PREDECESSORS: [Predecessor; 65] = [const {
    Predecessor {
        handler: AtomicUsize::new(SIG_DFL),
        flags: AtomicI32::new(0),
        mask: AtomicU64::new(0),
        is_std: AtomicBool::new(false),
    }
}; 65];

/// The C library's own, which `sigaction` sets again.
const SA_RESTORER: c_int = 0x0400_0000;
