//! Of images with DWARF.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{
    BuildInfo, Claim, Companion, Companions, Opened, Questions, ReadAt, elf, macho, read_with,
};

/// Reads everything that bytes say as ELF or Mach-O, and checks what must be true whatever they are.
/// Every companion that is asked for is the same bytes again.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn dwarf_read(bytes: &[u8]) {
    let bytes = OutOfMemory(bytes.into());
    let companions = Itself(bytes.clone());
    for questions in [Questions::ALL, Questions::FILES] {
        let here = read_with(&*bytes.0, &questions, &companions);
        let there = read_with(&bytes, &questions, &companions);
        match (here, there) {
            (Ok(here), Ok(there)) => {
                hangs_together(&here);
                // As many remarks and as few facts are printed as there is difference.
                assert_eq!(here.remarks, there.remarks);
                assert_eq!(here.units, there.units);
                assert!(here == there, "memory and a file say the same");
            }
            (Err(here), Err(there)) => assert_eq!(here.to_string(), there.to_string()),
            (here, there) => unreachable!("{:?} but {:?}", here.err(), there.err()),
        }
    }
    for found in [elf::symbol(&bytes, "main"), macho::symbol(&bytes, "main")] {
        assert!(found.unwrap_or_default().is_sorted());
    }
}

/// Whether every number leads somewhere, and everything is in the order that is promised.
fn hangs_together(info: &BuildInfo) {
    let units = info.units.len() as u64;
    for (number, unit) in info.units.iter().enumerate() {
        for one in &unit.files {
            let file = usize::try_from(one.file.0).ok().and_then(|at| info.files.get(at));
            let units = &file.unwrap_or_else(|| unreachable!("no {:?}", one.file)).units;
            let here = |unit: &crate::UnitId| usize::try_from(unit.0).unwrap_or(usize::MAX);
            assert!(units.binary_search_by_key(&number, here).is_ok(), "unit {number}");
            if let Some(checksum) = one.checksum {
                assert!(u64::from(checksum) < info.checksums.len() as u64);
            }
        }
        assert!(unit.flags.is_sorted());
    }
    for file in &info.files {
        assert!(file.units.windows(2).all(|two| two.first() < two.last()));
    }
    let mut end = 0_u64;
    let mut owner = None;
    for one in &info.contributions {
        assert!(u64::from(one.unit.0) < units);
        if one.claim == Claim::Loser {
            assert_eq!(owner, Some(one.address), "a loser follows the owner");
            continue;
        }
        assert!(end <= one.address, "owners do not overlap: {one:x?}");
        end = one.address.saturating_add(u64::from(one.size));
        owner = Some(one.address);
        assert_eq!(info.owners(one.address).owner(), Some(one));
    }
}

/// Bytes that are not seen to be in memory, and come a few at a time.
#[derive(Clone)]
struct OutOfMemory(Arc<[u8]>);

impl ReadAt for OutOfMemory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let some = buffer.len().min(4096);
        self.0.read_at(buffer.get_mut(..some).unwrap_or_default(), offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
}

/// The same bytes, whatever is wanted.
struct Itself(OutOfMemory);

impl Companions for Itself {
    fn places(&self, wanted: &Companion) -> Vec<PathBuf> {
        match wanted {
            // Objects are as many as the symbols say.
            Companion::Object(path) if path.len() > 64 => Vec::new(),
            _ => vec![PathBuf::from("itself")],
        }
    }

    fn open(&self, _: &Path) -> Option<Opened> {
        Some(Opened { source: Box::new(self.0.clone()), modified: None })
    }
}
