//! Symbols: names of places, and the linker's notes for debuggers among them.

use object::macho;

use crate::command::CommandKind;
use crate::image::file_range;
use crate::layout::Layout;
use crate::strings::Strings;
use crate::{Error, Image, Structure};

/// A symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Symbol<'data> {
    /// Its place in the table.
    pub index: u32,
    /// Its name, with the underscore that C names get; empty where the table has none for it, or
    /// one of more than 65,535 bytes.
    pub name: &'data [u8],
    /// `n_value`: its address before the slide is added. For a common symbol of an object file its
    /// size; for a note its meaning depends on the kind.
    pub address: u64,
    /// What it is.
    pub kind: SymbolKind,
    /// `N_EXT`: others may use it.
    pub is_external: bool,
    /// `N_PEXT`: it was external before its image was linked.
    pub is_private_external: bool,
    /// `n_desc`: weakness and the library it is wanted from; see the methods.
    pub description: u16,
}

impl Symbol<'_> {
    /// Whether the image itself defines it.
    pub fn is_defined(&self) -> bool {
        matches!(self.kind, SymbolKind::Absolute | SymbolKind::Section(_) | SymbolKind::Indirect)
    }

    /// `N_WEAK_DEF`: another image's definition may take its place.
    pub fn is_weak_definition(&self) -> bool {
        self.is_defined() && self.description & macho::N_WEAK_DEF.0 != 0
    }

    /// `N_WEAK_REF`: it may stay undefined.
    pub fn is_weak_reference(&self) -> bool {
        self.description & macho::N_WEAK_REF.0 != 0
    }

    /// `N_ARM_THUMB_DEF`: it names code in the Thumb encoding.
    pub fn is_thumb(&self) -> bool {
        self.description & macho::N_ARM_THUMB_DEF.0 != 0
    }

    /// For an undefined symbol of a two-level image: the library it is wanted from, counted from 1
    /// as [`Image::libraries`] does; 0, 254 and 255 mean the image itself, any, and the program.
    pub fn library(&self) -> u8 {
        (self.description >> 8) as u8
    }
}

/// What a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SymbolKind {
    /// `N_UNDF`: defined elsewhere.
    Undefined,
    /// `N_UNDF` with a value, in an object file: a variable that is not allocated yet.
    Common,
    /// `N_ABS`: its address is a number.
    Absolute,
    /// `N_SECT`: in the section of this index, counted from 0 as [`Image::sections`] does. `None`
    /// for `NO_SECT`.
    Section(Option<u32>),
    /// `N_PBUD`: defined elsewhere, and bound in advance.
    Prebound,
    /// `N_INDR`: another name for a symbol.
    Indirect,
    /// A note for debuggers (`N_STAB`), with its type and the section it is about.
    Note(u8, Option<u32>),
    /// Any other value of `n_type`.
    Other(u8),
}

/// The symbols of an image, in order.
#[derive(Debug, Clone)]
pub struct Symbols<'data> {
    layout: Layout,
    entries: &'data [u8],
    strings: Strings<'data>,
    is_object: bool,
    index: u32,
}

impl<'data> Symbols<'data> {
    fn symbol(&self, index: u32, entry: &[u8]) -> Option<Symbol<'data>> {
        let raw = self.layout.symbol(entry)?;
        let section = u32::from(raw.section).checked_sub(1);
        let kind = match raw.kind & N_TYPE {
            _ if raw.kind & N_STAB != 0 => SymbolKind::Note(raw.kind, section),
            N_UNDF if raw.value != 0 && self.is_object => SymbolKind::Common,
            N_UNDF => SymbolKind::Undefined,
            N_ABS => SymbolKind::Absolute,
            N_SECT => SymbolKind::Section(section),
            N_PBUD => SymbolKind::Prebound,
            N_INDR => SymbolKind::Indirect,
            _ => SymbolKind::Other(raw.kind),
        };
        let is_note = raw.kind & N_STAB != 0;
        Some(Symbol {
            index,
            name: self.strings.at(raw.name),
            address: raw.value,
            kind,
            is_external: !is_note && raw.kind & N_EXT != 0,
            is_private_external: !is_note && raw.kind & N_PEXT != 0,
            description: raw.description,
        })
    }
}

impl<'data> Iterator for Symbols<'data> {
    type Item = Symbol<'data>;

    fn next(&mut self) -> Option<Symbol<'data>> {
        let (entry, rest) = self.entries.split_at_checked(self.layout.symbol_size())?;
        let symbol = self.symbol(self.index, entry)?;
        self.entries = rest;
        self.index = self.index.checked_add(1)?;
        Some(symbol)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.entries.len().checked_div(self.layout.symbol_size()))
    }
}

impl<'data> Image<'data> {
    /// The symbol table, notes for debuggers among it. Empty for an image without.
    ///
    /// # Errors
    ///
    /// [`Error::Short`] if the table or its strings reach beyond the end.
    pub fn symbols(&self) -> Result<Symbols<'data>, Error> {
        let layout = self.layout;
        let is_object = self.header().kind == crate::FileKind::OBJECT;
        let (mut entries, mut strings): (&[u8], &[u8]) = (&[], &[]);
        if let Some(command) = self.command(CommandKind::SYMTAB) {
            let structure = Structure::Symbols;
            let words = self.pair(&command, 8).zip(self.pair(&command, 16));
            let Some(((offset, count), text)) = words else {
                let what = "too small for a symbol table's";
                let size = command.bytes.len() as u64;
                return Err(Error::malformed(Structure::LoadCommand, command.offset, what, size));
            };
            let size = count.saturating_mul(layout.symbol_size() as u64);
            entries = file_range(structure, self.data, offset, size)?;
            strings = file_range(structure, self.data, text.0, text.1)?;
        }
        Ok(Symbols { layout, entries, strings: Strings::new(strings), is_object, index: 0 })
    }

    /// The first symbol of a name that the image defines.
    ///
    /// # Errors
    ///
    /// As [`symbols`](Image::symbols).
    pub fn symbol_named(&self, name: &str) -> Result<Option<Symbol<'data>>, Error> {
        let mut symbols = self.symbols()?;
        Ok(symbols.find(|symbol| symbol.is_defined() && symbol.name == name.as_bytes()))
    }

    /// The symbol that an address belongs to: the last that is not behind it, in the same section.
    ///
    /// # Errors
    ///
    /// As [`symbols`](Image::symbols).
    pub fn symbol_at(&self, address: u64) -> Result<Option<Symbol<'data>>, Error> {
        let section = self.section_at(address).map(|section| section.index);
        let candidates = self.symbols()?.filter(|symbol| {
            symbol.kind == SymbolKind::Section(section) && symbol.address <= address
        });
        Ok(section.and_then(|_| candidates.max_by_key(|symbol| symbol.address)))
    }
}

const N_STAB: u8 = 0xe0;
const N_PEXT: u8 = 0x10;
const N_TYPE: u8 = 0x0e;
const N_EXT: u8 = 0x01;
const N_UNDF: u8 = 0x0;
const N_ABS: u8 = 0x2;
const N_SECT: u8 = 0xe;
const N_PBUD: u8 = 0xc;
const N_INDR: u8 = 0xa;
