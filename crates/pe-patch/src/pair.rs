//! An image and its PDB, copied under new names so that the copy finds its own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use patch_plan::{FileError, Plan, WriteOptions};

use crate::Error;
use crate::image::Image;
use crate::options::PdbPathOptions;
use crate::pdb::{PdbError, PdbMatch, pdb_matches};
use crate::pdb_path::plan_pdb_path;
use crate::report::Report;

/// Where an image and its PDB are, and where their copies go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The image.
    pub image: &'a Path,
    /// Its PDB.
    pub pdb: &'a Path,
    /// The image's copy, which leads to the PDB's.
    pub new_image: &'a Path,
    /// The PDB's copy.
    pub new_pdb: &'a Path,
}

/// Why a pair could not be staged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// The PDB is not the image's.
    #[error("{}: not the PDB of {}", .pdb.display(), .image.display())]
    Mismatch {
        /// The image.
        image: PathBuf,
        /// The PDB.
        pdb: PathBuf,
    },
    /// The PDB cannot be read.
    #[error("{}: {source}", .path.display())]
    Pdb {
        /// The PDB.
        path: PathBuf,
        /// What is wrong.
        source: PdbError,
    },
    /// The change of the image cannot be planned.
    #[error("{}: {source}", .path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What is wrong.
        source: Error,
    },
    /// A file cannot be opened.
    #[error("{}: open: {source}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A copy cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
}

/// Copies an image and its PDB under new names; the image's copy has `new_name` for its PDB path.
///
/// `image` is what has been read or mapped of [`Pair::image`]. First the two are compared: a
/// wrong pair is refused before anything is written. Then the PDB is copied, and compared again,
/// for a linker may have replaced it meanwhile. The image's copy comes last, so that whoever
/// notices it finds the PDB there. Each of the two appears whole or not at all.
///
/// ```no_run
/// use std::path::Path;
/// use pe_patch::{Image, Pair, PdbPathOptions, pair};
///
/// let bytes = std::fs::read("game.dll")?;
/// let image = Image::parse(&bytes)?;
/// let names = Pair {
///     image: Path::new("game.dll"),
///     pdb: Path::new("game.pdb"),
///     new_image: Path::new("game_1.dll"),
///     new_pdb: Path::new("game_1.pdb"),
/// };
/// let report = pair(&image, &names, "game_1.pdb", &PdbPathOptions::default(), &Default::default())?;
/// println!("{}", report.entries[0].rung);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`PairError`]. A PDB that was copied and had not been there before is removed again; one that
/// had been there has been replaced.
pub fn pair(
    image: &Image<'_>,
    names: &Pair<'_>,
    new_name: &str,
    options: &PdbPathOptions,
    write: &WriteOptions,
) -> Result<Report, PairError> {
    check(image, names, names.pdb)?;
    let planned = plan_pdb_path(image, new_name, options)
        .map_err(|source| PairError::Image { path: names.image.to_owned(), source })?;
    let was_there = fs::symlink_metadata(names.new_pdb).is_ok();
    Plan::new().write_file(names.pdb, names.new_pdb, write)?;
    let staged = check(image, names, names.new_pdb).and_then(|()| {
        planned.plan.write_file(names.image, names.new_image, write)?;
        Ok(())
    });
    if let Err(error) = staged {
        if !was_there {
            // What went wrong first is what the caller needs to know.
            let _ = fs::remove_file(names.new_pdb);
        }
        return Err(error);
    }
    Ok(planned.report)
}

fn check(image: &Image<'_>, names: &Pair<'_>, pdb: &Path) -> Result<(), PairError> {
    let file =
        File::open(pdb).map_err(|source| PairError::Open { path: pdb.to_owned(), source })?;
    match pdb_matches(image, file) {
        Ok(PdbMatch::Matches) => Ok(()),
        Ok(_) => Err(PairError::Mismatch { image: names.image.to_owned(), pdb: pdb.to_owned() }),
        Err(source) => Err(PairError::Pdb { path: pdb.to_owned(), source }),
    }
}
