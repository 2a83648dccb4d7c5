//! The raw structures of both classes and byte orders, read into one widened form.

use object::{Endianness, elf, pod};

use crate::header::{Class, Endian, Kind, Machine};
use crate::relocation::Relocation;
use crate::segment::{Permissions, Segment, SegmentKind};
use crate::symbol::RawSymbol;

/// The class and byte order that an image's structures are laid out in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) class: Class,
    endian: Endianness,
    is_mips64el: bool,
}

/// The header as it stands in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawHeader {
    pub(crate) kind: Kind,
    pub(crate) machine: Machine,
    pub(crate) version: u32,
    pub(crate) entry: u64,
    pub(crate) phoff: u64,
    pub(crate) shoff: u64,
    pub(crate) flags: u32,
    pub(crate) phentsize: u16,
    pub(crate) phnum: u16,
    pub(crate) shentsize: u16,
    pub(crate) shnum: u16,
    pub(crate) shstrndx: u16,
}

/// A section header whose name has not been looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawSection {
    pub(crate) name: u32,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
    pub(crate) info: u32,
    pub(crate) align: u64,
    pub(crate) entry_size: u64,
}

/// Reads the structure of the layout's class from the front of the bytes and widens it.
macro_rules! widen {
    ($layout:expr, $bytes:expr, $small:ident, $large:ident, |$raw:ident| $value:expr) => {
        match $layout.class {
            Class::Elf32 => {
                let ($raw, _) = pod::from_bytes::<elf::$small<Endianness>>($bytes).ok()?;
                Some($value)
            }
            Class::Elf64 => {
                let ($raw, _) = pod::from_bytes::<elf::$large<Endianness>>($bytes).ok()?;
                Some($value)
            }
        }
    };
}

#[allow(clippy::useless_conversion, reason = "the same text widens 32-bit and 64-bit fields")]
impl Layout {
    pub(crate) fn new(class: Class, endian: Endian) -> Layout {
        let endian = match endian {
            Endian::Little => Endianness::Little,
            Endian::Big => Endianness::Big,
        };
        Layout { class, endian, is_mips64el: false }
    }

    /// 64-bit little-endian MIPS keeps the parts of `r_info` in an order of its own.
    pub(crate) fn for_machine(self, machine: Machine) -> Layout {
        let is_mips64el = machine == Machine::MIPS
            && self.class == Class::Elf64
            && self.endian == Endianness::Little;
        Layout { is_mips64el, ..self }
    }

    pub(crate) fn header(self, bytes: &[u8]) -> Option<RawHeader> {
        let e = self.endian;
        widen!(self, bytes, FileHeader32, FileHeader64, |raw| RawHeader {
            kind: Kind::new(raw.e_type.get(e).0),
            machine: Machine(raw.e_machine.get(e).0),
            version: raw.e_version.get(e),
            entry: raw.e_entry.get(e).into(),
            phoff: raw.e_phoff.get(e).into(),
            shoff: raw.e_shoff.get(e).into(),
            flags: raw.e_flags.get(e).0,
            phentsize: raw.e_phentsize.get(e),
            phnum: raw.e_phnum.get(e),
            shentsize: raw.e_shentsize.get(e),
            shnum: raw.e_shnum.get(e),
            shstrndx: raw.e_shstrndx.get(e).0,
        })
    }

    pub(crate) fn segment(self, bytes: &[u8]) -> Option<Segment> {
        let e = self.endian;
        widen!(self, bytes, ProgramHeader32, ProgramHeader64, |raw| Segment {
            kind: SegmentKind(raw.p_type.get(e).0),
            permissions: Permissions(raw.p_flags.get(e).0),
            offset: raw.p_offset.get(e).into(),
            address: raw.p_vaddr.get(e).into(),
            file_size: raw.p_filesz.get(e).into(),
            memory_size: raw.p_memsz.get(e).into(),
            align: raw.p_align.get(e).into(),
        })
    }

    pub(crate) fn section(self, bytes: &[u8]) -> Option<RawSection> {
        let e = self.endian;
        widen!(self, bytes, SectionHeader32, SectionHeader64, |raw| RawSection {
            name: raw.sh_name.get(e),
            kind: raw.sh_type.get(e).0,
            flags: raw.sh_flags.widened(e).0,
            address: raw.sh_addr.get(e).into(),
            offset: raw.sh_offset.get(e).into(),
            size: raw.sh_size.get(e).into(),
            link: raw.sh_link.get(e),
            info: raw.sh_info.get(e),
            align: raw.sh_addralign.get(e).into(),
            entry_size: raw.sh_entsize.get(e).into(),
        })
    }

    /// An entry of the dynamic table: tag and value.
    pub(crate) fn dynamic(self, bytes: &[u8]) -> Option<(i64, u64)> {
        let e = self.endian;
        widen!(self, bytes, Dyn32, Dyn64, |raw| (raw.d_tag.widened(e).0, raw.d_val.get(e).into()))
    }

    pub(crate) fn symbol(self, bytes: &[u8]) -> Option<RawSymbol> {
        let e = self.endian;
        widen!(self, bytes, Sym32, Sym64, |raw| RawSymbol {
            name: raw.st_name.get(e),
            value: raw.st_value.get(e).into(),
            size: raw.st_size.get(e).into(),
            info: raw.st_info.0,
            other: raw.st_other.0,
            section: raw.st_shndx.get(e).0,
        })
    }

    pub(crate) fn rela(self, bytes: &[u8]) -> Option<Relocation> {
        let e = self.endian;
        match self.class {
            Class::Elf32 => {
                let (raw, _) = pod::from_bytes::<elf::Rela32<Endianness>>(bytes).ok()?;
                Some(Relocation {
                    address: raw.r_offset.get(e).into(),
                    kind: raw.r_type(e).0,
                    symbol: raw.r_sym(e),
                    addend: Some(raw.r_addend.get(e).into()),
                })
            }
            Class::Elf64 => {
                let (raw, _) = pod::from_bytes::<elf::Rela64<Endianness>>(bytes).ok()?;
                Some(Relocation {
                    address: raw.r_offset.get(e),
                    kind: raw.r_type(e, self.is_mips64el).0,
                    symbol: raw.r_sym(e, self.is_mips64el),
                    addend: Some(raw.r_addend.get(e)),
                })
            }
        }
    }

    pub(crate) fn rel(self, bytes: &[u8]) -> Option<Relocation> {
        let e = self.endian;
        match self.class {
            Class::Elf32 => {
                let (raw, _) = pod::from_bytes::<elf::Rel32<Endianness>>(bytes).ok()?;
                Some(Relocation {
                    address: raw.r_offset.get(e).into(),
                    kind: raw.r_type(e).0,
                    symbol: raw.r_sym(e),
                    addend: None,
                })
            }
            Class::Elf64 => {
                let (raw, _) = pod::from_bytes::<elf::Rel64<Endianness>>(bytes).ok()?;
                // Rela64 knows how MIPS mixes the two parts of `r_info`.
                let raw = elf::Rela64::from(*raw);
                Some(Relocation {
                    address: raw.r_offset.get(e),
                    kind: raw.r_type(e, self.is_mips64el).0,
                    symbol: raw.r_sym(e, self.is_mips64el),
                    addend: None,
                })
            }
        }
    }

    /// A word of the image's class.
    pub(crate) fn word(self, bytes: &[u8]) -> Option<u64> {
        let e = self.endian;
        widen!(self, bytes, Relr32, Relr64, |raw| raw.0.get(e).into())
    }

    pub(crate) fn u32(self, bytes: &[u8]) -> Option<u32> {
        let (raw, _) = pod::from_bytes::<object::U32<Endianness>>(bytes).ok()?;
        Some(raw.get(self.endian))
    }

    pub(crate) fn u16(self, bytes: &[u8]) -> Option<u16> {
        let (raw, _) = pod::from_bytes::<object::U16<Endianness>>(bytes).ok()?;
        Some(raw.get(self.endian))
    }

    pub(crate) fn u32_bytes(self, value: u32) -> [u8; 4] {
        match self.endian {
            Endianness::Little => value.to_le_bytes(),
            Endianness::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn u16_bytes(self, value: u16) -> [u8; 2] {
        match self.endian {
            Endianness::Little => value.to_le_bytes(),
            Endianness::Big => value.to_be_bytes(),
        }
    }

    /// A word as it stands in the file, for a plan's edit.
    pub(crate) fn word_bytes(self, value: u64) -> Vec<u8> {
        let bytes = match self.endian {
            Endianness::Little => value.to_le_bytes(),
            Endianness::Big => value.to_be_bytes(),
        };
        match (self.class, self.endian) {
            (Class::Elf64, _) => bytes.to_vec(),
            (Class::Elf32, Endianness::Little) => bytes.iter().take(4).copied().collect(),
            (Class::Elf32, Endianness::Big) => bytes.iter().skip(4).copied().collect(),
        }
    }

    pub(crate) fn header_size(self) -> usize {
        self.choose(
            size_of::<elf::FileHeader32<Endianness>>(),
            size_of::<elf::FileHeader64<Endianness>>(),
        )
    }

    pub(crate) fn segment_size(self) -> usize {
        self.choose(
            size_of::<elf::ProgramHeader32<Endianness>>(),
            size_of::<elf::ProgramHeader64<Endianness>>(),
        )
    }

    pub(crate) fn section_size(self) -> usize {
        self.choose(
            size_of::<elf::SectionHeader32<Endianness>>(),
            size_of::<elf::SectionHeader64<Endianness>>(),
        )
    }

    pub(crate) fn dynamic_size(self) -> usize {
        self.choose(size_of::<elf::Dyn32<Endianness>>(), size_of::<elf::Dyn64<Endianness>>())
    }

    pub(crate) fn symbol_size(self) -> usize {
        self.choose(size_of::<elf::Sym32<Endianness>>(), size_of::<elf::Sym64<Endianness>>())
    }

    pub(crate) fn rela_size(self) -> usize {
        self.choose(size_of::<elf::Rela32<Endianness>>(), size_of::<elf::Rela64<Endianness>>())
    }

    pub(crate) fn rel_size(self) -> usize {
        self.choose(size_of::<elf::Rel32<Endianness>>(), size_of::<elf::Rel64<Endianness>>())
    }

    pub(crate) fn word_size(self) -> usize {
        self.choose(4, 8)
    }

    fn choose(self, small: usize, large: usize) -> usize {
        match self.class {
            Class::Elf32 => small,
            Class::Elf64 => large,
        }
    }
}

/// A field whose type is of the wider class, and which the narrower class stores in fewer bytes.
trait Widened<T> {
    fn widened(self, endian: Endianness) -> T;
}

impl Widened<elf::SectionFlags> for object::U32<Endianness, elf::SectionFlags> {
    fn widened(self, endian: Endianness) -> elf::SectionFlags {
        self.get_u64(endian)
    }
}

impl Widened<elf::SectionFlags> for object::U64<Endianness, elf::SectionFlags> {
    fn widened(self, endian: Endianness) -> elf::SectionFlags {
        self.get(endian)
    }
}

impl Widened<elf::DynamicTag> for object::I32<Endianness, elf::DynamicTag> {
    fn widened(self, endian: Endianness) -> elf::DynamicTag {
        self.get_i64(endian)
    }
}

impl Widened<elf::DynamicTag> for object::I64<Endianness, elf::DynamicTag> {
    fn widened(self, endian: Endianness) -> elf::DynamicTag {
        self.get(endian)
    }
}
