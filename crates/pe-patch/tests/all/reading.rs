use pe_patch::{DebugKind, DirectoryKind, Format, Guid, Image, Machine, Problem, Reason};

use crate::maker::{
    self, AGE, CODEVIEW, GUID, Maker, Part, RDATA, RDATA_OFFSET, WRITE, fixtures, nb10, rsds,
};

#[test]
fn headers_of_both_formats_are_read() {
    for (wide, format, base) in
        [(false, Format::Pe32, 0x1000_0000), (true, Format::Pe32Plus, 0x1_8000_0000)]
    {
        let bytes = Maker::new(wide).bytes();
        let image = Image::parse(&bytes).unwrap();
        let header = image.header();
        assert_eq!((header.format, header.image_base), (format, base));
        assert_eq!((header.section_alignment, header.file_alignment), (0x1000, 0x200));
        assert_eq!((header.size_of_image, header.size_of_headers), (0x4000, 0x400));
        assert_eq!((header.time_date_stamp, header.subsystem), (0x5555_5555, 3));
        assert_eq!((header.number_of_rva_and_sizes, header.number_of_sections), (16, 3));
    }
}

#[test]
fn every_machine_has_a_name_and_hybrids_are_told_by_their_metadata() {
    let machine = |maker: &Maker| Image::parse(&maker.bytes()).unwrap().machine().to_string();
    for (number, name) in [
        (0x14c, "x86"),
        (0x8664, "x64"),
        (0x1c4, "arm"),
        (0xaa64, "arm64"),
        (0x5032, "machine 0x5032"),
    ] {
        let mut maker = Maker::new(true);
        maker.machine = number;
        assert_eq!(machine(&maker), name);
    }
    let mut hybrid = maker::arm64x(0);
    assert_eq!(machine(&hybrid), "arm64x");
    hybrid.machine = 0x8664;
    assert_eq!(machine(&hybrid), "arm64ec");
    // A load configuration that ends before the field speaks of no metadata.
    hybrid.sections[3].bytes[0] = 200;
    hybrid.sections[3].bytes[1] = 0;
    assert_eq!(machine(&hybrid), "x64");
    assert_eq!(Machine::ARM64X.to_string(), "arm64x");
}

#[test]
fn a_section_says_how_many_of_its_bytes_the_file_does_not_have() {
    let mut maker = Maker::new(true);
    // What has no offset is not in the file, and misses nothing there.
    let mut bss = Part::new(".bss", 0x4000, 0, WRITE, Vec::new());
    bss.file_size = 0x1_0000;
    maker.sections.push(bss);
    let missing = |maker: &Maker| {
        let bytes = maker.bytes();
        let image = Image::parse(&bytes).unwrap();
        let first = image.cut_short().map(|section| (section.index, section.name.to_vec()));
        (image.sections().map(|section| section.missing()).collect::<Vec<_>>(), first)
    };
    assert_eq!(missing(&maker), (vec![0; 4], None));
    maker.length = Some(0x7ff);
    assert_eq!(missing(&maker), (vec![0, 1, 0x200, 0], Some((1, b".rdata".to_vec()))));
}

#[test]
fn sections_say_where_they_are_in_the_file_and_in_memory() {
    let mut maker = maker::mingw();
    maker.sections.push(Part::new(".state", 0x4000, 0, WRITE, Vec::new()));
    maker.sections[3].virtual_size = 0x123;
    maker.sections.push(Part::new(".bss", 0x5000, 0, 0xc000_0080, Vec::new()));
    maker.sections[4].virtual_size = 0x10;
    maker.overlay.clear();
    maker.symbols = (0, 0);
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    let sections: Vec<_> = image.sections().collect();
    assert_eq!(sections.len(), 5);
    assert_eq!(sections[1].name, b".rdata");
    assert_eq!(sections[1].file_range(), 0x600..0x800);
    assert_eq!(sections[2].name, b"/4", "without strings the name is what it is");
    let state = image.sections_named(".state").next().unwrap();
    assert_eq!((state.range(), state.file_range()), (0x4000..0x4123, 0..0));
    assert_eq!(state.range_in_memory(0x7ff0_0000_0000), 0x7ff0_0000_4000..0x7ff0_0000_4123);
    assert!(state.flags.is_writable() && !state.flags.is_executable());
    let bss = image.sections_named(".bss").next().unwrap();
    assert!(bss.flags.is_uninitialized());
    assert_eq!(image.section_at(0x5008), Some(bss));
    assert_eq!(image.section_at(0x5010), None);
}

#[test]
fn long_names_are_found_in_the_string_table_in_both_notations() {
    let mut maker = maker::mingw();
    let name = |maker: &Maker| {
        let bytes = maker.bytes();
        let image = Image::parse(&bytes).unwrap();
        String::from_utf8(image.section(2).unwrap().name.to_vec()).unwrap()
    };
    assert_eq!(name(&maker), ".data.long.name");
    maker.sections[2].name = *b"//AAAAAE";
    assert_eq!(name(&maker), ".data.long.name");
    for odd in [*b"/\0\0\0\0\0\0\0", *b"/9999999", *b"/x\0\0\0\0\0\0", *b"//~~~~~~"] {
        maker.sections[2].name = odd;
        let end = odd.iter().position(|&byte| byte == 0).unwrap_or(8);
        assert_eq!(name(&maker).as_bytes(), &odd[..end]);
    }
}

#[test]
fn an_address_has_an_offset_only_where_the_file_holds_its_byte() {
    let mut maker = Maker::new(true);
    maker.sections[2].virtual_size = 0x2800;
    maker.size_of_image = 0x6000;
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.rva_to_offset(0), Some(0));
    assert_eq!(image.rva_to_offset(0x3ff), Some(0x3ff));
    assert_eq!(image.rva_to_offset(0x400), None, "headers end, the first section comes later");
    assert_eq!(image.rva_to_offset(0x1000), Some(0x400));
    // Mapped although the virtual size is smaller: a page is mapped as a whole.
    assert_eq!(image.rva_to_offset(0x11ff), Some(0x5ff));
    assert_eq!(image.rva_to_offset(0x1200), None);
    assert_eq!(image.rva_to_offset(0x31ff), Some(0x9ff));
    assert_eq!(image.rva_to_offset(0x3200), None, "zeros that only memory has");
    assert_eq!(image.rva_to_offset(0x9000), None);
    assert_eq!(image.offset_of(0x31fe, 2), Some(0x9fe));
    assert_eq!(image.offset_of(0x31fe, 3), None);
    assert_eq!(image.bytes_at(0x3000, 2), Some(&[9, 9][..]));
    assert_eq!(image.offset_to_rva(0x9ff), Some(0x31ff));
    assert_eq!(image.offset_to_rva(0x10), Some(0x10));
    assert_eq!(image.offset_to_rva(0xa00), None);

    // A file that ends early holds less.
    let image = Image::parse(&bytes[..0x900]).unwrap();
    assert_eq!(image.rva_to_offset(0x30ff), Some(0x8ff));
    assert_eq!(image.rva_to_offset(0x3100), None);
}

#[test]
fn offsets_are_rounded_down_to_sectors_as_the_loader_does() {
    let mut maker = Maker::new(true);
    maker.sections[1].offset = 0x610;
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.rva_to_offset(0x2010), Some(0x610));
    maker.section_alignment = 0x200;
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.rva_to_offset(0x2010), Some(0x620));
}

#[test]
fn every_entry_of_the_debug_directory_has_its_kind() {
    let known = [
        (CODEVIEW, rsds("a.pdb"), "rsds"),
        (CODEVIEW, nb10("b.pdb"), "nb10"),
        (CODEVIEW, b"NB09....".to_vec(), "nb09"),
        (CODEVIEW, b"NB11....".to_vec(), "nb11"),
        (CODEVIEW, b"MTOC....".to_vec(), "codeview"),
        (12, [1_u32, 2, 3, 4, 5].map(u32::to_le_bytes).concat(), "vc-feature"),
        (13, b"GCTL".to_vec(), "pogo"),
        (14, Vec::new(), "iltcg"),
        (16, maker::repro(), "repro"),
        (17, b"MPDB\x00\x01\0\0...".to_vec(), "embedded-pdb"),
        (19, [&b"SHA256\0"[..], &[1; 32]].concat(), "pdb-checksum"),
        (20, 1_u32.to_le_bytes().to_vec(), "ex-dll-characteristics"),
        (21, b"map".to_vec(), "perf-map"),
        (1, vec![0; 16], "coff"),
        (3, vec![0; 16], "fpo"),
        (4, vec![0; 16], "misc"),
        (99, vec![0; 16], "unknown"),
    ];
    let records: Vec<_> = known.iter().map(|(kind, record, _)| (*kind, record.clone())).collect();
    let bytes = Maker::with_records(true, &records).bytes();
    let image = Image::parse(&bytes).unwrap();
    let directory = image.debug_directory();
    assert_eq!(directory.problems, []);
    for ((_, record, name), entry) in known.iter().zip(&directory.entries) {
        assert_eq!((entry.kind.as_str(), entry.data), (*name, record.as_slice()));
        assert_eq!(entry.problems, []);
        assert_eq!(entry.time_date_stamp, 0x1234_5678);
    }
    let entries = directory.entries;
    assert_eq!((entries[0].path, entries[0].capacity), (Some(&b"a.pdb"[..]), Some(5)));
    assert_eq!((entries[0].guid, entries[0].age), (Some(Guid(GUID)), Some(AGE)));
    assert_eq!(entries[0].guid.unwrap().to_string(), "04030201-0605-0807-090A-0B0C0D0E0F10");
    assert_eq!((entries[1].path, entries[1].stamp), (Some(&b"b.pdb"[..]), Some(0x4000_0001)));
    assert_eq!((entries[1].guid, entries[1].age), (None, Some(AGE)));
    let feature = DebugKind::VcFeature { before_vc11: 1, c_and_cpp: 2, gs: 3, sdl: 4, guard: 5 };
    assert_eq!(entries[5].kind, feature);
    assert_eq!(entries[8].kind, DebugKind::Repro { has_hash: true });
    assert_eq!(entries[9].kind, DebugKind::EmbeddedPdb { unpacked: 256 });
    assert_eq!(entries[11].kind, DebugKind::ExDllCharacteristics(1));
}

/// Changes 32-bit fields of the only entry and names what is then wrong with it.
fn problems(fields: &[(usize, u32)]) -> Vec<Problem> {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\lies.pdb"))]);
    for (inside, value) in fields {
        maker.sections[1].bytes[*inside..inside + 4].copy_from_slice(&value.to_le_bytes());
    }
    Image::parse(&maker.bytes()).unwrap().debug_entries()[0].problems.clone()
}

#[test]
fn lies_of_an_entry_are_named() {
    let (size, address, pointer) = (16, 20, 24);
    let (good, at) = (RDATA + 28, RDATA_OFFSET + 28);
    assert_eq!(problems(&[(size, 24 + 12)]), []);
    assert_eq!(problems(&[(address, 0)]), [Problem::NoAddress]);
    assert_eq!(problems(&[(pointer, 0)]), [Problem::NoPointer]);
    let outside = Problem::NotMapped { address: 0x9000 };
    assert_eq!(problems(&[(address, 0x9000)]), [Problem::NotMapped { address: 0x9000 }]);
    let both = problems(&[(address, 0x9000), (pointer, 0x9000)]);
    assert_eq!(both, [outside, Problem::NotInFile]);
    // Where only one of the two places has a record, it is that one.
    for (field, value, used) in [(pointer, at + 0x10, at), (address, good + 0x10, at)] {
        let found = problems(&[(field, value)]);
        assert!(matches!(found[0], Problem::Disagree { used: it, .. } if it == u64::from(used)));
    }
    let cut = problems(&[(size, 0x4000)]);
    assert!(matches!(cut[0], Problem::CutShort { size: 0x4000, .. }), "{cut:?}");
    assert_eq!(problems(&[(size, 10)]), [Problem::TooSmall { size: 10, wanted: 24 }]);
    assert_eq!(problems(&[(size, 24 + 5)]), [Problem::NoTerminator]);
    // The name's second half after a zero.
    assert_eq!(problems(&[(28 + 24, 0x61)]), [Problem::AfterTerminator { bytes: 9 }]);
}

#[test]
fn lies_of_the_directory_are_named() {
    let records = [(CODEVIEW, rsds("a.pdb"))];
    let problems = |address: u32, size: u32| {
        let mut maker = Maker::with_records(true, &records);
        maker.directories[maker::DEBUG] = (address, size);
        let bytes = maker.bytes();
        let directory = Image::parse(&bytes).unwrap().debug_directory();
        (directory.entries.len(), directory.problems)
    };
    assert_eq!(problems(RDATA, 28 + 5), (1, vec![Problem::SizeNotMultiple { size: 33 }]));
    assert_eq!(problems(RDATA, 27), (0, vec![Problem::SizeNotMultiple { size: 27 }]));
    let nowhere = Problem::DirectoryNotInFile { address: 0x9000, size: 28 };
    assert_eq!(problems(0x9000, 28), (0, vec![nowhere]));
    let cut = Problem::DirectoryCutShort { size: 0x1c00, held: 0x200 };
    let many = Problem::TooManyEntries { claimed: 256 };
    assert_eq!(problems(RDATA, 0x1c00), (0x200 / 28, vec![cut, many]));
}

#[test]
fn records_that_overlap_name_each_other() {
    let records = [(CODEVIEW, rsds("a.pdb")), (CODEVIEW, rsds("b.pdb"))];
    let mut maker = Maker::with_records(true, &records);
    let first = [RDATA + 56 + 8, RDATA_OFFSET + 56 + 8].map(u32::to_le_bytes).concat();
    maker.sections[1].bytes[28 + 20..28 + 28].copy_from_slice(&first);
    let bytes = maker.bytes();
    let entries = Image::parse(&bytes).unwrap().debug_entries();
    assert_eq!(entries[0].problems, [Problem::SharesRecord { other: 1 }]);
    assert!(entries[1].problems.contains(&Problem::SharesRecord { other: 0 }));
}

#[test]
fn variables_are_told_from_what_is_the_loaders() {
    let mut maker = maker::relocated(0x1008 - 0x1000);
    // Two relocated words in `.data`, and a writable import table.
    maker.sections[3].bytes = maker::relocations(0x3000, &[(10, 8), (10, 0x10)]);
    maker.directories[maker::RELOCATIONS].1 = maker.sections[3].bytes.len() as u32;
    maker.sections.push(Part::new(".idata", 0x5000, 0xc00, WRITE, vec![1; 0x80]));
    maker.directories[12] = (0x3028, 8);
    maker.size_of_image = 0x6000;
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    let writable = image.writable();
    assert_eq!(writable.variables, [0x3000..0x3008, 0x3018..0x3028]);
    let excluded: Vec<_> =
        writable.excluded.iter().map(|it| (it.range.clone(), it.reason)).collect();
    assert_eq!(
        excluded,
        [
            (0x3008..0x3018, Reason::RelocatedWord),
            (0x3028..0x3030, Reason::Got),
            (0x5000..0x5080, Reason::Got)
        ]
    );
    let reasons: Vec<_> = image.sections().map(|it| image.exclusion_of(&it)).collect();
    let read_only = Some(Reason::ReadOnly);
    assert_eq!(reasons, [read_only, read_only, None, read_only, Some(Reason::Got)]);
}

#[test]
fn code_and_unwind_tables_that_may_be_written_to_are_no_variables() {
    let mut maker = Maker::new(true);
    // Code that says so, what is executable without saying so, and the exception directory's tables
    // in a section of another name.
    maker.sections[0].flags = 0xc000_0020;
    maker.sections.push(Part::new("UPX0", 0x4000, 0xc00, 0xe000_0080, vec![1; 0x40]));
    maker.sections.push(Part::new(".pdata", 0x5000, 0xe00, WRITE, vec![1; 0x40]));
    maker.directories[3] = (0x3010, 12);
    maker.size_of_image = 0x6000;
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    let writable = image.writable();
    assert_eq!(writable.variables, [0x3000..0x3010, 0x301c..0x3030]);
    let excluded: Vec<_> =
        writable.excluded.iter().map(|it| (it.range.clone(), it.reason.as_str())).collect();
    assert_eq!(
        excluded,
        [
            (0x1000..0x1040, "code"),
            (0x3010..0x301c, "unwind-table"),
            (0x4000..0x4040, "code"),
            (0x5000..0x5040, "unwind-table"),
        ]
    );
}

#[test]
fn thread_local_storage_and_the_cookie_are_not_variables() {
    let mut maker = Maker::new(true);
    let base = 0x1_8000_0000_u64;
    let mut tls: Vec<u8> =
        [base + 0x3000, base + 0x3010, base + 0x3018, 0].map(u64::to_le_bytes).concat();
    tls.extend([8_u32, 0x0050_0000].map(u32::to_le_bytes).concat());
    let mut config = vec![0; 112];
    config[0] = 112;
    config[88..96].copy_from_slice(&(base + 0x3020).to_le_bytes());
    maker.directories[9] = (RDATA, 40);
    maker.directories[10] = (RDATA + 40, 64);
    maker.sections[1].bytes = [tls, config].concat();
    maker.sections[1].virtual_size = 152;
    let bytes = maker.bytes();
    let writable = Image::parse(&bytes).unwrap().writable();
    let local = writable.thread_local.unwrap();
    assert_eq!((local.template, local.size, local.align), (0x3000..0x3010, 24, 16));
    assert_eq!(writable.variables, [0x3010..0x3018, 0x301c..0x3020, 0x3028..0x3030]);
    let words: Vec<_> = writable.excluded.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(words, ["thread-local", "loader-data", "loader-data"]);
}

#[test]
fn directories_that_are_not_there_are_none() {
    let mut maker = Maker::new(true);
    maker.directories[0] = (0x2000, 0);
    maker.directories[6] = (0x2000, 28);
    maker.directory_count = 5;
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    assert!(image.directory(DirectoryKind::Export).is_some());
    assert_eq!(image.directory(DirectoryKind::Import), None);
    assert_eq!(image.directory(DirectoryKind::Debug), None);
    assert_eq!(image.debug_entries(), []);
}

#[test]
fn overlays_start_behind_the_last_section() {
    for (name, bytes) in fixtures() {
        let overlay = Image::parse(&bytes).unwrap().overlay();
        let has = name.contains("signed") || ["overlay", "mingw"].contains(&name);
        assert_eq!(overlay.is_some(), has, "{name}: {overlay:?}");
    }
}
