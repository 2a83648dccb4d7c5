//! The stream of identifiers: `LF_BUILDINFO` and the strings that it is made of.

use crate::Error;

use super::budget::Budget;
use super::bytes::{Bytes, u16_at, u32_at};
use super::msf::{Msf, Stream, malformed, short};
use super::window::Window;

/// The records, found by number.
///
/// They follow each other and say only their lengths. Every sixteenth is noted in passing, from
/// which the others are a few steps away.
pub(super) struct Ids<'m> {
    window: Window<'m>,
    first: u32,
    /// How many records there are.
    count: u32,
    end: u32,
    /// Where every sixteenth begins.
    landmarks: Vec<u32>,
}

/// What an `LF_BUILDINFO` refers to, in its order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Build {
    pub(super) cwd: u32,
    pub(super) compiler: u32,
    pub(super) source: u32,
    pub(super) pdb: u32,
    pub(super) command: u32,
}

/// A string, and whether it was too long for its record.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) text: Vec<u8>,
    pub(super) is_cut: bool,
}

impl<'m> Ids<'m> {
    pub(super) fn open(msf: &'m Msf<'m>) -> Result<Self, Error> {
        let stream: Stream = msf.stream(STREAM).ok_or_else(|| short(IDS, 0, HEADER_SIZE, 0))?;
        let mut window = Window::new(msf, stream, SLOTS, 14);
        let mut header = Bytes(window.bytes(0, HEADER_SIZE as u32, IDS)?);
        let mut field = || header.u32().unwrap_or(0);
        let (_version, start) = (field(), field());
        let (first, after_last, size) = (field(), field(), field());
        let end = start.checked_add(size).filter(|&end| end <= stream.size && start >= 20);
        let Some(end) = end else {
            return Err(malformed(IDS, 16, "the records end after the stream", size));
        };
        let count = after_last.saturating_sub(first);
        let mut ids = Self { window, first, count: 0, end, landmarks: vec![] };
        let mut at = start;
        while ids.count < count && at < end {
            if ids.count.is_multiple_of(EACH) {
                ids.landmarks.push(at);
            }
            let Some(next) = ids.after(at) else { break };
            ids.count = ids.count.saturating_add(1);
            at = next;
        }
        Ok(ids)
    }

    /// Where the record after the one at `at` begins.
    fn after(&mut self, at: u32) -> Option<u32> {
        let length = u16_at(self.window.bytes(at, 2, IDS).ok()?, 0)?;
        let next = at.checked_add(2)?.checked_add(length.into())?;
        (length >= 2 && next <= self.end).then_some(next)
    }

    /// The kind and the rest of a record.
    fn record(&mut self, number: u32) -> Option<(u16, &[u8])> {
        let index = number.checked_sub(self.first).filter(|&index| index < self.count)?;
        let mut at = *self.landmarks.get((index / EACH) as usize)?;
        for _ in 0..index % EACH {
            at = self.after(at)?;
        }
        let next = self.after(at)?;
        let start = at.saturating_add(2);
        let record = self.window.bytes(start, next.saturating_sub(start), IDS).ok()?;
        let (kind, rest) = record.split_first_chunk::<2>()?;
        Some((u16::from_le_bytes(*kind), rest))
    }

    pub(super) fn build(&mut self, number: u32) -> Option<Build> {
        let (LF_BUILDINFO, record) = self.record(number)? else { return None };
        let mut fields = Bytes(record);
        let count = fields.u16()?;
        let mut strings = [0; 5];
        for string in strings.iter_mut().take(count.into()) {
            *string = fields.u32()?;
        }
        let [cwd, compiler, source, pdb, command] = strings;
        Some(Build { cwd, compiler, source, pdb, command })
    }

    /// The string with a number: what its list of beginnings says, and then its own text.
    ///
    /// A list may name strings that have lists; what refers to itself ends by its depth, and what
    /// multiplies by the budget.
    pub(super) fn text(&mut self, number: u32, budget: &mut Budget) -> Text {
        let mut text = Text::default();
        self.append(number, DEEPEST, budget, &mut text);
        text
    }

    fn append(&mut self, number: u32, depth: u32, budget: &mut Budget, to: &mut Text) {
        if number == 0 || depth == 0 || !budget.take(EACH_VISIT) {
            return;
        }
        let Some((kind, record)) = self.record(number) else { return };
        let depth = depth.saturating_sub(1);
        match kind {
            LF_STRING_ID => {
                let mut fields = Bytes(record);
                let beginnings = fields.u32().unwrap_or(0);
                if beginnings == 0 {
                    extend(fields, budget, to);
                    return;
                }
                self.append(beginnings, depth, budget, to);
                // The window may look elsewhere by now.
                if let Some((LF_STRING_ID, record)) = self.record(number) {
                    extend(Bytes(record.get(4..).unwrap_or_default()), budget, to);
                }
            }
            LF_SUBSTR_LIST => {
                let count = u32_at(record, 0).unwrap_or(0) as usize;
                let list = record.get(4..).unwrap_or_default();
                let strings: Vec<u32> =
                    list.chunks_exact(4).take(count).filter_map(|it| u32_at(it, 0)).collect();
                for string in strings {
                    self.append(string, depth, budget, to);
                }
            }
            _ => {}
        }
    }
}

fn extend(mut fields: Bytes<'_>, budget: &mut Budget, to: &mut Text) {
    let text = fields.text();
    if budget.take(text.len()) {
        to.text.extend_from_slice(text);
        to.is_cut |= text.len() >= FULL;
    }
}

const STREAM: u16 = 4;
const IDS: &str = "stream of identifiers";
const HEADER_SIZE: u64 = 56;
const LF_BUILDINFO: u16 = 0x1603;
const LF_SUBSTR_LIST: u16 = 0x1604;
const LF_STRING_ID: u16 = 0x1605;
const EACH: u32 = 16;
const SLOTS: usize = 64;
const DEEPEST: u32 = 8;
/// What looking at a record costs of the budget, in bytes of text.
const EACH_VISIT: usize = 64;
/// A string of this length fills its record. Microsoft's compiler makes a list of parts long
/// before; LLVM's cuts the string.
const FULL: usize = 0xfe00;
