//! The sections of a file.

use object::elf;

use crate::image::Header;
use crate::layout::Layout;
use crate::memory::{Memory, read_available};

/// The section headers of a file, given as memory whose addresses are the file's offsets.
pub(crate) struct Sections<'file, M: ?Sized> {
    pub(crate) file: &'file M,
    pub(crate) layout: Layout,
    table: u64,
    count: u64,
    /// The section that has the names.
    names: u64,
}

/// A section header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section {
    name: u32,
    pub(crate) kind: u32,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
    pub(crate) align: u64,
}

impl<'file, M: Memory + ?Sized> Sections<'file, M> {
    /// `None` if it is no ELF file, or has none.
    pub(crate) fn of(file: &'file M) -> Option<Sections<'file, M>> {
        let header = Header::read(file, 0).filter(|header| header.shoff != 0)?;
        let layout = header.layout;
        let mut sections = Sections {
            file,
            layout,
            table: header.shoff,
            count: header.shnum,
            names: u64::from(header.shstrndx),
        };
        // Section 0 has the numbers that do not fit into the header.
        if header.shnum == 0 || header.shstrndx == elf::SHN_XINDEX.0 {
            let first = sections.at(0)?;
            if header.shnum == 0 {
                sections.count = first.size;
            }
            if header.shstrndx == elf::SHN_XINDEX.0 {
                sections.names = u64::from(first.link);
            }
        }
        Some(sections)
    }

    /// The sections, in their order, up to the first whose header is not in the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Section> {
        let size = self.layout.pick(40, 64);
        let count = usize::try_from(self.count.min(MOST_SECTIONS)).unwrap_or(usize::MAX);
        let at = move |index: usize| u64::try_from(index.checked_mul(size)?).ok();
        (0..count)
            .step_by(AT_ONCE)
            .map_while(move |first| {
                let wanted = count.saturating_sub(first).min(AT_ONCE);
                let table = self.table.checked_add(at(first)?)?;
                let bytes = read_available(self.file, table, wanted.saturating_mul(size));
                let headers = bytes.chunks_exact(size);
                let sections: Vec<Section> =
                    headers.filter_map(|bytes| Section::parse(self.layout, bytes)).collect();
                (!sections.is_empty()).then_some(sections)
            })
            .flatten()
    }

    pub(crate) fn at(&self, index: u64) -> Option<Section> {
        let size = self.layout.pick(40, 64);
        let offset = index.checked_mul(u64::try_from(size).ok()?)?;
        let bytes = read_available(self.file, self.table.checked_add(offset)?, size);
        Section::parse(self.layout, &bytes)
    }

    /// The first section of this name.
    pub(crate) fn named(&self, name: &[u8]) -> Option<Section> {
        let names = self.contents(&self.at(self.names)?, MOST_NAMES);
        self.iter().find(|section| {
            let at = usize::try_from(section.name).ok().and_then(|at| names.get(at..));
            let rest = at.and_then(|found| found.strip_prefix(name));
            rest.is_some_and(|rest| rest.first() == Some(&0))
        })
    }

    /// What a section holds, up to so many bytes.
    pub(crate) fn contents(&self, section: &Section, most: usize) -> Vec<u8> {
        let size = usize::try_from(section.size).unwrap_or(usize::MAX).min(most);
        read_available(self.file, section.offset, size)
    }
}

impl Section {
    fn parse(layout: Layout, bytes: &[u8]) -> Option<Section> {
        let word = |elf32: usize, elf64: usize| layout.word(bytes, layout.pick(elf32, elf64));
        Some(Section {
            name: layout.u32(bytes, 0)?,
            kind: layout.u32(bytes, 4)?,
            address: word(12, 16)?,
            offset: word(16, 24)?,
            size: word(20, 32)?,
            link: layout.u32(bytes, layout.pick(24, 40))?,
            align: word(32, 48)?,
        })
    }
}

const MOST_SECTIONS: u64 = 1 << 20;
/// How many headers are read at once.
const AT_ONCE: usize = 64;
/// The names of 65,536 sections, of 64 bytes each.
const MOST_NAMES: usize = 4 << 20;
