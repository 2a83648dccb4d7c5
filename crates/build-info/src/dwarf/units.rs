//! The units of debug information, one after the other.

use std::collections::HashMap;

use gimli::RunTimeEndian;

use super::abbreviation::Abbreviations;
use super::claims::Claimed;
use super::files::Files;
use super::header::Header;
use super::line::Place;
use super::ranges::Ranges;
use super::root::Root;
use super::section::Section;
use super::strings::{Offsets, Strings};
use super::tables::{Adding, Known, Trouble};
use super::{language, producer};
use crate::{BuildInfo, Error, Fact, FileUse, Flag, Kind, Provenance, Questions, Unit, UnitId};

/// Debug information, apart by sections.
pub(crate) struct Dwarf<'a> {
    pub(crate) info: Section<'a>,
    pub(crate) abbrev: Section<'a>,
    pub(crate) line: Section<'a>,
    pub(crate) strings: Strings<'a>,
    pub(crate) ranges: Ranges<'a>,
    pub(crate) endian: RunTimeEndian,
}

/// What the units are read into.
pub(crate) struct Reading<'r, 'a> {
    pub(crate) dwarf: &'r mut Dwarf<'a>,
    pub(crate) info: &'r mut BuildInfo,
    pub(crate) questions: Questions,
    pub(crate) target: Option<&'static str>,
    pub(crate) files: Files,
    pub(crate) claims: Vec<Claimed>,
    abbreviations: Abbreviations,
    known: Known,
    /// Units by where they are in `.debug_info`.
    places: HashMap<u64, UnitId>,
    /// Whether a unit does not say itself which addresses are its own.
    silent: bool,
}

impl<'r, 'a> Reading<'r, 'a> {
    pub(crate) fn new(
        dwarf: &'r mut Dwarf<'a>,
        info: &'r mut BuildInfo,
        questions: Questions,
        target: Option<&'static str>,
        length: u64,
    ) -> Self {
        Self {
            abbreviations: Abbreviations::new(&dwarf.abbrev),
            known: Known::new(&dwarf.line),
            dwarf,
            info,
            questions,
            target,
            files: Files::new(length),
            claims: Vec::new(),
            places: HashMap::new(),
            silent: false,
        }
    }

    /// Reads all units.
    pub(crate) fn units(&mut self) -> Result<(), Error> {
        let endian = self.dwarf.endian;
        let mut at = 0;
        while at < self.dwarf.info.length() {
            self.dwarf.info.forget_before(at);
            let header = match Header::read(&mut self.dwarf.info, at, endian) {
                Ok(header) => header,
                Err(error) => {
                    self.remark(format!("the units from there on are not read: {error}"));
                    break;
                }
            };
            if !header.is_type()
                && let Err(error) = self.unit(&header)
            {
                self.remark(format!("the unit at {at:#x} of .debug_info: {error}"));
            }
            at = header.end;
        }
        if self.silent && self.questions.contributions {
            let read = self.dwarf.ranges.from_aranges(&self.places, &mut self.claims);
            if let Err(error) = read {
                self.remark(error.to_string());
            }
        }
        Ok(())
    }

    /// Reads the units from their line tables alone, which name the source and the directory from
    /// version 5 on. Says whether all of them do.
    pub(crate) fn units_of_lines(&mut self) -> Result<bool, Error> {
        let endian = self.dwarf.endian;
        let mut at = 0;
        while at < self.dwarf.line.length() {
            self.dwarf.line.forget_before(at);
            let place = Place::read(&mut self.dwarf.line, at, endian)?;
            let id = UnitId(u32::try_from(self.info.units.len()).unwrap_or(u32::MAX));
            let mut unit = Unit { target: self.target.map(str::to_owned), ..Unit::default() };
            if place.version < 5 || self.known.spend(&place).is_err() {
                return Ok(false);
            }
            let tables = place.tables(&mut self.dwarf.line, endian)?;
            let strings = &mut self.dwarf.strings;
            let Some((cwd, source)) = tables.source(strings) else { return Ok(false) };
            let Ok(directory) = self.files.directory(None, cwd.as_bytes()) else {
                return Ok(false);
            };
            unit.cwd = Some(Fact::recorded(cwd));
            named(&mut unit, source);
            let main = match &unit.source {
                Some(source) => self.files.file(Some(directory), source.value.as_bytes()).ok(),
                None => None,
            };
            let mut uses = Vec::new();
            let (files, known) = (&mut self.files, &mut self.known);
            if let Some(main) = main {
                let _ = files.note(id, &mut uses, main, None, Provenance::Recorded);
            }
            let mut adding = Adding { files, strings, known, unit: id, offsets: None, main };
            if adding.add(&tables, Some(directory), &mut uses).is_err() {
                return Ok(false);
            }
            unit.files = uses;
            self.info.units.push(unit);
            at = place.end;
        }
        Ok(true)
    }

    /// Notes what is wrong, unless there is too much of it.
    pub(crate) fn remark(&mut self, text: String) {
        match self.info.remarks.len() {
            0..MOST_REMARKS => self.info.remarks.push(text),
            MOST_REMARKS => self.info.remarks.push("and more of the kind".to_owned()),
            _ => {}
        }
    }

    fn unit(&mut self, header: &Header) -> Result<(), Error> {
        let dwarf = &mut *self.dwarf;
        let root = Root::read(
            &mut dwarf.info,
            &mut dwarf.abbrev,
            &mut self.abbreviations,
            header,
            dwarf.endian,
        )?;
        if !matches!(root.tag, gimli::DW_TAG_compile_unit | gimli::DW_TAG_skeleton_unit) {
            return Ok(());
        }
        let offsets = str_offsets(header, &root);
        let mut unit = self.describe(&root, offsets);
        let id = UnitId(u32::try_from(self.info.units.len()).unwrap_or(u32::MAX));
        self.places.insert(header.at, id);
        if self.questions.files {
            let source = unit.source.as_ref().map(|source| source.value.clone());
            let cwd = unit.cwd.as_ref().map(|cwd| cwd.value.clone());
            let stmt_list = root.stmt_list;
            let read = self.unit_files(id, source.as_deref(), cwd.as_deref(), stmt_list, offsets);
            let (files, error) = read;
            unit.files = files;
            if let Some(error) = error {
                self.remark(format!("the files of the unit at {:#x}: {error}", header.at));
            }
        }
        self.info.units.push(unit);
        if self.questions.contributions {
            let claimed = self.dwarf.ranges.claims(header, &root, id, &mut self.claims);
            match claimed {
                Ok(claimed) => self.silent |= !claimed,
                Err(error) => {
                    self.remark(format!("the addresses of the unit at {:#x}: {error}", header.at));
                }
            }
        }
        Ok(())
    }

    /// What the root says of the unit itself.
    fn describe(&mut self, root: &Root, offsets: Option<Offsets>) -> Unit {
        let strings = &mut self.dwarf.strings;
        let mut text = |text: &Option<_>| strings.text(text.as_ref()?, offsets);
        let name = text(&root.name);
        let mut unit = Unit {
            cwd: text(&root.comp_dir).map(Fact::recorded),
            language: root.language.and_then(language::name).map(str::to_owned),
            target: self.target.map(str::to_owned),
            ..Unit::default()
        };
        if let Some(name) = name {
            named(&mut unit, name);
        }
        if root.optimized {
            unit.flags.push(Flag::Optimized);
        }
        if root.dwo_name.is_some() {
            unit.flags.push(Flag::SplitDebugInfo);
        }
        let flags = text(&root.flags);
        if let Some(producer) = text(&root.producer) {
            producer::describe(&mut unit, &producer, flags.as_deref(), self.questions.commands);
        }
        unit
    }

    /// The files of a unit: its source, and those of its line table.
    fn unit_files(
        &mut self,
        unit: UnitId,
        source: Option<&str>,
        cwd: Option<&str>,
        stmt_list: Option<u64>,
        offsets: Option<Offsets>,
    ) -> (Vec<FileUse>, Option<Trouble>) {
        let mut uses = Vec::new();
        let added = self.source_and_table(unit, source, cwd, stmt_list, offsets, &mut uses);
        (uses, added.err())
    }

    fn source_and_table(
        &mut self,
        unit: UnitId,
        source: Option<&str>,
        cwd: Option<&str>,
        stmt_list: Option<u64>,
        offsets: Option<Offsets>,
        uses: &mut Vec<FileUse>,
    ) -> Result<(), Trouble> {
        let cwd = cwd.map(|cwd| self.files.directory(None, cwd.as_bytes())).transpose()?;
        let main = match source {
            Some(source) => Some(self.files.file(cwd, source.as_bytes())?),
            None => None,
        };
        if let Some(main) = main {
            self.files.note(unit, uses, main, None, Provenance::Recorded)?;
        }
        let Some(at) = stmt_list else { return Ok(()) };
        let dwarf = &mut *self.dwarf;
        let place = Place::read(&mut dwarf.line, at, dwarf.endian)?;
        self.known.spend(&place)?;
        let tables = place.tables(&mut dwarf.line, dwarf.endian)?;
        let (files, strings, known) = (&mut self.files, &mut dwarf.strings, &mut self.known);
        Adding { files, strings, known, unit, offsets, main }.add(&tables, cwd, uses)?;
        Ok(())
    }
}

/// Where a unit's texts that are numbered are listed.
fn str_offsets(header: &Header, root: &Root) -> Option<Offsets> {
    let version = header.encoding.version;
    let base = root.str_offsets_base.or((version < 5).then_some(0));
    // Behind the header of the section's only table, where the root does not say.
    let base =
        base.unwrap_or(if header.encoding.format == gimli::Format::Dwarf64 { 16 } else { 8 });
    Some(Offsets { base, encoding: header.encoding })
}

/// Takes a unit's name apart: it is the source, but for what rustc and GCC make up.
fn named(unit: &mut Unit, name: String) {
    if name == "<artificial>" {
        unit.kind = Kind::LinkTimeCode;
        unit.module = name;
        return;
    }
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    if matches!(base, "crtstuff.c" | "start.S" | "crti.S" | "crtn.S" | "abi-note.c") {
        unit.kind = Kind::Runtime;
    }
    match name.split_once("/@/") {
        Some((source, part)) => {
            unit.module = part.to_owned();
            unit.source = Some(Fact::recorded(source.to_owned()));
        }
        None => unit.source = Some(Fact::recorded(name)),
    }
}

const MOST_REMARKS: usize = 64;
