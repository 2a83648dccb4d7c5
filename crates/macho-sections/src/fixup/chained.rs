//! `LC_DYLD_CHAINED_FIXUPS`: each word to be fixed up says how far it is to the next.

use object::Endianness;
use object::macho::{self, DyldChainedImport32, DyldChainedImport64, DyldChainedPtrFormat};
use object::read::macho::{
    DyldChainedFixupIterator, DyldChainedFixups, DyldChainedSegment, DyldChainedSegmentIterator,
    Fixup as RawFixup, FixupAuth,
};

use super::{Authentication, Binding, Fixup, FixupTarget};
use crate::strings::Strings;
use crate::{Error, Image, Segment, Structure};

/// The chains of an image.
#[derive(Debug, Clone)]
pub(super) struct Chains<'image, 'data> {
    image: &'image Image<'data>,
    /// Where the table is.
    at: u64,
    imports: Imports<'data>,
    segments: DyldChainedSegmentIterator<'data, Endianness>,
    current: Option<Chain<'image, 'data>>,
    /// The address that offsets are counted from.
    preferred: u64,
    /// How many pages may still be looked at.
    pages: u64,
}

impl<'image, 'data> Chains<'image, 'data> {
    pub(super) fn new(image: &'image Image<'data>, place: (u64, u64)) -> Result<Self, Error> {
        let data = image.table(STRUCTURE, place)?;
        let at = place.0;
        let endian = image.layout.endian;
        let malformed = |what| move |_| Error::malformed(STRUCTURE, at, what, place.1);
        let fixups = DyldChainedFixups::parse(endian, data)
            .map_err(malformed("no header of a known version"))?;
        let segments = fixups.segments(endian).map_err(malformed("no list of segments"))?;
        Ok(Chains {
            image,
            at,
            imports: Imports::new(endian, fixups, data),
            segments,
            current: None,
            preferred: image.header_address().unwrap_or(0),
            pages: image.data.len() as u64,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<Fixup<'data>>, Error> {
        loop {
            if let Some(chain) = &mut self.current {
                let next = chain.fixups.next().map_err(|_| {
                    let what = "a chain that leaves its segment, or an unknown pointer format";
                    Error::malformed(STRUCTURE, self.at, what, chain.format.0)
                })?;
                if let Some((offset, raw)) = next {
                    let (segment, size) = (chain.segment, chain.size());
                    let limit = chain.max_valid_pointer;
                    return self.fixup(segment, offset, size, limit, raw).map(Some);
                }
                self.current = None;
            }
            let next = self.segments.next();
            let Some(starts) = next.map_err(|_| self.malformed("no list of pages", 0_u32))? else {
                return Ok(None);
            };
            self.current = Some(self.chain(&starts)?);
        }
    }

    fn chain(
        &mut self,
        starts: &DyldChainedSegment<'data, Endianness>,
    ) -> Result<Chain<'image, 'data>, Error> {
        let endian = self.image.layout.endian;
        let index = starts.index();
        let segments = self.image.segments();
        let segment = usize::try_from(index).ok().and_then(|index| segments.get(index));
        let Some(segment) = segment else {
            return Err(self.malformed("a segment that is not there", index));
        };
        let header = starts.header();
        let pages = u64::from(header.page_count.get(endian));
        let Some(left) = self.pages.checked_sub(pages) else {
            return Err(self.malformed("more pages than bytes", pages));
        };
        self.pages = left;
        // Bytes beyond the end of the file are missing, and so a chain that reaches them breaks.
        let end = self.image.data.len() as u64;
        let size = segment.file_size.min(end.saturating_sub(segment.offset));
        let data = self.image.table(Structure::Segment, (segment.offset.min(end), size))?;
        Ok(Chain {
            segment,
            format: header.pointer_format.get(endian),
            max_valid_pointer: u64::from(header.max_valid_pointer.get(endian)),
            fixups: starts.fixups(endian, self.preferred, data),
        })
    }

    fn fixup(
        &self,
        segment: &Segment<'_>,
        offset: u64,
        size: u8,
        limit: u64,
        raw: RawFixup,
    ) -> Result<Fixup<'data>, Error> {
        let address = segment.address.wrapping_add(offset);
        let (target, auth) = match raw {
            RawFixup::Rebase(rebase) => {
                let target = self.preferred.wrapping_add(rebase.target_offset);
                let is_number = size == 4 && limit != 0 && target > limit;
                let target =
                    if is_number { number(target, limit) } else { FixupTarget::Address(target) };
                (target, rebase.auth)
            }
            RawFixup::Bind(bind) => {
                let Some(import) = self.imports.get(bind.ordinal) else {
                    return Err(self.malformed("an import that is not there", bind.ordinal));
                };
                let addend = import.addend.wrapping_add(i64::from(bind.addend));
                let FixupImport { name, library, .. } = import;
                let binding = if library == WEAK_LOOKUP { Binding::Weak } else { Binding::Eager };
                let library = Some(library);
                (FixupTarget::Symbol { name, library, addend, binding }, bind.auth)
            }
            RawFixup::KernelCacheRebase(rebase) => {
                let (level, offset) = (rebase.cache_level, rebase.target_offset);
                (FixupTarget::Cache { level, offset }, rebase.auth)
            }
            RawFixup::SegmentedRebase(rebase) => {
                let index = rebase.target_segment_index;
                let Some(target) = self.image.segments().get(usize::from(index)) else {
                    return Err(self.malformed("a target in a segment that is not there", index));
                };
                let address = target.address.wrapping_add(rebase.target_segment_offset);
                (FixupTarget::Address(address), rebase.auth)
            }
        };
        Ok(Fixup { address, size, target, authentication: auth.map(Authentication::from) })
    }

    fn malformed(&self, what: &'static str, found: impl Into<u64>) -> Error {
        Error::malformed(STRUCTURE, self.at, what, found)
    }
}

/// The chains of one segment.
#[derive(Debug, Clone)]
struct Chain<'image, 'data> {
    segment: &'image Segment<'data>,
    format: DyldChainedPtrFormat,
    max_valid_pointer: u64,
    fixups: DyldChainedFixupIterator<'data, Endianness>,
}

impl Chain<'_, '_> {
    fn size(&self) -> u8 {
        match self.format {
            macho::DYLD_CHAINED_PTR_32
            | macho::DYLD_CHAINED_PTR_32_CACHE
            | macho::DYLD_CHAINED_PTR_32_FIRMWARE => 4,
            _ => 8,
        }
    }
}

/// A word of a 32-bit chain beyond every address: the loader takes this bias off it again.
fn number(target: u64, limit: u64) -> FixupTarget<'static> {
    let bias = limit.saturating_add(0x0400_0000) / 2;
    FixupTarget::Number(target.wrapping_sub(bias) & 0xffff_ffff)
}

/// The symbols that chained binds name by number.
#[derive(Debug, Clone)]
struct Imports<'data> {
    endian: Endianness,
    format: macho::DyldChainedImportFormat,
    count: u32,
    entries: &'data [u8],
    names: Strings<'data>,
}

struct FixupImport<'data> {
    name: &'data [u8],
    library: i32,
    addend: i64,
}

impl<'data> Imports<'data> {
    /// The table as far as it is there; whether it is whole shows when an import is wanted.
    fn new(
        endian: Endianness,
        fixups: DyldChainedFixups<'data, Endianness>,
        data: &'data [u8],
    ) -> Imports<'data> {
        let header = fixups.header();
        let from = |offset: u32| {
            let start = usize::try_from(offset).ok();
            start.and_then(|start| data.get(start..)).unwrap_or_default()
        };
        // Compressed names have been planned for and never been written by any linker.
        let is_plain = header.symbols_format.get(endian) == 0;
        let names = if is_plain { from(header.symbols_offset.get(endian)) } else { &[] };
        Imports {
            endian,
            format: header.imports_format.get(endian),
            count: header.imports_count.get(endian),
            entries: from(header.imports_offset.get(endian)),
            names: Strings::new(names),
        }
    }

    fn get(&self, ordinal: u32) -> Option<FixupImport<'data>> {
        let size: usize = match self.format {
            macho::DYLD_CHAINED_IMPORT => 4,
            macho::DYLD_CHAINED_IMPORT_ADDEND => 8,
            macho::DYLD_CHAINED_IMPORT_ADDEND64 => 16,
            _ => return None,
        };
        if ordinal >= self.count {
            return None;
        }
        let start = usize::try_from(ordinal).ok()?.checked_mul(size)?;
        let entry = self.entries.get(start..)?.get(..size)?;
        let (first, rest) = entry.split_at_checked(size.min(size / 2).max(4))?;
        if self.format == macho::DYLD_CHAINED_IMPORT_ADDEND64 {
            let import = DyldChainedImport64(self.u64(first)?);
            return Some(FixupImport {
                name: self.names.at(import.name_offset()),
                library: import.dylib().0,
                addend: self.u64(rest)?.cast_signed(),
            });
        }
        let import = DyldChainedImport32(self.u32(first)?);
        let addend = if rest.is_empty() { 0 } else { self.u32(rest)?.cast_signed() };
        Some(FixupImport {
            name: self.names.at(import.name_offset()),
            library: import.dylib().0,
            addend: i64::from(addend),
        })
    }

    fn u32(&self, bytes: &[u8]) -> Option<u32> {
        let bytes = *bytes.first_chunk()?;
        Some(match self.endian {
            Endianness::Little => u32::from_le_bytes(bytes),
            Endianness::Big => u32::from_be_bytes(bytes),
        })
    }

    fn u64(&self, bytes: &[u8]) -> Option<u64> {
        let bytes = *bytes.first_chunk()?;
        Some(match self.endian {
            Endianness::Little => u64::from_le_bytes(bytes),
            Endianness::Big => u64::from_be_bytes(bytes),
        })
    }
}

impl From<FixupAuth> for Authentication {
    fn from(auth: FixupAuth) -> Authentication {
        let key = match auth.key {
            macho::PtrauthKey::IA => 0,
            macho::PtrauthKey::IB => 1,
            macho::PtrauthKey::DA => 2,
            macho::PtrauthKey::DB => 3,
        };
        Authentication { key, diversity: auth.diversity, by_address: auth.addr_div }
    }
}

const STRUCTURE: Structure = Structure::ChainedFixups;

/// `BIND_SPECIAL_DYLIB_WEAK_LOOKUP`.
const WEAK_LOOKUP: i32 = -3;
