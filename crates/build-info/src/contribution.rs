//! Whose the bytes at an address are.

use serde::{Deserialize, Serialize};

use crate::UnitId;

/// A range of the image that came from one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contribution {
    /// Where it begins: relative to the image's base in PDB, as linked in ELF and Mach-O.
    pub address: u64,
    /// How many bytes.
    pub size: u32,
    /// The unit.
    pub unit: UnitId,
    /// The section's characteristics as COFF has them (`IMAGE_SCN_*`); 0 elsewhere.
    pub characteristics: u32,
    /// The section's number in the image, from 1; 0 where it is in none.
    pub section: u16,
    /// What the claim is worth.
    pub claim: Claim,
}

/// What a unit's claim on a range is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Claim {
    /// Nobody else claims it.
    Sole,
    /// Others claim it too, and this unit comes first in the order of linking.
    First,
    /// Others claim it too, and one of them comes first: this unit's copy was thrown away.
    Loser,
}

/// A named part of a section, such as `.CRT$XCU` of `.rdata` (COFF).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The name.
    pub name: String,
    /// Where it begins, relative to the image's base.
    pub address: u64,
    /// How many bytes.
    pub size: u32,
    /// `IMAGE_SCN_*`.
    pub characteristics: u32,
    /// The section's number in the image, from 1.
    pub section: u16,
}

/// Everybody who claims an address: the owner first, then those whose copy was thrown away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// The contributions that cover the address.
    pub contributions: Vec<Contribution>,
}

impl Owners {
    /// The contribution that is really there.
    pub fn owner(&self) -> Option<&Contribution> {
        self.contributions.iter().find(|contribution| contribution.claim != Claim::Loser)
    }
}
