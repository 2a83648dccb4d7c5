//! The entry of one variable, and what it leads to.

use gimli::{AttributeValue, EndianSlice, RunTimeEndian, UnitOffset, constants as dw};

use super::Sort;
use crate::state::scalar::{Number, Scalar};

pub(super) type Slice<'data> = EndianSlice<'data, RunTimeEndian>;
pub(super) type Dwarf<'data> = gimli::Dwarf<Slice<'data>>;
pub(super) type Unit<'data> = gimli::Unit<Slice<'data>>;
pub(super) type Entry<'data> = gimli::DebuggingInformationEntry<Slice<'data>>;

/// How many entries may lead to each other: instances to what they are instances of, types to what
/// they are names for.
const STEPS: usize = 64;

/// A variable with a fixed address.
pub(super) struct Variable<'a, 'data> {
    pub(super) dwarf: &'a Dwarf<'data>,
    pub(super) unit: &'a Unit<'data>,
    pub(super) entry: &'a Entry<'data>,
    pub(super) address: u64,
    /// The functions around it with their depths, the innermost last.
    pub(super) around: &'a [(isize, UnitOffset)],
}

impl<'data> Variable<'_, 'data> {
    /// The innermost function around it that has a name.
    pub(super) fn function(&self) -> Option<String> {
        self.around.iter().rev().find_map(|(_, function)| {
            let place = Place::in_unit(*function);
            self.along_origins(place, |unit, entry| {
                [dw::DW_AT_linkage_name, dw::DW_AT_name].into_iter().find_map(|attribute| {
                    let name = self.dwarf.attr_string(unit, entry.attr_value(attribute)?).ok()?;
                    Some(name.to_string_lossy().into_owned())
                })
            })
        })
    }

    /// The source file of the unit that it was written in.
    pub(super) fn file(&self) -> Option<String> {
        let mut file = None;
        let _last: Option<()> =
            self.along_origins(Place::in_unit(self.entry.offset()), |unit, _| {
                file = name_of(unit);
                None
            });
        file
    }

    /// What it is, or its elements are, as far as its type is described.
    pub(super) fn sort(&self) -> Option<Sort> {
        let mut at = self.along_origins(Place::in_unit(self.entry.offset()), |unit, entry| {
            self.follow(unit, entry, dw::DW_AT_type)
        })?;
        for _ in 0..STEPS {
            let unit = at.unit.as_ref().unwrap_or(self.unit);
            let entry = unit.entry(at.offset).ok()?;
            at = match entry.tag() {
                dw::DW_TAG_typedef
                | dw::DW_TAG_const_type
                | dw::DW_TAG_volatile_type
                | dw::DW_TAG_atomic_type
                | dw::DW_TAG_array_type
                | dw::DW_TAG_enumeration_type => self.follow(unit, &entry, dw::DW_AT_type)?,
                dw::DW_TAG_base_type => return Some(base_type(&entry)),
                _ => return Some(Sort::Other),
            };
        }
        None
    }

    /// Looks at an entry, then at what it is an instance or the definition of, and so on.
    fn along_origins<T>(
        &self,
        mut at: Place<'data>,
        mut look: impl FnMut(&Unit<'data>, &Entry<'data>) -> Option<T>,
    ) -> Option<T> {
        for _ in 0..STEPS {
            let unit = at.unit.as_ref().unwrap_or(self.unit);
            let entry = unit.entry(at.offset).ok()?;
            if let Some(found) = look(unit, &entry) {
                return Some(found);
            }
            at = [dw::DW_AT_abstract_origin, dw::DW_AT_specification]
                .into_iter()
                .find_map(|attribute| self.follow(unit, &entry, attribute))?;
        }
        None
    }

    /// What an attribute of an entry leads to.
    fn follow(
        &self,
        unit: &Unit<'data>,
        entry: &Entry<'data>,
        attribute: gimli::DwAt,
    ) -> Option<Place<'data>> {
        let is_own = unit.header.offset() == self.unit.header.offset();
        let header = match entry.attr_value(attribute)? {
            AttributeValue::UnitRef(offset) if is_own => return Some(Place::in_unit(offset)),
            AttributeValue::UnitRef(offset) => {
                return Some(Place { unit: Some(self.dwarf.unit(unit.header).ok()?), offset });
            }
            AttributeValue::DebugInfoRef(offset) => offset,
            _ => return None,
        };
        let mut units = self.dwarf.units();
        while let Ok(Some(other)) = units.next() {
            if let Some(offset) = header.to_unit_offset(&other) {
                return Some(Place { unit: Some(self.dwarf.unit(other).ok()?), offset });
            }
        }
        None
    }
}

/// An entry: of the variable's unit, if none is named.
struct Place<'data> {
    unit: Option<Unit<'data>>,
    offset: UnitOffset,
}

impl Place<'_> {
    fn in_unit(offset: UnitOffset) -> Self {
        Self { unit: None, offset }
    }
}

/// The name of a unit's source file, without directories.
pub(super) fn name_of(unit: &Unit<'_>) -> Option<String> {
    let name = unit.name?.to_string_lossy();
    Some(name.rsplit('/').next().unwrap_or(&name).to_owned())
}

fn base_type(entry: &Entry<'_>) -> Sort {
    let size = entry.attr_value(dw::DW_AT_byte_size).and_then(|size| size.udata_value());
    let size = size.and_then(|size| usize::try_from(size).ok());
    let (Some(size), Some(AttributeValue::Encoding(encoding))) =
        (size, entry.attr_value(dw::DW_AT_encoding))
    else {
        return Sort::Other;
    };
    let number = match encoding {
        dw::DW_ATE_signed | dw::DW_ATE_signed_char => Number::Signed,
        dw::DW_ATE_unsigned | dw::DW_ATE_unsigned_char | dw::DW_ATE_UTF => Number::Unsigned,
        dw::DW_ATE_boolean => Number::Boolean,
        dw::DW_ATE_float => Number::Float,
        _ => return Sort::Other,
    };
    Sort::Number(Scalar { number, size })
}
