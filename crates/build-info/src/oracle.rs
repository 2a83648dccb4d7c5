//! What must hold for every input: the fuzzer and the plain tests call the same functions.

mod around;
mod dwarf;

pub use crate::pdb::oracle::pdb_read;
pub use around::{command_line_split, ninja_deps};
pub use dwarf::dwarf_read;
