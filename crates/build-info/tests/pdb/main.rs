//! PDBs: hand-made ones, generated ones and linkers', against what they were made from and against
//! another reader.

/// Programs of any size, for the bench too.
mod big;
/// What is broken: said, and never worse.
mod damage;
/// The bench's.
mod large;
/// Small and made to multiply.
mod greedy;
/// Linked here, by LLVM's tools.
mod linked;
/// PDBs field by field.
mod maker;
/// What each record of the format becomes in the model.
mod meaning;
/// Containers.
mod msf;
/// The `pdb` crate.
mod second;
/// The same streams in any layout.
mod variants;
