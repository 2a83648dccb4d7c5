//! Where addresses lie in the image, and where offsets lie in memory.

use std::ops::Range;

use super::cover::Cover;
use super::{Image, file_range};
use crate::Structure;
use crate::header::FileKind;
use crate::section::{Section, SectionKind};
use crate::segment::Segment;

/// Where the headers of an image are that has many of them.
#[derive(Debug, Clone)]
pub(super) struct Covers {
    segments: Cover,
    /// Of the segments, what the file has bytes for.
    stored: Cover,
    sections: Cover,
}

impl<'data> Image<'data> {
    /// The section that holds an address, before the slide is added. Where sections overlap, the
    /// first in the file's order.
    pub fn section_at(&self, address: u64) -> Option<&Section<'data>> {
        match self.covers() {
            Some(covers) => self.sections().get(covers.sections.first_at(address)?),
            None => self.sections().iter().find(|section| section.range().contains(&address)),
        }
    }

    /// The segment that holds an address, before the slide is added. Where segments overlap, the
    /// first in the file's order.
    pub fn segment_at(&self, address: u64) -> Option<&Segment<'data>> {
        match self.covers() {
            Some(covers) => self.segments().get(covers.segments.first_at(address)?),
            None => self.segments().iter().find(|segment| segment.range().contains(&address)),
        }
    }

    /// A section's bytes in the image. `None` if it is zero-fill, if the image is the debugging
    /// information of another and does not have them, or if they are not there.
    pub fn section_bytes(&self, section: &Section<'_>) -> Option<&'data [u8]> {
        let (offset, size) = self.file_range_of(section)?;
        file_range(Structure::Section, self.data, offset, size).ok()
    }

    /// The image's bytes at an address, before the slide is added. `None` unless all of them are
    /// in the file.
    pub fn bytes_at(&self, address: u64, length: u64) -> Option<&'data [u8]> {
        let offset = self.offset_of(address, length)?;
        file_range(Structure::Segment, self.data, offset, length).ok()
    }

    /// Where the bytes at an address are in the image. `None` unless all of them are.
    pub fn offset_of(&self, address: u64, length: u64) -> Option<u64> {
        let segment = match self.covers() {
            Some(covers) => self.segments().get(covers.stored.first_at(address)?)?,
            None => self.segments().iter().find(|segment| stored(segment).contains(&address))?,
        };
        let left = stored(segment).end.checked_sub(address)?;
        let offset = segment.offset.checked_add(address.checked_sub(segment.address)?)?;
        let is_there = length <= left && offset.checked_add(length)? <= self.data.len() as u64;
        is_there.then_some(offset)
    }

    /// What is found faster than by going through all headers, where there are many.
    fn covers(&self) -> Option<&Covers> {
        if self.segments().len().max(self.sections().len()) <= FEW {
            return None;
        }
        let segments = || self.segments().iter();
        Some(self.covers.get_or_init(|| {
            Box::new(Covers {
                segments: Cover::new(segments().map(Segment::range)),
                stored: Cover::new(segments().map(stored)),
                sections: Cover::new(self.sections().iter().map(Section::range)),
            })
        }))
    }

    /// The addresses from the first segment's start to the last one's end, before the slide is
    /// added; the inaccessible page at address zero is not among them. `None` for an image without
    /// segments.
    pub fn range(&self) -> Option<Range<u64>> {
        let mapped = || self.segments().iter().filter(|segment| segment.maximum.0 != 0);
        let start = mapped().map(|segment| segment.address).min()?;
        let end = mapped().map(|segment| segment.range().end).max()?;
        Some(start..end)
    }

    /// Where the image's header is in memory, before the slide is added: the start of the segment
    /// that starts the file. The slide is what is added to it.
    pub fn header_address(&self) -> Option<u64> {
        let text = |segment: &&Segment<'_>| segment.offset == 0 && segment.file_size != 0;
        let found = self.segments().iter().find(text).or_else(|| self.segment("__TEXT"));
        found.map(|segment| segment.address)
    }

    /// Offset and size in the file, if the section has bytes there.
    ///
    /// Debugging information (`MH_DSYM`) and stubs of libraries keep the section headers of the
    /// image they are about, with offsets into nothing: only what lies in the bytes of its segment
    /// is really there.
    pub(crate) fn file_range_of(&self, section: &Section<'_>) -> Option<(u64, u64)> {
        if section.is_zero_fill() {
            return None;
        }
        let kind = self.header().kind;
        if kind == FileKind::DSYM || kind == FileKind::DYLIB_STUB {
            let segment = self.segments().get(usize::try_from(section.segment).ok()?)?;
            let skipped = section.offset.checked_sub(segment.offset)?;
            if skipped.checked_add(section.size)? > segment.file_size {
                return None;
            }
        }
        Some((section.offset, section.size))
    }

    /// Whether a section is code, constants or debugging information by what it says itself. In an
    /// object file that is all there is to go by: its one segment allows everything.
    pub(crate) fn is_read_only_by_name(section: &Section<'_>) -> bool {
        matches!(section.segment_name, b"__TEXT" | b"__LD" | b"__LLVM" | b"__DWARF" | b"__LINKEDIT")
            || section.flags.is_debug()
            || (section.flags.has_instructions() && section.kind != SectionKind::SYMBOL_STUBS)
    }
}

/// The addresses of what the file has bytes for.
fn stored(segment: &Segment<'_>) -> Range<u64> {
    let size = segment.file_size.min(segment.memory_size);
    segment.address..segment.address.saturating_add(size)
}

/// Up to so many are gone through one by one.
const FEW: usize = 64;
