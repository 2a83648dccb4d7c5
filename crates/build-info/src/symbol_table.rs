//! What the symbol tables of ELF and Mach-O have in common: entries, each with the place of its
//! name among strings.

use gimli::{EndianSlice, RunTimeEndian};

use crate::dwarf::Section;
use crate::{Error, ReadAt};

/// Where a symbol table is, and its names.
#[derive(Clone, Copy)]
pub(crate) struct SymbolTable<'a> {
    pub(crate) source: &'a dyn ReadAt,
    pub(crate) endian: RunTimeEndian,
    /// Offset and size.
    pub(crate) entries: (u64, u64),
    /// Offset and size.
    pub(crate) strings: (u64, u64),
}

impl SymbolTable<'_> {
    /// Takes each entry that `read` reads, with its name, until one is cut short.
    pub(crate) fn each<S>(
        self,
        read: impl Fn(&mut EndianSlice<'_, RunTimeEndian>) -> gimli::Result<(u32, S)>,
        mut take: impl FnMut(&S, Name<'_>),
    ) -> Result<(), Error> {
        let (at, size) = self.entries;
        let mut entries = Section::plain("symbol table", self.source, at, size)?;
        let (at, size) = self.strings;
        let mut strings = Section::plain("symbol names", self.source, at, size)?;
        let strings = strings.all()?;
        let mut reader = EndianSlice::new(entries.all()?, self.endian);
        while let Ok((name, symbol)) = read(&mut reader) {
            let name = usize::try_from(name).ok().and_then(|at| strings.get(at..));
            take(&symbol, Name(name.unwrap_or_default()));
        }
        Ok(())
    }
}

/// A symbol's name, and whatever strings come behind it.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// The name, or as much of it as a path may have.
    pub(crate) fn text(self) -> &'a [u8] {
        let some = self.0.get(..LONGEST_NAME).unwrap_or(self.0);
        some.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    pub(crate) fn is(self, name: &[u8]) -> bool {
        self.0.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The name behind what it begins with; one that is none if it does not.
    pub(crate) fn behind(self, start: &[u8]) -> Self {
        Self(self.0.strip_prefix(start).unwrap_or_default())
    }
}

/// Of a source's name, which is a file's, or of a path.
const LONGEST_NAME: usize = 4096;
