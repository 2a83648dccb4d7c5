//! The files of a unit: its source, those of its line table, those of its macro information.

use std::collections::HashSet;

use super::files::Directory;
use super::line::Place;
use super::root::Root;
use super::strings::Offsets;
use super::tables::{Adding, Trouble};
use super::units::{Dwarf, Reading};
use crate::{Command, FileId, Provenance, Unit, UnitId};

impl Reading<'_, '_> {
    /// Adds its files to a unit. What was added before something is found wrong stays.
    pub(crate) fn files_of(
        &mut self,
        id: UnitId,
        unit: &mut Unit,
        root: &Root,
        offsets: Option<Offsets>,
    ) -> Result<(), Trouble> {
        let cwd = match &unit.cwd {
            Some(cwd) => Some(self.files.directory(None, cwd.value.as_bytes())?),
            None => None,
        };
        let main = match &unit.source {
            Some(source) => Some(self.files.file(cwd, source.value.as_bytes())?),
            None => None,
        };
        if let Some(main) = main {
            self.files.note(id, &mut unit.files, main, None, Provenance::Recorded)?;
        }
        let Some(at) = root.stmt_list else { return Ok(()) };
        let dwarf = &mut *self.dwarf;
        let place = Place::read(&mut dwarf.line, at, dwarf.endian)?;
        self.known.spend(&place)?;
        let tables = place.tables(&mut dwarf.line, dwarf.endian)?;
        let (files, strings, known) = (&mut *self.files, &mut dwarf.strings, &mut self.known);
        let mut adding = Adding { files, strings, known, unit: id, offsets, main };
        let numbers = adding.add(&tables, cwd, &mut unit.files)?;
        opened(dwarf, unit, root, offsets, &numbers, self.questions.commands)
    }

    /// Adds the files of a line table that macro information of a split unit counts by.
    pub(crate) fn split_files_of(
        &mut self,
        split: &mut Dwarf<'_>,
        id: UnitId,
        root: &Root,
        offsets: Option<Offsets>,
    ) -> Result<(), Trouble> {
        if root.macros.is_none() && root.macinfo.is_none() {
            return Ok(());
        }
        let place = Place::read(&mut split.line, root.stmt_list.unwrap_or(0), split.endian)?;
        self.known.spend(&place)?;
        let tables = place.tables(&mut split.line, split.endian)?;
        let Some(unit) = usize::try_from(id.0).ok().and_then(|at| self.info.units.get_mut(at))
        else {
            return Ok(());
        };
        let cwd: Option<Directory> = match &unit.cwd {
            Some(cwd) => Some(self.files.directory(None, cwd.value.as_bytes())?),
            None => None,
        };
        // Offsets of names are into sections of the split file, which others do not share.
        let mut known = self.known.apart();
        let (files, strings) = (&mut *self.files, &mut split.strings);
        files.resume(id, &unit.files);
        let mut adding =
            Adding { files, strings, known: &mut known, unit: id, offsets, main: None };
        let numbers = adding.add(&tables, cwd, &mut unit.files)?;
        opened(split, unit, root, offsets, &numbers, self.questions.commands)
    }
}

/// Marks the files that macro information says were opened, and takes the definitions that it has
/// from the command line.
fn opened(
    dwarf: &mut Dwarf<'_>,
    unit: &mut Unit,
    root: &Root,
    offsets: Option<Offsets>,
    numbers: &[Option<FileId>],
    commands: bool,
) -> Result<(), Trouble> {
    let cpp = unit.language.as_deref() == Some("C++");
    let said = dwarf.macros.read(root, &mut dwarf.strings, offsets, cpp)?;
    let Some(said) = said else { return Ok(()) };
    let opened: HashSet<FileId> = said
        .files
        .iter()
        .filter_map(|&number| numbers.get(usize::try_from(number).ok()?).copied().flatten())
        .collect();
    for one in &mut unit.files {
        if one.provenance == Provenance::LineTable && opened.contains(&one.file) {
            one.provenance = Provenance::Macros;
        }
    }
    if !opened.is_empty() {
        unit.is_whole_by(Provenance::Macros);
    }
    let is_whole = unit
        .command
        .as_ref()
        .is_some_and(|command| matches!(command.value, Command::Line { with_compiler: true, .. }));
    if commands && !is_whole {
        unit.definitions = said.definitions;
    }
    Ok(())
}
