//! Units whose tree is in another file: what that says of them.

use gimli::{DebugCuIndex, EndianSlice, RunTimeEndian, UnitIndex};

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

impl Parts {
    /// The parts of the unit that an id is of, by the index of a package.
    pub(crate) fn find(
        index: &mut Section<'_>,
        id: u64,
        endian: RunTimeEndian,
    ) -> Result<Option<Self>, Error> {
        let structure = index.name();
        let bad = |error| malformed(structure, 0, error);
        let index = DebugCuIndex::from(EndianSlice::new(index.all()?, endian));
        let index: UnitIndex<_> = index.index().map_err(bad)?;
        let Some(row) = index.find(id) else { return Ok(None) };
        let mut parts = Self::default();
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

impl Reading<'_, '_> {
    /// Takes what a split file says into the unit whose skeleton names it. Says whether the file is
    /// the one.
    pub(crate) fn complete(
        &mut self,
        skeleton: &Skeleton,
        split: &mut Dwarf<'_>,
        parts: Parts,
    ) -> Result<bool, Error> {
        let Some((header, mut root)) = find(split, skeleton.id, parts, &mut self.split_left)?
        else {
            return Ok(false);
        };
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

/// The unit that an id is of, or, where it has none, the only one.
fn find(
    split: &mut Dwarf<'_>,
    id: Option<u64>,
    parts: Parts,
    left: &mut u32,
) -> Result<Option<(Header, Root)>, Error> {
    let mut abbreviations = Abbreviations::new(&split.abbrev);
    let mut at = parts.info;
    // Units of types come before it, and a file has one for each that is used.
    while at < split.info.length() && *left > 0 {
        *left = left.saturating_sub(1);
        let mut header = Header::read(&mut split.info, at, split.endian)?;
        header.abbreviations = header.abbreviations.saturating_add(parts.abbrev);
        if !header.is_type() {
            let root = Root::read(
                &mut split.info,
                &mut split.abbrev,
                &mut abbreviations,
                &header,
                split.endian,
            )?;
            if root.dwo_id == id {
                return Ok(Some((header, root)));
            }
        }
        at = header.end;
    }
    Ok(None)
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
