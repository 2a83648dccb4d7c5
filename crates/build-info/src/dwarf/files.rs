//! The files of all units, once each.

use std::collections::HashMap;

use crate::{Checksum, File, FileId, FileUse, Found, Provenance, UnitId};

/// The files of all units, once each, as they are being gathered.
#[derive(Debug)]
pub(crate) struct Files {
    files: Vec<File>,
    by_path: HashMap<String, FileId>,
    directories: Vec<String>,
    by_directory: HashMap<String, Directory>,
    checksums: Vec<Checksum>,
    by_checksum: HashMap<Checksum, u32>,
    /// For each file the unit that it was last noted for.
    noted: Vec<Option<UnitId>>,
    path: String,
    /// How many bytes of paths, and how many uses of files, may still be added: a few bytes of a
    /// line table can stand for a long path each, and many units can name one table.
    text_left: u64,
    uses_left: u64,
}

/// A directory that paths are relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Directory(u32);

/// The file says more than one of its size can.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exhausted;

impl Files {
    /// No files yet, of a source with so many bytes.
    pub(crate) fn new(length: u64) -> Self {
        Self {
            files: Vec::new(),
            by_path: HashMap::new(),
            directories: Vec::new(),
            by_directory: HashMap::new(),
            checksums: Vec::new(),
            by_checksum: HashMap::new(),
            noted: Vec::new(),
            path: String::new(),
            text_left: length.saturating_mul(4).saturating_add(2 << 20),
            uses_left: length.saturating_add(64 << 10),
        }
    }

    /// What a further source of so many bytes says may be added too.
    pub(crate) fn allow(&mut self, length: u64) {
        let more = Self::new(length);
        self.text_left = self.text_left.saturating_add(more.text_left);
        self.uses_left = self.uses_left.saturating_add(more.uses_left);
    }

    /// A directory, relative to another if it is not absolute.
    pub(crate) fn directory(
        &mut self,
        base: Option<Directory>,
        name: &[u8],
    ) -> Result<Directory, Exhausted> {
        self.join(base, name);
        if let Some(&directory) = self.by_directory.get(&self.path) {
            return Ok(directory);
        }
        self.spend()?;
        let directory = Directory(u32::try_from(self.directories.len()).map_err(|_| Exhausted)?);
        self.directories.push(self.path.clone());
        self.by_directory.insert(self.path.clone(), directory);
        Ok(directory)
    }

    /// A file, relative to a directory if it is not absolute.
    pub(crate) fn file(
        &mut self,
        base: Option<Directory>,
        name: &[u8],
    ) -> Result<FileId, Exhausted> {
        self.join(base, name);
        if let Some(&file) = self.by_path.get(&self.path) {
            return Ok(file);
        }
        self.spend()?;
        let file = FileId(u32::try_from(self.files.len()).map_err(|_| Exhausted)?);
        let path = self.path.clone();
        self.by_path.insert(path.clone(), file);
        self.files.push(File {
            path,
            spellings: Vec::new(),
            found: Found::Unknown,
            units: Vec::new(),
        });
        self.noted.push(None);
        Ok(file)
    }

    /// The number of a checksum.
    pub(crate) fn checksum(&mut self, checksum: Checksum) -> Option<u32> {
        if let Some(&number) = self.by_checksum.get(&checksum) {
            return Some(number);
        }
        let number = u32::try_from(self.checksums.len()).ok()?;
        self.checksums.push(checksum);
        self.by_checksum.insert(checksum, number);
        Some(number)
    }

    /// Notes that a unit was made from a file, unless that is noted.
    pub(crate) fn note(
        &mut self,
        unit: UnitId,
        uses: &mut Vec<FileUse>,
        file: FileId,
        checksum: Option<u32>,
        provenance: Provenance,
    ) -> Result<(), Exhausted> {
        let noted = usize::try_from(file.0).ok().and_then(|at| self.noted.get_mut(at));
        if noted.is_none_or(|noted| noted.replace(unit) == Some(unit)) {
            return Ok(());
        }
        self.uses_left = self.uses_left.checked_sub(1).ok_or(Exhausted)?;
        uses.push(FileUse { file, checksum, provenance });
        let file = usize::try_from(file.0).ok().and_then(|at| self.files.get_mut(at));
        if let Some(file) = file {
            file.units.push(unit);
        }
        Ok(())
    }

    /// Goes on with a unit that has been left, and has files.
    pub(crate) fn resume(&mut self, unit: UnitId, uses: &[FileUse]) {
        for one in uses {
            let noted = usize::try_from(one.file.0).ok().and_then(|at| self.noted.get_mut(at));
            if let Some(noted) = noted {
                *noted = Some(unit);
            }
        }
    }

    /// The files and their checksums.
    pub(crate) fn finish(mut self) -> (Vec<File>, Vec<Checksum>) {
        for file in &mut self.files {
            // Units that were gone on with come late.
            file.units.sort_unstable();
        }
        (self.files, self.checksums)
    }

    fn join(&mut self, base: Option<Directory>, name: &[u8]) {
        let name = String::from_utf8_lossy(name);
        self.path.clear();
        if !is_absolute(&name) {
            let base = base.and_then(|base| self.directories.get(usize::try_from(base.0).ok()?));
            if let Some(base) = base.filter(|base| !base.is_empty()) {
                self.path.push_str(base);
                if !base.ends_with(['/', '\\']) && !name.is_empty() {
                    self.path.push('/');
                }
            }
        }
        self.path.push_str(&name);
    }

    fn spend(&mut self) -> Result<(), Exhausted> {
        // Twice: as a key and as a value.
        let cost = (self.path.len() as u64).saturating_mul(2).saturating_add(64);
        self.text_left = self.text_left.checked_sub(cost).ok_or(Exhausted)?;
        Ok(())
    }
}

/// Whether a path is relative to nothing, on the system of either kind.
pub(crate) fn is_absolute(path: &str) -> bool {
    matches!(path.as_bytes(), [b'/' | b'\\', ..] | [b'A'..=b'Z' | b'a'..=b'z', b':', b'/' | b'\\', ..])
}
