//! What was read, where, and what is wrong with it.

use std::io;

/// Why build information cannot be read.
///
/// Offsets are counted from the start of the file, or of the stream or section that `structure`
/// names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system could not read.
    #[error("{structure} at {offset:#x}: {source}")]
    Io {
        /// What was to be read.
        structure: &'static str,
        /// Its offset.
        offset: u64,
        /// What the system says.
        source: io::Error,
    },
    /// What holds a structure ends before the structure does.
    #[error("{structure}: {wanted:#x} bytes wanted at {offset:#x}, only {end:#x} are there")]
    Short {
        /// What was to be read.
        structure: &'static str,
        /// How many bytes it takes.
        wanted: u64,
        /// Its offset.
        offset: u64,
        /// The length of what holds it.
        end: u64,
    },
    /// The bytes are of another format.
    #[error("not {expected}: begins with \"{}\"", .found.escape_ascii())]
    WrongFormat {
        /// What was expected.
        expected: &'static str,
        /// The first bytes, 16 at most.
        found: Vec<u8>,
    },
    /// A structure says something impossible.
    #[error("{structure} at {at:#x}: {what} ({found:#x})")]
    Malformed {
        /// What was read.
        structure: &'static str,
        /// Its offset.
        at: u64,
        /// What is impossible about it.
        what: &'static str,
        /// The value that was found.
        found: u64,
    },
    /// The format is known, but this kind of it holds nothing that could be read.
    #[error("{what}: {cure}")]
    Unsupported {
        /// What it is.
        what: &'static str,
        /// What to do instead.
        cure: &'static str,
    },
}

impl Error {
    /// Whether more bytes could help: the file may still be being written.
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Self::Short { .. })
    }
}
