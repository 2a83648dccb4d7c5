//! Memory of which only so much is read.

use std::cell::Cell;

use crate::memory::{Memory, ReadError, Unreadable};

/// Another memory, until so many bytes were asked of it: from then on nothing is readable.
///
/// What cannot be read counts too, for looking for it costs the same.
pub(crate) struct Ration<'memory, M: ?Sized> {
    memory: &'memory M,
    left: Cell<usize>,
}

impl<'memory, M: Memory + ?Sized> Ration<'memory, M> {
    pub(crate) fn new(memory: &'memory M, bytes: usize) -> Ration<'memory, M> {
        Ration { memory, left: Cell::new(bytes) }
    }

    /// Takes this many bytes, all or none of them.
    fn take(&self, bytes: usize) -> Option<()> {
        self.left.set(self.left.get().checked_sub(bytes)?);
        Some(())
    }
}

impl<M: Memory + ?Sized> Memory for Ration<'_, M> {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let used_up = ReadError::new(address, buffer.len(), Unreadable::Unmapped);
        self.take(buffer.len()).ok_or(used_up)?;
        self.memory.read_exact_at(address, buffer)
    }

    fn read_many(&self, reads: &mut [(u64, &mut [u8])]) -> Result<(), ReadError> {
        let Some((first, _)) = reads.first() else { return Ok(()) };
        let total = total_of(reads);
        let used_up = ReadError::new(*first, total, Unreadable::Unmapped);
        self.take(total).ok_or(used_up)?;
        let result = self.memory.read_many(reads);
        if let Err(error) = &result {
            let failed = reads.iter().position(|(address, _)| *address == error.address);
            let behind = failed.and_then(|failed| reads.get(failed.saturating_add(1)..));
            let unread = behind.map_or(0, total_of);
            self.left.set(self.left.get().saturating_add(unread));
        }
        result
    }

    fn read_up_to(&self, address: u64, buffer: &mut [u8]) -> usize {
        match self.take(buffer.len()) {
            Some(()) => self.memory.read_up_to(address, buffer),
            None => 0,
        }
    }

    fn can_change(&self) -> bool {
        self.memory.can_change()
    }
}

fn total_of(reads: &[(u64, &mut [u8])]) -> usize {
    reads.iter().map(|(_, buffer)| buffer.len()).fold(0, usize::saturating_add)
}
