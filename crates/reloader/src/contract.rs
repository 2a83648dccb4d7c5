//! The guest contract: what crosses the border between host and guest.
//!
//! All names and numbers are those of cr.h, so that a guest compiled against it loads unmodified.
//! The layout is checked at compile time.

use std::ffi::{c_int, c_uint, c_void};
use std::fmt;
use std::sync::atomic::AtomicPtr;

use crash_guard::FaultKind;

/// What the host asks of the guest's entry function (`enum cr_op`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Operation {
    /// The version has just been loaded, for the first time, by a reload or by a rollback.
    Load = 0,
    /// Do the guest's work once.
    Step = 1,
    /// Another version is about to take over.
    Unload = 2,
    /// The plugin is being closed; nothing follows.
    Close = 3,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Load => "load",
            Self::Step => "step",
            Self::Unload => "unload",
            Self::Close => "close",
        })
    }
}

/// Why the last version failed, as the guest sees it (`enum cr_failure`).
///
/// A transparent integer and not an enum: the guest can write the field, and no value may be
/// undefined behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct FailureCode(pub c_int);

impl FailureCode {
    /// No failure.
    pub const NONE: Self = Self(0);
    /// An invalid memory access.
    pub const SEGFAULT: Self = Self(1);
    /// An illegal instruction.
    pub const ILLEGAL: Self = Self(2);
    /// `abort`, a failed assertion, an uncaught exception.
    pub const ABORT: Self = Self(3);
    /// A bus error.
    pub const MISALIGN: Self = Self(4);
    /// An array bound exceeded (Windows).
    pub const BOUNDS: Self = Self(5);
    /// The stack ran out.
    pub const STACKOVERFLOW: Self = Self(6);
    /// The state could not be carried under the chosen policy.
    pub const STATE_INVALIDATED: Self = Self(7);
    /// The build is not a loadable image.
    pub const BAD_IMAGE: Self = Self(8);
    /// The first version failed: there is nothing to roll back to.
    pub const INITIAL_FAILURE: Self = Self(9);
    /// Any other cause; another signal is `OTHER + signal`.
    pub const OTHER: Self = Self(10);
    /// The guest returned a negative number.
    pub const USER: Self = Self(0x100);

    /// The code of a fault.
    pub fn of_fault(kind: FaultKind, signal: i32) -> Self {
        match kind {
            FaultKind::Access | FaultKind::NonCanonical => Self::SEGFAULT,
            FaultKind::StackOverflow => Self::STACKOVERFLOW,
            FaultKind::Bus => Self::MISALIGN,
            FaultKind::Illegal => Self::ILLEGAL,
            FaultKind::Abort
            | FaultKind::CxxException
            | FaultKind::ForeignPanic
            | FaultKind::ForeignException => Self::ABORT,
            // `raise(SIGSEGV)` and the like: by the signal.
            _ => match signal {
                11 => Self::SEGFAULT,
                4 => Self::ILLEGAL,
                6 => Self::ABORT,
                7 => Self::MISALIGN,
                _ => Self(Self::OTHER.0.saturating_add(signal)),
            },
        }
    }
}

/// The 32 bytes that host and guest share (`struct cr_plugin`).
///
/// The pointers are atomics for their layout only: the structure belongs to whichever side runs.
#[derive(Debug)]
#[repr(C)]
pub struct Context {
    /// The host's own; opaque to the guest.
    pub host: AtomicPtr<c_void>,
    /// Free for the host's and the guest's use; survives reloads.
    pub userdata: AtomicPtr<c_void>,
    /// The version that is being called.
    pub version: c_uint,
    /// Why the version before this one was left.
    pub failure: FailureCode,
    /// The number the next build will get.
    pub next_version: c_uint,
    /// The last version that completed a step.
    pub last_working_version: c_uint,
}

const _: () = {
    assert!(size_of::<Context>() == 16 + 2 * size_of::<*mut c_void>());
    assert!(std::mem::offset_of!(Context, version) == 2 * size_of::<*mut c_void>());
    assert!(std::mem::offset_of!(Context, failure) == 2 * size_of::<*mut c_void>() + 4);
    assert!(
        std::mem::offset_of!(Context, last_working_version) == 2 * size_of::<*mut c_void>() + 12
    );
};

/// The guest's entry function: `int cr_main(struct cr_plugin *ctx, enum cr_op operation)`.
pub(crate) type Main = crash_guard::Dispatch;

/// The name of the entry function.
pub const ENTRY: &str = "cr_main";
/// The section of the variables that outlive a version.
pub const STATE_SECTION: &str = ".state";
