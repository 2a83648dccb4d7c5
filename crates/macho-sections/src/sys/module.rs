//! A loaded image.

use std::ops::Range;
use std::path::PathBuf;

use crate::{Error, Image, Permissions, Structure};

/// An image that is loaded, as it was when the loader told of it.
///
/// It does not keep the image loaded. What it says stays true for as long as the image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Where its header is, which identifies it among the loaded ones.
    pub header: usize,
    /// What the loader added to every address of the image; it wraps around for one that was moved
    /// down.
    pub slide: usize,
    /// The path that the loader has for it; empty if it has none.
    pub path: PathBuf,
    /// Its UUID, by which it can be told from another build of the same path.
    pub uuid: Option<[u8; 16]>,
    /// Its segments.
    pub segments: Vec<ModuleSegment>,
    /// Their sections.
    pub sections: Vec<ModuleSection>,
}

/// A segment of a loaded image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSegment {
    /// Its name.
    pub name: Vec<u8>,
    /// Where it is.
    pub range: Range<usize>,
    /// What may be done with it, as its load command says.
    pub permissions: Permissions,
}

/// A section of a loaded image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSection {
    /// The name of its segment.
    pub segment: Vec<u8>,
    /// Its name.
    pub name: Vec<u8>,
    /// Where it is.
    pub range: Range<usize>,
}

impl Module {
    /// A module from what is in memory: its header with the load commands behind it, and what the
    /// loader added to every address.
    ///
    /// # Errors
    ///
    /// What [`Image::parse`] fails with, and [`Error::Absent`] if no segment has the header in it.
    pub fn new(commands: &[u8], slide: usize, path: PathBuf) -> Result<Module, Error> {
        let image = Image::parse(commands)?;
        let structure = Structure::FileHeader;
        let header = image.header_address().ok_or(Error::Absent { structure })?;
        let slid = |range: Range<u64>| slid(range.start, slide)..slid(range.end, slide);
        let segments = image.segments().iter().map(|segment| ModuleSegment {
            name: segment.name.to_vec(),
            range: slid(segment.range()),
            permissions: segment.permissions,
        });
        let sections = image.sections().iter().map(|section| ModuleSection {
            segment: section.segment_name.to_vec(),
            name: section.name.to_vec(),
            range: slid(section.range()),
        });
        Ok(Module {
            header: self::slid(header, slide),
            slide,
            path,
            uuid: image.uuid(),
            segments: segments.collect(),
            sections: sections.collect(),
        })
    }

    /// Whether an address is in one of its segments; see [`mapped`](Module::mapped).
    pub fn contains(&self, address: usize) -> bool {
        self.mapped().any(|segment| segment.range.contains(&address))
    }

    /// Its segments that are memory of its own.
    ///
    /// Not the page at address zero that nobody may touch, and not the tables behind the others:
    /// all images of the shared cache have those in common.
    pub fn mapped(&self) -> impl Iterator<Item = &ModuleSegment> {
        let is_own = |segment: &&ModuleSegment| {
            segment.permissions.0 != 0 && segment.name != b"__LINKEDIT" && !segment.range.is_empty()
        };
        self.segments.iter().filter(is_own)
    }

    /// Where a section is: what `getsectiondata` says, for segments of any name.
    pub fn section(&self, segment: &str, name: &str) -> Option<Range<usize>> {
        let is_it = |section: &&ModuleSection| {
            section.segment == segment.as_bytes() && section.name == name.as_bytes()
        };
        self.sections.iter().find(is_it).map(|section| section.range.clone())
    }

    /// Where an address of the image is in memory.
    pub fn address(&self, address: u64) -> usize {
        slid(address, self.slide)
    }

    /// Whether `image` is what it was loaded from: both have the same UUID. `None` if either has
    /// none.
    pub fn matches(&self, image: &Image<'_>) -> Option<bool> {
        Some(self.uuid? == image.uuid()?)
    }
}

/// Addresses of another process may be wider than this one's; then they are cut.
fn slid(address: u64, slide: usize) -> usize {
    (address as usize).wrapping_add(slide)
}
