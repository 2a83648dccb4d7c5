//! The header of a unit in `.debug_info` or `.debug_types`.

use gimli::{Encoding, EndianSlice, Format, Reader, RunTimeEndian};

use super::section::Section;
use crate::Error;

/// The header of a unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Where the unit begins.
    pub(crate) at: u64,
    /// Where it ends.
    pub(crate) end: u64,
    /// Where its root is described.
    pub(crate) root: u64,
    pub(crate) encoding: Encoding,
    /// What DWARF 5 says it is; earlier versions tell by the tag of the root.
    pub(crate) kind: gimli::DwUt,
    /// The offset of its abbreviations.
    pub(crate) abbreviations: u64,
    /// What ties a skeleton and its split unit together, in DWARF 5.
    pub(crate) dwo_id: Option<u64>,
}

impl Header {
    /// The header at an offset.
    pub(crate) fn read(
        section: &mut Section<'_>,
        at: u64,
        endian: RunTimeEndian,
    ) -> Result<Self, Error> {
        let end = section.length();
        section.parse(at, end, endian, |bytes| Self::parse(bytes, at))
    }

    fn parse(bytes: EndianSlice<'_, RunTimeEndian>, at: u64) -> gimli::Result<Self> {
        let mut reader = bytes;
        let (length, format) = initial_length(&mut reader)?;
        let so_far = |reader: EndianSlice<'_, RunTimeEndian>| reader.offset_from(bytes) as u64;
        let end = at.saturating_add(so_far(reader)).saturating_add(length);
        let version = reader.read_u16()?;
        if !(2..=5).contains(&version) {
            return Err(gimli::Error::UnknownVersion(u64::from(version)));
        }
        let mut kind = gimli::DW_UT_compile;
        let (address_size, abbreviations);
        if version >= 5 {
            kind = gimli::DwUt(reader.read_u8()?);
            address_size = reader.read_address_size()?;
            abbreviations = reader.read_offset(format)? as u64;
        } else {
            abbreviations = reader.read_offset(format)? as u64;
            address_size = reader.read_address_size()?;
        }
        let mut dwo_id = None;
        match kind {
            gimli::DW_UT_compile | gimli::DW_UT_partial => {}
            gimli::DW_UT_skeleton | gimli::DW_UT_split_compile => {
                dwo_id = Some(reader.read_u64()?);
            }
            gimli::DW_UT_type | gimli::DW_UT_split_type => {
                reader.read_u64()?;
                reader.read_offset(format)?;
            }
            _ => return Err(gimli::Error::UnknownUnitType(kind)),
        }
        let root = at.saturating_add(so_far(reader));
        let encoding = Encoding { address_size, format, version };
        Ok(Self { at, end, root, encoding, kind, abbreviations, dwo_id })
    }

    /// Whether it describes a type and nothing else.
    pub(crate) fn is_type(&self) -> bool {
        matches!(self.kind, gimli::DW_UT_type | gimli::DW_UT_split_type)
    }
}

/// A length, and whether offsets take 4 bytes or 8.
pub(crate) fn initial_length(
    reader: &mut EndianSlice<'_, RunTimeEndian>,
) -> gimli::Result<(u64, Format)> {
    match reader.read_u32()? {
        0xffff_ffff => Ok((reader.read_u64()?, Format::Dwarf64)),
        length if length < 0xffff_fff0 => Ok((u64::from(length), Format::Dwarf32)),
        reserved => Err(gimli::Error::UnknownReservedLength(reserved)),
    }
}
