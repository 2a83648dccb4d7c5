//! Images with the PDBs that belong to them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use pe_patch::{
    Image, Pair, PairError, PdbIdentity, PdbMatch, PdbPathOptions, Signature, pair, pdb_matches,
};
use reloader_tests::tool_of;

use crate::images;
use crate::made;
use crate::reader::{Reader, u32_at};
use crate::running::{run, symbols};
use crate::wine::{windows_path, wine};

#[test]
fn every_image_matches_the_pdb_beside_it_and_no_other() {
    let pairs = pairs();
    for (path, pdb) in &pairs {
        let bytes = fs::read(path).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let found = pdb_matches(&image, File::open(pdb).unwrap()).unwrap();
        assert_eq!(found, PdbMatch::Matches, "{}", path.display());
        for (_, other) in pairs.iter().filter(|(_, other)| other != pdb).take(5) {
            let found = pdb_matches(&image, File::open(other).unwrap()).unwrap();
            assert!(matches!(found, PdbMatch::Differs { .. }), "{} {other:?}", path.display());
        }
    }
    println!("{} pairs", pairs.len());
    // Those of every linker are among them, MinGW's too, whose PDBs have no stream with the age.
    for name in ["lld-x64.dll", "mingw-x64.dll", "mingw-x86.dll", "zig-x64.dll"] {
        let Some(path) = made::image(name) else { continue };
        assert!(pairs.iter().any(|(image, _)| *image == path), "{name}");
    }
}

#[test]
fn the_identity_of_a_pdb_is_the_one_that_llvm_reads() {
    let names = ["llvm-pdbutil-19", "llvm-pdbutil-20", "llvm-pdbutil-18", "llvm-pdbutil"];
    let Some(tool) = tool_of(&names) else { return };
    for (path, pdb) in pairs() {
        let found = PdbIdentity::read(File::open(&pdb).unwrap()).unwrap();
        if fs::read(&pdb).unwrap().starts_with(b"BSJB") {
            // A portable PDB: its identity is in the #Pdb stream, as it is in the image.
            let bytes = fs::read(&path).unwrap();
            let entries = Reader::new(&bytes).entries();
            let entry = entries.iter().find(|entry| entry.kind == 2).unwrap();
            assert_eq!(found.stamp, entry.stamp, "{}", pdb.display());
            assert_eq!(found.age, None);
            continue;
        }
        let output = Command::new(&tool.0).args(["dump", "--summary"]).arg(&pdb).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("GUID: {{{}}}", found.guid)), "{}: {text}", pdb.display());
        let record = &Reader::new(&fs::read(&path).unwrap()).codeviews()[0];
        assert_eq!(found.age, Some(record.age), "{}", pdb.display());
        assert_eq!(found.guid.0, record.guid, "{}", pdb.display());
    }
}

#[test]
fn a_damaged_pdb_is_an_error_and_no_panic() {
    let Some((path, pdb)) = pairs()
        .into_iter()
        .find(|(path, _)| path.file_name().is_some_and(|name| name == "lld-x64.dll"))
    else {
        return;
    };
    let bytes = fs::read(path).unwrap();
    let image = Image::parse(&bytes).unwrap();
    let whole = fs::read(pdb).unwrap();
    let matches = |pdb: &[u8]| pdb_matches(&image, std::io::Cursor::new(pdb));
    assert_eq!(matches(&whole).unwrap(), PdbMatch::Matches);
    // Every prefix in steps that no block size divides, and every byte of the header and of the
    // block that leads to the directory.
    for length in (0..whole.len()).step_by(61) {
        assert!(!matches!(matches(&whole[..length]), Ok(PdbMatch::NoRecord)), "{length}");
    }
    let map = (u32_at(&whole, 52) * u32_at(&whole, 32)) as usize;
    for at in (0..64).chain(map..map + 64) {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            let found = matches(&damaged);
            if at < 32 && damaged != whole {
                assert!(found.is_err(), "{at:#x}: {found:?}");
            }
        }
    }
}

#[test]
fn a_pair_is_staged_and_dbghelp_finds_the_copy() {
    let Some(wine) = wine() else { return };
    for (path, pdb) in pairs() {
        let is_ours = path.file_name().is_some_and(|it| it == "lld-x64.dll" || it == "zig-x64.dll");
        let Some(program) = symbols().filter(|_| is_ours) else { continue };
        let stage = tempfile::tempdir().unwrap();
        let (new_image, new_pdb) =
            (stage.path().join("guest_1.dll"), stage.path().join("guest_1.pdb"));
        let bytes = fs::read(&path).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let names = Pair { image: &path, pdb: &pdb, new_image: &new_image, new_pdb: &new_pdb };
        let new_name = windows_path(&new_pdb);
        pair(&image, &names, &new_name, &PdbPathOptions::default(), &Default::default()).unwrap();
        assert_eq!(fs::read(&new_pdb).unwrap(), fs::read(&pdb).unwrap());
        let staged = fs::read(&new_image).unwrap();
        assert_eq!(Reader::new(&staged).codeviews()[0].path, new_name.as_bytes());
        let said = &run(wine, program, &[new_image])[0];
        assert!(said.contains(&format!("pdb = {new_name}")), "{said}");
        assert!(said.contains("symbol = hidden_helper"), "{said}");
    }
}

#[test]
fn a_wrong_pair_is_refused_before_anything_is_written() {
    let pairs = pairs();
    let [(path, _), .., (_, other)] = &pairs[..] else { return };
    let stage = tempfile::tempdir().unwrap();
    let (new_image, new_pdb) = (stage.path().join("1.dll"), stage.path().join("1.pdb"));
    let bytes = fs::read(path).unwrap();
    let options = PdbPathOptions { signature: Signature::Strip, ..PdbPathOptions::default() };
    let names = Pair { image: path, pdb: other, new_image: &new_image, new_pdb: &new_pdb };
    let image = Image::parse(&bytes).unwrap();
    let refused = pair(&image, &names, "1.pdb", &options, &Default::default());
    assert!(matches!(refused, Err(PairError::Mismatch { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(stage.path()).unwrap().count(), 0);
}

/// Every image that has its PDB beside it, with that.
fn pairs() -> Vec<(PathBuf, PathBuf)> {
    let has_pdb = |path: &Path| path.with_extension("pdb").is_file();
    images()
        .into_iter()
        .filter(|path| has_pdb(path))
        .filter(|path| !Reader::new(&fs::read(path).unwrap()).codeviews().is_empty())
        .map(|path| (path.clone(), path.with_extension("pdb")))
        .collect()
}
