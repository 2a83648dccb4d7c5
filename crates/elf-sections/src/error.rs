//! What was read, where, and what is wrong with it.

use std::fmt;

use crate::{Class, Endian, Kind, Machine};

/// Why bytes are no image, or no image that loads.
///
/// Offsets are counted from the start of the file, addresses are the image's own (before the load
/// bias is added).
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
    /// Reading the image's file failed.
    #[error("{wanted:#x} bytes at {offset:#x} cannot be read: {kind}")]
    Unreadable {
        /// Where the read started.
        offset: u64,
        /// How many bytes it was to give.
        wanted: u64,
        /// What the system said.
        kind: std::io::ErrorKind,
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
    #[error("not an ELF image: starts with {}", Start(.found))]
    NotElf {
        /// The file's first bytes, four at most.
        found: Vec<u8>,
    },
    /// A structure says something impossible.
    #[error("{structure} at {at:#x}: {what} ({found:#x})")]
    Malformed {
        /// What was read.
        structure: Structure,
        /// Its offset, or its address if it was found by one.
        at: u64,
        /// What is impossible about it.
        what: &'static str,
        /// The value that was found.
        found: u64,
    },
    /// The image is for processors of another word size.
    #[error("a {found} image, {expected} wanted")]
    WrongClass {
        /// What the host needs.
        expected: Class,
        /// What the image is.
        found: Class,
    },
    /// The image is for processors of another byte order.
    #[error("a {found} image, {expected} wanted")]
    WrongEndian {
        /// What the host needs.
        expected: Endian,
        /// What the image is.
        found: Endian,
    },
    /// The image is for another processor.
    #[error("an image for {found}, {expected} wanted")]
    WrongMachine {
        /// What the host needs.
        expected: Machine,
        /// What the image is.
        found: Machine,
    },
    /// The processor's relocations are not known.
    #[error("the relocations of {machine} are not known")]
    UnknownRelocations {
        /// The image's processor.
        machine: Machine,
    },
    /// The image is no shared object.
    #[error("file type is {found}, {expected} wanted")]
    WrongKind {
        /// What the host needs.
        expected: Kind,
        /// What the image is.
        found: Kind,
    },
    /// The image is a program that may be loaded anywhere, which only looks like a shared object.
    #[error("a position-independent executable, shared object wanted")]
    Executable,
    /// The image forbids `dlopen`.
    #[error("a shared object linked with -z nodlopen")]
    NoOpen,
    /// A symbol is not among those that the image defines for others.
    #[error("no symbol {symbol} is exported")]
    NoSymbol {
        /// Its name.
        symbol: String,
    },
    /// A library is to be renamed that the image does not need.
    #[error("no library {name} is needed")]
    NotNeeded {
        /// Its name.
        name: String,
    },
    /// A name has a zero byte, which would end it.
    #[error("the name {name} has a zero byte in it")]
    ZeroInName {
        /// The name, escaped.
        name: String,
    },
    /// A structure cannot grow as far as a change needs.
    #[error("{structure}: {wanted:#x} wanted, and there is room for {room:#x}")]
    NoRoom {
        /// What was to grow.
        structure: Structure,
        /// How many bytes, or entries, it would need.
        wanted: u64,
        /// How many there is room for.
        room: u64,
    },
    /// The image relocates itself: a program that is linked statically and may be loaded anywhere,
    /// or a loader. It would not start any more after the change.
    #[error("the image relocates itself, and would not start with another {structure}")]
    SelfRelocating {
        /// What was to change.
        structure: Structure,
    },
    /// The image is whole and does not have a table that the request needs.
    #[error("the image has no {structure}")]
    Absent {
        /// What is missing.
        structure: Structure,
    },
}

impl Error {
    /// Whether more bytes could cure it: the file ends too early, or parts of it have not been
    /// written yet. Everything else stays wrong however long one waits.
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Error::Short { .. } | Error::ZeroFilled { .. })
    }
}

/// A part of an image, for error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Structure {
    /// The ELF header.
    FileHeader,
    /// The program header table.
    ProgramHeaders,
    /// A segment's bytes.
    Segment,
    /// The section header table.
    SectionHeaders,
    /// The section header string table.
    SectionNames,
    /// A section's bytes.
    Section,
    /// The dynamic table.
    DynamicTable,
    /// The dynamic string table, `DT_STRTAB`.
    DynamicStrings,
    /// The dynamic symbol table, `DT_SYMTAB`.
    DynamicSymbols,
    /// The symbol table, `.symtab`, or its strings.
    Symbols,
    /// The hash table `DT_HASH`.
    Hash,
    /// The hash table `DT_GNU_HASH`.
    GnuHash,
    /// The relocation table `DT_RELA`.
    Rela,
    /// The relocation table `DT_REL`.
    Rel,
    /// The relocation table `DT_RELR`.
    Relr,
    /// The relocation table `DT_JMPREL`.
    PltRelocations,
    /// The versions of the dynamic symbols, `DT_VERSYM`.
    SymbolVersions,
    /// The versions wanted from other images, `DT_VERNEED`.
    NeededVersions,
    /// The versions defined, `DT_VERDEF`.
    DefinedVersions,
    /// The initialisers, `DT_INIT` and `DT_INIT_ARRAY`.
    Initializers,
    /// The finalisers, `DT_FINI` and `DT_FINI_ARRAY`.
    Finalizers,
    /// The code at the entry symbol.
    EntryCode,
    /// The unwinding table's header, `PT_GNU_EH_FRAME`.
    UnwindHeader,
    /// The note of the build ID.
    BuildId,
    /// Where the loader looks for libraries, `DT_RUNPATH`.
    RunPath,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Structure::FileHeader => "file header",
            Structure::ProgramHeaders => "program headers",
            Structure::Segment => "segment",
            Structure::SectionHeaders => "section headers",
            Structure::SectionNames => "section names",
            Structure::Section => "section",
            Structure::DynamicTable => "dynamic table",
            Structure::DynamicStrings => "dynamic strings",
            Structure::DynamicSymbols => "dynamic symbols",
            Structure::Symbols => "symbols",
            Structure::Hash => "hash table",
            Structure::GnuHash => "GNU hash table",
            Structure::Rela => "relocations with addends",
            Structure::Rel => "relocations",
            Structure::Relr => "relative relocations",
            Structure::PltRelocations => "PLT relocations",
            Structure::SymbolVersions => "symbol versions",
            Structure::NeededVersions => "needed versions",
            Structure::DefinedVersions => "defined versions",
            Structure::Initializers => "initialisers",
            Structure::Finalizers => "finalisers",
            Structure::EntryCode => "entry code",
            Structure::UnwindHeader => "unwinding header",
            Structure::BuildId => "build ID",
            Structure::RunPath => "run path",
        })
    }
}

/// The first bytes of something that is no image.
struct Start<'a>(&'a [u8]);

impl fmt::Display for Start<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
