//! A bounded view into a stream, wherever its pages lie.

use crate::Error;

use super::msf::{Msf, Stream, malformed, short};

/// Parts of a stream, read as they are asked for: a fixed number of slots, each with one part.
///
/// One slot does for what is read from front to back. If the file is in memory and a part's pages
/// lie in a row, then the part is looked at where it is.
pub(super) struct Window<'m> {
    msf: &'m Msf<'m>,
    stream: Stream,
    slots: Box<[Slot<'m>]>,
    /// The binary logarithm of a part's length.
    shift: u32,
    /// For what crosses from one part to the next.
    scratch: Vec<u8>,
}

struct Slot<'m> {
    /// The number of the part, or `EMPTY`.
    part: u32,
    held: Held<'m>,
}

enum Held<'m> {
    InMemory(&'m [u8]),
    Read(Vec<u8>),
}

impl<'m> Window<'m> {
    /// With a power of two of slots, and parts of 2^`shift` bytes.
    pub(super) fn new(msf: &'m Msf<'m>, stream: Stream, slots: usize, shift: u32) -> Self {
        let slot = || Slot { part: EMPTY, held: Held::Read(Vec::new()) };
        let slots = std::iter::repeat_with(slot).take(slots.next_power_of_two()).collect();
        Self { msf, stream, slots, shift, scratch: Vec::new() }
    }

    /// Looks into another stream from now on.
    pub(super) fn turn_to(&mut self, stream: Stream) {
        self.stream = stream;
        self.slots.iter_mut().for_each(|slot| slot.part = EMPTY);
    }

    /// The length of the stream.
    pub(super) fn size(&self) -> u32 {
        self.stream.size
    }

    /// Bytes of the stream. Whoever asks knows that `count` is small.
    pub(super) fn bytes(
        &mut self,
        offset: u32,
        count: u32,
        structure: &'static str,
    ) -> Result<&[u8], Error> {
        let end = offset.checked_add(count).filter(|&end| end <= self.stream.size);
        let Some(end) = end else {
            return Err(short(structure, offset.into(), count.into(), self.stream.size.into()));
        };
        let (first, last) = (offset >> self.shift, end.saturating_sub(1) >> self.shift);
        let within = (offset & self.mask()) as usize;
        if first >= last {
            let part = self.part(first, structure)?;
            let wanted = within..within.saturating_add(count as usize);
            return part.get(wanted).ok_or_else(|| lost(structure, offset));
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        for number in first..=last {
            let start = if number == first { within } else { 0 };
            let missing = (count as usize).saturating_sub(scratch.len());
            let part = self.part(number, structure)?.get(start..).unwrap_or_default();
            scratch.extend(part.iter().take(missing));
        }
        self.scratch = scratch;
        self.scratch.get(..count as usize).ok_or_else(|| lost(structure, offset))
    }

    /// The rest of the stream, as far as `most`, and at most to the end of a part.
    pub(super) fn some(
        &mut self,
        offset: u32,
        most: u32,
        structure: &'static str,
    ) -> Result<&[u8], Error> {
        let to_end_of_part = self.mask().wrapping_add(1).wrapping_sub(offset & self.mask());
        let rest = self.stream.size.saturating_sub(offset);
        self.bytes(offset, rest.min(most).min(to_end_of_part), structure)
    }

    /// A string that ends with a NUL before `end`, without it.
    pub(super) fn text(
        &mut self,
        offset: u32,
        end: u32,
        structure: &'static str,
    ) -> Result<&[u8], Error> {
        let end = end.min(self.stream.size);
        let mut length = 0_u32;
        loop {
            let at = offset.saturating_add(length);
            let rest = self.some(at, end.saturating_sub(at).min(LONGEST_TEXT), structure)?;
            if rest.is_empty() {
                return Err(short(structure, offset.into(), length.into(), end.into()));
            }
            let found = memchr::memchr(0, rest);
            let more = found.unwrap_or(rest.len());
            length = length.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
            if length > LONGEST_TEXT {
                return Err(malformed(structure, offset, "a string has no end", length));
            }
            if found.is_some() {
                return self.bytes(offset, length, structure);
            }
        }
    }

    fn part(&mut self, number: u32, structure: &'static str) -> Result<&[u8], Error> {
        let place = number as usize & self.slots.len().wrapping_sub(1);
        let Some(slot) = self.slots.get_mut(place) else { return Ok(&[]) };
        if slot.part != number {
            let start = number << self.shift;
            let wanted = self.stream.size.saturating_sub(start).min(1 << self.shift);
            match self.msf.in_memory(self.stream, start, wanted) {
                Some(bytes) if bytes.len() as u64 == u64::from(wanted) => {
                    slot.held = Held::InMemory(bytes);
                }
                _ => {
                    slot.part = EMPTY;
                    if let Held::InMemory(_) = slot.held {
                        slot.held = Held::Read(Vec::new());
                    }
                    if let Held::Read(buffer) = &mut slot.held {
                        buffer.resize(wanted as usize, 0);
                        self.msf.read(self.stream, start, buffer, structure)?;
                    }
                }
            }
            slot.part = number;
        }
        Ok(match &slot.held {
            Held::InMemory(bytes) => bytes,
            Held::Read(buffer) => buffer,
        })
    }

    fn mask(&self) -> u32 {
        (1_u32 << self.shift).wrapping_sub(1)
    }
}

fn lost(structure: &'static str, offset: u32) -> Error {
    short(structure, offset.into(), 1, offset.into())
}

const EMPTY: u32 = u32::MAX;
/// No path, symbol or command is longer.
pub(super) const LONGEST_TEXT: u32 = 1 << 16;
