//! A source, as the `object` crate reads from what is not in memory.

use object::read::ReadCacheOps;

use crate::ReadAt;

/// A place in a source that reading goes on from.
pub(crate) struct Cursor<'a> {
    source: &'a dyn ReadAt,
    at: u64,
}

impl<'a> Cursor<'a> {
    /// The start of a source.
    pub(crate) fn new(source: &'a dyn ReadAt) -> Self {
        Self { source, at: 0 }
    }
}

impl ReadCacheOps for Cursor<'_> {
    fn len(&mut self) -> Result<u64, ()> {
        self.source.length().map_err(drop)
    }

    fn seek(&mut self, to: u64) -> Result<u64, ()> {
        self.at = to;
        Ok(to)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        let count = self.source.read_at(buffer, self.at).map_err(drop)?;
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }

    fn read_exact(&mut self, mut buffer: &mut [u8]) -> Result<(), ()> {
        while !buffer.is_empty() {
            let count = self.read(buffer)?;
            buffer = buffer.get_mut(count..).filter(|_| count > 0).ok_or(())?;
        }
        Ok(())
    }
}
