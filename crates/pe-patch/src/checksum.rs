//! The checksum of the optional header: computed over a whole image, or brought up to date.

use std::io::{self, Read};
use std::ops::Range;

use patch_plan::Plan;

use crate::Error;
use crate::bytes;
use crate::header::Header;
use crate::image::Image;

/// The checksum that an image's bytes should have, `CheckSum` itself counted as zero.
///
/// It is the sum of all 16-bit words with every carry added back, folded into 16 bits, plus the
/// length of the file.
///
/// # Errors
///
/// As [`Image::parse`], for where the field is is said by the headers.
///
/// ```
/// # let image = std::env::current_exe()?;
/// # let bytes = std::fs::read(image)?;
/// if let Ok(computed) = pe_patch::checksum(&bytes) {
///     println!("{computed:#x}");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn checksum(bytes: &[u8]) -> Result<u32, Error> {
    let header = Header::parse(bytes)?;
    Ok(Sum::of(bytes).checksum(StoredChecksum::of(&header)))
}

/// The checksum in an image's headers, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoredChecksum {
    /// Where the field is in the file.
    pub offset: u64,
    /// Its value; 0 for none, which most images have and the loader does not look at.
    pub value: u32,
}

impl StoredChecksum {
    fn of(header: &Header) -> StoredChecksum {
        StoredChecksum { offset: header.check_sum_offset(), value: header.check_sum }
    }

    fn range(self) -> Range<u64> {
        self.offset..self.offset.saturating_add(4)
    }

    /// What the field itself adds to a sum.
    fn sum(self) -> u64 {
        sum_at(self.offset, &self.value.to_le_bytes())
    }
}

impl Image<'_> {
    /// The checksum that stands in the headers.
    pub fn stored_checksum(&self) -> StoredChecksum {
        StoredChecksum::of(self.header())
    }

    /// The checksum that the image should have. Reads all of it.
    pub fn computed_checksum(&self) -> u32 {
        Sum::of(self.data()).checksum(self.stored_checksum())
    }
}

/// The sum of a file's 16-bit words, taken piece by piece.
///
/// A file need not be in memory to be summed:
///
/// ```
/// use pe_patch::Sum;
///
/// let whole = Sum::of(b"MZ and so on");
/// let mut pieces = Sum::new();
/// pieces.update(b"MZ and ");
/// pieces.update(b"so on");
/// assert_eq!(pieces, whole);
/// assert_eq!(Sum::read(&b"MZ and so on"[..])?, whole);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Sum {
    /// Folded to 16 bits; 0 only if every byte was.
    words: u16,
    length: u64,
}

impl Sum {
    /// The sum of nothing.
    pub const fn new() -> Sum {
        Sum { words: 0, length: 0 }
    }

    /// The sum of these bytes.
    pub fn of(bytes: &[u8]) -> Sum {
        let mut sum = Sum::new();
        sum.update(bytes);
        sum
    }

    /// The sum of everything that a reader gives, in 64 KiB of memory.
    ///
    /// # Errors
    ///
    /// What the reader reports.
    pub fn read(mut reader: impl Read) -> io::Result<Sum> {
        let mut sum = Sum::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(sum),
                Ok(length) => sum.update(buffer.get(..length).unwrap_or(&buffer)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Adds the bytes that follow.
    pub fn update(&mut self, bytes: &[u8]) {
        self.words = fold(sum_at(self.length, bytes).wrapping_add(self.words.into()));
        self.length = self.length.saturating_add(bytes.len() as u64);
    }

    /// How many bytes have been added.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The checksum of the image whose bytes have been added, and which has this one stored.
    pub fn checksum(&self, stored: StoredChecksum) -> u32 {
        let words = subtract(self.words, stored.sum());
        u32::from(words).wrapping_add(low_word(self.length))
    }
}

/// The checksum after a plan, from the right one before it: only what the plan changes is looked
/// at. The field's own bytes count as zero, whether or not the plan changes them.
pub(crate) fn after(plan: &Plan, stored: StoredChecksum, before: u32, length: u64) -> u32 {
    let words = before.wrapping_sub(low_word(length));
    let mut added = u64::from(words & 0xffff);
    let mut removed = 0_u64;
    for edit in plan.edits() {
        added = added.wrapping_add(sum_outside(edit.offset, &edit.new, &stored.range()));
        removed = removed.wrapping_add(sum_outside(edit.offset, &edit.old, &stored.range()));
    }
    let mut length = length;
    if let Some(tail) = plan.tail() {
        added = added.wrapping_add(sum_outside(tail.offset, &tail.new, &stored.range()));
        removed = removed.wrapping_add(sum_outside(tail.offset, &tail.old, &stored.range()));
        length = tail.offset.saturating_add(tail.new.len() as u64);
    }
    u32::from(subtract(fold(added), removed)).wrapping_add(low_word(length))
}

/// The sum of bytes that start at an offset, those in `hole` left out.
fn sum_outside(offset: u64, bytes: &[u8], hole: &Range<u64>) -> u64 {
    let end = offset.saturating_add(bytes.len() as u64);
    let front = hole.start.clamp(offset, end).saturating_sub(offset);
    let back = hole.end.clamp(offset, end).saturating_sub(offset);
    let length = bytes.len() as u64;
    let front_bytes = bytes::range(bytes, 0, front).unwrap_or_default();
    let back_bytes = bytes::range(bytes, back, length.saturating_sub(back)).unwrap_or_default();
    let front_sum = fold(sum_at(offset, front_bytes));
    let back_sum = fold(sum_at(offset.saturating_add(back), back_bytes));
    u64::from(front_sum).wrapping_add(back_sum.into())
}

/// The sum of the words that these bytes are part of, not yet folded. A byte at an odd offset is
/// the upper half of its word.
fn sum_at(offset: u64, bytes: &[u8]) -> u64 {
    match bytes.split_first() {
        Some((&first, rest)) if offset & 1 == 1 => {
            u64::from(fold(even_sum(rest))).wrapping_add(u64::from(first).wrapping_shl(8))
        }
        _ => even_sum(bytes),
    }
}

/// The sum of words that start with the first byte; four lanes, which the compiler makes vectors.
///
/// Sums are equal modulo 65,535 however the words are grouped, so that 32-bit halves do as well.
fn even_sum(bytes: &[u8]) -> u64 {
    let mut total = 0_u64;
    for block in bytes.chunks(BLOCK) {
        let (quads, rest) = block.as_chunks::<32>();
        let mut lanes = [0_u64; 4];
        for quad in quads {
            let (words, _) = quad.as_chunks::<8>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                let word = u64::from_le_bytes(*word);
                *lane = lane.wrapping_add(word & 0xffff_ffff).wrapping_add(word >> 32);
            }
        }
        for lane in lanes {
            total = total.wrapping_add(fold(lane).into());
        }
        let (pairs, last) = rest.as_chunks::<2>();
        for pair in pairs {
            total = total.wrapping_add(u16::from_le_bytes(*pair).into());
        }
        if let [last] = last {
            total = total.wrapping_add(u64::from(*last));
        }
    }
    total
}

/// The sum with every carry added back, in 16 bits; 0 only for 0.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16).wrapping_add(sum & 0xffff);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

/// `words` less a part of it. What is left of an image is never all zeros, and so the 0 that is
/// equal to 65,535 is never meant.
fn subtract(words: u16, part: u64) -> u16 {
    let rest = u32::from(words).wrapping_add(u32::from(!fold(part)));
    match fold(rest.into()) {
        0 => u16::MAX,
        rest => rest,
    }
}

/// A length as it is added to a checksum, which has 32 bits.
fn low_word(length: u64) -> u32 {
    (length & 0xffff_ffff) as u32
}

/// Few enough words that no lane overflows, and an even number of bytes.
const BLOCK: usize = 1 << 20;
