//! The symbol tables, and looking a symbol up as the loader does.

use super::Image;
use crate::dynamic::Tag;
use crate::hash::{GnuHash, SysvHash};
use crate::header::{Class, Machine};
use crate::section::SectionKind;
use crate::symbol::{Symbol, SymbolTable, Symbols};
use crate::symbol_index::SymbolIndex;

impl<'data> Image<'data> {
    /// The symbols of `.symtab`, locals among them. Empty for a stripped image.
    pub fn symbols(&self) -> Symbols<'data> {
        Symbols::new(self.symbol_table())
    }

    /// The dynamic symbols: what the image offers to others, and wants from them.
    ///
    /// They are found by the dynamic table, as the loader finds them, so that an image without
    /// section headers has them too. Their number is that of the hash table or the section header,
    /// whichever is larger; where a GNU hash table is all there is, the symbols that relocations
    /// name are counted as well, since it knows of defined symbols only.
    pub fn dynamic_symbols(&self) -> Symbols<'data> {
        Symbols::new(self.whole_dynamic_symbol_table())
    }

    /// The symbols of `.symtab`, or the dynamic ones of a stripped image, by address and by name.
    pub fn symbol_index(&self) -> SymbolIndex<'data> {
        let table = self.symbol_table();
        if table.count > 1 {
            return SymbolIndex::new(Symbols::new(table));
        }
        SymbolIndex::new(self.dynamic_symbols())
    }

    /// The dynamic symbol of an index, as a [relocation](crate::Relocation) names it.
    pub fn dynamic_symbol(&self, index: u32) -> Option<Symbol<'data>> {
        if self.data.is_whole() {
            return self.dynamic_symbol_table().symbol(index);
        }
        self.whole_dynamic_symbol_table().symbol(index)
    }

    /// The symbol of a name that the image itself defines for others, found through the hash table
    /// that the loader would use.
    pub fn exported(&self, name: &str) -> Option<Symbol<'data>> {
        let name = name.as_bytes();
        let (gnu_hash, sysv_hash) = (self.gnu_hash(), self.sysv_hash());
        let mut table = self.dynamic_symbol_table();
        // A hash table whose last chain does not end says nothing of the number of symbols.
        let highest = gnu_hash.and_then(|hash| hash.candidates(name).max());
        if let Some(highest) = highest.filter(|&it| it >= table.count) {
            table = self.dynamic_symbols_of(highest.saturating_add(1));
        }
        let matches = |&index: &u32| {
            table.raw(index).is_some_and(|raw| !raw.is_undefined() && table.is_named(&raw, name))
        };
        let index = match (gnu_hash, sysv_hash) {
            (Some(hash), _) => hash.candidates(name).find(matches),
            (None, Some(hash)) => hash.candidates(name).find(matches),
            (None, None) => None,
        };
        table.symbol(index?)
    }

    /// The dynamic symbols, counted by what the image says of their number.
    pub(crate) fn dynamic_symbol_table(&self) -> SymbolTable<'data> {
        let by_hash = self
            .sysv_hash()
            .map(|hash| hash.symbol_count())
            .or_else(|| self.gnu_hash().and_then(|hash| hash.symbol_count()));
        let by_section = self.dynamic_symbol_section_count();
        self.dynamic_symbols_of(by_hash.unwrap_or(0).max(by_section.unwrap_or(0)))
    }

    /// The dynamic symbols of which there are `count`, if there is room for so many.
    fn dynamic_symbols_of(&self, count: u32) -> SymbolTable<'data> {
        let size = u64::from(count).saturating_mul(self.layout.symbol_size() as u64);
        // What is there already may be looked at beyond the table.
        let most = if self.data.is_whole() { u64::MAX } else { size };
        let address = self.dynamic_value(Tag::SYMTAB);
        let mut table = SymbolTable {
            layout: self.layout,
            entries: address.and_then(|it| self.bytes_up_to(it, most)).unwrap_or_default(),
            strings: self.dynamic_strings(),
            section_indices: &[],
            count,
        };
        table.count = count.min(table.capacity());
        table
    }

    /// The dynamic symbols, those counted as well that only relocations tell of.
    pub(crate) fn whole_dynamic_symbol_table(&self) -> SymbolTable<'data> {
        let table = self.dynamic_symbol_table();
        if self.is_dynamic_symbol_count_exact() {
            return table;
        }
        let named = self.relocations().map(|relocation| relocation.symbol).max();
        let count = named.map_or(0, |index| index.saturating_add(1));
        self.dynamic_symbols_of(table.count.max(count))
    }

    /// Whether that number is the table's, and not only a lower bound.
    pub(crate) fn is_dynamic_symbol_count_exact(&self) -> bool {
        self.sysv_hash().is_some() || self.dynamic_symbol_section_count().is_some()
    }

    pub(crate) fn gnu_hash(&self) -> Option<GnuHash<'data>> {
        let address = self.dynamic_value(Tag::GNU_HASH)?;
        if self.data.is_whole() {
            return GnuHash::parse(self.layout, self.bytes_from(address)?);
        }
        // How long it is, only its parts tell, one after the other.
        let mut size = GnuHash::size_without_values(self.layout, self.bytes_at(address, 16)?)?;
        let hash = GnuHash::parse(self.layout, self.bytes_up_to(address, size)?)?;
        size = size.checked_add(hash.least_size_of_values())?;
        let mut more = LONG_CHAIN;
        loop {
            let bytes = self.bytes_up_to(address, size.saturating_add(more))?;
            let hash = GnuHash::parse(self.layout, bytes)?;
            let is_all = (bytes.len() as u64) < size.saturating_add(more);
            if is_all || hash.symbol_count().is_some() {
                return Some(hash);
            }
            more = more.saturating_mul(8);
        }
    }

    pub(crate) fn sysv_hash(&self) -> Option<SysvHash<'data>> {
        // The 64-bit table of IBM Z has entries of 8 bytes, against the specification.
        if self.header.machine == Machine::S390 && self.header.class == Class::Elf64 {
            return None;
        }
        let address = self.dynamic_value(Tag::HASH)?;
        let size = SysvHash::size(self.layout, self.bytes_at(address, 8)?)?;
        SysvHash::parse(self.layout, self.bytes_up_to(address, size)?)
    }

    pub(crate) fn symbol_table(&self) -> SymbolTable<'data> {
        let empty = SymbolTable {
            layout: self.layout,
            entries: &[],
            strings: &[],
            section_indices: &[],
            count: 0,
        };
        let Some(section) =
            self.sections.iter().find(|section| section.kind == SectionKind::SYMTAB)
        else {
            return empty;
        };
        let strings = usize::try_from(section.link).ok().and_then(|link| self.sections.get(link));
        let indices = self.sections.iter().find(|indices| {
            indices.kind == SectionKind::SYMTAB_SHNDX && indices.link == section.index
        });
        let table = SymbolTable {
            entries: self.section_bytes(section).unwrap_or_default(),
            strings: strings.and_then(|it| self.section_bytes(it)).unwrap_or_default(),
            section_indices: indices.and_then(|it| self.section_bytes(it)).unwrap_or_default(),
            ..empty
        };
        SymbolTable { count: table.capacity(), ..table }
    }

    /// The number of dynamic symbols by the section header that describes the table, if it is of
    /// the same table.
    fn dynamic_symbol_section_count(&self) -> Option<u32> {
        let address = self.dynamic_value(Tag::SYMTAB)?;
        let section = self
            .sections
            .iter()
            .find(|section| section.kind == SectionKind::DYNSYM && section.address == address)?;
        u32::try_from(section.size.checked_div(self.layout.symbol_size() as u64)?).ok()
    }
}

/// Bytes that hold the rest of all but the longest chains of a hash table.
const LONG_CHAIN: u64 = 256;
