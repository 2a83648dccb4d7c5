//! Program databases of Microsoft's tools, LLVM's and Rust's for Windows.
//!
//! A PDB is a small file system of streams. What is asked here is in a few of them and near the
//! front of most: this reader looks at those parts alone, through a window, and stops early. A
//! file in memory is looked at where it is.
//!
//! What was read and what it means is apart: a module of this one has one structure of the format.

mod bytes;
mod msf;
mod window;
mod info;
mod dbi;
mod sections;
mod symbols;
mod compile;
mod ids;
mod checksums;
mod contributions;
mod kind;
mod files;
mod offsets;
mod budget;
mod reader;
mod publics;
#[cfg(feature = "oracle")]
pub(crate) mod oracle;

use crate::{BuildInfo, Error, Identity, Questions, ReadAt};

pub use publics::{Symbol, symbol, symbol_at};

/// Reads what a PDB says of how its image was built.
///
/// Of a module that is damaged what can be read is kept, and what cannot is said in
/// [`BuildInfo::remarks`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bytes = vec![0_u8; 64];
/// # let path = "game.pdb";
/// # if false {
/// let pdb = std::fs::File::open(path)?;
/// let info = build_info::pdb::read(&pdb, &build_info::Questions::FILES)?;
/// for unit in &info.units {
///     println!("{} of {} files", unit.module, unit.files.len());
/// }
/// # }
/// assert!(build_info::pdb::read(&bytes, &Default::default()).is_err());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error`] for what is no PDB, is cut short, or is damaged where everything else is found from:
/// the directory of streams and the list of modules.
pub fn read(source: &(impl ReadAt + ?Sized), questions: &Questions) -> Result<BuildInfo, Error> {
    reader::read(&source, questions)
}

/// Whether a file that begins like this is for [`read`], which also says of some what they are
/// instead.
pub(crate) fn is_known(start: &[u8]) -> bool {
    msf::is_known(start)
}

/// What tells this PDB from another: a few kilobytes are read, whatever its size.
///
/// The age is that of the debug information stream, which the linker copied into the image; the
/// PDB's own grows when tools add to it later.
///
/// # Errors
///
/// As [`read`].
pub fn identity(source: &(impl ReadAt + ?Sized)) -> Result<Identity, Error> {
    reader::identity(&source)
}
