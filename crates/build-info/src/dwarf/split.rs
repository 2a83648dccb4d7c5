//! Units whose tree is in another file: what that says of them.

use std::collections::HashMap;

use gimli::{DebugCuIndex, EndianSlice, Reader, RunTimeEndian, UnitIndex};

use super::abbreviation::Abbreviations;
use super::description::{describe, str_offsets};
use super::header::Header;
use super::root::Root;
use super::section::{Section, malformed};
use super::units::{Dwarf, Reading};
use crate::{Error, Provenance, Unit, UnitId};

/// A unit whose tree is in another file.
#[derive(Clone, Debug)]
pub(crate) struct Skeleton {
    pub(crate) unit: UnitId,
    /// The directory that the file's name is relative to.
    pub(crate) directory: Option<String>,
    /// The file's name.
    pub(crate) name: String,
    /// What ties the two together.
    pub(crate) id: Option<u64>,
}

/// Where the parts of one split unit are in the sections of a package.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    info: u64,
    abbrev: u64,
    line: u64,
    macros: u64,
    str_offsets: u64,
}

/// The index of a package: which parts belong to which id.
pub(crate) struct PackageIndex<'a> {
    section: Section<'a>,
    endian: RunTimeEndian,
    /// The rows of the ids. The section has a hash table of them, in which a search may have to
    /// pass all of them.
    rows: HashMap<u64, u32>,
}

impl<'a> PackageIndex<'a> {
    pub(crate) fn read(mut section: Section<'a>, endian: RunTimeEndian) -> Result<Self, Error> {
        let structure = section.name();
        let bytes = EndianSlice::new(section.all()?, endian);
        let rows = Self::rows(bytes).map_err(|error| malformed(structure, 0, error))?;
        Ok(Self { section, endian, rows })
    }

    fn rows(bytes: EndianSlice<'_, RunTimeEndian>) -> gimli::Result<HashMap<u64, u32>> {
        let mut rows = HashMap::new();
        if bytes.is_empty() {
            return Ok(rows);
        }
        // A version, and how many sections, units and slots there are.
        let mut ids = bytes;
        ids.skip(12)?;
        let slots = ids.read_u32()?;
        let mut numbers = ids;
        numbers.skip(usize::try_from(slots).unwrap_or(usize::MAX).saturating_mul(8))?;
        for _ in 0..slots {
            let (id, row) = (ids.read_u64()?, numbers.read_u32()?);
            if row != 0 {
                rows.entry(id).or_insert(row);
            }
        }
        Ok(rows)
    }

    /// The parts of the unit that an id is of.
    pub(crate) fn find(&mut self, id: u64) -> Result<Option<Parts>, Error> {
        let Some(&row) = self.rows.get(&id) else { return Ok(None) };
        let structure = self.section.name();
        let bad = |error| malformed(structure, 0, error);
        let index = DebugCuIndex::from(EndianSlice::new(self.section.all()?, self.endian));
        let index: UnitIndex<_> = index.index().map_err(bad)?;
        let mut parts = Parts::default();
        for section in index.sections(row).map_err(bad)? {
            let offset = u64::from(section.offset);
            match section.section {
                gimli::IndexSectionId::DebugInfo => parts.info = offset,
                gimli::IndexSectionId::DebugAbbrev => parts.abbrev = offset,
                gimli::IndexSectionId::DebugLine => parts.line = offset,
                gimli::IndexSectionId::DebugMacro => parts.macros = offset,
                gimli::IndexSectionId::DebugStrOffsets => parts.str_offsets = offset,
                _ => {}
            }
        }
        Ok(Some(parts))
    }
}

/// The debug information of a split file, or of a package, and what was found in it so far.
pub(crate) struct Split<'a> {
    pub(crate) dwarf: Dwarf<'a>,
    abbreviations: Abbreviations,
    /// The units that were passed on the way to others, by their ids; of several the first.
    passed: HashMap<Option<u64>, Header>,
    /// Where those end.
    end: u64,
}

impl<'a> Split<'a> {
    pub(crate) fn new(dwarf: Dwarf<'a>) -> Self {
        let abbreviations = Abbreviations::new(&dwarf.abbrev);
        Self { dwarf, abbreviations, passed: HashMap::new(), end: 0 }
    }

    /// The unit that an id is of, or, where it has none, the only one.
    fn find(&mut self, id: Option<u64>, left: &mut u32) -> Result<Option<(Header, Root)>, Error> {
        if let Some(&header) = self.passed.get(&id) {
            return Ok(Some((header, self.root(&header)?)));
        }
        // Units of types come before it, and a file has one for each that is used.
        while self.end < self.dwarf.info.length() && *left > 0 {
            *left = left.saturating_sub(1);
            let header = Header::read(&mut self.dwarf.info, self.end, self.dwarf.endian)?;
            self.end = header.end;
            if header.is_type() {
                continue;
            }
            let root = self.root(&header)?;
            self.passed.entry(root.dwo_id).or_insert(header);
            if root.dwo_id == id {
                return Ok(Some((header, root)));
            }
        }
        Ok(None)
    }

    /// The unit in the parts of a package that its index has for an id.
    fn find_in(
        &mut self,
        parts: Parts,
        id: Option<u64>,
        left: &mut u32,
    ) -> Result<Option<(Header, Root)>, Error> {
        let mut at = parts.info;
        while at < self.dwarf.info.length() && *left > 0 {
            *left = left.saturating_sub(1);
            let mut header = Header::read(&mut self.dwarf.info, at, self.dwarf.endian)?;
            header.abbreviations = header.abbreviations.saturating_add(parts.abbrev);
            at = header.end;
            if header.is_type() {
                continue;
            }
            let root = self.root(&header)?;
            if root.dwo_id == id {
                return Ok(Some((header, root)));
            }
        }
        Ok(None)
    }

    fn root(&mut self, header: &Header) -> Result<Root, Error> {
        let Dwarf { info, abbrev, endian, .. } = &mut self.dwarf;
        Root::read(info, abbrev, &mut self.abbreviations, header, *endian)
    }
}

impl Reading<'_, '_> {
    /// Takes what a split file says into the unit whose skeleton names it. Says whether the file is
    /// the one.
    pub(crate) fn complete(
        &mut self,
        skeleton: &Skeleton,
        split: &mut Split<'_>,
        parts: Option<Parts>,
    ) -> Result<bool, Error> {
        let found = match parts {
            Some(parts) => split.find_in(parts, skeleton.id, &mut self.split_left)?,
            None => split.find(skeleton.id, &mut self.split_left)?,
        };
        let Some((header, mut root)) = found else { return Ok(false) };
        let (split, parts) = (&mut split.dwarf, parts.unwrap_or_default());
        let mut offsets = str_offsets(&header, &root);
        if let Some(offsets) = &mut offsets {
            offsets.base = offsets.base.saturating_add(parts.str_offsets);
        }
        root.macros = root.macros.map(|at| at.saturating_add(parts.macros));
        root.stmt_list = Some(root.stmt_list.unwrap_or(0).saturating_add(parts.line));
        let said = describe(&mut split.strings, &root, offsets, self.questions.commands);
        let at = usize::try_from(skeleton.unit.0).unwrap_or(usize::MAX);
        let Some(unit) = self.info.units.get_mut(at) else { return Ok(true) };
        take(unit, said);
        if self.questions.files {
            if let Err(trouble) = self.main_file_of(skeleton.unit) {
                self.remark(format!("the source in {}: {trouble}", skeleton.name));
            }
            if let Err(trouble) = self.split_files_of(split, skeleton.unit, &root, offsets) {
                self.remark(format!("the macros in {}: {trouble}", skeleton.name));
            }
        }
        Ok(true)
    }

    /// Puts a unit's source first among its files.
    fn main_file_of(&mut self, id: UnitId) -> Result<(), super::tables::Trouble> {
        let at = usize::try_from(id.0).unwrap_or(usize::MAX);
        let Some(unit) = self.info.units.get_mut(at) else { return Ok(()) };
        let Some(source) = &unit.source else { return Ok(()) };
        let cwd = match &unit.cwd {
            Some(cwd) => Some(self.files.directory(None, cwd.value.as_bytes())?),
            None => None,
        };
        let file = self.files.file(cwd, source.value.as_bytes())?;
        self.files.resume(id, &unit.files);
        self.files.note(id, &mut unit.files, file, None, Provenance::Recorded)?;
        if let Some(at) = unit.files.iter().position(|one| one.file == file)
            && let Some(front) = unit.files.get_mut(..=at)
        {
            front.rotate_right(1);
            if let Some(first) = front.first_mut() {
                first.provenance = Provenance::Recorded;
            }
        }
        Ok(())
    }
}

/// Takes what a split unit says into what its skeleton said.
fn take(unit: &mut Unit, said: Unit) {
    unit.source = said.source.or(unit.source.take());
    unit.module = said.module;
    unit.kind = said.kind;
    unit.cwd = said.cwd.or(unit.cwd.take());
    unit.language = said.language.or(unit.language.take());
    unit.producer = said.producer.or(unit.producer.take());
    unit.front_end = said.front_end.or(unit.front_end);
    unit.compiler = said.compiler.or(unit.compiler.take());
    unit.command = said.command.or(unit.command.take());
    unit.flags.extend(said.flags);
    unit.flags.sort_unstable();
    unit.flags.dedup();
}

/// How many units of split files may be looked at for those that are wanted.
pub(crate) const MOST_UNITS: u32 = 1 << 22;
