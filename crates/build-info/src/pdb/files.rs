//! The files of all modules, once each, and their names.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::{Checksum, Error, File, FileId, FileUse, Found, Provenance, Unit, UnitId};

use super::budget::Budget;
use super::bytes::u32_at;
use super::checksums;
use super::msf::{Msf, Stream, malformed};
use super::offsets::Offsets;
use super::window::{LONGEST_TEXT, Window};

/// The files as they come in: by the place of their name.
#[derive(Default)]
pub(super) struct Files {
    by_name: HashMap<u32, FileId, Offsets>,
    pub(super) files: Vec<File>,
    names: Vec<Name>,
    pub(super) checksums: Vec<Checksum>,
    by_checksum: HashMap<Checksum, u32>,
}

/// Where a file's name is, and the checksum that it was last seen with.
struct Name {
    offset: u32,
    checksum: Option<u32>,
}

impl Files {
    /// Notes that a unit was made from a file.
    pub(super) fn add(
        &mut self,
        entry: checksums::Entry,
        unit: UnitId,
        provenance: Provenance,
    ) -> FileUse {
        let file = match self.by_name.entry(entry.name) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let file = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
                let found = Found::Unknown;
                let (path, spellings, units) = (String::new(), vec![], vec![]);
                self.files.push(File { path, spellings, found, units });
                self.names.push(Name { offset: entry.name, checksum: None });
                *new.insert(file)
            }
        };
        let known = self.files.get_mut(file.0 as usize);
        if let Some(file) = known.filter(|file| file.units.last() != Some(&unit)) {
            file.units.push(unit);
        }
        let checksum = entry.checksum.map(|checksum| self.checksum(file, checksum));
        FileUse { file, checksum, provenance }
    }

    fn checksum(&mut self, file: FileId, checksum: Checksum) -> u32 {
        // A file has one checksum nearly always.
        let known = self.names.get(file.0 as usize).and_then(|name| name.checksum);
        let is_same = |index: &u32| self.checksums.get(*index as usize) == Some(&checksum);
        if let Some(known) = known.filter(is_same) {
            return known;
        }
        let next = u32::try_from(self.checksums.len()).unwrap_or(u32::MAX);
        let index = *self.by_checksum.entry(checksum).or_insert(next);
        if index == next {
            self.checksums.push(checksum);
        }
        if let Some(name) = self.names.get_mut(file.0 as usize) {
            name.checksum = Some(index);
        }
        index
    }

    /// Reads the names, and says how many there are not.
    pub(super) fn read_names(
        &mut self,
        msf: &Msf<'_>,
        stream: Option<Stream>,
        budget: &mut Budget,
    ) -> Result<u64, Error> {
        self.by_name = HashMap::default();
        self.by_checksum = HashMap::new();
        let Some(stream) = stream.filter(|_| !self.files.is_empty()) else {
            return Ok(self.files.len() as u64);
        };
        let mut window = Window::new(msf, stream, 1, 16);
        let header = window.bytes(0, START, NAMES)?;
        let (magic, size) = (u32_at(header, 0).unwrap_or(0), u32_at(header, 8).unwrap_or(0));
        if magic != MAGIC {
            return Err(malformed(NAMES, 0, "does not begin as it should", magic));
        }
        let end = START.saturating_add(size);
        let mut order: Vec<u32> = (0..u32::try_from(self.names.len()).unwrap_or(0)).collect();
        let offset = |index: &u32| self.names.get(*index as usize).map(|name| name.offset);
        order.sort_unstable_by_key(offset);
        let mut lost = 0_u64;
        for index in order {
            let place = offset(&index).unwrap_or(u32::MAX).saturating_add(START);
            if budget.is_spent {
                lost = lost.saturating_add(1);
                continue;
            }
            let text = window.text(place, end, NAMES).ok();
            // What was looked at to no end costs too.
            let cost = text.map_or(LONGEST_TEXT as usize, <[u8]>::len);
            let has_room = budget.take(cost);
            let text = text.filter(|_| has_room);
            match (text, self.files.get_mut(index as usize)) {
                (Some(text), Some(file)) => file.path = String::from_utf8_lossy(text).into_owned(),
                _ => lost = lost.saturating_add(1),
            }
        }
        Ok(lost)
    }

    /// Drops what the compiler knows without a file, and lists as if it were one.
    pub(super) fn drop_built_in(&mut self, units: &mut [Unit]) {
        for file in &mut self.files {
            if file.path.ends_with(BUILT_IN) {
                file.units.clear();
            }
        }
        self.drop_unused(units);
    }

    /// Whether a path is relative.
    pub(super) fn has_relative(&self) -> bool {
        self.files.iter().any(|file| is_relative(&file.path))
    }

    /// Whether the path of a file of the unit is relative.
    pub(super) fn is_relative(&self, one: &FileUse) -> bool {
        self.files.get(one.file.0 as usize).is_some_and(|file| is_relative(&file.path))
    }

    /// Joins relative paths to the directories that the compilers ran in, so that one name in
    /// two directories is two files.
    pub(super) fn join(&mut self, units: &mut [Unit], budget: &mut Budget) {
        let mut by_path: HashMap<String, FileId> = HashMap::new();
        for (index, file) in self.files.iter_mut().enumerate() {
            if is_relative(&file.path) {
                file.units.clear();
            } else {
                let file_id = FileId(u32::try_from(index).unwrap_or(u32::MAX));
                by_path.insert(file.path.clone(), file_id);
            }
        }
        for (index, unit) in units.iter_mut().enumerate() {
            let id = UnitId(u32::try_from(index).unwrap_or(u32::MAX));
            let cwd = unit.cwd.as_ref().map_or("", |cwd| cwd.value.as_str());
            for one in &mut unit.files {
                let Some(file) = self.files.get_mut(one.file.0 as usize) else { continue };
                if !is_relative(&file.path) {
                    continue;
                }
                if !budget.take(cwd.len().saturating_add(file.path.len())) {
                    if file.units.last() != Some(&id) {
                        file.units.push(id);
                    }
                    continue;
                }
                let path = joined(cwd, &file.path);
                let spelling = file.path.clone();
                let next = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
                let joined = *by_path.entry(path.clone()).or_insert(next);
                if joined == next {
                    let (spellings, units) = (vec![], vec![]);
                    self.files.push(File { path, spellings, found: Found::Unknown, units });
                }
                if let Some(file) = self.files.get_mut(joined.0 as usize) {
                    if spelling != file.path && !file.spellings.contains(&spelling) {
                        file.spellings.push(spelling);
                    }
                    if let Err(place) = file.units.binary_search(&id) {
                        file.units.insert(place, id);
                    }
                }
                one.file = joined;
            }
        }
        self.drop_unused(units);
    }

    /// Drops the files that have no unit any more.
    fn drop_unused(&mut self, units: &mut [Unit]) {
        if self.files.iter().all(|file| !file.units.is_empty()) {
            return;
        }
        let mut kept = 0_u32;
        let mut moved = Vec::with_capacity(self.files.len());
        for file in &self.files {
            moved.push((!file.units.is_empty()).then_some(FileId(kept)));
            kept = kept.saturating_add(u32::from(!file.units.is_empty()));
        }
        self.files.retain(|file| !file.units.is_empty());
        for unit in units {
            unit.files.retain_mut(|one| {
                let moved = moved.get(one.file.0 as usize).copied().flatten();
                one.file = moved.unwrap_or(one.file);
                moved.is_some()
            });
        }
    }
}

/// Whether a path starts at no root: neither a POSIX one, nor a drive, nor a server.
fn is_relative(path: &str) -> bool {
    let is_on_drive = matches!(path.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic());
    !path.is_empty() && !path.starts_with(['/', '\\']) && !is_on_drive
}

/// The two, with the separator that the directory has.
fn joined(directory: &str, path: &str) -> String {
    if directory.is_empty() {
        return path.to_owned();
    }
    let separator =
        if directory.contains('\\') || directory.get(1..2) == Some(":") { "\\" } else { "/" };
    let separator = if directory.ends_with(['/', '\\']) { "" } else { separator };
    [directory, separator, path].concat()
}

/// Where its last part would be the name of a file.
const BUILT_IN: &str = "predefined C++ types (compiler internal)";
const NAMES: &str = "names of files";
const MAGIC: u32 = 0xeffe_effe;
/// Where the names begin.
const START: u32 = 12;
