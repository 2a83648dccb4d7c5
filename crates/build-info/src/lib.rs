//! Which units a binary was built of, compiled how, from which files, contributing what.
//!
//! Debug information is written for debuggers, and a build system's database lies elsewhere or
//! nowhere. But what a linker leaves beside an image says nearly all that is needed to build a part
//! of it again: the translation units, the command of each, the files that each was made from, and
//! whose the bytes at an address are. This crate reads that into one model, [`BuildInfo`], whatever
//! the format. What a format does not record is taken from what lies around, and each fact says
//! where it is from ([`Provenance`]), so that nobody takes a partial list for a whole one.
//!
//! ```
//! use build_info::{Questions, Resolve};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut info = build_info::open(&std::env::current_exe()?, &Questions::ALL)?;
//! info.resolve(&Resolve::lexical());
//! for unit in &info.units {
//!     println!("{}: {} files, {} bytes", unit.name(), unit.files.len(), unit.size);
//! }
//! for path in info.files.iter().take(1).map(|file| file.path.as_str()) {
//!     println!("{path}: {} units", info.affected(&[path]).units.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Promises
//!
//! Whatever the bytes: nothing panics, nothing reads outside them, nothing is allocated by a count
//! that the file merely claims, and every walk ends. The crate has no unsafe code. Only
//! [`around::ask_compilers`] runs other programs.
//!
//! # References
//!
//! - Microsoft, "microsoft-pdb", github.com/microsoft/microsoft-pdb; LLVM, "The PDB File Format",
//!   llvm.org/docs/PDB: the container, its streams, symbols and types.
//! - DWARF Debugging Information Format, versions 2 to 5, dwarfstd.org; its extensions by GNU for
//!   split and compressed information (`DW_AT_GNU_*`, `.gnu_debugaltlink`).
//! - System V ABI, gabi.xinuos.com; "Separate Debug Files", the GDB manual.
//! - Clang, "JSON Compilation Database Format Specification"; the Ninja manual and its `.ninja_deps`
//!   as of version 1.11; the Cargo Book, "External tools".

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

mod model;
mod unit;
mod file;
mod contribution;
mod provenance;
mod questions;
mod source;
mod sys;
mod error;
pub mod pdb;
mod dwarf;
mod symbol_table;
pub mod elf;
pub mod macho;
mod cursor;
mod companion;
mod nearby;
mod read;
#[cfg(feature = "oracle")]
pub mod oracle;

mod command;
mod path;
mod database;
pub mod around;
mod affected;
mod diff;
mod cache;

pub use affected::{Affected, Match, Recognised};
pub use cache::{Cache, CacheKey};
pub use command::{Expanded, Split, expand_response_files};
pub use companion::{Companion, Companions, Opened};
pub use contribution::{Claim, Contribution, Group, Owners};
pub use database::{CompileCommand, Database, Gap, Wanting};
pub use diff::{Change, Changed, Diff};
pub use error::Error;
pub use file::{Checksum, File, FileId, FileUse, Found};
pub use model::{BuildInfo, Format, Identity, Linker};
pub use nearby::Nearby;
pub use path::{Disk, Entry, EntryKind, MapError, PathMap, Resolve, Stamp, Style, System};
pub use provenance::{Fact, Provenance};
pub use questions::Questions;
pub use read::{identity, open, read, read_with};
pub use source::ReadAt;
pub use unit::{Command, Flag, Kind, Quoting, Unit, UnitId, Version};
