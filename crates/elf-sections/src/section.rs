//! Section headers: the linker's names for ranges of the image.

use std::ops::Range;

use object::elf;

/// A section header with its name.
///
/// Names need not be unique: mixed inputs make GNU ld emit one `.state` with bytes and a second
/// one without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Section<'data> {
    /// Its place in the section header table.
    pub index: u32,
    /// Its name; empty where the table has none for it.
    pub name: &'data [u8],
    /// `sh_type`.
    pub kind: SectionKind,
    /// `sh_flags`.
    pub flags: SectionFlags,
    /// `sh_addr`: where it is in memory, before the load bias is added; 0 if it is not.
    pub address: u64,
    /// `sh_offset`: where its bytes start in the file.
    pub offset: u64,
    /// `sh_size`: how many bytes it has, in memory and, unless it is `NOBITS`, in the file.
    pub size: u64,
    /// `sh_link`: another section, which one depends on the kind.
    pub link: u32,
    /// `sh_info`: its meaning depends on the kind.
    pub info: u32,
    /// `sh_addralign`.
    pub align: u64,
    /// `sh_entsize`: the size of its entries, if it is a table.
    pub entry_size: u64,
}

impl Section<'_> {
    /// Its addresses, before the load bias is added. Empty where they would wrap around.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.checked_add(self.size).unwrap_or(self.address)
    }

    /// Whether it is part of the image in memory at addresses of its own.
    ///
    /// `.tbss` is not: it is a template for each thread, and its header's addresses are those of
    /// the sections that follow it.
    pub fn is_addressable(&self) -> bool {
        let is_tbss = self.flags.is_tls() && self.kind == SectionKind::NOBITS;
        self.flags.is_allocated() && !is_tbss
    }
}

/// `sh_type`: what a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SectionKind(pub u32);

impl SectionKind {
    /// `SHT_NULL`: an unused header.
    pub const NULL: SectionKind = SectionKind(elf::SHT_NULL.0);
    /// `SHT_PROGBITS`: the program's own bytes.
    pub const PROGBITS: SectionKind = SectionKind(elf::SHT_PROGBITS.0);
    /// `SHT_SYMTAB`: symbols.
    pub const SYMTAB: SectionKind = SectionKind(elf::SHT_SYMTAB.0);
    /// `SHT_STRTAB`: strings.
    pub const STRTAB: SectionKind = SectionKind(elf::SHT_STRTAB.0);
    /// `SHT_DYNAMIC`: the dynamic table.
    pub const DYNAMIC: SectionKind = SectionKind(elf::SHT_DYNAMIC.0);
    /// `SHT_NOTE`: notes.
    pub const NOTE: SectionKind = SectionKind(elf::SHT_NOTE.0);
    /// `SHT_NOBITS`: zeros that take no space in the file.
    pub const NOBITS: SectionKind = SectionKind(elf::SHT_NOBITS.0);
    /// `SHT_DYNSYM`: the dynamic symbols.
    pub const DYNSYM: SectionKind = SectionKind(elf::SHT_DYNSYM.0);
    /// `SHT_INIT_ARRAY`: addresses of initialisers.
    pub const INIT_ARRAY: SectionKind = SectionKind(elf::SHT_INIT_ARRAY.0);
    /// `SHT_FINI_ARRAY`: addresses of finalisers.
    pub const FINI_ARRAY: SectionKind = SectionKind(elf::SHT_FINI_ARRAY.0);
    /// `SHT_PREINIT_ARRAY`: addresses of a program's initialisers that run before its libraries'.
    pub const PREINIT_ARRAY: SectionKind = SectionKind(elf::SHT_PREINIT_ARRAY.0);
    /// `SHT_SYMTAB_SHNDX`: section indices that do not fit into a symbol.
    pub const SYMTAB_SHNDX: SectionKind = SectionKind(elf::SHT_SYMTAB_SHNDX.0);
}

/// `sh_flags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SectionFlags(pub u64);

impl SectionFlags {
    /// `SHF_WRITE`.
    pub fn is_writable(self) -> bool {
        self.0 & elf::SHF_WRITE.0 != 0
    }

    /// `SHF_ALLOC`: in memory at run time.
    pub fn is_allocated(self) -> bool {
        self.0 & elf::SHF_ALLOC.0 != 0
    }

    /// `SHF_EXECINSTR`.
    pub fn is_executable(self) -> bool {
        self.0 & elf::SHF_EXECINSTR.0 != 0
    }

    /// `SHF_TLS`: one copy for each thread.
    pub fn is_tls(self) -> bool {
        self.0 & elf::SHF_TLS.0 != 0
    }

    /// `SHF_STRINGS`: it consists of strings that end with a zero.
    pub fn holds_strings(self) -> bool {
        self.0 & elf::SHF_STRINGS.0 != 0
    }

    /// `SHF_COMPRESSED`: the bytes in the file are compressed.
    pub fn is_compressed(self) -> bool {
        self.0 & elf::SHF_COMPRESSED.0 != 0
    }
}
