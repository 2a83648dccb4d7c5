//! The raw structures of both classes and byte orders, read into one widened form.

use object::{Endianness, macho, pod};

use crate::command::CommandKind;
use crate::header::{Class, Cpu, Endian, FileFlags, FileKind, Header};
use crate::section::{Section, SectionFlags, SectionKind};
use crate::segment::{Permissions, Segment, SegmentFlags};

/// The class and byte order that an image's structures are laid out in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) class: Class,
    pub(crate) endian: Endianness,
}

/// What reads the headers of segments and sections, of which there are many: for it the byte order
/// is a type, so that it is not asked for with each field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Headers<E> {
    pub(crate) class: Class,
    pub(crate) endian: E,
}

/// An entry of the symbol table as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawSymbol {
    pub(crate) name: u32,
    pub(crate) kind: u8,
    pub(crate) section: u8,
    pub(crate) description: u16,
    pub(crate) value: u64,
}

/// Reads the structure of the layout's class from the front of the bytes and widens it.
macro_rules! widen {
    (
        $class:expr, $endian:ty, $bytes:expr, $small:ident, $large:ident,
        |$raw:ident, $rest:ident| $value:expr
    ) => {
        match $class {
            Class::MachO32 => {
                let ($raw, $rest) = pod::from_bytes::<macho::$small<$endian>>($bytes).ok()?;
                Some($value)
            }
            Class::MachO64 => {
                let ($raw, $rest) = pod::from_bytes::<macho::$large<$endian>>($bytes).ok()?;
                Some($value)
            }
        }
    };
}

#[allow(clippy::useless_conversion, reason = "the same text widens 32-bit and 64-bit fields")]
impl<E: object::Endian> Headers<E> {
    /// Kind and size of a load command.
    #[inline]
    pub(crate) fn command(self, bytes: &[u8]) -> Option<(CommandKind, u32)> {
        let (raw, _) = pod::from_bytes::<macho::LoadCommand<E>>(bytes).ok()?;
        Some((CommandKind(raw.cmd.get(self.endian).0), raw.cmdsize.get(self.endian)))
    }

    /// A segment, and the bytes behind it where its section headers are.
    #[inline]
    pub(crate) fn segment(self, bytes: &[u8]) -> Option<(Segment<'_>, &[u8])> {
        let e = self.endian;
        widen!(self.class, E, bytes, SegmentCommand32, SegmentCommand64, |raw, rest| (
            Segment {
                index: 0,
                name: fixed_name(&raw.segname),
                address: raw.vmaddr.get(e).into(),
                memory_size: raw.vmsize.get(e).into(),
                offset: raw.fileoff.get(e).into(),
                file_size: raw.filesize.get(e).into(),
                permissions: Permissions(raw.initprot.get(e).0),
                maximum: Permissions(raw.maxprot.get(e).0),
                flags: SegmentFlags(raw.flags.get(e).0),
                first_section: 0,
                section_count: raw.nsects.get(e),
            },
            rest,
        ))
    }

    #[inline]
    pub(crate) fn section(self, bytes: &[u8]) -> Option<Section<'_>> {
        let e = self.endian;
        widen!(self.class, E, bytes, Section32, Section64, |raw, _rest| {
            let flags = raw.flags.get(e).0;
            Section {
                index: 0,
                name: fixed_name(&raw.sectname),
                segment_name: fixed_name(&raw.segname),
                segment: 0,
                kind: SectionKind((flags & macho::SECTION_TYPE) as u8),
                flags: SectionFlags(flags & macho::SECTION_ATTRIBUTES),
                address: raw.addr.get(e).into(),
                offset: raw.offset.get(e).into(),
                size: raw.size.get(e).into(),
                align: raw.align.get(e),
                relocations: raw.reloff.get(e),
                relocation_count: raw.nreloc.get(e),
                reserved1: raw.reserved1.get(e),
                reserved2: raw.reserved2.get(e),
            }
        })
    }
}

#[allow(clippy::useless_conversion, reason = "the same text widens 32-bit and 64-bit fields")]
impl Layout {
    /// What the magic number says.
    pub(crate) fn of(magic: [u8; 4]) -> Option<Layout> {
        let (class, endian) = match u32::from_be_bytes(magic) {
            macho::MH_MAGIC => (Class::MachO32, Endianness::Big),
            macho::MH_CIGAM => (Class::MachO32, Endianness::Little),
            macho::MH_MAGIC_64 => (Class::MachO64, Endianness::Big),
            macho::MH_CIGAM_64 => (Class::MachO64, Endianness::Little),
            _ => return None,
        };
        Some(Layout { class, endian })
    }

    pub(crate) fn header(self, bytes: &[u8]) -> Option<Header> {
        let e = self.endian;
        let endian = match e {
            Endianness::Little => Endian::Little,
            Endianness::Big => Endian::Big,
        };
        widen!(self.class, Endianness, bytes, MachHeader32, MachHeader64, |raw, _rest| Header {
            class: self.class,
            endian,
            cpu: Cpu { family: raw.cputype.get(e).0, subtype: raw.cpusubtype.get(e).0 },
            kind: FileKind(raw.filetype.get(e).0),
            flags: FileFlags(raw.flags.get(e).0),
            command_count: raw.ncmds.get(e),
            commands_size: raw.sizeofcmds.get(e),
        })
    }

    /// Kind and size of a load command.
    pub(crate) fn command(self, bytes: &[u8]) -> Option<(CommandKind, u32)> {
        let (raw, _) = pod::from_bytes::<macho::LoadCommand<Endianness>>(bytes).ok()?;
        Some((CommandKind(raw.cmd.get(self.endian).0), raw.cmdsize.get(self.endian)))
    }

    pub(crate) fn symbol(self, bytes: &[u8]) -> Option<RawSymbol> {
        let e = self.endian;
        widen!(self.class, Endianness, bytes, Nlist32, Nlist64, |raw, _rest| RawSymbol {
            name: raw.n_strx.get(e),
            kind: raw.n_type.0,
            section: raw.n_sect,
            description: raw.n_desc.get(e).0,
            value: raw.n_value.get(e).into(),
        })
    }

    /// The word of four bytes at the front.
    pub(crate) fn u32(self, bytes: &[u8]) -> Option<u32> {
        let (raw, _) = pod::from_bytes::<object::U32<Endianness>>(bytes).ok()?;
        Some(raw.get(self.endian))
    }

    /// A word of four bytes as it stands in the file, for a plan's edit.
    pub(crate) fn u32_bytes(self, value: u32) -> [u8; 4] {
        match self.endian {
            Endianness::Little => value.to_le_bytes(),
            Endianness::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn header_size(self) -> usize {
        self.choose(
            size_of::<macho::MachHeader32<Endianness>>(),
            size_of::<macho::MachHeader64<Endianness>>(),
        )
    }

    /// The command that segments of this class have.
    pub(crate) fn segment_kind(self) -> CommandKind {
        match self.class {
            Class::MachO32 => CommandKind::SEGMENT,
            Class::MachO64 => CommandKind::SEGMENT_64,
        }
    }

    pub(crate) fn segment_size(self) -> usize {
        self.choose(
            size_of::<macho::SegmentCommand32<Endianness>>(),
            size_of::<macho::SegmentCommand64<Endianness>>(),
        )
    }

    pub(crate) fn section_size(self) -> usize {
        self.choose(
            size_of::<macho::Section32<Endianness>>(),
            size_of::<macho::Section64<Endianness>>(),
        )
    }

    pub(crate) fn symbol_size(self) -> usize {
        self.choose(
            size_of::<macho::Nlist32<Endianness>>(),
            size_of::<macho::Nlist64<Endianness>>(),
        )
    }

    /// What the sizes of load commands are multiples of.
    pub(crate) fn command_align(self) -> usize {
        self.choose(4, 8)
    }

    fn choose(self, small: usize, large: usize) -> usize {
        match self.class {
            Class::MachO32 => small,
            Class::MachO64 => large,
        }
    }
}

/// A name that ends before its first NUL, or has none.
///
/// There are two in every section, and so they are not searched byte by byte: in the difference
/// the lowest bit that is set among the highest of each byte belongs to the first NUL.
fn fixed_name(name: &[u8; 16]) -> &[u8] {
    const ONES: u128 = u128::MAX / 0xff;
    const HIGHEST: u128 = ONES << 7;
    let word = u128::from_le_bytes(*name);
    let nul = word.wrapping_sub(ONES) & !word & HIGHEST;
    name.get(..(nul.trailing_zeros() / 8) as usize).unwrap_or(name)
}
