//! Which signals are faults, and which faults. Called in the handler.

use core::ffi::c_int;

use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP, siginfo_t};

use super::arch::Context;
use super::probe;
use super::thread::Thread;
use crate::FaultKind;

/// What kind of fault a signal reports; none if it was sent from elsewhere.
pub(super) fn kind(
    signal: c_int,
    information: &siginfo_t,
    interrupted: Context,
    thread: &Thread,
) -> Option<FaultKind> {
    let code = information.si_code;
    if code <= 0 {
        // `raise`, `abort` and `pthread_kill` look alike: tkill from this very process.
        // SAFETY: `si_pid` is valid for a signal that tkill sent; `getpid` returns a number.
        let own = code == libc::SI_TKILL && unsafe { information.si_pid() == libc::getpid() };
        return match signal {
            _ if !own => None,
            SIGABRT => Some(FaultKind::Abort),
            _ => Some(FaultKind::Raised),
        };
    }
    match signal {
        SIGSEGV | SIGBUS if is_overflow(information, interrupted, thread) => {
            Some(FaultKind::StackOverflow)
        }
        SIGSEGV if code == SI_KERNEL => Some(FaultKind::NonCanonical),
        SIGSEGV => Some(FaultKind::Access),
        SIGBUS => Some(FaultKind::Bus),
        SIGILL => Some(FaultKind::Illegal),
        SIGSYS => Some(FaultKind::SystemCall),
        SIGFPE if code == FPE_INTDIV || code == FPE_INTOVF => Some(FaultKind::IntegerDivide),
        SIGFPE => Some(FaultKind::FloatingPoint),
        SIGTRAP => Some(FaultKind::Trap),
        SIGABRT => Some(FaultKind::Abort),
        _ => None,
    }
}

/// The address a signal carries, where it carries one.
pub(super) fn address(signal: c_int, information: &siginfo_t) -> Option<usize> {
    let carries = matches!(signal, SIGSEGV | SIGBUS | SIGILL | SIGFPE | SIGTRAP | SIGSYS);
    if !carries || information.si_code <= 0 || information.si_code == SI_KERNEL {
        return None;
    }
    // SAFETY: these signals with these codes have `si_addr` (SIGSYS its `si_call_addr`, which is
    // at the same place).
    Some(unsafe { information.si_addr() } as usize)
}

/// A stack has run out if the access was near the stack pointer and there is no stack there.
fn is_overflow(information: &siginfo_t, interrupted: Context, thread: &Thread) -> bool {
    if information.si_code == SI_KERNEL {
        return false;
    }
    // SAFETY: SIGSEGV and SIGBUS with a positive code have `si_addr`.
    let address = unsafe { information.si_addr() } as usize;
    let sp = interrupted.sp();
    let guard = thread.stack_low.saturating_sub(thread.stack_guard)..thread.stack_low + PAGE;
    if thread.stack_low != 0 && guard.contains(&address) && address + PAGE >= sp {
        return true;
    }
    // On other stacks only pushes, calls and the red zone touch what is just below sp …
    if address < sp && sp - address <= NEAR {
        return true;
    }
    // … and a stack pointer at unreadable memory, after one huge frame, is an overflow too.
    address >= sp.saturating_sub(PAGE) && !probe::is_readable_in_handler(sp)
}

const PAGE: usize = 4096;
/// The red zone and the largest push.
const NEAR: usize = 512;
const SI_KERNEL: c_int = 0x80;
const FPE_INTDIV: c_int = 1;
const FPE_INTOVF: c_int = 2;
