//! The units of debug information, one after the other.

use std::collections::BTreeMap;

use gimli::RunTimeEndian;

use super::abbreviation::Abbreviations;
use super::claims::Claimed;
use super::description::{describe, str_offsets};
use super::files::Files;
use super::header::Header;
use super::macros::Macros;
use super::origins;
use super::ranges::Ranges;
use super::root::Root;
use super::section::Section;
use super::split::{MOST_UNITS, Skeleton};
use super::strings::Strings;
use super::tables::Known;
use crate::{BuildInfo, Error, Kind, Questions, UnitId};

/// Debug information, apart by sections.
pub(crate) struct Dwarf<'a> {
    pub(crate) info: Section<'a>,
    pub(crate) abbrev: Section<'a>,
    pub(crate) line: Section<'a>,
    pub(crate) strings: Strings<'a>,
    pub(crate) ranges: Ranges<'a>,
    pub(crate) macros: Macros<'a>,
    pub(crate) endian: RunTimeEndian,
}

/// What the units are read into.
pub(crate) struct Reading<'r, 'a> {
    pub(crate) dwarf: &'r mut Dwarf<'a>,
    pub(crate) info: &'r mut BuildInfo,
    pub(crate) questions: Questions,
    pub(crate) target: Option<&'static str>,
    pub(crate) files: &'r mut Files,
    pub(crate) claims: Vec<Claimed>,
    abbreviations: Abbreviations,
    pub(crate) known: Known,
    /// The units whose tree is in another file.
    pub(crate) skeletons: Vec<Skeleton>,
    /// How many units of split files may still be looked at.
    pub(crate) split_left: u32,
    /// Where units begin in `.debug_info`, and which of them are listed.
    places: BTreeMap<u64, Option<UnitId>>,
    /// The units of what was generated at link time.
    artificial: Vec<(Header, Root, UnitId)>,
    /// How many bytes of abbreviations may be read for those.
    origins_left: u64,
    /// The units that do not say themselves which addresses are their own, by where they begin.
    silent: BTreeMap<u64, UnitId>,
}

impl<'r, 'a> Reading<'r, 'a> {
    pub(crate) fn new(
        dwarf: &'r mut Dwarf<'a>,
        info: &'r mut BuildInfo,
        questions: Questions,
        target: Option<&'static str>,
        files: &'r mut Files,
    ) -> Self {
        Self {
            abbreviations: Abbreviations::new(&dwarf.abbrev),
            origins_left: dwarf.abbrev.length().saturating_mul(64).saturating_add(1 << 20),
            known: Known::new(&dwarf.line),
            dwarf,
            info,
            questions,
            target,
            files,
            claims: Vec::new(),
            skeletons: Vec::new(),
            split_left: MOST_UNITS,
            places: BTreeMap::new(),
            artificial: Vec::new(),
            silent: BTreeMap::new(),
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
        self.claims_of_artificial();
        if !self.silent.is_empty() && self.questions.contributions {
            let read = self.dwarf.ranges.claims_by_aranges(&self.silent, &mut self.claims);
            if let Err(error) = read {
                self.remark(error.to_string());
            }
        }
        Ok(())
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
        // What lies behind another unit is not taken for its.
        self.places.insert(header.at, None);
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
        let mut unit = describe(&mut self.dwarf.strings, &root, offsets, self.questions.commands);
        unit.target = self.target.map(str::to_owned);
        let id = UnitId(u32::try_from(self.info.units.len()).unwrap_or(u32::MAX));
        self.places.insert(header.at, Some(id));
        if self.questions.files
            && let Err(trouble) = self.files_of(id, &mut unit, &root, offsets)
        {
            self.remark(format!("the files of the unit at {:#x}: {trouble}", header.at));
        }
        if let Some(name) = &root.dwo_name
            && let Some(name) = self.dwarf.strings.text(name, offsets)
        {
            let directory = unit.cwd.as_ref().map(|cwd| cwd.value.clone());
            self.skeletons.push(Skeleton { unit: id, directory, name, id: root.dwo_id });
        }
        let is_artificial = unit.kind == Kind::LinkTimeCode;
        self.info.units.push(unit);
        if self.questions.contributions {
            if is_artificial {
                self.artificial.push((*header, root, id));
            } else {
                self.claims_of(header, &root, id);
            }
        }
        Ok(())
    }

    fn claims_of(&mut self, header: &Header, root: &Root, unit: UnitId) {
        match self.dwarf.ranges.claims(header, root, unit, &mut self.claims) {
            Ok(true) => {}
            Ok(false) => {
                self.silent.insert(header.at, unit);
            }
            Err(error) => {
                self.remark(format!("the addresses of the unit at {:#x}: {error}", header.at));
            }
        }
    }

    /// Gives what was generated at link time to the units that it was compiled in.
    fn claims_of_artificial(&mut self) {
        for (header, root, unit) in std::mem::take(&mut self.artificial) {
            let mut own = Vec::new();
            let read = self.dwarf.ranges.claims(&header, &root, unit, &mut own).and_then(|_| {
                origins::claims(self.dwarf, &header, &root, &self.places, &mut self.origins_left)
            });
            match read {
                Ok(theirs) => {
                    self.claims.extend(origins::remaining(own, &theirs));
                    self.claims.extend(theirs);
                }
                Err(error) => {
                    self.claims.extend(own);
                    self.remark(format!("the unit generated at link time: {error}"));
                }
            }
        }
    }
}

const MOST_REMARKS: usize = 64;
