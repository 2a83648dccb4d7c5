//! Memory that is bytes at known addresses.

use std::borrow::Cow;
use std::fmt;

use super::{Memory, ReadError, Unreadable};

/// Regions of bytes, each at an address.
///
/// ```
/// use rendezvous::{Bytes, Memory};
///
/// let memory: Bytes = [(0x1000, &b"one "[..]), (0x1004, b"two")].into_iter().collect();
/// let mut buffer = [0; 6];
/// memory.read_exact_at(0x1001, &mut buffer)?;
/// assert_eq!(&buffer, b"ne two");
/// assert!(memory.read_exact_at(0x1002, &mut buffer).is_err());
/// # Ok::<(), rendezvous::ReadError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes<'data> {
    /// By address, without empty ones.
    regions: Vec<Region<'data>>,
}

impl<'data> Bytes<'data> {
    /// The regions as they are, by address: address and bytes.
    pub fn regions(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.regions.iter().map(|region| (region.address, &*region.bytes))
    }

    /// Adds regions to those there are.
    pub(crate) fn add(&mut self, regions: impl IntoIterator<Item = (u64, &'data [u8])>) {
        let more: Bytes<'data> = regions.into_iter().collect();
        self.regions.extend(more.regions);
        self.regions.sort_by_key(|region| region.address);
    }

    /// The bytes from `address` to the end of the region that has it.
    fn from(&self, address: u64) -> Option<&[u8]> {
        let next = self.regions.partition_point(|region| region.address <= address);
        let region = self.regions.get(next.checked_sub(1)?)?;
        let offset = usize::try_from(address.checked_sub(region.address)?).ok()?;
        region.bytes.get(offset..).filter(|bytes| !bytes.is_empty())
    }
}

impl Memory for Bytes<'_> {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        if self.read_up_to(address, buffer) == buffer.len() {
            return Ok(());
        }
        Err(ReadError::new(address, buffer.len(), Unreadable::Unmapped))
    }

    fn read_up_to(&self, address: u64, buffer: &mut [u8]) -> usize {
        let mut read = 0_usize;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            let found = u64::try_from(read)
                .ok()
                .and_then(|read| address.checked_add(read))
                .and_then(|at| self.from(at));
            let Some(found) = found else { break };
            for (to, from) in rest.iter_mut().zip(found) {
                *to = *from;
            }
            read = read.saturating_add(found.len().min(rest.len()));
        }
        read
    }

    fn can_change(&self) -> bool {
        false
    }
}

impl<'data, B: Into<Cow<'data, [u8]>>> FromIterator<(u64, B)> for Bytes<'data> {
    /// Where regions overlap, a byte is that of the region that starts last, as far as it goes.
    fn from_iter<I: IntoIterator<Item = (u64, B)>>(regions: I) -> Bytes<'data> {
        let mut regions: Vec<_> = regions
            .into_iter()
            .map(|(address, bytes)| Region { address, bytes: bytes.into() })
            .filter(|region| !region.bytes.is_empty())
            .collect();
        regions.sort_by_key(|region| region.address);
        Bytes { regions }
    }
}

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.regions).finish()
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Region<'data> {
    address: u64,
    bytes: Cow<'data, [u8]>,
}

impl fmt::Debug for Region<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} bytes at {:#x}", self.bytes.len(), self.address)
    }
}
