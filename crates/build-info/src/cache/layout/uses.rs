//! Which unit was made from which files, and which file is of which units.
//!
//! For each unit the count of its uses, then the uses, in records of one size. For each file the
//! number of bytes of its list, then the list: the steps from one unit's number to the next, seven
//! bits in a byte, the lowest first.

use crate::{BuildInfo, File, FileId, FileUse, Provenance, Unit, UnitId};

pub(super) fn files_of(units: &[Unit]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for unit in units {
        bytes.extend((unit.files.len() as u32).to_le_bytes());
        bytes.extend(unit.files.iter().flat_map(record));
    }
    bytes
}

/// Gives the units their files.
pub(super) fn add_files(info: &mut BuildInfo, bytes: &[u8]) -> Option<()> {
    let known = info.files.len();
    let mut rest = bytes;
    for unit in &mut info.units {
        let (count, after) = rest.split_first_chunk::<4>()?;
        let length = (u32::from_le_bytes(*count) as usize).checked_mul(RECORD)?;
        let (records, after) = after.split_at_checked(length)?;
        rest = after;
        let records = records.as_chunks::<RECORD>().0;
        unit.files.reserve_exact(records.len());
        for record in records {
            let one = file_use(record)?;
            if one.file.0 as usize >= known {
                return None;
            }
            unit.files.push(one);
        }
    }
    rest.is_empty().then_some(())
}

pub(super) fn units_of(files: &[File]) -> Vec<u8> {
    let (mut lengths, mut lists) = (Vec::new(), Vec::new());
    for file in files {
        let before = lists.len();
        let mut last = 0_u32;
        for unit in &file.units {
            let mut step = unit.0.wrapping_sub(last);
            last = unit.0;
            while step >= 0x80 {
                lists.push(step as u8 | 0x80);
                step >>= 7;
            }
            lists.push(step as u8);
        }
        lengths.extend((lists.len().saturating_sub(before) as u32).to_le_bytes());
    }
    [lengths, lists].concat()
}

/// Gives those files their units that are wanted.
pub(super) fn add_units(
    info: &mut BuildInfo,
    bytes: &[u8],
    wanted: impl Fn(FileId) -> bool,
) -> Option<()> {
    let known = info.units.len();
    let (lengths, mut rest) = bytes.split_at_checked(info.files.len().checked_mul(4)?)?;
    let lengths = lengths.as_chunks::<4>().0;
    for ((id, file), length) in (0..).map(FileId).zip(&mut info.files).zip(lengths) {
        let (list, after) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = after;
        if !wanted(id) {
            continue;
        }
        let (mut last, mut step, mut shift) = (0_u32, 0_u32, 0_u32);
        file.units.reserve_exact(list.len());
        for &byte in list {
            step |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 != 0 {
                shift = shift.checked_add(7)?;
                continue;
            }
            last = last.wrapping_add(step);
            if last as usize >= known {
                return None;
            }
            file.units.push(UnitId(last));
            (step, shift) = (0, 0);
        }
    }
    rest.is_empty().then_some(())
}

fn record(one: &FileUse) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let checksum = one.checksum.unwrap_or(NO_CHECKSUM);
    let place =
        PROVENANCES.iter().position(|it| *it == one.provenance).unwrap_or(PROVENANCES.len());
    let words = [one.file.0.to_le_bytes(), checksum.to_le_bytes(), (place as u32).to_le_bytes()];
    for (to, from) in record.iter_mut().zip(words.as_flattened()) {
        *to = *from;
    }
    record
}

fn file_use(record: &[u8; RECORD]) -> Option<FileUse> {
    let (file, rest) = record.split_first_chunk::<4>()?;
    let (checksum, place) = rest.split_first_chunk::<4>()?;
    let checksum = Some(u32::from_le_bytes(*checksum)).filter(|&it| it != NO_CHECKSUM);
    let place = u32::from_le_bytes(*place.first_chunk()?);
    let provenance = *PROVENANCES.get(place as usize)?;
    Some(FileUse { file: FileId(u32::from_le_bytes(*file)), checksum, provenance })
}

const RECORD: usize = 12;
const NO_CHECKSUM: u32 = u32::MAX;

/// The provenances by the numbers that stand for them.
pub(super) const PROVENANCES: [Provenance; 12] = [
    Provenance::Recorded,
    Provenance::Macros,
    Provenance::CompileCommands,
    Provenance::Ninja,
    Provenance::Cmake,
    Provenance::BuildLog,
    Provenance::Depfile,
    Provenance::CargoMessages,
    Provenance::Compiler,
    Provenance::Derived,
    Provenance::OwnHeaders,
    Provenance::LineTable,
];
