//! A translation unit, and what else a linker took for one.

use serde::{Deserialize, Serialize};

use crate::{Fact, FileUse};

/// An index into [`BuildInfo::units`](crate::BuildInfo::units).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnitId(pub u32);

/// A translation unit, or another module that a linker put into the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// The path of what was linked: an object file, or a member of an archive. Empty where the
    /// format does not record it, as ELF does not.
    pub module: String,
    /// The archive that the module was taken from.
    pub archive: Option<String>,
    /// The path of what was compiled. It differs from `module` where a build moves its objects.
    pub object: Option<Fact<String>>,
    /// The source, as the compiler was given it.
    pub source: Option<Fact<String>>,
    /// The directory that the compiler ran in, and that relative paths start from.
    pub cwd: Option<Fact<String>>,
    /// The compiler's executable.
    pub compiler: Option<Fact<String>>,
    /// The PDB that the compiler wrote types to.
    pub compiler_pdb: Option<Fact<String>>,
    /// The command.
    pub command: Option<Fact<Command>>,
    /// The options `-D` and `-U` that it was compiled with, in their order, where the command leaves
    /// them out and macro information has them: `-DNAME`, `-DNAME=value`, `-UNAME`.
    pub definitions: Vec<String>,
    /// What kind of module it is.
    pub kind: Kind,
    /// The language's usual name, as in "C++".
    pub language: Option<String>,
    /// The machine that code was made for.
    pub target: Option<String>,
    /// The version of the front end.
    pub front_end: Option<Version>,
    /// The version of the back end.
    pub back_end: Option<Version>,
    /// What the compiler calls itself; `DW_AT_producer` in DWARF.
    pub producer: Option<String>,
    /// What is known of how it was compiled, ascending.
    pub flags: Vec<Flag>,
    /// The files that it was made from, its source among them.
    pub files: Vec<FileUse>,
    /// How many bytes of the image it contributed; what several units claim counts for the first.
    pub size: u64,
}

/// What kind of module a unit is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[non_exhaustive]
pub enum Kind {
    /// Compiled from source of the program or its libraries.
    #[default]
    Source,
    /// The C runtime's own: what starts and ends the program, checks its stack, and the like.
    Runtime,
    /// Resources.
    Resource,
    /// The import of a dynamic library.
    Import,
    /// What was made when link-time optimisation generated code, belonging to no one source.
    LinkTimeCode,
    /// The linker itself, and what it made up.
    Linker,
}

/// What is known of how a unit was compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Flag {
    /// For Edit and Continue (`/ZI`).
    EditAndContinue,
    /// Without debug information.
    NoDebugInfo,
    /// With link-time code generation (`/GL`, `-flto`).
    Ltcg,
    /// With data aligned to their size (`/bzalign`).
    NoDataAlign,
    /// With managed code.
    Managed,
    /// With checks of stack buffers (`/GS`).
    SecurityChecks,
    /// With room for a hot patch before and in each function (`/hotpatch`).
    Hotpatch,
    /// Converted by CVTCIL.
    ConvertedByCvtcil,
    /// A module of .NET intermediate language.
    MsilModule,
    /// With additional checks (`/sdl`).
    Sdl,
    /// With profile-guided optimisation.
    Pgo,
    /// An `.exp` module.
    ExpModule,
    /// Optimised (`DW_AT_APPLE_optimized`, or an `-O` that is recorded).
    Optimized,
    /// The debug information itself is in another file (`.dwo`, `.dwp`).
    SplitDebugInfo,
}

/// A version: major, minor, build, revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub [u16; 4]);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, build, revision] = self.0;
        write!(f, "{major}.{minor}.{build}.{revision}")
    }
}

/// The command that a unit was compiled with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// One string, and the rules that it is split by.
    Line {
        /// The string as it is recorded.
        raw: String,
        /// The rules.
        quoting: Quoting,
        /// Whether it is the compiler's executable that comes first, and not an option.
        with_compiler: bool,
        /// Whether the format cut it short.
        cut: bool,
    },
    /// Arguments that are apart already, the compiler's executable first.
    Arguments(Vec<String>),
}

/// By which rules a command line is split into arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Quoting {
    /// Microsoft's C runtime: double quotes, and backslashes only before them.
    Windows,
    /// What GNU's tools, and LLVM's in their place, read in response files: both quotes, and
    /// backslashes within either.
    Gnu,
    /// A POSIX shell's words: both quotes and backslashes, no expansion.
    Posix,
    /// What LLVM records: spaces and backslashes escaped with a backslash, quotes as they are.
    Llvm,
    /// What GCC writes into `DW_AT_producer`: words, apart by spaces, nothing escaped. It is never
    /// the whole command: the names of files and the options `-D`, `-U`, `-I`, `-include` and `-W…`
    /// are not among them.
    Words,
}
