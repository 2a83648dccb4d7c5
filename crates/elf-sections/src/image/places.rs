//! From addresses to segments, sections and bytes of the file.

use std::ops::Range;

use super::Image;
use super::cover::Cover;
use crate::section::{Section, SectionKind};
use crate::segment::{Segment, SegmentKind};

/// Where the headers of an image are that has many of them.
#[derive(Debug, Clone)]
pub(super) struct Covers {
    loads: Cover,
    /// Of the segments, what the file has bytes for.
    stored: Cover,
    sections: Cover,
    relro: Option<Range<u64>>,
}

impl<'data> Image<'data> {
    /// The section that an address is in. `.tbss` is in none: its addresses are those of the
    /// sections behind it.
    pub fn section_at(&self, address: u64) -> Option<&Section<'data>> {
        let Some(covers) = self.covers() else {
            let mut addressable = self.sections.iter().filter(|it| it.is_addressable());
            return addressable.find(|section| section.range().contains(&address));
        };
        self.sections.get(covers.sections.first_at(address)?)
    }

    /// The `PT_LOAD` segment that an address is in.
    pub fn segment_at(&self, address: u64) -> Option<&Segment> {
        match self.covers() {
            Some(covers) => self.segments.get(covers.loads.first_at(address)?),
            None => self.loads().find(|segment| segment.range().contains(&address)),
        }
    }

    /// A section's bytes in the file: empty for `NOBITS`, `None` where the file ends too early.
    pub fn section_bytes(&self, section: &Section<'_>) -> Option<&'data [u8]> {
        match section.file_range() {
            Some((offset, size)) => self.data.get(offset, size),
            None => Some(&[]),
        }
    }

    /// The file's bytes of a range of addresses, which must lie in one segment. `None` for zeros
    /// that only exist in memory, for what is mapped by no segment, and where the file ends too
    /// early.
    pub fn bytes_at(&self, address: u64, length: u64) -> Option<&'data [u8]> {
        self.data.get(self.offset_of(address, length)?, length)
    }

    /// The file's offset of a range of addresses, under the same conditions.
    pub fn offset_of(&self, address: u64, length: u64) -> Option<u64> {
        let (segment, skipped) = self.backing(address)?;
        let left = segment.file_size.checked_sub(skipped)?;
        let offset = segment.offset.checked_add(skipped)?;
        (length <= left && offset.checked_add(length)? <= self.data.len()).then_some(offset)
    }

    /// The file's bytes from an address to the end of its segment.
    pub(crate) fn bytes_from(&self, address: u64) -> Option<&'data [u8]> {
        self.bytes_up_to(address, u64::MAX)
    }

    /// The same, at most `most` bytes of them.
    pub(crate) fn bytes_up_to(&self, address: u64, most: u64) -> Option<&'data [u8]> {
        let (segment, skipped) = self.backing(address)?;
        let offset = segment.offset.checked_add(skipped)?;
        let left = segment.file_size.checked_sub(skipped)?.min(most);
        self.data.get(offset, left.min(self.data.len().checked_sub(offset)?))
    }

    /// The segments that the loader maps.
    pub(crate) fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.is_load())
    }

    /// The addresses from the first segment's start to the last one's end, before the load bias is
    /// added. `None` for an image that maps nothing.
    pub fn range(&self) -> Option<Range<u64>> {
        let start = self.loads().map(|segment| segment.address).min()?;
        let end = self.loads().map(|segment| segment.range().end).max()?;
        Some(start..end)
    }

    /// What the loader makes read-only after relocation, where its pages are 4 KiB.
    ///
    /// The loader protects whole pages: both ends are rounded down, so that a tail of the
    /// [whole range](Image::relro_segment) stays writable. `None` for an image without.
    pub fn relro(&self) -> Option<Range<u64>> {
        self.relro_with_page(4096)
    }

    /// What the loader makes read-only after relocation, with pages of `page` bytes.
    ///
    /// `None` for an image without, and where `page` is no power of two.
    pub fn relro_with_page(&self, page: u64) -> Option<Range<u64>> {
        let whole = self.relro_segment()?;
        if !page.is_power_of_two() {
            return None;
        }
        let mask = !page.wrapping_sub(1);
        Some(whole.start & mask..whole.end & mask)
    }

    /// The whole range of `PT_GNU_RELRO`: the GOT, the dynamic table and constants that needed
    /// relocation. None of it is a program's state, protected or not.
    pub fn relro_segment(&self) -> Option<Range<u64>> {
        match self.covers() {
            Some(covers) => covers.relro.clone(),
            None => self.segment(SegmentKind::GNU_RELRO).map(Segment::range),
        }
    }

    /// The thread-local storage segment: its bytes are each thread's initial values.
    pub fn tls(&self) -> Option<&Segment> {
        self.segment(SegmentKind::TLS)
    }

    /// What is found faster than by going through all headers, where there are many.
    fn covers(&self) -> Option<&Covers> {
        if self.segments.len().max(self.sections.len()) <= FEW {
            return None;
        }
        let covers = self.covers.get_or_init(|| {
            let segments = self.segments.iter().enumerate();
            let loads = segments.filter(|(_, segment)| segment.is_load());
            let stored = loads.clone().map(|(place, segment)| (place, segment.stored()));
            let sections = self.sections.iter().enumerate();
            let sections = sections.filter(|(_, section)| section.is_addressable());
            Box::new(Covers {
                stored: Cover::new(stored),
                loads: Cover::new(loads.map(|(place, segment)| (place, segment.range()))),
                sections: Cover::new(sections.map(|(place, section)| (place, section.range()))),
                relro: self.segment(SegmentKind::GNU_RELRO).map(Segment::range),
            })
        });
        Some(covers)
    }

    /// The segment whose bytes in the file an address is among, and how far in.
    fn backing(&self, address: u64) -> Option<(&Segment, u64)> {
        let segment = match self.covers() {
            Some(covers) => self.segments.get(covers.stored.first_at(address)?)?,
            None => self.loads().find(|segment| segment.stored().contains(&address))?,
        };
        Some((segment, address.checked_sub(segment.address)?))
    }
}

impl Segment {
    /// The addresses of what the file has bytes for.
    fn stored(&self) -> Range<u64> {
        self.address..self.address.saturating_add(self.file_size)
    }
}

impl Section<'_> {
    /// Offset and size in the file, if it has bytes there.
    pub(crate) fn file_range(&self) -> Option<(u64, u64)> {
        let absent = self.kind == SectionKind::NULL || self.kind == SectionKind::NOBITS;
        (!absent).then_some((self.offset, self.size))
    }
}

/// Up to so many are gone through one by one.
const FEW: usize = 64;
