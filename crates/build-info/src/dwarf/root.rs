//! The root of a unit's tree: what is said of the unit as a whole.

use gimli::{DwTag, EndianSlice, Reader, RunTimeEndian};

use super::abbreviation::{Abbreviation, Abbreviations};
use super::form::{self, Text, Value};
use super::header::Header;
use super::section::Section;
use crate::Error;

/// What is said of a unit as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) tag: DwTag,
    pub(crate) name: Option<Text>,
    pub(crate) comp_dir: Option<Text>,
    pub(crate) producer: Option<Text>,
    /// `DW_AT_APPLE_flags`: the command line.
    pub(crate) flags: Option<Text>,
    pub(crate) optimized: bool,
    pub(crate) language: Option<u64>,
    /// The offset of its line table.
    pub(crate) stmt_list: Option<u64>,
    pub(crate) low_pc: Option<Value>,
    pub(crate) high_pc: Option<Value>,
    pub(crate) ranges: Option<Value>,
    pub(crate) dwo_name: Option<Text>,
    pub(crate) dwo_id: Option<u64>,
    /// The offset of its macro information: in `.debug_macro` if it has one there.
    pub(crate) macros: Option<u64>,
    pub(crate) macinfo: Option<u64>,
    pub(crate) str_offsets_base: Option<u64>,
    pub(crate) addr_base: Option<u64>,
    pub(crate) rnglists_base: Option<u64>,
    /// What is added to offsets into `.debug_ranges` in GNU's older kind of split unit.
    pub(crate) gnu_ranges_base: Option<u64>,
    /// The imports of other units, `DW_TAG_imported_unit`, begin behind it.
    pub(crate) children: u64,
}

impl Root {
    /// The root of a unit.
    pub(crate) fn read(
        info: &mut Section<'_>,
        abbrev: &mut Section<'_>,
        abbreviations: &mut Abbreviations,
        header: &Header,
        endian: RunTimeEndian,
    ) -> Result<Self, Error> {
        let code = info.parse(header.root, header.end, endian, |mut bytes| bytes.read_uleb128())?;
        let abbreviation = abbreviations.find(abbrev, header.abbreviations, code, endian)?;
        info.parse(header.root, header.end, endian, |bytes| {
            Self::parse(bytes, &abbreviation, header)
        })
    }

    fn parse(
        bytes: EndianSlice<'_, RunTimeEndian>,
        abbreviation: &Abbreviation,
        header: &Header,
    ) -> gimli::Result<Self> {
        let mut reader = bytes;
        reader.read_uleb128()?;
        let mut root = Self::new(abbreviation.tag);
        root.dwo_id = header.dwo_id;
        for one in &abbreviation.attributes {
            let value = form::read(&mut reader, one.form, one.implicit, header.encoding)?;
            root.take(one.name, value);
        }
        root.children = header.root.saturating_add(reader.offset_from(bytes) as u64);
        Ok(root)
    }

    fn new(tag: DwTag) -> Self {
        Self {
            tag,
            name: None,
            comp_dir: None,
            producer: None,
            flags: None,
            optimized: false,
            language: None,
            stmt_list: None,
            low_pc: None,
            high_pc: None,
            ranges: None,
            dwo_name: None,
            dwo_id: None,
            macros: None,
            macinfo: None,
            str_offsets_base: None,
            addr_base: None,
            rnglists_base: None,
            gnu_ranges_base: None,
            children: 0,
        }
    }

    fn take(&mut self, name: gimli::DwAt, value: Value) {
        let number = if let Value::Number(number) = value { Some(number) } else { None };
        match name {
            gimli::DW_AT_name => self.name = text(value),
            gimli::DW_AT_comp_dir => self.comp_dir = text(value),
            gimli::DW_AT_producer => self.producer = text(value),
            gimli::DW_AT_APPLE_flags => self.flags = text(value),
            gimli::DW_AT_APPLE_optimized => self.optimized = value == Value::Flag(true),
            gimli::DW_AT_language => self.language = number,
            gimli::DW_AT_stmt_list => self.stmt_list = number,
            gimli::DW_AT_low_pc => self.low_pc = Some(value),
            gimli::DW_AT_high_pc => self.high_pc = Some(value),
            gimli::DW_AT_ranges => self.ranges = Some(value),
            gimli::DW_AT_dwo_name | gimli::DW_AT_GNU_dwo_name => self.dwo_name = text(value),
            gimli::DW_AT_GNU_dwo_id => self.dwo_id = number,
            gimli::DW_AT_macros | gimli::DW_AT_GNU_macros => self.macros = number,
            gimli::DW_AT_macro_info => self.macinfo = number,
            gimli::DW_AT_str_offsets_base => self.str_offsets_base = number,
            gimli::DW_AT_addr_base | gimli::DW_AT_GNU_addr_base => self.addr_base = number,
            gimli::DW_AT_rnglists_base => self.rnglists_base = number,
            gimli::DW_AT_GNU_ranges_base => self.gnu_ranges_base = number,
            _ => {}
        }
    }
}

fn text(value: Value) -> Option<Text> {
    if let Value::Text(text) = value { Some(text) } else { None }
}
