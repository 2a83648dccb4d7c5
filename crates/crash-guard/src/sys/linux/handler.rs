//! The signal handler.
//!
//! It runs at any instruction of any code. It takes no lock, allocates nothing, formats nothing
//! and cannot panic; it writes the interrupted context, the landing it resumes at, and this
//! thread's block. It never jumps: it edits the context and returns, so that the kernel restores
//! the rest.

use core::ffi::{c_int, c_void};

use libc::siginfo_t;

use super::arch::{self, Context};
use super::landing::{self, Landing};
use super::thread::Thread;
use super::{classification, deadline, disposition, probe, stack_walk, taint};
use crate::{Fault, FaultKind, Mask, Registers};

/// What the kernel calls for every signal of ours.
pub(super) unsafe extern "C" fn handle(
    signal: c_int,
    information: *mut siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: the kernel passes a live siginfo and context; `errno` is this thread's.
    unsafe {
        let interrupted = Context::new(context);
        if probe::recover(signal, (*information).si_code, interrupted) {
            return;
        }
        let errno = libc::__errno_location();
        let caller_errno = *errno;
        let thread = arch::thread();
        match decide(signal, &*information, interrupted, thread) {
            Decision::Land(landing, kind) => {
                land(landing, kind, signal, &*information, interrupted, thread);
            }
            Decision::Ignore => {}
            Decision::PassOn => disposition::pass_on(signal, information, context),
        }
        *errno = caller_errno;
    }
}

enum Decision {
    Land(*mut Landing, FaultKind),
    Ignore,
    PassOn,
}

unsafe fn decide(
    signal: c_int,
    information: &siginfo_t,
    interrupted: Context,
    thread: *mut Thread,
) -> Decision {
    // SAFETY: `thread` is this thread's block; a landing is read only once `innermost_above` has
    // found its frame to stand, and believed only if its canary is right.
    unsafe {
        let is_deadline = deadline::is_one(signal, information);
        let otherwise = if is_deadline { Decision::Ignore } else { Decision::PassOn };
        let nothing_open = Landing::is_none((*thread).innermost);
        if (nothing_open && !is_deadline) || (*thread).in_handler || !disposition::is_installed() {
            return otherwise;
        }
        // A child of fork or vfork has another number; its faults are its own.
        if libc::gettid() != (*thread).id {
            return otherwise;
        }
        let innermost = landing::innermost_above(&*thread, interrupted.sp());
        if is_deadline {
            return match deadline::target(information, innermost, thread) {
                Some(landing) => Decision::Land(landing, FaultKind::Deadline),
                None => Decision::Ignore,
            };
        }
        if Landing::is_none(innermost)
            || !Landing::is_sound(innermost, &*thread)
            || (*innermost).is_barrier()
        {
            return Decision::PassOn;
        }
        match classification::kind(signal, information, interrupted, &*thread) {
            Some(kind) => Decision::Land(innermost, kind),
            None => Decision::PassOn,
        }
    }
}

/// Writes the fault into the landing and makes the kernel resume there.
unsafe fn land(
    landing: *mut Landing,
    kind: FaultKind,
    signal: c_int,
    information: &siginfo_t,
    interrupted: Context,
    thread: *mut Thread,
) {
    // SAFETY: `landing` is sound and its frame stands (see `decide`), so that its guard and the
    // place for the fault still live, and the assembly's frame is where it is.
    unsafe {
        (*thread).in_handler = true;
        let guard = (*landing).guard();
        let (pc, sp) = (interrupted.pc(), interrupted.sp());
        let access = interrupted.access(signal);
        let mut fault = Fault {
            kind,
            signal,
            code: information.si_code,
            address: classification::address(signal, information),
            access,
            pc,
            sp,
            fp: interrupted.fp(),
            registers: interrupted.registers(),
            return_addresses: crate::ReturnAddresses::NONE,
            thread: (*thread).id as u32,
            depth: (*landing).depth,
            taint: taint::of_fault(pc, sp, landing as usize, &*thread),
            exception: None,
        };
        stack_walk::fill(&mut fault, interrupted, landing as usize, &guard.code, &*thread);
        (*landing).fault.write(fault);

        let mask = match guard.mask {
            Mask::Remembered => (*thread).mask,
            Mask::Entry => (*(*landing).terms()).mask,
            Mask::AtFault => interrupted.mask(),
        };
        interrupted.set_mask(mask & !disposition::fault_signals());
        landing::abandon_inside(landing, sp, &*thread);
        (*thread).innermost = landing;
        (*thread).depth = (*landing).depth;
        interrupted.resume_at(crash_guard_v0_1_land_fault as *const () as usize, landing as usize);
        (*thread).in_handler = false;
    }
}

/// A fault for something that is not a signal: no context, no registers.
pub(super) fn without_context(kind: FaultKind, thread: &Thread) -> Fault {
    Fault {
        kind,
        signal: 0,
        code: 0,
        address: None,
        access: crate::Access::Unknown,
        pc: 0,
        sp: 0,
        fp: 0,
        registers: Registers::NONE,
        return_addresses: crate::ReturnAddresses::NONE,
        thread: thread.id as u32,
        depth: thread.depth,
        taint: taint::of_locks(thread),
        exception: None,
    }
}

unsafe extern "C" {
    /// A place in the assembly, not a function.
    fn crash_guard_v0_1_land_fault();
}
