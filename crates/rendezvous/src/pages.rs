//! A target's memory as it was read, and whether it still says the same.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::memory::{Memory, PAGE, PAGE_U64, ReadError, Unreadable};

/// Memory that is read in whole pages, each once.
///
/// The nodes of a list and their names lie close together, so that a few large reads do instead of
/// many small ones; and what was used can be compared with what is there now.
pub(crate) struct Pages<'memory, M: ?Sized> {
    memory: &'memory M,
    read: RefCell<Read>,
}

#[derive(Default)]
struct Read {
    /// What was read, by address; runs do not overlap.
    runs: BTreeMap<u64, Vec<u8>>,
    /// The places that were looked at: address and length.
    used: Vec<(u64, usize)>,
    /// How many bytes all runs have.
    total: usize,
    /// How much to read at the next miss, and up to where the last one read.
    ahead: usize,
    last_end: u64,
}

impl<'memory, M: Memory + ?Sized> Pages<'memory, M> {
    pub(crate) fn new(memory: &'memory M) -> Pages<'memory, M> {
        Pages { memory, read: RefCell::new(Read::default()) }
    }

    /// Fills the buffer with what was there when it was read, which is not compared later.
    pub(crate) fn peek(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        self.read.borrow_mut().copy(self.memory, address, buffer)
    }

    /// How many bytes were read from the target.
    pub(crate) fn total(&self) -> usize {
        self.read.borrow().total
    }

    /// The bytes from `address` up to and without the first zero byte, which must come within
    /// `most` bytes.
    pub(crate) fn string(&self, address: u64, most: usize) -> Result<Vec<u8>, StringError> {
        let mut read = self.read.borrow_mut();
        let mut string = Vec::new();
        while string.len() < most {
            let at = offset(address, string.len());
            let bytes = read.at(self.memory, at).ok_or(StringError::Unreadable)?;
            let bytes = bytes.get(..most.saturating_sub(string.len())).unwrap_or(bytes);
            if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
                string.extend_from_slice(bytes.get(..end).unwrap_or_default());
                read.used.push((address, string.len().saturating_add(1)));
                return Ok(string);
            }
            string.extend_from_slice(bytes);
        }
        Err(StringError::Endless)
    }

    /// Whether everything that was looked at still is what it was.
    pub(crate) fn is_unchanged(&self) -> bool {
        let read = self.read.borrow();
        let mut again: Vec<(u64, Vec<u8>)> =
            read.runs.iter().map(|(&address, bytes)| (address, vec![0; bytes.len()])).collect();
        let mut reads: Vec<(u64, &mut [u8])> =
            again.iter_mut().map(|(address, bytes)| (*address, bytes.as_mut_slice())).collect();
        if self.memory.read_many(&mut reads).is_err() {
            return false;
        }
        let again = Read { runs: again.into_iter().collect(), ..Read::default() };
        read.used.iter().all(|&(address, length)| read.equals(&again, address, length))
    }
}

impl<M: Memory + ?Sized> Memory for Pages<'_, M> {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let wanted = buffer.len();
        let mut read = self.read.borrow_mut();
        read.copy(self.memory, address, buffer).ok_or(ReadError::new(
            address,
            wanted,
            Unreadable::Unmapped,
        ))?;
        read.used.push((address, wanted));
        Ok(())
    }

    fn can_change(&self) -> bool {
        false
    }
}

impl Read {
    fn copy<M: Memory + ?Sized>(
        &mut self,
        memory: &M,
        address: u64,
        buffer: &mut [u8],
    ) -> Option<()> {
        let mut done = 0_usize;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let bytes = self.at(memory, offset(address, done))?;
            for (to, from) in rest.iter_mut().zip(bytes) {
                *to = *from;
            }
            done = done.saturating_add(bytes.len().min(rest.len()));
        }
        Some(())
    }

    /// The bytes from `address` to the end of their run, read now if they were not before. Never
    /// empty.
    fn at<M: Memory + ?Sized>(&mut self, memory: &M, address: u64) -> Option<&[u8]> {
        if self.known(address).is_none() {
            self.fetch(memory, address);
        }
        self.known(address)
    }

    fn known(&self, address: u64) -> Option<&[u8]> {
        let (start, bytes) = self.runs.range(..=address).next_back()?;
        let offset = usize::try_from(address.checked_sub(*start)?).ok()?;
        bytes.get(offset..).filter(|bytes| !bytes.is_empty())
    }

    fn fetch<M: Memory + ?Sized>(&mut self, memory: &M, address: u64) {
        // A list whose nodes were allocated one after another is read further ahead each time.
        let page = address.wrapping_sub(address % PAGE_U64);
        let is_near = page >= self.last_end && page.wrapping_sub(self.last_end) <= MOST_AHEAD_U64;
        let twice = self.ahead.saturating_mul(2).clamp(PAGE, MOST_AHEAD);
        self.ahead = if is_near { twice } else { PAGE };
        for start in [page, address] {
            let mut bytes = vec![0; self.room(start)];
            let length = memory.read_up_to(start, &mut bytes);
            bytes.truncate(length);
            if u64::try_from(length).is_ok_and(|length| address.wrapping_sub(start) < length) {
                self.last_end = offset(start, length);
                self.total = self.total.saturating_add(length);
                self.runs.insert(start, bytes);
                return;
            }
        }
    }

    /// How much to read from `start` on: no more than there is up to what is known already.
    fn room(&self, start: u64) -> usize {
        let next = self.runs.range(start..).next().map(|(&next, _)| next);
        let room = next.map_or(u64::MAX, |next| next.wrapping_sub(start));
        usize::try_from(room).map_or(self.ahead, |room| room.min(self.ahead))
    }

    fn equals(&self, other: &Read, address: u64, length: usize) -> bool {
        let mut done = 0_usize;
        while done < length {
            let at = offset(address, done);
            let (Some(here), Some(there)) = (self.known(at), other.known(at)) else {
                return false;
            };
            let count = here.len().min(there.len()).min(length.saturating_sub(done));
            if here.get(..count) != there.get(..count) {
                return false;
            }
            done = done.saturating_add(count);
        }
        true
    }
}

/// Why there is no string.
pub(crate) enum StringError {
    Unreadable,
    /// It does not end where it must.
    Endless,
}

fn offset(address: u64, by: usize) -> u64 {
    address.wrapping_add(u64::try_from(by).unwrap_or(u64::MAX))
}

/// Beyond this a larger read saves nothing.
const MOST_AHEAD: usize = 16 * PAGE;
const MOST_AHEAD_U64: u64 = 16 * PAGE_U64;
