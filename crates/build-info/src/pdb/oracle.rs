//! What must hold for any bytes that are taken for a PDB.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a broken promise ends the test"
)]

use std::io;

use crate::{BuildInfo, Claim, Questions, ReadAt};

use super::{identity, read, symbol, symbol_at};

/// Reads everything of `bytes` that there is to read and checks what must be true of any answer.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn pdb_read(bytes: &[u8]) {
    let all = match read(bytes, &Questions::ALL) {
        Ok(info) => info,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(read(&Piecewise(bytes), &Questions::ALL).is_err());
            return;
        }
    };
    check(&all);
    assert!(identity(bytes).is_ok_and(|identity| Some(identity) == all.identity));
    assert!(read(&Piecewise(bytes), &Questions::ALL).is_ok_and(|again| again == all));
    if let Ok(files) = read(bytes, &Questions::FILES) {
        check(&files);
        assert_eq!(files.units.len(), all.units.len());
        assert!(files.files.len() <= all.files.len() && files.contributions.is_empty());
    }
    let first = all.contributions.first().map_or(0, |one| one.address);
    for address in [0, first, u64::MAX] {
        if let Ok(Some(symbol)) = symbol_at(bytes, address) {
            assert!(symbol.address <= address);
            let _ = self::symbol(bytes, &symbol.name);
        }
    }
    let _ = symbol(bytes, "main");
}

fn check(info: &BuildInfo) {
    let units = info.units.len();
    for (index, unit) in info.units.iter().enumerate() {
        for one in &unit.files {
            let file = &info.files[one.file.0 as usize];
            assert!(file.units.iter().any(|unit| unit.0 as usize == index));
            assert!(one.checksum.is_none_or(|it| (it as usize) < info.checksums.len()));
        }
        assert!(unit.flags.is_sorted());
    }
    for file in &info.files {
        assert!(file.units.is_sorted() && !file.units.is_empty());
        assert!(file.units.iter().all(|unit| (unit.0 as usize) < units));
    }
    let (mut owned, mut end) = (0, 0);
    for one in &info.contributions {
        assert!(one.size > 0 && (one.unit.0 as usize) < units);
        if one.claim != Claim::Loser {
            assert!(one.address >= end);
            end = one.address + u64::from(one.size);
            owned += u64::from(one.size);
            let owners = info.owners(one.address);
            assert_eq!(owners.owner(), Some(one));
        }
    }
    assert!(info.contributions.is_sorted_by_key(|one| one.address));
    assert_eq!(info.units.iter().map(|unit| unit.size).sum::<u64>(), owned);
    assert!(info.groups.is_sorted_by_key(|group| group.address));
}

/// Bytes in memory that do not say so.
struct Piecewise<'b>(&'b [u8]);

impl ReadAt for Piecewise<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
}
