//! The abbreviations that the roots of units are written by.
//!
//! A unit's table has an entry for each kind of thing that is described in it, a hundred or a
//! thousand. The root's comes first as a rule, so that the table is read only as far as that.

use std::collections::HashMap;
use std::rc::Rc;

use gimli::{DwAt, DwForm, DwTag, EndianSlice, Reader, RunTimeEndian};

use super::section::Section;
use crate::Error;

/// How an entry is written: its tag and the forms of its attributes.
#[derive(Debug)]
pub(crate) struct Abbreviation {
    pub(crate) tag: DwTag,
    pub(crate) attributes: Vec<Specification>,
}

/// An attribute's name and form, and its value where the abbreviation holds that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Specification {
    pub(crate) name: DwAt,
    pub(crate) form: DwForm,
    pub(crate) implicit: i64,
}

/// The abbreviations that were looked up.
#[derive(Debug)]
pub(crate) struct Abbreviations {
    found: HashMap<(u64, u64), Option<Rc<Abbreviation>>>,
    /// How many bytes may still be gone through: many units may name one table, each from another
    /// place in it on.
    left: u64,
}

impl Abbreviations {
    pub(crate) fn new(section: &Section<'_>) -> Self {
        let left = section.length().saturating_mul(4).saturating_add(256 << 10);
        Self { found: HashMap::new(), left }
    }

    /// The abbreviation with a code in the table at an offset.
    pub(crate) fn find(
        &mut self,
        section: &mut Section<'_>,
        table: u64,
        code: u64,
        endian: RunTimeEndian,
    ) -> Result<Rc<Abbreviation>, Error> {
        let structure = section.name();
        let missing =
            || Error::Malformed { structure, at: table, what: "no abbreviation", found: code };
        if let Some(found) = self.found.get(&(table, code)) {
            return found.clone().ok_or_else(missing);
        }
        let left = &mut self.left;
        let end = section.length();
        let found = section.parse(table, end, endian, |bytes| {
            let mut reader = bytes;
            let found = search(&mut reader, code);
            *left = left.saturating_sub(reader.offset_from(bytes) as u64);
            if *left == 0 {
                return Err(gimli::Error::TooManyIterations);
            }
            found
        })?;
        let found = found.map(Rc::new);
        self.found.insert((table, code), found.clone());
        found.ok_or_else(missing)
    }
}

fn search(
    reader: &mut EndianSlice<'_, RunTimeEndian>,
    wanted: u64,
) -> gimli::Result<Option<Abbreviation>> {
    loop {
        let code = reader.read_uleb128()?;
        if code == 0 {
            return Ok(None);
        }
        let tag = DwTag(reader.read_uleb128_u16()?);
        reader.read_u8()?;
        let mut attributes = Vec::new();
        loop {
            let name = DwAt(reader.read_uleb128_u16()?);
            let form = DwForm(reader.read_uleb128_u16()?);
            let implicit =
                if form == gimli::DW_FORM_implicit_const { reader.read_sleb128()? } else { 0 };
            if name.0 == 0 && form.0 == 0 {
                break;
            }
            if code == wanted {
                if attributes.len() >= MOST_ATTRIBUTES {
                    return Err(gimli::Error::TooManyIterations);
                }
                attributes.push(Specification { name, form, implicit });
            }
        }
        if code == wanted {
            return Ok(Some(Abbreviation { tag, attributes }));
        }
    }
}

/// The root of a unit has some fifteen.
const MOST_ATTRIBUTES: usize = 64;
