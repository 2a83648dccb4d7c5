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
        if Landing::is_none((*thread).innermost)
            || (*thread).in_handler
            || !disposition::is_installed()
        {
            return if is_deadline { Decision::Ignore } else { Decision::PassOn };
        }
        // A child of fork or vfork has another number; its faults are its own.
        if libc::gettid() != (*thread).id {
            return Decision::PassOn;
        }
        let innermost = landing::innermost_above(&*thread, interrupted.sp(), |_| ());
        if is_deadline {
            return match deadline::target(information, innermost, thread) {
                Some(landing) => Decision::Land(landing, FaultKind::Deadline),
                None => Decision::Ignore,
            };
        }
        if Landing::is_none(innermost)
            || !Landing::is_sound(innermost, &*thread)
            || (*innermost).is_barrier()
            || (*innermost).sp == 0
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
    // SAFETY: `landing` is sound and its frame stands (see `decide`), so that it may be written,
    // its guard still lives, and `sp` is where the assembly's frame is.
    unsafe {
        (*thread).in_handler = true;
        let guard = &*(*landing).guard;
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
        (&raw mut (*landing).fault).cast::<Fault>().write(fault);

        let mask = match guard.mask {
            Mask::Remembered => (*thread).mask,
            Mask::Entry => (*landing).mask,
            Mask::AtFault => interrupted.mask(),
        };
        interrupted.set_mask(mask & !disposition::fault_signals());
        let resume_sp = (*landing).sp;
        abandon_inside(landing, interrupted.sp(), thread);
        (*landing).sp = 0; // a landing is used once
        (*thread).innermost = landing;
        (*thread).depth = (*landing).depth;
        interrupted.resume_at(crash_guard_v0_1_land_fault as *const () as usize, resume_sp);
        (*thread).in_handler = false;
    }
}

/// Frees what the landings inside `landing` hold, stale ones included.
unsafe fn abandon_inside(landing: *mut Landing, sp: usize, thread: *mut Thread) {
    // SAFETY: `landing` was found on this chain by the same walk.
    unsafe {
        let mut inner = landing::innermost_above(&*thread, sp, |stale| landing::discard(stale));
        while inner != landing && !Landing::is_none(inner) && Landing::is_sound(inner, &*thread) {
            landing::discard(inner);
            inner = (*inner).outer;
        }
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
