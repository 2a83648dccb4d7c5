use core::ffi::{c_int, c_void};
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::Range;
use core::time::Duration;

use crate::{Fault, Mask, sys};

/// A function that [`call_fn`] can call.
pub type Entry = unsafe extern "C-unwind" fn(*mut c_void);

/// A function that [`Guard::dispatch`] can call: of C's type `int (void *, int)`, as libraries
/// have it where one entry does what a number asks for.
pub type Dispatch = unsafe extern "C-unwind" fn(*mut c_void, c_int) -> c_int;

/// Calls `entry(argument)` and comes back with the fault if it faults.
///
/// No Rust frame stands between the guard and `entry`. Before [`install`](crate::install), and
/// on a platform without guards, it is a plain call: nothing is caught.
///
/// # Errors
///
/// The fault. The code that faulted has been abandoned where it stood: memory, files and locks
/// it held stay held ([`Fault::taint`] says which of the process's own locks).
///
/// # Safety
///
/// Calling `entry(argument)` must be sound as long as it does not fault. If it can fault, or
/// pass a deadline, or throw, the frames that are abandoned between this call and that point
/// must be of foreign languages, or Rust frames without a destructor or `catch_unwind` pending,
/// and nothing the caller goes on using may depend on what those frames had left to do.
///
/// # Examples
///
/// ```
/// use core::ffi::{c_int, c_void};
///
/// unsafe extern "C-unwind" fn count(argument: *mut c_void) {
///     unsafe { *argument.cast::<u32>() += 1 }
/// }
///
/// let _installed = crash_guard::install(crash_guard::Config::new())?;
/// let mut calls = 0u32;
/// unsafe { crash_guard::call_fn(count, (&raw mut calls).cast()) }?;
/// assert_eq!(calls, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[allow(unsafe_code, reason = "forwards to sys")]
#[inline]
pub unsafe fn call_fn(entry: Entry, argument: *mut c_void) -> Result<(), Fault> {
    // SAFETY: the caller's promise is the one `sys::call` asks for.
    unsafe { sys::call(entry, argument) }
}

/// Calls `f` and comes back with the fault if it faults.
///
/// # Errors
///
/// As [`call_fn`].
///
/// # Safety
///
/// As [`call_fn`]; `f` itself is the first of the frames that may be abandoned. What `f` owns is
/// then never dropped.
///
/// # Examples
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use crash_guard::FaultKind;
///
/// let _installed = crash_guard::install(crash_guard::Config::new())?;
/// let fault = unsafe { crash_guard::call::<()>(|| libc::abort()) }.unwrap_err();
/// assert_eq!(fault.kind, FaultKind::Abort);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[allow(unsafe_code, reason = "forwards to sys")]
#[inline]
pub unsafe fn call<R>(f: impl FnOnce() -> R) -> Result<R, Fault> {
    // SAFETY: the caller's promise is handed on, and `sys::call` calls `entry` once, now.
    unsafe { through(f, |entry, argument| sys::call(entry, argument)) }
}

/// Runs host code that a guest called back: a fault in it is the host's own and is passed on to
/// whoever had the signal before, as if there were no guard. Guards opened inside work as ever.
///
/// A deadline that passes meanwhile waits until `f` has returned.
///
/// ```
/// # let log = |_: &str| ();
/// extern "C-unwind" fn host_log(text: *const core::ffi::c_char) {
///     crash_guard::barrier(|| { /* … */ });
/// }
/// # let _ = (log, host_log);
/// ```
pub fn barrier<R>(f: impl FnOnce() -> R) -> R {
    sys::barrier(f)
}

/// A guarded call with a deadline, an exact signal mask, or the guest's code range.
///
/// ```
/// use std::time::Duration;
/// use crash_guard::{Guard, Mask};
///
/// let guard = Guard::new().deadline(Duration::from_secs(2)).mask(Mask::Entry);
/// # let _ = guard;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Guard {
    pub(crate) deadline: Option<Duration>,
    pub(crate) mask: Mask,
    pub(crate) code: Range<usize>,
}

impl Guard {
    /// What [`call`] and [`call_fn`] use: no deadline, [`Mask::Remembered`], no code range.
    pub const fn new() -> Self {
        Self { deadline: None, mask: Mask::Remembered, code: 0..0 }
    }

    /// Breaks off a call that takes longer, wherever it is: in an endless loop, waiting for a
    /// lock, in a system call. Costs three system calls per guarded call.
    ///
    /// Of nested deadlines each ends its own call. A deadline cannot end code that has blocked
    /// every signal, nor code under a [`barrier`], and there it waits for the barrier's end.
    pub const fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    /// Which signal mask the caller has after a fault.
    pub const fn mask(mut self, mask: Mask) -> Self {
        self.mask = mask;
        self
    }

    /// Where the guest's code is mapped. If neither the faulting instruction nor a return
    /// address lies in it, because the guest called a library built without frame pointers
    /// (`abort`, `memcpy`, `free`), then the stack is searched for return addresses that do, and
    /// they are added to [`Fault::return_addresses`].
    pub const fn within(mut self, code: Range<usize>) -> Self {
        self.code = code;
        self
    }

    /// As [`call_fn`](crate::call_fn), with this guard's settings.
    ///
    /// # Errors
    ///
    /// As [`call_fn`](crate::call_fn).
    ///
    /// # Safety
    ///
    /// As [`call_fn`](crate::call_fn).
    #[allow(unsafe_code, reason = "forwards to sys")]
    #[inline]
    pub unsafe fn call_fn(&self, entry: Entry, argument: *mut c_void) -> Result<(), Fault> {
        // SAFETY: the caller's promise is the one `sys::call_with` asks for.
        unsafe { sys::call_with(self, entry, argument) }
    }

    /// Calls `entry(argument, number)` and gives what it returns, or the fault if it faults.
    ///
    /// For a function of this type it is the shortest way: nothing stands between the guard and
    /// `entry`, and nothing is put together for the call.
    ///
    /// # Errors
    ///
    /// As [`call_fn`](crate::call_fn).
    ///
    /// # Safety
    ///
    /// As [`call_fn`](crate::call_fn).
    ///
    /// # Examples
    ///
    /// ```
    /// use core::ffi::{c_int, c_void};
    ///
    /// unsafe extern "C-unwind" fn add(total: *mut c_void, number: c_int) -> c_int {
    ///     let total = total.cast::<c_int>();
    ///     unsafe { *total += number };
    ///     unsafe { *total }
    /// }
    ///
    /// let _installed = crash_guard::install(crash_guard::Config::new())?;
    /// let mut total: c_int = 40;
    /// let guard = crash_guard::Guard::new();
    /// let returned = unsafe { guard.dispatch(add, (&raw mut total).cast(), 2) }?;
    /// assert_eq!(returned, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[allow(unsafe_code, reason = "forwards to sys")]
    #[inline]
    pub unsafe fn dispatch(
        &self,
        entry: Dispatch,
        argument: *mut c_void,
        number: c_int,
    ) -> Result<c_int, Fault> {
        // SAFETY: the caller's promise is the one `sys::dispatch` asks for.
        unsafe { sys::dispatch(self, entry, argument, number) }
    }

    /// As [`call`](crate::call), with this guard's settings.
    ///
    /// # Errors
    ///
    /// As [`call_fn`](crate::call_fn).
    ///
    /// # Safety
    ///
    /// As [`call`](crate::call).
    #[allow(unsafe_code, reason = "forwards to sys")]
    pub unsafe fn call<R>(&self, f: impl FnOnce() -> R) -> Result<R, Fault> {
        // SAFETY: the caller's promise is handed on, and `sys::call_with` calls `entry` once, now.
        unsafe { through(f, |entry, argument| sys::call_with(self, entry, argument)) }
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

/// Passes a closure through the one `extern "C-unwind"` entry of a guarded call.
///
/// # Safety
///
/// `run` must call the entry it is given with the argument it is given, exactly once, before it
/// returns `Ok`.
#[allow(unsafe_code, reason = "the closure's way through an untyped argument")]
#[inline]
unsafe fn through<F: FnOnce() -> R, R>(
    f: F,
    run: impl FnOnce(Entry, *mut c_void) -> Result<(), Fault>,
) -> Result<R, Fault> {
    // Neither field has drop glue, so a frame that holds a Slot can be abandoned.
    struct Slot<F, R> {
        f: ManuallyDrop<F>,
        value: MaybeUninit<R>,
    }

    unsafe extern "C-unwind" fn entry<F: FnOnce() -> R, R>(argument: *mut c_void) {
        let slot = argument.cast::<Slot<F, R>>();
        // SAFETY: `argument` is the Slot below, which outlives this call and which nothing else
        // touches meanwhile; `f` is taken once because `entry` is called once.
        unsafe { (*slot).value.write(ManuallyDrop::take(&mut (*slot).f)()) };
    }

    let mut slot = Slot { f: ManuallyDrop::new(f), value: MaybeUninit::uninit() };
    run(entry::<F, R>, (&raw mut slot).cast())?;
    // SAFETY: `Ok` means that `entry` returned, and it writes the value before it does.
    Ok(unsafe { slot.value.assume_init() })
}
