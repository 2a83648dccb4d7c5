//! The files that debug information goes on in: where they may be, and how they are opened.

use std::path::{Path, PathBuf};

use crate::ReadAt;

/// A file that an image's debug information goes on in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Companion {
    /// The debug information of an image with this build-id.
    BuildId(Vec<u8>),
    /// The debug information of an image that names it (`.gnu_debuglink`).
    DebugLink(String),
    /// What several images have in common, as dwz takes it out (`.gnu_debugaltlink`, `.debug_sup`).
    Supplement {
        /// Its path, as it is recorded.
        name: String,
        /// Its build-id, or its checksum.
        id: Vec<u8>,
    },
    /// The split unit that a skeleton names (`.dwo`).
    SplitUnit {
        /// The directory that the compiler ran in.
        directory: Option<String>,
        /// Its path, as it is recorded.
        name: String,
    },
    /// The package of all split units (`.dwp`).
    SplitPackage,
    /// The debug information of a Mach-O image (`.dSYM`).
    DebugSymbols([u8; 16]),
    /// An object that a Mach-O image's debug map names, or the archive that it is in.
    Object(String),
}

/// Finds and opens companions.
///
/// A reader asks for the places of each that it has use for, opens one after the other, and takes
/// the first that belongs to the image, by what ties the two together.
pub trait Companions {
    /// Where it may be, most likely first.
    fn places(&self, wanted: &Companion) -> Vec<PathBuf>;

    /// What is at a place, if there is a file.
    fn open(&self, place: &Path) -> Option<Opened>;
}

/// A companion that was opened.
pub struct Opened {
    /// Its bytes.
    pub source: Box<dyn ReadAt>,
    /// When it was modified, in seconds since 1970, where that is known.
    pub modified: Option<u64>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("modified", &self.modified).finish_non_exhaustive()
    }
}

/// There are none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alone;

impl Companions for Alone {
    fn places(&self, _: &Companion) -> Vec<PathBuf> {
        Vec::new()
    }

    fn open(&self, _: &Path) -> Option<Opened> {
        None
    }
}
