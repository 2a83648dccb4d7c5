//! Which file a module came from, and which build of it.

use object::elf;

use crate::image::{LoadedImage, Segment};
use crate::layout::Layout;
use crate::mapping::{Mapping, Mappings};
use crate::memory::{Memory, ReadError, read_available};
use crate::module::Module;
use crate::ration::Ration;

impl Module {
    /// Finds the file that is mapped where the module's dynamic table is, and the build ID in the
    /// notes of its image.
    ///
    /// Of an image no more than 4 MiB of headers and 1 MiB of notes are read, and no more than 64
    /// segments of notes are looked at.
    pub fn resolve<M, T>(&mut self, memory: &M, mappings: &T)
    where
        M: Memory + ?Sized,
        T: Mappings + ?Sized,
    {
        resolve_all([self].into_iter(), memory, mappings);
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
            mapping = mapping_below(mappings, mapping.range.start)?;
            // Between a file's mappings there may be memory of no file, but not another file.
            if mapping.file.as_ref().is_some_and(|other| *other != file) {
                return None;
            }
        }
        None
    }
}

/// Finds files and build IDs, of many modules for less than of each alone.
pub(crate) fn resolve_all<'modules, M, T>(
    mut modules: impl Iterator<Item = &'modules mut Module>,
    memory: &M,
    mappings: &T,
) where
    M: Memory + ?Sized,
    T: Mappings + ?Sized,
{
    let memory = &Ration::new(memory, MOST_BYTES);
    let mut starts = Starts::new(memory);
    loop {
        let batch: Vec<&mut Module> = modules.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return;
        }
        starts.read(batch.iter().map(|module| module.bias));
        for module in batch {
            module.file = mappings.mapping_at(module.anchor).and_then(|mapping| mapping.file);
            let image = module.image(&Ration::new(&starts, MOST_HEADERS), mappings);
            let notes = Ration::new(&starts, MOST_NOTES);
            module.build_id = image.and_then(|image| build_id(&notes, &image));
        }
    }
}

/// The first bytes of images, where headers and notes are, read all at once; and the memory that
/// has everything else.
struct Starts<'memory, M: ?Sized> {
    memory: &'memory M,
    /// Where images start, by address, and where their bytes are.
    starts: Vec<(u64, usize)>,
    bytes: Vec<u8>,
}

impl<'memory, M: Memory + ?Sized> Starts<'memory, M> {
    fn new(memory: &'memory M) -> Starts<'memory, M> {
        Starts { memory, starts: Vec::new(), bytes: Vec::new() }
    }

    /// Reads these starts, in place of those that were read before.
    fn read(&mut self, addresses: impl Iterator<Item = u64>) {
        self.starts.clear();
        self.starts.extend(addresses.map(|address| (address, 0)));
        self.starts.sort_unstable();
        self.starts.dedup();
        self.bytes.resize(self.starts.len().saturating_mul(START_SIZE), 0);
        let places = (0..).step_by(START_SIZE);
        self.starts.iter_mut().zip(places).for_each(|(start, place)| start.1 = place);
        let mut reads: Vec<(u64, &mut [u8])> = self
            .starts
            .iter()
            .zip(self.bytes.chunks_exact_mut(START_SIZE))
            .map(|((address, _), bytes)| (*address, bytes))
            .collect();
        let mut rest = reads.as_mut_slice();
        let mut missing = Vec::new();
        // Where no image starts at the bias, or a short one, reading goes on behind it.
        while let Err(error) = self.memory.read_many(rest) {
            let at = rest.iter().position(|(address, _)| *address == error.address);
            let count = at.map_or(rest.len(), |at| at.saturating_add(1));
            let (failed, behind) = rest.split_at_mut(count);
            let first_missing = at.unwrap_or(0);
            missing.extend(failed.iter().skip(first_missing).map(|(address, _)| *address));
            rest = behind;
        }
        self.starts.retain(|(address, _)| !missing.contains(address));
    }
}

impl<M: Memory + ?Sized> Memory for Starts<'_, M> {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let next = self.starts.partition_point(|(start, _)| *start <= address);
        let known = next.checked_sub(1).and_then(|index| {
            let (start, place) = self.starts.get(index)?;
            let bytes = self.bytes.get(*place..)?.get(..START_SIZE)?;
            let offset = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(offset..)?.get(..buffer.len())
        });
        match known {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => self.memory.read_exact_at(address, buffer),
        }
    }
}

fn build_id<M: Memory + ?Sized>(memory: &M, image: &LoadedImage) -> Option<Vec<u8>> {
    let of_notes = image.segments.iter().filter(|segment| segment.kind == elf::PT_NOTE.0);
    of_notes.take(MOST_NOTE_SEGMENTS).find_map(|segment| {
        let size = usize::try_from(segment.memory_size).unwrap_or(usize::MAX).min(MOST_OF_SEGMENT);
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

/// The mapping below an address. Between those of one image there is a hole where its segments are
/// farther apart than pages are large, as AArch64's are by 64 KiB.
fn mapping_below<T: Mappings + ?Sized>(mappings: &T, start: u64) -> Option<Mapping> {
    let last = start.checked_sub(1)?;
    let mut holes = (0..LARGEST_HOLE).step_by(PAGE);
    holes.find_map(|hole| mappings.mapping_at(last.checked_sub(hole as u64)?))
}

/// ELF header, a dozen program headers and a build ID.
const START_SIZE: usize = 1024;
const BATCH: usize = 64;
/// Twice the alignment of segments that linkers choose for pages of up to 64 KiB.
const LARGEST_HOLE: usize = 128 << 10;
/// The smallest page.
const PAGE: usize = 4096;
/// An image has a mapping for each segment, and some are split.
const MOST_MAPPINGS: usize = 64;
/// Linkers make a segment of notes for each alignment, and their notes are of a few dozen bytes.
const MOST_NOTE_SEGMENTS: usize = 64;
const MOST_OF_SEGMENT: usize = 64 << 10;
/// Of one image, all segments together.
const MOST_NOTES: usize = 1 << 20;
/// As many program headers as there can be, of the larger kind, and some that were not the image's.
const MOST_HEADERS: usize = 4 << 20;
/// Of one module, with the start that is read ahead.
#[cfg(feature = "oracle")]
pub(crate) const MOST_OF_MODULE: usize = START_SIZE + MOST_HEADERS + MOST_NOTES;
/// Of all images together.
pub(crate) const MOST_BYTES: usize = 256 << 20;
