//! What tools have noted in an image.

use super::Image;
use crate::debug_link::DebugLink;
use crate::note::{Note, NoteEntries, Properties, Property};
use crate::section::SectionKind;
use crate::segment::SegmentKind;

impl<'data> Image<'data> {
    /// The notes of the segments, and of the sections that are in none of them.
    ///
    /// Of very many note segments or sections only the first are read, and of very long ones only
    /// the start, so that overlapping ones cost no more than the image is long.
    pub fn notes(&self) -> impl Iterator<Item = Note<'data>> {
        let segments = || {
            self.segments
                .iter()
                .filter(|segment| segment.kind == SegmentKind::NOTE)
                .take(MOST_NOTES)
        };
        let is_in_segment = move |offset: u64| {
            segments().any(|it| {
                offset.checked_sub(it.offset).is_some_and(|skipped| skipped < it.file_size)
            })
        };
        let of_segments =
            segments().map(|segment| (segment.offset, segment.file_size, segment.align));
        let of_sections = self
            .sections
            .iter()
            .filter(|section| section.kind == SectionKind::NOTE)
            .map(|section| (section.offset, section.size, section.align))
            .filter(move |&(offset, ..)| !is_in_segment(offset));
        of_segments.chain(of_sections).take(MOST_NOTES).flat_map(|(offset, size, align)| {
            let bytes = self.data.up_to(offset, size.min(LARGEST_NOTES));
            NoteEntries::new(self.layout, bytes, offset, align)
        })
    }

    /// The build ID, from a note that is mapped, else from a note section.
    pub fn build_id(&self) -> Option<&'data [u8]> {
        self.notes().find(Note::is_build_id).map(|note| note.descriptor)
    }

    /// What `.note.gnu.property` says.
    pub fn properties(&self) -> impl Iterator<Item = Property<'data>> {
        let note = self.notes().find(Note::is_property);
        Properties::new(self.layout, note.map(|note| note.descriptor).unwrap_or_default())
    }

    /// `.gnu_debuglink`: which file has the debugging information that was taken out of this one.
    pub fn debug_link(&self) -> Option<DebugLink<'data>> {
        let section = self.sections_named(".gnu_debuglink").next()?;
        DebugLink::parse(self.layout, self.section_bytes(section)?)
    }
}

/// Two or three are usual; core files have one that is long.
const MOST_NOTES: usize = 64;

/// Notes of shared objects are some hundred bytes, those of core files some kilobytes a thread.
const LARGEST_NOTES: u64 = 1 << 24;
