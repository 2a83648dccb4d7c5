//! An image: headers read at once, everything else when asked for.

use std::ops::Range;

use object::LittleEndian as LE;
use object::pe;
use object::pod;

use crate::bytes;
use crate::header::{DataDirectory, DirectoryKind, Header, Machine};
use crate::load_config::LoadConfig;
use crate::section::Section;
use crate::{Error, Structure};

/// A PE image.
///
/// Its headers and section table are all there; what they point to is looked at when asked for,
/// and may turn out to lie.
#[derive(Debug, Clone, Copy)]
pub struct Image<'data> {
    data: &'data [u8],
    header: Header,
    section_table: &'data [pe::ImageSectionHeader],
}

impl<'data> Image<'data> {
    /// Reads the headers of an image.
    ///
    /// Headers may overlap and lie anywhere in the file, as the loader allows. Nothing is copied,
    /// so that an image of 65,535 sections costs no more than one of three.
    ///
    /// # Errors
    ///
    /// [`Error::NotPe`], [`Error::Malformed`] for an optional header that is neither PE32 nor
    /// PE32+, and errors that [are incomplete](Error::is_incomplete) where the file ends before
    /// the headers or the section table do.
    pub fn parse(data: &'data [u8]) -> Result<Image<'data>, Error> {
        let header = Header::parse(data)?;
        let end = data.len() as u64;
        let short = |structure, offset, wanted| Error::Short { structure, wanted, offset, end };

        let (offset, wanted) =
            (header.directories_offset(), header.directory_count().saturating_mul(8));
        bytes::range(data, offset, wanted).ok_or(short(
            Structure::DataDirectories,
            offset,
            wanted,
        ))?;

        let count = usize::from(header.number_of_sections);
        let offset = header.section_table_offset();
        let wanted = u64::from(header.number_of_sections).saturating_mul(SECTION_HEADER_SIZE);
        let section_table = bytes::range(data, offset, wanted)
            .and_then(|bytes| pod::slice_from_bytes(bytes, count).ok())
            .map(|(table, _)| table)
            .ok_or(short(Structure::SectionTable, offset, wanted))?;
        Ok(Image { data, header, section_table })
    }

    /// The bytes the image was read from.
    pub fn data(&self) -> &'data [u8] {
        self.data
    }

    /// The length of the file.
    pub(crate) fn end(&self) -> u64 {
        self.data.len() as u64
    }

    /// What the DOS, NT and optional headers say.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What the image runs on. Unlike the file header's field it tells ARM64EC from x64 and ARM64X
    /// from ARM64, by the hybrid metadata that the load configuration leads to.
    pub fn machine(&self) -> Machine {
        match self.header.machine {
            Machine::X64 if self.has_hybrid_metadata() => Machine::ARM64EC,
            Machine::ARM64 if self.has_hybrid_metadata() => Machine::ARM64X,
            machine => machine,
        }
    }

    /// A data directory; `None` for one that the image does not have, or that is all zeros.
    pub fn directory(&self, kind: DirectoryKind) -> Option<DataDirectory> {
        let raw: &pe::ImageDataDirectory =
            bytes::at(self.data, self.header.directory_offset(kind)?)?;
        let (address, size) = (raw.virtual_address.get(LE), raw.size.get(LE));
        (address != 0 || size != 0).then_some(DataDirectory { address, size })
    }

    /// The sections, in the order of the table.
    pub fn sections(&self) -> impl Iterator<Item = Section<'data>> + use<'_, 'data> {
        let end = self.end();
        (0..=u16::MAX).zip(self.section_table).map(move |(index, raw)| {
            Section::new(&self.header, end, index, self.section_name(raw), raw)
        })
    }

    /// The sections without their names, for what looks at all of them.
    pub(crate) fn nameless(&self) -> impl Iterator<Item = Section<'data>> + use<'_, 'data> {
        let end = self.end();
        (0..=u16::MAX)
            .zip(self.section_table)
            .map(move |(index, raw)| Section::new(&self.header, end, index, &[], raw))
    }

    /// A section by its place in the table.
    pub fn section(&self, index: u16) -> Option<Section<'data>> {
        let raw = self.section_table.get(usize::from(index))?;
        Some(Section::new(&self.header, self.end(), index, self.section_name(raw), raw))
    }

    /// Every section of a name: there may be several.
    pub fn sections_named(
        &self,
        name: &str,
    ) -> impl Iterator<Item = Section<'data>> + use<'_, 'data> {
        let name = name.as_bytes().to_vec();
        self.sections().filter(move |section| section.name == name)
    }

    /// The first section of which the file does not have all bytes: the image is cut short, or still
    /// being written.
    pub fn cut_short(&self) -> Option<Section<'data>> {
        let index = self.nameless().find(|section| section.missing() > 0)?.index;
        self.section(index)
    }

    /// The section that an address, counted from the base, is in.
    pub fn section_at(&self, address: u64) -> Option<Section<'data>> {
        let index = self.nameless().find(|section| section.range().contains(&address))?.index;
        self.section(index)
    }

    /// The offset in the file of an address, if the file really holds the byte there.
    ///
    /// It does not for zeros that only memory has, for bytes behind the end of the file, and for
    /// addresses that no section has. Addresses below the first section are the headers'.
    pub fn rva_to_offset(&self, address: u64) -> Option<u64> {
        self.held_at(address).map(|(offset, _)| offset)
    }

    /// The offset of `length` bytes at an address, if the file holds all of them in one piece.
    pub fn offset_of(&self, address: u64, length: u64) -> Option<u64> {
        self.held_at(address).filter(|&(_, left)| left >= length).map(|(offset, _)| offset)
    }

    /// `length` bytes at an address, if the file holds all of them in one piece.
    pub fn bytes_at(&self, address: u64, length: u64) -> Option<&'data [u8]> {
        bytes::range(self.data, self.offset_of(address, length)?, length)
    }

    /// The address of a byte of the file: where it is mapped first. `None` for a byte that no
    /// process sees, such as one of a certificate.
    pub fn offset_to_rva(&self, offset: u64) -> Option<u64> {
        let is_there = |address: &u64| self.rva_to_offset(*address) == Some(offset);
        self.nameless()
            .filter_map(|section| section.address_of(offset))
            .take(MOST_MAPPINGS)
            .find(is_there)
            .or_else(|| Some(offset).filter(is_there))
    }

    /// The offset of an address, and how many bytes of the file are mapped from there on.
    pub(crate) fn held_at(&self, address: u64) -> Option<(u64, u64)> {
        let page = u64::from(self.header.section_alignment.max(1));
        for section in self.nameless() {
            let end = bytes::align_up(section.range().end, page).unwrap_or(u64::MAX);
            if (section.address..end).contains(&address) {
                return section.held_from(address);
            }
        }
        self.headers_held(address)
    }

    /// What an address that no section has leads to: in the headers, it is an offset. An image
    /// of low alignment is mapped as a whole.
    fn headers_held(&self, address: u64) -> Option<(u64, u64)> {
        let mapped = if self.header.is_low_alignment() {
            self.header.size_of_image
        } else {
            self.header.size_of_headers
        };
        let left = u64::from(mapped).min(self.end()).checked_sub(address)?;
        (left > 0).then_some((address, left))
    }

    /// The COFF string table, for long section names.
    fn strings(&self) -> Option<&'data [u8]> {
        let symbols = u64::from(self.header.pointer_to_symbol_table);
        let size = u64::from(self.header.number_of_symbols).checked_mul(SYMBOL_SIZE)?;
        let start = usize::try_from(symbols.checked_add(size)?).ok()?;
        (symbols != 0).then(|| self.data.get(start..))?
    }

    /// Where the COFF symbols and their strings are; empty for an image without.
    pub(crate) fn symbol_range(&self) -> Range<u64> {
        let start = u64::from(self.header.pointer_to_symbol_table);
        if start == 0 || start >= self.end() {
            return 0..0;
        }
        let size = u64::from(self.header.number_of_symbols).saturating_mul(SYMBOL_SIZE);
        let strings = start.saturating_add(size);
        let length = bytes::at::<object::U32<LE>>(self.data, strings).map_or(0, |it| it.get(LE));
        start..strings.saturating_add(length.into()).min(self.end()).max(start)
    }

    fn section_name(&self, raw: &'data pe::ImageSectionHeader) -> &'data [u8] {
        let short = until_zero(&raw.name);
        let offset = match short {
            [b'/', b'/', digits @ ..] => number(digits, 64, sextet),
            [b'/', digits @ ..] => number(digits, 10, |digit| char::from(digit).to_digit(10)),
            _ => None,
        };
        offset
            .and_then(|offset| self.strings()?.get(offset..))
            .map(|bytes| until_zero(bytes.get(..LONGEST_NAME).unwrap_or(bytes)))
            .filter(|name| !name.is_empty())
            .unwrap_or(short)
    }

    fn has_hybrid_metadata(&self) -> bool {
        LoadConfig::of(self).is_some_and(|config| config.hybrid_metadata() != 0)
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or(bytes)
}

fn number(digits: &[u8], radix: usize, digit: fn(u8) -> Option<u32>) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_usize, |value, &it| {
        value.checked_mul(radix)?.checked_add(usize::try_from(digit(it)?).ok()?)
    })
}

/// A digit of the base 64 that offsets beyond seven decimal digits are written in.
fn sextet(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit.checked_sub(b'A')?,
        b'a'..=b'z' => digit.checked_sub(b'a')?.checked_add(26)?,
        b'0'..=b'9' => digit.checked_sub(b'0')?.checked_add(52)?,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

pub(crate) const SECTION_HEADER_SIZE: u64 = size_of::<pe::ImageSectionHeader>() as u64;

const SYMBOL_SIZE: u64 = 18;

/// Sections that map one byte are looked at up to this many: linkers map none twice.
const MOST_MAPPINGS: usize = 16;

/// No tool writes longer ones, and a search for the end of a name must end.
const LONGEST_NAME: usize = 4096;
