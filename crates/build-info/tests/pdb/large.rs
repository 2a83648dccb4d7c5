//! What is large: as many units as large programs have, and as large ones.

use std::path::PathBuf;

use crate::big::{self, Shape};

/// 4,000 units, and some 220,000 uses of files.
const WIDE: Shape =
    Shape { units: 4000, headers: 1500, per_unit: 60, functions: 40, blocks: 0, apart: false };
/// 1,400 units that are large, and some 600,000 contributions.
const DEEP: Shape =
    Shape { units: 1400, headers: 1500, per_unit: 60, functions: 105, blocks: 24, apart: true };

/// Their PDBs, of 126 MB and 372 MB, kept in the target directory; none without the tools.
pub fn large() -> Vec<PathBuf> {
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let make = |(name, shape)| big::make(shape, &kept.join(name));
    [("pdb-wide", &WIDE), ("pdb-deep", &DEEP)].into_iter().filter_map(make).collect()
}
