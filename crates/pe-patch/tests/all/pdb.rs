use std::io::Cursor;

use patch_plan::WriteOptions;
use pe_patch::{
    Guid, Image, Pair, PairError, PdbError, PdbIdentity, PdbMatch, PdbPathOptions, pair,
    pdb_matches,
};
use proptest::prelude::*;

use crate::maker::{AGE, CODEVIEW, GUID, Maker, nb10, rsds};

const BLOCK: usize = 512;

/// A multi-stream file of five streams, in which stream 1 says who it is and stream 3 which age
/// the linker saw. The blocks of the directory are `spread` apart.
fn msf(
    guid: [u8; 16],
    stamp: u32,
    own_age: u32,
    linked_age: Option<u32>,
    spread: usize,
) -> Vec<u8> {
    msf_with_empty_streams(guid, stamp, own_age, linked_age, spread, 0)
}

/// The same with more streams, of no bytes, so that the directory's map takes up several blocks.
/// Those lie `spread` apart, the last one first.
fn msf_with_empty_streams(
    guid: [u8; 16],
    stamp: u32,
    own_age: u32,
    linked_age: Option<u32>,
    spread: usize,
    empty: usize,
) -> Vec<u8> {
    let info =
        [&20_000_404_u32.to_le_bytes()[..], &stamp.to_le_bytes(), &own_age.to_le_bytes(), &guid];
    let debug = linked_age.map(|age| {
        [&(-1_i32).to_le_bytes()[..], &19_990_903_u32.to_le_bytes(), &age.to_le_bytes(), &[0; 52]]
            .concat()
    });
    // Stream 0 is so large that the directory takes up several blocks.
    let old_size = 200 * BLOCK;
    let mut streams =
        vec![vec![0; old_size], info.concat(), vec![1; 4], debug.unwrap_or_default(), vec![]];
    streams.resize(streams.len() + empty, vec![]);
    let mut file = vec![0; 3 * BLOCK];
    let mut directory = (streams.len() as u32).to_le_bytes().to_vec();
    for (index, stream) in streams.iter().enumerate() {
        let size = if index == 4 { u32::MAX } else { stream.len() as u32 };
        directory.extend(size.to_le_bytes());
    }
    for stream in &streams {
        for block in stream.chunks(BLOCK) {
            directory.extend((file.len() as u32 / BLOCK as u32).to_le_bytes());
            file.extend(block);
            file.resize(file.len().next_multiple_of(BLOCK), 0);
        }
    }
    let mut map = Vec::new();
    for block in directory.chunks(BLOCK) {
        file.resize(file.len() + spread * BLOCK, 0xee);
        map.extend((file.len() as u32 / BLOCK as u32).to_le_bytes());
        file.extend(block);
        file.resize(file.len().next_multiple_of(BLOCK), 0);
    }
    let mut map_blocks = Vec::new();
    for block in map.chunks(BLOCK).rev() {
        file.resize(file.len() + spread * BLOCK, 0xdd);
        map_blocks.insert(0, file.len() / BLOCK);
        file.extend(block);
        file.resize(file.len().next_multiple_of(BLOCK), 0);
    }
    let blocks = file.len() / BLOCK;
    let mut header = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0".to_vec();
    for field in [BLOCK, 1, blocks, directory.len(), 0].into_iter().chain(map_blocks) {
        header.extend((field as u32).to_le_bytes());
    }
    file[..header.len()].copy_from_slice(&header);
    file
}

/// A portable PDB's metadata root with its streams.
fn portable(guid: [u8; 16], stamp: u32) -> Vec<u8> {
    let version = b"PDB v1.0\0\0\0\0";
    let mut file = b"BSJB\x01\0\x01\0\0\0\0\0".to_vec();
    file.extend((version.len() as u32).to_le_bytes());
    file.extend(version);
    file.extend([0, 0, 2, 0]);
    let id = 0x100_u32;
    for (offset, size, name) in
        [(0x80, 0x10, &b"#Strings\0\0\0\0"[..]), (id, 0x20, b"#Pdb\0\0\0\0")]
    {
        file.extend(offset.to_le_bytes());
        file.extend(u32::to_le_bytes(size));
        file.extend(name);
    }
    file.resize(id as usize, 0);
    file.extend(guid);
    file.extend(stamp.to_le_bytes());
    file
}

fn matches(record: Vec<u8>, pdb: &[u8]) -> PdbMatch {
    let bytes = Maker::with_records(true, &[(CODEVIEW, record)]).bytes();
    pdb_matches(&Image::parse(&bytes).unwrap(), Cursor::new(pdb)).unwrap()
}

#[test]
fn a_pdb_is_an_images_by_guid_and_by_the_age_that_was_linked() {
    for spread in [0, 3] {
        let own = msf(GUID, 7, AGE + 2, Some(AGE), spread);
        assert_eq!(matches(rsds("a.pdb"), &own), PdbMatch::Matches);
        let older = msf(GUID, 7, AGE, Some(AGE - 1), spread);
        assert!(matches!(matches(rsds("a.pdb"), &older), PdbMatch::Differs { index: 0, .. }));
        let other = msf([9; 16], 7, AGE, Some(AGE), spread);
        assert!(matches!(
            matches(rsds("a.pdb"), &other),
            PdbMatch::Differs { found: PdbIdentity { guid: Guid([9, ..]), .. }, .. }
        ));
    }
    // Types only: its own age is all there is.
    assert_eq!(matches(rsds("a.pdb"), &msf(GUID, 7, AGE, None, 0)), PdbMatch::Matches);
    let stamp = 0x4000_0001;
    assert_eq!(matches(nb10("a.pdb"), &msf(GUID, stamp, 1, Some(AGE), 0)), PdbMatch::Matches);
    let without = Maker::new(true).bytes();
    let pdb = msf(GUID, 7, AGE, Some(AGE), 0);
    let found = pdb_matches(&Image::parse(&without).unwrap(), Cursor::new(pdb)).unwrap();
    assert_eq!(found, PdbMatch::NoRecord);
}

#[test]
fn the_map_of_a_large_directory_may_lie_in_several_places() {
    for spread in [0, 3] {
        let own = msf_with_empty_streams(GUID, 7, AGE, Some(AGE), spread, 40_000);
        let found = PdbIdentity::read(Cursor::new(&own)).unwrap();
        assert_eq!(found, PdbIdentity { guid: Guid(GUID), stamp: 7, age: Some(AGE) });
        // More blocks of the map than the header has room for.
        let mut large = own;
        large.resize(16 << 20, 0);
        large[44..48].copy_from_slice(&(16_u32 << 20).to_le_bytes());
        assert!(matches!(
            PdbIdentity::read(Cursor::new(&large)),
            Err(PdbError::Malformed { found: 0x100_0000, .. })
        ));
    }
}

#[test]
fn a_portable_pdb_is_an_images_by_guid_and_stamp() {
    // The stamp that the maker gives every entry.
    assert_eq!(matches(rsds("a.pdb"), &portable(GUID, 0x1234_5678)), PdbMatch::Matches);
    assert!(matches!(
        matches(rsds("a.pdb"), &portable(GUID, 1)),
        PdbMatch::Differs { found: PdbIdentity { age: None, stamp: 1, .. }, .. }
    ));
}

#[test]
fn what_is_no_pdb_says_so() {
    let error = |bytes: &[u8]| PdbIdentity::read(Cursor::new(bytes)).unwrap_err();
    assert!(matches!(error(b""), PdbError::NotPdb { .. }));
    assert!(matches!(error(b"Microsoft C/C++ program database 2.00"), PdbError::NotPdb { .. }));
    let whole = msf(GUID, 7, AGE + 2, Some(AGE), 1);
    for end in (64..whole.len()).step_by(97) {
        // All that is cut off so is behind what is needed, or an error.
        if let Ok(identity) = PdbIdentity::read(Cursor::new(&whole[..end])) {
            assert_eq!(identity, PdbIdentity { guid: Guid(GUID), stamp: 7, age: Some(AGE) });
        }
    }
    // The debug information, of one block behind those of streams 1 and 2, is claimed to be where
    // the file has nothing: its own age does not stand in for the linker's.
    let mut missing = whole.clone();
    let blocks = [203_u32, 204, 205].map(u32::to_le_bytes).concat();
    let at = whole.windows(blocks.len()).position(|window| window == blocks).unwrap() + 8;
    missing[at..at + 4].copy_from_slice(&0xffff_u32.to_le_bytes());
    assert!(matches!(error(&missing), PdbError::Malformed { .. }));
    let mut huge = whole.clone();
    huge[44..48].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(error(&huge), PdbError::Malformed { found: 0xffff_ffff, .. }));
    let mut odd = whole;
    odd[32..36].copy_from_slice(&513_u32.to_le_bytes());
    assert!(matches!(error(&odd), PdbError::Malformed { found: 513, .. }));
}

proptest! {
    #[test]
    fn damaged_pdbs_are_errors_or_identities(
        is_portable: bool,
        writes in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..6),
    ) {
        let mut bytes = if is_portable {
            portable(GUID, 1)
        } else {
            msf(GUID, 7, AGE, Some(AGE), 1)
        };
        for (place, value) in writes {
            // Headers come first; the directory and its map are at the end.
            let span = bytes.len() / 4;
            let start = place.index(span) * 4;
            let start = if value % 3 == 0 { start % 64 } else { start };
            let value = if value % 2 == 0 { value } else { value % 300 };
            bytes[start..start + 4].copy_from_slice(&value.to_le_bytes());
        }
        let _ = PdbIdentity::read(Cursor::new(&bytes));
    }
}

#[test]
fn a_pair_is_staged_pdb_first_and_a_wrong_one_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let bytes = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\build\\game.pdb"))]).bytes();
    let image = Image::parse(&bytes).unwrap();
    std::fs::write(path("game.dll"), &bytes).unwrap();
    let (dll, pdb, new_dll, new_pdb) =
        (path("game.dll"), path("game.pdb"), path("game_1.dll"), path("game_1.pdb"));
    let names = Pair { image: &dll, pdb: &pdb, new_image: &new_dll, new_pdb: &new_pdb };
    let stage =
        |name| pair(&image, &names, name, &PdbPathOptions::default(), &WriteOptions::default());
    let staged = || new_dll.exists() || new_pdb.exists();

    assert!(matches!(stage("game_1.pdb"), Err(PairError::Open { .. })));
    std::fs::write(&pdb, msf([1; 16], 7, AGE, Some(AGE), 0)).unwrap();
    assert!(matches!(stage("game_1.pdb"), Err(PairError::Mismatch { .. })));
    // Nor is anything replaced by it.
    std::fs::write(&new_pdb, b"another pair's").unwrap();
    assert!(matches!(stage("game_1.pdb"), Err(PairError::Mismatch { .. })));
    assert_eq!(std::fs::read(&new_pdb).unwrap(), b"another pair's");
    std::fs::remove_file(&new_pdb).unwrap();
    std::fs::write(&pdb, b"not one").unwrap();
    assert!(matches!(stage("game_1.pdb"), Err(PairError::Pdb { .. })));
    let good = msf(GUID, 7, AGE, Some(AGE), 0);
    std::fs::write(&pdb, &good).unwrap();
    assert!(matches!(stage(""), Err(PairError::Image { .. })));
    assert!(!staged());

    // The image was rebuilt since it was read: its PDB is taken back.
    std::fs::write(&dll, b"rebuilt").unwrap();
    assert!(matches!(stage("game_1.pdb"), Err(PairError::Write(_))));
    assert!(!staged());

    std::fs::write(&dll, &bytes).unwrap();
    let report = stage("game_1.pdb").unwrap();
    assert_eq!(report.entries[0].old_path, b"C:\\build\\game.pdb");
    assert_eq!(std::fs::read(&new_pdb).unwrap(), good);
    let staged = std::fs::read(&new_dll).unwrap();
    assert_eq!(Image::parse(&staged).unwrap().debug_entries()[0].path, Some(&b"game_1.pdb"[..]));
    assert_eq!(std::fs::read(&dll).unwrap(), bytes);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_neither_paired_nor_replaced() {
    use std::os::unix::fs::{FileTypeExt, symlink};

    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let bytes = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\build\\game.pdb"))]).bytes();
    let image = Image::parse(&bytes).unwrap();
    std::fs::write(path("game.dll"), &bytes).unwrap();
    std::fs::write(path("game.pdb"), msf(GUID, 7, AGE, Some(AGE), 0)).unwrap();
    let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
    assert!(made.success());
    symlink(path("nowhere"), path("link")).unwrap();
    let stage = |[dll, pdb, new_dll, new_pdb]: [&str; 4]| {
        let [dll, pdb, new_dll, new_pdb] = [dll, pdb, new_dll, new_pdb].map(path);
        let names = Pair { image: &dll, pdb: &pdb, new_image: &new_dll, new_pdb: &new_pdb };
        pair(&image, &names, "n.pdb", &PdbPathOptions::default(), &WriteOptions::default())
    };
    // Opening a pipe that nobody writes to would never end.
    for sources in [["pipe", "game.pdb"], ["game.dll", "pipe"], ["game.dll", "link"]] {
        let refused = stage([sources[0], sources[1], "new.dll", "new.pdb"]);
        assert!(matches!(refused, Err(PairError::Open { .. })), "{sources:?}");
    }
    for targets in
        [["pipe", "new.pdb"], ["link", "new.pdb"], ["new.dll", "pipe"], ["new.dll", "link"]]
    {
        let refused = stage(["game.dll", "game.pdb", targets[0], targets[1]]);
        assert!(matches!(refused, Err(PairError::Write(_))), "{targets:?}");
    }
    let kind = |name| std::fs::symlink_metadata(path(name)).unwrap().file_type();
    assert!(kind("pipe").is_fifo() && kind("link").is_symlink());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 4);
}

#[test]
fn an_image_of_another_build_is_not_copied_even_where_the_edits_would_fit() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (dll, pdb, new_dll, new_pdb) =
        (path("game.dll"), path("game.pdb"), path("game_1.dll"), path("game_1.pdb"));
    let names = Pair { image: &dll, pdb: &pdb, new_image: &new_dll, new_pdb: &new_pdb };
    std::fs::write(&pdb, msf(GUID, 7, AGE, Some(AGE), 0)).unwrap();
    let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\build\\game.pdb"))]);
    maker.with_checksum = false;
    let bytes = maker.bytes();
    let image = Image::parse(&bytes).unwrap();
    let record = image.debug_entries()[0].record.start as usize;
    let entry = image.debug_directory().range.start as usize;
    // In the record, in a new place, and not at all.
    for new_name in ["game_1.pdb", "C:\\somewhere\\else\\game_1.pdb", "C:\\build\\game.pdb"] {
        let stage =
            || pair(&image, &names, new_name, &PdbPathOptions::default(), &WriteOptions::default());
        // GUID, age, and the entry's stamp.
        for byte in [record + 4, record + 19, record + 20, entry + 4] {
            let mut relinked = bytes.clone();
            relinked[byte] ^= 1;
            std::fs::write(&dll, &relinked).unwrap();
            assert!(matches!(stage(), Err(PairError::Write(_))), "{new_name}, {byte:#x}");
            assert!(!new_dll.exists() && !new_pdb.exists());
        }
        std::fs::write(&dll, &bytes).unwrap();
        stage().unwrap();
        std::fs::remove_file(&new_dll).unwrap();
        std::fs::remove_file(&new_pdb).unwrap();
    }
}

#[test]
fn names_of_which_one_file_would_replace_another_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::create_dir(path("sub")).unwrap();
    let bytes = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\build\\game.pdb"))]).bytes();
    let image = Image::parse(&bytes).unwrap();
    let good = msf(GUID, 7, AGE, Some(AGE), 0);
    let (dll, pdb, new) = (path("game.dll"), path("game.pdb"), path("new"));
    std::fs::write(&dll, &bytes).unwrap();
    std::fs::write(&pdb, &good).unwrap();
    let detour = |name: &str| path("sub").join("..").join(name);
    let stage = |new_image: &std::path::Path, new_pdb: &std::path::Path| {
        let names = Pair { image: &dll, pdb: &pdb, new_image, new_pdb };
        pair(&image, &names, "n.pdb", &PdbPathOptions::default(), &WriteOptions::default())
    };
    for (new_image, new_pdb) in [
        (new.clone(), new.clone()),
        (new.clone(), detour("new")),
        (pdb.clone(), new.clone()),
        (detour("game.pdb"), new.clone()),
        (new.clone(), dll.clone()),
        (new.clone(), detour("game.dll")),
    ] {
        assert!(matches!(stage(&new_image, &new_pdb), Err(PairError::SameFile { .. })));
        assert!(!new.exists());
        assert_eq!(std::fs::read(&dll).unwrap(), bytes);
        assert_eq!(std::fs::read(&pdb).unwrap(), good);
    }
    // Each in its own place is a change of the image alone.
    stage(&dll, &pdb).unwrap();
    assert_eq!(std::fs::read(&pdb).unwrap(), good);
    assert_ne!(std::fs::read(&dll).unwrap(), bytes);
}
