//! Checked access to the image's bytes.

use object::pod::{self, Pod};

use crate::{Error, Structure};

/// The bytes of a range, if all of them are there.
pub(crate) fn range(data: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    data.get(start..)?.get(..usize::try_from(size).ok()?)
}

/// A structure at an offset, if all of it is there.
pub(crate) fn at<T: Pod>(data: &[u8], offset: u64) -> Option<&T> {
    pod::from_bytes(data.get(usize::try_from(offset).ok()?..)?).ok().map(|(found, _)| found)
}

/// A structure at an offset; the error says which one was cut short.
pub(crate) fn structure<T: Pod>(
    data: &[u8],
    offset: u64,
    structure: Structure,
) -> Result<&T, Error> {
    let (wanted, end) = (size_of::<T>() as u64, data.len() as u64);
    at(data, offset).ok_or(Error::Short { structure, wanted, offset, end })
}

/// `value` rounded up to a multiple of `alignment`; `None` for no alignment, or beyond 2⁶⁴.
pub(crate) fn align_up(value: u64, alignment: u64) -> Option<u64> {
    value.checked_next_multiple_of(alignment)
}
