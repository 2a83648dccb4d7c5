//! A Mach-O image's headers, and its sections' places.

use gimli::RunTimeEndian;
use object::macho::{self, MachHeader32, MachHeader64};
use object::read::macho::{MachHeader, Section as _, Segment};
use object::{Endianness, ReadCache, ReadRef};

use crate::cursor::Cursor;
use crate::dwarf::Section;
use crate::{Error, ReadAt};

/// A Mach-O image's headers.
pub(crate) struct Image<'a> {
    pub(crate) source: &'a dyn ReadAt,
    pub(crate) endian: RunTimeEndian,
    pub(crate) is_64: bool,
    pub(crate) cpu: macho::CpuType,
    pub(crate) kind: macho::FileType,
    pub(crate) uuid: Option<[u8; 16]>,
    /// The linker's version.
    pub(crate) linker: Option<u32>,
    pub(crate) parts: Vec<Part>,
    pub(crate) symbols: Option<Symtab>,
}

/// A section's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    segment: [u8; 16],
    name: [u8; 16],
    pub(crate) flags: u32,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// Where the symbols are, and their names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symtab {
    pub(crate) at: u64,
    pub(crate) count: u64,
    pub(crate) strings_at: u64,
    pub(crate) strings_size: u64,
}

impl<'a> Image<'a> {
    pub(crate) fn read(source: &'a dyn ReadAt) -> Result<Self, Error> {
        match source.in_memory() {
            Some(bytes) => Self::read_class(source, bytes),
            None => Self::read_class(source, &ReadCache::new(Cursor::new(source))),
        }
    }

    fn read_class<'data, R: ReadRef<'data>>(
        source: &'a dyn ReadAt,
        data: R,
    ) -> Result<Self, Error> {
        let magic = data.read_bytes_at(0, 4).unwrap_or_default();
        match *magic {
            [0xfe, 0xed, 0xfa, 0xce] | [0xce, 0xfa, 0xed, 0xfe] => {
                Self::read_headers::<MachHeader32<Endianness>, R>(source, data)
            }
            [0xfe, 0xed, 0xfa, 0xcf] | [0xcf, 0xfa, 0xed, 0xfe] => {
                Self::read_headers::<MachHeader64<Endianness>, R>(source, data)
            }
            _ => Err(Error::WrongFormat { expected: "Mach-O", found: magic.to_vec() }),
        }
    }

    fn read_headers<'data, Mach: MachHeader<Endian = Endianness>, R: ReadRef<'data>>(
        source: &'a dyn ReadAt,
        data: R,
    ) -> Result<Self, Error> {
        let structure = "Mach-O header";
        let length = data.len().unwrap_or(0);
        let wanted = size_of::<Mach>() as u64;
        if length < wanted {
            return Err(Error::Short { structure, wanted, offset: 0, end: length });
        }
        let bad = |structure, at| {
            move |_| Error::Malformed { structure, at, what: "does not hold together", found: 0 }
        };
        let header = Mach::parse(data, 0).map_err(bad(structure, 0))?;
        let endian = header.endian().map_err(bad(structure, 0))?;
        let structure = "load commands";
        let size = u64::from(header.sizeofcmds(endian));
        if wanted.saturating_add(size) > length {
            return Err(Error::Short { structure, wanted: size, offset: wanted, end: length });
        }
        let mut image = Self {
            source,
            endian: match endian {
                Endianness::Little => RunTimeEndian::Little,
                Endianness::Big => RunTimeEndian::Big,
            },
            is_64: header.is_type_64(),
            cpu: header.cputype(endian),
            kind: header.filetype(endian),
            uuid: None,
            linker: None,
            parts: Vec::new(),
            symbols: None,
        };
        let bad = bad(structure, wanted);
        let mut commands = header.load_commands(endian, data, 0).map_err(bad)?;
        while let Some(command) = commands.next().map_err(bad)? {
            if let Some((segment, sections)) = Mach::Segment::from_command(command).map_err(bad)? {
                for section in segment.sections(endian, sections).map_err(bad)? {
                    image.parts.push(Part {
                        segment: *section.segname(),
                        name: *section.sectname(),
                        flags: section.flags(endian).0,
                        address: section.addr(endian).into(),
                        offset: u64::from(section.offset(endian)),
                        size: section.size(endian).into(),
                    });
                }
            } else if let Some(symtab) = command.symtab().map_err(bad)? {
                image.symbols = Some(Symtab {
                    at: u64::from(symtab.symoff.get(endian)),
                    count: u64::from(symtab.nsyms.get(endian)),
                    strings_at: u64::from(symtab.stroff.get(endian)),
                    strings_size: u64::from(symtab.strsize.get(endian)),
                });
            } else if let Some(uuid) = command.uuid().map_err(bad)? {
                image.uuid = Some(uuid.uuid);
            } else if let Some((_, tools)) = command.build_version(endian).map_err(bad)? {
                let linker = tools.iter().find(|tool| tool.tool.get(endian) == macho::TOOL_LD);
                image.linker = linker.map(|tool| tool.version.get(endian).0);
            }
        }
        Ok(image)
    }

    /// The contents of the section that ELF has a name for; an empty one where there is none.
    pub(crate) fn section(&self, name: &'static str) -> Result<Section<'a>, Error> {
        // ".debug_str_offsets" is "__debug_str_offs": there is no room for more.
        let part = self.parts.iter().find(|part| {
            let rest = part.name.strip_prefix(b"__").unwrap_or_default();
            let rest = rest.split(|&byte| byte == 0).next().unwrap_or_default();
            let wanted = name.strip_prefix('.').unwrap_or(name).as_bytes();
            part.segment.starts_with(b"__DWARF") && rest == wanted.get(..14).unwrap_or(wanted)
        });
        match part {
            Some(part) => Section::plain(name, self.source, part.offset, part.size),
            None => Ok(Section::empty(name)),
        }
    }

    /// The machine's name, as Rust has it.
    pub(crate) fn target(&self) -> Option<&'static str> {
        Some(match self.cpu {
            macho::CPU_TYPE_ARM64 => "aarch64",
            macho::CPU_TYPE_X86_64 => "x86_64",
            macho::CPU_TYPE_X86 => "x86",
            macho::CPU_TYPE_ARM => "arm",
            macho::CPU_TYPE_ARM64_32 => "arm64_32",
            macho::CPU_TYPE_POWERPC => "powerpc",
            macho::CPU_TYPE_POWERPC64 => "powerpc64",
            _ => return None,
        })
    }
}
