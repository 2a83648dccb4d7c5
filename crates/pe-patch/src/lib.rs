//! PE images: their sections and debug directory, and another PDB path for any of them, safely.
//!
//! A debugger that has loaded a DLL keeps the DLL's PDB open, and the next build cannot write it.
//! A copy of the DLL under another name helps only if the copy names another PDB: the path stands
//! in a CodeView record of the image, and the record has no room to spare. This crate finds room,
//! on the lowest rung of a [ladder](plan_pdb_path) from the record itself to a section of its own,
//! and pays what a change of an image costs: the checksum is kept right, a signature that can no
//! longer hold is not left in place, and no byte is written that a relocation, a bound import or
//! any other structure has.
//!
//! Every change is a [`patch_plan::Plan`], which can be shown, applied, undone and written to a
//! file, together with a [`Report`] of what it does.
//!
//! ```
//! use pe_patch::{Image, PdbPathOptions, plan_pdb_path};
//!
//! # fn read() -> Vec<u8> { std::fs::read(std::env::current_exe().unwrap()).unwrap() }
//! let bytes = read();
//! match Image::parse(&bytes) {
//!     Ok(image) => {
//!         for entry in image.debug_entries() {
//!             let path = entry.path.map(String::from_utf8_lossy);
//!             println!("{}: {path:?}, room for {:?}", entry.kind.as_str(), entry.capacity);
//!         }
//!         let planned = plan_pdb_path(&image, "game_7.pdb", &PdbPathOptions::default())?;
//!         println!("{}: {}", planned.report.entries[0].rung, planned.plan.show());
//!     }
//!     Err(error) if error.is_incomplete() => println!("still being written: {error}"),
//!     Err(error) => println!("{error}"),
//! }
//! # Ok::<(), pe_patch::Error>(())
//! ```
//!
//! # Large files
//!
//! Reading and planning touch the headers, the debug directory with its records, and what they
//! have to be checked against, such as the relocations. Over a mapped file that does not depend on
//! the file's size. One thing does: whether a stored checksum is right. [`KnownSum`] lets a caller
//! vouch for it, or give the [`Sum`] that it has taken while it read the file anyway, in pieces.
//!
//! # Promises
//!
//! Whatever the bytes: nothing panics, nothing reads outside them, nothing is allocated by a count
//! that the file merely claims, and every walk ends. The crate has no unsafe code. Except for
//! [`Sum::read`] and the feature `pdb` it does no I/O, and everywhere it reads every machine's
//! images. The same image and options give the same plan.
//!
//! The bytes must not change while they are looked at. A file that a linker may still be writing
//! is better read than mapped: a mapping faults when the file is cut short under it.
//!
//! # References
//!
//! - Microsoft, "PE Format", learn.microsoft.com/windows/win32/debug/pe-format: headers, sections,
//!   debug directory, certificate table.
//! - Microsoft, "Windows Authenticode Portable Executable Signature Format", 2008: what a signature
//!   covers.
//! - LLVM, "The PDB File Format": the information and debug information streams.
//! - ECMA-335, II.25, and "Portable PDB v1.0", for .NET images.
//! - A. Albertini, corkami, "PE101" and the collection of odd images: what loaders accept.

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

mod bytes;
mod written;
mod header;
mod section;
mod image;
mod load_config;
mod codeview;
mod debug;
mod writable;
mod relocation;
mod dynamic_relocation;
mod occupancy;
mod checksum;
mod signature;
mod draft;
mod options;
mod report;
mod path;
mod ladder;
mod pdb_path;
mod add;
mod remove;
mod repro;
mod error;
#[cfg(feature = "pdb")]
mod pdb;
#[cfg(feature = "pdb")]
mod pair;
#[cfg(feature = "oracle")]
#[doc(hidden)]
pub mod oracle;

pub use add::plan_add_codeview;
pub use checksum::{StoredChecksum, Sum, checksum};
pub use codeview::{Guid, Identity};
pub use debug::{DebugDirectory, DebugEntry, DebugKind, Problem};
pub use error::{Error, Structure};
pub use header::{DataDirectory, DirectoryKind, Format, Header, Machine};
pub use image::Image;
pub use occupancy::Tenant;
pub use options::{KnownSum, PathForm, PdbPathOptions, Signature, Which};
#[cfg(feature = "pdb")]
pub use pair::{Pair, PairError, pair};
#[cfg(feature = "pdb")]
pub use pdb::{PdbError, PdbIdentity, PdbMatch, pdb_matches};
pub use pdb_path::plan_pdb_path;
pub use remove::{Removal, plan_remove_pdb_path};
pub use report::{
    ChecksumReport, Obstacle, PdbPathPlan, Placed, Report, Rung, SignatureReport, Warning,
};
pub use repro::plan_repro_fix;
pub use section::{Section, SectionFlags};
pub use writable::{Excluded, Reason, ThreadLocal, Writable};
