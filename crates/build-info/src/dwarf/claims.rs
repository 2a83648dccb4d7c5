//! Who gets an address that several units claim.
//!
//! A function that many units have, as templates and inline functions are, is kept once. GNU ld and
//! gold let the debug information of the copies that were thrown away, where those were of the same
//! size, claim the address of the one that was kept; lld and mold let it claim the address 0, and so
//! do the former for copies of another size. The linker keeps the first that it meets.

use std::collections::BTreeSet;

use crate::{BuildInfo, Claim, Contribution, UnitId};

/// A range that a unit claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claimed {
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) unit: UnitId,
}

/// A stretch of the image in which code may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// The section's number, from 1.
    pub(crate) section: u16,
}

/// Settles who owns what, and gives each unit its size.
///
/// A claim counts as far as it lies in a place where code can be: what was thrown away claims 0, or
/// a small address, or one of all ones. Units come in the order of linking, and so the lowest wins.
pub(crate) fn settle(info: &mut BuildInfo, mut claims: Vec<Claimed>, mut places: Vec<Place>) {
    places.sort_unstable();
    claims.retain(|claim| claim.begin < claim.end);
    claims.sort_unstable();
    claims.dedup();
    let mut left = claims.len().saturating_mul(2).saturating_add(1024);
    let mut settled = Vec::new();
    let mut open = Open::default();
    let mut coming = claims.iter().peekable();
    let mut places = places.iter().peekable();
    let mut at = 0;
    loop {
        while let Some(claim) = coming.next_if(|claim| claim.begin <= at) {
            open.add(claim);
        }
        open.close(at);
        let next = coming.peek().map(|claim| claim.begin);
        let Some(first_end) = open.first_end() else {
            let Some(next) = next else { break };
            at = next;
            continue;
        };
        let until = next.map_or(first_end, |next| next.min(first_end));
        while places.next_if(|place| place.end <= at).is_some() {}
        match places.peek() {
            None => break,
            Some(place) if place.begin >= until => at = until,
            Some(place) => {
                let stretch = Place {
                    begin: at.max(place.begin),
                    end: until.min(place.end),
                    section: place.section,
                };
                left = open.list(stretch, &mut settled, left);
                at = stretch.end;
            }
        }
    }
    if left == 0 {
        info.remarks.push("so many units claim the same addresses that not all are listed".into());
    }
    let merged = merge(settled);
    for one in merged.iter().filter(|one| one.claim != Claim::Loser) {
        let unit = usize::try_from(one.unit.0).ok().and_then(|at| info.units.get_mut(at));
        if let Some(unit) = unit {
            unit.size = unit.size.saturating_add(u64::from(one.size));
        }
    }
    info.contributions = merged;
}

/// The claims that cover one place.
#[derive(Debug, Default)]
struct Open {
    by_unit: BTreeSet<(UnitId, u64)>,
    by_end: BTreeSet<(u64, UnitId)>,
}

impl Open {
    fn add(&mut self, claim: &Claimed) {
        self.by_unit.insert((claim.unit, claim.end));
        self.by_end.insert((claim.end, claim.unit));
    }

    /// Forgets the claims that end at an address or before it.
    fn close(&mut self, at: u64) {
        while let Some(&(end, unit)) = self.by_end.first().filter(|(end, _)| *end <= at) {
            self.by_end.pop_first();
            self.by_unit.remove(&(unit, end));
        }
    }

    fn first_end(&self) -> Option<u64> {
        self.by_end.first().map(|&(end, _)| end)
    }

    /// Lists who claims a stretch: the owner, and of the others as many as are `left`. Says how many
    /// are left then.
    fn list(&self, stretch: Place, settled: &mut Vec<Contribution>, mut left: usize) -> usize {
        let (first, last) = (self.by_unit.first(), self.by_unit.last());
        let several = first.map(|one| one.0) != last.map(|one| one.0);
        let size = u32::try_from(stretch.end.saturating_sub(stretch.begin)).unwrap_or(u32::MAX);
        let mut before = None;
        for &(unit, _) in &self.by_unit {
            let claim = match before {
                Some(_) if left == 0 => break,
                Some(_) => Claim::Loser,
                None if several => Claim::First,
                None => Claim::Sole,
            };
            left = left.saturating_sub(1);
            if before.replace(unit) == Some(unit) {
                continue;
            }
            settled.push(Contribution {
                address: stretch.begin,
                size,
                unit,
                characteristics: 0,
                section: stretch.section,
                claim,
            });
        }
        left
    }
}

/// Makes one of what lies end to end and is the same otherwise.
fn merge(settled: Vec<Contribution>) -> Vec<Contribution> {
    let mut merged: Vec<Contribution> = Vec::with_capacity(settled.len());
    for one in settled {
        let joins = |last: &&mut Contribution| {
            last.claim == Claim::Sole
                && one.claim == Claim::Sole
                && last.unit == one.unit
                && last.section == one.section
                && last.address.saturating_add(u64::from(last.size)) == one.address
        };
        match merged.last_mut().filter(joins) {
            Some(last) if last.size.checked_add(one.size).is_some() => {
                last.size = last.size.saturating_add(one.size);
            }
            _ => merged.push(one),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, Unit};

    fn settled(claims: &[(u64, u64, u32)], places: &[(u64, u64)]) -> Vec<(u64, u32, u32, Claim)> {
        let mut info = BuildInfo::new(Format::Elf);
        info.units = vec![Unit::default(); 4];
        let claims = claims
            .iter()
            .map(|&(begin, end, unit)| Claimed { begin, end, unit: UnitId(unit) })
            .collect();
        let places = places.iter().map(|&(begin, end)| Place { begin, end, section: 1 }).collect();
        settle(&mut info, claims, places);
        info.contributions
            .iter()
            .map(|one| (one.address, one.size, one.unit.0, one.claim))
            .collect()
    }

    #[test]
    fn a_claim_outside_of_code_is_nothing() {
        let places = [(0x100, 0x200)];
        assert_eq!(settled(&[(0, 0x10, 0)], &places), []);
        assert_eq!(settled(&[(u64::MAX - 1, u64::MAX, 0)], &places), []);
        assert_eq!(settled(&[(0x110, 0x110, 0)], &places), []);
        assert_eq!(settled(&[(0x110, 0x120, 0)], &[]), []);
        assert_eq!(settled(&[(0xf0, 0x120, 0)], &places), [(0x100, 0x20, 0, Claim::Sole)]);
        assert_eq!(settled(&[(0x1f0, 0x220, 0)], &places), [(0x1f0, 0x10, 0, Claim::Sole)]);
    }

    #[test]
    fn the_first_unit_has_what_several_claim() {
        assert_eq!(
            settled(&[(0x110, 0x120, 2), (0x110, 0x120, 1), (0x120, 0x130, 2)], &[(0x100, 0x200)]),
            [
                (0x110, 0x10, 1, Claim::First),
                (0x110, 0x10, 2, Claim::Loser),
                (0x120, 0x10, 2, Claim::Sole),
            ]
        );
    }

    #[test]
    fn a_claim_that_overlaps_another_is_cut_where_they_meet() {
        assert_eq!(
            settled(&[(0x100, 0x120, 1), (0x110, 0x130, 0)], &[(0x100, 0x200)]),
            [
                (0x100, 0x10, 1, Claim::Sole),
                (0x110, 0x10, 0, Claim::First),
                (0x110, 0x10, 1, Claim::Loser),
                (0x120, 0x10, 0, Claim::Sole),
            ]
        );
    }

    #[test]
    fn what_one_unit_claims_twice_or_in_pieces_is_claimed_once() {
        assert_eq!(
            settled(&[(0x100, 0x110, 1), (0x100, 0x120, 1), (0x120, 0x140, 1)], &[(0x100, 0x180)]),
            [(0x100, 0x40, 1, Claim::Sole)]
        );
    }

    #[test]
    fn a_claim_across_two_sections_is_two() {
        assert_eq!(
            settled(&[(0x100, 0x400, 1)], &[(0x100, 0x200), (0x300, 0x340)]),
            [(0x100, 0x100, 1, Claim::Sole), (0x300, 0x40, 1, Claim::Sole)]
        );
    }
}
