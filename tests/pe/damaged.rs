//! Real images with bytes that are not theirs.

use std::fs;
use std::path::PathBuf;

use pe_patch::{Image, PdbPathOptions, Signature, plan_pdb_path};

use crate::reader::Reader;
use crate::{corpus, made, second};

const OPTIONS: PdbPathOptions = PdbPathOptions {
    entry: pe_patch::Which::All,
    form: pe_patch::PathForm::Full,
    allow_base_name: true,
    signature: Signature::Strip,
    sum: pe_patch::KnownSum::Verify,
};

#[test]
fn every_prefix_is_read_or_refused_and_a_refusal_asks_for_more() {
    for (name, bytes) in small_images() {
        for length in 0..bytes.len() {
            let prefix = &bytes[..length];
            match Image::parse(prefix) {
                Err(error) => assert!(error.is_incomplete(), "{name}, {length:#x}: {error}"),
                Ok(_) => change_and_undo(&format!("{name}, {length:#x}"), prefix),
            }
        }
    }
}

#[test]
fn every_damaged_byte_of_headers_and_debug_directory_is_survived() {
    for (name, bytes) in small_images() {
        for at in interesting(&bytes) {
            for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at].wrapping_add(1)] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                change_and_undo(&format!("{name}, {at:#x} = {value:#x}"), &damaged);
            }
        }
    }
}

#[test]
fn damaged_words_are_read_as_goblin_and_object_read_them_or_said_to_be_wrong() {
    let mut compared = 0;
    for (name, bytes) in small_images() {
        let expected = Reader::new(&bytes).codeviews().into_iter().next();
        for at in interesting(&bytes).step_by(2) {
            for value in [0_u32, 1, 0xffff_ffff, 0x8000_0000, 0x1000] {
                let mut damaged = bytes.clone();
                let Some(word) = damaged.get_mut(at..at + 4) else { continue };
                word.copy_from_slice(&value.to_le_bytes());
                let Ok(image) = Image::parse(&damaged) else { continue };
                let directory = image.debug_directory();
                let doubtful = !directory.problems.is_empty()
                    || directory.entries.iter().any(|entry| !entry.problems.is_empty());
                let found = directory.entries.iter().find_map(|entry| {
                    let (guid, path) = (entry.guid?.0, entry.path?.to_vec());
                    Some(crate::reader::CodeView { guid, age: entry.age?, path })
                });
                if doubtful || found == expected {
                    continue;
                }
                // The damage is such that another record seems to be there: others see it too.
                let others = [second::try_goblin(&damaged), second::try_object(&damaged)];
                assert!(
                    others.contains(&Ok(found.clone())) || others.iter().all(Result::is_err),
                    "{name}, {at:#x} = {value:#x}: {found:?}, {others:?}"
                );
                compared += 1;
            }
        }
    }
    println!("{compared} other readings");
}

/// Two real images, one of .NET, and one of another linker; all small.
fn small_images() -> Vec<(String, Vec<u8>)> {
    let wanted = ["run_code_on_dllmain_x86.dll", "Demo64.dll", "ClrLoader.dll"];
    let mut paths: Vec<PathBuf> = Vec::new();
    for name in wanted {
        let is_it = |path: &PathBuf| path.file_name().is_some_and(|it| it == name);
        paths.extend(corpus::images().into_iter().find(is_it));
    }
    paths.extend(made::image("lld-lowalign.dll"));
    paths.extend(made::image("lld-checksum.dll"));
    let named = |path: PathBuf| (path.display().to_string(), fs::read(path).unwrap());
    paths.into_iter().map(named).collect()
}

/// Where the headers, the debug directory and its records are.
fn interesting(bytes: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let image = Reader::new(bytes);
    let headers = 0..image.section_table + 40 * image.sections.len();
    let entries = image.entries();
    let directory = entries[0].at..entries[0].at + 28 * entries.len();
    let record = entries[0].offset as usize..(entries[0].offset + entries[0].size) as usize;
    headers.chain(directory).chain(record)
}

/// Plans a longer path, and where there is a plan, holds it to what every plan promises.
fn change_and_undo(name: &str, bytes: &[u8]) {
    let Ok(image) = Image::parse(bytes) else { return };
    let long = "Q:\\".to_owned() + &"n".repeat(300);
    for new in ["n.pdb", long.as_str()] {
        let Ok(planned) = plan_pdb_path(&image, new, &OPTIONS) else { continue };
        let mut after = bytes.to_vec();
        planned.plan.apply_to_vec(&mut after).unwrap_or_else(|error| panic!("{name}: {error}"));
        let changed = Image::parse(&after).unwrap_or_else(|error| panic!("{name}: {error}"));
        let entries = changed.debug_entries();
        for placed in &planned.report.entries {
            let entry = &entries[placed.index as usize];
            assert_eq!(entry.path, Some(&placed.new_path[..]), "{name}");
        }
        planned.plan.invert().apply_to_vec(&mut after).unwrap();
        assert!(after == bytes, "{name}: the inverse restores the file");
    }
}
