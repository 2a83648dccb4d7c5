//! An entry's bytes: a table of parts, then the parts, each with its checksum, so that a question
//! reads those that it needs.
//!
//! Whatever there can be millions of, uses of files and contributions, is in records of fixed size;
//! the rest is as [`postcard`] has it. The files' units are not there: they follow from the uses.

use std::fs::File;
use std::io;

use serde::de::DeserializeOwned;

use crate::{
    BuildInfo, Claim, Command, Contribution, Fact, FileId, FileUse, Provenance, Questions, ReadAt,
    Stamp, UnitId,
};

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
        if questions.files {
            let uses = self.part(USES)?;
            add_uses(&mut info, &uses)?;
        }
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
        if questions.contributions {
            let bytes = self.part(CONTRIBUTIONS)?;
            let (records, rest) = bytes.as_chunks::<CONTRIBUTION>();
            if !rest.is_empty() {
                return None;
            }
            info.contributions = records.iter().map(contribution).collect::<Option<_>>()?;
            let units = info.units.len();
            if info.contributions.iter().any(|one| one.unit.0 as usize >= units) {
                return None;
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
    let mut uses = Vec::new();
    let mut commands: Commands = Vec::new();
    for unit in &mut bare.units {
        let files = std::mem::take(&mut unit.files);
        uses.extend((files.len() as u32).to_le_bytes());
        uses.extend(files.iter().flat_map(record_of_use));
        commands.push((unit.command.take(), std::mem::take(&mut unit.definitions)));
    }
    for file in &mut bare.files {
        file.units = Vec::new();
    }
    let mut parts: [Vec<u8>; PARTS] = Default::default();
    for (part, content) in parts.iter_mut().zip([
        encoded(&witnesses)?,
        encoded(&bare)?,
        uses,
        encoded(&commands)?,
        info.contributions.iter().flat_map(record_of_contribution).collect(),
    ]) {
        *part = content;
    }
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

fn record_of_use(one: &FileUse) -> [u8; USE] {
    let mut record = [0; USE];
    let checksum = one.checksum.unwrap_or(NO_CHECKSUM);
    let place =
        PROVENANCES.iter().position(|it| *it == one.provenance).unwrap_or(PROVENANCES.len());
    let words = [one.file.0.to_le_bytes(), checksum.to_le_bytes(), (place as u32).to_le_bytes()];
    for (to, from) in record.iter_mut().zip(words.as_flattened()) {
        *to = *from;
    }
    record
}

/// Gives the units their files, and the files their units.
fn add_uses(info: &mut BuildInfo, bytes: &[u8]) -> Option<()> {
    let mut rest = bytes;
    let mut counts = vec![0_u32; info.files.len()];
    for unit in &mut info.units {
        let (count, after) = rest.split_first_chunk::<4>()?;
        let length = (u32::from_le_bytes(*count) as usize).checked_mul(USE)?;
        let (records, after) = after.split_at_checked(length)?;
        rest = after;
        let records = records.as_chunks::<USE>().0;
        unit.files.reserve_exact(records.len());
        for record in records {
            let (file, others) = record.split_first_chunk::<4>()?;
            let (checksum, place) = others.split_first_chunk::<4>()?;
            let file = u32::from_le_bytes(*file);
            let checksum = Some(u32::from_le_bytes(*checksum)).filter(|&it| it != NO_CHECKSUM);
            let place = u32::from_le_bytes(*place.first_chunk()?);
            let provenance = *PROVENANCES.get(place as usize)?;
            let uses = counts.get_mut(file as usize)?;
            *uses = uses.saturating_add(1);
            unit.files.push(FileUse { file: FileId(file), checksum, provenance });
        }
    }
    for (file, count) in info.files.iter_mut().zip(counts) {
        file.units.reserve_exact(count as usize);
    }
    for (number, unit) in (0..).map(UnitId).zip(&info.units) {
        for one in &unit.files {
            let units = &mut info.files.get_mut(one.file.0 as usize)?.units;
            if units.last() != Some(&number) {
                units.push(number);
            }
        }
    }
    rest.is_empty().then_some(())
}

fn record_of_contribution(one: &Contribution) -> [u8; CONTRIBUTION] {
    let mut record = [0; CONTRIBUTION];
    let claim: u8 = match one.claim {
        Claim::Sole => 0,
        Claim::First => 1,
        Claim::Loser => 2,
    };
    let bytes = (one.address.to_le_bytes().into_iter())
        .chain(one.size.to_le_bytes())
        .chain(one.unit.0.to_le_bytes())
        .chain(one.characteristics.to_le_bytes())
        .chain(one.section.to_le_bytes())
        .chain([claim, 0]);
    for (to, from) in record.iter_mut().zip(bytes) {
        *to = from;
    }
    record
}

fn contribution(record: &[u8; CONTRIBUTION]) -> Option<Contribution> {
    let (address, rest) = record.split_first_chunk::<8>()?;
    let (size, rest) = rest.split_first_chunk::<4>()?;
    let (unit, rest) = rest.split_first_chunk::<4>()?;
    let (characteristics, rest) = rest.split_first_chunk::<4>()?;
    let (section, rest) = rest.split_first_chunk::<2>()?;
    let claim = match rest.first()? {
        0 => Claim::Sole,
        1 => Claim::First,
        2 => Claim::Loser,
        _ => return None,
    };
    Some(Contribution {
        address: u64::from_le_bytes(*address),
        size: u32::from_le_bytes(*size),
        unit: UnitId(u32::from_le_bytes(*unit)),
        characteristics: u32::from_le_bytes(*characteristics),
        section: u16::from_le_bytes(*section),
        claim,
    })
}

const MAGIC: &[u8; 8] = b"units\r\n\x1a";
/// To be counted up with each change of the model or of this layout.
const VERSION: u32 = 1;

const WITNESSES: usize = 0;
const UNITS: usize = 1;
const USES: usize = 2;
const COMMANDS: usize = 3;
const CONTRIBUTIONS: usize = 4;
const PARTS: usize = 5;

/// Magic, questions, table, checksum.
const HEADER: usize = 16 + 4 + PARTS * 12 + 4;
const USE: usize = 12;
const CONTRIBUTION: usize = 24;
const NO_CHECKSUM: u32 = u32::MAX;
const LONGEST: u64 = 4 << 30;

/// The provenances by the numbers that stand for them.
const PROVENANCES: [Provenance; 10] = [
    Provenance::Recorded,
    Provenance::Macros,
    Provenance::CompileCommands,
    Provenance::Ninja,
    Provenance::Cmake,
    Provenance::Depfile,
    Provenance::CargoMessages,
    Provenance::Compiler,
    Provenance::Derived,
    Provenance::LineTable,
];

#[cfg(test)]
mod tests;
