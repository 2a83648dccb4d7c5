use crate::sys;

/// Releases the dynamic loader's locks that the calling thread holds, and says how often it had
/// to unlock.
///
/// A fault in a library's constructor leaves `dlopen` in the middle with its lock held, and then
/// no other thread can load a library, and a new thread of Rust's standard library does not
/// even start. After this they can. The library stays loaded, half initialised: loading the same
/// file again succeeds without running its constructors.
///
/// # Safety
///
/// The calling thread must have come back with a fault out of every call into the loader
/// (`dlopen`, `dlclose`, `dl_iterate_phdr`, …) that it has begun. It must not be inside one now,
/// such as in a constructor.
///
/// # Platform-specific behaviour
///
/// glibc only, and found by watching how its locks behave; elsewhere, and where that was in
/// vain, there is nothing to release and the answer is 0.
#[allow(unsafe_code, reason = "forwards to sys")]
pub unsafe fn release_loader_lock() -> usize {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { sys::release_loader_lock() }
}
