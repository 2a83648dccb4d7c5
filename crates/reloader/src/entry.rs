//! The one way into guest code: through the guard.
#![allow(unsafe_code, reason = "the call into the guest")]

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::sync::atomic::AtomicPtr;
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
}

/// A call of a guest's entry function that is made once, or again and again: nothing has to be put
/// together for it then.
#[derive(Debug)]
pub(crate) struct Entering {
    caller: Caller,
    call: Call,
}

#[derive(Debug)]
struct Call {
    main: Main,
    /// An atomic for its being sendable only.
    context: AtomicPtr<Context>,
    operation: c_int,
    result: c_int,
}

impl Entering {
    /// `main` is what a guest exports under the contract's name, and stays mapped for as long as this
    /// is run.
    pub(crate) fn new(caller: Caller, main: Main, operation: Operation) -> Self {
        let context = AtomicPtr::default();
        Self { caller, call: Call { main, context, operation: operation as c_int, result: 0 } }
    }

    /// Makes the call. The fault is boxed so that the result is returned in registers.
    #[inline]
    pub(crate) fn run(&mut self, context: &mut Shared) -> Result<c_int, Box<Fault>> {
        unsafe extern "C-unwind" fn run(call: *mut c_void) {
            // SAFETY: `call` is the `Call` of an `Entering` that is being run: its context is valid,
            // and `main` is what a guest exports under the contract's name.
            unsafe {
                let call = call.cast::<Call>();
                let context = *(*call).context.get_mut();
                (*call).result = ((*call).main)(context, (*call).operation);
            }
        }
        // A comparison costs less than the store that it most times saves.
        let context = context.as_mut_ptr();
        if *self.call.context.get_mut() != context {
            *self.call.context.get_mut() = context;
        }
        let call = &raw mut self.call;
        // SAFETY: `run` has no destructors, and `call` outlives it.
        match unsafe { self.caller.run(run, call.cast()) } {
            Ok(()) => Ok(self.call.result),
            Err(fault) => Err(Box::new(fault)),
        }
    }
}
