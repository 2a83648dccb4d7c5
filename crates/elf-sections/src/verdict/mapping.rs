//! What the loader maps, and what it reads or protects by program headers alone.

use super::{is_readable, is_segment};
use crate::{Class, Error, Image, Segment, SegmentKind, Structure};

pub(super) fn check(image: &Image<'_>) -> Result<(), Error> {
    let of_headers = |what, found| {
        let (structure, at) = (Structure::ProgramHeaders, image.header().program_headers);
        Err(Error::Malformed { structure, at, what, found })
    };
    let count = image.segments().len() as u64;
    if count > MOST_HEADERS {
        return of_headers("more of them than any linker writes", count);
    }
    let mut before: Option<&Segment> = None;
    for load in image.loads() {
        check_load(image, load)?;
        // The loader maps the whole span by the last segment's end, and then each segment over
        // it, page by page.
        let last_page = before.and_then(|before| before.range().end.checked_sub(1)).map(page);
        if last_page.is_some_and(|last_page| page(load.address) <= last_page) {
            return Err(wrong(load, "not above the segment before it", load.address));
        }
        before = Some(load);
    }
    if before.is_none() {
        return of_headers("none of them is to be mapped", count);
    }
    // Of several, loaders take the last and readers the first.
    let tables = image.segments().iter().filter(is_segment(SegmentKind::DYNAMIC)).count();
    if tables > 1 {
        return of_headers("several dynamic tables", tables as u64);
    }
    // What the loader reads by its program header's address alone.
    let read = [SegmentKind::PHDR, SegmentKind::NOTE, SegmentKind::GNU_PROPERTY, SegmentKind::TLS];
    for segment in image.segments().iter().filter(|segment| read.contains(&segment.kind)) {
        if !is_in_file(image, segment) {
            return Err(wrong(segment, "not inside a readable segment", segment.file_size));
        }
    }
    for headers in image.segments().iter().filter(is_segment(SegmentKind::PHDR)) {
        if headers.offset != image.header().program_headers {
            return Err(wrong(headers, "not where the program headers are", headers.offset));
        }
    }
    for tls in image.segments().iter().filter(is_segment(SegmentKind::TLS)) {
        check_tls(tls)?;
    }
    for relro in image.segments().iter().filter(is_segment(SegmentKind::GNU_RELRO)) {
        check_relro(image, relro)?;
    }
    Ok(())
}

fn check_load(image: &Image<'_>, load: &Segment) -> Result<(), Error> {
    if load.file_size > load.memory_size {
        return Err(wrong(load, "more bytes in the file than in memory", load.file_size));
    }
    let limit = match image.header().class {
        Class::Elf32 => 1 << 32,
        Class::Elf64 => 1 << 56,
    };
    let end = load.address.checked_add(load.memory_size);
    if end.is_none_or(|end| end > limit) {
        return Err(wrong(load, "reaches beyond every address", load.memory_size));
    }
    if load.align > 1 && !load.align.is_power_of_two() {
        return Err(wrong(load, "alignment is no power of two", load.align));
    }
    let mask = load.align.max(MINIMAL_PAGE).wrapping_sub(1);
    if (load.address ^ load.offset) & mask != 0 {
        return Err(wrong(load, "offset and address differ within a page", load.offset));
    }
    Ok(())
}

fn check_tls(tls: &Segment) -> Result<(), Error> {
    if tls.file_size > tls.memory_size {
        return Err(wrong(tls, "more bytes in the file than in memory", tls.file_size));
    }
    if tls.align > 1 && !tls.align.is_power_of_two() {
        return Err(wrong(tls, "alignment is no power of two", tls.align));
    }
    Ok(())
}

/// The range may reach to the end of the last page that it begins.
fn check_relro(image: &Image<'_>, relro: &Segment) -> Result<(), Error> {
    if relro.memory_size == 0 {
        return Ok(());
    }
    let is_writable = image.loads().filter(|load| load.permissions.is_writable()).any(|load| {
        let range = load.range();
        let align = load.align.max(MINIMAL_PAGE);
        let end = range.end.checked_next_multiple_of(align).unwrap_or(range.end);
        range.contains(&relro.address) && relro.range().end <= end && !relro.range().is_empty()
    });
    if is_writable {
        Ok(())
    } else {
        Err(wrong(relro, "protects more than a writable segment", relro.memory_size))
    }
}

/// Whether the bytes that the segment has in the file are mapped where it says.
fn is_in_file(image: &Image<'_>, segment: &Segment) -> bool {
    segment.file_size == 0
        || (image.offset_of(segment.address, segment.file_size) == Some(segment.offset)
            && is_readable(image, segment.address))
}

fn wrong(segment: &Segment, what: &'static str, found: u64) -> Error {
    Error::Malformed { structure: Structure::Segment, at: segment.address, what, found }
}

/// The smallest page that an address can be in.
fn page(address: u64) -> u64 {
    address & !MINIMAL_PAGE.wrapping_sub(1)
}

/// Some 15 are usual, and the loader keeps what it needs of them on its stack.
const MOST_HEADERS: u64 = 512;

/// The smallest page of any processor with these loaders.
const MINIMAL_PAGE: u64 = 4096;
