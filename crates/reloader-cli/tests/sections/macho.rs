use std::path::{Path, PathBuf};

use macho_sections::{Container, Image};
use reloader_tests::{Tool, tool_of};
use serde_json::Value;

use crate::desk::{Desk, named, number};

#[test]
fn segments_and_sections_are_as_another_reader_says() {
    let desk = Desk::new();
    let Some(Tool(objdump)) = tool_of(&["llvm-objdump-19", "llvm-objdump"]) else { return };
    for target in TARGETS {
        let Some(library) = library(&desk, target) else { return };
        let image = desk.json(["sections".as_ref(), "--json".as_ref(), library.as_os_str()]);
        assert_eq!(image["format"], "mach-o");
        assert_eq!(image["class"], 64);
        assert_eq!(image["machine"], target.machine);
        let text = desk.tool(
            &objdump,
            ["--macho", "--private-headers", "--non-verbose"]
                .map(Path::new)
                .into_iter()
                .chain([library.as_path()]),
        );
        let theirs = commands(&text, "cmd LC_SEGMENT_64", "segname", 4);
        let ours: Vec<_> = image["segments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                let name = it["name"].as_str().unwrap().to_owned();
                let numbers = ["address", "memory_size", "file_offset", "file_size"];
                (name, numbers.map(|key| number(it, key)).to_vec())
            })
            .collect();
        assert_eq!(ours, theirs, "{}", target.machine);

        let theirs = commands(&text, "Section", "sectname", 3);
        let ours: Vec<_> = image["sections"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                let name = it["name"].as_str().unwrap().to_owned();
                (name, ["address", "size", "file_offset"].map(|key| number(it, key)).to_vec())
            })
            .collect();
        assert_eq!(ours, theirs, "{}", target.machine);

        let sections = &image["sections"];
        assert_eq!(named(sections, "__state")[0]["segment"], "__DATA");
        assert_eq!(named(sections, "__state")[0]["excluded"], Value::Null);
        assert_eq!(named(sections, "__bss")[0]["file_size"], 0);
        assert_eq!(named(sections, "__thread_data")[0]["excluded"], "thread-local");
        let constant = named(sections, "__mod_init_func")[0];
        assert_eq!(constant["excluded"], "read-only-after-relocation");
        assert_eq!(named(sections, "__text")[0]["excluded"], "read-only");
    }
}

#[test]
fn the_images_of_a_fat_file_are_listed_each_with_offsets_in_the_file() {
    let desk = Desk::new();
    for (flag, format) in [(None, "fat"), (Some("-fat64"), "fat64")] {
        let Some((fat, thin)) = fat(&desk, flag) else { return };
        let listed = desk.json(["sections".as_ref(), "--json".as_ref(), fat.as_os_str()]);
        assert_eq!(listed["format"], format);
        assert_eq!(
            listed.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["file", "format", "slices"]
        );
        let slices = listed["slices"].as_array().unwrap();
        assert_eq!(slices.len(), thin.len());
        let bytes = std::fs::read(&fat).unwrap();
        for path in &thin {
            let alone = desk.json(["sections".as_ref(), "--json".as_ref(), path.as_os_str()]);
            let slice = slices.iter().find(|it| it["machine"] == alone["machine"]).unwrap();
            assert_eq!(slice["format"], "mach-o");
            let offset = number(slice, "offset") as usize;
            let image = &bytes[offset..][..number(slice, "size") as usize];
            assert_eq!(image, std::fs::read(path).unwrap());
            let (state, own) =
                (named(&slice["sections"], "__state")[0], named(&alone["sections"], "__state")[0]);
            assert_eq!(number(state, "file_offset"), number(own, "file_offset") + offset as u64);
            assert_eq!(state["address"], own["address"]);
        }
        let text = desk.run(["sections".as_ref(), fat.as_os_str()]).output;
        assert!(text.contains(": 2 images\n"), "{text}");
    }
}

#[test]
fn a_slice_that_is_no_image_does_not_hide_the_others() {
    let desk = Desk::new();
    let Some((fat, _)) = fat(&desk, None) else { return };
    let mut bytes = std::fs::read(&fat).unwrap();
    let offset = Container::parse(&bytes).unwrap().slices()[0].offset as usize;
    bytes[offset..offset + 8].copy_from_slice(b"!<arch>\n");
    desk.write("half", bytes);
    let end = desk.run(["sections", "--json", "half"]);
    assert_eq!(end.code, Some(1));
    assert!(end.error.contains("half: 1 of 2 slices are no images"), "{}", end.error);
    let listed: Value = serde_json::from_str(&end.output).unwrap();
    let error = listed["slices"][0]["error"].as_str().unwrap();
    let place = format!("slice x86_64 at {offset:#x}: not a Mach-O image");
    assert!(error.starts_with(&place), "{error}");
    assert!(!listed["slices"][1]["sections"].as_array().unwrap().is_empty());
}

#[test]
fn changed_images_say_what_was_wished_and_every_page_has_its_hash() {
    let desk = Desk::new();
    let Some(Tool(objdump)) = tool_of(&["llvm-objdump-19", "llvm-objdump"]) else { return };
    let Some((fat, thin)) = fat(&desk, None) else { return };
    for file in std::iter::once(&fat).chain(&thin) {
        let before = std::fs::read(file).unwrap();
        let changed = desk.json(
            ["patch", "--json", "--output=changed", "--uuid", UUID, "--rpath=@loader_path/../lib"]
                .iter()
                .map(std::ffi::OsStr::new)
                .chain(["--install-name=@rpath/libanother.dylib".as_ref(), file.as_os_str()]),
        );
        let after = std::fs::read(desk.path("changed")).unwrap();
        assert_eq!(std::fs::read(file).unwrap(), before);
        let images = Container::parse(&after).unwrap().images().count();
        assert_eq!(changed["changes"].as_array().unwrap().len(), 3 * images);
        for image in Container::parse(&after).unwrap().images() {
            let image = image.unwrap();
            assert_eq!(image.install_name(), Some(&b"@rpath/libanother.dylib"[..]));
            check_signature(&image);
        }
        let text = desk.tool(
            &objdump,
            ["--macho", "--private-headers", "--arch=all", "changed"].map(Path::new),
        );
        let count = |line: &str| text.lines().filter(|it| it.trim() == line).count();
        assert_eq!(count(&format!("uuid {UUID}")), images);
        assert_eq!(count("name @rpath/libanother.dylib (offset 24)"), images);
        assert_eq!(count("path @loader_path/../lib (offset 12)"), images);

        // One change after the other comes to the same as all in one.
        let file = desk.write("step", &before);
        for option in [
            ["--uuid", UUID],
            ["--install-name", "@rpath/libanother.dylib"],
            ["--rpath", "@loader_path/../lib"],
        ] {
            let end = desk.run(["patch", "--in-place", option[0], option[1], "step"]);
            assert_eq!(end.code, Some(0), "{}", end.error);
            assert!(end.output.starts_with("step: changed in place\n"), "{}", end.output);
        }
        assert_eq!(std::fs::read(file).unwrap(), after);
    }
}

#[test]
fn what_one_image_of_a_fat_file_cannot_have_none_gets() {
    let desk = Desk::new();
    let Some(Tool(lipo)) = tool_of(&["llvm-lipo-19", "llvm-lipo"]) else { return };
    let thin: Option<Vec<PathBuf>> = TARGETS.iter().map(|it| library(&desk, it)).collect();
    let Some(thin) = thin else { return };
    let end = desk.run(["patch", "--in-place", "--rpath=/only", "arm64.dylib"]);
    assert_eq!(end.code, Some(0), "{}", end.error);
    let arguments = ["-create", "-output", "fat.dylib"].map(PathBuf::from);
    desk.tool(&lipo, arguments.into_iter().chain(thin));
    let before = std::fs::read(desk.path("fat.dylib")).unwrap();
    let end = desk.run(["patch", "--in-place", "--remove-rpath=/only", "fat.dylib"]);
    let words = "fat.dylib: the x86_64 image: the image has no run path";
    assert!(end.failure(1).contains(words), "{}", end.error);
    assert_eq!(std::fs::read(desk.path("fat.dylib")).unwrap(), before);
}

#[test]
fn run_paths_are_replaced_and_removed() {
    let desk = Desk::new();
    let Some(library) = library(&desk, &TARGETS[0]) else { return };
    let name = library.file_name().unwrap().to_str().unwrap();
    let rpaths = |name: &str| -> Vec<String> {
        let bytes = std::fs::read(desk.path(name)).unwrap();
        let image = Image::parse(&bytes).unwrap();
        image.rpaths().map(|it| String::from_utf8(it.to_vec()).unwrap()).collect()
    };
    let patch = |arguments: &[&str]| {
        desk.run(["patch", "--in-place"].iter().chain(arguments).copied().chain([name]))
    };
    assert_eq!(patch(&["--rpath=/a", "--rpath=/b"]).code, Some(0));
    assert_eq!(rpaths(name), ["/a", "/b"]);
    assert_eq!(patch(&["--replace-rpath", "/a", "/c", "--remove-rpath=/b"]).code, Some(0));
    assert_eq!(rpaths(name), ["/c"]);
    let error = patch(&["--remove-rpath=/b"]);
    let words = "the image has no such run path; it has /c";
    assert!(error.failure(1).contains(words), "{}", error.error);
    let error = patch(&["--replace-rpath", "nope", "/d"]);
    assert!(error.failure(1).contains(words), "{}", error.error);
    assert_eq!(patch(&["--remove-rpath=/c"]).code, Some(0));
    let error = patch(&["--remove-rpath=/c"]);
    assert!(error.failure(1).contains("the image has no run path"), "{}", error.error);
    assert_eq!(patch(&["--rpath=/c"]).code, Some(0));
    let long = format!("--rpath=/{}", "a".repeat(100_000));
    let error = patch(&[&long]);
    assert!(error.failure(1).contains("a shorter name may fit"), "{}", error.error);
    assert_eq!(rpaths(name), ["/c"]);
}

fn check_signature(image: &Image<'_>) {
    if image.header().cpu != macho_sections::Cpu::ARM64 {
        return;
    }
    let verified = image.verify_signature().unwrap().expect("the linker signs for arm64");
    assert!(verified.pages > 0);
    assert!(verified.bad_pages.is_empty(), "{:?}", verified.bad_pages);
}

/// What `llvm-objdump` prints of each segment or section behind the line that starts it: the name,
/// and so many numbers behind the line with the segment's name.
fn commands(text: &str, start: &str, name: &str, count: usize) -> Vec<(String, Vec<u64>)> {
    let word = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while lines.any(|line| line == start) {
        let named = lines.find(|line| line.starts_with(name)).unwrap();
        let numbers = lines.by_ref().filter(|line| !line.starts_with("segname"));
        found.push((word(named), numbers.take(count).map(|line| parsed(&word(line))).collect()));
    }
    found
}

fn parsed(number: &str) -> u64 {
    match number.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => number.parse().unwrap(),
    }
}

/// A library for a processor, linked by LLVM's linker; nothing if the tools are missing.
fn library(desk: &Desk, target: &Target) -> Option<PathBuf> {
    let Tool(linker) = tool_of(&["ld64.lld-19", "ld64.lld"])?;
    let object = format!("{}.o", target.architecture);
    let flags = ["-c", "-target", target.triple];
    desk.compile_with(&["clang-19", "clang"], "c", SOURCE, &flags, &object)?;
    let name = format!("{}.dylib", target.architecture);
    let arguments =
        ["-dylib", "-arch", target.architecture, "-platform_version", "macos", "11", "11"];
    let rest = ["-install_name", "libguest.dylib", "-headerpad", "0x200", "-o", &name, &object];
    // Where thread-local variables come from: the system's library, which is not here.
    let rest = rest.iter().chain(&["-undefined", "dynamic_lookup"]);
    desk.tool(&linker, arguments.iter().chain(rest));
    Some(desk.path(&name))
}

/// A fat file with a library for each processor, and those.
fn fat(desk: &Desk, flag: Option<&str>) -> Option<(PathBuf, Vec<PathBuf>)> {
    let Tool(lipo) = tool_of(&["llvm-lipo-19", "llvm-lipo"])?;
    let thin: Option<Vec<PathBuf>> = TARGETS.iter().map(|it| library(desk, it)).collect();
    let thin = thin?;
    let fat = desk.path("fat.dylib");
    let arguments = flag.into_iter().chain(["-create", "-output", "fat.dylib"]).map(PathBuf::from);
    desk.tool(&lipo, arguments.chain(thin.iter().cloned()));
    Some((fat, thin))
}

struct Target {
    architecture: &'static str,
    triple: &'static str,
    machine: &'static str,
}

const TARGETS: &[Target] = &[
    Target { architecture: "arm64", triple: "arm64-apple-macos11", machine: "arm64" },
    Target { architecture: "x86_64", triple: "x86_64-apple-macos11", machine: "x86_64" },
];

const UUID: &str = "0123ABCD-4567-89EF-0011-223344556677";

const SOURCE: &str = r#"
__attribute__((section("__DATA,__state"))) int counter = 3;
static int table[40] = {1};
static char buffer[500];
_Thread_local int each = 4;
int common[300];
__attribute__((constructor)) static void begin(void) { counter++; }
int cr_main(void) { return counter += each + table[3] + buffer[3] + common[2]; }
"#;
