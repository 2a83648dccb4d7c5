//! The dynamic table's other tables, where they are in writable memory.

use std::ops::Range;

use super::Image;
use crate::dynamic::Tag;
use crate::hash::SysvHash;
use crate::version::Role;

impl Image<'_> {
    /// Strings, symbols, hash tables, versions and relocations that are mapped so that they could
    /// be written to: in images that are one segment, and where a table has been moved.
    pub(super) fn writable_tables(&self) -> Vec<Range<u64>> {
        let start = |tag: Tag| self.dynamic_value(tag).filter(|&it| self.is_writable_at(it));
        let with_size = |tag, size| Some((start(tag)?, self.dynamic_value(size)?));
        // Counting the symbols takes reading; most images have none here.
        let with_each = |tag: Tag, size: usize| {
            let address = start(tag)?;
            let count = u64::from(self.whole_dynamic_symbol_table().count);
            Some((address, count.saturating_mul(size as u64)))
        };
        let sysv_hash = || {
            let address = start(Tag::HASH)?;
            Some((address, SysvHash::size(self.layout, self.bytes_at(address, 8)?)?))
        };
        let gnu_hash = || {
            let address = start(Tag::GNU_HASH)?;
            Some((address, self.gnu_hash()?.size()))
        };
        let tables = [
            with_size(Tag::STRTAB, Tag::STRSZ),
            with_size(Tag::RELA, Tag::RELASZ),
            with_size(Tag::REL, Tag::RELSZ),
            with_size(Tag::RELR, Tag::RELRSZ),
            with_size(Tag::JMPREL, Tag::PLTRELSZ),
            with_each(Tag::SYMTAB, self.layout.symbol_size()),
            with_each(Tag::VERSYM, 2),
            sysv_hash(),
            gnu_hash(),
        ];
        let tables = tables.into_iter().flatten();
        let mut ranges: Vec<Range<u64>> =
            tables.map(|(address, size)| address..address.saturating_add(size)).collect();
        if start(Tag::VERNEED).is_some() || start(Tag::VERDEF).is_some() {
            ranges.extend(self.version_names().names.iter().map(|it| {
                // How far the entry reaches before and behind the name: `Elf_Verneed` and
                // `Elf_Vernaux`, `Elf_Verdef` with its first `Elf_Verdaux`, `Elf_Verdaux`.
                let (before, behind) = match it.role {
                    Role::Library => (4, 12),
                    Role::Wanted => (8, 8),
                    Role::Defined => (20, 8),
                    Role::Predecessor => (0, 8),
                };
                it.field.saturating_sub(before)..it.field.saturating_add(behind)
            }));
        }
        ranges
    }

    fn is_writable_at(&self, address: u64) -> bool {
        let mut writable = self.loads().filter(|it| it.permissions.is_writable());
        writable.any(|it| it.range().contains(&address))
    }
}
