//! Parts of a file that its linker has not written yet.
//!
//! A linker sets the file's length first and fills it in an order of its own, so that a file may
//! be long enough and still have holes: pages of zeros. In a table that cannot have so many zeros
//! in a row, they are found by looking at each of its pages, which costs one comparison a page
//! since it ends at the first byte that is not zero.

use std::ops::Range;

use crate::{Error, Image, SectionKind, SegmentKind, Structure};

/// The header tables, the names of sections, and the symbols that no loader needs but a
/// transfer of state does.
pub(super) fn check_headers(image: &Image<'_>) -> Result<(), Error> {
    let header = image.header();
    let program_headers = table_range(
        header.program_headers,
        u64::from(header.program_header_count),
        image.layout.segment_size(),
    );
    check(image, Structure::ProgramHeaders, program_headers)?;
    let section_headers = table_range(
        header.section_headers,
        header.section_header_count,
        image.layout.section_size(),
    );
    check(image, Structure::SectionHeaders, section_headers.clone())?;

    // The sections' names tell whether their headers have been written.
    if header.section_names != 0 {
        let names = usize::try_from(header.section_names)
            .ok()
            .and_then(|index| image.sections().get(index));
        match names {
            Some(names) if names.kind == SectionKind::NULL => {
                let (structure, offset) = (Structure::SectionHeaders, section_headers.start);
                return Err(Error::ZeroFilled { structure, offset });
            }
            Some(names) => check(image, Structure::SectionNames, section_range(names))?,
            None => {}
        }
    }
    if let Some(symbols) = image.sections().iter().find(|it| it.kind == SectionKind::SYMTAB) {
        check(image, Structure::Symbols, section_range(symbols))?;
        let strings = usize::try_from(symbols.link).ok().and_then(|it| image.sections().get(it));
        if let Some(strings) = strings.filter(|it| it.kind == SectionKind::STRTAB) {
            check(image, Structure::Symbols, section_range(strings))?;
        }
    }

    // The first byte of `.eh_frame_hdr` is its version.
    if let Some(unwind) = image.segment(SegmentKind::GNU_EH_FRAME) {
        let first = image.bytes_at(unwind.address, 1).and_then(|bytes| bytes.first());
        if first == Some(&0) {
            let (structure, offset) = (Structure::UnwindHeader, unwind.offset);
            return Err(Error::ZeroFilled { structure, offset });
        }
    }
    Ok(())
}

/// Finds a page of the file that the range touches and that is all zeros, and a range that is
/// all zeros itself.
pub(super) fn check(
    image: &Image<'_>,
    structure: Structure,
    range: Range<u64>,
) -> Result<(), Error> {
    let Range { start, end } = range;
    let data = image.data;
    let zero = |offset| Error::ZeroFilled { structure, offset };
    let whole = end.checked_sub(start).and_then(|size| data.get(start, size)).unwrap_or_default();
    // GNU ld may leave all of a few relocations empty.
    let may_be_zero = matches!(structure, Structure::Rela | Structure::Rel);
    if whole.len() > MAYBE_ZERO && !may_be_zero && is_zero(whole) {
        return Err(zero(start));
    }
    let mut page = start & !(PAGE.wrapping_sub(1));
    while page < end {
        let next = page.saturating_add(PAGE);
        let bytes = data.up_to(page, PAGE);
        // The few bytes of a table that are the last of it, or of the file, may be.
        let own = next.min(end).saturating_sub(page.max(start));
        if bytes.len() > MAYBE_ZERO && own > may_end_in(structure) && is_zero(bytes) {
            return Err(zero(page));
        }
        page = next;
    }
    Ok(())
}

/// How many zeros a table may end in. The dynamic table ends in one entry of zeros, and GNU ld leaves
/// some more for later tools.
fn may_end_in(structure: Structure) -> u64 {
    match structure {
        Structure::DynamicTable => 8 * 16,
        _ => MAYBE_ZERO as u64,
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| ZEROS.get(..chunk.len()) == Some(chunk))
}

fn table_range(offset: u64, count: u64, size: usize) -> Range<u64> {
    offset..offset.saturating_add(count.saturating_mul(size as u64))
}

fn section_range(section: &crate::Section<'_>) -> Range<u64> {
    match section.file_range() {
        Some((offset, size)) => offset..offset.saturating_add(size),
        None => 0..0,
    }
}

const PAGE: u64 = 4096;

const ZEROS: [u8; 4096] = [0; 4096];

/// A symbol table's first entry is all zeros, and it may be the only one; so may be the end of the last section header
/// (`sh_link`, `sh_info`, `sh_addralign`, `sh_entsize`).
const MAYBE_ZERO: usize = 24;
