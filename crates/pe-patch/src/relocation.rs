//! Words that the loader changes: base relocations.

use std::ops::Range;

use object::LittleEndian as LE;
use object::{U16, pe, pod};

use crate::bytes;
use crate::header::{DirectoryKind, PAGE};
use crate::image::Image;

/// Addresses of bytes that are about to change, in order, with their offsets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Touched {
    ranges: Vec<(Range<u64>, u64)>,
    /// Few ranges in which the pages start that can have one of the bytes: tables have a block for
    /// every page of a large image, and most of them need no closer look.
    pages: Vec<Range<u64>>,
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
    /// Every address at which these ranges of the file are mapped.
    pub(crate) fn of(image: &Image<'_>, edits: &[Range<u64>]) -> Touched {
        let mut ranges = Vec::new();
        let mut add = |address: u64, held: Range<u64>| {
            for edit in edits {
                let (start, end) = (edit.start.max(held.start), edit.end.min(held.end));
                if start < end {
                    let first = address.saturating_add(start.saturating_sub(held.start));
                    let size = end.saturating_sub(start);
                    ranges.push((first..first.saturating_add(size), start));
                }
            }
        };
        for section in image.nameless() {
            add(section.address, section.file_range());
        }
        add(0, 0..u64::from(image.header().size_of_headers).max(PAGE.into()));
        ranges.sort_unstable_by_key(|(range, offset)| (range.start, range.end, *offset));
        Touched::new(ranges)
    }

    /// Of ranges in order.
    fn new(ranges: Vec<(Range<u64>, u64)>) -> Touched {
        let mut pages: Vec<Range<u64>> = Vec::new();
        for (range, _) in &ranges {
            let start = range.start.saturating_sub(REACH);
            match pages.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(range.end),
                _ => pages.push(start..range.end),
            }
        }
        Touched { ranges, pages }
    }

    /// Bytes at these addresses, which the file does not hold yet.
    pub(crate) fn at(addresses: Range<u64>, offset: u64) -> Touched {
        Touched::new(vec![(addresses, offset)])
    }

    /// Whether a word of the loader's covers one of the bytes.
    pub(crate) fn collision(&self, word: Range<u64>) -> Option<Collision> {
        // Ranges are few and short; the first that ends behind the word's start is near.
        let (range, offset) = self
            .ranges
            .iter()
            .find(|(range, _)| range.start < word.end && word.start < range.end)?;
        let inside = word.start.saturating_sub(range.start);
        Some(Collision { offset: offset.saturating_add(inside), address: word.start })
    }

    /// The part that entries of a page's block can change.
    pub(crate) fn near_page(&self, page: u64) -> Option<Touched> {
        if !self.pages.iter().any(|pages| pages.contains(&page)) {
            return None;
        }
        let reach = page..page.saturating_add(REACH);
        let is_near = |range: &Range<u64>| range.start < reach.end && reach.start < range.end;
        let near = self.ranges.iter().filter(|(range, _)| is_near(range));
        Some(Touched::new(near.cloned().collect()))
    }
}

/// The first base relocation that covers a touched byte.
///
/// The blocks of the table are walked as the loader walks them; entries are looked at only for
/// pages that are touched.
pub(crate) fn base_relocation(image: &Image<'_>, touched: &Touched) -> Option<Collision> {
    let directory = image.directory(DirectoryKind::BaseRelocation)?;
    let (offset, left) = image.held_at(directory.address.into())?;
    let table = bytes::range(image.data(), offset, left.min(directory.size.into()))?;
    blocks(table).find_map(|(page, entries)| {
        let touched = touched.near_page(page)?;
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
        let header = u64::from_le_bytes(*rest.first_chunk()?);
        let size = usize::try_from(header >> 32).ok()?;
        let (block, behind) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        rest = behind;
        Some((header & 0xffff_ffff, block.get(BLOCK_HEADER..)?))
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

/// How far behind the start of a page its relocations can change bytes; a rewritten call, which a
/// dynamic relocation may be of, has up to 16.
const REACH: u64 = PAGE as u64 + 16;

/// The most bytes that one relocation changes.
pub(crate) const WIDEST: u64 = 8;
