//! The section contributions, made into ranges of the image that do not overlap.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::{Claim, Contribution, Error, Unit, UnitId};

use super::bytes::{Bytes, u32_at};
use super::dbi::Dbi;
use super::msf::{Msf, malformed};
use super::sections::Sections;
use super::window::Window;

/// Reads the contributions, in the order of addresses, and says how many are of no module or in no
/// section.
pub(super) fn read(
    msf: &Msf<'_>,
    dbi: &Dbi,
    sections: &Sections,
    units: usize,
) -> Result<(Vec<Contribution>, u64), Error> {
    let part = dbi.contributions;
    let (mut contributions, mut strays) = (Vec::new(), 0_u64);
    if part.end == part.start {
        return Ok((contributions, strays));
    }
    let mut window = Window::new(msf, dbi.stream, 1, 16);
    let version = u32_at(window.bytes(part.start, 4, CONTRIBUTIONS)?, 0).unwrap_or(0);
    let size: u32 = match version {
        V60 => 28,
        V2 => 32,
        _ => {
            let what = "the version is unknown";
            return Err(malformed(CONTRIBUTIONS, part.start, what, version));
        }
    };
    let mut at = part.start.saturating_add(4);
    // The stream is as long as the part says, so that this is no claim.
    let count = part.end.saturating_sub(at).checked_div(size).unwrap_or(0);
    contributions.reserve_exact(count as usize);
    while part.end.saturating_sub(at) >= size {
        // As many whole ones as are before the end of a part of the window.
        let here = window.some(at, part.end.saturating_sub(at), CONTRIBUTIONS)?;
        let mut records = here.chunks_exact(size as usize);
        let whole = u32::try_from(here.len().saturating_sub(records.remainder().len()));
        let whole = whole.unwrap_or(u32::MAX);
        if whole == 0 {
            records = window.bytes(at, size, CONTRIBUTIONS)?.chunks_exact(size as usize);
        }
        for record in records {
            match one(record, sections, units) {
                Some(one) if one.size > 0 => contributions.push(one),
                Some(_) => {}
                None => strays = strays.saturating_add(1),
            }
        }
        at = at.saturating_add(whole.max(size));
    }
    if !contributions.is_sorted_by_key(order) {
        contributions.sort_by_key(order);
    }
    Ok((settled(contributions), strays))
}

fn one(record: &[u8], sections: &Sections, units: usize) -> Option<Contribution> {
    let mut fields = Bytes(record);
    let (section, _padding) = (fields.u16()?, fields.u16()?);
    let (offset, size, characteristics) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let module = fields.u16()?;
    let address = sections.address(section, offset)?;
    let unit = UnitId(module.into());
    (usize::from(module) < units).then_some(Contribution {
        address,
        size,
        unit,
        characteristics,
        section,
        claim: Claim::Sole,
    })
}

/// By address, and where that is the same in the order of linking.
fn order(one: &Contribution) -> (u64, UnitId) {
    (one.address, one.unit)
}

/// Marks who is really there and who lost. What goes on beyond the range that it lost to is split
/// there, once: what overlaps everything would be split without end.
fn settled(claims: Vec<Contribution>) -> Vec<Contribution> {
    let overlap = |pair: &[Contribution]| matches!(pair, [a, b] if b.address < end(a));
    if !claims.windows(2).any(overlap) {
        return claims;
    }
    let (mut settled, mut owner) = (Vec::with_capacity(claims.len()), None::<usize>);
    let mut claims = claims.into_iter().peekable();
    // What is left of the claims that were split.
    let mut rests: BinaryHeap<Reverse<Rest>> = BinaryHeap::new();
    loop {
        let is_rest = match (rests.peek(), claims.peek()) {
            (Some(Reverse(rest)), Some(claim)) => order(&rest.0) < order(claim),
            (rest, None) => rest.is_some(),
            (None, _) => false,
        };
        let rest = if is_rest { rests.pop().map(|Reverse(rest)| rest.0) } else { None };
        let Some(mut next) = rest.or_else(|| claims.next()) else { return settled };
        let current = owner.and_then(|at| settled.get_mut(at));
        let Some(current) = current.filter(|current| next.address < end(current)) else {
            owner = Some(settled.len());
            settled.push(next);
            continue;
        };
        if current.claim == Claim::Sole {
            current.claim = Claim::First;
        }
        let until = end(current);
        if end(&next) > until {
            let whole = next;
            next.size = u32::try_from(until.saturating_sub(next.address)).unwrap_or(u32::MAX);
            let size = whole.size.saturating_sub(next.size);
            if !is_rest {
                rests.push(Reverse(Rest(Contribution { address: until, size, ..whole })));
            }
        }
        next.claim = Claim::Loser;
        settled.push(next);
    }
}

/// What is left of a claim; by order, for the heap.
struct Rest(Contribution);

impl Rest {
    fn key(&self) -> (u64, UnitId, u32) {
        (self.0.address, self.0.unit, self.0.size)
    }
}

impl Ord for Rest {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Rest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rest {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Rest {}

fn end(one: &Contribution) -> u64 {
    one.address.saturating_add(one.size.into())
}

/// Adds to each unit's size what it owns.
pub(super) fn weigh(contributions: &[Contribution], units: &mut [Unit]) {
    for one in contributions.iter().filter(|one| one.claim != Claim::Loser) {
        if let Some(unit) = units.get_mut(one.unit.0 as usize) {
            unit.size = unit.size.saturating_add(one.size.into());
        }
    }
}

const CONTRIBUTIONS: &str = "section contributions";
const V60: u32 = 0xeffe_0000 + 19_970_605;
const V2: u32 = 0xeffe_0000 + 20_140_516;
