//! An image and its PDB, copied under new names so that the copy finds its own.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use patch_plan::{Edit, FileError, Plan, WriteOptions};

use crate::Error;
use crate::bytes;
use crate::debug::ENTRY_SIZE;
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
    /// Two of the four names are one file's, and one of the copies would be lost, or a source.
    #[error("{}: is named twice, and one file would replace the other", .path.display())]
    SameFile {
        /// The file.
        path: PathBuf,
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
/// notices it finds the PDB there; what is copied must still have the GUID and the age that were
/// compared. Each of the two appears whole or not at all.
///
/// A copy may replace its own source. It may not replace the other's source or copy.
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
    for source in [names.image, names.pdb] {
        check_is_file(source)?;
    }
    check_names(names)?;
    check(image, names, names.pdb)?;
    let unplanned = |source| PairError::Image { path: names.image.to_owned(), source };
    let mut planned = plan_pdb_path(image, new_name, options).map_err(unplanned)?;
    expect_identity(image, &mut planned.plan).map_err(unplanned)?;
    stage(image, names, &planned.plan, write)?;
    Ok(planned.report)
}

/// Copies the PDB, compares it again, and copies the image; where that fails, the PDB goes again.
fn stage(
    image: &Image<'_>,
    names: &Pair<'_>,
    plan: &Plan,
    write: &WriteOptions,
) -> Result<(), PairError> {
    let was_there = fs::symlink_metadata(names.new_pdb).is_ok();
    Plan::new().write_file(names.pdb, names.new_pdb, write)?;
    // Names that differ in case may turn out to be one file's now that it is there.
    let staged = check_names(names)
        .and_then(|()| check(image, names, names.new_pdb))
        .and_then(|()| Ok(plan.write_file(names.image, names.new_image, write)?));
    if staged.is_err() && !was_there {
        // What went wrong first is what the caller needs to know.
        let _ = fs::remove_file(names.new_pdb);
    }
    staged.map(|_| ())
}

/// Refuses what is no file: opening a pipe waits for somebody to write to it.
fn check_is_file(path: &Path) -> Result<(), PairError> {
    let refused = |source| PairError::Open { path: path.to_owned(), source };
    if fs::metadata(path).map_err(refused)?.is_file() {
        return Ok(());
    }
    Err(refused(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")))
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

/// Makes the plan expect what the PDB was compared with, so that it does not apply to an image of
/// another build.
fn expect_identity(image: &Image<'_>, plan: &mut Plan) -> Result<(), Error> {
    for entry in image.debug_entries().iter().filter(|entry| entry.has_path()) {
        let record = entry.record.start;
        for range in [
            entry.offset..entry.offset.saturating_add(ENTRY_SIZE),
            record..record.saturating_add(entry.path_offset()).min(entry.record.end),
        ] {
            expect(image, plan, range)?;
        }
    }
    Ok(())
}

/// Makes the plan expect the bytes of a range; an edit expects those that it changes already.
fn expect(image: &Image<'_>, plan: &mut Plan, range: Range<u64>) -> Result<(), Error> {
    let mut start = range.start;
    while start < range.end {
        let ends_behind = |edit: &&Edit| edit.end().is_none_or(|end| end > start);
        let next = plan.edits().iter().find(ends_behind);
        let covered =
            next.map_or(u64::MAX..u64::MAX, |edit| edit.offset..edit.end().unwrap_or(u64::MAX));
        let cut = plan.tail().map_or(u64::MAX, |tail| tail.offset);
        let end = range.end.min(covered.start).min(cut);
        if start < end {
            let bytes = bytes::range(image.data(), start, end.saturating_sub(start));
            let bytes = bytes.unwrap_or_default();
            plan.edit(start, bytes, bytes)?;
            start = end;
        } else if start >= cut {
            // The tail expects the rest.
            return Ok(());
        } else {
            start = covered.end;
        }
    }
    Ok(())
}

/// Refuses names of which one file would replace another.
fn check_names(names: &Pair<'_>) -> Result<(), PairError> {
    let one_file = |one: &Path, two: &Path| one == two || resolved(one) == resolved(two);
    for (one, two) in [
        (names.new_image, names.new_pdb),
        (names.new_pdb, names.image),
        (names.new_image, names.pdb),
    ] {
        if one_file(one, two) {
            return Err(PairError::SameFile { path: one.to_owned() });
        }
    }
    Ok(())
}

/// The file that a path leads to, which need not be there yet.
fn resolved(path: &Path) -> PathBuf {
    let beside = || {
        let parent = match path.parent()? {
            parent if parent.as_os_str().is_empty() => Path::new("."),
            parent => parent,
        };
        Some(fs::canonicalize(parent).ok()?.join(path.file_name()?))
    };
    fs::canonicalize(path).ok().or_else(beside).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers of an image without sections.
    fn bare() -> Vec<u8> {
        let mut bytes = vec![0; 0x200];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x3c] = 0x40;
        bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
        bytes[0x54] = 112;
        bytes[0x58..0x5a].copy_from_slice(&0x20b_u16.to_le_bytes());
        bytes
    }

    #[test]
    fn a_pdb_that_was_replaced_after_it_was_compared_is_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (image, pdb, new_image, new_pdb) = (path("a"), path("b"), path("c"), path("d"));
        let bytes = bare();
        fs::write(&image, &bytes).unwrap();
        fs::write(&pdb, b"half of another build's").unwrap();
        let names = Pair { image: &image, pdb: &pdb, new_image: &new_image, new_pdb: &new_pdb };
        let parsed = Image::parse(&bytes).unwrap();
        let stage = || stage(&parsed, &names, &Plan::new(), &WriteOptions::default());
        assert!(matches!(stage(), Err(PairError::Pdb { .. })));
        assert!(!new_image.exists() && !new_pdb.exists());
        // What had been there before is not removed.
        fs::write(&new_pdb, b"old").unwrap();
        assert!(matches!(stage(), Err(PairError::Pdb { .. })));
        assert!(!new_image.exists() && new_pdb.exists());
    }

    #[test]
    fn names_that_turn_out_to_be_one_files_are_refused_once_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (image, pdb, new) = (path("a"), path("b"), path("c"));
        let bytes = bare();
        fs::write(&image, &bytes).unwrap();
        fs::write(&pdb, b"anything").unwrap();
        // As two names that differ in case are where case does not matter.
        let names = Pair { image: &image, pdb: &pdb, new_image: &new, new_pdb: &new };
        let parsed = Image::parse(&bytes).unwrap();
        let refused = stage(&parsed, &names, &Plan::new(), &WriteOptions::default());
        assert!(matches!(refused, Err(PairError::SameFile { .. })));
        assert!(!new.exists());
    }
}
