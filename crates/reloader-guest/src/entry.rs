#![allow(unsafe_code, reason = "the host's pointer is read here, and nowhere else")]

use std::{
    ffi::{c_int, c_void},
    marker::PhantomData,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
};

use crate::{ERROR, Failure, Operation, Outcome, PANIC, plugin::Plugin};

/// What the host tells the guest, for the length of one call.
///
/// The host's fields are read each time they are asked for and never borrowed, since the guest may
/// call back into a host that changes them.
#[derive(Debug)]
pub struct Context<'call> {
    plugin: NonNull<Plugin>,
    call: PhantomData<&'call mut Plugin>,
}

impl Context<'_> {
    /// The number of the running version, from 1. Each build that is loaded gets a number of its
    /// own; after a rollback it is the number of the version that was gone back to.
    pub fn version(&self) -> u32 {
        // SAFETY: `enter` got the pointer from a host that keeps the plugin valid for 'call, which
        // outlives self.
        unsafe { (*self.plugin.as_ptr()).version }
    }

    /// What became of the last version, if this call follows a failure.
    pub fn failure(&self) -> Option<Failure> {
        // SAFETY: as in `version`.
        Failure::from_code(unsafe { (*self.plugin.as_ptr()).failure })
    }

    /// The number that the next build will get.
    pub fn next_version(&self) -> u32 {
        // SAFETY: as in `version`.
        unsafe { (*self.plugin.as_ptr()).next_version }
    }

    /// The number of the last version that worked.
    pub fn last_working_version(&self) -> u32 {
        // SAFETY: as in `version`.
        unsafe { (*self.plugin.as_ptr()).last_working_version }
    }

    /// The pointer that the host and all versions of the guest share; null until either sets it.
    pub fn userdata_ptr(&self) -> *mut c_void {
        // SAFETY: as in `version`.
        unsafe { (*self.plugin.as_ptr()).userdata }
    }

    /// Replaces the shared pointer. It outlives this version, so it must not point into the guest's
    /// own image.
    pub fn set_userdata(&mut self, userdata: *mut c_void) {
        // SAFETY: as in `version`; the contract lets the guest write this field.
        unsafe { (*self.plugin.as_ptr()).userdata = userdata }
    }

    /// What the shared pointer points to, or `None` if it is null.
    ///
    /// # Safety
    /// A pointer that is not null must point to a valid, aligned `T`, laid out the same way by the
    /// host and by this build of the guest. Nothing else may use that `T` while the returned
    /// reference lives.
    pub unsafe fn userdata<T>(&mut self) -> Option<&mut T> {
        // SAFETY: the caller promises a valid, unshared `T`; null gives `None`.
        unsafe { self.userdata_ptr().cast::<T>().as_mut() }
    }
}

/// What the `cr_main` of [`reload_main!`](crate::reload_main) does: calls `main`, and never
/// unwinds.
///
/// # Safety
/// `plugin` is null or points to a plugin that stays valid and may be written to until this
/// returns.
pub unsafe fn enter<R: Outcome>(
    plugin: *mut Plugin,
    operation: c_int,
    main: fn(&mut Context<'_>, Operation) -> R,
) -> c_int {
    let Some(plugin) = NonNull::new(plugin) else { return ERROR };
    let mut context = Context { plugin, call: PhantomData };
    let operation = Operation::from_code(operation);
    // Unwind safety is the host's concern: it goes back to a version that worked, with the state of
    // that time. The result is turned into a number inside, because formatting and dropping an
    // error may panic as well.
    catch_unwind(AssertUnwindSafe(|| main(&mut context, operation).into_code())).unwrap_or_else(
        |payload| {
            if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                // The payload panicked when it was dropped. Dropping what came out could go on for
                // ever, so it is leaked.
                mem::forget(second);
            }
            PANIC
        },
    )
}

/// Exports the guest's entry point, `cr_main`, which calls the given function.
///
/// The function takes the [`Context`] and the [`Operation`] and returns anything that is an
/// [`Outcome`]: `()`, an `i32`, or a `Result` of these with an error that can be displayed. Name
/// it, or write it in place:
///
/// ```
/// use reloader_guest::{Context, Operation, reload_main};
///
/// fn run(context: &mut Context, operation: Operation) -> Result<i32, std::num::ParseIntError> {
///     if operation == Operation::Load {
///         println!("this is version {}", context.version());
///     }
///     "7".parse()
/// }
///
/// reload_main!(run);
/// ```
///
/// ```
/// use reloader_guest::{Context, Operation, reload_main};
///
/// reload_main! {
///     fn run(_: &mut Context, operation: Operation) {
///         println!("{operation:?}");
///     }
/// }
/// ```
///
/// A library has one entry point; a second one is a compile error. The macro contains `unsafe`, so
/// it does not work below `#![forbid(unsafe_code)]`; `deny` is fine.
///
/// # Panics
/// A panic in the function is caught and becomes [`PANIC`], whatever its payload does when dropped.
/// Two things still abort, and the host sees an abort: a panic while another one unwinds, and any
/// panic in a guest built with `panic = "abort"`.
#[macro_export]
macro_rules! reload_main {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident $($rest:tt)+) => {
        $(#[$attribute])* $vis fn $name $($rest)+
        $crate::reload_main!($name);
    };
    ($main:path $(,)?) => {
        #[allow(unsafe_code, reason = "the host calls the guest through a C function of a fixed name")]
        const _: () = {
            #[unsafe(no_mangle)]
            unsafe extern "C" fn cr_main(
                plugin: *mut $crate::__private::Plugin,
                operation: ::core::ffi::c_int,
            ) -> ::core::ffi::c_int {
                // SAFETY: a host that calls `cr_main` passes its plugin and waits for the return.
                unsafe { $crate::__private::enter(plugin, operation, $main) }
            }
        };
    };
}
