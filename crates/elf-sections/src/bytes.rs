//! The bytes of a file, which are there at once or are read when they are asked for.

use std::fmt;

/// A file's bytes.
#[derive(Clone, Copy)]
pub(crate) enum Bytes<'data> {
    Whole(&'data [u8]),
    Fetched(&'data (dyn Fetch + 'data)),
}

/// A file that keeps what has been read of it.
pub(crate) trait Fetch: Sync {
    fn length(&self) -> u64;

    /// A range of the file; `None` if it is not inside, or cannot be read.
    fn get(&self, offset: u64, size: u64) -> Option<&[u8]>;

    /// As much of a range as there is; nothing if that cannot be read.
    fn up_to(&self, offset: u64, size: u64) -> &[u8];
}

impl<'data> Bytes<'data> {
    pub(crate) fn len(self) -> u64 {
        match self {
            Bytes::Whole(data) => data.len() as u64,
            Bytes::Fetched(source) => source.length(),
        }
    }

    /// The bytes of a range, if all of them are there.
    pub(crate) fn get(self, offset: u64, size: u64) -> Option<&'data [u8]> {
        match self {
            Bytes::Whole(data) => {
                let start = usize::try_from(offset).ok()?;
                data.get(start..)?.get(..usize::try_from(size).ok()?)
            }
            Bytes::Fetched(source) => source.get(offset, size),
        }
    }

    /// As many bytes of a range as there are.
    pub(crate) fn up_to(self, offset: u64, size: u64) -> &'data [u8] {
        match self {
            Bytes::Whole(data) => {
                let there = (data.len() as u64).saturating_sub(offset).min(size);
                self.get(offset, there).unwrap_or_default()
            }
            Bytes::Fetched(source) => source.up_to(offset, size),
        }
    }

    /// Whether every byte costs nothing to look at.
    pub(crate) fn is_whole(self) -> bool {
        matches!(self, Bytes::Whole(_))
    }
}

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} bytes", self.len())
    }
}
