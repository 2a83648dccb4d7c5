//! For libraries that show others where some of their variables are.
//!
//! Finding a section of a loaded image from outside takes its section headers, which are in the
//! file only: it may have been stripped, or replaced by the next build. A library that is asked
//! can say it itself, and this is the recommended way. Where a section's name could be the name of
//! a variable in C (`my_state`, not `.state`), every linker defines `__start_my_state` and
//! `__stop_my_state` around it.
//!
//! In C and C++ the macros of `include/elf_sections.h` do it: `ELF_SECTION` puts a variable into a
//! section, `ELF_SECTION_BOUNDS` makes its bounds known. They keep the section from linkers that
//! collect unused ones (`retain`, which is the flag `SHF_GNU_RETAIN`).
//!
//! In Rust the attribute `link_section` puts a static into a section, and
//! [`section_bounds!`](crate::section_bounds) makes the bounds known. Rust has no stable word for
//! `retain`; `#[used]` does as much with GNU ld, gold and mold, and with lld where the static is in
//! a crate that is linked as a whole, or is referred to.

/// Defines a function that gives the addresses of a section of the library or program that the
/// macro is used in: from its first byte to behind its last.
///
/// There must be a static in the section, or linking fails.
///
/// ```
/// # #[cfg(target_os = "linux")] mod guest {
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// #[used]
/// #[unsafe(link_section = "my_state")]
/// static STEPS: AtomicU32 = AtomicU32::new(0);
///
/// elf_sections::section_bounds! {
///     /// Where this library's state is.
///     pub fn state() = "my_state";
/// }
///
/// # pub fn run() {
/// STEPS.fetch_add(1, Ordering::Relaxed);
/// assert!(state().contains(&(&raw const STEPS as usize)));
/// # }
/// # }
/// # #[cfg(target_os = "linux")] guest::run();
/// ```
#[macro_export]
macro_rules! section_bounds {
    ($($(#[$attribute:meta])* $visibility:vis fn $name:ident() = $section:literal;)*) => {
        $(
            $(#[$attribute])*
            $visibility fn $name() -> ::core::ops::Range<usize> {
                #[allow(unsafe_code, reason = "names the symbols that linkers define")]
                // SAFETY: linkers define both, and only their addresses are taken.
                unsafe extern "C" {
                    #[link_name = concat!("__start_", $section)]
                    safe static START: ::core::primitive::u8;
                    #[link_name = concat!("__stop_", $section)]
                    safe static STOP: ::core::primitive::u8;
                }
                (&raw const START) as usize..(&raw const STOP) as usize
            }
        )*
    };
}
