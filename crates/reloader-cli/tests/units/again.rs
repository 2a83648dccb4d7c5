use std::fs;
use std::path::{Path, PathBuf};

use reloader_tests::{HEADERS, Project, System, Toolchain};

use crate::desk::Desk;

const GCC: Toolchain<'_> = Toolchain { cc: "gcc", cxx: "g++", flags: &["-g"], link: &[] };

/// Each subcommand's question.
fn questions(project: &Project) -> [Vec<String>; 6] {
    let image = project.image.to_str().unwrap().to_owned();
    let header = project.path(HEADERS[0].path).to_str().unwrap().to_owned();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    [
        words(&["affected", &image, &header, "--json"]),
        words(&["affected", &image, &header]),
        words(&["affected", &image, &header, "--commands"]),
        words(&["owner", &image, "main", "--json"]),
        words(&["compile-commands", &image]),
        words(&["units", &image, "--json"]),
    ]
}

/// What the program says of the units, and keeps.
fn units_with_cache(desk: &Desk, project: &Project) -> serde_json::Value {
    let [.., mut words] = questions(project);
    words.extend(["--cache-dir", "kept"].map(str::to_owned));
    desk.json(words)
}

#[test]
fn a_second_question_is_answered_from_what_was_kept() {
    let Some(project) = Project::build(System::Ninja, &GCC) else { return };
    let desk = Desk::new();
    let ask = |mut words: Vec<String>| {
        words.extend(["--cache-dir", "kept"].map(str::to_owned));
        let end = desk.run(words);
        assert_eq!(end.code, Some(0), "{}", end.error);
        (end.output, end.error)
    };
    let first = questions(&project).map(ask);
    // The first asks for all there is, so that the others are answered too.
    assert_eq!(entries(&desk).len(), 1);
    // With the debug information gone, but as many bytes and the same build-id, nobody could find
    // it out anew. Symbols are looked up each time, in tables that stay.
    blank_debug_information(&project.image);
    let again = questions(&project).map(ask);
    assert_eq!(first, again);
    let [.., mut anew] = questions(&project);
    anew.push("--no-cache".to_owned());
    assert_ne!(desk.run(anew).output, again[5].0);
}

#[test]
fn what_was_kept_and_is_damaged_is_as_good_as_none() {
    let Some(project) = Project::build(System::Ninja, &GCC) else { return };
    let desk = Desk::new();
    let ask = || units_with_cache(&desk, &project);
    let first = ask();
    let [entry] = &*entries(&desk) else { panic!() };
    let whole = fs::read(entry).unwrap();
    for damaged in [&whole[..whole.len() / 2], b"", &vec![0xff; whole.len()]] {
        fs::write(entry, damaged).unwrap();
        assert_eq!(ask(), first);
        assert_eq!(fs::read(entry).unwrap(), whole);
    }
}

#[test]
fn an_image_that_is_linked_anew_under_the_same_identity_is_read_anew() {
    let desk = Desk::new();
    let ask = |header: &str| {
        let end = desk.run(["affected", "image", header, "--cache-dir", "kept"]);
        assert_eq!(end.code, Some(0), "{}", end.error);
        end.output
    };
    for (header, other) in [("a1.h", "a2.h"), ("a2.h", "a1.h")] {
        desk.write(header, "#define MACRO 1\n");
        let source = format!("#include \"{header}\"\nint main(void) {{ return MACRO; }}\n");
        let flags = ["-g3", "-Wl,--build-id=0xdeadbeef"];
        let Some(image) = desk.compile(&source, &flags, "image") else { return };
        assert_eq!(ask(header), "image.c\n");
        assert_eq!(ask(other), "", "{}", image.display());
    }
}

#[test]
fn a_file_that_was_elsewhere_when_it_was_asked_first_is_known_where_it_is_now() {
    let desk = Desk::new();
    for directory in ["real", "work"] {
        fs::create_dir(desk.path(directory)).unwrap();
    }
    let source = desk.write("real/unit.c", "int main(void) { return 0; }\n");
    std::os::unix::fs::symlink("real", desk.path("link")).unwrap();
    let flags = ["-g", "link/unit.c"];
    let Some(_) = desk.compile("", &flags, "image") else { return };
    let ask = || desk.run(["affected", "image", "real/unit.c", "--cache-dir", "kept"]);
    // Then the link led nowhere.
    fs::rename(desk.path("real"), desk.path("away")).unwrap();
    assert_eq!(ask().output, "");
    fs::rename(desk.path("away"), desk.path("real")).unwrap();
    assert!(source.is_file());
    assert_eq!(ask().output, "link/unit.c\n");
}

#[test]
fn a_build_that_changes_what_it_says_is_noticed() {
    let Some(project) = Project::build(System::Ninja, &GCC) else { return };
    let desk = Desk::new();
    let ask = || units_with_cache(&desk, &project);
    let first = ask();
    let manifest = project.build.join("build.ninja");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("-O1", "-O1 -DMORE")).unwrap();
    let second = ask();
    assert_ne!(first, second);
    assert!(second.to_string().contains("-DMORE"));
    // A header that is taken away is not there any more.
    let header = project.path(HEADERS[2].path);
    fs::remove_file(&header).unwrap();
    let third = ask();
    let files =
        third["units"].as_array().unwrap().iter().flat_map(|it| it["files"].as_array().unwrap());
    let gone: Vec<_> = files.filter(|file| file["exists"] == false).collect();
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!(gone[0]["path"], header.to_str().unwrap());
}

fn entries(desk: &Desk) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        fs::read_dir(desk.path("kept")).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn blank_debug_information(image: &Path) {
    let mut bytes = fs::read(image).unwrap();
    let ranges: Vec<(u64, u64)> = {
        let image = elf_sections::Image::parse(&bytes).unwrap();
        let sections = image.sections().iter();
        let debug = sections.filter(|it| it.name.starts_with(b".debug_"));
        debug.map(|it| (it.offset, it.size)).collect()
    };
    assert!(!ranges.is_empty());
    for (offset, size) in ranges {
        bytes[offset as usize..(offset + size) as usize].fill(0);
    }
    let modified = fs::metadata(image).unwrap().modified().unwrap();
    fs::write(image, bytes).unwrap();
    // As if nothing had been written.
    fs::File::options().write(true).open(image).unwrap().set_modified(modified).unwrap();
}
