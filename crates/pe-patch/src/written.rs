//! What is written into images: structures with their fields in the format's order.

use scroll::ctx::{SizeWith, TryIntoCtx};
use scroll::{Endian, LE, Pwrite};

/// A section's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, scroll::Pwrite, scroll::SizeWith)]
pub(crate) struct SectionHeader {
    pub(crate) name: [u8; 8],
    pub(crate) virtual_size: u32,
    pub(crate) virtual_address: u32,
    pub(crate) size_of_raw_data: u32,
    pub(crate) pointer_to_raw_data: u32,
    pub(crate) pointer_to_relocations: u32,
    pub(crate) pointer_to_linenumbers: u32,
    pub(crate) number_of_relocations: u16,
    pub(crate) number_of_linenumbers: u16,
    pub(crate) characteristics: u32,
}

/// An entry of the debug directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, scroll::Pwrite, scroll::SizeWith)]
pub(crate) struct DebugDirectoryEntry {
    pub(crate) characteristics: u32,
    pub(crate) time_date_stamp: u32,
    pub(crate) major_version: u16,
    pub(crate) minor_version: u16,
    pub(crate) typ: u32,
    pub(crate) size_of_data: u32,
    pub(crate) address_of_raw_data: u32,
    pub(crate) pointer_to_raw_data: u32,
}

/// What an `RSDS` record has in front of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, scroll::Pwrite, scroll::SizeWith)]
pub(crate) struct RsdsHeader {
    pub(crate) signature: [u8; 4],
    pub(crate) guid: [u8; 16],
    pub(crate) age: u32,
}

/// A structure or a single field as an image has it.
pub(crate) fn bytes_of<T>(structure: T) -> Vec<u8>
where
    T: SizeWith<Endian> + TryIntoCtx<Endian, Error = scroll::Error>,
{
    let mut bytes = vec![0; T::size_with(&LE)];
    // There is as much room as the structure takes.
    let _ = bytes.pwrite_with(structure, 0, LE);
    bytes
}

#[cfg(test)]
mod tests {
    use object::pe;

    use super::*;

    #[test]
    fn a_section_header_is_written_as_the_format_has_it() {
        let header = SectionHeader {
            name: *b".pdbpath",
            virtual_size: 0x0403_0201,
            virtual_address: 0x0807_0605,
            size_of_raw_data: 0x0c0b_0a09,
            pointer_to_raw_data: 0x100f_0e0d,
            pointer_to_relocations: 0x1413_1211,
            pointer_to_linenumbers: 0x1817_1615,
            number_of_relocations: 0x1a19,
            number_of_linenumbers: 0x1c1b,
            characteristics: 0x201f_1e1d,
        };
        let ascending: Vec<u8> = (1..=32).collect();
        assert_eq!(bytes_of(header), [&b".pdbpath"[..], &ascending].concat());
        assert_eq!(bytes_of(header).len(), size_of::<pe::ImageSectionHeader>());
    }

    #[test]
    fn an_entry_of_the_debug_directory_is_written_as_the_format_has_it() {
        let entry = DebugDirectoryEntry {
            characteristics: 0x0403_0201,
            time_date_stamp: 0x0807_0605,
            major_version: 0x0a09,
            minor_version: 0x0c0b,
            typ: 0x100f_0e0d,
            size_of_data: 0x1413_1211,
            address_of_raw_data: 0x1817_1615,
            pointer_to_raw_data: 0x1c1b_1a19,
        };
        let ascending: Vec<u8> = (1..=28).collect();
        assert_eq!(bytes_of(entry), ascending);
        assert_eq!(bytes_of(entry).len(), size_of::<pe::ImageDebugDirectory>());
    }

    #[test]
    fn a_codeview_record_and_single_fields_are_written_as_the_format_has_them() {
        let header =
            RsdsHeader { signature: *b"RSDS", guid: *b"sixteen bytes it", age: 0x0403_0201 };
        assert_eq!(bytes_of(header), b"RSDSsixteen bytes it\x01\x02\x03\x04");
        assert_eq!(bytes_of(0x0201_u16), [1, 2]);
        assert_eq!(bytes_of(0x0403_0201_u32), [1, 2, 3, 4]);
    }
}
