//! The tables of directories and files in a line program's header.
//!
//! The program behind the header, which is most of `.debug_line`, is never looked at.

use gimli::{DwForm, DwLnct, Encoding, EndianSlice, Format, Reader, RunTimeEndian};

use super::form;
use super::header::initial_length;
use super::section::{Section, malformed};
use crate::Error;

/// Where a line table is, and where its header's parts are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Where the next line table begins.
    pub(crate) end: u64,
    pub(crate) version: u16,
    format: Format,
    /// What the header's length counts.
    body: u64,
    body_length: u64,
}

/// The directories and files of one line table.
#[derive(Debug)]
pub(crate) struct Tables<'a> {
    pub(crate) version: u16,
    /// From version 5 on the first is the directory of compilation; before, that is not among them.
    pub(crate) directories: Vec<Name<'a>>,
    /// From version 5 on the first is the unit's source; before, the first is number 1.
    pub(crate) files: Vec<Entry<'a>>,
}

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) name: Name<'a>,
    pub(crate) directory: u64,
    pub(crate) md5: Option<[u8; 16]>,
}

/// The name of a file or directory, or where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Name<'a> {
    /// Here.
    Inline(&'a [u8]),
    /// In `.debug_str`.
    Str(u64),
    /// In `.debug_line_str`.
    LineStr(u64),
    /// In `.debug_str`, by way of `.debug_str_offsets`.
    Index(u64),
    /// In the `.debug_str` of the supplementary file.
    Supplement(u64),
}

impl Place {
    /// The place of the table at an offset.
    pub(crate) fn read(
        line: &mut Section<'_>,
        at: u64,
        endian: RunTimeEndian,
    ) -> Result<Self, Error> {
        let most = line.length();
        line.parse(at, most, endian, |bytes| {
            let mut reader = bytes;
            let (length, format) = initial_length(&mut reader)?;
            let so_far = |reader: EndianSlice<'_, RunTimeEndian>| {
                at.saturating_add(reader.offset_from(bytes) as u64)
            };
            let end = so_far(reader).saturating_add(length);
            let version = reader.read_u16()?;
            if !(2..=5).contains(&version) {
                return Err(gimli::Error::UnknownVersion(u64::from(version)));
            }
            if version >= 5 {
                // The sizes of addresses and of segment selectors.
                reader.read_u16()?;
            }
            let body_length = reader.read_offset(format)? as u64;
            Ok(Self { end, version, format, body: so_far(reader), body_length })
        })
    }

    /// How many bytes the tables take.
    pub(crate) fn cost(&self) -> u64 {
        self.body_length
    }

    /// The tables.
    pub(crate) fn tables<'a>(
        &self,
        line: &'a mut Section<'_>,
        endian: RunTimeEndian,
    ) -> Result<Tables<'a>, Error> {
        let structure = line.name();
        let bytes = line.exactly(self.body, self.body_length)?;
        self.parse(EndianSlice::new(bytes, endian))
            .map_err(|error| malformed(structure, self.body, error))
    }

    fn parse<'a>(&self, mut reader: EndianSlice<'a, RunTimeEndian>) -> gimli::Result<Tables<'a>> {
        // Lengths of instructions, the first line's kind, and the special opcodes.
        reader.skip(if self.version >= 4 { 5 } else { 4 })?;
        let opcode_base = reader.read_u8()?;
        reader.skip(usize::from(opcode_base.saturating_sub(1)))?;
        if self.version >= 5 {
            // Nothing here has an address in it.
            let encoding = Encoding { address_size: 8, format: self.format, version: 5 };
            let directories = entries(&mut reader, encoding)?;
            let directories = directories.into_iter().map(|entry| entry.name).collect();
            let files = entries(&mut reader, encoding)?;
            return Ok(Tables { version: self.version, directories, files });
        }
        let mut directories = Vec::new();
        loop {
            let name = reader.read_null_terminated_slice()?;
            if name.is_empty() {
                break;
            }
            directories.push(Name::Inline(name.slice()));
        }
        let mut files = Vec::new();
        loop {
            let name = reader.read_null_terminated_slice()?;
            if name.is_empty() {
                break;
            }
            let directory = reader.read_uleb128()?;
            // When it was modified, and its length: compilers write 0.
            reader.skip_leb128()?;
            reader.skip_leb128()?;
            files.push(Entry { name: Name::Inline(name.slice()), directory, md5: None });
        }
        Ok(Tables { version: self.version, directories, files })
    }
}

/// A table of version 5: which columns it has, how many rows, and the rows.
fn entries<'a>(
    reader: &mut EndianSlice<'a, RunTimeEndian>,
    encoding: Encoding,
) -> gimli::Result<Vec<Entry<'a>>> {
    let columns = reader.read_u8()?;
    let columns = (0..columns)
        .map(|_| Ok((DwLnct(reader.read_uleb128_u16()?), DwForm(reader.read_uleb128_u16()?))))
        .collect::<gimli::Result<Vec<_>>>()?;
    let count = reader.read_uleb128()?;
    // A row takes a byte at least.
    let most = usize::try_from(count).unwrap_or(usize::MAX).min(reader.len());
    let mut rows = Vec::with_capacity(most.min(4096));
    for _ in 0..count {
        let before = reader.len();
        rows.push(entry(reader, &columns, encoding)?);
        // A row of no bytes may be repeated for ever.
        if reader.len() == before {
            return Err(gimli::Error::MissingFileEntryFormatPath);
        }
    }
    Ok(rows)
}

fn entry<'a>(
    reader: &mut EndianSlice<'a, RunTimeEndian>,
    columns: &[(DwLnct, DwForm)],
    encoding: Encoding,
) -> gimli::Result<Entry<'a>> {
    let mut entry = Entry { name: Name::Inline(&[]), directory: 0, md5: None };
    for &(content, form) in columns {
        let name = name(reader, form, encoding.format)?;
        match (content, name) {
            (gimli::DW_LNCT_path, Some(name)) => entry.name = name,
            (_, Some(_)) => {}
            (gimli::DW_LNCT_MD5, None) if form == gimli::DW_FORM_data16 => {
                let mut md5 = [0; 16];
                reader.read_slice(&mut md5)?;
                entry.md5 = Some(md5);
            }
            (gimli::DW_LNCT_directory_index, None) => {
                if let form::Value::Number(directory) = form::read(reader, form, 0, encoding)? {
                    entry.directory = directory;
                }
            }
            (_, None) => {
                form::read(reader, form, 0, encoding)?;
            }
        }
    }
    Ok(entry)
}

/// The text of a form, if it is of a kind that has one.
fn name<'a>(
    reader: &mut EndianSlice<'a, RunTimeEndian>,
    form: DwForm,
    format: Format,
) -> gimli::Result<Option<Name<'a>>> {
    Ok(Some(match form {
        gimli::DW_FORM_line_strp => Name::LineStr(reader.read_offset(format)? as u64),
        gimli::DW_FORM_strp => Name::Str(reader.read_offset(format)? as u64),
        gimli::DW_FORM_string => Name::Inline(reader.read_null_terminated_slice()?.slice()),
        gimli::DW_FORM_strp_sup | gimli::DW_FORM_GNU_strp_alt => {
            Name::Supplement(reader.read_offset(format)? as u64)
        }
        gimli::DW_FORM_strx => Name::Index(reader.read_uleb128()?),
        gimli::DW_FORM_strx1 => Name::Index(u64::from(reader.read_u8()?)),
        gimli::DW_FORM_strx2 => Name::Index(u64::from(reader.read_u16()?)),
        gimli::DW_FORM_strx3 => Name::Index(reader.read_uint(3)?),
        gimli::DW_FORM_strx4 => Name::Index(u64::from(reader.read_u32()?)),
        _ => return Ok(None),
    }))
}
