//! A library that guards calls of its own, with a copy of this crate of its own. Loaded into a
//! program that does the same, both must get their own faults.
#![cfg_attr(
    all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(unsafe_code, reason = "exported to C, and faults on purpose")
)]

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod exported {
    use core::ffi::c_void;

    /// Takes the fault signals for good.
    // SAFETY: no other symbol has this name.
    #[unsafe(no_mangle)]
    pub extern "C" fn library_install() -> bool {
        crash_guard::install(crash_guard::Config::new()).map(core::mem::forget).is_ok()
    }

    /// Calls `entry(argument)` under a guard; the signal of its fault, 0 without one.
    ///
    /// # Safety
    ///
    /// As `crash_guard::call_fn`.
    // SAFETY: no other symbol has this name.
    #[unsafe(no_mangle)]
    pub unsafe extern "C-unwind" fn library_call(
        entry: crash_guard::Entry,
        argument: *mut c_void,
    ) -> i32 {
        // SAFETY: the caller's promise.
        unsafe { crash_guard::call_fn(entry, argument) }.map_or_else(|fault| fault.signal, |()| 0)
    }
}
