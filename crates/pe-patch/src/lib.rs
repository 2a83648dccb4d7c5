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
mod path;
mod pdb_path;
mod relocation;
mod remove;
mod report;
mod section;
mod signature;

pub use add::plan_add_codeview;
pub use checksum::{StoredChecksum, Sum, checksum};
pub use codeview::{Guid, Identity};
pub use debug::{DebugDirectory, DebugEntry, DebugKind, Problem};
pub use error::{Error, Structure};
pub use header::{DataDirectory, DirectoryKind, Format, Header, Machine};
pub use image::Image;
pub use occupancy::Tenant;
pub use options::{KnownSum, PathForm, PdbPathOptions, Signature, Which};
pub use pdb_path::plan_pdb_path;
pub use remove::{Removal, plan_remove_pdb_path};
pub use report::{
    ChecksumReport, Obstacle, PdbPathPlan, Placed, Report, Rung, SignatureReport, Warning,
};
pub use section::{Section, SectionFlags};
