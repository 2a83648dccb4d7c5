use std::{ffi::c_int, fmt};

/// Why the host went back to an earlier version, or refused a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The guest touched memory that is not there, or not its own.
    Segfault,
    /// The guest executed an illegal instruction.
    Illegal,
    /// The guest aborted.
    Abort,
    /// The guest accessed memory at an address that is not aligned as the processor wants it.
    Misalign,
    /// The guest went past the bounds of an array, and the processor noticed.
    Bounds,
    /// The guest ran out of stack.
    StackOverflow,
    /// The state of the old version does not fit the new one.
    StateInvalidated,
    /// The image cannot be loaded.
    BadImage,
    /// The first version failed, so there is nothing to go back to.
    InitialFailure,
    /// The guest returned a negative number.
    User,
    /// Any other signal (on Windows: exception), by its number; 0 where the host does not know it.
    Other(i32),
}

impl Failure {
    /// `None` for the number that means "no failure". No other number is lost.
    pub(crate) const fn from_code(code: c_int) -> Option<Self> {
        Some(match code {
            0 => return None,
            1 => Self::Segfault,
            2 => Self::Illegal,
            3 => Self::Abort,
            4 => Self::Misalign,
            5 => Self::Bounds,
            6 => Self::StackOverflow,
            7 => Self::StateInvalidated,
            8 => Self::BadImage,
            9 => Self::InitialFailure,
            0x100 => Self::User,
            other => Self::Other(other.wrapping_sub(OTHER)),
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Segfault => "segmentation fault",
            Self::Illegal => "illegal instruction",
            Self::Abort => "abort",
            Self::Misalign => "misaligned access",
            Self::Bounds => "array bounds exceeded",
            Self::StackOverflow => "stack overflow",
            Self::StateInvalidated => "state does not fit",
            Self::BadImage => "image cannot be loaded",
            Self::InitialFailure => "first version failed",
            Self::User => "guest reported an error",
            Self::Other(0) => "unknown fault",
            Self::Other(number) => return write!(f, "signal {number}"),
        })
    }
}

/// Numbers from here on are this plus the number of a signal.
const OTHER: c_int = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_contract_has_its_name_and_no_other_number_is_lost() {
        let names = [
            "segmentation fault",
            "illegal instruction",
            "abort",
            "misaligned access",
            "array bounds exceeded",
            "stack overflow",
            "state does not fit",
            "image cannot be loaded",
            "first version failed",
            "unknown fault",
            "signal 1",
        ];
        assert_eq!(Failure::from_code(0), None);
        for (code, name) in (1..).zip(names) {
            assert_eq!(Failure::from_code(code).map(|failure| failure.to_string()).unwrap(), name);
        }
        assert_eq!(Failure::from_code(0x100), Some(Failure::User));
        assert_eq!(Failure::from_code(0x101), Some(Failure::Other(0x101 - 10)));
        assert_eq!(Failure::from_code(-1), Some(Failure::Other(-11)));
        assert_eq!(Failure::from_code(c_int::MIN), Some(Failure::Other(c_int::MAX - 9)));
    }
}
