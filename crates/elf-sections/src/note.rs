//! Notes: the build ID, the processor features used, and whatever else tools leave in an image.

use object::elf;

use crate::layout::Layout;

/// A note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Note<'data> {
    /// Who defines what `kind` means: `GNU`, `stapsdt`, `CORE` and others, without the final zero.
    pub name: &'data [u8],
    /// What kind of note of that name it is.
    pub kind: u32,
    /// What it says.
    pub descriptor: &'data [u8],
    /// The offset of the descriptor in the file.
    pub offset: u64,
}

impl Note<'_> {
    /// Whether the descriptor is a build ID.
    pub fn is_build_id(&self) -> bool {
        self.name == b"GNU" && self.kind == elf::NT_GNU_BUILD_ID.0
    }

    /// Whether the descriptor is a list of [`Property`].
    pub fn is_property(&self) -> bool {
        self.name == b"GNU" && self.kind == elf::NT_GNU_PROPERTY_TYPE_0.0
    }
}

/// An entry of a `.note.gnu.property` note: which processor features the image uses or needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Property<'data> {
    /// `pr_type`: `GNU_PROPERTY_*`.
    pub kind: u32,
    /// What it says; of the processors' own properties, mostly 4 bytes of flags.
    pub value: &'data [u8],
}

/// The notes of a segment or section, in order, as far as they are well formed.
#[derive(Debug, Clone)]
pub(crate) struct NoteEntries<'data> {
    layout: Layout,
    bytes: &'data [u8],
    /// The offset of `bytes` in the file.
    offset: u64,
    align: usize,
}

impl<'data> NoteEntries<'data> {
    /// `align` is the segment's or section's: notes are padded to 8 bytes where it says so and to
    /// 4 everywhere else.
    pub(crate) fn new(layout: Layout, bytes: &'data [u8], offset: u64, align: u64) -> Self {
        NoteEntries { layout, bytes, offset, align: if align == 8 { 8 } else { 4 } }
    }
}

impl<'data> Iterator for NoteEntries<'data> {
    type Item = Note<'data>;

    fn next(&mut self) -> Option<Note<'data>> {
        let bytes = self.bytes;
        let name_size = usize::try_from(self.layout.u32(bytes)?).ok()?;
        let size = usize::try_from(self.layout.u32(bytes.get(4..)?)?).ok()?;
        let kind = self.layout.u32(bytes.get(8..)?)?;
        let name_end = name_size.checked_add(HEADER)?;
        let name = bytes.get(HEADER..name_end)?;
        let start = name_end.checked_next_multiple_of(self.align)?;
        let end = start.checked_add(size)?;
        let descriptor = bytes.get(start..end)?;
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        let note = Note { name, kind, descriptor, offset: self.offset.checked_add(start as u64)? };
        // The last one need not be padded.
        let next = end.checked_next_multiple_of(self.align)?;
        self.bytes = bytes.get(next..).unwrap_or_default();
        self.offset = self.offset.checked_add(next as u64)?;
        Some(note)
    }
}

/// The entries of a property note, in order, as far as they are well formed.
#[derive(Debug, Clone)]
pub(crate) struct Properties<'data> {
    layout: Layout,
    bytes: &'data [u8],
}

impl<'data> Properties<'data> {
    pub(crate) fn new(layout: Layout, descriptor: &'data [u8]) -> Self {
        Properties { layout, bytes: descriptor }
    }
}

impl<'data> Iterator for Properties<'data> {
    type Item = Property<'data>;

    fn next(&mut self) -> Option<Property<'data>> {
        let kind = self.layout.u32(self.bytes)?;
        let size = usize::try_from(self.layout.u32(self.bytes.get(4..)?)?).ok()?;
        let end = size.checked_add(8)?;
        let value = self.bytes.get(8..end)?;
        let next = end.checked_next_multiple_of(self.layout.word_size())?;
        self.bytes = self.bytes.get(next..).unwrap_or_default();
        Some(Property { kind, value })
    }
}

/// The size of a note's header in both classes.
const HEADER: usize = 12;
