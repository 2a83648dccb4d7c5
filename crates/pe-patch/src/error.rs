//! What was read or planned, where, and what is wrong with it.

use std::fmt;

use crate::{Obstacle, Tenant};

/// Why bytes are no image, or why a change of one cannot be planned.
///
/// Offsets are counted from the start of the file; addresses are relative to the image's base.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The image ends before a structure does.
    #[error("{structure}: {wanted:#x} bytes wanted at {offset:#x}, image ends at {end:#x}")]
    Short {
        /// What was to be read.
        structure: Structure,
        /// How many bytes it takes.
        wanted: u64,
        /// Its offset.
        offset: u64,
        /// The length of the image.
        end: u64,
    },
    /// A structure that cannot be all zeros is: its file has been sized, but not yet filled.
    #[error("{structure} at {offset:#x}: not written yet, all zeros")]
    ZeroFilled {
        /// What was to be read.
        structure: Structure,
        /// The offset of the zeros.
        offset: u64,
    },
    /// The file is of another format.
    #[error("not a PE image: {structure} at {offset:#x} is \"{}\"", .found.escape_ascii())]
    NotPe {
        /// What was to be read.
        structure: Structure,
        /// The offset at which that became clear.
        offset: u64,
        /// The bytes there, four at most.
        found: Vec<u8>,
    },
    /// A structure says something impossible.
    #[error("{structure} at {at:#x}: {what} ({found:#x})")]
    Malformed {
        /// What was read.
        structure: Structure,
        /// Its offset.
        at: u64,
        /// What is impossible about it.
        what: &'static str,
        /// The value that was found.
        found: u64,
    },
    /// No entry of the debug directory has a path.
    #[error("the image has no PDB path")]
    NoPath,
    /// The chosen entry does not exist, or has no path.
    #[error("the debug directory has no entry {index} with a PDB path")]
    NoSuchEntry {
        /// The index that was asked for.
        index: u32,
    },
    /// The image has a CodeView record already.
    #[error("the debug directory has a CodeView record already: entry {index}")]
    HasCodeView {
        /// The first entry that has one.
        index: u32,
    },
    /// The image has no REPRO entry with a hash.
    #[error("the debug directory has no REPRO entry that holds a hash")]
    NoRepro,
    /// The new path cannot be stored.
    #[error("the new path {what}")]
    BadPath {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The image is signed, and the caller has not allowed to take the signature off.
    #[error("the image is signed ({size:#x} bytes at {offset:#x}); a change needs that stripped")]
    Signed {
        /// Where the certificate table starts, as the image says it.
        offset: u64,
        /// How many bytes it has, as the image says it.
        size: u64,
    },
    /// A byte that would change is one that the loader changes too.
    #[error("{offset:#x}: the byte belongs to a word that the loader relocates at {address:#x}")]
    Relocated {
        /// The offset of the byte.
        offset: u64,
        /// The address of the word.
        address: u64,
    },
    /// A byte that would change is one that a dynamic relocation (DVRT) changes too.
    #[error("{offset:#x}: the byte belongs to a dynamic relocation at {address:#x}")]
    DynamicallyRelocated {
        /// The offset of the byte.
        offset: u64,
        /// The address of the relocated bytes.
        address: u64,
    },
    /// A byte that would change belongs to another structure as well.
    #[error("{offset:#x}: the byte belongs to the {tenant} too")]
    Shared {
        /// The offset of the byte.
        offset: u64,
        /// Whose it is.
        tenant: Tenant,
    },
    /// There is no place for the record, on any rung of the ladder.
    #[error("no room for {wanted} bytes: {}", Listed(.obstacles))]
    NoRoom {
        /// How many bytes were wanted.
        wanted: u64,
        /// What is in the way, in the order of the rungs.
        obstacles: Vec<Obstacle>,
    },
    /// Two changes claim one byte: structures that no linker lays over each other.
    #[error(transparent)]
    Plan(#[from] patch_plan::Error),
}

impl Error {
    /// Whether more bytes could cure it: the file ends too early, or parts of it have not been
    /// written yet. Everything else stays wrong however long one waits.
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Error::Short { .. } | Error::ZeroFilled { .. })
    }

    /// The offset in the file at which it became clear, where there is one.
    pub fn offset(&self) -> Option<u64> {
        match *self {
            Error::Short { offset, .. }
            | Error::ZeroFilled { offset, .. }
            | Error::NotPe { offset, .. }
            | Error::Signed { offset, .. }
            | Error::Relocated { offset, .. }
            | Error::DynamicallyRelocated { offset, .. }
            | Error::Shared { offset, .. } => Some(offset),
            Error::Malformed { at, .. } => Some(at),
            _ => None,
        }
    }
}

/// A part of an image, for error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Structure {
    /// The DOS header.
    DosHeader,
    /// The NT headers' signature and the file header.
    FileHeader,
    /// The optional header without its data directories.
    OptionalHeader,
    /// The data directories.
    DataDirectories,
    /// The section table.
    SectionTable,
    /// A section's bytes.
    Section,
    /// The debug directory.
    DebugDirectory,
    /// A record that an entry of the debug directory leads to.
    DebugRecord,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Structure::DosHeader => "DOS header",
            Structure::FileHeader => "file header",
            Structure::OptionalHeader => "optional header",
            Structure::DataDirectories => "data directories",
            Structure::SectionTable => "section table",
            Structure::Section => "section",
            Structure::DebugDirectory => "debug directory",
            Structure::DebugRecord => "debug record",
        })
    }
}

struct Listed<'a>(&'a [Obstacle]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, obstacle) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{obstacle}")?;
        }
        Ok(())
    }
}
