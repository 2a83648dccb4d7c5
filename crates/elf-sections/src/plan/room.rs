//! Room in memory for tables that have grown.

use super::draft::segment_bytes;
use super::slack::{self, PAGE};
use super::{Draft, linkage, symbols};
use crate::dynamic::Tag;
use crate::{Error, Image, Kind, Permissions, Segment, SegmentKind, Structure};

/// What is to be somewhere in memory.
pub(super) struct Wanted {
    /// The dynamic strings.
    pub(super) strings: Option<Vec<u8>>,
    /// Whether the dynamic table is to move, too.
    pub(super) moves_dynamic: bool,
}

/// Finds room and leads everything there.
pub(super) fn make(draft: &mut Draft<'_, '_>, wanted: Wanted) -> Result<(), Error> {
    if let (Some(strings), false) = (&wanted.strings, wanted.moves_dynamic)
        && let Some((index, segment)) = slack::find(draft.image, strings.len() as u64)
    {
        let (at, address) = (
            segment.offset.saturating_add(segment.file_size),
            segment.address.saturating_add(segment.file_size),
        );
        let size = segment.file_size.saturating_add(strings.len() as u64);
        let grown = Segment { file_size: size, memory_size: size, ..segment };
        set_segment(draft, index, &grown)?;
        draft.replace(at, strings)?;
        return lead_to_strings(draft, at, address, strings.len() as u64);
    }
    add_segment(draft, wanted)
}

/// Adds a segment at the end of the file and of memory.
fn add_segment(draft: &mut Draft<'_, '_>, wanted: Wanted) -> Result<(), Error> {
    let (image, layout) = (draft.image, draft.image.layout);
    let reusable = reusable(image);
    let moves_headers = reusable.is_none();
    let count = draft.segments.count();
    if moves_headers && image.relocates_itself() {
        return Err(Error::SelfRelocating { structure: Structure::ProgramHeaders });
    }
    if moves_headers && count.saturating_add(1) >= PN_XNUM {
        let (wanted, room) = (count as u64, PN_XNUM as u64);
        return Err(Error::NoRoom { structure: Structure::ProgramHeaders, wanted, room });
    }
    let table_size = match moves_headers {
        true => draft.segments.bytes.len().saturating_add(draft.segments.entry_size),
        false => 0,
    };
    let dynamic_at = table_size.next_multiple_of(16);
    let dynamic_size = if wanted.moves_dynamic { draft.dynamic.bytes.len() } else { 0 };
    let strings_at = dynamic_at.saturating_add(dynamic_size);
    let strings_size = wanted.strings.as_ref().map_or(0, Vec::len);
    let size = strings_at.saturating_add(strings_size) as u64;
    let is_program = image.header().kind == Kind::Executable
        || image.segment(SegmentKind::INTERP).is_some()
        || image.is_pie();
    let place = Place::find(image, draft.end(), size, moves_headers, is_program)?;

    // The loader writes into the dynamic table.
    let permissions = Permissions(if wanted.moves_dynamic { 6 } else { 4 });
    let segment = Segment {
        kind: SegmentKind::LOAD,
        permissions,
        offset: place.offset,
        address: place.address,
        file_size: size,
        memory_size: size,
        align: place.align,
    };
    // Segments that are mapped stand in the order of their addresses.
    let last = image.segments().iter().rposition(Segment::is_load).unwrap_or(0);
    let entry = segment_bytes(layout, &segment);
    let behind = last.saturating_add(1);
    match reusable {
        Some(index) if index < behind => draft.segments.exchange(index, last, &entry),
        Some(index) => draft.segments.exchange(index, behind, &entry),
        None => draft.segments.insert(behind, &entry),
    }
    let inside = |skipped: usize| {
        let skipped = skipped as u64;
        (place.offset.saturating_add(skipped), place.address.saturating_add(skipped))
    };
    if wanted.moves_dynamic {
        let (offset, address) = inside(dynamic_at);
        lead_to_dynamic(draft, offset, address, dynamic_size as u64)?;
    }
    if wanted.strings.is_some() {
        let (offset, address) = inside(strings_at);
        lead_to_strings(draft, offset, address, strings_size as u64)?;
    }
    if moves_headers {
        lead_to_headers(draft, &place, table_size as u64)?;
    }

    draft.pad_to(place.offset);
    if moves_headers {
        let table = draft.segments.bytes.clone();
        draft.append(&table);
        draft.segments.has_moved = true;
    }
    draft.pad_to(place.offset.saturating_add(dynamic_at as u64));
    if wanted.moves_dynamic {
        let table = draft.dynamic.bytes.clone();
        draft.append(&table);
        draft.dynamic.has_moved = true;
    }
    draft.append(&wanted.strings.unwrap_or_default());
    Ok(())
}

/// Where a segment goes.
struct Place {
    offset: u64,
    address: u64,
    align: u64,
}

impl Place {
    /// Where it has the program headers, no other segment's last page must reach into it in the
    /// file, and for a program it must be as far from the file's start as from the first segment's
    /// address.
    fn find(
        image: &Image<'_>,
        end: u64,
        size: u64,
        moves_headers: bool,
        is_program: bool,
    ) -> Result<Place, Error> {
        let no_room = |wanted, room| Error::NoRoom { structure: Structure::Segment, wanted, room };
        let first = image.loads().next().ok_or(Error::Absent { structure: Structure::Segment })?;
        let align = image.loads().map(|load| load.align).max().unwrap_or(0).max(PAGE);
        let align = if align.is_power_of_two() && align <= LARGEST_ALIGN { align } else { PAGE };
        let top = image.range().map_or(0, |range| range.end);
        let page = top.checked_next_multiple_of(align).ok_or(no_room(size, 0))?;
        let file_end = end;
        let mut end = end.checked_next_multiple_of(16).ok_or(no_room(size, 0))?;
        if moves_headers {
            end = end.max(behind_all_pages(image, align).ok_or(no_room(size, 0))?);
        }
        let distance = first.address.wrapping_sub(first.offset);
        let place = if moves_headers && is_program {
            if distance & PAGE.wrapping_sub(1) != 0 || distance > first.address {
                return Err(no_room(size, 0));
            }
            let address = page.max(end.saturating_add(distance));
            let align = if distance & align.wrapping_sub(1) == 0 { align } else { PAGE };
            Place { offset: address.saturating_sub(distance), address, align }
        } else {
            let within = end & align.wrapping_sub(1);
            Place { offset: end, address: page.saturating_add(within), align }
        };
        let hole = place.offset.saturating_sub(file_end);
        if hole > LARGEST_HOLE {
            return Err(no_room(hole, LARGEST_HOLE));
        }
        let limit = match image.header().class {
            crate::Class::Elf32 => 1 << 32,
            crate::Class::Elf64 => 1 << 47,
        };
        if place.address.checked_add(size).is_none_or(|end| end > limit) {
            return Err(no_room(size, limit.saturating_sub(page.min(limit))));
        }
        Ok(place)
    }
}

/// The offset in the file behind the last page of every segment.
///
/// glibc takes the program headers to be in the first segment whose pages have their offset in the
/// file, and then reads them at an address that may be beyond that segment's bytes, in zeros.
fn behind_all_pages(image: &Image<'_>, align: u64) -> Option<u64> {
    let ends = image.loads().map(|load| load.offset.saturating_add(load.file_size));
    ends.max()?.checked_next_multiple_of(align.min(LARGEST_PAGE))
}

/// A program header that nobody misses: an unused one, or the note segment that says the same as
/// the property segment, which is where kernels and loaders look first.
fn reusable(image: &Image<'_>) -> Option<usize> {
    let segments = image.segments();
    let unused = segments.iter().position(|it| it.kind == SegmentKind::NULL);
    let property = segments.iter().find(|it| it.kind == SegmentKind::GNU_PROPERTY);
    let same = |property: &Segment| {
        segments.iter().position(|it| {
            it.kind == SegmentKind::NOTE
                && (it.offset, it.file_size) == (property.offset, property.file_size)
        })
    };
    unused.or_else(|| property.and_then(same))
}

fn set_segment(draft: &mut Draft<'_, '_>, index: usize, segment: &Segment) -> Result<(), Error> {
    let bytes = segment_bytes(draft.image.layout, segment);
    draft.segments.set(index, 0, &bytes)
}

/// The index of the first program header of a kind, as the table is now.
fn position(draft: &Draft<'_, '_>, kind: SegmentKind) -> Option<(usize, Segment)> {
    let layout = draft.image.layout;
    (0..draft.segments.count())
        .filter_map(|index| Some((index, layout.segment(draft.segments.entry(index)?)?)))
        .find(|(_, segment)| segment.kind == kind)
}

fn lead_to_headers(draft: &mut Draft<'_, '_>, place: &Place, size: u64) -> Result<(), Error> {
    let layout = draft.image.layout;
    if let Some((index, headers)) = position(draft, SegmentKind::PHDR) {
        let (offset, address) = (place.offset, place.address);
        let moved = Segment { offset, address, file_size: size, memory_size: size, ..headers };
        set_segment(draft, index, &moved)?;
    }
    let count = u16::try_from(draft.segments.count()).unwrap_or(u16::MAX);
    draft.set_header(28, 32, &layout.word_bytes(place.offset))?;
    draft.set_header(44, 56, &layout.u16_bytes(count))
}

fn lead_to_strings(
    draft: &mut Draft<'_, '_>,
    offset: u64,
    address: u64,
    size: u64,
) -> Result<(), Error> {
    let image = draft.image;
    for (index, entry) in image.dynamic().iter().enumerate() {
        match entry.tag {
            Tag::STRTAB => linkage::set(draft, index, entry.tag, address)?,
            Tag::STRSZ => linkage::set(draft, index, entry.tag, size)?,
            _ => {}
        }
    }
    let old = image.dynamic_value(Tag::STRTAB);
    let section = image.sections().iter().find(|it| {
        it.is_addressable() && it.kind == crate::SectionKind::STRTAB && Some(it.address) == old
    });
    match section {
        Some(section) => {
            symbols::move_section(draft, section.index, address)?;
            draft.set_section(section.index, Some(address), offset, size)
        }
        None => Ok(()),
    }
}

fn lead_to_dynamic(
    draft: &mut Draft<'_, '_>,
    offset: u64,
    address: u64,
    size: u64,
) -> Result<(), Error> {
    let image = draft.image;
    let Some((index, segment)) = position(draft, SegmentKind::DYNAMIC) else {
        return Err(Error::Absent { structure: Structure::DynamicTable });
    };
    let moved = Segment { offset, address, file_size: size, memory_size: size, ..segment };
    set_segment(draft, index, &moved)?;
    let section = image.sections().iter().find(|it| it.kind == crate::SectionKind::DYNAMIC);
    if let Some(section) = section {
        symbols::move_section(draft, section.index, address)?;
        draft.set_section(section.index, Some(address), offset, size)?;
    }
    symbols::move_named(draft, b"_DYNAMIC", address)?;
    // On most processors the global offset table starts with the table's address.
    let word = image.layout.word_size() as u64;
    let first = image.dynamic_value(Tag::PLTGOT).and_then(|it| image.offset_of(it, word));
    if let Some(first) = first {
        let value = image.data.get(first, word).and_then(|it| image.layout.word(it));
        if value == Some(segment.address) {
            draft.replace(first, &image.layout.word_bytes(address))?;
        }
    }
    Ok(())
}

/// The largest page of any processor.
const LARGEST_PAGE: u64 = 1 << 16;

/// `PN_XNUM`: from here on the number of program headers is elsewhere.
const PN_XNUM: usize = 0xffff;

/// Where linkers align to more, it is for huge pages, not for the sake of loading.
const LARGEST_ALIGN: u64 = 1 << 21;

/// What a file may grow by for nothing but a distance.
const LARGEST_HOLE: u64 = 16 << 20;
