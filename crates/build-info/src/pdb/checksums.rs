//! `DEBUG_S_FILECHKSMS`: the files of a module, in its own stream.
//!
//! The debug information stream has a list of files for each module too, but not a true one
//! everywhere: its 16-bit indices overflow, and LLVM's linker writes others in their place.

use crate::{Checksum, Error};

use super::bytes::{Bytes, u32_at};
use super::msf::malformed;
use super::window::Window;

/// A file of a module.
pub(super) struct Entry {
    /// Where its name begins in the names of files.
    pub(super) name: u32,
    pub(super) checksum: Option<Checksum>,
}

/// Gives each file of the module, whose lines are from `at` to `end` of the window's stream.
pub(super) fn read(
    window: &mut Window<'_>,
    mut at: u32,
    end: u32,
    mut each: impl FnMut(Entry),
) -> Result<(), Error> {
    while end.saturating_sub(at) >= 8 {
        let mut head = Bytes(window.bytes(at, 8, LINES)?);
        let (kind, size) = (head.u32().unwrap_or(0), head.u32().unwrap_or(0));
        let start = at.saturating_add(8);
        let Some(stop) = start.checked_add(size).filter(|&stop| stop <= end) else {
            return Err(malformed(LINES, at, "a part ends after the stream", size));
        };
        if kind == FILE_CHECKSUMS {
            return entries(window, start, stop, &mut each);
        }
        at = stop.checked_next_multiple_of(4).unwrap_or(u32::MAX);
    }
    Ok(())
}

fn entries(
    window: &mut Window<'_>,
    mut at: u32,
    end: u32,
    each: &mut impl FnMut(Entry),
) -> Result<(), Error> {
    while end.saturating_sub(at) >= HEAD {
        let most = end.saturating_sub(at).min(MOST);
        let entry = window.bytes(at, most, CHECKSUMS)?;
        let Some((head, rest)) = entry.split_first_chunk::<6>() else { break };
        let [.., length, kind] = *head;
        let Some(checksum) = rest.get(..length.into()) else {
            return Err(malformed(CHECKSUMS, at, "a checksum is too long", length));
        };
        let checksum = match kind {
            1 => checksum.try_into().ok().map(Checksum::Md5),
            2 => checksum.try_into().ok().map(Checksum::Sha1),
            3 => checksum.try_into().ok().map(Checksum::Sha256),
            _ => None,
        };
        each(Entry { name: u32_at(head, 0).unwrap_or(0), checksum });
        let next = at.saturating_add(HEAD).saturating_add(length.into());
        at = next.checked_next_multiple_of(4).unwrap_or(u32::MAX);
    }
    Ok(())
}

const FILE_CHECKSUMS: u32 = 0xf4;
const HEAD: u32 = 6;
/// The longest entry that means something: more is looked at only where it is claimed.
const MOST: u32 = HEAD + 255;
const LINES: &str = "lines of a module";
const CHECKSUMS: &str = "file checksums of a module";
