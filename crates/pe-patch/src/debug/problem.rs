//! Where a debug directory lies.

use std::fmt;

/// Something that a debug directory or one of its entries says and that is not so.
///
/// Reading goes on with what can be made of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// The directory's size is no multiple of an entry's, 28 bytes: the rest is passed over.
    SizeNotMultiple {
        /// The size it claims.
        size: u32,
    },
    /// The file holds nothing where the directory should be.
    DirectoryNotInFile {
        /// The address it claims.
        address: u32,
        /// The size it claims.
        size: u32,
    },
    /// The file, or the section, ends within the directory.
    DirectoryCutShort {
        /// How many bytes it claims.
        size: u32,
        /// How many there are.
        held: u64,
    },
    /// The directory claims more entries than are read.
    TooManyEntries {
        /// How many it claims.
        claimed: u64,
    },
    /// The record has an address, and nothing of the file is mapped there.
    NotMapped {
        /// The address.
        address: u32,
    },
    /// The record has no address: what reads the image in memory does not see it.
    NoAddress,
    /// The record has an address, and no offset: what reads the file by offsets does not see it.
    NoPointer,
    /// The address leads to another place of the file than the offset.
    Disagree {
        /// The offset that the address leads to.
        by_address: u64,
        /// The offset that the entry gives.
        by_pointer: u64,
        /// The one of them at which the record was read.
        used: u64,
    },
    /// The file holds nothing where the record should be.
    NotInFile,
    /// The file, or the section, ends within the record.
    CutShort {
        /// How many bytes the entry claims.
        size: u32,
        /// How many there are.
        held: u64,
    },
    /// The record is shorter than the fixed part of its form.
    TooSmall {
        /// Its size.
        size: u64,
        /// The size of the fixed part.
        wanted: u64,
    },
    /// The path is not ended by a zero before the record is: readers that look for one run on.
    NoTerminator,
    /// There is more behind the zero that ends the path.
    AfterTerminator {
        /// How many bytes there are up to the last that is no zero.
        bytes: u64,
    },
    /// The record shares bytes with that of another entry.
    SharesRecord {
        /// The other entry's index.
        other: u32,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::SizeNotMultiple { size } => {
                write!(f, "the directory's size, {size:#x}, is no multiple of an entry's")
            }
            Problem::DirectoryNotInFile { address, size } => {
                write!(f, "the file does not hold the directory ({size:#x} bytes at {address:#x})")
            }
            Problem::DirectoryCutShort { size, held } => {
                write!(f, "the directory is cut short: {held:#x} of {size:#x} bytes are there")
            }
            Problem::TooManyEntries { claimed } => {
                write!(f, "the directory claims {claimed} entries; only the first ones are read")
            }
            Problem::NotMapped { address } => {
                write!(f, "nothing of the file is mapped at the record's address, {address:#x}")
            }
            Problem::NoAddress => f.write_str("the record has no address, only an offset"),
            Problem::NoPointer => f.write_str("the record has no offset, only an address"),
            Problem::Disagree { by_address, by_pointer, used } => write!(
                f,
                "the record's address leads to {by_address:#x} and its offset to \
                 {by_pointer:#x}; it was read at {used:#x}"
            ),
            Problem::NotInFile => f.write_str("the file does not hold the record"),
            Problem::CutShort { size, held } => {
                write!(f, "the record is cut short: {held:#x} of {size:#x} bytes are there")
            }
            Problem::TooSmall { size, wanted } => {
                write!(f, "the record has {size:#x} bytes, its fixed part alone {wanted:#x}")
            }
            Problem::NoTerminator => f.write_str("no zero ends the path"),
            Problem::AfterTerminator { bytes } => {
                write!(f, "{bytes:#x} bytes follow the zero that ends the path")
            }
            Problem::SharesRecord { other } => {
                write!(f, "the record shares bytes with that of entry {other}")
            }
        }
    }
}
