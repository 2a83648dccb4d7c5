//! Reading the headers.

use std::sync::OnceLock;

use object::elf;

use super::Image;
use crate::bytes::Bytes;
use crate::dynamic::{Dynamic, Tag};
use crate::header::{Class, Endian, Header};
use crate::layout::{Layout, RawHeader};
use crate::section::{Section, SectionFlags, SectionKind};
use crate::segment::{Segment, SegmentKind};
use crate::symbol::string;
use crate::{Error, Structure};

pub(crate) fn image(data: Bytes<'_>) -> Result<Image<'_>, Error> {
    let (layout, endian, os_abi) = ident(data)?;
    let header_size = layout.header_size() as u64;
    let raw = layout
        .header(data.up_to(0, header_size))
        .ok_or_else(|| short(Structure::FileHeader, 0, header_size, data))?;
    let layout = layout.for_machine(raw.machine);
    check_header(&raw, layout, data)?;

    // Section 0 holds the counts that the file header has no room for.
    let first = if raw.shoff == 0 {
        None
    } else {
        let size = layout.section_size() as u64;
        let bytes = table(Structure::SectionHeaders, data, raw.shoff, 1, size)?;
        layout.section(bytes)
    };
    let section_header_count = match (first, raw.shnum) {
        (Some(first), 0) => first.size,
        (Some(_), count) => u64::from(count),
        (None, _) => 0,
    };
    let section_names = match (first, elf::SymbolSection(raw.shstrndx)) {
        (Some(first), elf::SHN_XINDEX) => first.link,
        (Some(_), index) => u32::from(index.0),
        (None, _) => 0,
    };
    let program_header_count = match first {
        Some(first) if raw.phnum == elf::PN_XNUM => first.info,
        _ if raw.phoff == 0 => 0,
        _ => u32::from(raw.phnum),
    };
    let header = Header {
        class: layout.class,
        endian,
        os_abi,
        kind: raw.kind,
        machine: raw.machine,
        entry: raw.entry,
        flags: raw.flags,
        program_headers: raw.phoff,
        program_header_count,
        section_headers: raw.shoff,
        section_header_count,
        section_names,
    };
    let segments = segments(layout, data, &header)?;
    let sections = sections(layout, data, &header)?;
    let (dynamic, covers) = (OnceLock::new(), OnceLock::new());
    Ok(Image { data, layout, header, segments, sections, dynamic, covers })
}

/// The 16 bytes that are the same in every layout: layout, byte order and ABI.
pub(crate) fn ident(data: Bytes<'_>) -> Result<(Layout, Endian, u8), Error> {
    const SIZE: u64 = 16;
    let present = data.up_to(0, SIZE);
    if !present.is_empty() && present.iter().all(|&byte| byte == 0) {
        // Linkers size the file first; GNU ld writes this header last.
        return Err(Error::ZeroFilled { structure: Structure::FileHeader, offset: 0 });
    }
    let magic = present.get(..4).unwrap_or(present);
    if !elf::ELFMAG.starts_with(magic) {
        return Err(Error::NotElf { found: magic.to_vec() });
    }
    let &[_, _, _, _, class, endian, version, os_abi, ..] = present else {
        return Err(short(Structure::FileHeader, 0, SIZE, data));
    };
    if class == 0 && endian == 0 && version == 0 {
        return Err(Error::ZeroFilled { structure: Structure::FileHeader, offset: 4 });
    }
    let class = match elf::FileClass(class) {
        elf::ELFCLASS32 => Class::Elf32,
        elf::ELFCLASS64 => Class::Elf64,
        other => return Err(malformed_header(4, "unknown class", u64::from(other.0))),
    };
    let endian = match elf::DataEncoding(endian) {
        elf::ELFDATA2LSB => Endian::Little,
        elf::ELFDATA2MSB => Endian::Big,
        other => return Err(malformed_header(5, "unknown byte order", u64::from(other.0))),
    };
    if version != 1 {
        return Err(malformed_header(6, "unknown version", u64::from(version)));
    }
    if (present.len() as u64) < SIZE {
        return Err(short(Structure::FileHeader, 0, SIZE, data));
    }
    Ok((Layout::new(class, endian), endian, os_abi))
}

fn check_header(raw: &RawHeader, layout: Layout, data: Bytes<'_>) -> Result<(), Error> {
    let rest = data.up_to(16, (layout.header_size() as u64).saturating_sub(16));
    if rest.iter().all(|&byte| byte == 0) {
        return Err(Error::ZeroFilled { structure: Structure::FileHeader, offset: 16 });
    }
    if raw.version != 1 {
        return Err(malformed_header(20, "unknown version", u64::from(raw.version)));
    }
    if raw.phnum != 0 && usize::from(raw.phentsize) != layout.segment_size() {
        let what = "program headers of another size";
        return Err(malformed_header(raw.phoff, what, u64::from(raw.phentsize)));
    }
    if raw.shoff != 0 && usize::from(raw.shentsize) != layout.section_size() {
        let what = "section headers of another size";
        return Err(malformed_header(raw.shoff, what, u64::from(raw.shentsize)));
    }
    Ok(())
}

fn segments(layout: Layout, data: Bytes<'_>, header: &Header) -> Result<Vec<Segment>, Error> {
    let size = layout.segment_size();
    let count = u64::from(header.program_header_count);
    let bytes = table(Structure::ProgramHeaders, data, header.program_headers, count, size as u64)?;
    let mut segments = Vec::with_capacity(count_of(bytes, size));
    segments.extend(bytes.chunks_exact(size).filter_map(|entry| layout.segment(entry)));
    Ok(segments)
}

fn sections<'data>(
    layout: Layout,
    data: Bytes<'data>,
    header: &Header,
) -> Result<Vec<Section<'data>>, Error> {
    let size = layout.section_size();
    let count = header.section_header_count;
    let bytes = table(Structure::SectionHeaders, data, header.section_headers, count, size as u64)?;
    let names = section_names(layout, data, header, bytes)?;
    let raw = bytes.chunks_exact(size).filter_map(|entry| layout.section(entry));
    let mut sections = Vec::with_capacity(count_of(bytes, size));
    sections.extend((0_u32..).zip(raw).map(|(index, raw)| Section {
        index,
        name: string(names, u64::from(raw.name)).unwrap_or_default(),
        kind: SectionKind(raw.kind),
        flags: SectionFlags(raw.flags),
        address: raw.address,
        offset: raw.offset,
        size: raw.size,
        link: raw.link,
        info: raw.info,
        align: raw.align,
        entry_size: raw.entry_size,
    }));
    Ok(sections)
}

/// How many entries of a size these bytes are; they are there, whatever the headers claim.
fn count_of(bytes: &[u8], size: usize) -> usize {
    bytes.len().checked_div(size).unwrap_or_default()
}

fn section_names<'data>(
    layout: Layout,
    data: Bytes<'data>,
    header: &Header,
    headers: &[u8],
) -> Result<&'data [u8], Error> {
    let structure = Structure::SectionNames;
    let index = header.section_names;
    if index == 0 {
        return Ok(&[]);
    }
    let raw = usize::try_from(index)
        .ok()
        .and_then(|index| headers.get(index.checked_mul(layout.section_size())?..))
        .and_then(|entry| layout.section(entry));
    let Some(raw) = raw else {
        let (at, what) = (header.section_headers, "no section has their index");
        return Err(Error::Malformed { structure, at, what, found: u64::from(index) });
    };
    if SectionKind(raw.kind) == SectionKind::NOBITS {
        return Ok(&[]);
    }
    data.get(raw.offset, raw.size).ok_or_else(|| short(structure, raw.offset, raw.size, data))
}

/// The dynamic table, as far as it is there: a debug file has the header and not the bytes.
pub(super) fn dynamic(image: &Image<'_>) -> Vec<Dynamic> {
    let segment = image.segment(SegmentKind::DYNAMIC);
    let section = image.sections().iter().find(|section| section.kind == SectionKind::DYNAMIC);
    let range = segment
        .map(|segment| (segment.offset, segment.file_size))
        .or(section.map(|section| (section.offset, section.size)));
    let Some((start, size)) = range else { return Vec::new() };
    let bytes = image.data.up_to(start, size);
    let step = image.layout.dynamic_size();
    bytes
        .chunks_exact(step)
        .enumerate()
        .filter_map(|(index, entry)| {
            let (tag, value) = image.layout.dynamic(entry)?;
            let offset = start.checked_add(index.checked_mul(step)? as u64)?;
            Some(Dynamic { tag: Tag(tag), value, offset })
        })
        .take_while(|entry| entry.tag != Tag::NULL)
        .collect()
}

/// The bytes of a header table.
fn table(
    structure: Structure,
    data: Bytes<'_>,
    offset: u64,
    count: u64,
    size: u64,
) -> Result<&[u8], Error> {
    let Some(wanted) = count.checked_mul(size).filter(|size| offset.checked_add(*size).is_some())
    else {
        let what = "its size reaches beyond every address";
        return Err(Error::Malformed { structure, at: offset, what, found: count });
    };
    if wanted == 0 {
        return Ok(&[]);
    }
    data.get(offset, wanted).ok_or_else(|| short(structure, offset, wanted, data))
}

fn short(structure: Structure, offset: u64, wanted: u64, data: Bytes<'_>) -> Error {
    Error::Short { structure, wanted, offset, end: data.len() }
}

fn malformed_header(at: u64, what: &'static str, found: u64) -> Error {
    Error::Malformed { structure: Structure::FileHeader, at, what, found }
}
