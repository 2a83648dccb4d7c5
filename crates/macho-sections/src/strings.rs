//! Strings that end in NUL, found by their offset.

/// Strings one behind the other, as symbol tables and import tables keep them.
///
/// Where each NUL is has been noted, so that even offsets into one endless string cost little.
#[derive(Debug, Clone)]
pub(crate) struct Strings<'data> {
    bytes: &'data [u8],
    ends: Vec<u32>,
}

impl<'data> Strings<'data> {
    pub(crate) fn new(bytes: &'data [u8]) -> Strings<'data> {
        let ends = memchr::memchr_iter(0, bytes);
        Strings { bytes, ends: ends.map_while(|end| u32::try_from(end).ok()).collect() }
    }

    /// The string at an offset, without its NUL; empty where there is none, or a longer one than
    /// names are.
    pub(crate) fn at(&self, offset: u32) -> &'data [u8] {
        let position = self.ends.partition_point(|&end| end < offset);
        let Some(&end) = self.ends.get(position) else { return &[] };
        let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
        let range = range.filter(|(start, end)| end.saturating_sub(*start) <= LONGEST_STRING);
        range.and_then(|(start, end)| self.bytes.get(start..end)).unwrap_or_default()
    }
}

/// The most bytes that a name may have, so that a table of names that all lead into one endless
/// string costs no more than its own length times this.
const LONGEST_STRING: usize = 0xffff;
