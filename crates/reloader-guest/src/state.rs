#![allow(unsafe_code, reason = "a promise about bytes that another build wrote cannot be checked")]

use std::{
    cell::{Cell, UnsafeCell},
    marker::PhantomData,
    mem::MaybeUninit,
    num::Wrapping,
    sync::atomic::*,
};

/// A type whose bytes may come from another build of the guest.
///
/// The host carries a state variable as bytes. What a version finds in it was written by an earlier
/// version, which may have meant another type by it: hosts compare names and sizes, not types.
/// Implemented here are the types that every pattern of bytes is a value of: integers, floats, raw
/// pointers, atomics, and arrays and cells of them. Missing on purpose are `bool`, `char`, enums,
/// references, function pointers, `Option` and the smart pointers, because there are bytes that
/// none of them may have or because they may point into the old image, and the locks and
/// collections of the standard library, whose layout is not ours to promise.
///
/// # Safety
/// Any bytes that some version of this guest may leave in a variable with the same name and size
/// must be a valid value of this type. Nothing that safe code can reach through it may lie in the
/// image of an earlier version: no literals, functions, vtables, statics, or memory of an allocator
/// that the guest brings itself.
///
/// # Example
/// A struct of one's own, with a layout that does not change behind one's back:
///
/// ```
/// use reloader_guest::{Carry, state};
/// use std::sync::atomic::AtomicU32;
///
/// #[repr(C)]
/// struct Score {
///     points: AtomicU32,
///     lives: AtomicU32,
/// }
///
/// // SAFETY: every pattern of bytes is a score.
/// unsafe impl Carry for Score {}
///
/// state! {
///     static SCORE: Score = Score { points: AtomicU32::new(0), lives: AtomicU32::new(3) };
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a state variable",
    label = "not known to be valid with bytes from another build of the guest",
    note = "if every pattern of bytes that a version may leave is a valid value, \
            say so with `unsafe impl Carry`"
)]
pub unsafe trait Carry {}

/// Implements [`Carry`] for types without an invalid pattern of bytes.
macro_rules! carry {
    ($($ty:ty)*) => {
        $(
            // SAFETY: a plain integer, float or atomic is valid with any bytes and points to
            // nothing.
            unsafe impl Carry for $ty {}
        )*
    };
}

carry! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 }
#[cfg(target_has_atomic = "8")]
carry! { AtomicU8 AtomicI8 }
#[cfg(target_has_atomic = "16")]
carry! { AtomicU16 AtomicI16 }
#[cfg(target_has_atomic = "32")]
carry! { AtomicU32 AtomicI32 }
#[cfg(target_has_atomic = "64")]
carry! { AtomicU64 AtomicI64 }
#[cfg(target_has_atomic = "ptr")]
carry! { AtomicUsize AtomicIsize }

// SAFETY: any bytes are a raw pointer, and safe code cannot follow one.
unsafe impl<T> Carry for *const T {}
// SAFETY: as for `*const T`.
unsafe impl<T> Carry for *mut T {}
#[cfg(target_has_atomic = "ptr")]
// SAFETY: as for `*const T`; the atomic has the layout of the pointer.
unsafe impl<T> Carry for AtomicPtr<T> {}
// SAFETY: the elements may have any bytes, and an array has no bytes of its own.
unsafe impl<T: Carry, const N: usize> Carry for [T; N] {}
// SAFETY: a transparent wrapper around `T`.
unsafe impl<T: Carry> Carry for Wrapping<T> {}
// SAFETY: a transparent wrapper around `T`.
unsafe impl<T: Carry> Carry for Cell<T> {}
// SAFETY: a transparent wrapper around `T`.
unsafe impl<T: Carry> Carry for UnsafeCell<T> {}
// SAFETY: any bytes are valid, and safe code cannot take them for a `T`.
unsafe impl<T> Carry for MaybeUninit<T> {}

/// Fails to compile for a type that cannot be carried.
pub const fn carried<T: Carry>() {}

/// `Probe::<T>::COPY` says whether `T` is `Copy`: the inherent constant, where it exists, goes
/// before the trait's.
pub struct Probe<T>(PhantomData<T>);

impl<T: Copy> Probe<T> {
    /// `T` is `Copy`.
    pub const COPY: bool = true;
}

/// What [`Probe`] answers for the other types.
pub trait NotCopy {
    /// `T` is not `Copy`.
    const COPY: bool = false;
}

impl<T> NotCopy for Probe<T> {}

/// Makes statics state variables: they keep their values when the guest is reloaded.
///
/// ```
/// use reloader_guest::state;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// state! {
///     /// Steps taken by all versions together.
///     static STEPS: AtomicU32 = AtomicU32::new(0);
///     pub static mut SEED: u64 = 1;
/// }
///
/// STEPS.fetch_add(1, Ordering::Relaxed);
/// ```
///
/// The variables go to the section that hosts carry over: `.state`, on Apple's systems
/// `__DATA,__state`. Their types implement [`Carry`]. A static that is neither `mut` nor of a type
/// with interior mutability cannot change, so there is nothing to carry, and its initialiser would
/// be compiled into the code anyway; for `Copy` types that is a compile error:
///
/// ```compile_fail
/// reloader_guest::state! { static LEVEL: u32 = 1; }
/// ```
///
/// See [the crate's page](crate#which-variable-is-which) for how a variable is found again in the
/// next version.
#[macro_export]
macro_rules! state {
    () => {};
    ($(#[$attribute:meta])* $vis:vis static mut $name:ident : $ty:ty = $value:expr; $($rest:tt)*) => {
        $crate::__state! { $(#[$attribute])* [$vis static mut] $name: $ty = $value }
        $crate::state! { $($rest)* }
    };
    ($(#[$attribute:meta])* $vis:vis static $name:ident : $ty:ty = $value:expr; $($rest:tt)*) => {
        $crate::__state! { $(#[$attribute])* [$vis static] $name: $ty = {
            #[allow(unused_imports, reason = "the trait serves the types that are not Copy")]
            use $crate::__private::NotCopy as _;
            ::core::assert!(
                !$crate::__private::Probe::<$ty>::COPY,
                "this static can never change: make it `static mut`, an atomic or a cell",
            );
            $value
        } }
        $crate::state! { $($rest)* }
    };
    ($($other:tt)*) => {
        ::core::compile_error!("state variables are statics: `static NAME: Type = value;`");
    };
}

/// The item itself. `used` keeps the compiler from taking the initialiser of a variable that this
/// build only reads for its value: an earlier build may have written to it.
#[doc(hidden)]
#[macro_export]
macro_rules! __state {
    ($(#[$attribute:meta])* [$($kind:tt)*] $name:ident : $ty:ty = $value:expr) => {
        $(#[$attribute])*
        #[allow(unsafe_code, reason = "Carry holds the type to what the section asks")]
        #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__state"))]
        #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".state"))]
        #[used]
        $($kind)* $name: $ty = {
            $crate::__private::carried::<$ty>();
            $value
        };
    };
}
