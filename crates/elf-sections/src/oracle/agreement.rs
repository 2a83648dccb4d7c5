//! What other readers make of the same bytes.

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use crate::{Class, Image};

/// `object`'s low-level reader has the same headers, wherever it has any.
pub(super) fn with_object(image: &Image<'_>) {
    match image.header().class {
        Class::Elf32 => compare::<elf::FileHeader32<Endianness>>(image),
        Class::Elf64 => compare::<elf::FileHeader64<Endianness>>(image),
    }
}

fn compare<Header: FileHeader<Endian = Endianness>>(image: &Image<'_>) {
    let data = image.data();
    let Ok(header) = Header::parse(data) else { return };
    let Ok(endian) = header.endian() else { return };
    if let Ok(segments) = header.program_headers(endian, data) {
        let found: Vec<_> = segments
            .iter()
            .map(|it| {
                let addresses: [u64; 3] = [
                    it.p_vaddr(endian).into(),
                    it.p_filesz(endian).into(),
                    it.p_memsz(endian).into(),
                ];
                let offset: u64 = it.p_offset(endian).into();
                (it.p_type(endian).0, it.p_flags(endian).0, offset, addresses)
            })
            .collect();
        let ours: Vec<_> = image
            .segments()
            .iter()
            .map(|it| {
                let addresses = [it.address, it.file_size, it.memory_size];
                (it.kind.0, it.permissions.0, it.offset, addresses)
            })
            .collect();
        assert_eq!(ours, found);
    }
    if let Ok(sections) = header.section_headers(endian, data) {
        // It reads names from section 0 if it is section 0 that says so. 0 means that there are none
        // (gABI, "ELF Header").
        let strings = match image.header().section_names {
            0 => None,
            _ => header.section_strings(endian, data, sections).ok(),
        };
        let strings = strings.unwrap_or_default();
        let found: Vec<_> = sections
            .iter()
            .map(|it| {
                let name = it.name(endian, strings).unwrap_or_default();
                let places: [u64; 3] = [
                    it.sh_addr(endian).into(),
                    it.sh_offset(endian).into(),
                    it.sh_size(endian).into(),
                ];
                (name, it.sh_type(endian).0, places, it.sh_link(endian))
            })
            .collect();
        let ours: Vec<_> = image
            .sections()
            .iter()
            .map(|it| (it.name, it.kind.0, [it.address, it.offset, it.size], it.link))
            .collect();
        assert_eq!(ours, found);
    }
}

/// goblin has the same headers, wherever it can read the whole image. It does not know how to
/// count more program headers than the file header can, nor that an offset of 0 means none.
pub(super) fn with_goblin(image: &Image<'_>) {
    // It allocates by what is claimed, so it gets only what is small.
    if image.data().len() > 1 << 20 || image.header().program_header_count >= 0xffff {
        return;
    }
    let Ok(other) = goblin::elf::Elf::parse(image.data()) else { return };
    let ours: Vec<_> =
        image.segments().iter().map(|it| (it.kind.0, it.offset, it.address)).collect();
    let found: Vec<_> =
        other.program_headers.iter().map(|it| (it.p_type, it.p_offset, it.p_vaddr)).collect();
    assert!(image.header().program_headers == 0 || ours == found, "{ours:?}\n{found:?}");
    let ours: Vec<_> = image.sections().iter().map(|it| (it.kind.0, it.offset, it.size)).collect();
    let found: Vec<_> =
        other.section_headers.iter().map(|it| (it.sh_type, it.sh_offset, it.sh_size)).collect();
    // It takes a number of 0 that section 0 does not correct for 1.
    assert!(ours.is_empty() || ours == found, "{ours:?}\n{found:?}");
}
