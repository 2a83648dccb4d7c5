//! What a process that died left behind.

use std::ops::Range;

use object::elf;

use crate::error::{CoreError, LocateError};
use crate::identify::{Note, notes};
use crate::image::{Header, Segment};
use crate::layout::Layout;
use crate::locate::{Location, Rendezvous};
use crate::mapping::{Mapping, MappingTable};
use crate::memory::{Bytes, Memory, PAGE, ReadError, Unreadable, read_available};
use crate::module::MappedFile;
use crate::startup::{Auxv, Startup, System};

/// A core file, of any class and byte order: the memory of a process that is dead, and what the
/// kernel noted of it.
///
/// Memory that was mapped from a file and never written to is most often not in it; it can be had
/// from the file, if it still is what it was, with [`supply`](Self::supply).
///
/// ```no_run
/// use rendezvous::Core;
///
/// let bytes = std::fs::read("core.1234")?;
/// let core = Core::parse(&bytes)?;
/// let rendezvous = core.locate(None)?.found().ok_or("died before it was loaded")?;
/// let mut snapshot = rendezvous.snapshot(&core);
/// snapshot.resolve(&core, core.mappings());
/// for module in snapshot.modules() {
///     println!("{:#x} {}", module.bias, module.path_lossy());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Core<'data> {
    startup: Startup,
    dumped: Bytes<'data>,
    /// Where memory was, dumped or not.
    mapped: Vec<Range<u64>>,
    supplied: Bytes<'data>,
    mappings: MappingTable,
}

impl<'data> Core<'data> {
    /// Reads the headers and notes of a core file. One that was cut short is read as far as it
    /// goes.
    ///
    /// # Errors
    ///
    /// If it is none, or has no auxiliary vector, without which nothing is found in it.
    pub fn parse(data: &'data [u8]) -> Result<Core<'data>, CoreError> {
        let header = Header::parse(data).ok_or(CoreError::NotElf)?;
        if header.kind != elf::ET_CORE.0 {
            return Err(CoreError::NotCore { kind: header.kind });
        }
        let layout = header.layout;
        let file: Bytes<'_> = [(0, data)].into_iter().collect();
        let segments = header.segments(&file, 0, usize::MAX).map_err(CoreError::ProgramHeaders)?;
        let bytes_of = |segment: &Segment| {
            let start = usize::try_from(segment.offset).unwrap_or(usize::MAX);
            let size = usize::try_from(segment.file_size).unwrap_or(usize::MAX);
            let tail = data.get(start..).unwrap_or_default();
            tail.get(..size).unwrap_or(tail)
        };
        let of_kind = |kind| segments.iter().filter(move |segment| segment.kind == kind);

        let mut noted = Noted::default();
        for segment in of_kind(elf::PT_NOTE.0) {
            for note in notes(layout, bytes_of(segment), segment.align) {
                noted.take(layout, &note);
            }
        }
        let mut mapped: Vec<Range<u64>> = of_kind(elf::PT_LOAD.0)
            .map(|load| load.address..load.address.saturating_add(load.memory_size))
            .collect();
        mapped.sort_by_key(|range| range.start);
        Ok(Core {
            startup: noted.startup(layout, header.os_abi)?,
            dumped: of_kind(elf::PT_LOAD.0).map(|load| (load.address, bytes_of(load))).collect(),
            mapped,
            supplied: Bytes::default(),
            mappings: noted.mappings.into_iter().collect(),
        })
    }

    /// What the kernel told the process when it began.
    pub fn startup(&self) -> &Startup {
        &self.startup
    }

    /// Which files were mapped where; empty where the system does not note it.
    pub fn mappings(&self) -> &MappingTable {
        &self.mappings
    }

    /// Finds the loader's lists. See [`Rendezvous::locate`].
    ///
    /// # Errors
    ///
    /// If there are none, or what leads to them is not in the file.
    pub fn locate(&self, executable: Option<&dyn Memory>) -> Result<Location, LocateError> {
        Rendezvous::locate(self, &self.startup, executable)
    }

    /// Takes what was mapped from a file, and is not in the core file, from the file's contents.
    ///
    /// Says whether it did: not if nothing was mapped from a file of that path, nor if the core
    /// file has not the file's first page, or another one, so that it may be of another build.
    pub fn supply(&mut self, path: &[u8], contents: &'data [u8]) -> bool {
        let of_file = |mapping: &&Mapping| {
            mapping.file.as_ref().is_some_and(|file| file.path == path && !file.is_deleted)
        };
        let is_this_build = self.mappings.iter().filter(of_file).any(|mapping| {
            let first_page = read_available(&self.dumped, mapping.range.start, PAGE);
            mapping.offset == 0
                && first_page.len() >= PAGE.min(contents.len())
                && contents.starts_with(&first_page)
        });
        if !is_this_build {
            return false;
        }
        self.supplied.add(self.mappings.iter().filter(of_file).map(|mapping| {
            let size = mapping.range.end.saturating_sub(mapping.range.start);
            let start = usize::try_from(mapping.offset).unwrap_or(usize::MAX);
            let tail = contents.get(start..).unwrap_or_default();
            let bytes = usize::try_from(size).ok().and_then(|size| tail.get(..size));
            (mapping.range.start, bytes.unwrap_or(tail))
        }));
        true
    }

    /// Takes what the core file has not of the program from the file that was executed, and says
    /// whether it did.
    ///
    /// It is what [`supply`](Self::supply) does, for core files that do not note which files were
    /// mapped (those that QEMU writes of the programs that it emulates, for one), and whose
    /// lists may be found in no other way: headers and dynamic table are in memory that nobody has
    /// written to. It is refused if its layout, the number of its program headers or its entry
    /// point are not those of the process, or its first page is dumped and another. Of builds that
    /// agree in all of that nothing tells which it was.
    pub fn supply_program(&mut self, contents: &'data [u8]) -> bool {
        let Some(loads) = self.program_loads(contents) else { return false };
        self.supplied.add(loads);
        true
    }

    /// What a file's segments were in memory, if it may be the program's.
    fn program_loads(&self, contents: &'data [u8]) -> Option<Vec<(u64, &'data [u8])>> {
        let Startup { layout, auxv, .. } = &self.startup;
        let header = Header::parse(contents).filter(|header| header.layout == *layout)?;
        let file: Bytes<'_> = [(0, contents)].into_iter().collect();
        let segments = header.segments(&file, 0, usize::MAX).ok()?;
        let table = segments.iter().find(|segment| segment.maps_offset(header.phoff))?;
        let table = table.address.wrapping_add(header.phoff.wrapping_sub(table.offset));
        let bias = layout.subtract(auxv.phdr?, table);
        let is_it = auxv.phnum? == u64::try_from(segments.len()).ok()?
            && auxv.entry? == layout.add(bias, header.entry);
        let of_load = |load: &Segment| {
            let start = usize::try_from(load.offset).unwrap_or(usize::MAX);
            let size = usize::try_from(load.file_size).unwrap_or(usize::MAX);
            let tail = contents.get(start..).unwrap_or_default();
            (layout.add(bias, load.address), tail.get(..size).unwrap_or(tail))
        };
        let loads = segments.iter().filter(|segment| segment.kind == elf::PT_LOAD.0).map(of_load);
        let loads: Vec<(u64, &[u8])> = is_it.then(|| loads.collect())?;
        let (start, bytes) = loads.first()?;
        let first_page = read_available(&self.dumped, *start, PAGE.min(bytes.len()));
        bytes.starts_with(&first_page).then_some(loads)
    }
}

impl Memory for Core<'_> {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let wanted = buffer.len();
        let read = self.read_up_to(address, buffer);
        if read == wanted {
            return Ok(());
        }
        let missing = address.wrapping_add(u64::try_from(read).unwrap_or(u64::MAX));
        let next = self.mapped.partition_point(|range| range.start <= missing);
        let range = next.checked_sub(1).and_then(|index| self.mapped.get(index));
        let reason = match range {
            Some(range) if range.contains(&missing) => Unreadable::NotDumped,
            _ => Unreadable::Unmapped,
        };
        Err(ReadError::new(address, wanted, reason))
    }

    fn read_up_to(&self, address: u64, buffer: &mut [u8]) -> usize {
        let mut read = 0_usize;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            let at = address.wrapping_add(u64::try_from(read).unwrap_or(u64::MAX));
            let more = match self.dumped.read_up_to(at, rest) {
                0 => self.supplied.read_up_to(at, rest),
                more => more,
            };
            if more == 0 {
                break;
            }
            read = read.saturating_add(more);
        }
        read
    }

    fn can_change(&self) -> bool {
        false
    }
}

/// What the notes say.
#[derive(Default)]
struct Noted<'data> {
    auxv: Option<&'data [u8]>,
    mappings: Vec<Mapping>,
    is_freebsd: bool,
    freebsd_release: Option<u64>,
}

impl<'data> Noted<'data> {
    fn take(&mut self, layout: Layout, note: &Note<'data>) {
        // FreeBSD puts the size of a structure before each.
        let after_size = note.descriptor.get(4..).unwrap_or_default();
        match (note.name, note.kind) {
            (b"CORE", NT_AUXV) => self.auxv = Some(note.descriptor),
            (b"CORE", NT_FILE) => self.mappings = files(layout, note.descriptor),
            (b"FreeBSD", kind) => {
                self.is_freebsd = true;
                match kind {
                    NT_PROCSTAT_AUXV => self.auxv = Some(after_size),
                    NT_PROCSTAT_OSREL => {
                        self.freebsd_release = layout.u32(after_size, 0).map(u64::from);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn startup(&self, layout: Layout, os_abi: u8) -> Result<Startup, CoreError> {
        let is_freebsd = self.is_freebsd || os_abi == elf::ELFOSABI_FREEBSD.0;
        let system = if is_freebsd { System::FreeBsd } else { System::Linux };
        let bytes = self.auxv.ok_or(CoreError::NoAuxv)?;
        let mut auxv = Auxv::parse(bytes, layout, system);
        auxv.freebsd_release = auxv.freebsd_release.or(self.freebsd_release);
        Ok(Startup { layout, system, auxv })
    }
}

/// The mappings of `NT_FILE`: their number, the unit of their offsets, then start, end and offset
/// of each, then their paths, each with a zero byte behind it.
fn files(layout: Layout, bytes: &[u8]) -> Vec<Mapping> {
    let count = layout.nth_word(bytes, 0).and_then(|count| usize::try_from(count).ok());
    let unit = layout.nth_word(bytes, 1).unwrap_or_default();
    let header = layout.word_size().saturating_mul(2);
    let entry = layout.word_size().saturating_mul(3);
    let rest = bytes.get(header..).unwrap_or_default();
    let size = count.and_then(|count| count.checked_mul(entry));
    let Some((entries, paths)) = size.and_then(|size| rest.split_at_checked(size)) else {
        return Vec::new();
    };
    let paths = paths.split(|&byte| byte == 0);
    let mappings = entries.chunks_exact(entry).zip(paths).filter_map(|(entry, path)| {
        let range = layout.nth_word(entry, 0)?..layout.nth_word(entry, 1)?;
        let offset = layout.nth_word(entry, 2)?.checked_mul(unit)?;
        let file = (path.len() < MOST_PATH).then(|| MappedFile::new(path, None));
        Some(Mapping { range, offset, file })
    });
    mappings.collect()
}

/// `PATH_MAX`, its zero byte included. A module gets a copy of its path, and so do many modules.
const MOST_PATH: usize = 4096;
const NT_AUXV: u32 = elf::NT_AUXV.0;
const NT_FILE: u32 = elf::NT_FILE.0;
/// `<sys/elf_common.h>` of FreeBSD.
const NT_PROCSTAT_OSREL: u32 = 14;
const NT_PROCSTAT_AUXV: u32 = 16;
