//! The files that units were made from.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Provenance, UnitId};

/// An index into [`BuildInfo::files`](crate::BuildInfo::files).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId(pub u32);

/// A file that units were made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The canonical path, once the paths have been [resolved](crate::BuildInfo::resolve); until
    /// then the path as it is recorded, joined to the directory that is recorded with it. Bytes
    /// that are not UTF-8 stand as U+FFFD.
    pub path: String,
    /// The spellings that are recorded and are not `path`.
    pub spellings: Vec<String>,
    /// Whether the file is there.
    pub found: Found,
    /// The units that were made from it, ascending.
    pub units: Vec<UnitId>,
}

/// Whether a file is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// Nobody has looked.
    #[default]
    Unknown,
    /// It is, under this name.
    At(PathBuf),
    /// It is not, wherever it was looked for.
    Missing,
}

/// That a unit was made from a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileUse {
    /// The file.
    pub file: FileId,
    /// Its checksum as the compiler saw it: an index into
    /// [`BuildInfo::checksums`](crate::BuildInfo::checksums).
    pub checksum: Option<u32>,
    /// Who says so.
    pub provenance: Provenance,
}

/// A checksum of a file's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Checksum {
    /// MD5.
    Md5([u8; 16]),
    /// SHA-1.
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
}

impl Checksum {
    /// The kind's name, as it is printed.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Md5(_) => "md5",
            Self::Sha1(_) => "sha1",
            Self::Sha256(_) => "sha256",
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Md5(bytes) => bytes,
            Self::Sha1(bytes) => bytes,
            Self::Sha256(bytes) => bytes,
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
