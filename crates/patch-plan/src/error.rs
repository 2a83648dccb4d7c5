//! Why a plan could not be made, applied or written.

use std::io;
use std::path::{Path, PathBuf};

use crate::show::Hex;

/// Why a plan cannot be made, or does not apply to some bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An edit replaces bytes by more or by fewer.
    #[error("edit at {offset:#x}: {old} bytes cannot be replaced by {new}")]
    LengthsDiffer {
        /// Where the edit starts.
        offset: u64,
        /// How many bytes it expects.
        old: usize,
        /// How many it would write.
        new: usize,
    },
    /// Two edits claim the same byte.
    #[error("edit at {offset:#x}: overlaps the edit at {other:#x}")]
    Overlap {
        /// Where the later edit starts.
        offset: u64,
        /// Where the edit it collides with starts.
        other: u64,
    },
    /// A plan can have one tail only.
    #[error("tail at {offset:#x}: the plan already has a tail at {other:#x}")]
    SecondTail {
        /// Where the refused tail starts.
        offset: u64,
        /// Where the tail starts that is there already.
        other: u64,
    },
    /// An edit reaches beyond the end.
    #[error("edit at {offset:#x}: {wanted} bytes wanted, image ends at {end:#x}")]
    OutOfRange {
        /// Where the edit starts.
        offset: u64,
        /// How many bytes it covers.
        wanted: u64,
        /// Where the image ends.
        end: u64,
    },
    /// The bytes are not the ones the plan was made for.
    #[error("{offset:#x}: expected {}, found {}", Hex(.expected), Hex(.found))]
    Mismatch {
        /// Where the edit starts.
        offset: u64,
        /// What the edit expects.
        expected: Vec<u8>,
        /// What is there.
        found: Vec<u8>,
    },
    /// The plan has a tail, and the image does not end where the tail does.
    #[error("image ends at {end:#x}, the plan is for one that ends at {expected:#x}")]
    WrongLength {
        /// Where the image should end.
        expected: u64,
        /// Where it ends.
        end: u64,
    },
    /// The plan has a tail, and a slice can neither grow nor shrink.
    #[error(
        "the plan changes the length by a tail at {offset:#x}, and a slice cannot change its length"
    )]
    LengthChanges {
        /// Where the tail starts.
        offset: u64,
    },
}

/// Why a plan could not be written to a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The plan does not apply to what is in the file.
    #[error("{}: {source}", .path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: Error,
    },
    /// The operating system refused.
    #[error("{}: {call}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The call that failed.
        call: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The source was written to while it was copied.
    #[error("{}: changed while it was copied", .path.display())]
    SourceChanged {
        /// The source.
        path: PathBuf,
    },
    /// What was read back is not what was written.
    #[error("{}: {offset:#x}: wrote {}, read back {}", .path.display(), Hex(.wrote), Hex(.found))]
    NotWritten {
        /// The temporary file, which has been removed.
        path: PathBuf,
        /// Where the edit starts.
        offset: u64,
        /// What was written.
        wrote: Vec<u8>,
        /// What was read.
        found: Vec<u8>,
    },
}

impl FileError {
    /// Makes the system's error say which call on which file it came from.
    pub(crate) fn io(
        path: &Path,
        call: &'static str,
    ) -> impl FnOnce(io::Error) -> FileError + use<> {
        let path = path.to_owned();
        move |source| FileError::Io { path, call, source }
    }
}
