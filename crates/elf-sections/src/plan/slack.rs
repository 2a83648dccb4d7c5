//! The unused rest of a segment's last page.

use std::ops::Range;

use crate::writable::merged;
use crate::{Image, Permissions, Section, Segment};

/// A read-only segment with so many unused bytes behind it in its last page, in the file and in
/// memory.
pub(super) fn find(image: &Image<'_>, size: u64) -> Option<(usize, Segment)> {
    let occupied = Occupied::new(image, |_| true);
    image.segments().iter().enumerate().find_map(|(index, segment)| {
        let only_read = segment.permissions == Permissions(4);
        let is_stored = segment.file_size != 0 && segment.file_size == segment.memory_size;
        if !segment.is_load() || !only_read || !is_stored {
            return None;
        }
        let start = segment.address.checked_add(segment.file_size)?;
        let page = start.checked_next_multiple_of(PAGE)?;
        let from = segment.offset.checked_add(segment.file_size)?;
        let until = from.checked_add(size)?;
        let is_free = start.checked_add(size)? <= page
            && !occupied.has_start_in(start..page)
            && !occupied.has_bytes_in(from..until);
        let bytes = image.data.get(from, size).filter(|_| is_free)?;
        bytes.iter().all(|&byte| byte == 0).then_some((index, *segment))
    })
}

/// Whether a section that nothing maps has its bytes for itself alone.
pub(super) fn is_alone(image: &Image<'_>, section: &Section<'_>) -> bool {
    let others = Occupied::new(image, |other| other.index != section.index);
    section
        .file_range()
        .is_some_and(|(start, size)| !others.has_bytes_in(start..start.saturating_add(size)))
}

/// What segments, sections and headers occupy, sorted once: an image may have very many of them.
struct Occupied {
    /// Where segments start in memory, ascending.
    starts: Vec<u64>,
    /// What of the file is spoken of, ascending and disjoint.
    bytes: Vec<Range<u64>>,
}

impl Occupied {
    /// Of the sections those that are `wanted`.
    fn new(image: &Image<'_>, wanted: impl Fn(&Section<'_>) -> bool) -> Occupied {
        let (header, layout) = (image.header(), image.layout);
        let mut starts: Vec<u64> = image.loads().map(|load| load.address).collect();
        starts.sort_unstable();
        let table = |offset, count: u64, size: usize| (offset, count.saturating_mul(size as u64));
        let tables = [
            (0, layout.header_size() as u64),
            table(header.section_headers, header.section_header_count, layout.section_size()),
            table(
                header.program_headers,
                u64::from(header.program_header_count),
                layout.segment_size(),
            ),
        ];
        let segments = image.segments().iter().map(|it| (it.offset, it.file_size));
        let sections = image.sections().iter().filter(|it| wanted(it));
        let sections = sections.filter_map(Section::file_range);
        let all = segments.chain(sections).chain(tables);
        let bytes = merged(all.map(|(start, size)| start..start.saturating_add(size)).collect());
        Occupied { starts, bytes }
    }

    fn has_start_in(&self, range: Range<u64>) -> bool {
        let position = self.starts.partition_point(|&start| start < range.start);
        self.starts.get(position).is_some_and(|&start| start < range.end)
    }

    fn has_bytes_in(&self, range: Range<u64>) -> bool {
        let position = self.bytes.partition_point(|bytes| bytes.end <= range.start);
        self.bytes.get(position).is_some_and(|bytes| bytes.start < range.end)
    }
}

/// The smallest page of any processor.
pub(super) const PAGE: u64 = 4096;
