//! Whose code it is that was generated at link time.
//!
//! GCC puts all of it into a unit of its own, `<artificial>`, whose functions say by
//! `DW_AT_abstract_origin` where they were declared: in the units that were compiled.

use std::collections::BTreeMap;

use gimli::{AttributeValue, DebugAbbrev, DebugInfo, EndianSlice};

use super::claims::Claimed;
use super::form::Value;
use super::header::Header;
use super::root::Root;
use super::section::{Section, malformed};
use super::units::Dwarf;
use crate::{Error, UnitId};

/// What the functions of an artificial unit claim for the units that they were compiled in.
///
/// `units` says which unit begins where in `.debug_info`; `left` is how many bytes of abbreviations may
/// still be read.
pub(crate) fn claims(
    dwarf: &mut Dwarf<'_>,
    header: &Header,
    root: &Root,
    units: &BTreeMap<u64, Option<UnitId>>,
    left: &mut u64,
) -> Result<Vec<Claimed>, Error> {
    let mut claims = Vec::new();
    let cost = dwarf.abbrev.length().saturating_sub(header.abbreviations);
    *left = left.checked_sub(cost).ok_or_else(|| {
        malformed(dwarf.abbrev.name(), header.at, gimli::Error::TooManyIterations)
    })?;
    for function in functions(dwarf, header)? {
        let unit = units.range(..=function.origin).next_back().and_then(|(_, unit)| *unit);
        let Some(unit) = unit else { continue };
        let root = Root {
            low_pc: function.low_pc,
            high_pc: function.high_pc,
            ranges: function.ranges,
            ..root.clone()
        };
        dwarf.ranges.claims(header, &root, unit, &mut claims)?;
    }
    Ok(claims)
}

/// What one unit claims and `others` do not, ascending.
///
/// Its claims may lie over each other, and those of the others as well: each address counts once, so
/// that there are never more pieces than there were claims.
pub(crate) fn remaining(claims: Vec<Claimed>, others: &[Claimed]) -> Vec<Claimed> {
    let others = united(others.to_vec());
    let mut remaining = Vec::new();
    for mut claim in united(claims) {
        let first = others.partition_point(|other| other.end <= claim.begin);
        for other in others.get(first..).unwrap_or_default() {
            if other.begin >= claim.end {
                break;
            }
            if other.begin > claim.begin {
                remaining.push(Claimed { end: other.begin, ..claim });
            }
            claim.begin = claim.begin.max(other.end);
        }
        if claim.begin < claim.end {
            remaining.push(claim);
        }
    }
    remaining
}

/// Claims without what lies over each other, whoever's they are.
fn united(mut claims: Vec<Claimed>) -> Vec<Claimed> {
    claims.retain(|claim| claim.begin < claim.end);
    claims.sort_unstable();
    claims.dedup_by(|next, last| {
        let overlap = next.begin < last.end;
        if overlap {
            last.end = last.end.max(next.end);
        }
        overlap
    });
    claims
}

/// A function that was generated at link time.
struct Function {
    /// Where it was declared.
    origin: u64,
    low_pc: Option<Value>,
    high_pc: Option<Value>,
    ranges: Option<Value>,
}

fn functions(dwarf: &mut Dwarf<'_>, header: &Header) -> Result<Vec<Function>, Error> {
    let structure = dwarf.info.name();
    let bad = |error| malformed(structure, header.at, error);
    let length = header.end.saturating_sub(header.at);
    let abbrev = section_from(&mut dwarf.abbrev, header.abbreviations)?;
    let abbrev = DebugAbbrev::new(abbrev, dwarf.endian);
    let abbreviations = abbrev.abbreviations(gimli::DebugAbbrevOffset(0)).map_err(bad)?;
    let bytes = dwarf.info.exactly(header.at, length)?;
    let info = DebugInfo::new(bytes, dwarf.endian);
    let Some(unit) = info.units().next().map_err(bad)? else { return Ok(Vec::new()) };
    let mut functions = Vec::new();
    let mut entries = unit.entries(&abbreviations);
    while let Some(entry) = entries.next_dfs().map_err(bad)? {
        if entry.tag() != gimli::DW_TAG_subprogram {
            continue;
        }
        let origin = match entry.attr_value(gimli::DW_AT_abstract_origin) {
            Some(AttributeValue::DebugInfoRef(at)) => at.0 as u64,
            _ => continue,
        };
        functions.push(Function {
            origin,
            low_pc: entry.attr_value(gimli::DW_AT_low_pc).and_then(value),
            high_pc: entry.attr_value(gimli::DW_AT_high_pc).and_then(value),
            ranges: entry.attr_value(gimli::DW_AT_ranges).and_then(value),
        });
    }
    Ok(functions)
}

fn section_from<'b>(section: &'b mut Section<'_>, at: u64) -> Result<&'b [u8], Error> {
    section.window(at, section.length().saturating_sub(at))
}

fn value(value: AttributeValue<EndianSlice<'_, gimli::RunTimeEndian>>) -> Option<Value> {
    Some(match value {
        AttributeValue::Addr(address) => Value::Address(address),
        AttributeValue::DebugAddrIndex(index) => Value::AddressIndex(index.0 as u64),
        AttributeValue::RangeListsRef(at) => Value::Number(at.0 as u64),
        AttributeValue::DebugRngListsIndex(index) => Value::RangesIndex(index.0 as u64),
        other => Value::Number(other.udata_value()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_claim_is_cut_out() {
        let claim = |begin, end| Claimed { begin, end, unit: UnitId(0) };
        let others = [claim(10, 20), claim(25, 30)];
        assert_eq!(
            remaining(vec![claim(0, 40), claim(12, 18), claim(28, 50)], &others),
            [claim(0, 10), claim(20, 25), claim(30, 50)]
        );
        let others = [claim(0, 100), claim(1, 2)];
        assert_eq!(remaining(vec![claim(50, 60)], &others), []);
    }

    #[test]
    fn claims_over_each_other_and_over_many_others_are_no_more_than_there_were() {
        let claim = |begin, end| Claimed { begin, end, unit: UnitId(0) };
        let others: Vec<Claimed> = (0..1_000).map(|at| claim(2 * at, 2 * at + 1)).collect();
        let remaining = remaining(vec![claim(0, 2_000); 1_000], &others);
        assert_eq!(remaining.len(), 1_000);
    }
}
