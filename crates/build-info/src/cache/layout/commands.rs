//! The units' commands, each by itself: they are long, and few are wanted at once.
//!
//! For each unit a row, the length of its command and a checksum; then the commands, one behind the
//! other.

use crate::{Command, Fact, Unit, UnitId};

/// The rows, and the commands.
pub(super) fn of(units: &[Unit]) -> Result<(Vec<u8>, Vec<u8>), postcard::Error> {
    let (mut rows, mut commands) = (Vec::new(), Vec::new());
    for unit in units {
        let command = postcard::to_allocvec(&(&unit.command, &unit.definitions))?;
        rows.extend((command.len() as u32).to_le_bytes());
        rows.extend(crc32fast::hash(&command).to_le_bytes());
        commands.extend(command);
    }
    Ok((rows, commands))
}

/// Where the commands are.
pub(super) struct Rows(Vec<Row>);

struct Row {
    at: u64,
    length: u64,
    sum: u32,
}

impl Rows {
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let (rows, rest) = bytes.as_chunks::<8>();
        let mut at = 0_u64;
        let row = |row: &[u8; 8]| {
            let (length, sum) = row.split_first_chunk::<4>()?;
            let length = u64::from(u32::from_le_bytes(*length));
            let row = Row { at, length, sum: u32::from_le_bytes(*sum.first_chunk()?) };
            at = at.checked_add(length)?;
            Some(row)
        };
        let rows = rows.iter().map(row).collect::<Option<_>>()?;
        rest.is_empty().then_some(Self(rows))
    }

    /// Where a unit's command is among all, and how long.
    pub(super) fn place(&self, unit: UnitId) -> Option<(u64, u64)> {
        self.0.get(unit.0 as usize).map(|row| (row.at, row.length))
    }

    /// Gives a unit its command.
    pub(super) fn add(&self, unit: &mut Unit, id: UnitId, bytes: &[u8]) -> Option<()> {
        if crc32fast::hash(bytes) != self.0.get(id.0 as usize)?.sum {
            return None;
        }
        (unit.command, unit.definitions) = decoded(bytes)?;
        Some(())
    }

    /// Gives all units their commands, whose bytes are known to be whole.
    pub(super) fn add_all(&self, units: &mut [Unit], bytes: &[u8]) -> Option<()> {
        if self.0.len() != units.len() {
            return None;
        }
        let mut rest = bytes;
        for (unit, row) in units.iter_mut().zip(&self.0) {
            let (command, after) = rest.split_at_checked(usize::try_from(row.length).ok()?)?;
            (unit.command, unit.definitions) = decoded(command)?;
            rest = after;
        }
        rest.is_empty().then_some(())
    }
}

fn decoded(bytes: &[u8]) -> Option<(Option<Fact<Command>>, Vec<String>)> {
    postcard::from_bytes(bytes).ok()
}
