//! CodeView records: which PDB belongs to an image, and where it was written.

use std::fmt;

use object::LittleEndian as LE;
use object::U32;

use crate::bytes;
use crate::written::{RsdsHeader, bytes_of};

/// The 16 bytes that tell one build's PDB from every other's.
///
/// Its text is the one that symbol servers and debuggers show, in which the first three parts are
/// little-endian numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Guid([a, b, c, d, e, g, h, i, rest @ ..]) = *self;
        let (first, second, third) = (
            u32::from_le_bytes([a, b, c, d]),
            u16::from_le_bytes([e, g]),
            u16::from_le_bytes([h, i]),
        );
        write!(f, "{first:08X}-{second:04X}-{third:04X}-")?;
        for (index, byte) in rest.iter().enumerate() {
            let separator = if index == 2 { "-" } else { "" };
            write!(f, "{separator}{byte:02X}")?;
        }
        Ok(())
    }
}

/// The forms of CodeView records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeView {
    /// `RSDS`: a PDB of version 7, known by its GUID. What every linker writes since 2002.
    Rsds,
    /// `NB10`: a PDB of version 2, known by its time stamp.
    Nb10,
    /// `NB09` and `NB11`: debug information in the image itself; and anything else, such as the
    /// `MTOC` of UEFI images made from Mach-O.
    Other([u8; 4]),
}

impl CodeView {
    /// The form of a record that starts with these bytes.
    pub(crate) fn of(record: &[u8]) -> Option<CodeView> {
        Some(match *record.first_chunk::<4>()? {
            RSDS => CodeView::Rsds,
            NB10 => CodeView::Nb10,
            other => CodeView::Other(other),
        })
    }

    /// How many bytes there are in front of the path; `None` for a form without a path.
    pub(crate) fn path_offset(self) -> Option<u64> {
        match self {
            CodeView::Rsds => Some(24),
            CodeView::Nb10 => Some(16),
            CodeView::Other(_) => None,
        }
    }

    pub(crate) fn guid(self, record: &[u8]) -> Option<Guid> {
        match self {
            CodeView::Rsds => record.get(4..)?.first_chunk().copied().map(Guid),
            _ => None,
        }
    }

    /// The time stamp by which a PDB of version 2 is known.
    pub(crate) fn stamp(self, record: &[u8]) -> Option<u32> {
        match self {
            CodeView::Nb10 => Some(bytes::at::<U32<LE>>(record, 8)?.get(LE)),
            _ => None,
        }
    }

    pub(crate) fn age(self, record: &[u8]) -> Option<u32> {
        let offset = match self {
            CodeView::Rsds => 20,
            CodeView::Nb10 => 12,
            CodeView::Other(_) => return None,
        };
        Some(bytes::at::<U32<LE>>(record, offset)?.get(LE))
    }
}

/// What identifies a new CodeView record, for [`plan_add_codeview`](crate::plan_add_codeview).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The PDB's GUID.
    pub guid: Guid,
    /// The PDB's age.
    pub age: u32,
}

impl Identity {
    /// The `RSDS` record of this identity and path, with the zero that ends it.
    pub(crate) fn record(self, path: &[u8]) -> Vec<u8> {
        let header = RsdsHeader { signature: RSDS, guid: self.guid.0, age: self.age };
        let mut record = bytes_of(header);
        record.extend_from_slice(path);
        record.push(0);
        record
    }
}

pub(crate) const RSDS: [u8; 4] = *b"RSDS";
const NB10: [u8; 4] = *b"NB10";
