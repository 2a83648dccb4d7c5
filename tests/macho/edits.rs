use std::fs;

use macho_sections::{
    Container, Cpu, Image, RpathChange, plan_edit_and_resign, plan_install_name, plan_rpath,
    plan_uuid,
};
use patch_plan::{Plan, WriteOptions};
use sha2::{Digest, Sha256};

use reloader_tests::went_through;

use crate::made::{Workshop, output};
use crate::samples::{samples, small_samples};

/// How many samples for arm64 there are, and how many in files that are not large.
const SIGNED: usize = 34;
const SIGNED_SMALL: usize = 30;

fn u32_at(bytes: &[u8], at: usize, is_big: bool) -> usize {
    let word: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
    (if is_big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }) as usize
}

/// Hashes every page of a thin 64-bit image anew, without the crate's help: how many pages there
/// are, and how many are bad. `None` if it is not signed.
fn rehash(bytes: &[u8]) -> Option<(usize, usize)> {
    assert_eq!(u32_at(bytes, 0, false), 0xfeed_facf);
    let mut command = 32;
    let mut signature = None;
    for _ in 0..u32_at(bytes, 16, false) {
        if u32_at(bytes, command, false) == 0x1d {
            signature = Some(u32_at(bytes, command + 8, false));
        }
        command += u32_at(bytes, command + 4, false);
    }
    let start = signature?;
    assert_eq!(u32_at(bytes, start, true), 0xfade_0cc0);
    let (mut pages, mut bad) = (0, 0);
    for index in 0..u32_at(bytes, start + 8, true) {
        let directory = start + u32_at(bytes, start + 16 + 8 * index, true);
        if u32_at(bytes, directory, true) != 0xfade_0c02 {
            continue;
        }
        let field = |at: usize| u32_at(bytes, directory + at, true);
        let (hashes, count, limit) = (directory + field(16), field(28), field(32));
        let (size, kind, shift) =
            (bytes[directory + 36], bytes[directory + 37], bytes[directory + 39]);
        assert_eq!((size, kind), (32, 2), "a hash other than SHA-256");
        assert_eq!(count, limit.div_ceil(1 << shift));
        for (page, contents) in bytes[..limit].chunks(1 << shift).enumerate() {
            let expected = &bytes[hashes + 32 * page..][..32];
            pages += 1;
            bad += usize::from(Sha256::digest(contents)[..] != *expected);
        }
    }
    Some((pages, bad))
}

fn arm64(container: &Container<'_>) -> Option<(usize, usize)> {
    let image = container.image_for(Cpu::ARM64)?.unwrap();
    let start = usize::try_from(image.base()).unwrap();
    Some((start, start + image.data().len()))
}

#[test]
fn every_page_of_every_arm64_sample_is_as_it_was_signed() {
    let mut count = 0;
    for (path, bytes) in small_samples() {
        for image in Container::parse(&bytes).unwrap().images() {
            let image = image.unwrap();
            let ours = image.verify_signature().unwrap();
            let is_arm64 = image.header().cpu.family == Cpu::ARM64.family;
            assert_eq!(ours.is_some(), is_arm64, "{}", path.display());
            let Some(ours) = ours else { continue };
            assert!(ours.is_good(), "{}", path.display());
            assert_eq!(rehash(image.data()), Some((ours.pages as usize, 0)));
            count += 1;
        }
    }
    went_through(count, SIGNED_SMALL, "signed images");
}

#[test]
fn no_page_of_any_arm64_sample_is_bad_after_an_edit_that_signs_anew() {
    let mut edited = 0;
    for (path, bytes) in samples() {
        let container = Container::parse(&bytes).unwrap();
        let Some((start, end)) = arm64(&container) else { continue };
        let image = container.image_for(Cpu::ARM64).unwrap().unwrap();
        // A variable's initial value, and a word of code over a page's end.
        let data = image.section("__DATA", "__data").or_else(|| image.sections().last()).unwrap();
        let text = image.section("__TEXT", "__text").unwrap();
        let edge = (text.offset + 1).next_multiple_of(4096).min(text.offset + text.size - 2) - 2;
        let mut edits = Plan::new();
        for at in [edge, data.offset] {
            let at = image.base() + at;
            let old = &bytes[at as usize..at as usize + 4];
            edits.edit(at, old, old.iter().map(|byte| !byte).collect::<Vec<_>>()).unwrap();
        }
        let mut broken = bytes.clone();
        edits.apply(&mut broken).unwrap();
        let (pages, bad) = rehash(&broken[start..end]).unwrap();
        assert!((2..=3).contains(&bad), "{}: {bad} of {pages}", path.display());

        let resigned = container.plan_edit_and_resign(&edits).unwrap();
        assert_eq!(resigned.directories.len(), 1);
        assert_eq!(resigned.directories[0].pages as usize, bad);
        let mut signed = bytes.clone();
        resigned.plan.apply(&mut signed).unwrap();
        assert_eq!(rehash(&signed[start..end]), Some((pages, 0)), "{}", path.display());
        resigned.plan.invert().apply(&mut signed).unwrap();
        assert!(signed == bytes);
        edited += 1;
    }
    went_through(edited, SIGNED, "images edited and signed anew");
}

#[cfg(unix)]
#[test]
fn a_plan_is_written_to_a_new_inode() {
    use std::os::unix::fs::MetadataExt;

    let Some(made) = Workshop::new() else { return };
    let path = made.path("arm64-dylib");
    let bytes = made.read("arm64-dylib");
    let before = fs::metadata(&path).unwrap().ino();
    let kept = fs::File::open(&path).unwrap();
    let image = Image::parse(&bytes).unwrap();
    let resigned = plan_uuid(&image, [0x42; 16]).unwrap();
    resigned.plan.write_file(&path, &path, &WriteOptions::default()).unwrap();
    assert_ne!(fs::metadata(&path).unwrap().ino(), before);
    assert_eq!(kept.metadata().unwrap().ino(), before);
    let after = made.read("arm64-dylib");
    assert_eq!(Image::parse(&after).unwrap().uuid(), Some([0x42; 16]));
    assert_eq!(rehash(&after).unwrap().1, 0);
}

#[test]
fn llvm_objdump_sees_the_planned_names_and_the_signature_holds() {
    let Some(made) = Workshop::new() else { return };
    for name in ["arm64-dylib", "x86_64-dylib", "arm64e-dylib", "fat", "fat64"] {
        let mut bytes = made.read(name);
        let slices = Container::parse(&bytes).unwrap().images().count();
        // One change after the other, in each slice.
        for slice in 0..slices {
            for change in 0..4 {
                let container = Container::parse(&bytes).unwrap();
                let image = container.images().nth(slice).unwrap().unwrap();
                let resigned = match change {
                    0 => plan_uuid(&image, *b"a new identifier"),
                    1 => plan_install_name(&image, b"@rpath/another/longer/name.dylib"),
                    2 => plan_rpath(&image, RpathChange::Add(b"/opt/lib")),
                    _ => plan_rpath(
                        &image,
                        RpathChange::Replace { old: b"@loader_path", new: b"@loader_path/../lib" },
                    ),
                };
                let resigned = resigned.unwrap();
                assert!(!resigned.plan.is_empty());
                resigned.plan.apply(&mut bytes).unwrap();
            }
        }
        made.write(name, &bytes);
        for image in Container::parse(&bytes).unwrap().images() {
            let image = image.unwrap();
            assert!(image.verify_signature().unwrap().unwrap().is_good());
            assert_eq!(rehash(image.data()).unwrap().1, 0);
        }
        let arguments = ["--macho", "--arch=all", "--private-headers"];
        let text = output("llvm-objdump-19", &arguments, &made.path(name)).unwrap();
        let count = |text: &str, needle: &str| text.matches(needle).count();
        assert_eq!(count(&text, "uuid 61206E65-7720-6964-656E-746966696572"), slices);
        assert_eq!(count(&text, "name @rpath/another/longer/name.dylib "), slices);
        assert_eq!(count(&text, "path /opt/lib "), slices);
        assert_eq!(count(&text, "path @loader_path/../lib "), slices);
        // What was moved with the commands behind it is still read.
        let text = output("llvm-objdump-19", &["--macho", "--exports-trie"], &made.path(name));
        assert!(text.unwrap().contains("_compute"));
    }
}

#[test]
fn an_edit_of_one_slice_leaves_the_others_alone() {
    let Some(made) = Workshop::new() else { return };
    let bytes = made.read("fat");
    let container = Container::parse(&bytes).unwrap();
    let image = container.image_for(Cpu::ARM64).unwrap().unwrap();
    let at = image.base() + image.section("__DATA", "__state").unwrap().offset;
    let mut edits = Plan::new();
    edits.edit(at, 3_u32.to_le_bytes(), 7_u32.to_le_bytes()).unwrap();
    let resigned = plan_edit_and_resign(&image, &edits).unwrap();
    assert_eq!(resigned, container.plan_edit_and_resign(&edits).unwrap());
    let mut edited = bytes.clone();
    resigned.plan.apply(&mut edited).unwrap();
    let (before, after) = (Container::parse(&bytes).unwrap(), Container::parse(&edited).unwrap());
    let other = |container: &Container<'_>| {
        container.image_for(Cpu::X86_64).unwrap().unwrap().data().to_vec()
    };
    assert!(other(&before) == other(&after));
}
