//! This process, by its own loader.

#![allow(unsafe_code, reason = "calls the loader, which calls back")]

use std::ffi::{c_int, c_void};

use crate::generation::Generation;

pub(crate) fn generation() -> Generation {
    /// # Safety
    ///
    /// `info` is null or valid for reading, and `generation` points to a `Generation` that nobody
    /// else uses.
    unsafe extern "C" fn first(
        info: *mut libc::dl_phdr_info,
        size: usize,
        generation: *mut c_void,
    ) -> c_int {
        // Loaders of before the counters say a smaller size.
        if !info.is_null() && size >= size_of::<libc::dl_phdr_info>() {
            // SAFETY: the loader passes a structure of its own, of this size at least, that is
            // valid during the call.
            let (loaded, unloaded) = unsafe { ((*info).dlpi_adds, (*info).dlpi_subs) };
            // SAFETY: `generation` is the pointer to a local that is passed below.
            unsafe { *generation.cast::<Generation>() = Generation { loaded, unloaded } };
        }
        1
    }

    let mut generation = Generation::default();
    // SAFETY: `first` gets the pointer that is given here, to a local that lives until the walk
    // ends, and does not unwind.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut generation).cast()) };
    generation
}
