//! What a binary says of how it was built.

use serde::{Deserialize, Serialize};

use crate::{Checksum, Claim, Command, Contribution, Fact, File, Group, Owners, Unit};

/// What a binary says of how it was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    /// The format of the debug information.
    pub format: Format,
    /// What tells this build from another.
    pub identity: Option<Identity>,
    /// The units, in the order of linking.
    pub units: Vec<Unit>,
    /// The linker, where it left a trace.
    pub linker: Option<Linker>,
    /// The files of all units, once each.
    pub files: Vec<File>,
    /// The checksums that files were seen with, once each.
    pub checksums: Vec<Checksum>,
    /// Whose which bytes of the image are, ascending by address. What is really there does not
    /// overlap; a claim on it that lost begins where the owner's begins and follows it.
    pub contributions: Vec<Contribution>,
    /// The named parts of the image's sections (COFF groups), ascending by address.
    pub groups: Vec<Group>,
    /// What is missing or damaged, in words: a reader goes on where it can.
    pub remarks: Vec<String>,
}

/// The format of debug information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Format {
    /// A program database of Microsoft's tools.
    Pdb,
    /// ELF with DWARF, or with symbols alone.
    Elf,
    /// Mach-O: a debug map, or a dSYM.
    MachO,
}

/// What tells a build from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Identity {
    /// A PDB's GUID, as its bytes stand in the file, and age.
    Pdb {
        /// The GUID.
        guid: [u8; 16],
        /// The age.
        age: u32,
    },
    /// `NT_GNU_BUILD_ID`.
    BuildId(Vec<u8>),
    /// `LC_UUID`.
    Uuid([u8; 16]),
}

/// The linker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linker {
    /// What it calls itself.
    pub producer: Option<String>,
    /// The directory that it ran in.
    pub cwd: Option<Fact<String>>,
    /// Its executable, as recorded: it need not exist.
    pub executable: Option<Fact<String>>,
    /// The PDB that it wrote.
    pub pdb: Option<Fact<String>>,
    /// Its command line.
    pub command: Option<Fact<Command>>,
}

impl BuildInfo {
    /// Nothing yet, of a format.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            identity: None,
            units: Vec::new(),
            linker: None,
            files: Vec::new(),
            checksums: Vec::new(),
            contributions: Vec::new(),
            groups: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Who contributed the byte at an address: the owner, and whoever claims it too.
    ///
    /// Takes time logarithmic in the number of contributions, and linear in the claims on the one
    /// range.
    pub fn owners(&self, address: u64) -> Owners {
        let end = self.contributions.partition_point(|one| one.address <= address);
        let before = self.contributions.get(..end).unwrap_or_default();
        let owner = before.iter().rposition(|one| one.claim != Claim::Loser).unwrap_or(0);
        let claims = before.get(owner..).unwrap_or_default();
        let covers =
            |one: &&Contribution| address.saturating_sub(one.address) < u64::from(one.size);
        Owners { contributions: claims.iter().filter(covers).copied().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UnitId;

    fn claim(address: u64, size: u32, unit: u32, claim: Claim) -> Contribution {
        let unit = UnitId(unit);
        Contribution { address, size, unit, characteristics: 0, section: 1, claim }
    }

    #[test]
    fn an_address_has_its_owner_first_and_then_the_losers() {
        let mut info = BuildInfo::new(Format::Elf);
        info.contributions = vec![
            claim(0x10, 8, 0, Claim::Sole),
            claim(0x20, 8, 1, Claim::First),
            claim(0x20, 16, 2, Claim::Loser),
            claim(0x40, 1, 3, Claim::Sole),
        ];
        let units = |address| -> Vec<u32> {
            info.owners(address).contributions.iter().map(|one| one.unit.0).collect()
        };
        assert_eq!(units(0xf), [0_u32; 0]);
        assert_eq!(units(0x10), [0]);
        assert_eq!(units(0x17), [0]);
        assert_eq!(units(0x18), [0_u32; 0]);
        assert_eq!(units(0x20), [1, 2]);
        assert_eq!(units(0x28), [2]);
        assert!(info.owners(0x28).owner().is_none());
        assert_eq!(units(0x40), [3]);
        assert_eq!(units(u64::MAX), [0_u32; 0]);
    }
}
