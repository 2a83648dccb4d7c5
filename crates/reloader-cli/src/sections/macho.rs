//! Mach-O.

use std::borrow::Cow;

use macho_sections::{
    Class, Container, Endian, FatKind, Image, Reason, Section, Segment, Slice, SymbolKind,
};

use super::listing::{self, Body, Listing, Name, Place, ThreadLocal, Wanted, Writable};

/// What is listed of a file of these bytes.
pub fn list<'a>(
    file: &str,
    bytes: &'a [u8],
    wanted: &Wanted,
) -> Result<Listing<'a>, macho_sections::Error> {
    let file = file.to_owned();
    Ok(match Container::parse(bytes)? {
        Container::Thin(image) => {
            let body = Body::Image(Box::new(thin(&image, wanted)?));
            Listing { file, format: "mach-o", place: None, body }
        }
        Container::Fat(fat) => {
            let slices = fat.slices.iter().map(|it| slice(&file, it, wanted)).collect();
            let format = match fat.kind {
                FatKind::Fat32 => "fat",
                FatKind::Fat64 => "fat64",
            };
            Listing { file, format, place: None, body: Body::Slices { slices } }
        }
    })
}

fn slice<'a>(file: &str, slice: &Slice<'a>, wanted: &Wanted) -> Listing<'a> {
    let body = match slice.image().and_then(|image| thin(&image, wanted)) {
        Ok(image) => Body::Image(Box::new(image)),
        Err(error) => Body::Unread {
            machine: slice.cpu.to_string(),
            error: format!("slice {} at {:#x}: {error}", slice.cpu, slice.offset),
        },
    };
    let place = Some(Place::Slice { offset: slice.offset, size: slice.size });
    Listing { file: file.to_owned(), format: "mach-o", place, body }
}

fn thin<'a>(
    image: &Image<'a>,
    wanted: &Wanted,
) -> Result<listing::Image<'a>, macho_sections::Error> {
    let header = image.header();
    let mut remarks = Vec::new();
    let mut writable = None;
    if wanted.needs_ranges() {
        let found = image.writable();
        if let Some(error) = &found.unread {
            remarks.push(format!("relocated words may count as variables: {error}"));
        }
        writable = Some(taken_apart(&found));
    }
    let listed = listing::Image {
        format: "mach-o",
        class: match header.class {
            Class::MachO32 => 32,
            Class::MachO64 => 64,
        },
        endian: match header.endian {
            Endian::Little => "little",
            Endian::Big => "big",
        },
        machine: header.cpu.to_string(),
        purpose: header.kind.to_string(),
        segments: image.segments().iter().map(|it| segment(image, it)).collect(),
        sections: image.sections().iter().map(|it| section(image, it)).collect(),
        writable,
        symbols: if wanted.symbols { Some(symbols(image)?) } else { None },
        is_only_writable: wanted.only_writable,
        protected: 0..0,
        remarks,
    };
    Ok(listed.finished(wanted))
}

fn taken_apart(writable: &macho_sections::Writable) -> Writable {
    let excluded = writable.excluded.iter().map(|it| (&it.range, it.reason.as_str()));
    let thread_local = writable.thread_local.as_ref();
    let thread_local = thread_local.map(|it| ThreadLocal::of(&it.template, it.size, it.align, 0));
    Writable::of(&writable.variables, excluded, thread_local, 0)
}

fn segment<'a>(image: &Image<'a>, segment: &Segment<'a>) -> listing::Segment<'a> {
    listing::Segment {
        name: segment.name.into(),
        address: segment.address,
        memory_size: segment.memory_size,
        file_offset: image.base().saturating_add(segment.offset),
        file_size: segment.file_size,
        read: segment.permissions.is_readable(),
        write: segment.permissions.is_writable(),
        execute: segment.permissions.is_executable(),
        is_mapped: segment.maximum.0 != 0 && segment.memory_size != 0,
    }
}

fn section<'a>(image: &Image<'a>, section: &Section<'a>) -> listing::Section<'a> {
    let segment = image.segments().get(section.segment as usize);
    let excluded = image.exclusion_of(section).map(Reason::as_str);
    let is_empty = section.is_zero_fill();
    listing::Section {
        name: section.name.into(),
        segment: Some(section.segment_name.into()),
        address: section.address,
        size: section.size,
        file_offset: if is_empty { 0 } else { image.base().saturating_add(section.offset) },
        file_size: if is_empty { 0 } else { section.size },
        writable: segment.is_some_and(|it| it.permissions.is_writable())
            && excluded != Some("read-only"),
        excluded,
        is_mapped: excluded != Some("not-mapped"),
        is_code: section.flags.has_instructions(),
    }
}

fn symbols<'a>(image: &Image<'a>) -> Result<Vec<listing::Symbol<'a>>, macho_sections::Error> {
    let symbols = image.symbols()?.filter(|symbol| symbol.is_defined() && !symbol.name.is_empty());
    let listed = symbols.map(|symbol| {
        let section = match symbol.kind {
            SymbolKind::Section(Some(index)) => image.sections().get(index as usize),
            _ => None,
        };
        listing::Symbol {
            name: symbol.name.into(),
            address: symbol.address,
            size: None,
            kind: kind(section),
            binding: match symbol.is_external {
                true if symbol.is_weak_definition() => "weak",
                true => "global",
                false => "local",
            },
            section: section.map(|it| Name(Cow::Owned([it.segment_name, b",", it.name].concat()))),
            file: None,
            version: None,
            excluded: section.and_then(|it| image.exclusion_of(it)).map(Reason::as_str),
        }
    });
    Ok(listed.collect())
}

fn kind(section: Option<&Section<'_>>) -> &'static str {
    match section {
        Some(section) if section.is_thread_local() => "thread-local",
        Some(section) if section.flags.has_instructions() => "function",
        Some(_) => "object",
        None => "none",
    }
}
