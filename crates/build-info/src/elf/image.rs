//! An ELF image's headers, and its sections' places.

use gimli::{EndianSlice, Reader, RunTimeEndian};
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{CompressionHeader, FileHeader, SectionHeader};
use object::{Endianness, ReadCache, ReadRef};

use crate::cursor::Cursor;
use crate::dwarf::{Packing, Section};
use crate::{Error, ReadAt};

/// An ELF image's headers.
pub(crate) struct Image<'a> {
    pub(crate) source: &'a dyn ReadAt,
    pub(crate) endian: RunTimeEndian,
    pub(crate) is_64: bool,
    pub(crate) machine: elf::Machine,
    pub(crate) kind: elf::FileType,
    pub(crate) parts: Vec<Part>,
    names: Vec<u8>,
}

/// A section's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    name: usize,
    pub(crate) kind: elf::SectionType,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: usize,
    /// How the contents are compressed, and where they begin behind the header that says so.
    pub(crate) packed: Option<Packed>,
}

/// What a compressed section says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed {
    kind: elf::CompressionType,
    claimed: u64,
    header: u64,
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
        let length = data.len().unwrap_or(0);
        let ident = data.read_bytes_at(0, length.min(16)).unwrap_or_default();
        if ident.len() < 16 && elf::ELFMAG.starts_with(ident.get(..4).unwrap_or(ident)) {
            let structure = "ELF header";
            return Err(Error::Short { structure, wanted: 16, offset: 0, end: length });
        }
        if !ident.starts_with(&elf::ELFMAG) {
            return Err(not_elf(source));
        }
        if ident.get(4) == Some(&elf::ELFCLASS64.0) {
            Self::read_headers::<FileHeader64<Endianness>, R>(source, data)
        } else {
            Self::read_headers::<FileHeader32<Endianness>, R>(source, data)
        }
    }

    fn read_headers<'data, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
        source: &'a dyn ReadAt,
        data: R,
    ) -> Result<Self, Error> {
        let structure = "ELF header";
        let length = data.len().unwrap_or(0);
        let wanted = size_of::<Elf>() as u64;
        if length < wanted {
            return Err(Error::Short { structure, wanted, offset: 0, end: length });
        }
        let bad = |structure, at| {
            move |_| Error::Malformed { structure, at, what: "does not hold together", found: 0 }
        };
        let header = Elf::parse(data).map_err(bad(structure, 0))?;
        let endian = header.endian().map_err(bad(structure, 5))?;
        let at: u64 = header.e_shoff(endian).into();
        let structure = "section headers";
        let count = header.shnum(endian, data).unwrap_or(0);
        let each = u64::from(header.e_shentsize(endian));
        let wanted = each.saturating_mul(u64::from(count));
        if at.saturating_add(wanted.max(1)) > length && at != 0 {
            return Err(Error::Short { structure, wanted, offset: at, end: length });
        }
        let sections = header.section_headers(endian, data).map_err(bad(structure, at))?;
        let names = header.section_strings_index(endian, data).ok();
        let names = names.and_then(|index| sections.get(index.0)?.file_range(endian));
        let names = match names {
            Some((at, size)) => Section::plain(".shstrtab", source, at, size)?.all()?.to_vec(),
            None => Vec::new(),
        };
        let parts = sections
            .iter()
            .map(|section| Part {
                name: usize::try_from(section.sh_name(endian)).unwrap_or(usize::MAX),
                kind: section.sh_type(endian),
                flags: section.sh_flags(endian).0,
                address: section.sh_addr(endian).into(),
                offset: section.sh_offset(endian).into(),
                size: section.sh_size(endian).into(),
                link: usize::try_from(section.sh_link(endian)).unwrap_or(usize::MAX),
                packed: section.compression(endian, data).ok().flatten().map(|(packed, at, _)| {
                    Packed {
                        kind: packed.ch_type(endian),
                        claimed: packed.ch_size(endian).into(),
                        header: at.saturating_sub(section.sh_offset(endian).into()),
                    }
                }),
            })
            .collect();
        Ok(Self {
            source,
            endian: match endian {
                Endianness::Little => RunTimeEndian::Little,
                Endianness::Big => RunTimeEndian::Big,
            },
            is_64: header.is_type_64(),
            machine: header.e_machine(endian),
            kind: header.e_type(endian),
            parts,
            names,
        })
    }

    /// A section's name.
    pub(crate) fn name(&self, part: &Part) -> &[u8] {
        let rest = self.names.get(part.name..).unwrap_or_default();
        rest.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// The first section of a name that has contents in the file.
    pub(crate) fn part(&self, name: &str) -> Option<&Part> {
        self.parts
            .iter()
            .find(|part| part.kind != elf::SHT_NOBITS && self.name(part) == name.as_bytes())
    }

    /// The contents of the section of a name; an empty one where there is none.
    pub(crate) fn section(&self, name: &'static str) -> Result<Section<'a>, Error> {
        if let Some(part) = self.part(name) {
            return self.contents(name, part);
        }
        // As GNU tools compressed sections before there was a flag.
        let part = name.strip_prefix(".debug_").and_then(|rest| {
            let is =
                |part: &&Part| self.name(part).strip_prefix(b".zdebug_") == Some(rest.as_bytes());
            self.parts.iter().find(is)
        });
        let Some(part) = part else { return Ok(Section::empty(name)) };
        let mut raw = Section::plain(name, self.source, part.offset, part.size)?;
        let head = raw.window(0, 12)?;
        let Some(claimed) = head.strip_prefix(b"ZLIB").and_then(|size| size.first_chunk()) else {
            return Ok(raw);
        };
        let claimed = u64::from_be_bytes(*claimed);
        let (offset, length) = (part.offset.saturating_add(12), part.size.saturating_sub(12));
        Section::packed(name, self.source, offset, length, Packing::Zlib, claimed)
    }

    /// A section's contents.
    pub(crate) fn contents(&self, name: &'static str, part: &Part) -> Result<Section<'a>, Error> {
        let Some(packed) = part.packed else {
            return Section::plain(name, self.source, part.offset, part.size);
        };
        let packing = match packed.kind {
            elf::ELFCOMPRESS_ZLIB => Packing::Zlib,
            elf::ELFCOMPRESS_ZSTD => Packing::Zstd,
            other => {
                let what = "unknown kind of compression";
                let found = u64::from(other.0);
                return Err(Error::Malformed { structure: name, at: part.offset, what, found });
            }
        };
        let offset = part.offset.saturating_add(packed.header);
        let length = part.size.saturating_sub(packed.header);
        Section::packed(name, self.source, offset, length, packing, packed.claimed)
    }

    /// The contents of a note with an owner and a type.
    pub(crate) fn note(&self, owner: &[u8], wanted: u32) -> Option<Vec<u8>> {
        for part in self.parts.iter().filter(|part| part.kind == elf::SHT_NOTE) {
            let mut notes = Section::plain("notes", self.source, part.offset, part.size).ok()?;
            let Ok(bytes) = notes.window(0, 64 << 10) else { continue };
            let mut reader = EndianSlice::new(bytes, self.endian);
            while let Ok((name, kind, contents)) = note(&mut reader) {
                if kind == wanted && name == owner {
                    return Some(contents.to_vec());
                }
            }
        }
        None
    }

    /// The machine's name, as Rust has it.
    pub(crate) fn target(&self) -> Option<&'static str> {
        Some(match self.machine {
            elf::EM_X86_64 => "x86_64",
            elf::EM_386 => "x86",
            elf::EM_AARCH64 => "aarch64",
            elf::EM_ARM => "arm",
            elf::EM_RISCV if self.is_64 => "riscv64",
            elf::EM_RISCV => "riscv32",
            elf::EM_PPC64 => "powerpc64",
            elf::EM_PPC => "powerpc",
            elf::EM_S390 => "s390x",
            elf::EM_MIPS if self.is_64 => "mips64",
            elf::EM_MIPS => "mips",
            elf::EM_LOONGARCH => "loongarch64",
            elf::EM_SPARCV9 => "sparc64",
            _ => return None,
        })
    }
}

fn note<'a>(
    reader: &mut EndianSlice<'a, RunTimeEndian>,
) -> gimli::Result<(&'a [u8], u32, &'a [u8])> {
    let name_size = reader.read_u32()?;
    let size = reader.read_u32()?;
    let kind = reader.read_u32()?;
    let mut padded = |size: u32| {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let bytes = reader.split(size)?;
        let padding = size.wrapping_neg() & 3;
        reader.skip(padding.min(reader.len()))?;
        Ok::<_, gimli::Error>(bytes.slice())
    };
    let name = padded(name_size)?;
    let contents = padded(size)?;
    Ok((name.strip_suffix(b"\0").unwrap_or(name), kind, contents))
}

fn not_elf(source: &dyn ReadAt) -> Error {
    let mut found = vec![0; 16];
    let count = source.read_at(&mut found, 0).unwrap_or(0);
    found.truncate(count);
    Error::WrongFormat { expected: "ELF", found }
}
