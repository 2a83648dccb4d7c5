//! An image: headers read and resolved, everything else read when asked for.

mod cover;
mod identity;
mod linkedit;
mod parse;
mod places;

use std::sync::OnceLock;

use self::places::Covers;
use crate::command::Commands;
use crate::header::Header;
use crate::layout::Layout;
use crate::section::Section;
use crate::segment::Segment;
use crate::{Error, Structure};

/// A Mach-O image for one processor: a thin file, or a slice of a fat one.
///
/// Its headers and load commands have been read and are consistent with each other; what they
/// point to is read when asked for, and may turn out to be missing.
#[derive(Debug, Clone)]
pub struct Image<'data> {
    pub(crate) data: &'data [u8],
    pub(crate) base: u64,
    pub(crate) layout: Layout,
    header: Header,
    segments: Vec<Segment<'data>>,
    sections: Vec<Section<'data>>,
    covers: OnceLock<Box<Covers>>,
}

impl<'data> Image<'data> {
    /// Reads the header and the load commands of a thin image.
    ///
    /// The bytes may be those of a loaded image from its header to the end of its load commands;
    /// then nothing can be had that lies elsewhere in the file.
    ///
    /// # Errors
    ///
    /// [`Error::NotMachO`], [`Error::JavaClass`] and [`Error::Fat`] for other files,
    /// [`Error::Malformed`] where a command contradicts itself, and errors that
    /// [are incomplete](Error::is_incomplete) where the bytes end before the commands do.
    pub fn parse(data: &'data [u8]) -> Result<Image<'data>, Error> {
        parse::image(data, 0)
    }

    /// Reads a slice that starts at `base` of its file.
    pub(crate) fn at(data: &'data [u8], base: u64) -> Result<Image<'data>, Error> {
        parse::image(data, base)
    }

    /// How many bytes the header and the load commands of an image take, from the header's start.
    #[cfg(target_os = "macos")]
    pub(crate) fn loaded_size(start: &[u8]) -> Option<usize> {
        let layout = Layout::of(*start.first_chunk()?)?;
        // The size of the commands is at the same place in both classes.
        let commands = layout.u32(start.get(20..)?)?;
        layout.header_size().checked_add(usize::try_from(commands).ok()?)
    }

    /// The bytes the image was read from: the file, or the slice of it.
    pub fn data(&self) -> &'data [u8] {
        self.data
    }

    /// Where the image starts in its file: 0, unless it is a slice.
    ///
    /// Every offset that the image speaks of is counted from here. Plans are for the whole file
    /// and have it added.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The load commands, in the file's order.
    pub fn commands(&self) -> Commands<'data> {
        let bytes = self.data.get(self.layout.header_size()..).unwrap_or_default();
        let size = usize::try_from(self.header.commands_size).unwrap_or(usize::MAX);
        let bytes = bytes.get(..size).unwrap_or(bytes);
        Commands::new(self.layout, bytes, self.header.command_count)
    }

    /// The segments, in the file's order.
    pub fn segments(&self) -> &[Segment<'data>] {
        &self.segments
    }

    /// The first segment of a name.
    pub fn segment(&self, name: &str) -> Option<&Segment<'data>> {
        self.segments.iter().find(|segment| segment.name == name.as_bytes())
    }

    /// The sections of all segments, in the file's order.
    pub fn sections(&self) -> &[Section<'data>] {
        &self.sections
    }

    /// The sections that a segment's command holds.
    pub fn sections_of(&self, segment: &Segment<'_>) -> &[Section<'data>] {
        let (start, count) = (segment.first_section as usize, segment.section_count as usize);
        self.sections.get(start..).and_then(|rest| rest.get(..count)).unwrap_or_default()
    }

    /// Every section of a name, whatever its segment: there may be several.
    pub fn sections_named(&self, name: &str) -> impl Iterator<Item = &Section<'data>> {
        self.sections.iter().filter(move |section| section.name == name.as_bytes())
    }

    /// The first section of a name in a segment of a name.
    pub fn section(&self, segment: &str, name: &str) -> Option<&Section<'data>> {
        self.sections_named(name).find(|section| section.segment_name == segment.as_bytes())
    }

    /// Whether every byte that the segments and sections speak of is there.
    ///
    /// # Errors
    ///
    /// [`Error::Short`] for the first segment or section that reaches beyond the end,
    /// [`Error::Malformed`] where a range wraps around.
    pub fn check_extent(&self) -> Result<(), Error> {
        for segment in &self.segments {
            self.check_range(Structure::Segment, segment.offset, segment.file_size)?;
        }
        for section in &self.sections {
            if let Some((offset, size)) = self.file_range_of(section) {
                self.check_range(Structure::Section, offset, size)?;
            }
        }
        Ok(())
    }

    fn check_range(&self, structure: Structure, offset: u64, size: u64) -> Result<(), Error> {
        if size == 0 { Ok(()) } else { file_range(structure, self.data, offset, size).map(|_| ()) }
    }
}

/// The bytes of a range of the file.
pub(crate) fn file_range(
    structure: Structure,
    data: &[u8],
    offset: u64,
    size: u64,
) -> Result<&[u8], Error> {
    if offset.checked_add(size).is_none() {
        let what = "its size reaches beyond every address";
        return Err(Error::Malformed { structure, at: offset, what, found: size });
    }
    let bytes = usize::try_from(offset)
        .ok()
        .and_then(|start| data.get(start..)?.get(..usize::try_from(size).ok()?));
    bytes.ok_or(Error::Short { structure, wanted: size, offset, end: data.len() as u64 })
}
