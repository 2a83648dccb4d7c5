//! Units read from their line tables alone.

use super::description::named;
use super::line::Place;
use super::tables::Adding;
use super::units::Reading;
use crate::{Error, Fact, Provenance, Unit, UnitId};

impl Reading<'_, '_> {
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
            let (files, known) = (&mut *self.files, &mut self.known);
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
}
