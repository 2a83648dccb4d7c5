//! PE images: sections and debug directory; another PDB path for any of them, safely.
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

mod add;
mod bytes;
mod checksum;
mod codeview;
mod debug;
mod draft;
mod dynamic_relocation;
mod error;
mod header;
mod image;
mod ladder;
mod load_config;
mod occupancy;
mod options;
#[cfg(feature = "oracle")]
#[doc(hidden)]
pub mod oracle;
#[cfg(feature = "pdb")]
mod pair;
mod path;
#[cfg(feature = "pdb")]
mod pdb;
mod pdb_path;
mod relocation;
mod remove;
mod report;
mod repro;
mod section;
mod signature;
mod writable;

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
