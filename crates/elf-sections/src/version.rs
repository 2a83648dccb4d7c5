//! Versions of symbols.

use std::collections::BTreeMap;

use crate::layout::Layout;

/// The version of a dynamic symbol: of the image's own definition, or the one that it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SymbolVersion<'data> {
    /// Its name, such as `GLIBC_2.34`.
    pub name: &'data [u8],
    /// For a symbol that is wanted: the file name of the library that must define it so.
    pub library: Option<&'data [u8]>,
    /// Whether it is one of several definitions, and not the one that new programs are linked
    /// with: `name@VERSION` where the default is `name@@VERSION`.
    pub is_hidden: bool,
}

/// The versions of an image's dynamic symbols.
#[derive(Debug, Clone)]
pub struct SymbolVersions<'data> {
    pub(crate) layout: Layout,
    /// `DT_VERSYM`: 16 bits for each symbol.
    pub(crate) indices: &'data [u8],
    /// The name, and the library if it is one of another.
    pub(crate) names: BTreeMap<u16, (&'data [u8], Option<&'data [u8]>)>,
}

impl<'data> SymbolVersions<'data> {
    /// The version of the dynamic symbol of this index; `None` if it has none.
    pub fn of(&self, symbol: u32) -> Option<SymbolVersion<'data>> {
        let place = usize::try_from(symbol).ok()?.checked_mul(2)?;
        let index = self.layout.u16(self.indices.get(place..)?)?;
        let (name, library) = *self.names.get(&(index & INDEX))?;
        Some(SymbolVersion { name, library, is_hidden: index & HIDDEN != 0 })
    }

    /// Every version that the image defines or wants, in the order of their numbers: its name, and
    /// for one that it wants the library's.
    pub fn iter(&self) -> impl Iterator<Item = (&'data [u8], Option<&'data [u8]>)> {
        self.names.values().copied()
    }
}

/// A name in one of the tables of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VersionName {
    pub(crate) role: Role,
    /// The version's number.
    pub(crate) index: u16,
    /// The name's offset in the dynamic strings.
    pub(crate) name: u32,
    /// The address of the field that holds this offset.
    pub(crate) field: u64,
}

/// Whose name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A library's, of which the versions that follow are wanted.
    Library,
    /// A wanted version's.
    Wanted,
    /// A defined version's.
    Defined,
    /// A version's that the one before follows on.
    Predecessor,
}

/// The bits of a version that are its number.
const INDEX: u16 = 0x7fff;

/// The bit that hides it.
const HIDDEN: u16 = 0x8000;
