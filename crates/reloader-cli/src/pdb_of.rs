//! From a Windows image to its PDB.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use pe_patch::{Image, PdbMatch, pdb_matches};

use crate::format::{open, read, with_cure};
use crate::report::reason;

/// A Windows image's PDB, and where the image wants to be loaded.
pub struct Found {
    pub pdb: PathBuf,
    pub image_base: u64,
}

/// Finds the PDB that an image's CodeView record names: beside the image, then where the record
/// says, then at the places that `elsewhere` makes of that path. One of another build is passed by.
pub fn pdb_of(image: &Path, elsewhere: impl Fn(&str) -> Vec<PathBuf>) -> anyhow::Result<Found> {
    let named = || image.display().to_string();
    let bytes = read(image)?;
    let parsed = Image::parse(&bytes).map_err(with_cure).with_context(named)?;
    let entries = parsed.debug_entries();
    let paths = entries.iter().filter_map(|entry| entry.path.filter(|path| !path.is_empty()));
    let recorded: Vec<String> =
        paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    let Some(path) = recorded.first() else {
        return Err(anyhow!(NO_RECORD)).with_context(named);
    };
    let beside = image.with_file_name(base_name(path));
    let candidates = [beside, PathBuf::from(path)].into_iter().chain(elsewhere(path));
    let mut tried = Vec::new();
    for candidate in candidates {
        let shown = candidate.display();
        match open(&candidate) {
            Err(error) => tried.push(reason(&error)),
            Ok(file) => match pdb_matches(&parsed, file) {
                Ok(PdbMatch::Matches) => {
                    return Ok(Found { pdb: candidate, image_base: parsed.header().image_base });
                }
                Ok(_) => tried.push(format!("{shown}: of another build, by its GUID and age")),
                Err(error) => tried.push(format!("{shown}: {error}")),
            },
        }
    }
    tried.dedup();
    bail!("{}: its PDB is not found; {}; give the PDB itself", image.display(), tried.join("; "))
}

fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

const NO_RECORD: &str = "names no PDB, and build information of a Windows image is in its PDB; \
    link it with /DEBUG (MSVC, lld-link) or -Wl,--pdb= (MinGW), or give the PDB";
