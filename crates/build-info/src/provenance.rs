//! Where a fact is from, and what that is worth.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a fact is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Provenance {
    /// The compiler or linker wrote it into the binary, whole.
    Recorded,
    /// Macro information: every file that was opened, and every macro that was given.
    Macros,
    /// A `compile_commands.json`.
    CompileCommands,
    /// Ninja's manifest or its log of dependencies.
    Ninja,
    /// What CMake wrote for make: `link.txt`.
    Cmake,
    /// What a build printed.
    BuildLog,
    /// A dependency file of a compiler (`-MD`), or cargo's.
    Depfile,
    /// What cargo said while it built (`--message-format=json`).
    CargoMessages,
    /// A compiler that was asked again (`cc -MM`).
    Compiler,
    /// Worked out from other facts, which are recorded.
    Derived,
    /// A dependency file, or Ninja's log of one, that leaves out the system's headers (`-MMD`), or
    /// that nothing says it does not of.
    OwnHeaders,
    /// A line table: the files that left code or lines behind, and so a lower bound.
    LineTable,
}

impl Provenance {
    /// The name, as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Macros => "macros",
            Self::CompileCommands => "compile_commands",
            Self::Ninja => "ninja",
            Self::Cmake => "cmake",
            Self::BuildLog => "build log",
            Self::Depfile => "depfile",
            Self::CargoMessages => "cargo",
            Self::Compiler => "compiler",
            Self::Derived => "derived",
            Self::OwnHeaders => "depfile: without the system's headers",
            Self::LineTable => "line table: lower bound",
        }
    }

    /// Whether a list of files from there may leave out some.
    pub(crate) fn is_lower_bound(self) -> bool {
        matches!(self, Self::OwnHeaders | Self::LineTable)
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A value and where it is from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fact<T> {
    /// The value.
    pub value: T,
    /// Where it is from.
    pub provenance: Provenance,
}

impl<T> Fact<T> {
    /// A value that the binary itself records.
    pub fn recorded(value: T) -> Self {
        Self { value, provenance: Provenance::Recorded }
    }
}
