//! Reading whatever a file is.

use std::fs::File;
use std::path::Path;

use crate::companion::{Alone, Companions};
use crate::{BuildInfo, Error, Identity, Nearby, Questions, ReadAt, elf, macho, pdb};

/// What a file says of how it was built, whatever its format: that is told by its contents.
///
/// Files that debug information goes on in are not looked for: [`open`] does, and [`read_with`].
///
/// # Errors
///
/// If the format is none of those that are known, or what says where everything is is damaged or cut
/// short, or the system cannot read.
pub fn read(source: &(impl ReadAt + ?Sized), questions: &Questions) -> Result<BuildInfo, Error> {
    read_with(source, questions, &Alone)
}

/// What a file says of how it was built, and what its companions do.
///
/// # Errors
///
/// As of [`read`]. A companion that cannot be read is a [remark](BuildInfo::remarks).
pub fn read_with(
    source: &(impl ReadAt + ?Sized),
    questions: &Questions,
    companions: &dyn Companions,
) -> Result<BuildInfo, Error> {
    match Kind::of(&source)? {
        Kind::Elf => elf::read_with(source, questions, companions),
        Kind::MachO => macho::read_with(source, questions, companions),
        Kind::Pdb => pdb::read(source, questions),
    }
}

/// What the file at a path says of how it was built, and what lies [around it](Nearby) does.
///
/// ```
/// use build_info::Questions;
///
/// # fn main() -> Result<(), build_info::Error> {
/// let program = std::env::current_exe().unwrap_or_default();
/// # if cfg!(target_os = "linux") {
/// let info = build_info::open(program, &Questions::FILES)?;
/// for unit in &info.units {
///     let source = unit.source.as_ref().map_or("?", |source| &source.value);
///     println!("{source}: {} files", unit.files.len());
/// }
/// assert!(!info.units.is_empty());
/// # }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As of [`read`], and if the file cannot be opened.
pub fn open(path: impl AsRef<Path>, questions: &Questions) -> Result<BuildInfo, Error> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|source| Error::Io {
        structure: "the file",
        offset: 0,
        source,
    })?;
    read_with(&file, questions, &Nearby::of(path))
}

/// What tells this build from another, reading no more than it takes.
///
/// # Errors
///
/// As of [`read`].
pub fn identity(source: &(impl ReadAt + ?Sized)) -> Result<Option<Identity>, Error> {
    match Kind::of(&source)? {
        Kind::Elf => elf::identity(source),
        Kind::MachO => macho::identity(source),
        Kind::Pdb => pdb::identity(source).map(Some),
    }
}

/// The formats that are read.
enum Kind {
    Elf,
    MachO,
    Pdb,
}

impl Kind {
    fn of(source: &dyn ReadAt) -> Result<Self, Error> {
        let mut found = vec![0; 32];
        let count = source.read_at(&mut found, 0).map_err(|source| Error::Io {
            structure: "magic",
            offset: 0,
            source,
        })?;
        found.truncate(count);
        if found.starts_with(b"\x7fELF") {
            return Ok(Self::Elf);
        }
        let is_macho = matches!(
            *found,
            [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..]
                | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..]
                // With few architectures: a class of Java has the same magic.
                | [0xca, 0xfe, 0xba, 0xbe | 0xbf, 0, 0, 0, 0..43, ..]
        );
        if is_macho {
            return Ok(Self::MachO);
        }
        // What is no PDB but called one is told apart there.
        if pdb::is_known(&found) {
            return Ok(Self::Pdb);
        }
        found.truncate(16);
        Err(Error::WrongFormat { expected: "ELF, Mach-O or a PDB", found })
    }
}
