//! What a plan does, said in words that a program can look at.

use std::fmt;

use patch_plan::Plan;

use crate::image::Image;

/// A planned change of an image's PDB path, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PdbPathPlan {
    /// The edits.
    pub plan: Plan,
    /// What they do.
    pub report: Report,
}

/// What a plan does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The entries of the debug directory that change, in its order.
    pub entries: Vec<Placed>,
    /// What becomes of the checksum.
    pub checksum: ChecksumReport,
    /// What becomes of the signature.
    pub signature: SignatureReport,
    /// What the caller should know.
    pub warnings: Vec<Warning>,
}

/// An entry of the debug directory, and where its record is after the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The entry's index before the plan.
    pub index: u32,
    /// Which rung of the ladder was used.
    pub rung: Rung,
    /// Where the record is: `rung`, except where that says that only the base name was stored.
    pub place: Rung,
    /// The path before.
    pub old_path: Vec<u8>,
    /// The path afterwards.
    pub new_path: Vec<u8>,
    /// Where the record is in the file afterwards.
    pub offset: u64,
    /// The record's address afterwards; `None` if it is not mapped.
    pub address: Option<u64>,
}

/// The rungs of the ladder, from the smallest change to the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// (a) The record has room.
    Record,
    /// (b) The record grows into the alignment gap behind it.
    Gap,
    /// (c) The record moves into the tail of a section, bytes of the file that no structure has.
    Tail,
    /// (d) The record moves into a new section.
    NewSection,
    /// (e) The record moves into the last section, which grows.
    LastSection,
    /// (f) Only the base name was stored, which needs less room.
    BaseName,
}

impl Rung {
    /// The rung as one word, for tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Rung::Record => "record",
            Rung::Gap => "gap",
            Rung::Tail => "tail",
            Rung::NewSection => "new-section",
            Rung::LastSection => "last-section",
            Rung::BaseName => "base-name",
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a rung of the ladder does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Obstacle {
    /// The rung.
    pub rung: Rung,
    /// What is in the way.
    pub reason: &'static str,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rung, self.reason)
    }
}

/// What becomes of the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChecksumReport {
    /// The field before.
    pub before: u32,
    /// The field afterwards: 0 if it was 0, else the right one.
    pub after: u32,
    /// Whether it was right before. `None` if there was none, or if it was taken for right
    /// without looking.
    pub was_right: Option<bool>,
}

/// What becomes of the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureReport {
    /// There is none.
    Unsigned,
    /// There is one, and nothing changes.
    Kept,
    /// The certificate table was the end of the file and is cut off.
    Cut {
        /// Where it started.
        offset: u64,
        /// How many bytes it had.
        size: u64,
    },
    /// The certificate table has something behind it, and is filled with zeros so that nothing
    /// moves.
    Zeroed {
        /// Where it is.
        offset: u64,
        /// How many bytes it has.
        size: u64,
    },
    /// The data directory led to no certificate table; only the directory's entry is cleared.
    Cleared,
}

impl SignatureReport {
    /// The outcome as one word, for tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            SignatureReport::Unsigned => "unsigned",
            SignatureReport::Kept => "kept",
            SignatureReport::Cut { .. }
            | SignatureReport::Zeroed { .. }
            | SignatureReport::Cleared => "stripped",
        }
    }
}

/// Something that the caller of a plan should know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Warning {
    /// The stored checksum was wrong. The plan makes it right.
    ChecksumWasWrong {
        /// What was stored.
        stored: u32,
        /// What it should have been.
        computed: u32,
    },
    /// The image's strong name (.NET) covers bytes that change. Only old runtimes look at it.
    StrongNameInvalid,
    /// The image demands to be signed (`FORCE_INTEGRITY`), and will not load once it is not.
    SignatureDemanded,
    /// The image says that its build is reproducible; it is no longer what the linker made.
    ReproStale,
    /// The new bytes lie behind an overlay, which keeps its place and is no longer the file's end.
    BehindOverlay {
        /// Where the overlay starts.
        overlay: u64,
        /// Where the new bytes start.
        offset: u64,
    },
    /// The record lies in a section that the kernel drops from drivers.
    Discardable {
        /// The section's index.
        section: u16,
    },
    /// The old record stays in the file, because its bytes are not the record's alone.
    OldRecordStays {
        /// Where it is.
        offset: u64,
    },
    /// An entry whose address and offset disagreed now leads to one place.
    EntryRepaired {
        /// The entry's index.
        index: u32,
    },
    /// Bytes behind the zero that ended the old path are erased.
    HiddenBytesErased {
        /// Where they were.
        offset: u64,
    },
    /// A section's bytes reach beyond the end of the file, before the plan and after it.
    CutShort {
        /// The index of the first such section.
        section: u16,
        /// How many of its bytes are missing.
        missing: u64,
    },
    /// The record is in the file only: what reads the image in memory does not see it.
    NotInMemory {
        /// The entry's index.
        index: u32,
    },
}

impl Warning {
    /// The warning that there is to give of an image as it is, whatever is planned.
    pub fn cut_short(image: &Image<'_>) -> Option<Warning> {
        let section = image.cut_short()?;
        Some(Warning::CutShort { section: section.index, missing: section.missing() })
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::ChecksumWasWrong { stored, computed } => {
                write!(f, "the checksum was wrong: {stored:#x} instead of {computed:#x}")
            }
            Warning::StrongNameInvalid => f.write_str("the strong name no longer holds"),
            Warning::SignatureDemanded => {
                f.write_str("the image demands a signature and will not load without one")
            }
            Warning::ReproStale => {
                f.write_str("the image says its build is reproducible, and has been changed since")
            }
            Warning::BehindOverlay { overlay, offset } => {
                write!(f, "the new bytes are at {offset:#x}, behind the overlay at {overlay:#x}")
            }
            Warning::Discardable { section } => {
                write!(f, "section {section}, where the record is, is dropped from drivers")
            }
            Warning::OldRecordStays { offset } => {
                write!(f, "the old record at {offset:#x} stays: its bytes are shared")
            }
            Warning::EntryRepaired { index } => {
                write!(f, "entry {index}: its address and its offset disagreed and now agree")
            }
            Warning::HiddenBytesErased { offset } => {
                write!(f, "bytes behind the old path, from {offset:#x}, are erased")
            }
            Warning::CutShort { section, missing } => {
                write!(
                    f,
                    "the file is cut short: {missing:#x} bytes of section {section} are missing"
                )
            }
            Warning::NotInMemory { index } => {
                write!(f, "entry {index}: its record is in the file only, and not in memory")
            }
        }
    }
}
