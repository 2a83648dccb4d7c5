//! The words that the loader will write: that it may, and by which symbols.

use super::dynamics::check_entry_size;
use super::{check_code, check_table, holes};
use crate::dynamic::Tag;
use crate::relocation::{Entries, Format, Kinds, Relocation, Table, kinds};
use crate::{Error, Image, Segment, SegmentKind, Structure};

/// One pass over every table. Gives the highest symbol index that one of them names.
pub(super) fn check(image: &Image<'_>) -> Result<u32, Error> {
    check_tables(image)?;
    let targets = Targets::new(image);
    let kinds = kinds(image.header().machine, image.header().class);
    let [rela, rel, relr, plt] = image.relocation_tables();
    let count = |tag| image.dynamic_value(tag).unwrap_or(0);
    let mut pass = Pass { image, targets, kinds, highest: 0 };
    pass.table(Structure::Rela, rela, count(Tag::RELACOUNT))?;
    pass.table(Structure::Rel, rel, count(Tag::RELCOUNT))?;
    pass.table(Structure::Relr, relr, 0)?;
    pass.table(Structure::PltRelocations, plt, 0)?;
    Ok(pass.highest)
}

fn check_tables(image: &Image<'_>) -> Result<(), Error> {
    let layout = image.layout;
    let tables = [
        (Structure::Rela, Tag::RELA, Tag::RELASZ, Some(Tag::RELAENT), layout.rela_size()),
        (Structure::Rel, Tag::REL, Tag::RELSZ, Some(Tag::RELENT), layout.rel_size()),
        (Structure::Relr, Tag::RELR, Tag::RELRSZ, Some(Tag::RELRENT), layout.word_size()),
        (Structure::PltRelocations, Tag::JMPREL, Tag::PLTRELSZ, None, plt_entry_size(image)?),
    ];
    for (structure, start, size, entry_size_tag, entry_size) in tables {
        let Some(address) = image.dynamic_value(start) else { continue };
        let size = image.dynamic_value(size).unwrap_or(0);
        if let Some(tag) = entry_size_tag {
            check_entry_size(image, structure, tag, entry_size as u64)?;
        }
        if size.checked_rem(entry_size as u64) != Some(0) {
            let what = "its size is no multiple of its entries'";
            return Err(Error::Malformed { structure, at: address, what, found: size });
        }
        check_table(image, structure, start, size)?;
        if let Some(offset) = image.offset_of(address, size) {
            holes::check(image, structure, offset..offset.saturating_add(size))?;
        }
    }
    Ok(())
}

fn plt_entry_size(image: &Image<'_>) -> Result<usize, Error> {
    if image.dynamic_value(Tag::JMPREL).is_none() {
        return Ok(1);
    }
    match image.dynamic_value(Tag::PLTREL) {
        Some(format) if format == Tag::RELA.0.unsigned_abs() => Ok(image.layout.rela_size()),
        Some(format) if format == Tag::REL.0.unsigned_abs() => Ok(image.layout.rel_size()),
        found => {
            let (structure, what) = (Structure::PltRelocations, "of an unknown format");
            let at = Tag::PLTREL.0.unsigned_abs();
            Err(Error::Malformed { structure, at, what, found: found.unwrap_or(0) })
        }
    }
}

struct Pass<'image, 'data> {
    image: &'image Image<'data>,
    targets: Targets,
    kinds: Kinds,
    highest: u32,
}

impl Pass<'_, '_> {
    /// `relative` is how many entries at the front the loader will take for relative ones unseen.
    fn table(
        &mut self,
        structure: Structure,
        (table, address): (Table<'_>, u64),
        relative: u64,
    ) -> Result<(), Error> {
        let layout = self.image.layout;
        match table.entries(layout) {
            Entries::None => Ok(()),
            Entries::Relr(mut addresses) => {
                addresses.try_for_each(|address| self.target(structure, address))
            }
            Entries::Rela(entries) => {
                let mut entries = entries.filter_map(|entry| layout.rela(entry));
                self.entries(structure, &mut entries, (table.format, address), relative)
            }
            Entries::Rel(entries) => {
                let mut entries = entries.filter_map(|entry| layout.rel(entry));
                self.entries(structure, &mut entries, (table.format, address), relative)
            }
        }
    }

    fn entries(
        &mut self,
        structure: Structure,
        entries: &mut impl Iterator<Item = Relocation>,
        table: (Format, u64),
        relative: u64,
    ) -> Result<(), Error> {
        for (index, entry) in (0_u64..).zip(entries) {
            if entry.kind == NONE {
                // GNU ld leaves empty entries at a table's end where it had counted on more of
                // them. Among the relative ones and the procedure linkage table's there are none.
                let is_impossible = index < relative || structure == Structure::PltRelocations;
                if is_impossible && entry.is_zero() && self.kinds.known {
                    return Err(Error::ZeroFilled { structure, offset: self.offset(table, index) });
                }
                if !is_impossible || !self.kinds.known {
                    continue;
                }
            }
            self.target(structure, entry.address)?;
            self.highest = self.highest.max(entry.symbol);
            if !self.kinds.known {
                continue;
            }
            if index < relative && entry.kind != self.kinds.relative {
                let (at, what) = (entry.address, "not relative, among those said to be");
                return Err(Error::Malformed { structure, at, what, found: entry.kind.into() });
            }
            if entry.kind == self.kinds.irelative {
                self.resolver(structure, &entry)?;
            }
        }
        Ok(())
    }

    /// The offset in the file of a table's entry.
    fn offset(&self, (format, table): (Format, u64), index: u64) -> u64 {
        let size = match format {
            Format::Rela => self.image.layout.rela_size(),
            Format::Rel => self.image.layout.rel_size(),
            Format::Relr => self.image.layout.word_size(),
        };
        let address = table.saturating_add(index.saturating_mul(size as u64));
        self.image.offset_of(address, 1).unwrap_or(0)
    }

    fn target(&mut self, structure: Structure, address: u64) -> Result<(), Error> {
        if self.targets.contains(address) {
            return Ok(());
        }
        let what = "a word to be written lies where the loader must not write";
        Err(Error::Malformed { structure, at: address, what, found: address })
    }

    /// The loader calls the function while it relocates.
    fn resolver(&self, structure: Structure, entry: &Relocation) -> Result<(), Error> {
        let address = match entry.addend {
            Some(addend) => addend.cast_unsigned(),
            None => {
                let word =
                    self.image.bytes_at(entry.address, self.image.header().class.word_size());
                word.and_then(|bytes| self.image.layout.word(bytes)).unwrap_or(0)
            }
        };
        check_code(self.image, structure, address)
    }
}

/// The addresses that the loader may write a word to.
struct Targets {
    word: u64,
    /// The last range that was hit: relocations come in runs.
    last: (u64, u64),
    ranges: Vec<(u64, u64)>,
    /// The dynamic table, which the loader goes on reading while it relocates.
    dynamic: (u64, u64),
}

impl Targets {
    fn new(image: &Image<'_>) -> Targets {
        // With text relocations the loader makes everything writable first.
        let flags = image.dynamic_value(Tag::FLAGS).unwrap_or(0);
        let is_all =
            image.dynamic_value(Tag::TEXTREL).is_some() || flags & object::elf::DF_TEXTREL.0 != 0;
        let ranges: Vec<(u64, u64)> = image
            .loads()
            .filter(|load| is_all || load.permissions.is_writable())
            .map(|load| (load.range().start, load.range().end))
            .collect();
        let last = ranges.first().copied().unwrap_or((0, 0));
        let dynamic = image.segment(SegmentKind::DYNAMIC).map(Segment::range);
        let dynamic = dynamic.map_or((0, 0), |range| (range.start, range.end));
        Targets { word: image.header().class.word_size(), last, ranges, dynamic }
    }

    fn contains(&mut self, address: u64) -> bool {
        let Some(end) = address.checked_add(self.word) else { return false };
        if address < self.dynamic.1 && self.dynamic.0 < end {
            return false;
        }
        let holds = |range: &(u64, u64)| range.0 <= address && end <= range.1;
        if holds(&self.last) {
            return true;
        }
        // Segments are in ascending order, or the image would have been refused before.
        let above = self.ranges.partition_point(|range| range.0 <= address);
        match above.checked_sub(1).and_then(|index| self.ranges.get(index)) {
            Some(range) if holds(range) => {
                self.last = *range;
                true
            }
            _ => false,
        }
    }
}

/// The number of the relocation that does nothing, on every processor.
const NONE: u32 = 0;
