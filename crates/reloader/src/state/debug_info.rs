//! What the debug information tells of variables that the symbol table does not: which function a
//! static belongs to, and what sort of number a variable is.
//!
//! gcc calls the statics `n` of two functions `n.0` and `n.1`, numbered in an order of its own. And
//! a variable that has become larger may be a number of a wider type, or an array with more
//! elements. DWARF tells; it is asked only then.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use elf_sections::Image;
use gimli::{AttributeValue, EndianSlice, Operation, RunTimeEndian, UnitOffset, constants as dw};

use super::scalar::{Number, Scalar};

type Slice<'data> = EndianSlice<'data, RunTimeEndian>;
type Entry<'data> = gimli::DebuggingInformationEntry<Slice<'data>>;

/// The debug information of an image; what it does not tell, or tells wrongly, is not known.
pub(super) struct DebugInfo<'data> {
    dwarf: gimli::Dwarf<Slice<'data>>,
}

impl<'data> DebugInfo<'data> {
    pub(super) fn of(image: &Image<'data>) -> Option<Self> {
        let endian = match image.header().endian {
            elf_sections::Endian::Little => RunTimeEndian::Little,
            elf_sections::Endian::Big => RunTimeEndian::Big,
        };
        let section = |id: gimli::SectionId| -> Result<Slice<'data>, gimli::Error> {
            let bytes = image
                .sections_named(id.name())
                // Compressed ones are not worth a decompressor here.
                .find(|section| !section.flags.is_compressed())
                .and_then(|section| image.section_bytes(section));
            Ok(EndianSlice::new(bytes.unwrap_or_default(), endian))
        };
        Some(Self { dwarf: gimli::Dwarf::load(section).ok()? })
    }

    /// The functions that own the variables at `wanted` addresses, by address. Only the units of
    /// the source `files` are read.
    pub(super) fn owners(
        &self,
        wanted: &HashSet<u64>,
        files: &HashSet<&str>,
    ) -> HashMap<u64, String> {
        let mut found = HashMap::new();
        self.each_variable(Some(files), |variable| {
            if let Some(owner) = variable.owner
                && wanted.contains(&variable.address)
            {
                found.insert(variable.address, owner.to_owned());
            }
            if found.len() == wanted.len() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        found
    }

    /// What sort of number the variable at an address is, if it is one.
    pub(super) fn scalar(&self, address: u64, file: Option<&str>) -> Option<Scalar> {
        let files = file.map(|file| HashSet::from([file]));
        let mut found = None;
        self.each_variable(files.as_ref(), |variable| {
            if variable.address != address {
                return ControlFlow::Continue(());
            }
            found = scalar_of(variable.unit, variable.entry);
            ControlFlow::Break(())
        });
        found
    }

    /// Calls `each` with every variable that has a fixed address, until it breaks off.
    fn each_variable(
        &self,
        files: Option<&HashSet<&str>>,
        mut each: impl FnMut(&Variable<'_, 'data>) -> ControlFlow<()>,
    ) {
        let mut units = self.dwarf.units();
        while let Ok(Some(header)) = units.next() {
            let Ok(unit) = self.dwarf.unit(header) else { continue };
            let of_interest = files.is_none_or(|files| {
                unit.name.is_some_and(|name| {
                    let name = name.to_string_lossy();
                    files.contains(name.rsplit('/').next().unwrap_or(&name))
                })
            });
            // A unit that cannot be read to its end has told what it could.
            if of_interest && let Ok(ControlFlow::Break(())) = self.each_in(&unit, &mut each) {
                return;
            }
        }
    }

    fn each_in(
        &self,
        unit: &gimli::Unit<Slice<'data>>,
        each: &mut impl FnMut(&Variable<'_, 'data>) -> ControlFlow<()>,
    ) -> gimli::Result<ControlFlow<()>> {
        let mut entries = unit.entries();
        // The functions around the entry, with their depths.
        let mut around: Vec<(isize, String)> = Vec::new();
        while let Some(entry) = entries.next_dfs()? {
            let depth = entry.depth();
            while around.last().is_some_and(|(function, _)| *function >= depth) {
                around.pop();
            }
            if entry.tag() == dw::DW_TAG_subprogram
                && let Some(name) = self.name(unit, entry)
            {
                around.push((depth, name));
            } else if entry.tag() == dw::DW_TAG_variable
                && let Some(address) = self.address(unit, entry)
            {
                let owner = around.last().map(|(_, function)| function.as_str());
                let flow = each(&Variable { unit, entry, address, owner });
                if flow.is_break() {
                    return Ok(flow);
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The name of a function, or of the one it is an instance of.
    fn name(&self, unit: &gimli::Unit<Slice<'data>>, entry: &Entry<'data>) -> Option<String> {
        let named = |entry: &Entry<'data>| {
            let name = [dw::DW_AT_linkage_name, dw::DW_AT_name]
                .into_iter()
                .find_map(|attribute| entry.attr_value(attribute))?;
            let name = self.dwarf.attr_string(unit, name).ok()?;
            Some(name.to_string_lossy().into_owned())
        };
        named(entry).or_else(|| named(&unit.entry(origin(entry)?).ok()?))
    }

    /// The fixed address of a variable that has one.
    fn address(&self, unit: &gimli::Unit<Slice<'data>>, entry: &Entry<'data>) -> Option<u64> {
        let expression = entry.attr_value(dw::DW_AT_location)?.exprloc_value()?;
        match expression.operations(unit.encoding()).next().ok()?? {
            Operation::Address { address } => Some(address),
            Operation::AddressIndex { index } => self.dwarf.address(unit, index).ok(),
            _ => None,
        }
    }
}

struct Variable<'a, 'data> {
    unit: &'a gimli::Unit<Slice<'data>>,
    entry: &'a Entry<'data>,
    address: u64,
    owner: Option<&'a str>,
}

/// The entry that this one is an instance or the definition of.
fn origin(entry: &Entry<'_>) -> Option<UnitOffset> {
    [dw::DW_AT_abstract_origin, dw::DW_AT_specification]
        .into_iter()
        .find_map(|attribute| reference(entry, attribute))
}

fn reference(entry: &Entry<'_>, attribute: gimli::DwAt) -> Option<UnitOffset> {
    match entry.attr_value(attribute)? {
        AttributeValue::UnitRef(offset) => Some(offset),
        _ => None,
    }
}

/// How many names a type may have on top of each other.
const NAMES: usize = 64;

fn scalar_of(unit: &gimli::Unit<Slice<'_>>, entry: &Entry<'_>) -> Option<Scalar> {
    let mut at = reference(entry, dw::DW_AT_type).or_else(|| {
        let origin = unit.entry(origin(entry)?).ok()?;
        reference(&origin, dw::DW_AT_type)
    })?;
    for _ in 0..NAMES {
        let entry = unit.entry(at).ok()?;
        match entry.tag() {
            dw::DW_TAG_typedef
            | dw::DW_TAG_const_type
            | dw::DW_TAG_volatile_type
            | dw::DW_TAG_atomic_type
            | dw::DW_TAG_enumeration_type => at = reference(&entry, dw::DW_AT_type)?,
            dw::DW_TAG_base_type => {
                let size =
                    usize::try_from(entry.attr_value(dw::DW_AT_byte_size)?.udata_value()?).ok()?;
                let AttributeValue::Encoding(encoding) = entry.attr_value(dw::DW_AT_encoding)?
                else {
                    return None;
                };
                let number = match encoding {
                    dw::DW_ATE_signed | dw::DW_ATE_signed_char => Number::Signed,
                    dw::DW_ATE_unsigned
                    | dw::DW_ATE_unsigned_char
                    | dw::DW_ATE_boolean
                    | dw::DW_ATE_UTF => Number::Unsigned,
                    dw::DW_ATE_float => Number::Float,
                    _ => return None,
                };
                return Some(Scalar { number, size });
            }
            _ => return None,
        }
    }
    None
}
