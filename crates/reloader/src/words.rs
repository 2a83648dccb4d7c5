//! Memory as machine words, read piece by piece.

use std::ops::Range;

use crate::sys;

/// The size of a word, in bytes.
pub(crate) const WORD: usize = size_of::<usize>();

/// The words of `bytes`; what is left over at the end is none.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    bytes.chunks_exact(WORD).map(|word| {
        let mut bytes = [0; WORD];
        bytes.copy_from_slice(word);
        usize::from_ne_bytes(bytes)
    })
}

/// Reads the aligned words of `range` into `buffer`, as many at once as it has room for, and hands
/// them on with the address of the first. Ends where memory cannot be read.
pub(crate) fn each_piece(
    range: &Range<usize>,
    buffer: &mut [u8],
    mut each: impl FnMut(usize, &[u8]),
) {
    let mut from = range.start.next_multiple_of(WORD);
    while from < range.end {
        let length = (range.end - from).min(buffer.len()) & !(WORD - 1);
        let Some(part) = buffer.get_mut(..length).filter(|part| !part.is_empty()) else { break };
        if !sys::read(from, part) {
            break;
        }
        each(from, part);
        from += length;
    }
}
