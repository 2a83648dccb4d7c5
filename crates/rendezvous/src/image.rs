//! An image in a target's memory: its headers, its bias and its dynamic table.

use std::ops::Range;

use object::elf;

use crate::layout::{Class, Endian, Layout};
use crate::memory::{Memory, PAGE_U64, ReadError, read_available};

/// An image that is loaded, as its program headers describe it.
#[derive(Debug, Clone)]
pub(crate) struct LoadedImage {
    pub(crate) layout: Layout,
    /// What is added to the image's own addresses.
    pub(crate) bias: u64,
    pub(crate) segments: Vec<Segment>,
}

/// A program header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    pub(crate) align: u64,
}

/// An entry of a dynamic table, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) tag: u64,
    pub(crate) value: u64,
    pub(crate) address: u64,
}

impl LoadedImage {
    /// The image whose program headers are at `address`.
    pub(crate) fn by_program_headers<M: Memory + ?Sized>(
        memory: &M,
        layout: Layout,
        address: u64,
        count: u64,
    ) -> Result<LoadedImage, ReadError> {
        let segments = read_segments(memory, layout, address, count, MOST_SEGMENTS)?;
        let bias = bias(memory, layout, address, &segments);
        Ok(LoadedImage { layout, bias, segments })
    }

    /// The image whose ELF header is at `address`; `None` if there is none.
    pub(crate) fn by_header<M: Memory + ?Sized>(memory: &M, address: u64) -> Option<LoadedImage> {
        let header = Header::read(memory, address)?;
        let layout = header.layout;
        let segments = header.segments(memory, address, MOST_SEGMENTS).ok()?;
        let first = segments.iter().find(|segment| segment.maps_offset(0))?;
        let bias = layout.subtract(address, first.address.wrapping_sub(first.offset));
        Some(LoadedImage { layout, bias, segments })
    }

    pub(crate) fn segment(&self, kind: u32) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.kind == kind)
    }

    pub(crate) fn address(&self, segment: &Segment) -> u64 {
        self.layout.add(self.bias, segment.address)
    }

    /// Where the dynamic table is.
    pub(crate) fn dynamic(&self) -> Option<u64> {
        self.segment(elf::PT_DYNAMIC.0).map(|segment| self.address(segment))
    }

    /// Where its header is, if that is mapped.
    pub(crate) fn start(&self) -> Option<u64> {
        let first = self.segments.iter().find(|segment| segment.maps_offset(0))?;
        Some(self.layout.add(self.bias, first.address.wrapping_sub(first.offset)))
    }

    /// Whether there is an instruction of the image at this address, as its segments say.
    pub(crate) fn is_text(&self, address: u64) -> bool {
        let address = self.layout.subtract(address, self.bias);
        self.segments.iter().any(|segment| {
            let is_text = segment.kind == elf::PT_LOAD.0 && segment.flags & elf::PF_X.0 != 0;
            is_text && address.checked_sub(segment.address).is_some_and(|at| at < segment.file_size)
        })
    }

    /// From the first to the last address that the image occupies.
    pub(crate) fn range(&self) -> Option<Range<u64>> {
        let loads = || self.segments.iter().filter(|segment| segment.kind == elf::PT_LOAD.0);
        let start = loads().map(|load| load.address).min()?;
        let end = loads().map(|load| load.address.saturating_add(load.memory_size)).max()?;
        let (start, end) = (self.layout.add(self.bias, start), self.layout.add(self.bias, end));
        (start < end).then_some(start..end)
    }

    /// The entries of the dynamic table, up to `DT_NULL`.
    pub(crate) fn entries<M: Memory + ?Sized>(&self, memory: &M) -> Result<Vec<Entry>, ReadError> {
        let Some(segment) = self.segment(elf::PT_DYNAMIC.0) else { return Ok(Vec::new()) };
        let size = usize::try_from(segment.memory_size).unwrap_or(usize::MAX);
        let address = self.address(segment);
        let bytes = read_available(memory, address, size.min(MOST_DYNAMIC));
        if bytes.is_empty() && size != 0 {
            memory.read_exact_at(address, &mut [0])?;
        }
        let entry_size = self.layout.word_size().saturating_mul(2);
        let entries = bytes.chunks_exact(entry_size).enumerate().map_while(|(index, entry)| {
            let tag = self.layout.nth_word(entry, 0).filter(|&tag| tag != 0)?;
            let value = self.layout.nth_word(entry, 1)?;
            let address = self.layout.word_address(address, index.saturating_mul(2));
            Some(Entry { tag, value, address })
        });
        Ok(entries.collect())
    }
}

impl Segment {
    fn parse(layout: Layout, bytes: &[u8]) -> Option<Segment> {
        let field = |elf32: usize, elf64: usize| layout.word(bytes, layout.pick(elf32, elf64));
        Some(Segment {
            kind: layout.u32(bytes, 0)?,
            flags: layout.u32(bytes, layout.pick(24, 4))?,
            offset: field(4, 8)?,
            address: field(8, 16)?,
            file_size: field(16, 32)?,
            memory_size: field(20, 40)?,
            align: field(28, 48)?,
        })
    }

    /// Whether the file's byte at this offset is mapped with the segment.
    pub(crate) fn maps_offset(&self, offset: u64) -> bool {
        let start = self.offset.wrapping_sub(self.offset % PAGE_U64);
        let end = self.offset.saturating_add(self.file_size);
        self.kind == elf::PT_LOAD.0 && (start..end).contains(&offset)
    }
}

/// The fields of an ELF header that say where the program headers are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) layout: Layout,
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) os_abi: u8,
    pub(crate) entry: u64,
    pub(crate) phoff: u64,
    pub(crate) phnum: u64,
    pub(crate) shoff: u64,
    pub(crate) shnum: u64,
    pub(crate) shstrndx: u16,
}

impl Header {
    pub(crate) fn read<M: Memory + ?Sized>(memory: &M, address: u64) -> Option<Header> {
        let mut bytes = [0; 64];
        let length = memory.read_up_to(address, &mut bytes);
        Header::parse(bytes.get(..length)?)
    }

    /// The header of the image whose program headers are at `table`: right before them, or at the
    /// start of their page.
    pub(crate) fn before<M: Memory + ?Sized>(
        memory: &M,
        layout: Layout,
        table: u64,
    ) -> Option<Header> {
        let page = table.wrapping_sub(table % PAGE_U64);
        [layout.subtract(table, layout.pick(52, 64)), page].into_iter().find_map(|address| {
            let header = Header::read(memory, address)?;
            (layout.add(address, header.phoff) == table).then_some(header)
        })
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Header> {
        if !bytes.starts_with(&elf::ELFMAG) {
            return None;
        }
        let class = Class::from_ident(*bytes.get(4)?)?;
        let endian = Endian::from_ident(*bytes.get(5)?)?;
        let layout = Layout { class, endian };
        let half = |elf32: usize, elf64: usize| layout.u16(bytes, layout.pick(elf32, elf64));
        let entry_size = half(42, 54)?;
        let phnum = u64::from(half(44, 56)?);
        Some(Header {
            layout,
            kind: layout.u16(bytes, 16)?,
            machine: layout.u16(bytes, 18)?,
            os_abi: *bytes.get(7)?,
            entry: layout.word(bytes, 24)?,
            phoff: layout.word(bytes, layout.pick(28, 32))?,
            phnum: if usize::from(entry_size) == segment_size(layout) { phnum } else { 0 },
            shoff: layout.word(bytes, layout.pick(32, 40))?,
            shnum: u64::from(half(48, 60)?),
            shstrndx: half(50, 62)?,
        })
    }

    /// The program headers, at most so many, of the image or file that this is the header of.
    pub(crate) fn segments<M: Memory + ?Sized>(
        &self,
        memory: &M,
        address: u64,
        most: usize,
    ) -> Result<Vec<Segment>, ReadError> {
        let layout = self.layout;
        let mut count = self.phnum;
        if count == u64::from(elf::PN_XNUM) && self.shoff != 0 {
            // Section 0 has the number that does not fit into the header.
            let place = layout.add(self.shoff, layout.pick(28, 44));
            let mut bytes = [0; 4];
            memory.read_exact_at(layout.add(address, place), &mut bytes)?;
            count = layout.u32(&bytes, 0).map_or(count, u64::from);
        }
        read_segments(memory, layout, layout.add(address, self.phoff), count, most)
    }
}

fn read_segments<M: Memory + ?Sized>(
    memory: &M,
    layout: Layout,
    address: u64,
    count: u64,
    most: usize,
) -> Result<Vec<Segment>, ReadError> {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(most);
    let size = segment_size(layout);
    let wanted = count.saturating_mul(size);
    let bytes = read_available(memory, address, wanted);
    if bytes.len() < wanted {
        let end = address.wrapping_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        memory.read_exact_at(end, &mut [0])?;
    }
    Ok(bytes.chunks_exact(size).filter_map(|bytes| Segment::parse(layout, bytes)).collect())
}

fn segment_size(layout: Layout) -> usize {
    layout.pick(32, 56)
}

/// What was added to the addresses of the image whose program headers are at `table`.
fn bias<M: Memory + ?Sized>(memory: &M, layout: Layout, table: u64, segments: &[Segment]) -> u64 {
    if let Some(own) = segments.iter().find(|segment| segment.kind == elf::PT_PHDR.0) {
        return layout.subtract(table, own.address);
    }
    // Without PT_PHDR, as in most static programs: the table's offset in the file, which the
    // header says, lies in a segment that was mapped with it.
    let header = Header::before(memory, layout, table);
    let offset = header.map_or(layout.pick(52, 64), |header| header.phoff);
    let load = segments.iter().find(|segment| segment.maps_offset(offset));
    load.map_or(0, |load| {
        let unbiased = load.address.wrapping_add(offset.wrapping_sub(load.offset));
        layout.subtract(table, unbiased)
    })
}

/// The kernel loads no program with more.
const MOST_SEGMENTS: usize = 65_536;
/// 65,536 entries of the larger kind; linkers write a few dozen.
const MOST_DYNAMIC: usize = 65_536 * 16;
