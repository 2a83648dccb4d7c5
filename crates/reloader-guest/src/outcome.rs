use std::{
    fmt::Display,
    io::{Write as _, stderr},
};

/// What the guest's function may return, and the number that the host gets for it.
///
/// Zero and above is handed on to whoever called the host's update; a negative number is a failure,
/// upon which the host restores a version that worked.
pub trait Outcome {
    /// The number for the host.
    fn into_code(self) -> i32;
}

impl Outcome for () {
    fn into_code(self) -> i32 {
        0
    }
}

impl Outcome for i32 {
    fn into_code(self) -> i32 {
        self
    }
}

/// An error is written to standard error and becomes [`ERROR`].
impl<T: Outcome, E: Display> Outcome for Result<T, E> {
    fn into_code(self) -> i32 {
        match self {
            Ok(value) => value.into_code(),
            Err(error) => {
                // There is nobody left to tell if standard error is closed.
                let _ = writeln!(stderr(), "guest: {error}");
                ERROR
            }
        }
    }
}

/// What the host gets when the guest's function returns an error.
///
/// Neither this nor [`PANIC`] is -1 or -2, with which cr's update says that the guest crashed.
pub const ERROR: i32 = -3;

/// What the host gets when the guest's function panics.
pub const PANIC: i32 = -4;
