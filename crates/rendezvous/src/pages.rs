//! A target's memory as it was read, and whether it still says the same.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::ops::Range;

use crate::memory::{Memory, PAGE, PAGE_U64, ReadError, Unreadable};

/// Memory that is read in whole pages.
///
/// The nodes of a list and their names lie close together, so that a few large reads do instead of
/// many small ones; and what was looked at can be compared with what is there now.
pub(crate) struct Pages<'memory, M: ?Sized> {
    memory: &'memory M,
    read: RefCell<Read>,
}

#[derive(Default)]
struct Read {
    /// What was read last, the latest in front.
    runs: VecDeque<Run>,
    /// What was looked at, if it can change.
    used: Vec<Used>,
    /// The bytes that were there.
    copies: Vec<u8>,
    /// How many bytes were read altogether.
    total: usize,
    /// How much was read at the last miss, and up to where.
    ahead: usize,
    last_end: u64,
}

/// Consecutive bytes of the target.
#[derive(Default)]
struct Run {
    address: u64,
    bytes: Vec<u8>,
}

/// A place that was looked at.
struct Used {
    address: u64,
    length: usize,
    /// Where its bytes are among the copies.
    copy: usize,
}

impl<'memory, M: Memory + ?Sized> Pages<'memory, M> {
    pub(crate) fn new(memory: &'memory M) -> Pages<'memory, M> {
        let used = Vec::with_capacity(64);
        let copies = Vec::with_capacity(PAGE);
        Pages { memory, read: RefCell::new(Read { used, copies, ..Read::default() }) }
    }

    /// Reads all at once what is likely to be looked at.
    pub(crate) fn expect(&self, ranges: impl IntoIterator<Item = Range<u64>>) {
        let size = |range: &Range<u64>| usize::try_from(range.end.saturating_sub(range.start)).ok();
        let mut runs: Vec<Run> = ranges
            .into_iter()
            .filter_map(|range| Some(Run { address: range.start, bytes: vec![0; size(&range)?] }))
            .collect();
        let mut reads: Vec<(u64, &mut [u8])> =
            runs.iter_mut().map(|run| (run.address, run.bytes.as_mut_slice())).collect();
        // What is not there was not to be expected; it is said when it is looked for.
        if self.memory.read_many(&mut reads).is_ok() {
            let total =
                runs.iter().fold(0_usize, |total, run| total.saturating_add(run.bytes.len()));
            let mut read = self.read.borrow_mut();
            read.total = read.total.saturating_add(total);
            read.runs = runs.into();
        }
    }

    /// Where everything was that was looked at, to be [expected](Self::expect) another time; `None`
    /// if it is too much, or too scattered.
    pub(crate) fn trail(&self) -> Option<Vec<Range<u64>>> {
        let mut read = self.read.borrow_mut();
        let (runs, count) = joined(read.sorted());
        (count == read.used.len() && runs.len() <= MOST_RUNS_KEPT).then_some(runs)
    }

    /// Begins anew, as if nothing had been read.
    pub(crate) fn forget(&self) {
        let mut read = self.read.borrow_mut();
        read.used.clear();
        read.copies.clear();
        read.total = 0;
        for run in &mut read.runs {
            run.bytes.clear();
        }
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
            if let Ok(end) = CStr::from_bytes_until_nul(bytes) {
                string.extend_from_slice(end.to_bytes_with_nul());
                read.note(self.memory, address, &string);
                string.pop();
                return Ok(string);
            }
            string.extend_from_slice(bytes);
        }
        Err(StringError::Endless)
    }

    /// Whether everything that was looked at still is what it was.
    pub(crate) fn is_unchanged(&self) -> bool {
        let mut read = self.read.borrow_mut();
        read.sorted();
        let mut scratch = Vec::new();
        let mut left = read.used.as_slice();
        while !left.is_empty() {
            let Some(count) = self.compare(left, &read.copies, &mut scratch) else { return false };
            left = left.get(count.max(1)..).unwrap_or_default();
        }
        true
    }

    /// Reads as many places again as fit into the scratch space, close ones together, and compares
    /// them; gives their number, or `None` if one has changed.
    fn compare(&self, used: &[Used], copies: &[u8], scratch: &mut Vec<u8>) -> Option<usize> {
        let (runs, count) = joined(used);
        let size = |run: &Range<u64>| usize::try_from(run.end.saturating_sub(run.start)).ok();
        scratch.resize(runs.iter().filter_map(size).fold(0, usize::saturating_add), 0);
        let mut rest = scratch.as_mut_slice();
        let mut reads: Vec<(u64, &mut [u8])> = Vec::with_capacity(runs.len());
        for run in &runs {
            let (bytes, after) = rest.split_at_mut_checked(size(run)?)?;
            reads.push((run.start, bytes));
            rest = after;
        }
        self.memory.read_many(&mut reads).ok()?;
        let mut reads = reads.iter().peekable();
        for used in used.iter().take(count) {
            while reads.peek().is_some_and(|(address, bytes)| {
                offset(*address, bytes.len()) < offset(used.address, used.length)
            }) {
                reads.next();
            }
            let (address, bytes) = reads.peek()?;
            let start = usize::try_from(used.address.checked_sub(*address)?).ok()?;
            let now = bytes.get(start..)?.get(..used.length)?;
            if now != copies.get(used.copy..)?.get(..used.length)? {
                return None;
            }
        }
        Some(count)
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
        read.note(self.memory, address, buffer);
        Ok(())
    }

    fn can_change(&self) -> bool {
        false
    }
}

impl Read {
    /// What was looked at, by address.
    fn sorted(&mut self) -> &[Used] {
        // Nearly sorted already: lists mostly grow towards higher addresses.
        self.used.sort_by_key(|used| used.address);
        &self.used
    }

    fn copy<M: Memory + ?Sized>(
        &mut self,
        memory: &M,
        address: u64,
        buffer: &mut [u8],
    ) -> Option<()> {
        let mut done = 0_usize;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let bytes = self.at(memory, offset(address, done))?;
            let count = bytes.len().min(rest.len());
            rest.get_mut(..count)?.copy_from_slice(bytes.get(..count)?);
            done = done.saturating_add(count);
        }
        Some(())
    }

    /// Takes note of what was looked at, if it can change.
    fn note<M: Memory + ?Sized>(&mut self, memory: &M, address: u64, bytes: &[u8]) {
        if memory.can_change() && !bytes.is_empty() {
            self.used.push(Used { address, length: bytes.len(), copy: self.copies.len() });
            self.copies.extend_from_slice(bytes);
        }
    }

    /// The bytes from `address` to the end of their run, read now if they were not just before.
    /// Never empty.
    fn at<M: Memory + ?Sized>(&mut self, memory: &M, address: u64) -> Option<&[u8]> {
        let known = self.runs.iter().position(|run| run.from(address).is_some());
        match known {
            Some(0) => {}
            Some(index) => self.runs.swap(0, index),
            None => self.fetch(memory, address)?,
        }
        self.runs.front()?.from(address)
    }

    /// Reads what is at the address into the first run.
    fn fetch<M: Memory + ?Sized>(&mut self, memory: &M, address: u64) -> Option<()> {
        // A list whose nodes were allocated one after another is read further ahead each time.
        let page = address.wrapping_sub(address % PAGE_U64);
        let is_near = page >= self.last_end && page.wrapping_sub(self.last_end) <= MOST_AHEAD_U64;
        let twice = self.ahead.saturating_mul(2).clamp(LEAST_AHEAD, MOST_AHEAD);
        self.ahead = if is_near { twice } else { LEAST_AHEAD };
        // The run that was not needed for longest gives its buffer.
        let mut run = match self.runs.len() {
            MOST_RUNS_KEPT.. => self.runs.pop_back().unwrap_or_default(),
            _ => Run::default(),
        };
        for start in [page, address] {
            run.address = start;
            run.bytes.resize(self.ahead, 0);
            let length = memory.read_up_to(start, &mut run.bytes);
            run.bytes.truncate(length);
            self.total = self.total.saturating_add(length);
            if run.from(address).is_some() {
                self.last_end = offset(start, length);
                self.runs.push_front(run);
                return Some(());
            }
        }
        None
    }
}

/// Where the first of some places are that are sorted by address, close ones together, and of how
/// many of them: as many as are read at once.
fn joined(used: &[Used]) -> (Vec<Range<u64>>, usize) {
    let mut runs: Vec<Range<u64>> = Vec::new();
    let mut total = 0_u64;
    let mut count = 0_usize;
    for used in used {
        let end = offset(used.address, used.length);
        // What is between costs less than a read of its own, and is mapped if the places are on one
        // page or on two that touch.
        let is_near = |run: &&mut Range<u64>| used.address.saturating_sub(run.end) < PAGE_U64;
        let near = runs.last_mut().filter(is_near);
        let from = near.as_ref().map_or(used.address, |run| run.end);
        total = total.saturating_add(end.saturating_sub(from));
        let is_new = near.is_none();
        if count > 0 && (total > MOST_AGAIN_U64 || (is_new && runs.len() >= MOST_RUNS)) {
            break;
        }
        match runs.last_mut().filter(|_| !is_new) {
            Some(run) => run.end = end.max(run.end),
            None => runs.push(used.address..end),
        }
        count = count.saturating_add(1);
    }
    (runs, count)
}

impl Run {
    fn from(&self, address: u64) -> Option<&[u8]> {
        let offset = usize::try_from(address.checked_sub(self.address)?).ok()?;
        self.bytes.get(offset..).filter(|bytes| !bytes.is_empty())
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

/// A page more costs much less than another read.
const LEAST_AHEAD: usize = 2 * PAGE;
/// Larger reads save little, and their buffers cost faults.
const MOST_AHEAD: usize = 4 * PAGE;
const MOST_AHEAD_U64: u64 = 4 * PAGE_U64;
/// The nodes, their names, the heads, the names of a few images that are elsewhere.
const MOST_RUNS_KEPT: usize = 8;
/// How much is read again at once, and in how many pieces.
const MOST_AGAIN_U64: u64 = 8 * PAGE_U64;
const MOST_RUNS: usize = 256;
