//! The values of attributes.

use gimli::{DwForm, Encoding, EndianSlice, Reader, ReaderOffset, RunTimeEndian};

/// The value of an attribute, as far as it is understood without the rest of its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number, or an offset into whichever section the attribute means.
    Number(u64),
    /// A flag.
    Flag(bool),
    /// An address.
    Address(u64),
    /// An index into `.debug_addr`.
    AddressIndex(u64),
    /// An index into the range lists of the unit.
    RangesIndex(u64),
    /// A text.
    Text(Text),
    /// A reference within the unit.
    UnitReference(u64),
    /// A reference into `.debug_info`.
    Reference(u64),
    /// What no attribute of interest has.
    Other,
}

/// A text, or where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// Here.
    Inline(Box<[u8]>),
    /// In `.debug_str`.
    Str(u64),
    /// In `.debug_line_str`.
    LineStr(u64),
    /// In `.debug_str`, by way of `.debug_str_offsets`.
    Index(u64),
    /// In the `.debug_str` of the supplementary file.
    Supplement(u64),
}

/// The value of a form.
///
/// `implicit` is what the abbreviation itself holds, for `DW_FORM_implicit_const`.
pub(crate) fn read(
    reader: &mut EndianSlice<'_, RunTimeEndian>,
    form: DwForm,
    implicit: i64,
    encoding: Encoding,
) -> gimli::Result<Value> {
    let format = encoding.format;
    let offset = |reader: &mut EndianSlice<'_, _>| reader.read_offset(format).map(|at| at as u64);
    Ok(match form {
        gimli::DW_FORM_addr => Value::Address(reader.read_address(encoding.address_size)?),
        gimli::DW_FORM_data1 => Value::Number(u64::from(reader.read_u8()?)),
        gimli::DW_FORM_data2 => Value::Number(u64::from(reader.read_u16()?)),
        gimli::DW_FORM_data4 => Value::Number(u64::from(reader.read_u32()?)),
        gimli::DW_FORM_data8 => Value::Number(reader.read_u64()?),
        gimli::DW_FORM_udata => Value::Number(reader.read_uleb128()?),
        gimli::DW_FORM_sec_offset => Value::Number(offset(reader)?),
        gimli::DW_FORM_sdata => Value::Number(reader.read_sleb128()?.cast_unsigned()),
        gimli::DW_FORM_implicit_const => Value::Number(implicit.cast_unsigned()),
        gimli::DW_FORM_flag => Value::Flag(reader.read_u8()? != 0),
        gimli::DW_FORM_flag_present => Value::Flag(true),
        gimli::DW_FORM_string => {
            let text = reader.read_null_terminated_slice()?;
            Value::Text(Text::Inline(text.slice().into()))
        }
        gimli::DW_FORM_strp => Value::Text(Text::Str(offset(reader)?)),
        gimli::DW_FORM_line_strp => Value::Text(Text::LineStr(offset(reader)?)),
        gimli::DW_FORM_strp_sup | gimli::DW_FORM_GNU_strp_alt => {
            Value::Text(Text::Supplement(offset(reader)?))
        }
        gimli::DW_FORM_strx | gimli::DW_FORM_GNU_str_index => {
            Value::Text(Text::Index(reader.read_uleb128()?))
        }
        gimli::DW_FORM_strx1 => Value::Text(Text::Index(u64::from(reader.read_u8()?))),
        gimli::DW_FORM_strx2 => Value::Text(Text::Index(u64::from(reader.read_u16()?))),
        gimli::DW_FORM_strx3 => Value::Text(Text::Index(reader.read_uint(3)?)),
        gimli::DW_FORM_strx4 => Value::Text(Text::Index(u64::from(reader.read_u32()?))),
        gimli::DW_FORM_addrx | gimli::DW_FORM_GNU_addr_index => {
            Value::AddressIndex(reader.read_uleb128()?)
        }
        gimli::DW_FORM_addrx1 => Value::AddressIndex(u64::from(reader.read_u8()?)),
        gimli::DW_FORM_addrx2 => Value::AddressIndex(u64::from(reader.read_u16()?)),
        gimli::DW_FORM_addrx3 => Value::AddressIndex(reader.read_uint(3)?),
        gimli::DW_FORM_addrx4 => Value::AddressIndex(u64::from(reader.read_u32()?)),
        gimli::DW_FORM_rnglistx => Value::RangesIndex(reader.read_uleb128()?),
        gimli::DW_FORM_loclistx => {
            reader.read_uleb128()?;
            Value::Other
        }
        gimli::DW_FORM_ref1 => Value::UnitReference(u64::from(reader.read_u8()?)),
        gimli::DW_FORM_ref2 => Value::UnitReference(u64::from(reader.read_u16()?)),
        gimli::DW_FORM_ref4 => Value::UnitReference(u64::from(reader.read_u32()?)),
        gimli::DW_FORM_ref8 => Value::UnitReference(reader.read_u64()?),
        gimli::DW_FORM_ref_udata => Value::UnitReference(reader.read_uleb128()?),
        // Version 2 took the size of an address.
        gimli::DW_FORM_ref_addr if encoding.version == 2 => {
            Value::Reference(reader.read_address(encoding.address_size)?)
        }
        gimli::DW_FORM_ref_addr => Value::Reference(offset(reader)?),
        gimli::DW_FORM_GNU_ref_alt => skip(reader, u64::from(format.word_size()))?,
        gimli::DW_FORM_ref_sup4 => skip(reader, 4)?,
        gimli::DW_FORM_ref_sup8 | gimli::DW_FORM_ref_sig8 => skip(reader, 8)?,
        gimli::DW_FORM_data16 => skip(reader, 16)?,
        gimli::DW_FORM_block1 => {
            let length = u64::from(reader.read_u8()?);
            skip(reader, length)?
        }
        gimli::DW_FORM_block2 => {
            let length = u64::from(reader.read_u16()?);
            skip(reader, length)?
        }
        gimli::DW_FORM_block4 => {
            let length = u64::from(reader.read_u32()?);
            skip(reader, length)?
        }
        gimli::DW_FORM_block | gimli::DW_FORM_exprloc => {
            let length = reader.read_uleb128()?;
            skip(reader, length)?
        }
        gimli::DW_FORM_indirect => {
            let form = DwForm(reader.read_uleb128_u16()?);
            // Neither of them may stand behind an indirection, and the first would never end.
            if matches!(form, gimli::DW_FORM_indirect | gimli::DW_FORM_implicit_const) {
                return Err(gimli::Error::UnknownForm(form));
            }
            read(reader, form, 0, encoding)?
        }
        _ => return Err(gimli::Error::UnknownForm(form)),
    })
}

fn skip(reader: &mut EndianSlice<'_, RunTimeEndian>, length: u64) -> gimli::Result<Value> {
    reader.skip(usize::from_u64(length)?)?;
    Ok(Value::Other)
}
