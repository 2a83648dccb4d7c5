//! The debug directory: its entries, what they lead to, and where they lie.

mod problem;
mod read;

use std::ops::Range;

use object::pe;

pub use problem::Problem;
pub(crate) use read::{MOST_ENTRIES, repro_hash};

use crate::codeview::{CodeView, Guid};
use crate::image::Image;
use crate::{Error, Structure};

/// The debug directory of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugDirectory<'data> {
    /// Where its entries are in the file; empty if the file does not hold them.
    pub range: Range<u64>,
    /// The entries, in the directory's order.
    pub entries: Vec<DebugEntry<'data>>,
    /// What is wrong with the directory as a whole.
    pub problems: Vec<Problem>,
}

/// An entry of the debug directory, and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugEntry<'data> {
    /// Its place in the directory, from 0.
    pub index: u32,
    /// Where the entry itself is in the file.
    pub offset: u64,
    /// What the record holds.
    pub kind: DebugKind,
    /// `TimeDateStamp`.
    pub time_date_stamp: u32,
    /// `MajorVersion`.
    pub major_version: u16,
    /// `MinorVersion`; `0x504d` marks the CodeView record of a portable PDB.
    pub minor_version: u16,
    /// `AddressOfRawData`: the record's address, 0 if it is in the file only.
    pub address: u32,
    /// `PointerToRawData`: the record's offset in the file.
    pub pointer: u32,
    /// `SizeOfData`: the record's size, as the entry has it.
    pub size: u32,
    /// Where the file holds the record; shorter than `size` where the file does not hold all of
    /// it, and empty where it holds nothing of it.
    pub record: Range<u64>,
    /// The bytes of `record`.
    pub data: &'data [u8],
    /// The PDB's path up to the zero that ends it, or the whole rest of a record without one.
    /// Only `RSDS` and `NB10` records have it.
    pub path: Option<&'data [u8]>,
    /// The GUID of an `RSDS` record.
    pub guid: Option<Guid>,
    /// The age of an `RSDS` or `NB10` record: how often the PDB had been changed.
    pub age: Option<u32>,
    /// The time stamp by which an `NB10` record knows its PDB.
    pub stamp: Option<u32>,
    /// How many bytes of path fit into the record as it is, the ending zero not counted.
    pub capacity: Option<u64>,
    /// Where the entry lies.
    pub problems: Vec<Problem>,
}

/// What a record of the debug directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DebugKind {
    /// A CodeView record that leads to a PDB of version 7.
    Rsds,
    /// A CodeView record that leads to a PDB of version 2.
    Nb10,
    /// CodeView 4.10 debug information in the image.
    Nb09,
    /// CodeView 5.0 debug information in the image.
    Nb11,
    /// A CodeView record of another form, by its first four bytes.
    CodeView([u8; 4]),
    /// A CodeView entry whose record is not there.
    NoCodeView,
    /// COFF symbols and line numbers.
    Coff,
    /// Frame pointer omission.
    Fpo,
    /// The name of a separate file, `.dbg`.
    Misc,
    /// How many functions were compiled with which security features.
    VcFeature {
        /// Objects made before Visual C++ 11.
        before_vc11: u32,
        /// C and C++ objects.
        c_and_cpp: u32,
        /// Those with `/GS`.
        gs: u32,
        /// Those with `/sdl`.
        sdl: u32,
        /// Those with `/guard`.
        guard: u32,
    },
    /// Which contributions the linker laid where.
    Pogo,
    /// Link-time code generation.
    Iltcg,
    /// The build is reproducible: time stamps are hashes. `true` if the record holds the hash.
    Repro {
        /// Whether a hash follows.
        has_hash: bool,
    },
    /// A portable PDB, compressed, in the image.
    EmbeddedPdb {
        /// Its size when it is unpacked.
        unpacked: u32,
    },
    /// A hash of the PDB's contents.
    PdbChecksum,
    /// More of `DllCharacteristics`, such as compatibility with shadow stacks.
    ExDllCharacteristics(u32),
    /// A map for the Linux tool `perf` (.NET).
    PerfMap,
    /// Any other type, by its number.
    Unknown(u32),
}

impl DebugKind {
    /// The kind as one word, for tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            DebugKind::Rsds => "rsds",
            DebugKind::Nb10 => "nb10",
            DebugKind::Nb09 => "nb09",
            DebugKind::Nb11 => "nb11",
            DebugKind::CodeView(_) | DebugKind::NoCodeView => "codeview",
            DebugKind::Coff => "coff",
            DebugKind::Fpo => "fpo",
            DebugKind::Misc => "misc",
            DebugKind::VcFeature { .. } => "vc-feature",
            DebugKind::Pogo => "pogo",
            DebugKind::Iltcg => "iltcg",
            DebugKind::Repro { .. } => "repro",
            DebugKind::EmbeddedPdb { .. } => "embedded-pdb",
            DebugKind::PdbChecksum => "pdb-checksum",
            DebugKind::ExDllCharacteristics(_) => "ex-dll-characteristics",
            DebugKind::PerfMap => "perf-map",
            DebugKind::Unknown(_) => "unknown",
        }
    }
}

impl DebugEntry<'_> {
    /// Whether the record is of a form that has a path: `RSDS` or `NB10`.
    pub fn has_path(&self) -> bool {
        self.path.is_some()
    }

    /// Which form of CodeView record it is, if it is one and there.
    pub(crate) fn codeview(&self) -> Option<CodeView> {
        match self.kind {
            DebugKind::Rsds => Some(CodeView::Rsds),
            DebugKind::Nb10 => Some(CodeView::Nb10),
            _ => None,
        }
    }

    /// How many bytes the record has in front of its path; 0 for one without a path.
    pub(crate) fn path_offset(&self) -> u64 {
        self.codeview().and_then(CodeView::path_offset).unwrap_or_default()
    }

    /// Whether one of the problems is of a kind.
    pub(crate) fn is(&self, problem: fn(&Problem) -> bool) -> bool {
        self.problems.iter().any(problem)
    }
}

impl<'data> DebugDirectory<'data> {
    /// The directory, if every entry was read that the file may have: a plan must know them all.
    pub(crate) fn complete(self) -> Result<DebugDirectory<'data>, Error> {
        let too_many = |problem: &Problem| match *problem {
            Problem::TooManyEntries { claimed } => Some(claimed),
            _ => None,
        };
        match self.problems.iter().find_map(too_many) {
            Some(claimed) => Err(self.too_many(claimed)),
            None => Ok(self),
        }
    }

    /// The error for a directory with this many entries.
    pub(crate) fn too_many(&self, entries: u64) -> Error {
        Error::Malformed {
            structure: Structure::DebugDirectory,
            at: self.range.start,
            what: "it has more than the 128 entries that are read",
            found: entries,
        }
    }
}

impl<'data> Image<'data> {
    /// The debug directory: its entries, what they lead to, and what is wrong with them. Empty for
    /// an image without.
    ///
    /// Only the directory and its records are read, so that the size of the file does not matter.
    /// Of a directory that claims more than 128 entries, the first 128 are read, and no change of
    /// such an image is planned.
    pub fn debug_directory(&self) -> DebugDirectory<'data> {
        read::directory(self)
    }

    /// The entries of the debug directory.
    ///
    /// The problems of the directory as a whole are with
    /// [`debug_directory`](Image::debug_directory).
    pub fn debug_entries(&self) -> Vec<DebugEntry<'data>> {
        self.debug_directory().entries
    }
}

/// The size of an entry.
pub(crate) const ENTRY_SIZE: u64 = size_of::<pe::ImageDebugDirectory>() as u64;
