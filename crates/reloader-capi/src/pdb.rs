//! Another PDB path for a PE image.

use std::path::Path;

use patch_plan::WriteOptions;
use pe_patch::{Image, PdbPathOptions, plan_pdb_path};

use crate::section::read;
use crate::status::{Problem, Status};

/// Writes `image` to `target` with another PDB path, whole or not at all.
pub(crate) fn set_path(image: &Path, target: &Path, pdb_path: &str) -> Result<(), Problem> {
    let bytes = read(image)?;
    let bad = |error: pe_patch::Error| {
        Problem::new(Status::BadImage, format!("{}: {error}", image.display()))
    };
    let parsed = Image::parse(&bytes).map_err(bad)?;
    let planned = plan_pdb_path(&parsed, pdb_path, &PdbPathOptions::default()).map_err(bad)?;
    match planned.plan.write_file(image, target, &WriteOptions::default()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Problem::new(Status::Io, error.to_string())),
    }
}
