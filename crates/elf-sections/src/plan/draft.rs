//! A plan in the making: the tables that several changes may touch, and what is appended.

use patch_plan::Plan;

use crate::bytes::Bytes;
use crate::layout::Layout;
use crate::{Class, Error, Image, Segment, Structure};

/// An image with changes that are not edits yet.
pub(super) struct Draft<'image, 'data> {
    pub(super) image: &'image Image<'data>,
    pub(super) segments: Table,
    pub(super) sections: Table,
    pub(super) dynamic: Table,
    /// Offsets and new bytes, in no order. Many put into a plan one before the other would all
    /// have to move each time.
    replaced: Vec<(u64, Vec<u8>)>,
    appended: Vec<u8>,
}

/// A table of headers or entries, which may get more of them.
pub(super) struct Table {
    structure: Structure,
    /// Where it was read from.
    pub(super) offset: u64,
    pub(super) entry_size: usize,
    pub(super) bytes: Vec<u8>,
    /// Whether it is appended elsewhere, and stays as it was where it is.
    pub(super) has_moved: bool,
}

impl<'image, 'data> Draft<'image, 'data> {
    pub(super) fn new(image: &'image Image<'data>) -> Result<Draft<'image, 'data>, Error> {
        let (header, layout) = (image.header(), image.layout);
        let dynamic = image.segment(crate::SegmentKind::DYNAMIC);
        let table = |structure, offset, count: u64, entry_size: usize| {
            Table::read(image.data, structure, offset, count, entry_size)
        };
        let dynamic_size = layout.dynamic_size();
        // A file with nothing but debugging information has the header and not the bytes.
        let present = dynamic.map_or(&[][..], |it| image.data.up_to(it.offset, it.file_size));
        let dynamic_count = present.len().checked_div(dynamic_size).unwrap_or(0) as u64;
        Ok(Draft {
            image,
            segments: table(
                Structure::ProgramHeaders,
                header.program_headers,
                u64::from(header.program_header_count),
                layout.segment_size(),
            )?,
            sections: table(
                Structure::SectionHeaders,
                header.section_headers,
                header.section_header_count,
                layout.section_size(),
            )?,
            dynamic: table(
                Structure::DynamicTable,
                dynamic.map_or(0, |it| it.offset),
                dynamic_count,
                dynamic_size,
            )?,
            replaced: Vec::new(),
            appended: Vec::new(),
        })
    }

    /// Replaces bytes of the file that belong to none of the tables.
    pub(super) fn replace(&mut self, offset: u64, new: &[u8]) -> Result<(), Error> {
        old(self.image.data, offset, new.len() as u64)?;
        self.replaced.push((offset, new.to_vec()));
        Ok(())
    }

    /// Where the next appended byte would be.
    pub(super) fn end(&self) -> u64 {
        self.image.data.len().saturating_add(self.appended.len() as u64)
    }

    /// Appends zeros up to an offset that is not before the end.
    pub(super) fn pad_to(&mut self, offset: u64) {
        let missing = usize::try_from(offset.saturating_sub(self.end())).unwrap_or(0);
        self.appended.resize(self.appended.len().saturating_add(missing), 0);
    }

    /// Appends bytes and says where they are.
    pub(super) fn append(&mut self, bytes: &[u8]) -> u64 {
        let offset = self.end();
        self.appended.extend_from_slice(bytes);
        offset
    }

    /// A field of the file header: the narrower class's offset and the wider one's.
    pub(super) fn set_header(&mut self, narrow: u64, wide: u64, new: &[u8]) -> Result<(), Error> {
        let offset = match self.image.layout.class {
            Class::Elf32 => narrow,
            Class::Elf64 => wide,
        };
        self.replace(offset, new)
    }

    /// Where a field of a section header changes: address, offset and size.
    pub(super) fn set_section(
        &mut self,
        index: u32,
        address: Option<u64>,
        offset: u64,
        size: u64,
    ) -> Result<(), Error> {
        let layout = self.image.layout;
        // sh_addr, sh_offset and sh_size follow each other.
        let (first, word) = match layout.class {
            Class::Elf32 => (12_usize, 4_usize),
            Class::Elf64 => (16, 8),
        };
        let values = [address, Some(offset), Some(size)];
        for (place, value) in values.into_iter().enumerate() {
            let Some(value) = value else { continue };
            let at = place.saturating_mul(word).saturating_add(first);
            self.sections.set(index as usize, at, &layout.word_bytes(value))?;
        }
        Ok(())
    }

    /// The edits.
    pub(super) fn finish(mut self) -> Result<Plan, Error> {
        for table in [&self.segments, &self.sections, &self.dynamic] {
            if !table.has_moved {
                table.put_changes(&mut self.replaced, self.image);
            }
        }
        self.replaced.sort_by_key(|(offset, _)| *offset);
        let mut plan = Plan::new();
        for (offset, new) in self.replaced {
            let wanted = new.len() as u64;
            let old = old(self.image.data, offset, wanted)?;
            if old != new {
                plan.edit(offset, old, new).map_err(|_| overlap(offset, wanted))?;
            }
        }
        if !self.appended.is_empty() {
            let length = self.image.data.len();
            plan.append(length, &self.appended).map_err(|_| overlap(length, 0))?;
        }
        Ok(plan)
    }
}

impl Table {
    fn read(
        data: Bytes<'_>,
        structure: Structure,
        offset: u64,
        count: u64,
        entry_size: usize,
    ) -> Result<Table, Error> {
        let wanted = count.saturating_mul(entry_size as u64);
        let bytes = if wanted == 0 { Some(&[][..]) } else { data.get(offset, wanted) };
        let short = Error::Short { structure, wanted, offset, end: data.len() };
        let bytes = bytes.ok_or(short)?.to_vec();
        Ok(Table { structure, offset, entry_size, bytes, has_moved: false })
    }

    pub(super) fn count(&self) -> usize {
        self.bytes.len().checked_div(self.entry_size).unwrap_or(0)
    }

    pub(super) fn entry(&self, index: usize) -> Option<&[u8]> {
        let start = index.checked_mul(self.entry_size)?;
        self.bytes.get(start..)?.get(..self.entry_size)
    }

    /// Writes into an entry.
    pub(super) fn set(&mut self, index: usize, at: usize, new: &[u8]) -> Result<(), Error> {
        let start = index.saturating_mul(self.entry_size).saturating_add(at);
        let end = self.offset.saturating_add(self.bytes.len() as u64);
        let (structure, wanted) = (self.structure, new.len() as u64);
        let offset = self.offset.saturating_add(start as u64);
        let found = self.bytes.get_mut(start..).and_then(|rest| rest.get_mut(..new.len()));
        let target = found.ok_or(Error::Short { structure, wanted, offset, end })?;
        target.copy_from_slice(new);
        Ok(())
    }

    /// Takes an entry out and puts another in, at places counted without the one that is taken.
    pub(super) fn exchange(&mut self, out: usize, into: usize, new: &[u8]) {
        let mut entries: Vec<&[u8]> = self.bytes.chunks(self.entry_size.max(1)).collect();
        if out < entries.len() {
            entries.remove(out);
        }
        entries.insert(into.min(entries.len()), new);
        self.bytes = entries.concat();
    }

    /// Puts an entry in.
    pub(super) fn insert(&mut self, into: usize, new: &[u8]) {
        self.exchange(usize::MAX, into, new);
    }

    /// One for each entry that differs, from its first byte that does to its last.
    fn put_changes(&self, changes: &mut Vec<(u64, Vec<u8>)>, image: &Image<'_>) {
        let old = image.data.get(self.offset, self.bytes.len() as u64).unwrap_or_default();
        let size = self.entry_size.max(1);
        for (index, (old, new)) in old.chunks(size).zip(self.bytes.chunks(size)).enumerate() {
            let differs = |(old, new): (&u8, &u8)| old != new;
            let Some(first) = old.iter().zip(new).position(differs) else { continue };
            let last = old.iter().zip(new).rposition(differs).unwrap_or(first);
            let offset = index.saturating_mul(size).saturating_add(first) as u64;
            let new = new.get(first..=last).unwrap_or_default();
            changes.push((self.offset.saturating_add(offset), new.to_vec()));
        }
    }
}

/// A program header as it stands in its table.
pub(super) fn segment_bytes(layout: Layout, segment: &Segment) -> Vec<u8> {
    let kind = layout.u32_bytes(segment.kind.0);
    let flags = layout.u32_bytes(segment.permissions.0);
    let word = |value| layout.word_bytes(value);
    let places = [
        word(segment.offset),
        word(segment.address),
        word(segment.address),
        word(segment.file_size),
        word(segment.memory_size),
    ]
    .concat();
    match layout.class {
        Class::Elf32 => [&kind[..], &places, &flags, &word(segment.align)].concat(),
        Class::Elf64 => [&kind[..], &flags, &places, &word(segment.align)].concat(),
    }
}

/// The bytes that are to be replaced.
fn old(data: Bytes<'_>, offset: u64, wanted: u64) -> Result<&[u8], Error> {
    let structure = Structure::Section;
    data.get(offset, wanted).ok_or(Error::Short { structure, wanted, offset, end: data.len() })
}

/// Two changes of one byte mean two structures that share it, which no linker writes.
fn overlap(at: u64, found: u64) -> Error {
    let what = "overlaps another structure that changes";
    Error::Malformed { structure: Structure::Section, at, what, found }
}
