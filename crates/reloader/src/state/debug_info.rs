//! What the debug information tells of variables that the symbol table does not: which function and
//! source a static belongs to, and what sort of number a variable is.
//!
//! gcc calls the statics `n` of two functions `n.0` and `n.1`, numbered in an order of its own. And
//! a variable that has become larger may be a number of a wider type, or an array with more
//! elements. DWARF tells; it is asked only then.

mod contents;
mod entry;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;

use elf_sections::Image;
use gimli::{DwarfSections, EndianSlice, Operation, RunTimeEndian, constants as dw};

use self::entry::{Dwarf, Entry, Unit, Variable, name_of};
use super::scalar::Scalar;
use crate::sys;

/// The debug information of an image; what it does not tell, or tells wrongly, is not known.
pub(super) struct DebugInfo<'data> {
    sections: DwarfSections<Cow<'data, [u8]>>,
    endian: RunTimeEndian,
}

/// Where a variable was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    /// The function that it is a static of.
    pub(super) function: Option<String>,
    /// The name of the source file.
    pub(super) file: Option<String>,
}

/// What sort of thing a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// A number, or an array of them.
    Number(Scalar),
    /// Something else.
    Other,
}

/// Where debug information is looked for: in all of it, or in the units of these source files.
type Files<'a> = Option<&'a HashSet<&'a str>>;

impl<'data> DebugInfo<'data> {
    /// That of an image; none where it has none.
    pub(super) fn of(image: &Image<'data>) -> Option<Self> {
        let endian = match image.header().endian {
            elf_sections::Endian::Little => RunTimeEndian::Little,
            elf_sections::Endian::Big => RunTimeEndian::Big,
        };
        Some(Self { sections: contents::of(image)?, endian })
    }

    /// Where the variables at `wanted` addresses were written, by address. Only the units of the
    /// source `files` are read.
    pub(super) fn homes(&self, wanted: &HashSet<u64>, files: Files<'_>) -> HashMap<u64, Home> {
        let mut found = HashMap::new();
        self.each_variable(files, &mut |variable| {
            if wanted.contains(&variable.address) {
                let home = Home { function: variable.function(), file: variable.file() };
                found.insert(variable.address, home);
            }
            if found.len() == wanted.len() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        found
    }

    /// What the variable at an address is; its source file may be known.
    pub(super) fn sort(&self, address: u64, file: Option<&str>) -> Option<Sort> {
        let files = file.map(|file| HashSet::from([file]));
        let mut found = None;
        let mut look = |files| {
            self.each_variable(files, &mut |variable| {
                if variable.address != address {
                    return ControlFlow::Continue(());
                }
                found = variable.sort();
                ControlFlow::Break(())
            });
            found
        };
        // What is optimised at link time is described by a unit of its own.
        look(files.as_ref()).or_else(|| look(None).filter(|_| files.is_some()))
    }

    /// Calls `each` with every variable that has a fixed address, until it breaks off.
    fn each_variable(
        &self,
        files: Files<'_>,
        each: &mut dyn FnMut(&Variable<'_, '_>) -> ControlFlow<()>,
    ) {
        let dwarf = self.sections.borrow(|bytes| EndianSlice::new(bytes, self.endian));
        let mut units = dwarf.units();
        while let Ok(Some(header)) = units.next() {
            let Ok(unit) = dwarf.unit(header) else { continue };
            let flow = match split_path(&dwarf, &unit) {
                Some(path) => self.each_split_off(&dwarf, &unit, &path, files, each),
                None if is_of(&unit, files) => each_in(&dwarf, &unit, each),
                None => continue,
            };
            if flow.is_break() {
                return;
            }
        }
    }

    /// The same for a unit of which the image has no more than where the rest is
    /// (`-gsplit-dwarf`).
    fn each_split_off(
        &self,
        dwarf: &Dwarf<'_>,
        skeleton: &Unit<'_>,
        path: &Path,
        files: Files<'_>,
        each: &mut dyn FnMut(&Variable<'_, '_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(sections) = contents::of_split(path) else { return ControlFlow::Continue(()) };
        let mut split = sections.borrow(|bytes| EndianSlice::new(bytes, self.endian));
        split.make_dwo(dwarf);
        let mut units = split.units();
        while let Ok(Some(header)) = units.next() {
            let Ok(mut unit) = split.unit(header) else { continue };
            // The file may be that of another build by now.
            if unit.dwo_id == skeleton.dwo_id && is_of(&unit, files) {
                unit.copy_relocated_attributes(skeleton);
                each_in(&split, &unit, each)?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether the unit is of one of the source files.
fn is_of(unit: &Unit<'_>, files: Files<'_>) -> bool {
    files.is_none_or(|files| name_of(unit).is_some_and(|name| files.contains(&*name)))
}

/// Where the rest of a skeleton unit is.
fn split_path(dwarf: &Dwarf<'_>, unit: &Unit<'_>) -> Option<std::path::PathBuf> {
    unit.dwo_id?;
    let name = dwarf.attr_string(unit, unit.dwo_name().ok()??).ok()?;
    let directory = unit.comp_dir.map(|directory| sys::file_name(directory.slice()));
    Some(Path::new(&directory.unwrap_or_default()).join(sys::file_name(name.slice())))
}

fn each_in(
    dwarf: &Dwarf<'_>,
    unit: &Unit<'_>,
    each: &mut dyn FnMut(&Variable<'_, '_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut entries = unit.entries();
    // The functions around the entry, with their depths.
    let mut around = Vec::new();
    // A unit that cannot be read to its end has told what it could.
    while let Ok(Some(entry)) = entries.next_dfs() {
        let depth = entry.depth();
        while around.last().is_some_and(|(function, _)| *function >= depth) {
            around.pop();
        }
        if entry.tag() == dw::DW_TAG_subprogram {
            around.push((depth, entry.offset()));
        } else if entry.tag() == dw::DW_TAG_variable
            && let Some(address) = address(dwarf, unit, entry)
        {
            each(&Variable { dwarf, unit, entry, address, around: &around })?;
        }
    }
    ControlFlow::Continue(())
}

/// The fixed address of a variable that has one.
fn address(dwarf: &Dwarf<'_>, unit: &Unit<'_>, entry: &Entry<'_>) -> Option<u64> {
    let expression = entry.attr_value(dw::DW_AT_location)?.exprloc_value()?;
    match expression.operations(unit.encoding()).next().ok()?? {
        Operation::Address { address } => Some(address),
        Operation::AddressIndex { index } => dwarf.address(unit, index).ok(),
        _ => None,
    }
}
