//! The name and checksum of the file that holds an image's debugging information.

use crate::layout::Layout;
use crate::symbol::string;

/// The contents of `.gnu_debuglink`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DebugLink<'data> {
    /// The file's name, without a directory.
    pub file_name: &'data [u8],
    /// The CRC-32 of all of the file's bytes, see [`debug_link_checksum`].
    pub checksum: u32,
}

impl<'data> DebugLink<'data> {
    pub(crate) fn parse(layout: Layout, bytes: &'data [u8]) -> Option<DebugLink<'data>> {
        let file_name = string(bytes, 0)?;
        let checksum = file_name.len().checked_add(1)?.checked_next_multiple_of(4)?;
        Some(DebugLink { file_name, checksum: layout.u32(bytes.get(checksum..)?)? })
    }

    /// The section's bytes.
    pub(crate) fn to_bytes(self, layout: Layout) -> Vec<u8> {
        let mut bytes = self.file_name.to_vec();
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(&layout.u32_bytes(self.checksum));
        bytes
    }
}

/// The checksum that [`DebugLink`] wants of the file with the debugging information: CRC-32 as
/// zlib and gzip have it.
///
/// Of a file that is read in parts, each part continues the `checksum` of those before it, and the
/// first one continues 0.
///
/// ```
/// use elf_sections::debug_link_checksum;
///
/// assert_eq!(debug_link_checksum(0, b"123456789"), 0xcbf4_3926);
/// assert_eq!(debug_link_checksum(debug_link_checksum(0, b"1234"), b"56789"), 0xcbf4_3926);
/// ```
pub fn debug_link_checksum(checksum: u32, bytes: &[u8]) -> u32 {
    let rest = bytes.iter().fold(!checksum, |rest, &byte| {
        let place = usize::from(rest as u8 ^ byte);
        TABLE.get(place).copied().unwrap_or(0) ^ (rest >> 8)
    });
    !rest
}

/// What a byte does to the checksum.
const TABLE: [u32; 256] = {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut table = [0; 256];
    let mut byte = 0;
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "while compiling")]
    while byte < 256 {
        let mut rest = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            rest = if rest & 1 == 1 { (rest >> 1) ^ POLYNOMIAL } else { rest >> 1 };
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
};
