//! Contributions, in records of one size, ascending by address.

use std::collections::BTreeSet;

use crate::{Claim, Contribution, UnitId};

pub(super) fn records(contributions: &[Contribution]) -> Vec<u8> {
    contributions.iter().flat_map(record).collect()
}

pub(super) fn all(bytes: &[u8]) -> Option<Vec<Contribution>> {
    whole(bytes)?.iter().map(contribution).collect()
}

/// Those that [`BuildInfo::owners`](crate::BuildInfo::owners) looks at for some addresses.
pub(super) fn at(bytes: &[u8], addresses: &[u64]) -> Option<Vec<Contribution>> {
    let records = whole(bytes)?;
    let mut places = BTreeSet::new();
    for &address in addresses {
        let end = records.partition_point(|record| address_of(record) <= address);
        for place in (0..end).rev() {
            places.insert(place);
            if contribution(records.get(place)?)?.claim != Claim::Loser {
                break;
            }
        }
    }
    places.into_iter().map(|place| contribution(records.get(place)?)).collect()
}

fn whole(bytes: &[u8]) -> Option<&[[u8; RECORD]]> {
    let (records, rest) = bytes.as_chunks::<RECORD>();
    rest.is_empty().then_some(records)
}

fn record(one: &Contribution) -> [u8; RECORD] {
    let mut record = [0; RECORD];
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

fn address_of(record: &[u8; RECORD]) -> u64 {
    record.first_chunk().map_or(0, |address| u64::from_le_bytes(*address))
}

fn contribution(record: &[u8; RECORD]) -> Option<Contribution> {
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

const RECORD: usize = 24;
