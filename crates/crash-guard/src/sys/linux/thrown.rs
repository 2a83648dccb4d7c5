//! Where an exception was thrown from, noted while the stack of the throw still stands.

use core::ffi::{c_int, c_void};

use super::exception::UnwindException;
use super::landing::Landing;
use crate::{Fault, ReturnAddresses};

/// What is known of an exception until it lands.
///
/// It lies in the landing's place for the fault, so that every guard has its own, and a fault in
/// a clean-up overwrites it whole.
#[repr(C)]
pub(super) struct Thrown {
    /// The one that landed: the assembly stores it, at the start.
    pub(super) exception: *mut UnwindException,
    /// The one whose search was the last to find this guard. It is nearly always the one that
    /// lands; but a clean-up on the way may throw another, and a `longjmp` then save the first.
    searched: *mut UnwindException,
    /// Of the search.
    return_addresses: ReturnAddresses,
}

const _: () = assert!(size_of::<Thrown>() <= size_of::<Fault>());
const _: () = assert!(align_of::<Thrown>() <= align_of::<Fault>());

impl Thrown {
    /// From the throw of what landed to the guard.
    pub(super) fn return_addresses(&self) -> ReturnAddresses {
        if self.searched == self.exception { self.return_addresses } else { ReturnAddresses::NONE }
    }
}

/// Notes where an exception was thrown whose search has found a guard.
///
/// # Safety
///
/// `landing` must be that guard's, open and on this stack, and the call must come from the
/// personality in the search that passed it `exception` and `context`.
pub(super) unsafe fn note(
    landing: *mut Landing,
    exception: *mut UnwindException,
    context: *const c_void,
) {
    // SAFETY: the landing is open, so that its place for a fault lives and nothing is in it yet;
    // a `Thrown` fits there. The unwinder has just gone the whole way from the throw to the
    // guard, and `visit` ends the walk there at the latest.
    unsafe {
        let thrown = (*landing).fault.cast::<Thrown>();
        (&raw mut (*thrown).searched).write(exception);
        (&raw mut (*thrown).return_addresses).write(ReturnAddresses::NONE);
        let mut walk = Walk {
            throw: context as usize,
            guard: landing as usize,
            addresses: &mut (*thrown).return_addresses,
        };
        _Unwind_Backtrace(visit, (&raw mut walk).cast());
    }
}

struct Walk<'a> {
    /// The unwinder keeps the context in the frame that the throw has called, so that the frames
    /// up to it are the unwinder's and our own.
    throw: usize,
    /// The stack pointer of the guard's frame.
    guard: usize,
    addresses: &'a mut ReturnAddresses,
}

/// Takes a frame's return address and says whether to go on.
unsafe extern "C" fn visit(frame: *mut c_void, walk: *mut c_void) -> c_int {
    // SAFETY: the unwinder passes a live frame and what `note` gave it.
    let (walk, sp, address) =
        unsafe { (&mut *walk.cast::<Walk>(), _Unwind_GetCFA(frame), _Unwind_GetIP(frame)) };
    if sp <= walk.throw {
        return GO_ON;
    }
    if walk.addresses.push(address) && sp != walk.guard { GO_ON } else { STOP }
}

/// `_URC_NO_REASON`.
const GO_ON: c_int = 0;
/// `_URC_NORMAL_STOP`.
const STOP: c_int = 4;

unsafe extern "C" {
    fn _Unwind_Backtrace(
        visit: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        walk: *mut c_void,
    ) -> c_int;
    /// Of the frame's callee, which is the frame's own stack pointer.
    fn _Unwind_GetCFA(frame: *mut c_void) -> usize;
    fn _Unwind_GetIP(frame: *mut c_void) -> usize;
}
