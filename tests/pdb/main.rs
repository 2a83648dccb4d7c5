//! PDBs that shipped: those of Microsoft's tools, out of the packages that have them.

/// The packages.
mod corpus;
/// What they say of commands and groups, against LLVM's reader.
mod llvm;
/// What they say, against another reader and against the images beside them.
mod said;
/// The `pdb` crate.
#[path = "../../crates/build-info/tests/pdb/second.rs"]
mod second;
/// What a PDB says of a build, against what the build itself wrote down.
mod truth;
