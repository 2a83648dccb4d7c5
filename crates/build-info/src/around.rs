//! What lies around a binary: what its build system wrote down of the commands and of the files
//! that they read.

mod cargo;
mod compiler;
mod database;
mod depfile;
mod fill;
mod find;
mod index;
mod link;
mod log;
mod ninja;
mod options;
mod question;
mod system;

pub use cargo::{Artifact, CargoOutput};
pub use compiler::ask_compilers;
pub use depfile::{Depfile, Rule};
pub use ninja::{Dependencies, Edge, Manifest, NinjaLog};

use std::sync::Arc;

use crate::{Command, Provenance, Stamp};

/// What a build system says of how things were made.
///
/// Put together by [`find`](Self::find) from what is there, or by hand from what
/// [`CompileCommands`](Self::add_compile_commands) and the like say. Then
/// [`BuildInfo::fill`](crate::BuildInfo::fill) takes what it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// How each thing was compiled.
    pub steps: Vec<Step>,
    /// How things were linked, or put into archives.
    pub links: Vec<Link>,
    /// The image, where it was linked to: so that what was compiled twice is told by which of
    /// the two went into it.
    pub image: Option<String>,
    /// What was read for it, and what was not there (all zeros), so that one can tell whether it
    /// would say the same today. Dependency files that are new are not noticed.
    pub witnesses: Vec<(String, Stamp)>,
    /// What could not be read, and why.
    pub remarks: Vec<String>,
}

/// How one thing was compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The directory that it was done in, and that relative paths start from. A depfile does not
    /// say.
    pub directory: Option<String>,
    /// What was compiled.
    pub source: Option<String>,
    /// What came out.
    pub outputs: Vec<String>,
    /// The command, the compiler first.
    pub command: Option<Command>,
    /// All files that were read, where that is known. What many steps read is there once.
    pub inputs: Option<Vec<Arc<str>>>,
    /// Who says so.
    pub provenance: Provenance,
}

/// How things were linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The directory that it was done in, and that relative paths start from.
    pub directory: String,
    /// What came out.
    pub outputs: Vec<String>,
    /// What went in: objects, archives, libraries.
    pub inputs: Vec<String>,
    /// The command, the linker or the compiler that calls it first.
    pub command: Command,
    /// Who says so.
    pub provenance: Provenance,
}

/// What is wrong with a text of a build system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{structure}, line {line}: {what}")]
pub struct TextError {
    /// What was read.
    pub structure: &'static str,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}
