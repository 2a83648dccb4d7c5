//! What was read, where, and what is wrong with it.

use std::fmt;

/// Why bytes are no image, or why a change cannot be planned.
///
/// Offsets are counted from the start of what was parsed: the file for a container, the slice for
/// an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end before a structure does.
    #[error("{structure}: {wanted:#x} bytes wanted at {offset:#x}, image ends at {end:#x}")]
    Short {
        /// What was to be read.
        structure: Structure,
        /// How many bytes it takes.
        wanted: u64,
        /// Its offset.
        offset: u64,
        /// The length of the bytes there are.
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
    #[error("not a Mach-O image: starts with \"{}\"", .found.escape_ascii())]
    NotMachO {
        /// The file's first bytes, four at most.
        found: Vec<u8>,
    },
    /// The file is a Java class, whose magic number is that of fat files.
    #[error("a Java class of version {major}, not a fat file")]
    JavaClass {
        /// The class file's major version.
        major: u16,
    },
    /// The file is fat: it holds images, and is none itself.
    #[error("a fat file, which holds images for several processors: one of its slices wanted")]
    Fat,
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
    /// A structure is of a kind that this crate does not read.
    #[error("{structure} at {at:#x}: {what} ({found:#x}) cannot be read")]
    Unsupported {
        /// What was read.
        structure: Structure,
        /// Its offset.
        at: u64,
        /// What is unknown about it.
        what: &'static str,
        /// The value that was found.
        found: u64,
    },
    /// The image is whole and does not have what the request needs.
    #[error("the image has no {structure}")]
    Absent {
        /// What is missing.
        structure: Structure,
    },
    /// The load commands cannot grow as much as a change needs.
    #[error("load commands: {wanted:#x} bytes more wanted, {free:#x} free before the contents")]
    NoRoom {
        /// How many bytes the commands would grow by.
        wanted: u64,
        /// How many there are.
        free: u64,
    },
    /// The image is signed by somebody's key, which a change would invalidate for good.
    #[error("signed with a real identity{}: only an ad-hoc signature can be renewed without its key", Team(.team))]
    RealIdentity {
        /// The team identifier, if the signature has one.
        team: Option<String>,
    },
    /// What is asked for cannot be.
    #[error("{structure}: {what}")]
    Impossible {
        /// What was to be changed.
        structure: Structure,
        /// Why it cannot be.
        what: &'static str,
    },
    /// A change would touch what a signature is made of, or what lies behind the signed bytes.
    #[error("edit at {offset:#x}: {what}")]
    Refused {
        /// Where the edit starts, from the start of the file.
        offset: u64,
        /// Why it cannot be signed.
        what: &'static str,
    },
    /// A plan's edits contradict each other or the bytes.
    #[error(transparent)]
    Plan(#[from] patch_plan::Error),
}

impl Error {
    /// Whether more bytes could cure it: the file ends too early, or parts of it have not been
    /// written yet. Everything else stays wrong however long one waits.
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Error::Short { .. } | Error::ZeroFilled { .. })
    }

    pub(crate) fn malformed(
        structure: Structure,
        at: u64,
        what: &'static str,
        found: impl Into<u64>,
    ) -> Error {
        Error::Malformed { structure, at, what, found: found.into() }
    }
}

/// A part of an image, for error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Structure {
    /// The header of a fat file and its list of slices.
    FatHeader,
    /// A slice of a fat file.
    Slice,
    /// The Mach-O header.
    FileHeader,
    /// The load commands as a whole, or one of them.
    LoadCommand,
    /// A segment's bytes.
    Segment,
    /// A section's header or bytes.
    Section,
    /// The symbol table or its strings.
    Symbols,
    /// The chained fixups, `LC_DYLD_CHAINED_FIXUPS`.
    ChainedFixups,
    /// The rebase opcodes of `LC_DYLD_INFO`.
    RebaseOpcodes,
    /// The bind, weak bind or lazy bind opcodes of `LC_DYLD_INFO`.
    BindOpcodes,
    /// The code signature, `LC_CODE_SIGNATURE`.
    CodeSignature,
    /// A code directory of the code signature.
    CodeDirectory,
    /// The identification, `LC_UUID`.
    Uuid,
    /// The install name, `LC_ID_DYLIB`.
    InstallName,
    /// A run path, `LC_RPATH`.
    Rpath,
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Structure::FatHeader => "fat header",
            Structure::Slice => "slice",
            Structure::FileHeader => "file header",
            Structure::LoadCommand => "load command",
            Structure::Segment => "segment",
            Structure::Section => "section",
            Structure::Symbols => "symbols",
            Structure::ChainedFixups => "chained fixups",
            Structure::RebaseOpcodes => "rebase opcodes",
            Structure::BindOpcodes => "bind opcodes",
            Structure::CodeSignature => "code signature",
            Structure::CodeDirectory => "code directory",
            Structure::Uuid => "UUID",
            Structure::InstallName => "install name",
            Structure::Rpath => "run path",
        })
    }
}

/// ` (team X)`, or nothing.
struct Team<'a>(&'a Option<String>);

impl fmt::Display for Team<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(team) => write!(f, " (team {team})"),
            None => Ok(()),
        }
    }
}
