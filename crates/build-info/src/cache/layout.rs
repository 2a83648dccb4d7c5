//! An entry's bytes: a table of parts, then the parts, each with its checksum, so that a question
//! reads those that it needs.
//!
//! Whatever there can be millions of, uses of files and contributions, is so that a question about
//! one need not take the others apart; the rest is as [`postcard`] has it.

mod contributions;
mod uses;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;

use serde::de::DeserializeOwned;

use crate::{BuildInfo, Command, Fact, FileId, Questions, ReadAt, Stamp};

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
        let mut info = self.bare(questions)?;
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

    /// The answer to the questions, but of files the units of some alone.
    pub(super) fn info_of_files(
        &mut self,
        questions: &Questions,
        wanted: impl Fn(&BuildInfo) -> BTreeSet<FileId>,
    ) -> Option<BuildInfo> {
        let mut info = self.bare(questions)?;
        let wanted = wanted(&info);
        uses::add_units(&mut info, &self.part(DEPENDANTS)?, |file| wanted.contains(&file))?;
        Some(info)
    }

    /// The answer to the questions, but of contributions those at some addresses alone.
    pub(super) fn info_at(
        &mut self,
        questions: &Questions,
        addresses: &[u64],
    ) -> Option<BuildInfo> {
        let mut info = self.bare(questions)?;
        info.contributions = contributions::at(&self.part(CONTRIBUTIONS)?, addresses)?;
        Some(info)
    }

    /// The units without what there can be millions of.
    fn bare(&mut self, questions: &Questions) -> Option<BuildInfo> {
        let mut info: BuildInfo = self.decoded(UNITS)?;
        if questions.commands {
            let commands: Commands = self.decoded(COMMANDS)?;
            if commands.len() != info.units.len() {
                return None;
            }
            for (unit, (command, definitions)) in info.units.iter_mut().zip(commands) {
                unit.command = command;
                unit.definitions = definitions;
            }
        }
        Some(info)
    }

    fn part(&mut self, number: usize) -> Option<Vec<u8>> {
        let &(at, length, sum) = self.parts.get(number)?;
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        let mut read = 0_usize;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            let count = self.file.read_at(rest, at.checked_add(read as u64)?).ok()?;
            if count == 0 {
                return None;
            }
            read = read.checked_add(count)?;
        }
        (crc32fast::hash(&bytes) == sum).then_some(bytes)
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
    let mut commands: Commands = Vec::new();
    for unit in &mut bare.units {
        unit.files = Vec::new();
        commands.push((unit.command.take(), std::mem::take(&mut unit.definitions)));
    }
    for file in &mut bare.files {
        file.units = Vec::new();
    }
    let parts: [Vec<u8>; PARTS] = [
        encoded(&witnesses)?,
        encoded(&bare)?,
        uses::files_of(&info.units),
        uses::units_of(&info.files),
        encoded(&commands)?,
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

type Commands = Vec<(Option<Fact<Command>>, Vec<String>)>;

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
const VERSION: u32 = 3;

const WITNESSES: usize = 0;
const UNITS: usize = 1;
const USES: usize = 2;
const DEPENDANTS: usize = 3;
const COMMANDS: usize = 4;
const CONTRIBUTIONS: usize = 5;
const PARTS: usize = 6;

/// Magic, questions, table, checksum.
const HEADER: usize = 16 + 4 + PARTS * 12 + 4;
const LONGEST: u64 = 4 << 30;

#[cfg(test)]
mod tests;
