//! Words that the loader changes: base relocations.

use std::ops::Range;

use object::LittleEndian as LE;
use object::{U16, pe, pod};

use crate::bytes;
use crate::header::{DirectoryKind, PAGE};
use crate::image::Image;

/// Addresses of bytes that are about to change, in order and apart, each with its offset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Touched {
    ranges: Vec<(Range<u64>, u64)>,
}

/// A byte that both a plan and the loader would change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Collision {
    /// The offset of the first such byte.
    pub(crate) offset: u64,
    /// The address of the loader's word.
    pub(crate) address: u64,
}

impl Touched {
    /// Every address at which these ranges of the file are mapped, and the addresses of bytes that
    /// are appended, with their offset.
    ///
    /// Where so many sections map the same bytes that the list would be long, everything between
    /// the first range and the last counts as touched: no linker lays out such an image.
    pub(crate) fn of(
        image: &Image<'_>,
        edits: &[Range<u64>],
        appended: Option<(Range<u64>, u64)>,
    ) -> Touched {
        let edits = apart(edits.iter().map(|edit| (edit.clone(), edit.start)).collect());
        let header = image.header();
        let whole = if header.is_low_alignment() { header.size_of_image } else { PAGE };
        let headers = 0..u64::from(header.size_of_headers.max(whole));
        let mut mappings: Vec<(u64, Range<u64>)> =
            image.nameless().map(|section| (section.address, section.file_range())).collect();
        mappings.push((0, headers));
        mappings.sort_unstable_by_key(|(address, held)| (*address, held.start, held.end));
        mappings.dedup();

        let count: usize = mappings
            .iter()
            .map(|(_, held)| reached(&edits, held).len())
            .fold(0, usize::saturating_add);
        let hull = match (edits.first(), edits.last()) {
            (Some((first, start)), Some((last, _))) => vec![(first.start..last.end, *start)],
            _ => Vec::new(),
        };
        let edits = if count > MOST_RANGES { hull } else { edits };

        let mut ranges = Vec::from_iter(appended);
        for (address, held) in &mappings {
            for (edit, _) in reached(&edits, held) {
                let (start, end) = (edit.start.max(held.start), edit.end.min(held.end));
                let first = address.saturating_add(start.saturating_sub(held.start));
                let size = end.saturating_sub(start);
                ranges.push((first..first.saturating_add(size), start));
            }
        }
        Touched { ranges: apart(ranges) }
    }

    /// Whether a word of the loader's covers one of the bytes.
    pub(crate) fn collision(&self, word: Range<u64>) -> Option<Collision> {
        let (range, offset) = reached(&self.ranges, &word).first()?;
        let inside = word.start.saturating_sub(range.start);
        Some(Collision { offset: offset.saturating_add(inside), address: word.start })
    }

    /// Those blocks of a table whose entries can change one of the bytes.
    ///
    /// Linkers sort blocks by page, loaders do not ask for that: what is known of one page is
    /// known of all up to the next touched byte, and a block whose page lies elsewhere is looked
    /// up.
    pub(crate) fn blocks<'a>(
        &'a self,
        table: &'a [u8],
    ) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        let mut quiet = 0..0;
        blocks(table).filter(move |&(page, _)| {
            if quiet.contains(&page) {
                return false;
            }
            quiet = self.quiet_around(page);
            !quiet.contains(&page)
        })
    }

    /// The pages between two touched bytes of which no block can change either. A page that is
    /// not among them although it lies there has a block that can.
    fn quiet_around(&self, page: u64) -> Range<u64> {
        let (before, behind) =
            self.ranges.split_at(self.ranges.partition_point(|(range, _)| range.end <= page));
        let start = before.last().map_or(0, |(range, _)| range.end);
        let end = behind.first().map_or(u64::MAX, |(range, _)| range.start);
        start..end.saturating_sub(FARTHEST)
    }
}

/// Ranges in order, those that overlap made one.
fn apart(mut ranges: Vec<(Range<u64>, u64)>) -> Vec<(Range<u64>, u64)> {
    ranges.sort_unstable_by_key(|(range, offset)| (range.start, range.end, *offset));
    ranges.retain(|(range, _)| !range.is_empty());
    ranges.dedup_by(|(range, _), (before, _)| {
        let overlaps = range.start < before.end;
        if overlaps {
            before.end = before.end.max(range.end);
        }
        overlaps
    });
    ranges
}

/// Those of the ranges, which are in order and apart, that have a byte of `span`.
fn reached<'a>(ranges: &'a [(Range<u64>, u64)], span: &Range<u64>) -> &'a [(Range<u64>, u64)] {
    if span.is_empty() {
        return &[];
    }
    let start = ranges.partition_point(|(range, _)| range.end <= span.start);
    let end = ranges.partition_point(|(range, _)| range.start < span.end);
    ranges.get(start..end).unwrap_or_default()
}

/// The first base relocation that covers a touched byte.
///
/// The blocks of the table are walked as the loader walks them; entries are looked at only for
/// pages that are touched.
pub(crate) fn base_relocation(image: &Image<'_>, touched: &Touched) -> Option<Collision> {
    let directory = image.directory(DirectoryKind::BaseRelocation)?;
    let (offset, left) = image.held_at(directory.address.into())?;
    let table = bytes::range(image.data(), offset, left.min(directory.size.into()))?;
    touched.blocks(table).find_map(|(page, entries)| {
        let (entries, _) = pod::slice_from_bytes::<U16<LE>>(entries, entries.len() / 2).ok()?;
        entries.iter().find_map(|entry| {
            let entry = entry.get(LE);
            let width = base_width(entry >> 12)?;
            let start = page.saturating_add(u64::from(entry & 0xfff));
            touched.collision(start..start.saturating_add(width))
        })
    })
}

/// The blocks of a table of relocations: the page's address, and the bytes of the entries.
///
/// A block's size that is smaller than its header ends the walk, as it does the loader's; one
/// that reaches beyond the table ends with it.
pub(crate) fn blocks(table: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = table;
    std::iter::from_fn(move || {
        let (header, entries) = rest.split_first_chunk()?;
        let header = u64::from_le_bytes(*header);
        let size = usize::try_from(header >> 32).ok()?;
        let held = size.checked_sub(BLOCK_HEADER)?;
        rest = rest.get(size..).unwrap_or_default();
        Some((header & 0xffff_ffff, entries.get(..held).unwrap_or(entries)))
    })
}

/// How many bytes a base relocation of a type changes; `None` for padding.
pub(crate) fn base_width(kind: u16) -> Option<u64> {
    match pe::BaseRelocationType(kind) {
        pe::IMAGE_REL_BASED_ABSOLUTE => None,
        pe::IMAGE_REL_BASED_HIGH | pe::IMAGE_REL_BASED_LOW | pe::IMAGE_REL_BASED_HIGHADJ => Some(2),
        pe::IMAGE_REL_BASED_HIGHLOW => Some(4),
        // Pairs of instructions, and types that are not known.
        _ => Some(WIDEST),
    }
}

const BLOCK_HEADER: usize = 8;

/// Each edit of a sound image is mapped once, or twice in its headers.
const MOST_RANGES: usize = 1 << 16;

/// How far behind the start of a page its relocations can change a byte: at the last place, the
/// last byte of a rewritten call, which a dynamic relocation may be of and which has up to 16.
const FARTHEST: u64 = PAGE as u64 - 1 + 15;

/// The most bytes that one relocation changes.
pub(crate) const WIDEST: u64 = 8;
