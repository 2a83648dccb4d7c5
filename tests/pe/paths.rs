//! Shorter, equal and longer paths for every image that can be had.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pe_patch::{
    Error, Image, PdbPathOptions, PdbPathPlan, Rung, Signature, SignatureReport, plan_pdb_path,
};

use crate::reader::{Reader, checksum};
use crate::untouched::assert_rest_is_untouched;
use crate::{images, metadata, second};

/// How much longer than the old path a new one is, a shorter one among them.
const GROWTHS: [isize; 5] = [-5, 0, 1, 100, 1000];

#[test]
fn every_image_takes_every_length_and_keeps_everything_else() {
    let scratch = tempfile::tempdir().unwrap();
    let mut rungs: BTreeMap<Rung, usize> = BTreeMap::new();
    let mut written: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for (path, bytes) in with_path() {
        let old = Reader::new(&bytes).codeviews()[0].path.len();
        for growth in GROWTHS {
            let Some(length) = old.checked_add_signed(growth).filter(|&it| it > 0) else {
                continue;
            };
            let name = format!("{} {growth:+}", path.display());
            let new = path_of(length);
            let planned = plan(&bytes, &new);
            let after = check(&name, &bytes, &new, &planned);
            for placed in &planned.report.entries {
                *rungs.entry(placed.rung).or_default() += 1;
            }
            let file = scratch.path().join(format!("{}.dll", written.len()));
            fs::write(&file, after).unwrap();
            written.push((file, new.into_bytes()));
        }
    }
    println!("{} changes: {rungs:?}", written.len());
    let files: Vec<&Path> = written.iter().map(|(file, _)| file.as_path()).collect();
    if let Some(listed) = second::readobj(&files) {
        for ((file, new), records) in written.iter().zip(listed) {
            let bytes = fs::read(file).unwrap();
            assert_eq!(records, Reader::new(&bytes).codeviews(), "{}", file.display());
            assert!(records.iter().all(|record| record.path == *new), "{}", file.display());
        }
    }
    if written.len() > 200 {
        for rung in [Rung::Record, Rung::Tail, Rung::NewSection, Rung::LastSection] {
            assert!(rungs.contains_key(&rung), "no image needed rung {rung}: {rungs:?}");
        }
    }
}

#[test]
fn a_path_that_is_no_ascii_is_stored_as_it_is() {
    let new = "D:\\Проект\\движок\\игра — 二.pdb";
    for (path, bytes) in with_path() {
        check(&path.display().to_string(), &bytes, new, &plan(&bytes, new));
    }
}

#[test]
fn a_path_that_goes_back_to_the_old_one_is_found_by_every_reader_too() {
    for (path, bytes) in with_path() {
        let old = Reader::new(&bytes).codeviews()[0].path.clone();
        if old.is_empty() {
            continue;
        }
        let old = String::from_utf8(old).unwrap();
        for growth in [1, 1000] {
            let mut changed = bytes.clone();
            plan(&bytes, &path_of(old.len() + growth)).plan.apply_to_vec(&mut changed).unwrap();
            let back = plan(&changed, &old);
            assert!(
                back.report.entries.iter().all(|placed| placed.rung == Rung::Record),
                "{}: {:?}",
                path.display(),
                back.report.entries
            );
            check(&path.display().to_string(), &changed, &old, &back);
        }
    }
}

#[test]
fn the_path_that_is_there_needs_no_edit() {
    for (path, bytes) in with_path() {
        let old = Reader::new(&bytes).codeviews()[0].path.clone();
        if let Some(old) = std::str::from_utf8(&old).ok().filter(|it| !it.is_empty()) {
            let image = Image::parse(&bytes).unwrap();
            let planned = plan_pdb_path(&image, old, &PdbPathOptions::default()).unwrap();
            assert!(planned.plan.is_empty(), "{}: {}", path.display(), planned.plan.show());
        }
    }
}

#[test]
fn a_signed_image_is_refused_unless_its_signature_may_go() {
    let mut signed = 0;
    for (path, bytes) in with_path() {
        let name = path.display();
        let image = Image::parse(&bytes).unwrap();
        let refused = plan_pdb_path(&image, "another.pdb", &PdbPathOptions::default());
        let Some(certificates) = Reader::new(&bytes).certificates() else {
            assert!(refused.is_ok(), "{name}: {refused:?}");
            continue;
        };
        signed += 1;
        let offset = certificates.start as u64;
        let size = certificates.len() as u64;
        assert_eq!(refused.unwrap_err(), Error::Signed { offset, size }, "{name}");
        let planned = plan(&bytes, "another.pdb");
        assert_eq!(planned.report.signature, SignatureReport::Cut { offset, size }, "{name}");
        let mut after = bytes.clone();
        planned.plan.apply_to_vec(&mut after).unwrap();
        assert_eq!(Reader::new(&after).certificates(), None, "{name}");
    }
    println!("{signed} signed images");
}

#[test]
fn what_follows_the_image_keeps_its_place() {
    let mut zeroed = 0;
    for (path, mut bytes) in with_path().filter(|(_, bytes)| bytes.len() < 400_000) {
        let name = format!("{} with an overlay", path.display());
        let end = bytes.len();
        // As installers have it: nothing in the headers leads to it, and its length is odd.
        bytes.extend((0..1001_u32).map(|it| it as u8));
        for length in [1, 100, 3000] {
            let new = path_of(length);
            let planned = match plan_for(&bytes, &new) {
                // What grows the last section would have to move the overlay.
                Err(Error::NoRoom { .. }) => continue,
                planned => planned.unwrap(),
            };
            let after = check(&name, &bytes, &new, &planned);
            assert!(after[end..end + 1001] == bytes[end..], "{name}, {length}");
            let is_zeroed = matches!(planned.report.signature, SignatureReport::Zeroed { .. });
            assert_eq!(is_zeroed, Reader::new(&bytes).certificates().is_some(), "{name}");
            zeroed += usize::from(is_zeroed);
        }
    }
    println!("{zeroed} signatures in front of an overlay");
}

#[test]
fn an_image_without_a_path_says_so() {
    let mut without = 0;
    for path in images() {
        let bytes = fs::read(&path).unwrap();
        if Reader::new(&bytes).codeviews().is_empty() {
            let image = Image::parse(&bytes).unwrap();
            let refused = plan_pdb_path(&image, "new.pdb", &PdbPathOptions::default());
            assert_eq!(refused.unwrap_err(), Error::NoPath, "{}", path.display());
            without += 1;
        }
    }
    println!("{without} images without a path");
}

/// Every image that has a path, with its bytes.
fn with_path() -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
    images().into_iter().filter_map(|path| {
        let bytes = fs::read(&path).unwrap();
        (!Reader::new(&bytes).codeviews().is_empty()).then_some((path, bytes))
    })
}

/// The plan for a new path, whatever becomes of a signature.
fn plan(bytes: &[u8], new: &str) -> PdbPathPlan {
    plan_for(bytes, new).unwrap()
}

fn plan_for(bytes: &[u8], new: &str) -> Result<PdbPathPlan, Error> {
    let options = PdbPathOptions { signature: Signature::Strip, ..PdbPathOptions::default() };
    plan_pdb_path(&Image::parse(bytes).unwrap(), new, &options)
}

/// A path of this length.
fn path_of(length: usize) -> String {
    match length.checked_sub(7) {
        Some(rest) => format!("Q:\\{}.pdb", "n".repeat(rest)),
        None => "n".repeat(length),
    }
}

/// Everything that must hold of a plan for a path, and the image after it.
fn check(name: &str, before: &[u8], new: &str, planned: &PdbPathPlan) -> Vec<u8> {
    assert_eq!(*planned, plan(before, new), "{name}: the same plan twice");
    let mut after = before.to_vec();
    planned.plan.apply_to_vec(&mut after).unwrap();

    let (old, reader) = (Reader::new(before), Reader::new(&after));
    let expected: Vec<_> = old
        .codeviews()
        .into_iter()
        .map(|record| crate::reader::CodeView { path: new.as_bytes().to_vec(), ..record })
        .collect();
    assert_eq!(reader.codeviews(), expected, "{name}");
    assert_eq!(second::goblin(&after), expected.first().cloned(), "{name}");
    assert_eq!(second::object(&after), expected.first().cloned(), "{name}");
    for entry in reader.entries() {
        // What debuggers read in memory and what they read in the file are one.
        if entry.size > 0 {
            assert_eq!(reader.offset(entry.address), entry.offset as usize, "{name}");
        }
    }

    assert_rest_is_untouched(name, before, &after);
    assert_eq!(metadata::of(&reader), metadata::of(&old), "{name}");

    let stored = reader.stored_checksum();
    match old.stored_checksum() {
        0 => assert_eq!(stored, 0, "{name}"),
        _ => assert_eq!(stored, checksum(&after), "{name}"),
    }
    assert_eq!(planned.report.checksum.before, old.stored_checksum(), "{name}");
    assert_eq!(planned.report.checksum.after, stored, "{name}");
    let was_right = (old.stored_checksum() != 0).then(|| old.stored_checksum() == checksum(before));
    if !planned.plan.is_empty() {
        assert_eq!(planned.report.checksum.was_right, was_right, "{name}");
    }
    assert_eq!(planned.report.entries.len(), expected.len(), "{name}");
    for placed in &planned.report.entries {
        let entry = &reader.entries()[placed.index as usize];
        assert_eq!(placed.new_path, new.as_bytes(), "{name}");
        assert_eq!(placed.offset, u64::from(entry.offset), "{name}");
        assert_eq!(placed.address, Some(entry.address.into()), "{name}");
    }

    let mut restored = after.clone();
    planned.plan.invert().apply_to_vec(&mut restored).unwrap();
    assert!(restored == before, "{name}: the inverse restores the file");
    after
}
