//! What the dynamic table says.

use std::ops::Range;

use object::elf;

use super::Image;
use crate::dynamic::{Routines, Tag};
use crate::header::Kind;
use crate::relocation::{Format, Relocations, Table, kinds};
use crate::segment::SegmentKind;
use crate::symbol::string;

impl<'data> Image<'data> {
    /// The value of the last entry with a tag, which is the one that the loader keeps.
    pub fn dynamic_value(&self, tag: Tag) -> Option<u64> {
        self.dynamic().iter().rev().find(|entry| entry.tag == tag).map(|entry| entry.value)
    }

    /// `DT_SONAME`: the name under which the loader knows the image.
    pub fn soname(&self) -> Option<&'data [u8]> {
        self.dynamic_strings_of(Tag::SONAME).last()
    }

    /// `DT_NEEDED`: the libraries that must be loaded, in order. Names that are missing from the
    /// string table are left out.
    pub fn needed(&self) -> impl Iterator<Item = &'data [u8]> {
        self.dynamic_strings_of(Tag::NEEDED)
    }

    /// `DT_RUNPATH`: where the loader looks for those.
    pub fn runpath(&self) -> Option<&'data [u8]> {
        self.dynamic_strings_of(Tag::RUNPATH).last()
    }

    /// `DT_RPATH`: the older form, which the loader ignores where there is a run path.
    pub fn rpath(&self) -> Option<&'data [u8]> {
        self.dynamic_strings_of(Tag::RPATH).last()
    }

    /// `DT_FLAGS_1`, 0 if absent.
    pub fn flags_1(&self) -> u64 {
        self.dynamic_value(Tag::FLAGS_1).unwrap_or(0)
    }

    /// Whether the loader is told never to unload the image (`DF_1_NODELETE`).
    pub fn is_nodelete(&self) -> bool {
        self.flags_1() & elf::DF_1_NODELETE.0 != 0
    }

    /// Whether the image is a program that only looks like a shared object (`DF_1_PIE`).
    pub fn is_pie(&self) -> bool {
        self.flags_1() & elf::DF_1_PIE.0 != 0
    }

    /// Whether the image is started without a loader and relocates itself, as loaders and programs
    /// do that are linked statically and may be loaded anywhere.
    ///
    /// Some linkers give libraries an entry as well, the start of their code; most of those need
    /// others.
    pub(crate) fn relocates_itself(&self) -> bool {
        let entry = self.header.entry;
        let is_start_of_code = || self.sections_named(".text").any(|it| it.address == entry);
        self.header.kind == Kind::SharedObject
            && entry != 0
            && self.segment(SegmentKind::INTERP).is_none()
            && (self.is_pie() || (self.dynamic_value(Tag::NEEDED).is_none() && !is_start_of_code()))
    }

    /// What the loader calls after it has relocated the image.
    pub fn initializers(&self) -> Routines {
        self.routines(Tag::INIT, Tag::INIT_ARRAY, Tag::INIT_ARRAYSZ)
    }

    /// What the loader calls before it unmaps the image.
    pub fn finalizers(&self) -> Routines {
        self.routines(Tag::FINI, Tag::FINI_ARRAY, Tag::FINI_ARRAYSZ)
    }

    /// Every word that the loader writes, in the order of the tables. As much of them as is there.
    pub fn relocations(&self) -> Relocations<'data> {
        let tables = self.relocation_tables();
        Relocations::new(self.layout, self.header.machine, tables.map(|table| table.0))
    }

    /// The addresses in `range` of words that the loader writes, in the order of the tables.
    ///
    /// A relocated word is never state to be copied: it holds an address that was computed for one
    /// load of one image.
    pub fn relocation_targets(&self, range: Range<u64>) -> impl Iterator<Item = u64> + use<'data> {
        self.relocations()
            .map(|relocation| relocation.address)
            .filter(move |address| range.contains(address))
    }

    /// The same, in ascending order and each once.
    pub fn sorted_relocation_targets(&self, range: Range<u64>) -> Vec<u64> {
        let mut targets: Vec<u64> = self.relocation_targets(range).collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// The addresses of the words through which the image reaches the symbol `name` of another
    /// image: GOT slots, and words of data that hold its address. Empty if it does not.
    ///
    /// A word that also adds something is left out, for it is no slot of the symbol.
    pub fn imports(&self, name: &str) -> Vec<u64> {
        let kinds = kinds(self.header.machine, self.header.class);
        let wanted = [kinds.jump_slot, kinds.glob_dat, kinds.absolute];
        let symbols: Vec<u32> = self
            .dynamic_symbols()
            .filter(|symbol| !symbol.is_defined() && symbol.name == name.as_bytes())
            .map(|symbol| symbol.index)
            .collect();
        if symbols.is_empty() || !kinds.known {
            return Vec::new();
        }
        self.relocations()
            .filter(|relocation| symbols.binary_search(&relocation.symbol).is_ok())
            .filter(|relocation| wanted.contains(&relocation.kind))
            .filter(|relocation| relocation.addend.unwrap_or(0) == 0)
            .map(|relocation| relocation.address)
            .collect()
    }

    /// The dynamic strings, as far as they are there.
    pub(crate) fn dynamic_strings(&self) -> &'data [u8] {
        let size = self.dynamic_value(Tag::STRSZ).unwrap_or(0);
        let address = self.dynamic_value(Tag::STRTAB);
        address.and_then(|address| self.bytes_up_to(address, size)).unwrap_or_default()
    }

    /// The relocation tables in the order in which they are read, each with its address; one that
    /// does not exist, or is part of another, is empty.
    pub(crate) fn relocation_tables(&self) -> [(Table<'data>, u64); 4] {
        let rela = self.relocation_table(Format::Rela, Tag::RELA, Tag::RELASZ);
        let rel = self.relocation_table(Format::Rel, Tag::REL, Tag::RELSZ);
        let relr = self.relocation_table(Format::Relr, Tag::RELR, Tag::RELRSZ);
        let has_addends = self.dynamic_value(Tag::PLTREL) != Some(Tag::REL.0.unsigned_abs());
        let format = if has_addends { Format::Rela } else { Format::Rel };
        let mut plt = self.relocation_table(format, Tag::JMPREL, Tag::PLTRELSZ);
        // Some linkers count the procedure linkage table's relocations among the others.
        let other = if has_addends { &rela } else { &rel };
        let skipped = plt.1.checked_sub(other.1).and_then(|skipped| usize::try_from(skipped).ok());
        if skipped.is_some_and(|skipped| skipped < other.0.bytes.len()) {
            plt.0.bytes = &[];
        }
        [rela, rel, relr, plt]
    }

    fn relocation_table(&self, format: Format, start: Tag, size: Tag) -> (Table<'data>, u64) {
        let address = self.dynamic_value(start);
        let size = self.dynamic_value(size).unwrap_or(0);
        let bytes = address.and_then(|address| self.bytes_up_to(address, size));
        let bytes = bytes.unwrap_or_default();
        (Table { format, bytes }, address.unwrap_or(0))
    }

    fn routines(&self, function: Tag, array: Tag, size: Tag) -> Routines {
        let array = self.dynamic_value(array).zip(self.dynamic_value(size));
        Routines {
            // An address of 0 is what linkers write for a function that was not there.
            function: self.dynamic_value(function).filter(|&address| address != 0),
            array: array
                .and_then(|(start, size)| Some(start..start.checked_add(size)?))
                .filter(|range| !range.is_empty()),
        }
    }

    fn dynamic_strings_of(&self, tag: Tag) -> impl Iterator<Item = &'data [u8]> {
        let strings = self.dynamic_strings();
        self.dynamic()
            .iter()
            .filter(move |entry| entry.tag == tag)
            .filter_map(|entry| string(strings, entry.value))
    }
}
