//! Section headers: which part of the file is mapped where, and with which permissions.

use std::ops::Range;

use object::LittleEndian as LE;
use object::pe;

use crate::bytes::align_up;
use crate::header::{Header, PAGE};

/// A section header with its name and what it maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Section<'data> {
    /// Its place in the section table, from 0.
    pub index: u16,
    /// Its name: the eight bytes of the header up to the first zero, or the long name that they
    /// lead to (MinGW images have those).
    pub name: &'data [u8],
    /// `VirtualAddress`: where it is in memory, counted from the base.
    pub address: u64,
    /// How many bytes it has in memory: `VirtualSize`, or `SizeOfRawData` where that is 0.
    pub size: u64,
    /// `PointerToRawData`: where its bytes start in the file.
    pub offset: u64,
    /// `SizeOfRawData`, as the header has it.
    pub file_size: u64,
    /// `Characteristics`.
    pub flags: SectionFlags,
    /// `VirtualSize`, as the header has it.
    pub virtual_size: u32,
    held: Held,
    missing: u64,
}

/// `Characteristics` of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SectionFlags(pub u32);

/// The part of the file that a section really maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Held {
    offset: u64,
    size: u64,
}

impl Section<'_> {
    /// Its addresses, counted from the base. Empty where they would wrap around.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.checked_add(self.size).unwrap_or(self.address)
    }

    /// Where it is in a process that has the image at `base`. Empty where that would wrap around.
    pub fn range_in_memory(&self, base: u64) -> Range<u64> {
        let (start, end) = (base.checked_add(self.address), base.checked_add(self.range().end));
        start.zip(end).map_or(base..base, |(start, end)| start..end)
    }

    /// The bytes of the file that the section maps, starting at its address.
    ///
    /// Less than `offset` and `file_size` say where the file ends early, and starting lower where
    /// `offset` is no multiple of 512: the loader rounds it down. Bytes of `file_size` behind the
    /// last page of the virtual size are not mapped and not counted.
    pub fn file_range(&self) -> Range<u64> {
        self.held.offset..self.held.offset.saturating_add(self.held.size)
    }

    /// How many bytes of `file_size` lie behind the end of the file: 0 unless the file is cut short.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The same section without its name, which outlives the file's bytes.
    pub(crate) fn unnamed(&self) -> Section<'static> {
        Section { name: &[], ..*self }
    }

    /// The offset of an address, and how many bytes of the file are mapped from there on.
    pub(crate) fn held_from(&self, address: u64) -> Option<(u64, u64)> {
        let inside = address.checked_sub(self.address)?;
        let left = self.held.size.checked_sub(inside).filter(|&left| left > 0)?;
        Some((self.held.offset.checked_add(inside)?, left))
    }

    /// The address of an offset that the section maps.
    pub(crate) fn address_of(&self, offset: u64) -> Option<u64> {
        self.file_range()
            .contains(&offset)
            .then(|| self.address.saturating_add(offset.saturating_sub(self.held.offset)))
    }
}

impl<'data> Section<'data> {
    pub(crate) fn new(
        header: &Header,
        end: u64,
        index: u16,
        name: &'data [u8],
        raw: &pe::ImageSectionHeader,
    ) -> Section<'data> {
        let virtual_size = raw.virtual_size.get(LE);
        let file_size = u64::from(raw.size_of_raw_data.get(LE));
        let offset = u64::from(raw.pointer_to_raw_data.get(LE));
        let size = if virtual_size == 0 { file_size } else { u64::from(virtual_size) };
        Section {
            index,
            name,
            address: raw.virtual_address.get(LE).into(),
            size,
            offset,
            file_size,
            flags: SectionFlags(raw.characteristics.get(LE).0),
            virtual_size,
            held: Held::new(header, end, offset, file_size, size),
            missing: missing(end, offset, file_size),
        }
    }
}

impl Held {
    fn new(header: &Header, end: u64, offset: u64, file_size: u64, size: u64) -> Held {
        if offset == 0 || file_size == 0 {
            return Held { offset, size: 0 };
        }
        let (start, unit) = if header.is_low_alignment() {
            (offset, header.section_alignment.max(1))
        } else {
            (offset & !(SECTOR - 1), PAGE)
        };
        let mapped = align_up(size, unit.into()).unwrap_or(size);
        let last = offset.saturating_add(file_size).min(end);
        Held { offset: start, size: last.saturating_sub(start).min(mapped) }
    }
}

fn missing(end: u64, offset: u64, file_size: u64) -> u64 {
    match offset {
        0 => 0,
        _ => offset.saturating_add(file_size).saturating_sub(end).min(file_size),
    }
}

impl SectionFlags {
    /// `IMAGE_SCN_MEM_READ`.
    pub fn is_readable(self) -> bool {
        self.0 & pe::IMAGE_SCN_MEM_READ.0 != 0
    }

    /// `IMAGE_SCN_MEM_WRITE`.
    pub fn is_writable(self) -> bool {
        self.0 & pe::IMAGE_SCN_MEM_WRITE.0 != 0
    }

    /// `IMAGE_SCN_MEM_EXECUTE`.
    pub fn is_executable(self) -> bool {
        self.0 & pe::IMAGE_SCN_MEM_EXECUTE.0 != 0
    }

    /// `IMAGE_SCN_CNT_CODE`, or executable without saying so.
    pub fn has_code(self) -> bool {
        self.0 & pe::IMAGE_SCN_CNT_CODE.0 != 0 || self.is_executable()
    }

    /// `IMAGE_SCN_MEM_DISCARDABLE`: the kernel drops it from drivers; programs keep it.
    pub fn is_discardable(self) -> bool {
        self.0 & pe::IMAGE_SCN_MEM_DISCARDABLE.0 != 0
    }

    /// `IMAGE_SCN_MEM_SHARED`: all processes share one copy.
    pub fn is_shared(self) -> bool {
        self.0 & pe::IMAGE_SCN_MEM_SHARED.0 != 0
    }

    /// `IMAGE_SCN_CNT_UNINITIALIZED_DATA`: zeros that take no space in the file.
    pub fn is_uninitialized(self) -> bool {
        self.0 & pe::IMAGE_SCN_CNT_UNINITIALIZED_DATA.0 != 0
    }
}

/// The loader reads sections from whole sectors, whatever the alignment says.
pub(crate) const SECTOR: u64 = 512;
