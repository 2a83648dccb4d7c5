//! The one way into guest code: through the guard.
#![allow(unsafe_code, reason = "the call into the guest")]

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::time::Duration;

use crash_guard::{Fault, Guard};

use crate::contract::{Main, Operation};

mod context;

pub(crate) use context::Shared;

/// How guest code is called: with which deadline, and whose code it is.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    guard: Guard,
}

impl Caller {
    pub(crate) fn new(deadline: Option<Duration>) -> Self {
        let guard = Guard::new();
        Self {
            guard: match deadline {
                Some(deadline) => guard.deadline(deadline),
                None => guard,
            },
        }
    }

    /// The same for code in `range`, whose return addresses are found in a fault below it.
    pub(crate) fn within(&self, range: Range<usize>) -> Self {
        Self { guard: self.guard.clone().within(range) }
    }

    /// Calls foreign code.
    ///
    /// # Safety
    /// `entry` must be sound to call with these two, and everything between it and a fault must be
    /// foreign or without destructors.
    #[inline]
    pub(crate) unsafe fn run(
        &self,
        entry: crash_guard::Dispatch,
        argument: *mut c_void,
        number: c_int,
    ) -> Result<c_int, Fault> {
        // SAFETY: as the caller promises.
        unsafe { self.guard.dispatch(entry, argument, number) }
    }
}

/// A call of a guest's entry function that is made once, or again and again: nothing has to be put
/// together for it then.
#[derive(Debug)]
pub(crate) struct Entering {
    caller: Caller,
    main: Main,
    operation: Operation,
}

impl Entering {
    /// `main` is what a guest exports under the contract's name, and stays mapped for as long as this
    /// is run.
    pub(crate) fn new(caller: Caller, main: Main, operation: Operation) -> Self {
        Self { caller, main, operation }
    }

    /// Makes the call. The fault is boxed so that the result is returned in registers.
    #[inline]
    pub(crate) fn run(&self, context: &mut Shared) -> Result<c_int, Box<Fault>> {
        let context = context.as_mut_ptr().cast();
        // SAFETY: `main` is what a guest exports under the contract's name, and the context is
        // valid.
        match unsafe { self.caller.run(self.main, context, self.operation as c_int) } {
            Ok(value) => Ok(value),
            Err(fault) => Err(boxed(fault)),
        }
    }
}

#[cold]
#[inline(never)]
fn boxed(fault: Fault) -> Box<Fault> {
    Box::new(fault)
}
