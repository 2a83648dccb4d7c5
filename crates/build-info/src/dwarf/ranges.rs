//! The addresses that a unit says are its own.

use std::collections::BTreeMap;

use gimli::{
    DebugAddr, DebugAddrBase, DebugAddrIndex, DebugAranges, DebugRanges, DebugRngLists,
    DebugRngListsBase, DebugRngListsIndex, EndianSlice, RangeLists, RangeListsOffset,
    RunTimeEndian,
};

use super::claims::Claimed;
use super::form::Value;
use super::header::Header;
use super::root::Root;
use super::section::{Section, malformed};
use crate::{Error, UnitId};

/// The sections that say which addresses are whose.
pub(crate) struct Ranges<'a> {
    pub(crate) addr: Section<'a>,
    pub(crate) ranges: Section<'a>,
    pub(crate) rnglists: Section<'a>,
    pub(crate) aranges: Section<'a>,
    pub(crate) endian: RunTimeEndian,
    /// How many ranges may still be read: many units can name one list.
    left: u64,
}

impl<'a> Ranges<'a> {
    pub(crate) fn new(
        addr: Section<'a>,
        ranges: Section<'a>,
        rnglists: Section<'a>,
        aranges: Section<'a>,
        endian: RunTimeEndian,
    ) -> Self {
        let left = ranges.length().saturating_add(rnglists.length()).saturating_add(64 << 10);
        Self { addr, ranges, rnglists, aranges, endian, left }
    }

    /// Adds what a unit claims, and says whether it claims anything.
    pub(crate) fn claims(
        &mut self,
        header: &Header,
        root: &Root,
        unit: UnitId,
        claims: &mut Vec<Claimed>,
    ) -> Result<bool, Error> {
        let addr_base = root.addr_base.unwrap_or(if header.encoding.version >= 5 { 8 } else { 0 });
        let low = match root.low_pc {
            Some(Value::Address(address)) => Some(address),
            Some(Value::AddressIndex(index)) => Some(self.address(header, addr_base, index)?),
            _ => None,
        };
        if let Some(ranges) = &root.ranges {
            let base = low.unwrap_or(0);
            self.list(header, root, ranges, addr_base, base, unit, claims)?;
            return Ok(true);
        }
        let Some(begin) = low else { return Ok(false) };
        let end = match root.high_pc {
            Some(Value::Number(size)) => begin.checked_add(size),
            Some(Value::Address(address)) => Some(address),
            Some(Value::AddressIndex(index)) => Some(self.address(header, addr_base, index)?),
            _ => None,
        };
        let Some(end) = end else { return Ok(false) };
        claims.push(Claimed { begin, end, unit });
        Ok(true)
    }

    /// Adds what `.debug_aranges` says of units that say nothing themselves.
    pub(crate) fn claims_by_aranges(
        &mut self,
        units: &BTreeMap<u64, UnitId>,
        claims: &mut Vec<Claimed>,
    ) -> Result<(), Error> {
        let structure = self.aranges.name();
        let bad = |error| malformed(structure, 0, error);
        let aranges = DebugAranges::new(self.aranges.all()?, self.endian);
        let mut headers = aranges.headers();
        while let Some(header) = headers.next().map_err(bad)? {
            let Some(&unit) = units.get(&(header.debug_info_offset().0 as u64)) else { continue };
            let mut entries = header.entries();
            while let Some(entry) = entries.next().map_err(bad)? {
                let range = entry.range();
                claims.push(Claimed { begin: range.begin, end: range.end, unit });
            }
        }
        Ok(())
    }

    fn address(&mut self, header: &Header, base: u64, index: u64) -> Result<u64, Error> {
        let (structure, endian) = (self.addr.name(), self.endian);
        let size = header.encoding.address_size;
        let at = index.checked_mul(u64::from(size)).and_then(|at| at.checked_add(base));
        let at =
            at.ok_or_else(|| malformed(structure, base, gimli::Error::OffsetOutOfBounds(index)))?;
        let end = self.addr.length();
        self.addr.parse(at, end, endian, |bytes| {
            let one = DebugAddr::from(bytes);
            one.get_address(size, DebugAddrBase(0), DebugAddrIndex(0))
        })
    }

    #[expect(clippy::too_many_arguments, reason = "what a list of ranges is told apart by")]
    fn list(
        &mut self,
        header: &Header,
        root: &Root,
        ranges: &Value,
        addr_base: u64,
        base: u64,
        unit: UnitId,
        claims: &mut Vec<Claimed>,
    ) -> Result<(), Error> {
        let structure = if header.encoding.version >= 5 {
            self.addr.all()?;
            self.rnglists.all()?;
            self.rnglists.name()
        } else {
            self.ranges.all()?;
            self.ranges.name()
        };
        let bad = |error| malformed(structure, header.at, error);
        let addr = DebugAddr::from(EndianSlice::new(self.addr.loaded(), self.endian));
        let lists = RangeLists::new(
            DebugRanges::new(self.ranges.loaded(), self.endian),
            DebugRngLists::new(self.rnglists.loaded(), self.endian),
        );
        let rnglists_base = root.rnglists_base.unwrap_or(12);
        let place = match *ranges {
            Value::Number(at) => RangeListsOffset(usize::try_from(at).unwrap_or(usize::MAX)),
            Value::RangesIndex(index) => lists
                .get_offset(
                    header.encoding,
                    DebugRngListsBase(usize::try_from(rnglists_base).unwrap_or(usize::MAX)),
                    DebugRngListsIndex(usize::try_from(index).unwrap_or(usize::MAX)),
                )
                .map_err(bad)?,
            _ => return Ok(()),
        };
        let addr_base = DebugAddrBase(usize::try_from(addr_base).unwrap_or(usize::MAX));
        let mut list = lists.ranges(place, header.encoding, base, &addr, addr_base).map_err(bad)?;
        while let Some(range) = list.next().map_err(bad)? {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                let what = "more ranges than such a file can have";
                let at = header.at;
                return Err(Error::Malformed { structure, at, what, found: 0 });
            }
            claims.push(Claimed { begin: range.begin, end: range.end, unit });
        }
        Ok(())
    }
}
