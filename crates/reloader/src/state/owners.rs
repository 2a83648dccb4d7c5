//! Which function a static belongs to, by the debug information.
//!
//! gcc calls the statics `n` of two functions `n.0` and `n.1`, numbered in an order of its own; the symbol table does not
//! say which is whose. DWARF does: the variable stands inside its function there.

use std::collections::{HashMap, HashSet};

use elf_sections::Image;
use gimli::{AttributeValue, EndianSlice, Operation, RunTimeEndian, constants as dw};

type Slice<'data> = EndianSlice<'data, RunTimeEndian>;
type Entry<'data> = gimli::DebuggingInformationEntry<Slice<'data>>;

/// The functions that own the variables at `wanted` addresses, by address; what the debug information does not tell, or
/// tells wrongly, is left out.
///
/// Only the units of the source `files` are read.
pub(super) fn owners(
    image: &Image<'_>,
    wanted: &HashSet<u64>,
    files: &HashSet<&str>,
) -> HashMap<u64, String> {
    let mut found = HashMap::new();
    let endian = match image.header().endian {
        elf_sections::Endian::Little => RunTimeEndian::Little,
        elf_sections::Endian::Big => RunTimeEndian::Big,
    };
    let section = |id: gimli::SectionId| -> Result<Slice<'_>, gimli::Error> {
        let bytes = image
            .sections_named(id.name())
            // Compressed ones are not worth a decompressor here: those statics are refused.
            .find(|section| !section.flags.is_compressed())
            .and_then(|section| image.section_bytes(section));
        Ok(EndianSlice::new(bytes.unwrap_or_default(), endian))
    };
    let Ok(dwarf) = gimli::Dwarf::load(section) else { return found };
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        let Ok(unit) = dwarf.unit(header) else { continue };
        let of_interest = unit.name.is_some_and(|name| {
            let name = name.to_string_lossy();
            let file = name.rsplit('/').next().unwrap_or(&name);
            files.contains(file)
        });
        if of_interest {
            // A unit that cannot be read to its end has told what it could.
            let _ = Walk { dwarf: &dwarf, unit: &unit, wanted, found: &mut found }.run();
        }
        if found.len() == wanted.len() {
            break;
        }
    }
    found
}

struct Walk<'a, 'data> {
    dwarf: &'a gimli::Dwarf<Slice<'data>>,
    unit: &'a gimli::Unit<Slice<'data>>,
    wanted: &'a HashSet<u64>,
    found: &'a mut HashMap<u64, String>,
}

impl<'data> Walk<'_, 'data> {
    fn run(&mut self) -> gimli::Result<()> {
        let mut entries = self.unit.entries();
        // The functions around the entry, with their depths.
        let mut around: Vec<(isize, String)> = Vec::new();
        while let Some(entry) = entries.next_dfs()? {
            let depth = entry.depth();
            while around.last().is_some_and(|(function, _)| *function >= depth) {
                around.pop();
            }
            match entry.tag() {
                dw::DW_TAG_subprogram => {
                    if let Some(name) = self.name(entry) {
                        around.push((depth, name));
                    }
                }
                dw::DW_TAG_variable => {
                    if let Some((_, function)) = around.last()
                        && let Some(address) = self.address(entry)
                        && self.wanted.contains(&address)
                    {
                        self.found.insert(address, function.clone());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The name of a function, or of the one it is an instance of.
    fn name(&self, entry: &Entry<'data>) -> Option<String> {
        let named = |entry: &Entry<'data>| {
            let name = [dw::DW_AT_linkage_name, dw::DW_AT_name]
                .into_iter()
                .find_map(|attribute| entry.attr_value(attribute))?;
            let name = self.dwarf.attr_string(self.unit, name).ok()?;
            Some(name.to_string_lossy().into_owned())
        };
        named(entry).or_else(|| {
            let origin = [dw::DW_AT_abstract_origin, dw::DW_AT_specification]
                .into_iter()
                .find_map(|attribute| entry.attr_value(attribute))?;
            let AttributeValue::UnitRef(offset) = origin else { return None };
            named(&self.unit.entry(offset).ok()?)
        })
    }

    /// The fixed address of a variable that has one.
    fn address(&self, entry: &Entry<'data>) -> Option<u64> {
        let expression = entry.attr_value(dw::DW_AT_location)?.exprloc_value()?;
        match expression.operations(self.unit.encoding()).next().ok()?? {
            Operation::Address { address } => Some(address),
            Operation::AddressIndex { index } => self.dwarf.address(self.unit, index).ok(),
            _ => None,
        }
    }
}
