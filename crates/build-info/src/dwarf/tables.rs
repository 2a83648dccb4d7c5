//! The files of a line table, added to a unit.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use super::files::{Directory, Exhausted, Files};
use super::line::{Name, Place, Tables};
use super::section::Section;
use super::strings::{Offsets, Strings};
use crate::{Checksum, Error, FileId, FileUse, Provenance, UnitId};

/// Directories and files by what they are relative to and where their name is, so that most names
/// need not be looked at.
pub(crate) struct Known {
    directories: HashMap<Key, Directory, Folding>,
    files: HashMap<Key, FileId, Folding>,
    /// How many bytes of line tables may still be read: many units can name one.
    left: u64,
}

/// What a name is relative to, the section that it is in, and its offset there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key(Option<Directory>, u8, u64);

impl Key {
    fn of(base: Option<Directory>, name: Name<'_>) -> Option<Self> {
        match name {
            Name::LineStr(at) => Some(Self(base, 0, at)),
            Name::Str(at) => Some(Self(base, 1, at)),
            Name::Supplement(at) => Some(Self(base, 2, at)),
            Name::Inline(_) | Name::Index(_) => None,
        }
    }
}

impl Known {
    pub(crate) fn new(line: &Section<'_>) -> Self {
        let left = line.length().saturating_mul(4).saturating_add(64 << 10);
        let folding = Folding::new();
        let directories = HashMap::with_hasher(folding);
        Self { directories, files: HashMap::with_hasher(folding), left }
    }

    /// None yet, for names in sections of another file, which may cost as much as is left.
    pub(crate) fn apart(&self) -> Self {
        let folding = Folding::new();
        let directories = HashMap::with_hasher(folding);
        Self { directories, files: HashMap::with_hasher(folding), left: self.left }
    }

    /// Counts a table as read.
    pub(crate) fn spend(&mut self, place: &Place) -> Result<(), Exhausted> {
        self.left = self.left.checked_sub(place.cost()).ok_or(Exhausted)?;
        Ok(())
    }
}

/// Hashes a few numbers by multiplying them, each time with another secret: the numbers are from a
/// file, which must not know what meets.
#[derive(Clone, Copy)]
struct Folding(u64);

impl Folding {
    fn new() -> Self {
        Self(RandomState::new().hash_one(0_u64))
    }
}

impl BuildHasher for Folding {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded { sum: self.0, secret: self.0.rotate_left(32) | 1 }
    }
}

struct Folded {
    sum: u64,
    secret: u64,
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.sum ^ number).wrapping_mul(u128::from(self.secret));
        let [low, high] = [product as u64, (product >> 64) as u64];
        self.sum = (low ^ high).wrapping_add(self.secret);
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        self.sum
    }
}

/// Adds the files of a line table to a unit.
pub(crate) struct Adding<'s, 'a> {
    pub(crate) files: &'s mut Files,
    pub(crate) strings: &'s mut Strings<'a>,
    pub(crate) known: &'s mut Known,
    pub(crate) unit: UnitId,
    pub(crate) offsets: Option<Offsets>,
    /// The unit's source.
    pub(crate) main: Option<FileId>,
}

impl Adding<'_, '_> {
    /// Adds the files, and says which numbers they have.
    pub(crate) fn add(
        &mut self,
        tables: &Tables<'_>,
        cwd: Option<Directory>,
        uses: &mut Vec<FileUse>,
    ) -> Result<Vec<Option<FileId>>, Exhausted> {
        // Number 0 is the directory of compilation, which a table has for itself from version 5 on.
        let mut directories = Vec::new();
        if tables.version < 5 {
            directories.push(cwd);
        }
        for &name in &tables.directories {
            // The directory of compilation may be relative itself, to nothing that is known.
            let base = directories.first().copied().flatten();
            let directory = self.directory(base, name)?;
            directories.push(directory);
        }
        // Files are counted from 1 before version 5.
        let mut numbers = Vec::with_capacity(tables.files.len().saturating_add(1));
        numbers.extend((tables.version < 5).then_some(None));
        uses.reserve(tables.files.len());
        for entry in &tables.files {
            let directory = usize::try_from(entry.directory).ok();
            let directory = directory.and_then(|at| directories.get(at)).copied().flatten();
            let file = self.file(directory, entry.name)?;
            numbers.push(file);
            let Some(file) = file else { continue };
            let checksum = entry.md5.and_then(|md5| self.files.checksum(Checksum::Md5(md5)));
            self.files.note(self.unit, uses, file, checksum, Provenance::LineTable)?;
            // The source was there before its checksum was known.
            if let Some(first) = uses.first_mut()
                && Some(file) == self.main
                && first.file == file
            {
                first.checksum = first.checksum.or(checksum);
            }
        }
        Ok(numbers)
    }

    fn directory(
        &mut self,
        base: Option<Directory>,
        name: Name<'_>,
    ) -> Result<Option<Directory>, Exhausted> {
        let key = Key::of(base, name);
        if let Some(&directory) = key.as_ref().and_then(|key| self.known.directories.get(key)) {
            return Ok(Some(directory));
        }
        let Some(name) = self.strings.bytes(name, self.offsets) else { return Ok(None) };
        let directory = self.files.directory(base, name)?;
        if let Some(key) = key {
            self.known.directories.insert(key, directory);
        }
        Ok(Some(directory))
    }

    fn file(
        &mut self,
        directory: Option<Directory>,
        name: Name<'_>,
    ) -> Result<Option<FileId>, Exhausted> {
        let key = Key::of(directory, name);
        if let Some(&file) = key.as_ref().and_then(|key| self.known.files.get(key)) {
            return Ok(Some(file));
        }
        let Some(name) = self.strings.bytes(name, self.offsets) else { return Ok(None) };
        // "<built-in>", "<artificial>".
        if name.is_empty() || name.starts_with(b"<") {
            return Ok(None);
        }
        // rustc has the codegen unit behind the source.
        let end = name.windows(3).position(|three| three == b"/@/").unwrap_or(name.len());
        let file = self.files.file(directory, name.get(..end).unwrap_or(name))?;
        if let Some(key) = key {
            self.known.files.insert(key, file);
        }
        Ok(Some(file))
    }
}

impl Tables<'_> {
    /// The directory of compilation and the source, of which the tables have each at its start from
    /// version 5 on.
    pub(crate) fn source(&self, strings: &mut Strings<'_>) -> Option<(String, String)> {
        let mut text = |name: Name<'_>| {
            let bytes = strings.bytes(name, None)?;
            Some(String::from_utf8_lossy(bytes).into_owned())
        };
        let cwd = text(*self.directories.first()?)?;
        let source = self.files.first()?;
        let name = text(source.name)?;
        // GCC takes the directory off the source that it was given.
        let directory = match usize::try_from(source.directory).ok()? {
            0 => return Some((cwd, name)),
            number => text(*self.directories.get(number)?)?,
        };
        Some((cwd, format!("{directory}/{name}")))
    }
}

/// Why the files of a unit are not all there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Line(#[from] Error),
    #[error("says more than a file of its size can")]
    Exhausted,
}

impl From<Exhausted> for Trouble {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}
