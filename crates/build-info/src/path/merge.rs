//! Files that turn out to be one.

use std::collections::{BTreeSet, HashMap};

use super::resolve::{Placed, Resolve, style};
use super::spelling::{Spelled, Style};
use crate::{BuildInfo, File, FileId, FileUse, Found, Unit, UnitId};

impl BuildInfo {
    /// Gives each file one path, says whether it is there, and makes one of those that are one.
    ///
    /// Files keep their order; spellings that are given up are noted as such. Doing it twice
    /// with the same `resolve` is doing it once.
    pub fn resolve(&mut self, resolve: &Resolve) {
        let style = style(self.format);
        let mut placed = self.placed(resolve, style);
        resolve.look_below_roots(&mut placed, style);
        let mut numbers = HashMap::new();
        let mut moved = Vec::with_capacity(self.files.len());
        let mut files: Vec<File> = Vec::new();
        for (file, placed) in std::mem::take(&mut self.files).into_iter().zip(placed) {
            let next = u32::try_from(files.len()).unwrap_or(u32::MAX);
            let number = *numbers.entry(Spelled::parse(&placed.path, style).key()).or_insert(next);
            moved.push(FileId(number));
            match files.get_mut(number as usize) {
                Some(one) => one.absorb(file, placed),
                None => files.push(file.placed(placed)),
            }
        }
        for file in &mut files {
            file.tidy();
        }
        self.files = files;
        let mut places = vec![None; self.files.len()];
        for (id, unit) in (0..).map(UnitId).zip(&mut self.units) {
            unit.move_files(id, &moved, &mut places);
        }
    }

    fn placed(&self, resolve: &Resolve, style: Style) -> Vec<Placed> {
        let linker = self.linker.as_ref();
        let linker_cwd = linker.and_then(|linker| linker.cwd.as_ref()).map(|cwd| &*cwd.value);
        let pdb = linker.and_then(|linker| linker.pdb.as_ref()).map(|pdb| &*pdb.value);
        let place = |file: &File| {
            let path = Spelled::parse(&file.path, style);
            if path.is_absolute() {
                return resolve.place(&[path]);
            }
            let some_units = file.units.iter().take(MOST_UNITS);
            let units: Vec<&Unit> =
                some_units.filter_map(|unit| self.units.get(unit.0 as usize)).collect();
            let mut starts: Vec<Spelled<'_>> = Vec::new();
            let directory = |path| Spelled::parse(path, style);
            let cwds = units.iter().filter_map(|unit| unit.cwd.as_ref());
            starts.extend(cwds.map(|cwd| directory(&cwd.value)));
            starts.extend(linker_cwd.map(directory));
            starts.extend(units.iter().map(|unit| directory(&unit.module).parent()));
            let archives = units.iter().filter_map(|unit| unit.archive.as_deref());
            starts.extend(archives.map(|archive| directory(archive).parent()));
            starts.extend(pdb.map(|pdb| directory(pdb).parent()));
            starts.extend(resolve.image.as_deref().map(directory));
            let mut seen = BTreeSet::new();
            starts.retain(|start| start.is_absolute() && seen.insert(start.key()));
            let mut candidates: Vec<_> =
                starts.iter().map(|start| Spelled::parse_in(&file.path, start)).collect();
            // A map may say where relative paths start.
            if resolve.mapped(&path) != path || candidates.is_empty() {
                candidates.insert(0, path);
            }
            resolve.place(&candidates)
        };
        self.files.iter().map(place).collect()
    }
}

impl File {
    fn placed(mut self, placed: Placed) -> Self {
        self.spellings.push(std::mem::replace(&mut self.path, placed.path));
        self.found = placed.found;
        self
    }

    /// Takes in another that is the same file.
    fn absorb(&mut self, other: Self, placed: Placed) {
        // Some tools write small letters throughout; who has others knows better.
        let all_small = |path: &str| !path.chars().skip(1).any(char::is_uppercase);
        if !matches!(self.found, Found::At(_)) && all_small(&self.path) && !all_small(&placed.path)
        {
            self.path = placed.path;
        }
        self.spellings.extend(other.spellings);
        self.spellings.push(other.path);
        self.units.extend(other.units);
    }

    fn tidy(&mut self) {
        let Self { path, spellings, units, .. } = self;
        spellings.sort_unstable();
        spellings.dedup();
        spellings.retain(|spelling| spelling != path);
        units.sort_unstable();
        units.dedup();
    }
}

impl Unit {
    /// Numbers the files anew, each once. `places` has for each file the unit that was last seen to
    /// use it, and which of its uses that is: there can be millions, and this costs a step for each.
    fn move_files(&mut self, id: UnitId, moved: &[FileId], places: &mut [Option<(UnitId, usize)>]) {
        let mut files: Vec<FileUse> = Vec::with_capacity(self.files.len());
        for mut one in std::mem::take(&mut self.files) {
            let Some(&file) = moved.get(one.file.0 as usize) else { continue };
            let Some(place) = places.get_mut(file.0 as usize) else { continue };
            one.file = file;
            let before = place.filter(|(unit, _)| *unit == id).map(|(_, index)| index);
            match before.and_then(|index| files.get_mut(index)) {
                Some(first) => {
                    first.checksum = first.checksum.or(one.checksum);
                    first.provenance = first.provenance.min(one.provenance);
                }
                None => {
                    *place = Some((id, files.len()));
                    files.push(one);
                }
            }
        }
        self.files = files;
    }
}

/// Of how many units of a file the directories are tried.
const MOST_UNITS: usize = 16;
