//! One replacement of bytes by as many others.

/// Bytes at an offset that are to be replaced by as many others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Edit {
    /// Where the first byte lies, counted from the start of the image.
    pub offset: u64,
    /// The bytes that must be there before the edit.
    pub old: Vec<u8>,
    /// The bytes that are there afterwards: as many as `old`.
    pub new: Vec<u8>,
}

impl Edit {
    /// One past the last byte, or `None` where that is beyond 2⁶⁴.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(u64::try_from(self.new.len()).ok()?)
    }

    /// The edit that undoes this one.
    pub fn invert(&self) -> Edit {
        Edit { offset: self.offset, old: self.new.clone(), new: self.old.clone() }
    }
}

/// What happens behind the last byte that keeps its place: bytes are appended, or taken off again.
///
/// The image must be exactly `offset + old.len()` bytes long before, and is exactly
/// `offset + new.len()` bytes long afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Tail {
    /// Where the tail starts.
    pub offset: u64,
    /// The bytes from there to the end before: empty where bytes are appended.
    pub old: Vec<u8>,
    /// The bytes from there to the end afterwards.
    pub new: Vec<u8>,
}

impl Tail {
    /// The tail that undoes this one.
    pub fn invert(&self) -> Tail {
        Tail { offset: self.offset, old: self.new.clone(), new: self.old.clone() }
    }
}
