//! An image: headers read and resolved, everything else read when asked for.

mod contents;
mod cover;
mod dynamics;
mod notes;
pub(crate) mod parse;
mod places;
mod symbols;
mod tables;
mod variables;
mod versions;

use std::sync::OnceLock;

use self::places::Covers;
use crate::bytes::Bytes;
use crate::dynamic::Dynamic;
use crate::header::Header;
use crate::layout::Layout;
use crate::section::Section;
use crate::segment::{Segment, SegmentKind};
use crate::{Error, Structure};

/// An ELF image.
///
/// Its headers have been read and are consistent with the bytes there are; what they point to is
/// read when asked for, and may turn out to be missing. [`verdict`](crate::verdict) is what tells
/// whether an image would load.
#[derive(Debug, Clone)]
pub struct Image<'data> {
    pub(crate) data: Bytes<'data>,
    pub(crate) layout: Layout,
    header: Header,
    segments: Vec<Segment>,
    sections: Vec<Section<'data>>,
    dynamic: OnceLock<Vec<Dynamic>>,
    covers: OnceLock<Box<Covers>>,
}

impl<'data> Image<'data> {
    /// Reads the headers of an image.
    ///
    /// # Errors
    ///
    /// [`Error::NotElf`], [`Error::Malformed`] where a header contradicts itself, and errors that
    /// [are incomplete](Error::is_incomplete) where the bytes end before a header table does.
    pub fn parse(data: &'data [u8]) -> Result<Image<'data>, Error> {
        parse::image(Bytes::Whole(data))
    }

    /// The bytes the image was read from. Of a [`Source`](crate::Source) this reads all; they are
    /// empty if that fails.
    pub fn data(&self) -> &'data [u8] {
        self.data.up_to(0, u64::MAX)
    }

    /// The ELF header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The program headers, in the file's order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The first program header of a kind.
    pub fn segment(&self, kind: SegmentKind) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.kind == kind)
    }

    /// The section headers, in the file's order, the unused first one among them; empty for an
    /// image without.
    pub fn sections(&self) -> &[Section<'data>] {
        &self.sections
    }

    /// Every section of a name: there may be several.
    pub fn sections_named(&self, name: &str) -> impl Iterator<Item = &Section<'data>> {
        self.sections.iter().filter(move |section| section.name == name.as_bytes())
    }

    /// The entries of the dynamic table, without the one that ends it. Empty for an image without.
    pub fn dynamic(&self) -> &[Dynamic] {
        self.dynamic.get_or_init(|| parse::dynamic(self))
    }

    /// Whether every byte that the headers speak of is there.
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
            if let Some((offset, size)) = section.file_range() {
                self.check_range(Structure::Section, offset, size)?;
            }
        }
        Ok(())
    }

    pub(crate) fn check_range(
        &self,
        structure: Structure,
        offset: u64,
        wanted: u64,
    ) -> Result<(), Error> {
        let end = self.data.len();
        match offset.checked_add(wanted) {
            _ if wanted == 0 => Ok(()),
            Some(last) if last <= end => Ok(()),
            Some(_) => Err(Error::Short { structure, wanted, offset, end }),
            None => {
                let what = "its size reaches beyond every address";
                Err(Error::Malformed { structure, at: offset, what, found: wanted })
            }
        }
    }
}
