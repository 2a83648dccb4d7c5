use pe_patch::oracle::pe_patch;
use pe_patch::{
    DirectoryKind, Error, Image, PdbPathOptions, PdbPathPlan, Problem, Removal, Tenant, Warning,
    plan_pdb_path, plan_remove_pdb_path,
};

use crate::maker::{self, CODEVIEW, Maker, RDATA, RDATA_OFFSET, rsds};

const PATH: &str = "C:\\secret.pdb";

fn remove(bytes: &[u8], removal: Removal) -> Result<PdbPathPlan, Error> {
    pe_patch(bytes);
    plan_remove_pdb_path(&Image::parse(bytes).unwrap(), removal, &PdbPathOptions::default())
}

/// The warnings, and the image afterwards.
fn removed(bytes: &[u8], removal: Removal) -> (Vec<Warning>, Vec<u8>) {
    let planned = remove(bytes, removal).unwrap();
    let mut patched = bytes.to_vec();
    planned.plan.apply_to_vec(&mut patched).unwrap();
    (planned.report.warnings, patched)
}

fn has_secret(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|it| it == b"secret")
}

/// The entry's address leads to a record in `.rdata`, its offset to one in `.data`.
fn two_records() -> Maker {
    let record = rsds(PATH);
    let mut maker = Maker::with_records(true, &[(CODEVIEW, record.clone())]);
    let data = &mut maker.sections[2];
    let offset = data.offset;
    data.bytes = [&record[..], &[0x99; 16]].concat();
    data.virtual_size = data.bytes.len() as u32;
    maker.sections[1].bytes[24..28].copy_from_slice(&offset.to_le_bytes());
    maker
}

#[test]
fn no_reader_finds_a_path_where_address_and_offset_led_to_two() {
    let bytes = two_records().bytes();
    assert!(has_secret(&bytes));
    let (warnings, patched) = removed(&bytes, Removal::Path);
    assert_eq!(warnings, [Warning::EntryRepaired { index: 0 }]);
    assert!(!has_secret(&patched));
    let entry = &Image::parse(&patched).unwrap().debug_entries()[0];
    assert_eq!((entry.path, &entry.problems[..]), (Some(&b""[..]), &[][..]));
    assert_eq!((entry.address, entry.pointer), (RDATA + 28, RDATA_OFFSET + 28));
    // What lies behind the other record is not its.
    assert!(patched.windows(16).any(|it| it == [0x99; 16]));

    let (warnings, patched) = removed(&bytes, Removal::Entry);
    assert_eq!(warnings, []);
    assert!(!has_secret(&patched) && !patched.windows(4).any(|it| it == b"RSDS"));
    assert!(patched.windows(16).any(|it| it == [0x99; 16]));
}

#[test]
fn another_structures_bytes_stay_although_a_path_is_in_them_and_a_warning_says_so() {
    let mut maker = two_records();
    let offset = u64::from(maker.sections[2].offset);
    maker.directories[DirectoryKind::Resource as usize] = (0x3000 + 24, 8);
    let stays = Warning::OldRecordStays { offset };
    let (warnings, patched) = removed(&maker.bytes(), Removal::Path);
    assert_eq!(warnings, [stays.clone(), Warning::EntryRepaired { index: 0 }]);
    let entry = &Image::parse(&patched).unwrap().debug_entries()[0];
    assert_eq!((entry.path, &entry.problems[..]), (Some(&b""[..]), &[][..]));
    let (warnings, _) = removed(&maker.bytes(), Removal::Entry);
    assert_eq!(warnings, [stays]);
}

#[test]
fn bytes_hidden_behind_a_path_are_erased_with_a_warning() {
    let record = [&rsds(PATH)[..], b"hidden\0"].concat();
    let bytes = Maker::with_records(true, &[(CODEVIEW, record)]).bytes();
    let start = u64::from(RDATA_OFFSET) + 28 + 24;
    let erased = [Warning::HiddenBytesErased { offset: start + PATH.len() as u64 }];
    for removal in [Removal::Path, Removal::Entry] {
        let (warnings, patched) = removed(&bytes, removal);
        assert_eq!(warnings, erased);
        assert!(!patched.windows(6).any(|it| it == b"hidden"));
    }
    // Also where the record moves.
    let image = Image::parse(&bytes).unwrap();
    for path in ["b.pdb".to_owned(), "t".repeat(60)] {
        let planned = plan_pdb_path(&image, &path, &PdbPathOptions::default()).unwrap();
        assert_eq!(planned.report.warnings, erased);
    }
}

/// The record lies behind what the data directory says is the load configuration, and within
/// what that says of itself.
fn record_in_the_load_configuration(directory_size: u32) -> Maker {
    let record = rsds(PATH);
    let mut maker = Maker::with_records(true, &[(CODEVIEW, record.clone())]);
    let part = &mut maker.sections[1];
    let mut config = vec![0; 0x110];
    config[..4].copy_from_slice(&0x110_u32.to_le_bytes());
    config[0x60..][..record.len()].copy_from_slice(&record);
    part.bytes[28..].fill(0xaa);
    part.bytes.resize(0x100, 0xaa);
    part.bytes.extend(config);
    part.virtual_size = part.bytes.len() as u32;
    part.file_size = 0x400;
    let place = [RDATA + 0x160, RDATA_OFFSET + 0x160].map(u32::to_le_bytes).concat();
    part.bytes[20..28].copy_from_slice(&place);
    maker.sections[2].offset += 0x200;
    maker.directories[DirectoryKind::LoadConfig as usize] = (RDATA + 0x100, directory_size);
    maker
}

/// The record ends at the dynamic relocations, and its entry says that it has some of their bytes.
fn record_over_the_dynamic_relocations() -> Maker {
    let mut maker =
        maker::dynamically_relocated(0x8664, 4, &maker::block(RDATA, &[0x00, 0x01, 0, 0]));
    let part = &mut maker.sections[3];
    let (inside, record) = (0xe8_u32, rsds("C:\\x.pdb"));
    part.bytes[..4].copy_from_slice(&inside.to_le_bytes());
    part.bytes[inside as usize..][..record.len()].copy_from_slice(&record);
    let fields = [0x60, part.address + inside, part.offset + inside];
    maker.directories[DirectoryKind::LoadConfig as usize].1 = inside;
    maker.sections[1].bytes[16..28].copy_from_slice(&fields.map(u32::to_le_bytes).concat());
    maker
}

#[test]
fn load_configuration_and_dynamic_relocations_are_never_run_over() {
    let config = Tenant::Directory(DirectoryKind::LoadConfig);
    for (maker, record, shared, tenant) in [
        (record_in_the_load_configuration(0x40), 0x760, 0x760, config),
        (record_in_the_load_configuration(0x110), 0x760, 0x760, config),
        (record_over_the_dynamic_relocations(), 0xae8, 0xb10, Tenant::DynamicRelocations),
    ] {
        let bytes = maker.bytes();
        let refused = remove(&bytes, Removal::Path).unwrap_err();
        assert_eq!(refused, Error::Shared { offset: shared, tenant });
        let (warnings, patched) = removed(&bytes, Removal::Entry);
        assert_eq!(warnings, [Warning::OldRecordStays { offset: record }]);
        let kept = record as usize..record as usize + 0x60;
        assert_eq!(patched[kept.clone()], bytes[kept.clone()]);

        let image = Image::parse(&bytes).unwrap();
        let planned = plan_pdb_path(&image, "b.pdb", &PdbPathOptions::default()).unwrap();
        assert_eq!(planned.report.warnings, [Warning::OldRecordStays { offset: record }]);
        let mut patched = bytes.clone();
        planned.plan.apply_to_vec(&mut patched).unwrap();
        assert_eq!(patched[kept.clone()], bytes[kept]);
    }
}

#[test]
fn a_directory_of_more_entries_than_are_read_is_not_changed() {
    let records = |count: usize| {
        let mut records = vec![(maker::POGO, Vec::new()); count];
        records[0] = (CODEVIEW, rsds(PATH));
        records[1] = (maker::REPRO, maker::repro());
        Maker::with_records(true, &records).bytes()
    };
    for (count, is_refused) in [(128, false), (129, true)] {
        let bytes = records(count);
        pe_patch(&bytes);
        let image = Image::parse(&bytes).unwrap();
        let claimed = [Problem::TooManyEntries { claimed: 129 }];
        assert_eq!(image.debug_directory().problems, if is_refused { &claimed[..] } else { &[] });
        let options = PdbPathOptions::default();
        for outcome in [
            plan_pdb_path(&image, "b.pdb", &options),
            plan_remove_pdb_path(&image, Removal::Path, &options),
            plan_remove_pdb_path(&image, Removal::Entry, &options),
            pe_patch::plan_repro_fix(&image, &options),
        ] {
            let refused = outcome.err().map(|error| error.to_string());
            let text = "debug directory at 0x600: it has more than the 128 entries that are read \
                        (0x81)";
            assert_eq!(refused.as_deref(), is_refused.then_some(text));
        }
    }
}
