//! An entry's bytes: a table of parts, then the parts, each with its checksum, so that a question
//! reads those that it needs.
//!
//! Whatever there can be millions of, uses of files and contributions, and what is long, commands,
//! is so that a question about one need not take the others apart; the rest is as [`postcard`] has
//! it.

mod commands;
mod contributions;
mod uses;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;

use serde::de::DeserializeOwned;

use crate::{BuildInfo, FileId, Questions, ReadAt, Stamp, UnitId};

/// An entry, of which nothing but the table has been read.
pub(super) struct Entry {
    file: File,
    /// Where each part begins, its length and checksum.
    parts: [(u64, u64, u32); PARTS],
}

impl Entry {
    /// Takes a file for an entry, if it is one of that name that answers the questions.
    pub(super) fn open(file: File, name: &str, questions: &Questions) -> Option<Self> {
        let end = file.length().ok().filter(|&length| length <= LONGEST)?;
        let mut header = [0; HEADER];
        if file.read_at(&mut header, 0).ok()? != HEADER {
            return None;
        }
        let (header, sum) = header.split_last_chunk::<4>()?;
        let (magic, table) = header.split_first_chunk::<16>()?;
        if crc32fast::hash(header) != u32::from_le_bytes(*sum) || *magic != magic_of(name) {
            return None;
        }
        let (&answered, table) = table.split_first_chunk::<4>()?;
        let needed = bits(questions);
        if u32::from_le_bytes(answered) & needed != needed {
            return None;
        }
        let mut parts = [(0, 0, 0); PARTS];
        let mut at = HEADER as u64;
        for (part, row) in parts.iter_mut().zip(table.as_chunks::<12>().0) {
            let (length, sum) = row.split_first_chunk::<8>()?;
            let length = u64::from_le_bytes(*length);
            *part = (at, length, u32::from_le_bytes(*sum.first_chunk::<4>()?));
            at = at.checked_add(length)?;
        }
        (at == end).then_some(Self { file, parts })
    }

    /// What the entry depends on.
    pub(super) fn witnesses(&mut self) -> Option<Vec<(String, Stamp)>> {
        self.decoded(WITNESSES)
    }

    /// The answer to the questions.
    pub(super) fn info(&mut self, questions: &Questions) -> Option<BuildInfo> {
        let mut info: BuildInfo = self.decoded(UNITS)?;
        if questions.commands {
            let rows = commands::Rows::new(&self.part(COMMAND_ROWS)?)?;
            let bytes = self.part(COMMANDS)?;
            rows.add_all(&mut info.units, &bytes)?;
        }
        if questions.files {
            let part = self.part(USES)?;
            uses::add_files(&mut info, &part)?;
            uses::add_units(&mut info, &self.part(DEPENDANTS)?, |_| true)?;
        }
        if questions.contributions {
            info.contributions = contributions::all(&self.part(CONTRIBUTIONS)?)?;
        }
        Some(info)
    }

    /// What those files are of: the units of some files, with their commands if those are asked
    /// for, and nothing of the others but their names.
    pub(super) fn info_of_files(
        &mut self,
        with_commands: bool,
        wanted: impl Fn(&BuildInfo) -> BTreeSet<FileId>,
    ) -> Option<BuildInfo> {
        let mut info: BuildInfo = self.decoded(UNITS)?;
        let wanted = wanted(&info);
        uses::add_units(&mut info, &self.part(DEPENDANTS)?, |file| wanted.contains(&file))?;
        if with_commands {
            let rows = commands::Rows::new(&self.part(COMMAND_ROWS)?)?;
            let files = wanted.iter().filter_map(|file| info.files.get(file.0 as usize));
            let units: BTreeSet<UnitId> = files.flat_map(|file| &file.units).copied().collect();
            let (start, ..) = *self.parts.get(COMMANDS)?;
            for id in units {
                let unit = info.units.get_mut(id.0 as usize)?;
                let (at, length) = rows.place(id)?;
                rows.add(unit, id, &self.bytes(start.checked_add(at)?, length)?)?;
            }
        }
        Some(info)
    }

    /// The units, and the contributions at some addresses.
    pub(super) fn info_at(&mut self, addresses: &[u64]) -> Option<BuildInfo> {
        let mut info: BuildInfo = self.decoded(UNITS)?;
        info.contributions = contributions::at(&self.part(CONTRIBUTIONS)?, addresses)?;
        Some(info)
    }

    fn part(&mut self, number: usize) -> Option<Vec<u8>> {
        let &(at, length, sum) = self.parts.get(number)?;
        let bytes = self.bytes(at, length)?;
        (crc32fast::hash(&bytes) == sum).then_some(bytes)
    }

    /// Bytes of the file, whose parts are known to lie in it.
    fn bytes(&self, at: u64, length: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        let mut read = 0_usize;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            let count = self.file.read_at(rest, at.checked_add(read as u64)?).ok()?;
            if count == 0 {
                return None;
            }
            read = read.checked_add(count)?;
        }
        Some(bytes)
    }

    fn decoded<T: DeserializeOwned>(&mut self, number: usize) -> Option<T> {
        postcard::from_bytes(&self.part(number)?).ok()
    }
}

/// The bytes of an entry.
pub(super) fn bytes(
    name: &str,
    info: &BuildInfo,
    questions: &Questions,
    witnesses: &[(String, Stamp)],
) -> io::Result<Vec<u8>> {
    let mut bare = BuildInfo { contributions: Vec::new(), ..info.clone() };
    let (rows, commands) = commands::of(&info.units).map_err(io::Error::other)?;
    for unit in &mut bare.units {
        unit.files = Vec::new();
        unit.command = None;
        unit.definitions = Vec::new();
    }
    for file in &mut bare.files {
        file.units = Vec::new();
    }
    let parts: [Vec<u8>; PARTS] = [
        encoded(&witnesses)?,
        encoded(&bare)?,
        uses::files_of(&info.units),
        uses::units_of(&info.files),
        rows,
        commands,
        contributions::records(&info.contributions),
    ];
    let mut bytes = magic_of(name).to_vec();
    bytes.extend(bits(questions).to_le_bytes());
    for part in &parts {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(crc32fast::hash(part).to_le_bytes());
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    parts.iter().for_each(|part| bytes.extend(part));
    Ok(bytes)
}

fn encoded<T: serde::Serialize>(value: &T) -> io::Result<Vec<u8>> {
    postcard::to_allocvec(value).map_err(io::Error::other)
}

/// What an entry begins with: the magic, the version, and a checksum of its name.
fn magic_of(name: &str) -> [u8; 16] {
    let mut magic = [0; 16];
    let sum = crc32fast::hash(name.as_bytes());
    let words = MAGIC.iter().copied().chain(VERSION.to_le_bytes()).chain(sum.to_le_bytes());
    for (to, from) in magic.iter_mut().zip(words) {
        *to = from;
    }
    magic
}

fn bits(questions: &Questions) -> u32 {
    let Questions { commands, files, contributions } = *questions;
    u32::from(commands) | u32::from(files) << 1 | u32::from(contributions) << 2
}

const MAGIC: &[u8; 8] = b"units\r\n\x1a";
/// To be counted up with each change of the model or of this layout.
const VERSION: u32 = 4;

const WITNESSES: usize = 0;
const UNITS: usize = 1;
const USES: usize = 2;
const DEPENDANTS: usize = 3;
const COMMAND_ROWS: usize = 4;
const COMMANDS: usize = 5;
const CONTRIBUTIONS: usize = 6;
const PARTS: usize = 7;

/// Magic, questions, table, checksum.
const HEADER: usize = 16 + 4 + PARTS * 12 + 4;
const LONGEST: u64 = 4 << 30;

#[cfg(test)]
mod tests;
