//! The one way into guest code: through the guard.
#![allow(unsafe_code, reason = "the call into the guest")]

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::time::Duration;

use crash_guard::{Fault, Guard};

use crate::contract::{Context, Main, Operation};

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
    /// `entry` must be sound to call with `argument`, and everything between it and a fault must be
    /// foreign or without destructors.
    #[inline]
    pub(crate) unsafe fn run(
        &self,
        entry: crash_guard::Entry,
        argument: *mut c_void,
    ) -> Result<(), Fault> {
        // SAFETY: as the caller promises.
        unsafe { self.guard.call_fn(entry, argument) }
    }

    /// Calls a guest's entry function.
    #[inline]
    pub(crate) fn operate(
        &self,
        main: Main,
        context: &mut Context,
        operation: Operation,
    ) -> Result<c_int, Fault> {
        struct Call {
            main: Main,
            context: *mut Context,
            operation: c_int,
            result: c_int,
        }
        unsafe extern "C-unwind" fn run(call: *mut c_void) {
            // SAFETY: `call` is the `Call` below; `main` is what the guest exports under the
            // contract's name.
            unsafe {
                let call = call.cast::<Call>();
                (*call).result = ((*call).main)((*call).context, (*call).operation);
            }
        }
        let mut call = Call { main, context, operation: operation as c_int, result: 0 };
        // SAFETY: `run` has no destructors, and `call` outlives it.
        unsafe { self.run(run, (&raw mut call).cast()) }?;
        Ok(call.result)
    }
}
