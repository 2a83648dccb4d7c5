use pe_patch::oracle::pe_patch;
use pe_patch::{
    Error, Guid, Identity, Image, PdbPathOptions, PdbPathPlan, Rung, plan_add_codeview,
    plan_pdb_path,
};

use crate::maker::{
    self, AGE, CODEVIEW, DEBUG, GUID, Maker, POGO, Part, RDATA, RDATA_OFFSET, READ, TEXT, rsds,
};

fn plan(maker: &Maker, path: &str) -> PdbPathPlan {
    let bytes = maker.bytes();
    pe_patch(&bytes);
    let options = PdbPathOptions::default();
    plan_pdb_path(&Image::parse(&bytes).unwrap(), path, &options).unwrap()
}

fn rung(maker: &Maker, path: &str) -> Rung {
    plan(maker, path).report.entries[0].rung
}

/// The image after a plan.
fn patched(maker: &Maker, path: &str) -> Vec<u8> {
    let mut bytes = maker.bytes();
    plan(maker, path).plan.apply_to_vec(&mut bytes).unwrap();
    bytes
}

/// One record whose section is full, in front of `tail` unused bytes of `.text`.
fn full_rdata(tail: usize) -> Maker {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    let part = &mut maker.sections[1];
    part.bytes.resize(0x200, 0xaa);
    part.virtual_size = 0x200;
    maker.sections[0] = Part::new(".text", 0x1000, 0x400, TEXT, vec![0xc3; 0x200 - tail]);
    maker
}

/// The record is the end of `.text`, and what follows in the file is zeros of `.rdata`.
fn record_at_the_end_of_a_section(pointer_only: bool) -> Maker {
    let record = rsds("a");
    let size = record.len() as u32;
    let inside = 0x200 - size;
    let mut maker = Maker::new(true);
    let mut text = vec![0xc3; inside as usize];
    text.extend(&record);
    maker.sections[0] = Part::new(".text", 0x1000, 0x400, TEXT, text);
    let address = if pointer_only { 0 } else { 0x1000 + inside };
    let entries = [
        [0, 0, 0, CODEVIEW, size, address, 0x400 + inside],
        [0, 0, 0, POGO, 4, RDATA + 8, RDATA_OFFSET + 8],
    ];
    let mut rdata = [&[0; 8][..], b"GCTL"].concat();
    rdata.resize(0x20, 7);
    rdata.extend(entries.concat().into_iter().flat_map(u32::to_le_bytes));
    rdata.extend([0xaa; 12]);
    maker.sections[1] = Part::new(".rdata", RDATA, RDATA_OFFSET, READ, rdata);
    maker.directories[DEBUG] = (RDATA + 0x20, 56);
    maker
}

#[test]
fn a_record_never_grows_over_the_end_of_its_section() {
    let maker = record_at_the_end_of_a_section(false);
    assert_eq!(rung(&maker, "abcdef"), Rung::Tail);
    // Nor where only its offset leads to it, and its section's bytes are no less mapped.
    let maker = record_at_the_end_of_a_section(true);
    assert_eq!(rung(&maker, "abcdef"), Rung::Tail);
}

#[test]
fn a_gap_in_front_of_anything_but_a_record_is_less_than_a_word() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    // The record ends at 58. What comes behind is zero up to the exports.
    let exports_at = |maker: &mut Maker, inside: u32| {
        maker.sections[1].bytes[58..inside as usize].fill(0);
        maker.directories[0] = (RDATA + inside, 4);
    };
    exports_at(&mut maker, 60);
    assert_eq!(rung(&maker, "ab.pdb"), Rung::Gap);
    for inside in [62, 64, 68] {
        exports_at(&mut maker, inside);
        assert_eq!(rung(&maker, "ab.pdb"), Rung::Tail, "{inside}");
    }
}

#[test]
fn a_section_without_an_offset_has_no_tail() {
    let mut maker = full_rdata(0);
    // Memory alone has it, whatever it says of raw data.
    let part = &mut maker.sections[0];
    (part.offset, part.virtual_size, part.file_size, part.flags) = (0, 0x400, 0x600, READ);
    assert_eq!(rung(&maker, "abcdefghijklmnopqrstuvwxyz"), Rung::NewSection);

    maker.directories[DEBUG] = (0, 0);
    let bytes = maker.bytes();
    pe_patch(&bytes);
    let (image, identity) =
        (Image::parse(&bytes).unwrap(), Identity { guid: Guid(GUID), age: AGE });
    let added = plan_add_codeview(&image, identity, "new.pdb", &PdbPathOptions::default()).unwrap();
    assert_eq!(added.report.entries[0].rung, Rung::NewSection);
}

#[test]
fn a_section_that_is_mapped_elsewhere_than_it_says_has_no_tail() {
    let path = "t".repeat(40);
    let mut maker = full_rdata(0x100);
    assert_eq!(rung(&maker, &path), Rung::Tail);
    // The loader rounds the offset down, and what would be the tail lies elsewhere.
    maker.sections[0].offset = 0x410;
    maker.sections[0].file_size = 0x1f0;
    assert_eq!(rung(&maker, &path), Rung::NewSection);
    maker.sections[0].virtual_size += 0x10;
    assert_eq!(rung(&maker, &path), Rung::NewSection);

    // With low alignment the file is mapped as it is.
    let mut maker = maker::low_alignment();
    assert_eq!(rung(&maker, &path), Rung::Tail);
    let part = &mut maker.sections[0];
    part.address += 0x3000;
    part.bytes[20..24].copy_from_slice(&(part.address + 28).to_le_bytes());
    maker.directories[DEBUG].0 = part.address;
    maker.size_of_image = 0x4000;
    assert_eq!(rung(&maker, &path), Rung::NewSection);
}

#[test]
fn a_tail_that_a_structure_lies_in_is_not_free() {
    let path = "t".repeat(100);
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    maker.sections[0] = full_rdata(0).sections[0].clone();
    assert_eq!(rung(&maker, &path), Rung::Tail);
    let tail = maker.sections[1].virtual_size;
    let mut exporting = maker.clone();
    exporting.directories[0] = (RDATA + tail + 0x20, 0x10);
    assert_eq!(rung(&exporting, &path), Rung::NewSection);
    // COFF symbols, all zeros.
    maker.symbols = (RDATA_OFFSET + tail + 0x20, 1);
    assert_eq!(rung(&maker, &path), Rung::NewSection);
}

#[test]
fn a_new_section_adds_to_the_size_of_initialized_data() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    maker.with_checksum = false;
    let mut bytes = maker.bytes();
    let field = maker.optional_offset() + 8;
    bytes[field..field + 4].copy_from_slice(&0x1234_u32.to_le_bytes());
    let options = PdbPathOptions::default();
    let planned =
        plan_pdb_path(&Image::parse(&bytes).unwrap(), &"n".repeat(3000), &options).unwrap();
    assert_eq!(planned.report.entries[0].rung, Rung::NewSection);
    planned.plan.apply_to_vec(&mut bytes).unwrap();
    let after = Image::parse(&bytes).unwrap();
    assert_eq!(after.header().size_of_initialized_data, 0x1234 + 0xc00);
}

#[test]
fn the_size_of_an_image_never_shrinks() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    maker.size_of_image = 0x10_0000;
    let long = "n".repeat(3000);
    assert_eq!(rung(&maker, &long), Rung::NewSection);
    let bytes = patched(&maker, &long);
    assert_eq!(Image::parse(&bytes).unwrap().header().size_of_image, 0x10_0000);

    let mut maker = maker::dot_net();
    maker.size_of_image = 0x10_0000;
    assert_eq!(rung(&maker, &long), Rung::LastSection);
    let bytes = patched(&maker, &long);
    assert_eq!(Image::parse(&bytes).unwrap().header().size_of_image, 0x10_0000);
}

#[test]
fn a_directory_of_128_entries_gets_no_other() {
    let add = |count| {
        let bytes = Maker::with_records(true, &vec![(POGO, Vec::new()); count]).bytes();
        pe_patch(&bytes);
        let image = Image::parse(&bytes).unwrap();
        let identity = Identity { guid: Guid(GUID), age: AGE };
        plan_add_codeview(&image, identity, "new.pdb", &PdbPathOptions::default())
    };
    assert_eq!(add(127).unwrap().report.entries[0].index, 127);
    assert!(matches!(add(128), Err(Error::Malformed { found: 129, .. })));
}
