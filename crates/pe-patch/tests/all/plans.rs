use pe_patch::{
    Error, Guid, Identity, Image, KnownSum, PathForm, PdbPathOptions, PdbPathPlan, Removal, Rung,
    Signature, SignatureReport, Tenant, Warning, Which, plan_add_codeview, plan_pdb_path,
    plan_remove_pdb_path, plan_repro_fix,
};

use crate::maker::{
    self, AGE, CODEVIEW, DEBUG, GUID, Maker, POGO, REPRO, nb10, repro, roomy_rsds, rsds,
};

fn plan(bytes: &[u8], path: &str) -> Result<PdbPathPlan, Error> {
    plan_pdb_path(&Image::parse(bytes).unwrap(), path, &PdbPathOptions::default())
}

fn strip() -> PdbPathOptions {
    PdbPathOptions { signature: Signature::Strip, ..PdbPathOptions::default() }
}

/// The rung, and the image afterwards, whose first entry has the path.
fn changed(bytes: &[u8], path: &str) -> (Rung, Vec<u8>) {
    let planned = plan(bytes, path).unwrap();
    let mut patched = bytes.to_vec();
    planned.plan.apply_to_vec(&mut patched).unwrap();
    let entry = &Image::parse(&patched).unwrap().debug_entries()[0];
    assert_eq!(entry.path, Some(path.as_bytes()));
    assert_eq!((entry.guid, entry.age), (Some(Guid(GUID)), Some(AGE)));
    (planned.report.entries[0].rung, patched)
}

#[test]
fn a_shorter_path_stays_in_the_record_and_the_rest_is_zeroed() {
    let bytes = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\long\\name.pdb"))]).bytes();
    let (rung, patched) = changed(&bytes, "a.pdb");
    assert_eq!(rung, Rung::Record);
    let entry = &Image::parse(&patched).unwrap().debug_entries()[0];
    assert_eq!(&entry.data[24..], b"a.pdb\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(entry.size, 24 + 17);
}

#[test]
fn a_record_with_room_takes_a_longer_path_and_keeps_its_size() {
    let bytes = Maker::with_records(true, &[(CODEVIEW, roomy_rsds("a.pdb", 100))]).bytes();
    let before = Image::parse(&bytes).unwrap().debug_entries()[0].clone();
    assert_eq!(before.capacity, Some(105));
    let (rung, patched) = changed(&bytes, &"x".repeat(105));
    assert_eq!(rung, Rung::Record);
    assert_eq!(Image::parse(&patched).unwrap().debug_entries()[0].size, before.size);
}

#[test]
fn the_alignment_gap_in_front_of_the_next_record_is_used_and_nothing_else_moves() {
    // 24 + 6 bytes leave two to the next multiple of four, where the next record starts.
    let records = [(CODEVIEW, rsds("a.pdb")), (POGO, b"GCTL".to_vec())];
    let bytes = Maker::with_records(true, &records).bytes();
    assert_eq!(changed(&bytes, "abc.pdb").0, Rung::Gap);
    let (rung, patched) = changed(&bytes, "ab.pdb");
    assert_eq!(rung, Rung::Gap);
    let (old, new) = (Image::parse(&bytes).unwrap(), Image::parse(&patched).unwrap());
    assert_eq!(new.debug_entries()[0].size, old.debug_entries()[0].size + 1);
    assert_eq!(new.debug_entries()[1].data, b"GCTL");
    assert!(changed(&bytes, "abcd.pdb").0 > Rung::Gap);
}

#[test]
fn zeros_behind_the_record_that_no_structure_ends_are_somebodys_constant() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("abc.pdb"))]);
    let part = &mut maker.sections[1];
    let end = part.bytes.len() - 12;
    part.bytes[end..].fill(0);
    assert_eq!(changed(&maker.bytes(), "abcd.pdb").0, Rung::Tail);
}

#[test]
fn the_tail_of_the_records_section_is_used_up_to_its_last_byte() {
    let maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    let room = (maker.sections[1].file_size - maker.sections[1].virtual_size) as usize;
    let bytes = maker.bytes();
    let (rung, patched) = changed(&bytes, &"y".repeat(room - 25));
    assert_eq!((rung, patched.len()), (Rung::Tail, bytes.len()));
    let rdata = Image::parse(&patched).unwrap().section(1).unwrap();
    assert_eq!(rdata.size, rdata.file_size);
    // The old record is gone, and what was behind it is not.
    let old = Image::parse(&bytes).unwrap().debug_entries()[0].record.clone();
    let old = old.start as usize..old.end as usize;
    assert!(patched[old.clone()].iter().all(|&byte| byte == 0));
    assert!(patched[old.end..].windows(12).any(|it| it == [0xaa; 12]));
}

#[test]
fn a_tail_of_breakpoints_is_a_tail_and_one_with_anything_else_is_not() {
    let mut maker = maker::merged();
    let (rung, patched) = changed(&maker.bytes(), "C:\\longer\\than\\before.pdb");
    assert_eq!(rung, Rung::Tail);
    assert!(Image::parse(&patched).unwrap().section(0).unwrap().flags.is_executable());
    let size = maker.sections[0].virtual_size as usize;
    maker.sections[0].bytes[size + 20] = 0x55;
    maker.sections[1].virtual_size = 0x200;
    maker.sections[1].bytes.resize(0x200, 1);
    assert_eq!(changed(&maker.bytes(), "C:\\longer\\than\\before.pdb").0, Rung::NewSection);
}

#[test]
fn a_section_never_grows_into_the_memory_of_the_next() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    // As much in the file as a page and a half, all of it unused, and the next section one page on.
    let part = &mut maker.sections[1];
    part.file_size = 0x1800;
    maker.sections[2].offset = 0x600 + 0x1800;
    assert_eq!(changed(&maker.bytes(), &"z".repeat(0xe00)).0, Rung::Tail);
    assert_eq!(changed(&maker.bytes(), &"z".repeat(0x1000)).0, Rung::NewSection);
}

#[test]
fn a_new_section_is_appended_and_the_headers_say_so() {
    let bytes = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]).bytes();
    let (rung, patched) = changed(&bytes, &"n".repeat(3000));
    assert_eq!(rung, Rung::NewSection);
    let image = Image::parse(&patched).unwrap();
    let new = image.section(3).unwrap();
    assert_eq!((new.address, new.offset, new.size), (0x4000, 0xa00, 3025));
    assert_eq!((new.file_size, patched.len()), (0xc00, 0x1600));
    assert!(new.flags.is_readable() && !new.flags.is_writable() && !new.flags.is_discardable());
    assert_eq!(image.header().size_of_image, 0x5000);
    assert_eq!(image.header().number_of_sections, 4);
}

#[test]
fn a_new_section_needs_forty_header_bytes_that_are_nobodys() {
    let long = "n".repeat(3000);
    let records = [(CODEVIEW, rsds("a.pdb"))];
    let maker = Maker::with_records(true, &records);
    let reason = |maker: &Maker| match plan(&maker.bytes(), &long) {
        Ok(planned) => planned.report.entries[0].rung.to_string(),
        Err(Error::NoRoom { obstacles, .. }) => {
            let it = obstacles.iter().find(|it| it.rung == Rung::NewSection).unwrap();
            it.reason.to_owned()
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(reason(&maker), "new-section");

    // Bound imports lie right behind the section table.
    let mut bound = maker.clone();
    bound.overlay = b"no last section to grow".to_vec();
    bound.directories[11] = (bound.section_table() as u32 + 3 * 40, 0x20);
    assert!(reason(&bound).contains("something lies"), "{}", reason(&bound));

    let mut full = maker.clone();
    full.overlay = b"no last section to grow".to_vec();
    full.size_of_headers = full.section_table() as u32 + 3 * 40 + 39;
    assert!(reason(&full).contains("no room"), "{}", reason(&full));

    let mut written = maker.bytes();
    written[maker.section_table() + 3 * 40 + 39] = 1;
    written.push(0);
    let Err(Error::NoRoom { obstacles, .. }) = plan(&written, &long) else { panic!() };
    assert!(obstacles.iter().any(|it| it.reason.contains("not zero")), "{obstacles:?}");
}

#[test]
fn an_overlay_keeps_its_place_and_the_new_section_comes_behind_it() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    maker.overlay = b"payload".to_vec();
    let bytes = maker.bytes();
    let planned = plan(&bytes, &"n".repeat(3000)).unwrap();
    let (overlay, offset) = (0xa00, 0xc00);
    assert_eq!(planned.report.warnings, [Warning::BehindOverlay { overlay, offset }]);
    let mut patched = bytes.clone();
    planned.plan.apply_to_vec(&mut patched).unwrap();
    assert_eq!(&patched[0xa00..0xa07], b"payload");
}

#[test]
fn symbols_behind_the_sections_stay_where_the_header_says() {
    let bytes = maker::mingw().bytes();
    let (_, patched) = changed(&bytes, &"m".repeat(3000));
    let image = Image::parse(&patched).unwrap();
    assert_eq!(image.sections_named(".data.long.name").count(), 1);
    assert_eq!(
        image.header().pointer_to_symbol_table,
        Image::parse(&bytes).unwrap().header().pointer_to_symbol_table
    );
}

#[test]
fn without_header_room_the_last_section_grows() {
    let bytes = maker::dot_net().bytes();
    let planned = plan(&bytes, &"d".repeat(300)).unwrap();
    assert_eq!(planned.report.entries[0].rung, Rung::LastSection);
    assert_eq!(planned.report.warnings, [Warning::Discardable { section: 2 }, Warning::ReproStale]);
    let (_, patched) = changed(&bytes, &"d".repeat(300));
    let reloc = Image::parse(&patched).unwrap().section(2).unwrap();
    assert_eq!((reloc.size, reloc.file_size), (0x200 + 325, 0x400));
    // Far enough, and the image needs more memory.
    let (_, patched) = changed(&bytes, &"d".repeat(0x3000));
    assert_eq!(Image::parse(&patched).unwrap().header().size_of_image, 0xa000);
}

#[test]
fn the_base_name_is_stored_only_where_that_is_allowed_and_nothing_else_fits() {
    let mut maker = maker::dot_net();
    maker.overlay = b"payload".to_vec();
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    let path = "C:\\a\\directory\\a.pdb";
    let Err(Error::NoRoom { wanted, obstacles }) = plan(&bytes, path) else { panic!() };
    assert_eq!(wanted, 24 + path.len() as u64 + 1);
    let rungs: Vec<Rung> = obstacles.iter().map(|it| it.rung).collect();
    let all = [Rung::Record, Rung::Gap, Rung::Tail, Rung::NewSection, Rung::LastSection];
    assert_eq!(rungs, all);

    let options = PdbPathOptions { allow_base_name: true, ..PdbPathOptions::default() };
    let planned = plan_pdb_path(&image, path, &options).unwrap();
    let placed = &planned.report.entries[0];
    assert_eq!((placed.rung, placed.place), (Rung::BaseName, Rung::Record));
    assert_eq!(placed.new_path, b"a.pdb");
}

#[test]
fn offsets_are_addresses_in_a_new_section_of_low_alignment() {
    let bytes = maker::low_alignment().bytes();
    let (rung, patched) = changed(&bytes, &"l".repeat(1000));
    assert_eq!(rung, Rung::NewSection);
    let new = Image::parse(&patched).unwrap().section(2).unwrap();
    assert_eq!(new.offset, new.address);
}

#[test]
fn every_entry_changes_or_the_chosen_one() {
    let records = [(CODEVIEW, rsds("one.pdb")), (POGO, vec![1]), (CODEVIEW, nb10("two.pdb"))];
    let bytes = Maker::with_records(true, &records).bytes();
    let image = Image::parse(&bytes).unwrap();
    let paths = |options: &PdbPathOptions| {
        let planned = plan_pdb_path(&image, &"p".repeat(40), options).unwrap();
        let mut patched = bytes.clone();
        planned.plan.apply_to_vec(&mut patched).unwrap();
        let entries = Image::parse(&patched).unwrap().debug_entries();
        let changed: Vec<u32> = planned.report.entries.iter().map(|it| it.index).collect();
        let lengths: Vec<_> = entries.iter().map(|it| it.path.map_or(0, <[u8]>::len)).collect();
        assert_eq!(entries[2].stamp, Some(0x4000_0001));
        (changed, lengths)
    };
    assert_eq!(paths(&PdbPathOptions::default()), (vec![0, 2], vec![40, 0, 40]));
    let one = PdbPathOptions { entry: Which::One(2), ..PdbPathOptions::default() };
    assert_eq!(paths(&one), (vec![2], vec![7, 0, 40]));
    let none = PdbPathOptions { entry: Which::One(1), ..PdbPathOptions::default() };
    assert_eq!(plan_pdb_path(&image, "a", &none), Err(Error::NoSuchEntry { index: 1 }));
    let without = Maker::new(true).bytes();
    assert_eq!(plan(&without, "a"), Err(Error::NoPath));
}

#[test]
fn paths_are_stored_in_their_form_and_as_they_are() {
    let bytes = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]).bytes();
    let image = Image::parse(&bytes).unwrap();
    let stored = |path: &str, form| {
        let options = PdbPathOptions { form, ..PdbPathOptions::default() };
        let planned = plan_pdb_path(&image, path, &options)?;
        Ok(String::from_utf8(planned.report.entries[0].new_path.clone()).unwrap())
    };
    let game = "D:\\Проект\\игра.pdb";
    let relative = |directory: &str| PathForm::Relative(directory.to_owned());
    assert_eq!(stored(game, PathForm::Full), Ok(game.to_owned()));
    assert_eq!(stored(game, PathForm::BaseName), Ok("игра.pdb".to_owned()));
    assert_eq!(stored(game, relative("d:\\ПРОЕКТ\\bin")), Ok("..\\игра.pdb".to_owned()));
    assert_eq!(stored("/a/b/c.pdb", relative("/a/./d/")), Ok("../b/c.pdb".to_owned()));
    assert_eq!(stored("/a/c.pdb", relative("/A")), Ok("../a/c.pdb".to_owned()));
    let bad = |what| Err(Error::BadPath { what });
    assert_eq!(stored(game, relative("C:\\")), bad("has another root"));
    assert_eq!(stored("\\\\server\\x\\a.pdb", relative("\\\\server\\y")), bad("has another root"));
    assert_eq!(stored("a\\", PathForm::BaseName), bad("is empty"));
    assert_eq!(stored("a\0b", PathForm::Full), bad("contains a zero"));
}

#[test]
fn a_signed_image_is_refused_or_stripped_and_what_lies_behind_the_table_stays() {
    let records = [(CODEVIEW, rsds("C:\\signed.pdb"))];
    for behind in [&b""[..], b"behind the certificates"] {
        let maker = maker::signed(Maker::with_records(true, &records), behind);
        let bytes = maker.bytes();
        let image = Image::parse(&bytes).unwrap();
        let refused = plan(&bytes, "b.pdb").unwrap_err();
        assert_eq!(refused, Error::Signed { offset: 0xa00, size: 0x28 });
        // Nothing is refused that changes nothing.
        let same = plan(&bytes, "C:\\signed.pdb").unwrap();
        assert!(same.plan.is_empty());
        assert_eq!(same.report.signature, SignatureReport::Kept);

        for path in ["b.pdb".to_owned(), "b".repeat(3000)] {
            let planned = plan_pdb_path(&image, &path, &strip()).unwrap();
            let mut patched = bytes.clone();
            planned.plan.apply_to_vec(&mut patched).unwrap();
            let table = &bytes[0xa00..0xa28];
            assert!(!patched.windows(table.len()).any(|it| it == table));
            assert!(!Image::parse(&patched).unwrap().is_signed());
            if behind.is_empty() {
                let cut = SignatureReport::Cut { offset: 0xa00, size: 0x28 };
                assert_eq!(planned.report.signature, cut);
            } else {
                let zeroed = SignatureReport::Zeroed { offset: 0xa00, size: 0x28 };
                assert_eq!(planned.report.signature, zeroed);
                assert_eq!(&patched[0xa28..][..behind.len()], behind);
            }
        }
    }
}

#[test]
fn a_certificate_table_that_is_none_is_only_forgotten_and_one_that_is_demanded_is_missed() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    maker.directories[maker::SECURITY] = (0x610, 0x20);
    maker.dll_characteristics = 0x80;
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    let planned = plan_pdb_path(&image, "b.pdb", &strip()).unwrap();
    assert_eq!(planned.report.signature, SignatureReport::Cleared);
    assert_eq!(planned.report.warnings, [Warning::SignatureDemanded]);
}

#[test]
fn bytes_that_the_loader_relocates_are_not_changed() {
    // The path of the record starts at 28 + 24 of `.rdata`, the entry's size is at 16.
    for (place, path) in [(28 + 24, "b.pdb"), (28 + 20, "b.pdb"), (16, "longer\\than\\that.pdb")] {
        let bytes = maker::relocated(place).bytes();
        let refused = plan(&bytes, path).unwrap_err();
        let address = 0x2000 + u64::from(place);
        assert!(
            matches!(refused, Error::Relocated { address: found, .. } if found == address),
            "{refused}"
        );
    }
    // Next to it is fine.
    assert!(plan(&maker::relocated(0x100).bytes(), "b.pdb").is_ok());
    let free = maker::arm64x(0x100).bytes();
    assert!(plan(&free, "b.pdb").is_ok());
    let bytes = maker::arm64x(28 + 26).bytes();
    let refused = plan(&bytes, "b.pdb").unwrap_err();
    assert_eq!(refused, Error::DynamicallyRelocated { offset: 0x636, address: 0x2036 });
    // The other face may have the section's size in other places of the headers.
    assert!(plan(&free, &"t".repeat(100)).is_ok());
}

#[test]
fn a_record_that_another_structure_has_bytes_of_moves_and_the_old_one_stays() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\shared.pdb"))]);
    maker.directories[0] = (maker::RDATA + 28 + 30, 4);
    let bytes = maker.bytes();
    let planned = plan(&bytes, "b.pdb").unwrap();
    assert_eq!(planned.report.entries[0].rung, Rung::Tail);
    let record = Image::parse(&bytes).unwrap().debug_entries()[0].record.start;
    assert_eq!(planned.report.warnings, [Warning::OldRecordStays { offset: record }]);
    // A directory over the entry itself leaves no way.
    maker.directories[0] = (maker::RDATA + 20, 4);
    let refused = plan(&maker.bytes(), &"b".repeat(100)).unwrap_err();
    assert!(matches!(refused, Error::Shared { tenant: Tenant::Directory(_), .. }), "{refused}");
}

#[test]
fn an_entry_whose_address_and_offset_disagree_is_repaired() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\away.pdb"))]);
    // As LIEF leaves .NET images: the offset is where the record was before.
    let pointer = maker::RDATA_OFFSET + 28 + 0x40;
    maker.sections[1].bytes[24..28].copy_from_slice(&pointer.to_le_bytes());
    let bytes = maker.bytes();
    let planned = plan(&bytes, "b.pdb").unwrap();
    assert_eq!(planned.report.warnings, [Warning::EntryRepaired { index: 0 }]);
    let (_, patched) = changed(&bytes, "b.pdb");
    assert_eq!(Image::parse(&patched).unwrap().debug_entries()[0].problems, []);
}

#[test]
fn a_record_is_added_to_an_image_without_and_not_to_one_with() {
    let identity = Identity { guid: Guid(GUID), age: AGE };
    for (records, count) in [(vec![], 1), (vec![(POGO, b"GCTL".to_vec()), (REPRO, repro())], 3)] {
        let bytes = if records.is_empty() {
            Maker::new(true).bytes()
        } else {
            Maker::with_records(true, &records).bytes()
        };
        let image = Image::parse(&bytes).unwrap();
        let planned =
            plan_add_codeview(&image, identity, "new.pdb", &PdbPathOptions::default()).unwrap();
        let mut patched = bytes.clone();
        planned.plan.apply_to_vec(&mut patched).unwrap();
        let after = Image::parse(&patched).unwrap();
        let entries = after.debug_entries();
        assert_eq!(entries.len(), count);
        assert_eq!(entries[count - 1].path, Some(&b"new.pdb"[..]));
        assert_eq!(entries[count - 1].guid, Some(Guid(GUID)));
        assert_eq!(
            plan_add_codeview(&after, identity, "x", &PdbPathOptions::default()),
            Err(Error::HasCodeView { index: count as u32 - 1 })
        );
    }
    let mut few = Maker::new(true);
    few.directory_count = DEBUG as u32;
    let bytes = few.bytes();
    let image = Image::parse(&bytes).unwrap();
    let refused = plan_add_codeview(&image, identity, "x", &PdbPathOptions::default());
    assert!(matches!(refused, Err(Error::Malformed { .. })));
}

#[test]
fn a_path_is_removed_with_or_without_its_record() {
    let records = [(POGO, vec![1]), (CODEVIEW, rsds("C:\\secret.pdb")), (REPRO, repro())];
    let bytes = Maker::with_records(true, &records).bytes();
    let image = Image::parse(&bytes).unwrap();
    for removal in [Removal::Path, Removal::Entry] {
        let planned = plan_remove_pdb_path(&image, removal, &PdbPathOptions::default()).unwrap();
        let mut patched = bytes.clone();
        planned.plan.apply_to_vec(&mut patched).unwrap();
        assert!(!patched.windows(6).any(|it| it == b"secret"));
        let entries = Image::parse(&patched).unwrap().debug_entries();
        match removal {
            Removal::Path => {
                assert_eq!((entries[1].path, entries[1].guid), (Some(&b""[..]), Some(Guid(GUID))));
            }
            Removal::Entry => {
                let kinds: Vec<_> = entries.iter().map(|it| it.kind.as_str()).collect();
                assert_eq!(kinds, ["pogo", "repro"]);
                assert!(!patched.windows(4).any(|it| it == b"RSDS"));
            }
        }
    }
    let only = Maker::with_records(true, &[(CODEVIEW, rsds("a"))]).bytes();
    let image = Image::parse(&only).unwrap();
    let planned = plan_remove_pdb_path(&image, Removal::Entry, &PdbPathOptions::default()).unwrap();
    let mut patched = only.clone();
    planned.plan.apply_to_vec(&mut patched).unwrap();
    let directory = Image::parse(&patched).unwrap().directory(pe_patch::DirectoryKind::Debug);
    assert_eq!(directory, None);
}

#[test]
fn the_hash_of_a_reproducible_build_is_brought_up_to_date_once() {
    let records = [(CODEVIEW, rsds("C:\\r.pdb")), (REPRO, repro())];
    let bytes = Maker::with_records(true, &records).bytes();
    let image = Image::parse(&bytes).unwrap();
    let planned = plan_pdb_path(&image, "b.pdb", &PdbPathOptions::default()).unwrap();
    assert_eq!(planned.report.warnings, [Warning::ReproStale]);
    let hash = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let image = Image::parse(&bytes).unwrap();
        let fix = plan_repro_fix(&image, &PdbPathOptions::default()).unwrap();
        fix.plan.apply_to_vec(&mut bytes).unwrap();
        let image = Image::parse(&bytes).unwrap();
        assert!(plan_repro_fix(&image, &PdbPathOptions::default()).unwrap().plan.is_empty());
        image.debug_entries()[1].data[4..].to_vec()
    };
    let mut patched = bytes.clone();
    planned.plan.apply_to_vec(&mut patched).unwrap();
    assert_ne!(hash(&bytes), hash(&patched));
    assert_eq!(hash(&patched), hash(&patched));
    // LLD and .NET write the entry alone.
    let bare = Maker::with_records(true, &[(REPRO, Vec::new())]).bytes();
    let image = Image::parse(&bare).unwrap();
    assert_eq!(plan_repro_fix(&image, &PdbPathOptions::default()), Err(Error::NoRepro));
}

#[test]
fn the_hash_of_a_signed_image_is_that_of_the_image_without_its_signature() {
    let records = [(CODEVIEW, rsds("C:\\r.pdb")), (REPRO, repro())];
    for behind in [&b""[..], b"behind the certificates"] {
        let maker = maker::signed(Maker::with_records(true, &records), behind);
        let mut fixed = maker.bytes();
        let planned = plan_repro_fix(&Image::parse(&fixed).unwrap(), &strip()).unwrap();
        planned.plan.apply_to_vec(&mut fixed).unwrap();
        let again = plan_repro_fix(&Image::parse(&fixed).unwrap(), &strip()).unwrap();
        assert!(again.plan.is_empty(), "{}", again.plan.show());

        // The signature goes first, the hash comes second: the same.
        let mut stripped = maker.bytes();
        let table = 0xa00..0xa28;
        if behind.is_empty() {
            stripped.truncate(table.start);
        } else {
            stripped[table].fill(0);
        }
        let field = maker.directory_offset(maker::SECURITY);
        stripped[field..field + 8].fill(0);
        let planned = plan_repro_fix(&Image::parse(&stripped).unwrap(), &strip()).unwrap();
        planned.plan.apply_to_vec(&mut stripped).unwrap();
        assert!(stripped == fixed);
    }
}

#[test]
fn a_wrong_checksum_is_reported_and_made_right_and_none_stays_none() {
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    let mut bytes = maker.bytes();
    bytes[maker.checksum_offset()] ^= 0x55;
    let image = Image::parse(&bytes).unwrap();
    let stored = image.stored_checksum().value;
    let computed = image.computed_checksum();
    let planned = plan(&bytes, "b.pdb").unwrap();
    assert_eq!(planned.report.checksum.was_right, Some(false));
    assert_eq!(planned.report.warnings, [Warning::ChecksumWasWrong { stored, computed }]);

    maker.with_checksum = false;
    let planned = plan(&maker.bytes(), "b.pdb").unwrap();
    let checksum = planned.report.checksum;
    assert_eq!((checksum.before, checksum.after, checksum.was_right), (0, 0, None));
}

#[test]
fn a_sum_that_is_trusted_is_not_looked_at() {
    let maker = Maker::with_records(true, &[(CODEVIEW, rsds("a.pdb"))]);
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    let options = PdbPathOptions { sum: KnownSum::Trust, ..PdbPathOptions::default() };
    let trusting = plan_pdb_path(&image, "b.pdb", &options).unwrap();
    assert_eq!(trusting.report.checksum.was_right, None);
    assert_eq!(trusting.plan, plan(&bytes, "b.pdb").unwrap().plan);
}
