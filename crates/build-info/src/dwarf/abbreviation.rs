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
        if code != wanted {
            skip_attributes(reader)?;
            continue;
        }
        let mut attributes = Vec::new();
        loop {
            let Specification { name, form, implicit } = specification(reader)?;
            if name.0 == 0 && form.0 == 0 {
                return Ok(Some(Abbreviation { tag, attributes }));
            }
            if attributes.len() >= MOST_ATTRIBUTES {
                return Err(gimli::Error::TooManyIterations);
            }
            attributes.push(Specification { name, form, implicit });
        }
    }
}

fn specification(reader: &mut EndianSlice<'_, RunTimeEndian>) -> gimli::Result<Specification> {
    let name = DwAt(reader.read_uleb128_u16()?);
    let form = DwForm(reader.read_uleb128_u16()?);
    let implicit = if form == gimli::DW_FORM_implicit_const { reader.read_sleb128()? } else { 0 };
    Ok(Specification { name, form, implicit })
}

fn skip_attributes(reader: &mut EndianSlice<'_, RunTimeEndian>) -> gimli::Result<()> {
    loop {
        // Nearly all names and forms are a byte each.
        let mut rest = reader.slice();
        while let Some((four, behind)) = rest.split_first_chunk()
            && are_plain(u64::from_le_bytes(*four))
        {
            rest = behind;
        }
        while let [name, form, behind @ ..] = rest
            && (name | form) & 0x80 == 0
            && (name | form) != 0
            && *form != IMPLICIT_CONST
        {
            rest = behind;
        }
        let skipped = reader.len().saturating_sub(rest.len());
        reader.skip(skipped)?;
        let Specification { name, form, .. } = specification(reader)?;
        if name.0 == 0 && form.0 == 0 {
            return Ok(());
        }
    }
}

/// Whether eight bytes are four names and forms of a byte each, none of which ends a list or has
/// more behind it.
fn are_plain(bytes: u64) -> bool {
    let has_zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes & HIGH != 0;
    bytes & HIGH == 0 && !has_zero(bytes) && !has_zero(bytes ^ IMPLICIT_CONSTS)
}

/// The root of a unit has some fifteen.
const MOST_ATTRIBUTES: usize = 64;
const IMPLICIT_CONST: u8 = 0x21;
const ONES: u64 = u64::from_ne_bytes([1; 8]);
const IMPLICIT_CONSTS: u64 = u64::from_ne_bytes([IMPLICIT_CONST; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abbreviation_is_found_behind_others_of_every_kind() {
        // Names and forms of two bytes, values in the abbreviation, odd lengths.
        let mut table = vec![1, 0x2e, 1, 3, 8, 0x87, 0x40, 8, 0x3c, 0x19, 0, 0];
        table.extend([2, 0x34, 0, 3, 8, 0x1c, 0x21, 0x80, 0x00, 0x3b, 0x21, 7, 0, 0]);
        for pairs in 0..12 {
            table.extend([3, 0x24, 0]);
            table.extend([0x0b, 0x0b].repeat(pairs));
            table.extend([0, 0]);
        }
        table.extend([0x80, 1, 0x11, 1, 0x25, 0x0e, 0x13, 0x21, 0x1d, 0, 0, 0]);
        let mut reader = EndianSlice::new(&table, RunTimeEndian::Little);
        let root = search(&mut reader, 0x80).expect("a table").expect("the root");
        assert_eq!(root.tag, gimli::DW_TAG_compile_unit);
        assert_eq!(root.attributes.len(), 2);
        assert_eq!(root.attributes[1].implicit, 0x1d);
        let mut reader = EndianSlice::new(&table, RunTimeEndian::Little);
        assert!(search(&mut reader, 9).expect("a table").is_none());
        for end in 0..table.len() - 1 {
            let mut reader = EndianSlice::new(&table[..end], RunTimeEndian::Little);
            assert!(search(&mut reader, 9).is_err(), "{end} bytes");
        }
    }
}
