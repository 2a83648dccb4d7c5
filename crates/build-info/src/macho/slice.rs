//! A file within a file: of one architecture among several, or a member of an archive.

use std::io;

use object::macho::{CPU_ARCH_ABI64, CpuType};
use object::read::archive::ArchiveFile;
use object::read::macho::{FatArch, MachOFatFile32, MachOFatFile64};
use object::{ReadCache, ReadRef};

use crate::cursor::Cursor;
use crate::{Error, ReadAt};

/// A file within a file.
#[derive(Clone, Copy)]
pub(crate) struct Slice<'a> {
    source: &'a dyn ReadAt,
    offset: u64,
    length: u64,
}

/// An architecture's part of a file for several.
struct Architecture {
    cpu: u32,
    offset: u64,
    length: u64,
}

impl<'a> Slice<'a> {
    /// Of a file for several architectures the part of one, and of another file all.
    ///
    /// Of several it is the first that has 64 bits, if none is wanted.
    pub(crate) fn thin(
        source: &'a dyn ReadAt,
        wanted: Option<CpuType>,
        remarks: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let length = source.length().map_err(|source| Error::Io {
            structure: "length",
            offset: 0,
            source,
        })?;
        let architectures = match source.in_memory() {
            Some(bytes) => architectures(bytes),
            None => architectures(&ReadCache::new(Cursor::new(source))),
        };
        let Some(architectures) = architectures else {
            return Ok(Self { source, offset: 0, length });
        };
        let is_chosen = |one: &&Architecture| match wanted {
            Some(wanted) => one.cpu == wanted.0,
            None => one.cpu & CPU_ARCH_ABI64 != 0,
        };
        let chosen = architectures.iter().find(is_chosen).or(architectures.first());
        let Some(chosen) = chosen else {
            let (what, cure) = ("a Mach-O file for no architecture", "build it again");
            return Err(Error::Unsupported { what, cure });
        };
        if architectures.len() > 1 && wanted.is_none() {
            remarks.push(format!(
                "of {} architectures only the one with the CPU type {:#x} is read",
                architectures.len(),
                chosen.cpu
            ));
        }
        let end = chosen.offset.saturating_add(chosen.length);
        if end > length {
            let (structure, offset, wanted) = ("architecture", chosen.offset, chosen.length);
            return Err(Error::Short { structure, wanted, offset, end: length });
        }
        Ok(Self { source, offset: chosen.offset, length: chosen.length })
    }

    /// A member of an archive, and when it was modified.
    pub(crate) fn member(source: &'a dyn ReadAt, name: &[u8]) -> Option<(Self, Option<u64>)> {
        let found = match source.in_memory() {
            Some(bytes) => member(bytes, name),
            None => member(&ReadCache::new(Cursor::new(source)), name),
        };
        let (offset, length, modified) = found?;
        Some((Self { source, offset, length }, modified))
    }
}

impl ReadAt for Slice<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let most = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        self.source.read_at(buffer, self.offset.saturating_add(offset))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn in_memory(&self) -> Option<&[u8]> {
        let from = usize::try_from(self.offset).ok()?;
        let rest = self.source.in_memory()?.get(from..)?;
        rest.get(..usize::try_from(self.length).ok()?)
    }
}

/// The parts of a file for several architectures, if it is one.
fn architectures<'data, R: ReadRef<'data>>(data: R) -> Option<Vec<Architecture>> {
    fn each(parts: &[impl FatArch]) -> Vec<Architecture> {
        let part = |part| {
            let part: &_ = part;
            let (offset, length) = FatArch::file_range(part);
            Architecture { cpu: FatArch::cputype(part).0, offset, length }
        };
        parts.iter().map(part).collect()
    }
    // A class of Java begins like a file for 45 architectures or more.
    let few = |count: usize| count < 43;
    match data.read_bytes_at(0, 4).ok()? {
        [0xca, 0xfe, 0xba, 0xbe] => {
            let fat = MachOFatFile32::parse(data).ok()?;
            few(fat.arches().len()).then(|| each(fat.arches()))
        }
        [0xca, 0xfe, 0xba, 0xbf] => {
            let fat = MachOFatFile64::parse(data).ok()?;
            few(fat.arches().len()).then(|| each(fat.arches()))
        }
        _ => None,
    }
}

/// Where a member of an archive is, how long, and when it was modified.
fn member<'data, R: ReadRef<'data>>(data: R, name: &[u8]) -> Option<(u64, u64, Option<u64>)> {
    let archive = ArchiveFile::parse(data).ok()?;
    let member = archive.members().map_while(Result::ok).find(|member| member.name() == name)?;
    let (offset, length) = member.file_range();
    (!member.is_thin()).then_some((offset, length, member.date()))
}
