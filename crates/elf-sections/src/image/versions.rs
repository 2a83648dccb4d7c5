//! Walking the tables of versions.

use std::collections::BTreeMap;

use super::Image;
use crate::dynamic::Tag;
use crate::symbol::string;
use crate::version::{Role, SymbolVersions, VersionName};

impl<'data> Image<'data> {
    /// The versions of the dynamic symbols.
    pub fn symbol_versions(&self) -> SymbolVersions<'data> {
        let strings = self.dynamic_strings();
        let mut names = BTreeMap::new();
        let mut library = None;
        for entry in self.version_names().names {
            let Some(name) = string(strings, u64::from(entry.name)) else { continue };
            match entry.role {
                Role::Library => library = Some(name),
                Role::Wanted => _ = names.insert(entry.index, (name, library)),
                // Number 1 is the image itself, not a version.
                Role::Defined if entry.index > 1 => _ = names.insert(entry.index, (name, None)),
                Role::Defined | Role::Predecessor => {}
            }
        }
        let count = u64::from(self.whole_dynamic_symbol_table().count);
        let indices = self
            .dynamic_value(Tag::VERSYM)
            .and_then(|address| self.bytes_up_to(address, count.saturating_mul(2)));
        SymbolVersions { layout: self.layout, indices: indices.unwrap_or_default(), names }
    }

    /// Every name in the tables of versions, as far as they are well formed.
    pub(crate) fn version_names(&self) -> VersionNames {
        let left = usize::try_from(self.data.len() >> 3).unwrap_or(usize::MAX);
        let mut names = VersionNames { names: Vec::new(), left, is_whole: true };
        for (tag, walk) in [(Tag::VERNEED, Walk::Wanted), (Tag::VERDEF, Walk::Defined)] {
            let Some(address) = self.dynamic_value(tag) else { continue };
            let table = self.version_table(address);
            if self.walk(&table, walk, &mut names).is_none() {
                names.is_whole = false;
            }
        }
        names
    }

    fn walk(&self, table: &Table<'data>, walk: Walk, names: &mut VersionNames) -> Option<()> {
        let u16_at = |at: u64| self.layout.u16(table.at(at)?);
        let u32_at = |at: u64| self.layout.u32(table.at(at)?);
        // A name and the offset of its field in the table.
        let put = |names: &mut VersionNames, role, index: u16, at: u64| {
            names.left = names.left.checked_sub(1)?;
            let (name, field) = (u32_at(at)?, table.address.checked_add(at)?);
            names.names.push(VersionName { role, index, name, field });
            Some(())
        };
        let follow = |at: u64, link: u32| match link {
            0 => Some(None),
            link => at.checked_add(u64::from(link)).map(Some),
        };
        let mut next = Some(0_u64);
        while let Some(entry) = next {
            // Where the fields are: `Elf_Verneed` and `Elf_Vernaux`, `Elf_Verdef` and `Elf_Verdaux`.
            let (first, following) = match walk {
                Walk::Wanted => {
                    put(names, Role::Library, 0, entry.checked_add(4)?)?;
                    (u32_at(entry.checked_add(8)?)?, u32_at(entry.checked_add(12)?)?)
                }
                Walk::Defined => (u32_at(entry.checked_add(12)?)?, u32_at(entry.checked_add(16)?)?),
            };
            let mut name = follow(entry, first)?;
            let mut role = Role::Defined;
            while let Some(at) = name {
                let link = match walk {
                    Walk::Wanted => {
                        let index = u16_at(at.checked_add(6)?)?;
                        put(names, Role::Wanted, index, at.checked_add(8)?)?;
                        u32_at(at.checked_add(12)?)?
                    }
                    Walk::Defined => {
                        put(names, role, u16_at(entry.checked_add(4)?)?, at)?;
                        role = Role::Predecessor;
                        u32_at(at.checked_add(4)?)?
                    }
                };
                name = follow(at, link)?;
            }
            next = follow(entry, following)?;
        }
        Some(())
    }

    /// The bytes from a table's start to its end, if a section header knows that, or far enough.
    fn version_table(&self, address: u64) -> Table<'data> {
        let section = self.sections.iter().find(|it| it.is_addressable() && it.address == address);
        let size = section.map_or(LARGEST_TABLE, |section| section.size);
        Table { address, bytes: self.bytes_up_to(address, size).unwrap_or_default() }
    }
}

/// The names, and whether all of them were found.
#[derive(Debug)]
pub(crate) struct VersionNames {
    pub(crate) names: Vec<VersionName>,
    /// How many more there can be. Lists that share their entries are not followed for ever.
    left: usize,
    pub(crate) is_whole: bool,
}

#[derive(Clone, Copy)]
enum Walk {
    Wanted,
    Defined,
}

struct Table<'data> {
    address: u64,
    bytes: &'data [u8],
}

impl<'data> Table<'data> {
    fn at(&self, offset: u64) -> Option<&'data [u8]> {
        self.bytes.get(usize::try_from(offset).ok()?..)
    }
}

/// The C library's own is a few kilobytes.
const LARGEST_TABLE: u64 = 1 << 20;
