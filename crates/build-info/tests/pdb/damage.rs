use build_info::oracle::pdb_read;
use build_info::pdb::{identity, read, symbol, symbol_at};
use build_info::{Error, Questions};

use crate::maker::{Module, Pdb};
use crate::msf::{self, Layout, PLAIN};

fn small() -> Vec<u8> {
    msf::write(&Pdb::new().streams(), &Layout { page_size: 512, ..PLAIN })
}

#[test]
fn every_prefix_is_incomplete_and_none_panics() {
    let whole = small();
    for end in 0..whole.len() {
        let error = read(&whole[..end], &Questions::ALL).unwrap_err();
        assert!(error.is_incomplete() || end == 0, "{end}: {error}");
        assert!(identity(&whole[..end]).is_err());
        assert!(symbol(&whole[..end], "main").is_err());
        assert!(symbol_at(&whole[..end], 0x1000).is_err());
    }
    read(&whole, &Questions::ALL).unwrap();
}

#[test]
fn every_byte_may_be_anything() {
    let whole = small();
    for at in 0..whole.len() {
        for value in [0, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            pdb_read(&damaged);
        }
    }
}

#[test]
fn a_module_that_is_damaged_is_said_and_the_others_are_read() {
    let mut pdb = Pdb::new();
    // A record of no length, and build information that is not there.
    let mut streams = pdb.streams();
    streams[8][4..6].copy_from_slice(&[0, 0]);
    let bytes = msf::write(&streams, &PLAIN);
    let info = read(&bytes, &Questions::ALL).unwrap();
    assert_eq!(info.remarks.len(), 1, "{:?}", info.remarks);
    assert!(info.remarks[0].starts_with("module d:\\a\\crt.obj: symbols of a module at 0x4: "));
    assert!(info.units[0].command.is_some());
    // Its files are apart from its symbols.
    assert_eq!(info.units[1].files.len(), 2);

    pdb.modules[0].symbols[2].1 = 0x2000_u32.to_le_bytes().to_vec();
    let info = read(&msf::write(&pdb.streams(), &PLAIN), &Questions::ALL).unwrap();
    assert!(info.remarks[0].contains("not among the identifiers"), "{:?}", info.remarks);
}

#[test]
fn a_stream_that_many_modules_claim_is_walked_once() {
    let pdb = Pdb::new();
    let mut many = pdb.clone();
    let shared = pdb.modules[0].clone();
    many.modules = vec![shared; 60];
    let mut streams = many.streams();
    // All of them name the stream of the first.
    let list = streams[3].clone();
    for at in memchr::memmem::find_iter(&list, "D:\\game\\obj\\main.obj\0D:") {
        streams[3][at - 30..at - 28].copy_from_slice(&7_u16.to_le_bytes());
    }
    let info = read(&msf::write(&streams, &PLAIN), &Questions::ALL).unwrap();
    assert_eq!(info.units.iter().filter(|unit| unit.command.is_some()).count(), 1);
    assert!(info.remarks.iter().any(|it| it.contains("another module's")), "{:?}", info.remarks);
    assert!(info.remarks.last().unwrap().ends_with("more modules are damaged"));
}

#[test]
fn more_modules_than_can_be_numbered_are_not_read() {
    let mut pdb = Pdb::new();
    pdb.contributions.clear();
    pdb.modules = vec![Module::default(); 66_000];
    let mut streams = pdb.streams();
    streams.truncate(7);
    let info = read(&msf::write(&streams, &PLAIN), &Questions::ALL).unwrap();
    assert_eq!(info.units.len(), 65_536);
    assert!(info.remarks[0].contains("more modules than can be numbered"), "{:?}", info.remarks);
}

#[test]
fn other_files_are_named() {
    let cases: [(&[u8], &str); 4] = [
        (b"BSJB\x01\0\x01\0", "a portable PDB"),
        (b"Microsoft MSFZ Container\r\n\x1aALD\0\0", "a compressed PDB (MSFZ, PDZ)"),
        (b"Microsoft C/C++ program database 2.00\r\n\x1aJG\0\0", "a PDB of Visual C++ 6 or before"),
        (b"MZ\x90\0", "not a PDB"),
    ];
    for (bytes, expected) in cases {
        let error = read(bytes, &Questions::ALL).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(!error.is_incomplete());
    }
}

#[test]
fn a_header_that_lies_is_an_error() {
    let lie = |at: usize, value: u32| {
        let mut file = small();
        file[at..at + 4].copy_from_slice(&value.to_le_bytes());
        read(&file, &Questions::ALL).unwrap_err()
    };
    assert!(matches!(lie(32, 500), Error::Malformed { at: 32, .. }));
    assert!(matches!(lie(32, 0), Error::Malformed { at: 32, .. }));
    assert!(lie(40, u32::MAX).is_incomplete());
    assert!(matches!(lie(44, u32::MAX), Error::Malformed { at: 44, .. }));
    assert!(matches!(lie(44, 0), Error::Short { .. }));
    assert!(matches!(
        lie(52, u32::MAX),
        Error::Malformed { structure: "block map", .. } | Error::Malformed { .. }
    ));
}

#[test]
fn regressions_keep_every_promise() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/regressions/pdb_read");
    let mut good = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        println!("{}", path.display());
        pdb_read(&bytes);
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("good-")) {
            assert!(read(&bytes, &Questions::ALL).unwrap().units.len() > 1, "{}", path.display());
            good += 1;
        }
    }
    assert!(good > 0);
}
