//! What must hold for every input: the fuzzer and the plain tests call the same functions.

pub use crate::pdb::oracle::pdb_read;
