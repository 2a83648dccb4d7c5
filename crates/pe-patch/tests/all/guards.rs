use pe_patch::oracle::pe_patch;
use pe_patch::{Error, Image, PdbPathOptions, PdbPathPlan, Rung, Warning, plan_pdb_path};

use crate::maker::{
    self, CODEVIEW, DISCARDABLE, Maker, POGO, Part, RDATA, RDATA_OFFSET, READ, RELOCATIONS, TEXT,
    relocations, rsds,
};

/// Where the path is in `.rdata`, in images whose first record is that of CodeView, alone.
const PATH: u16 = 28 + 24;

fn plan(maker: &Maker, path: &str) -> Result<PdbPathPlan, Error> {
    let bytes = maker.bytes();
    pe_patch(&bytes);
    plan_pdb_path(&Image::parse(&bytes).unwrap(), path, &PdbPathOptions::default())
}

fn rung(maker: &Maker, path: &str) -> Rung {
    plan(maker, path).unwrap().report.entries[0].rung
}

fn reasons(maker: &Maker, path: &str) -> Vec<(Rung, &'static str)> {
    match plan(maker, path) {
        Err(Error::NoRoom { obstacles, .. }) => {
            obstacles.iter().map(|it| (it.rung, it.reason)).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// One record, and no section but `.rdata` whose tail would do.
fn full_text() -> Maker {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    maker.sections[0] = Part::new(".text", 0x1000, 0x400, TEXT, vec![0xc3; 0x200]);
    maker
}

#[test]
fn appended_bytes_never_become_those_of_a_section_that_is_cut_short() {
    let long = "n".repeat(3000);
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    assert_eq!(rung(&maker, &long), Rung::NewSection);
    // Its header claims two sectors, of which the file has one.
    maker.sections[2].file_size = 0x400;
    maker.sections[2].virtual_size = 0x400;
    maker.length = Some(0xa00);
    let cut = "a section's bytes reach beyond the end of the file";
    let reasons = reasons(&maker, &long);
    assert!(reasons.contains(&(Rung::NewSection, cut)), "{reasons:?}");
    assert!(reasons.contains(&(Rung::LastSection, cut)), "{reasons:?}");
    let planned = plan(&maker, "b.pdb").unwrap();
    assert_eq!(planned.report.entries[0].rung, Rung::Record);
    assert_eq!(planned.report.warnings, [Warning::CutShort { section: 2, missing: 0x200 }]);
}

#[test]
fn appended_bytes_never_become_those_of_the_headers() {
    let long = "n".repeat(3000);
    let mut maker = maker::low_alignment();
    maker.overlay = Vec::new();
    assert_eq!(rung(&maker, &long), Rung::NewSection);
    maker.size_of_headers = maker.bytes().len() as u32 + 1;
    let short = "the headers reach beyond the end of the file";
    let reasons = reasons(&maker, &long);
    assert!(reasons.contains(&(Rung::NewSection, short)), "{reasons:?}");
    assert!(reasons.contains(&(Rung::LastSection, short)), "{reasons:?}");
}

#[test]
fn an_image_of_low_alignment_is_relocated_where_it_is_mapped_as_a_whole() {
    let mut maker = maker::low_alignment();
    // The debug directory's section claims to be elsewhere than where the file is mapped.
    maker.sections[0].address += 0x3000;
    for part in &mut maker.sections {
        part.offset += 0x2000;
    }
    maker.sections[1].address += 0x2000;
    maker.size_of_image += 0x3000;
    maker.directories[maker::DEBUG].0 = maker.sections[0].address;
    let part = &mut maker.sections[0];
    part.bytes[20..24].copy_from_slice(&(part.address + 28).to_le_bytes());
    part.bytes[24..28].copy_from_slice(&(part.offset + 28).to_le_bytes());
    assert_eq!(rung(&maker, "b.pdb"), Rung::Record);
    let record = maker.sections[0].offset + u32::from(PATH);
    let start = maker.sections[1].address;
    let table = relocations(record & !0xfff, &[(3, (record & 0xfff) as u16)]);
    maker.directories[RELOCATIONS] = (start, table.len() as u32);
    maker.sections[1].bytes = table;
    let refused = plan(&maker, "b.pdb").unwrap_err();
    let place = u64::from(record);
    assert_eq!(refused, Error::Relocated { offset: place, address: place });
}

#[test]
fn what_the_loader_changes_by_dynamic_relocations_of_any_kind_is_not_changed() {
    const X64: u16 = 0x8664;
    const ARM64: u16 = 0xaa64;
    let word = |word: u32| maker::block(RDATA, &word.to_le_bytes());
    let path = u32::from(PATH);
    let overriding = |place: u16| {
        // One function, one address that overrides it, and the relocations.
        let blocks = maker::block(RDATA, &[place.to_le_bytes(), [0; 2]].concat());
        let mut function = [0x1000, 0, 4, blocks.len() as u32].map(u32::to_le_bytes).concat();
        function.extend(0x1010_u32.to_le_bytes());
        function.extend(blocks);
        [(function.len() as u32).to_le_bytes().to_vec(), function].concat()
    };
    for (machine, symbol, far, near) in [
        // In the upper half of a call's entry, which is no place, there is what would be one.
        (X64, 3, word(0x100 | (path << 16)), word((path + 2) | (1 << 12))),
        (ARM64, 3, word(0x40 | (path << 16)), word((path >> 2) | (1 << 12))),
        (ARM64, 8, word(0x40 | (path << 16)), word((path >> 2) | (1 << 12))),
        (X64, 7, overriding(0x100), overriding(PATH + 2)),
        (X64, 4, maker::block(RDATA, &[0, 1, 0, 0]), maker::block(RDATA, &[PATH as u8, 0, 0, 0])),
    ] {
        let planned = |fixups: &[u8]| {
            plan(&maker::dynamically_relocated(machine, symbol, fixups), "b.pdb").map(|_| ())
        };
        assert_eq!(planned(&far), Ok(()), "{symbol} of {machine:#x}");
        let refused = planned(&near).unwrap_err();
        assert!(
            matches!(refused, Error::DynamicallyRelocated { address, .. }
                if (0x2034..0x2038).contains(&address)),
            "{symbol} of {machine:#x}: {refused}"
        );
    }
}

#[test]
fn the_other_face_of_an_arm64x_image_changes_as_many_bytes_as_its_entry_says() {
    let path = PATH;
    // Zeros, new bytes, a difference, and a kind that is not known: how many bytes each changes.
    for (kind, following, width) in
        [(2 << 2, 0, 4), (3 << 2, 0, 8), (2 << 2 | 1, 4, 4), (2, 2, 8), (3, 0, 8)]
    {
        let outcome = |place: u16| {
            let entry = (place | kind << 12).to_le_bytes();
            let mut entries = [&entry[..], &vec![1; following]].concat();
            entries.resize(entries.len().next_multiple_of(4), 0);
            let fixups = maker::block(RDATA, &entries);
            plan(&maker::dynamically_relocated(0xaa64, 6, &fixups), "b.pdb").map(|_| ())
        };
        assert_eq!(outcome(path - width), Ok(()), "{kind:#b}");
        let refused = outcome(path - width + 1).unwrap_err();
        let offset = u64::from(RDATA_OFFSET) + u64::from(path);
        assert!(
            matches!(refused, Error::DynamicallyRelocated { offset: it, .. } if it == offset),
            "{kind:#b}: {refused}"
        );
    }
}

#[test]
fn appended_bytes_are_not_put_where_the_loader_relocates() {
    let long = "n".repeat(3000);
    let table = relocations(0x5000, &[(10, 0x40)]);
    let mut maker = maker::relocated(0x100);
    maker.directories[RELOCATIONS].1 = table.len() as u32;
    maker.sections[3] = Part::new(".reloc", 0x4000, 0xa00, DISCARDABLE, table);
    let refused = plan(&maker, &long).unwrap_err();
    assert_eq!(refused, Error::Relocated { offset: 0xc40, address: 0x5040 });
    // Behind an overlay and what aligns the file.
    maker.overlay = b"payload".to_vec();
    let refused = plan(&maker, &long).unwrap_err();
    assert_eq!(refused, Error::Relocated { offset: 0xe40, address: 0x5040 });

    let maker = maker::dynamically_relocated(0x8664, 4, &maker::block(0x5000, &[0x40, 0, 0, 0]));
    let refused = plan(&maker, &long).unwrap_err();
    assert_eq!(refused, Error::DynamicallyRelocated { offset: 0xc40, address: 0x5040 });
}

#[test]
fn headers_that_the_loader_relocates_are_not_changed() {
    let mut maker = maker::relocated(0x100);
    let size_of_image = maker.optional_offset() as u64 + 56;
    let table = relocations(0, &[(3, size_of_image as u16)]);
    maker.sections[3] = Part::new(".reloc", 0x4000, 0xa00, DISCARDABLE, table);
    let refused = plan(&maker, &"n".repeat(3000)).unwrap_err();
    assert_eq!(refused, Error::Relocated { offset: size_of_image, address: size_of_image });
}

#[test]
fn a_checksum_that_the_loader_relocates_is_not_brought_up_to_date() {
    let mut maker = maker::relocated(0x100);
    let checksum = maker.checksum_offset() as u64;
    let table = relocations(0, &[(3, checksum as u16)]);
    maker.sections[3] = Part::new(".reloc", 0x4000, 0xa00, DISCARDABLE, table);
    let refused = plan(&maker, "b.pdb").unwrap_err();
    assert_eq!(refused, Error::Relocated { offset: checksum, address: checksum });
    // Nothing of it changes where there is none, and then nobody minds.
    maker.with_checksum = false;
    assert_eq!(rung(&maker, "b.pdb"), Rung::Record);
}

/// Blocks of pages that are far from a change, next to it and in between, in the order given.
fn blocks_of_pages(pages: &[u32], entry: (u16, u16)) -> Maker {
    let mut maker = maker::relocated(0x100);
    let table: Vec<u8> = pages.iter().flat_map(|&page| relocations(page, &[entry])).collect();
    maker.directories[RELOCATIONS] = (0x4000, table.len() as u32);
    maker.sections[3] = Part::new(".reloc", 0x4000, 0xa00, DISCARDABLE, table);
    maker
}

#[test]
fn a_relocation_is_found_wherever_its_block_stands_in_the_table() {
    let near = (10, PATH + 2);
    let far = [0x1000, 0x3000, 0x4000, 0x1000, 0x10_0000, 0x3000];
    assert_eq!(rung(&blocks_of_pages(&far, near), "b.pdb"), Rung::Record);
    for place in 0..=far.len() {
        let mut pages = far.to_vec();
        pages.insert(place, RDATA);
        let refused = plan(&blocks_of_pages(&pages, near), "b.pdb").unwrap_err();
        let address = u64::from(RDATA) + u64::from(near.1);
        let offset = u64::from(RDATA_OFFSET) + u64::from(near.1);
        assert_eq!(refused, Error::Relocated { offset, address }, "{place}");
    }
}

#[test]
fn a_relocation_reaches_over_the_end_of_its_page_and_no_further() {
    // The nine bytes of the path change; the pages of these blocks are odd.
    let path = RDATA + u32::from(PATH);
    for (page, place, is_refused) in [
        (path - 0xfff - 7, 0xfff, true),
        (path - 0xfff - 8, 0xfff, false),
        (path - 8, 0, false),
        (path - 7, 0, true),
        (path + 9, 0, false),
        (path + 8, 0, true),
    ] {
        // A page far away comes first, so that what is known of it cannot mislead.
        let maker = blocks_of_pages(&[0x10_0000, page], (10, place));
        let outcome = plan(&maker, "b.pdb").map(|_| ());
        let address = u64::from(page) + u64::from(place);
        match outcome {
            Ok(()) => assert!(!is_refused, "{page:#x}"),
            Err(Error::Relocated { address: found, .. }) => {
                assert!(is_refused && found == address, "{page:#x}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn bytes_between_two_records_that_are_not_zero_are_somebodys() {
    let records = [(CODEVIEW, rsds("a.pdb")), (POGO, b"GCTL".to_vec())];
    let maker = Maker::with_records(true, &records);
    assert_eq!(rung(&maker, "ab.pdb"), Rung::Gap);
    let end = 2 * 28 + records[0].1.len();
    for byte in [end, end + 1] {
        let mut maker = maker.clone();
        maker.sections[1].bytes[byte] = 1;
        assert!(rung(&maker, "ab.pdb") > Rung::Gap);
    }
}

#[test]
fn a_tail_that_another_section_maps_too_is_not_free() {
    let path = "t".repeat(100);
    let mut maker = full_text();
    assert_eq!(rung(&maker, &path), Rung::Tail);
    let mut shadow = Part::new(".shadow", 0x4000, RDATA_OFFSET, READ, Vec::new());
    (shadow.virtual_size, shadow.file_size) = (0x200, 0x200);
    maker.sections.push(shadow);
    maker.size_of_image = 0x5000;
    assert_eq!(rung(&maker, &path), Rung::NewSection);
}

#[test]
fn a_tail_that_the_headers_map_too_is_not_free() {
    let path = "t".repeat(100);
    let mut maker = full_text();
    maker.size_of_headers = 0x800;
    assert_eq!(rung(&maker, &path), Rung::NewSection);
}

#[test]
fn addresses_that_a_data_directory_claims_are_not_given_away() {
    let mut maker = full_text();
    // The end of the page that the last section grows into, and the start of the next.
    maker.directories[0] = (0x3f00, 0x200);
    assert_eq!(rung(&maker, &"c".repeat(3000)), Rung::LastSection);
    let reasons = reasons(&maker, &"c".repeat(4000));
    let claims = |rung| {
        reasons.iter().any(|(it, reason)| *it == rung && reason.starts_with("a data directory"))
    };
    assert!(claims(Rung::NewSection) && claims(Rung::LastSection), "{reasons:?}");
}

#[test]
fn every_part_of_a_dot_net_image_keeps_its_bytes() {
    let maker = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\shared.pdb"))]);
    // Metadata, resources, strong name, code manager, fixups, jumps, native header.
    for part in [8, 24, 32, 40, 48, 56, 64] {
        let inside = (RDATA + u32::from(PATH) + 6, 4);
        let maker = maker::with_clr_header(maker.clone(), part, inside);
        let planned = plan(&maker, "b.pdb").unwrap();
        let offset = u64::from(RDATA_OFFSET) + 28;
        assert_eq!(planned.report.warnings, [Warning::OldRecordStays { offset }], "{part}");
    }
}

#[test]
fn a_strong_name_that_no_longer_holds_is_a_warning() {
    let maker = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\strong.pdb"))]);
    let warnings = |flags| {
        let maker = maker::with_clr_header(maker.clone(), 16, (flags, 0));
        plan(&maker, "b.pdb").unwrap().report.warnings
    };
    assert_eq!(warnings(1 | 8), [Warning::StrongNameInvalid]);
    assert_eq!(warnings(1), []);
}

/// As many sections as there can be, which all map all of what is behind the headers, with a
/// debug directory as large as is read and tens of thousands of blocks of relocations, the last
/// of which has `entries`.
fn crowd(address: impl Fn(u32) -> u32, entries: &[u8]) -> Maker {
    let count = u16::MAX;
    let headers = (0x400 + 40 * u32::from(count)).next_multiple_of(0x200);
    let mut maker = Maker::new(true);
    maker.size_of_headers = headers;
    maker.size_of_image = 0x7fff_0000;
    maker.sections = vec![Part::new(".crowd", address(0), headers, READ, Vec::new())];
    let record = rsds("C:\\aaaaaaaaaaaaaaaaaaaaaaaaaaa.pdb");
    maker.put_records(0, &vec![(CODEVIEW, record); 128]);
    let first = &mut maker.sections[0];
    let table = first.bytes.len() as u32;
    let mut block = maker::block(first.address, &[]).repeat(50_000);
    block.extend(maker::block(first.address, entries));
    maker.directories[RELOCATIONS] = (first.address + table, block.len() as u32);
    first.bytes.extend(block);
    first.virtual_size = first.bytes.len() as u32;
    first.file_size = first.virtual_size.next_multiple_of(0x200);
    for index in 1..u32::from(count) {
        let first = &maker.sections[0];
        maker.sections.push(Part { address: address(index), bytes: Vec::new(), ..*first });
    }
    maker
}

#[test]
fn sixty_thousand_sections_of_the_same_bytes_and_as_many_blocks_do_not_hold_up() {
    for maker in [crowd(|_| 0x1000_0000, &[]), crowd(|index| 0x1000_0000 + index * 0x1000, &[])] {
        let planned = plan(&maker, "b.pdb").unwrap();
        assert_eq!(planned.report.entries.len(), 128);
    }
}

#[test]
fn a_relocation_is_found_among_more_mappings_of_the_changed_bytes_than_are_listed() {
    let path = 128 * 28 + 24;
    let entry = (3 << 12 | path as u16).to_le_bytes();
    let maker = crowd(|index| 0x1000_0000 + index * 0x1000, &[entry, [0; 2]].concat());
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    let refused = plan_pdb_path(&image, "b.pdb", &PdbPathOptions::default()).unwrap_err();
    let expected = 0x1000_0000 + path;
    assert!(
        matches!(refused, Error::Relocated { address, .. } if address == expected),
        "{refused}"
    );
}
