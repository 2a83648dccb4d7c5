//! Mach-O.

use macho_sections::{
    Class, Container, Endian, FatKind, Image, Reason, Section, Segment, Slice, SymbolKind,
};

use super::listing::{self, Body, Listing, Place, ThreadLocal, Wanted, Writable, text};

/// What is listed of a file of these bytes.
pub fn list(file: &str, bytes: &[u8], wanted: &Wanted) -> Result<Listing, macho_sections::Error> {
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

fn slice(file: &str, slice: &Slice<'_>, wanted: &Wanted) -> Listing {
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

fn thin(image: &Image<'_>, wanted: &Wanted) -> Result<listing::Image, macho_sections::Error> {
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

fn segment(image: &Image<'_>, segment: &Segment<'_>) -> listing::Segment {
    listing::Segment {
        name: text(segment.name),
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

fn section(image: &Image<'_>, section: &Section<'_>) -> listing::Section {
    let segment = image.segments().get(section.segment as usize);
    let excluded = image.exclusion_of(section).map(Reason::as_str);
    let is_empty = section.is_zero_fill();
    listing::Section {
        name: text(section.name),
        segment: Some(text(section.segment_name)),
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

fn symbols(image: &Image<'_>) -> Result<Vec<listing::Symbol>, macho_sections::Error> {
    let symbols = image.symbols()?.filter(|symbol| symbol.is_defined() && !symbol.name.is_empty());
    let listed = symbols.map(|symbol| {
        let section = match symbol.kind {
            SymbolKind::Section(Some(index)) => image.sections().get(index as usize),
            _ => None,
        };
        listing::Symbol {
            name: text(symbol.name),
            address: symbol.address,
            size: None,
            kind: kind(section),
            binding: match symbol.is_external {
                true if symbol.is_weak_definition() => "weak",
                true => "global",
                false => "local",
            },
            section: section.map(|it| format!("{},{}", text(it.segment_name), text(it.name))),
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
