//! Symbols, and the two tables they stand in.

use object::elf;

use crate::layout::Layout;

/// A named place in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Symbol<'data> {
    /// Its place in its table.
    pub index: u32,
    /// Its name; empty where the table has none for it, or one of more than 65,535 bytes.
    pub name: &'data [u8],
    /// `st_value`: its address before the load bias is added, the offset in its thread's block for
    /// a [`SymbolKind::Tls`], the alignment for a [`SymbolSection::Common`].
    pub address: u64,
    /// `st_size`: how many bytes it covers, 0 if that is unknown.
    pub size: u64,
    /// What it names.
    pub kind: SymbolKind,
    /// Who sees it.
    pub binding: Binding,
    /// How far it is seen.
    pub visibility: Visibility,
    /// Where it is defined.
    pub section: SymbolSection,
    /// The source file that a local symbol belongs to: the `STT_FILE` symbol before it.
    pub file: Option<&'data [u8]>,
}

impl Symbol<'_> {
    /// Whether the image itself defines it.
    pub fn is_defined(&self) -> bool {
        self.section != SymbolSection::Undefined
    }
}

/// What a symbol names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SymbolKind {
    /// `STT_NOTYPE`.
    NoType,
    /// `STT_OBJECT`: a variable.
    Object,
    /// `STT_FUNC`.
    Function,
    /// `STT_SECTION`.
    Section,
    /// `STT_FILE`: the name of a source file.
    File,
    /// `STT_COMMON`: a variable that is not allocated yet.
    Common,
    /// `STT_TLS`: a variable of which each thread has its own.
    Tls,
    /// `STT_GNU_IFUNC`: a function that returns the address of the function.
    IndirectFunction,
    /// Any other value.
    Other(u8),
}

/// Who sees a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// `STB_LOCAL`: its own object file.
    Local,
    /// `STB_GLOBAL`.
    Global,
    /// `STB_WEAK`: as global, and another definition may take its place.
    Weak,
    /// `STB_GNU_UNIQUE`: the loader keeps one definition for the whole process, and never unloads
    /// the image that it came from.
    Unique,
    /// Any other value.
    Other(u8),
}

/// How far a symbol is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// `STV_DEFAULT`: everywhere, and others may take its place.
    Default,
    /// `STV_INTERNAL`.
    Internal,
    /// `STV_HIDDEN`: in its own image.
    Hidden,
    /// `STV_PROTECTED`: everywhere, and its own image always means its own.
    Protected,
}

/// Where a symbol is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SymbolSection {
    /// `SHN_UNDEF`: in another image.
    Undefined,
    /// `SHN_ABS`: nowhere, its address is a number.
    Absolute,
    /// `SHN_COMMON`: not allocated yet.
    Common,
    /// In the section of this index.
    Index(u32),
    /// Any other reserved value.
    Reserved(u16),
}

/// A table's symbols, in order.
#[derive(Debug, Clone)]
pub struct Symbols<'data> {
    table: SymbolTable<'data>,
    next: u32,
    file: Option<&'data [u8]>,
}

impl<'data> Symbols<'data> {
    pub(crate) fn new(table: SymbolTable<'data>) -> Symbols<'data> {
        Symbols { table, next: 0, file: None }
    }
}

impl<'data> Iterator for Symbols<'data> {
    type Item = Symbol<'data>;

    fn next(&mut self) -> Option<Symbol<'data>> {
        if self.next >= self.table.count {
            return None;
        }
        let mut symbol = self.table.symbol(self.next)?;
        self.next = self.next.checked_add(1)?;
        if symbol.kind == SymbolKind::File {
            // The linker's own symbols come last, under a file without a name.
            self.file = Some(symbol.name).filter(|name| !name.is_empty());
        }
        if symbol.binding == Binding::Local {
            symbol.file = self.file;
        }
        Some(symbol)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.table.count.saturating_sub(self.next);
        (0, usize::try_from(left).ok())
    }
}

/// A symbol table with the strings its names are in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SymbolTable<'data> {
    pub(crate) layout: Layout,
    /// The entries; there may be bytes behind them that belong to something else.
    pub(crate) entries: &'data [u8],
    pub(crate) strings: &'data [u8],
    /// `SHT_SYMTAB_SHNDX`, empty if there is none.
    pub(crate) section_indices: &'data [u8],
    pub(crate) count: u32,
}

impl<'data> SymbolTable<'data> {
    /// How many entries there is room for, whatever `count` says.
    pub(crate) fn capacity(&self) -> u32 {
        let fitting = self.entries.len().checked_div(self.layout.symbol_size()).unwrap_or(0);
        u32::try_from(fitting).unwrap_or(u32::MAX)
    }

    pub(crate) fn raw(&self, index: u32) -> Option<RawSymbol> {
        let size = self.layout.symbol_size();
        let start = usize::try_from(index).ok()?.checked_mul(size)?;
        self.layout.symbol(self.entries.get(start..)?)
    }

    pub(crate) fn name(&self, raw: &RawSymbol) -> &'data [u8] {
        string(self.strings, u64::from(raw.name)).unwrap_or_default()
    }

    pub(crate) fn is_named(&self, raw: &RawSymbol, name: &[u8]) -> bool {
        is_string(self.strings, u64::from(raw.name), name)
    }

    pub(crate) fn symbol(&self, index: u32) -> Option<Symbol<'data>> {
        let raw = self.raw(index)?;
        Some(Symbol {
            index,
            name: self.name(&raw),
            address: raw.value,
            size: raw.size,
            kind: raw.kind(),
            binding: raw.binding(),
            visibility: raw.visibility(),
            section: self.section(index, raw.section),
            file: None,
        })
    }

    fn section(&self, index: u32, section: u16) -> SymbolSection {
        const UNDEFINED: u16 = elf::SHN_UNDEF.0;
        const ABSOLUTE: u16 = elf::SHN_ABS.0;
        const COMMON: u16 = elf::SHN_COMMON.0;
        const EXTENDED: u16 = elf::SHN_XINDEX.0;
        match section {
            UNDEFINED => SymbolSection::Undefined,
            ABSOLUTE => SymbolSection::Absolute,
            COMMON => SymbolSection::Common,
            EXTENDED => usize::try_from(index)
                .ok()
                .and_then(|index| self.section_indices.get(index.checked_mul(4)?..))
                .and_then(|entry| self.layout.u32(entry))
                .map_or(SymbolSection::Reserved(section), SymbolSection::Index),
            elf::SHN_LORESERVE.. => SymbolSection::Reserved(section),
            _ => SymbolSection::Index(u32::from(section)),
        }
    }
}

/// A symbol as it stands in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawSymbol {
    pub(crate) name: u32,
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) info: u8,
    pub(crate) other: u8,
    pub(crate) section: u16,
}

impl RawSymbol {
    pub(crate) fn is_undefined(&self) -> bool {
        self.section == elf::SHN_UNDEF.0
    }

    pub(crate) fn is_absolute(&self) -> bool {
        self.section == elf::SHN_ABS.0
    }

    pub(crate) fn is_zero(&self) -> bool {
        let RawSymbol { name, value, size, info, other, section } = *self;
        name == 0 && value == 0 && size == 0 && info == 0 && other == 0 && section == 0
    }

    pub(crate) fn kind(&self) -> SymbolKind {
        match elf::SymbolInfo(self.info).st_type() {
            elf::STT_NOTYPE => SymbolKind::NoType,
            elf::STT_OBJECT => SymbolKind::Object,
            elf::STT_FUNC => SymbolKind::Function,
            elf::STT_SECTION => SymbolKind::Section,
            elf::STT_FILE => SymbolKind::File,
            elf::STT_COMMON => SymbolKind::Common,
            elf::STT_TLS => SymbolKind::Tls,
            elf::STT_GNU_IFUNC => SymbolKind::IndirectFunction,
            other => SymbolKind::Other(other.0),
        }
    }

    pub(crate) fn binding(&self) -> Binding {
        match elf::SymbolInfo(self.info).st_bind() {
            elf::STB_LOCAL => Binding::Local,
            elf::STB_GLOBAL => Binding::Global,
            elf::STB_WEAK => Binding::Weak,
            elf::STB_GNU_UNIQUE => Binding::Unique,
            other => Binding::Other(other.0),
        }
    }

    pub(crate) fn visibility(&self) -> Visibility {
        match elf::SymbolOther(self.other).visibility() {
            elf::STV_INTERNAL => Visibility::Internal,
            elf::STV_HIDDEN => Visibility::Hidden,
            elf::STV_PROTECTED => Visibility::Protected,
            _ => Visibility::Default,
        }
    }
}

/// Whether the [`string`] at `offset` is `name`. Of a longer one no more is read than that.
pub(crate) fn is_string(strings: &[u8], offset: u64, name: &[u8]) -> bool {
    let tail = usize::try_from(offset).ok().and_then(|start| strings.get(start..));
    let rest = tail.and_then(|tail| tail.strip_prefix(name));
    rest.is_some_and(|rest| rest.first() == Some(&0)) && !name.contains(&0)
}

/// The bytes from `offset` up to the next zero byte, which must be there and not far off.
pub(crate) fn string(strings: &[u8], offset: u64) -> Option<&[u8]> {
    let tail = strings.get(usize::try_from(offset).ok()?..)?;
    let end = memchr::memchr(0, tail.get(..=LONGEST_STRING).unwrap_or(tail))?;
    tail.get(..end)
}

/// The most bytes that a name may have, so that a table of names that all lead into one string
/// without an end costs no more than its own length times this.
pub(crate) const LONGEST_STRING: usize = 0xffff;
