//! Which file a module came from, and which build of it.

use object::elf;

use crate::image::{LoadedImage, Segment};
use crate::layout::Layout;
use crate::mapping::Mappings;
use crate::memory::{Memory, read_available};
use crate::module::Module;
use crate::pages::Pages;

impl Module {
    /// Finds the file that is mapped where the module's dynamic table is, and the build ID in the
    /// notes of its image.
    pub fn resolve<M, T>(&mut self, memory: &M, mappings: &T)
    where
        M: Memory + ?Sized,
        T: Mappings + ?Sized,
    {
        self.file = mappings.mapping_at(self.anchor).and_then(|mapping| mapping.file);
        // Headers and notes are most often on the image's first page.
        let pages = Pages::new(memory);
        self.build_id = self.image(&pages, mappings).and_then(|image| build_id(&pages, &image));
    }

    /// The module's image in memory: that whose dynamic table is the module's, or that has no
    /// table and is where the module is.
    fn image<M: Memory + ?Sized, T: Mappings + ?Sized>(
        &self,
        memory: &M,
        mappings: &T,
    ) -> Option<LoadedImage> {
        let is_it = |image: &LoadedImage| match image.dynamic() {
            Some(dynamic) => dynamic == self.dynamic,
            None => image.range().is_some_and(|range| range.contains(&self.anchor)),
        };
        // The bias is the image's first address if its own addresses begin at 0, as they do in
        // all but prelinked ones and programs with fixed addresses.
        if let Some(image) = LoadedImage::by_header(memory, self.bias).filter(is_it) {
            return Some(image);
        }
        let mut mapping = mappings.mapping_at(self.anchor)?;
        let file = mapping.file.clone()?;
        for _ in 0..MOST_MAPPINGS {
            if mapping.offset == 0
                && let Some(image) = LoadedImage::by_header(memory, mapping.range.start)
                && is_it(&image)
            {
                return Some(image);
            }
            mapping = mappings.mapping_at(mapping.range.start.checked_sub(1)?)?;
            // Between a file's mappings there may be memory of no file, but not another file.
            if mapping.file.as_ref().is_some_and(|other| *other != file) {
                return None;
            }
        }
        None
    }
}

fn build_id<M: Memory + ?Sized>(memory: &M, image: &LoadedImage) -> Option<Vec<u8>> {
    image.segments.iter().filter(|segment| segment.kind == elf::PT_NOTE.0).find_map(|segment| {
        let size = usize::try_from(segment.memory_size).unwrap_or(usize::MAX).min(MOST_NOTES);
        let bytes = read_available(memory, image.address(segment), size);
        build_id_note(image.layout, &bytes, segment)
    })
}

/// The descriptor of the note that is the build ID.
fn build_id_note(layout: Layout, bytes: &[u8], segment: &Segment) -> Option<Vec<u8>> {
    notes(layout, bytes, segment.align)
        .find(|note| note.name == b"GNU" && note.kind == elf::NT_GNU_BUILD_ID.0)
        .map(|note| note.descriptor.to_vec())
}

/// A note.
pub(crate) struct Note<'data> {
    /// Without its zero byte.
    pub(crate) name: &'data [u8],
    pub(crate) kind: u32,
    pub(crate) descriptor: &'data [u8],
}

/// The notes of a segment, up to the first that is broken. They are padded to 8 bytes where the
/// segment's alignment says so, and to 4 everywhere else.
pub(crate) fn notes(layout: Layout, bytes: &[u8], align: u64) -> impl Iterator<Item = Note<'_>> {
    let align = if align == 8 { 8 } else { 4 };
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let name_size = usize::try_from(layout.u32(rest, 0)?).ok()?;
        let size = usize::try_from(layout.u32(rest, 4)?).ok()?;
        let kind = layout.u32(rest, 8)?;
        let name_end = name_size.checked_add(12)?;
        let name = rest.get(12..name_end)?;
        let start = name_end.checked_next_multiple_of(align)?;
        let end = start.checked_add(size)?;
        let descriptor = rest.get(start..end)?;
        // The padding of the last one may be missing.
        rest = rest.get(end.checked_next_multiple_of(align)?..).unwrap_or_default();
        Some(Note { name: name.strip_suffix(b"\0").unwrap_or(name), kind, descriptor })
    })
}

/// An image has a mapping for each segment, and some are split.
const MOST_MAPPINGS: usize = 64;
const MOST_NOTES: usize = 64 * 1024;
