use pe_patch::oracle::{pe_parse, pe_patch};
use pe_patch::{Error, Image, PdbPathOptions, Rung, Structure, plan_pdb_path};

use crate::maker::{CODEVIEW, DEBUG, Maker, Part, READ, rsds};

fn keep_every_promise(bytes: &[u8]) {
    pe_parse(bytes);
    pe_patch(bytes);
}

#[test]
fn what_is_no_image_says_at_which_offset_that_became_clear() {
    let error = |bytes: &[u8]| Image::parse(bytes).unwrap_err();
    let elf = [&b"\x7fELF"[..], &[1; 100]].concat();
    assert_eq!(error(&elf).offset(), Some(0));
    assert!(matches!(error(&elf), Error::NotPe { structure: Structure::DosHeader, .. }));
    assert!(matches!(error(b"\x7fELF"), Error::NotPe { .. }), "short, but never one");

    let mut bytes = Maker::new(true).bytes();
    bytes[0x80..0x84].copy_from_slice(b"NE\0\0");
    let found = error(&bytes);
    assert_eq!((found.offset(), found.is_incomplete()), (Some(0x80), false));
    assert!(found.to_string().contains("0x80"), "{found}");

    let mut bytes = Maker::new(true).bytes();
    bytes[0x98..0x9a].copy_from_slice(&0x107_u16.to_le_bytes());
    assert!(matches!(error(&bytes), Error::Malformed { at: 0x98, found: 0x107, .. }));
}

#[test]
fn a_file_that_is_still_being_written_is_incomplete() {
    let incomplete = |bytes: &[u8]| Image::parse(bytes).unwrap_err().is_incomplete();
    assert!(incomplete(&[]));
    assert!(incomplete(&[0; 4096]));
    let bytes = Maker::new(true).bytes();
    let mut hollow = bytes.clone();
    hollow[0x80..].fill(0);
    assert!(incomplete(&hollow));
    let mut hollow = bytes.clone();
    hollow[0x98..].fill(0);
    assert!(incomplete(&hollow));
    assert!(incomplete(&bytes[..0x80 + 24 + 240 + 119]));
    assert!(Image::parse(&bytes[..0x80 + 24 + 240 + 120]).is_ok());
}

#[test]
fn the_number_of_directories_may_be_anything_and_sixteen_are_looked_at() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("n.pdb"))]);
    maker.directory_count = u32::MAX;
    let bytes = maker.bytes();
    assert_eq!(Image::parse(&bytes).unwrap().debug_entries().len(), 1);
    keep_every_promise(&bytes);
    for count in 0..8 {
        maker.directory_count = count;
        let bytes = maker.bytes();
        let entries = Image::parse(&bytes).unwrap().debug_entries().len();
        assert_eq!(entries, usize::from(count > DEBUG as u32));
        keep_every_promise(&bytes);
    }
}

/// The NT headers start in the DOS header, so that one field is two.
#[test]
fn headers_may_be_folded_into_each_other() {
    for lfanew in [4, 0xc, 0x10, 0x30, 0x38] {
        for wide in [false, true] {
            let mut maker = Maker::with_records(wide, &[(CODEVIEW, rsds("folded.pdb"))]);
            maker.lfanew = lfanew;
            let mut bytes = maker.bytes();
            // What the optional header has written over `e_lfanew` has to lead there.
            bytes[0x3c..0x40].copy_from_slice(&lfanew.to_le_bytes());
            keep_every_promise(&bytes);
            if let Ok(image) = Image::parse(&bytes) {
                assert_eq!(image.header().offset, u64::from(lfanew));
                let _ = plan_pdb_path(&image, &"f".repeat(3000), &PdbPathOptions::default());
            }
        }
    }
    // The section table lies over the data directories.
    for size in [0, 2, 0x60, 0x68, 0xe0] {
        let mut maker = Maker::with_records(false, &[(CODEVIEW, rsds("folded.pdb"))]);
        maker.optional_size = Some(size);
        keep_every_promise(&maker.bytes());
        maker.directory_count = 0;
        keep_every_promise(&maker.bytes());
    }
}

#[test]
fn headers_may_lie_at_the_end_of_the_file() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("end.pdb"))]);
    maker.lfanew = 0x1000;
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.debug_entries()[0].path, Some(&b"end.pdb"[..]));
    assert_eq!(bytes.len(), 0x1000 + 24 + 240 + 120);
    // No room for another section's header, and the last section is not the end of the file.
    let planned = plan_pdb_path(&image, &"e".repeat(5000), &PdbPathOptions::default());
    assert!(matches!(planned, Err(Error::NoRoom { .. })));
    keep_every_promise(&bytes);
    for lfanew in [bytes.len() as u32 - 1, bytes.len() as u32, 0x7fff_ffff, u32::MAX, u32::MAX - 3]
    {
        let mut lying = bytes.clone();
        lying[0x3c..0x40].copy_from_slice(&lfanew.to_le_bytes());
        assert!(Image::parse(&lying).unwrap_err().is_incomplete());
        keep_every_promise(&lying);
    }
}

#[test]
fn a_section_table_may_lie_behind_the_sections() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("bottom.pdb"))]);
    maker.optional_size = Some(0x1000);
    let bytes = maker.bytes();
    assert_eq!(Image::parse(&bytes).unwrap().sections().count(), 3);
    keep_every_promise(&bytes);
    assert!(Image::parse(&bytes[..bytes.len() - 1]).unwrap_err().is_incomplete());
}

#[test]
fn as_many_sections_as_can_be_counted_are_read_and_one_more_is_not_added() {
    let mut maker = Maker::new(true);
    let part = Part { file_size: 0, offset: 0, ..Part::new("many", 0, 0, READ, Vec::new()) };
    maker.sections.truncate(0);
    let table = maker.section_table() as u32;
    maker.size_of_headers = (table + 65_535 * 40).next_multiple_of(0x200) + 0x200;
    let first = maker.size_of_headers.next_multiple_of(0x1000);
    let home = Part::new(".rdata", first, maker.size_of_headers, READ, Vec::new());
    maker.sections.push(home);
    maker.put_records(0, &[(CODEVIEW, rsds("many.pdb"))]);
    for index in 1..65_535 {
        maker.sections.push(Part {
            address: first + index * 0x1000,
            virtual_size: 16,
            ..part.clone()
        });
    }
    maker.size_of_image = first + 65_535 * 0x1000;
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.sections().count(), 65_535);
    assert_eq!(image.debug_entries()[0].path, Some(&b"many.pdb"[..]));
    let last = image.section(65_534).unwrap();
    assert_eq!(image.section_at(last.address).unwrap().index, 65_534);
    let planned = plan_pdb_path(&image, &"m".repeat(100), &PdbPathOptions::default()).unwrap();
    assert_eq!(planned.report.entries[0].rung, Rung::Tail);
    let planned = plan_pdb_path(&image, &"m".repeat(5000), &PdbPathOptions::default());
    let Err(Error::NoRoom { obstacles, .. }) = planned else { panic!() };
    assert!(obstacles.iter().any(|it| it.reason.contains("count")), "{obstacles:?}");
    pe_parse(&bytes);
    // A table of which the file holds nothing is not made room for.
    let image = Image::parse(&bytes[..0x400]);
    assert!(matches!(image, Err(Error::Short { structure: Structure::SectionTable, .. })));
}

#[test]
fn ninety_six_sections_become_ninety_seven() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("96.pdb"))]);
    maker.size_of_headers = 0x2000;
    for part in &mut maker.sections {
        part.offset += 0x1c00;
        part.address += 0x10_0000;
    }
    maker.put_records(1, &[(CODEVIEW, rsds("96.pdb"))]);
    for index in 3..96 {
        let mut part = Part::new("bss", 0x10_1000 + index * 0x1000, 0, 0xc000_0080, Vec::new());
        part.virtual_size = 8;
        maker.sections.push(part);
    }
    maker.size_of_image = 0x10_1000 + 96 * 0x1000;
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    let planned = plan_pdb_path(&image, &"s".repeat(3000), &PdbPathOptions::default()).unwrap();
    assert_eq!(planned.report.entries[0].rung, Rung::NewSection);
    keep_every_promise(&bytes);
}

#[test]
fn sections_may_be_virtual_only_or_not_there_at_all() {
    let mut maker = Maker::new(true);
    for part in &mut maker.sections {
        part.offset = 0;
        part.file_size = 0;
    }
    maker.directories[DEBUG] = (0x2000, 28);
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.debug_entries(), []);
    assert_eq!(image.rva_to_offset(0x2000), None);
    keep_every_promise(&bytes);

    maker.sections.clear();
    keep_every_promise(&maker.bytes());
    // An image without sections and with low alignment is mapped as a whole.
    maker.section_alignment = 4;
    maker.file_alignment = 4;
    maker.directories[DEBUG] = (0x200, 28);
    maker.overlay = vec![0; 0x100];
    let mut bytes = maker.bytes();
    let record = rsds("flat.pdb");
    let at = 0x200 + 28;
    let fields = [0, 0, 0, CODEVIEW, record.len() as u32, at, at].map(u32::to_le_bytes).concat();
    bytes.resize(0x400, 0);
    bytes[0x200..0x21c].copy_from_slice(&fields);
    bytes[0x21c..][..record.len()].copy_from_slice(&record);
    assert_eq!(Image::parse(&bytes).unwrap().debug_entries()[0].path, Some(&b"flat.pdb"[..]));
    keep_every_promise(&bytes);
}

#[test]
fn sections_may_lie_over_each_other_and_over_the_headers() {
    let records = [(CODEVIEW, rsds("over.pdb"))];
    let mut duplicate = Maker::with_records(true, &records);
    duplicate.sections[2].offset = duplicate.sections[1].offset;
    keep_every_promise(&duplicate.bytes());

    let mut shuffled = Maker::with_records(true, &records);
    shuffled.sections.swap(0, 2);
    keep_every_promise(&shuffled.bytes());

    let mut nested = Maker::with_records(true, &records);
    nested.sections[0].file_size = 0x600;
    nested.sections[0].virtual_size = 0x3000;
    keep_every_promise(&nested.bytes());

    let mut in_headers = Maker::with_records(true, &records);
    in_headers.sections[0].offset = 0x10;
    in_headers.sections[0].file_size = 0x200;
    in_headers.sections[0].bytes.clear();
    keep_every_promise(&in_headers.bytes());
}

#[test]
fn sizes_and_alignments_may_be_anything() {
    let records = [(CODEVIEW, rsds("lies.pdb"))];
    let odd = [0, 1, 3, 0x10, 0x1ff, 0x200, 0x1001, 0x8000_0000, 0xffff_0200, u32::MAX];
    for value in odd {
        for field in 0..9 {
            let mut maker = Maker::with_records(true, &records);
            let part = &mut maker.sections[1];
            match field {
                0 => maker.section_alignment = value,
                1 => maker.file_alignment = value,
                2 => maker.size_of_headers = value,
                3 => maker.size_of_image = value,
                4 => part.file_size = value,
                5 => part.virtual_size = value,
                6 => part.address = value,
                7 => maker.directories[DEBUG].1 = value,
                _ => maker.directories[4] = (value, value),
            }
            maker.with_checksum = maker.lfanew == 0x80;
            keep_every_promise(&short(&maker));
        }
    }
    // The last section ends behind the file.
    let mut cut = Maker::with_records(true, &records);
    cut.length = Some(0x810);
    keep_every_promise(&cut.bytes());
}

/// The image without the bytes that a lie about sizes would make.
fn short(maker: &Maker) -> Vec<u8> {
    let mut bytes = maker.bytes();
    bytes.truncate(0x1200);
    bytes
}

#[test]
fn a_debug_directory_may_lie_in_the_headers_in_code_or_in_an_overlay() {
    let record = rsds("headers.pdb");
    let mut maker = Maker::new(true);
    let at = 0x300_u32;
    maker.directories[DEBUG] = (at, 28);
    let mut bytes = maker.bytes();
    let place = at + 28;
    let fields =
        [0, 0, 0, CODEVIEW, record.len() as u32, place, place].map(u32::to_le_bytes).concat();
    bytes[0x300..0x31c].copy_from_slice(&fields);
    bytes[0x31c..][..record.len()].copy_from_slice(&record);
    let entries = Image::parse(&bytes).unwrap().debug_entries();
    assert_eq!((entries[0].path, entries[0].problems.len()), (Some(&b"headers.pdb"[..]), 0));
    keep_every_promise(&bytes);

    // The record is in the file only.
    let mut maker = Maker::with_records(true, &[(CODEVIEW, record.clone())]);
    maker.overlay = record;
    let overlay = 0xa00_u32.to_le_bytes();
    maker.sections[1].bytes[20..28].copy_from_slice(&[[0; 4], overlay].concat());
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.debug_entries()[0].problems, [pe_patch::Problem::NoAddress]);
    let planned = plan_pdb_path(&image, "a.pdb", &PdbPathOptions::default()).unwrap();
    assert_eq!(planned.report.entries[0].address, None);
    assert_eq!(planned.report.warnings, [pe_patch::Warning::NotInMemory { index: 0 }]);
    keep_every_promise(&bytes);
}

#[test]
fn directories_of_sixty_thousand_entries_and_blocks_without_end_do_not_hold_up() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    maker.directories[DEBUG].1 = u32::MAX;
    maker.sections[1].file_size = 0x20_0000;
    maker.sections[1].virtual_size = 0x20_0000;
    maker.sections[2].offset = 0;
    maker.sections[2].address = 0x40_0000;
    // Blocks of relocations that have no entries, as many as fit.
    maker.directories[5] = (0x3000, u32::MAX);
    let block = [0x2000_u32.to_le_bytes(), 8_u32.to_le_bytes()].concat();
    maker.sections[1].bytes.resize(0x1000, 0);
    maker.sections[1].bytes.extend(block.repeat(0x3_0000));
    let bytes = maker.bytes();
    let directory = Image::parse(&bytes).unwrap().debug_directory();
    assert_eq!(directory.entries.len(), 128);
    assert_eq!(directory.problems.len(), 3);
    keep_every_promise(&bytes);
}
