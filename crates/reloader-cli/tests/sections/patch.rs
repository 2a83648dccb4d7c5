use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use reloader_tests::{Tool, tool};
use serde_json::Value;

use crate::desk::{Desk, number};
use crate::elf;

#[test]
fn a_changed_library_says_what_was_wished_and_still_loads() {
    let desk = Desk::new();
    let Some(Tool(readelf)) = tool("readelf") else { return };
    let Some(library) = guest(&desk) else { return };
    let debug = desk.write("libguest.debug", b"123456789");
    let before = fs::read(&library).unwrap();
    let build_id = "00112233445566778899aabbccddeeff00112233";
    let changed = desk.json(
        [
            "patch",
            "--json",
            "--output=another.so",
            "--soname=libanother.so",
            "--needed=libm.so.6",
            "--runpath=$ORIGIN/somewhere/else",
            "--no-unique",
            "--no-nodelete",
            "libguest.so",
            "--build-id",
            build_id,
            "--debuglink",
            debug.to_str().unwrap(),
        ]
        .iter()
        .copied(),
    );
    assert_eq!(fs::read(&library).unwrap(), before);
    let after = fs::read(desk.path("another.so")).unwrap();
    assert_eq!(applied(&before, &changed), after);
    let changes: Vec<[Option<&str>; 3]> = changed["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| ["what", "before", "after"].map(|key| it[key].as_str()))
        .collect();
    assert_eq!(changes[0], ["soname", "libguest.so", "libanother.so"].map(Some));
    assert!(changes.contains(&["unique symbols", "1", "0"].map(Some)), "{changes:?}");
    assert!(changes.contains(&["unloading", "forbidden", "allowed"].map(Some)), "{changes:?}");

    let text = desk.tool(&readelf, ["-dW", "another.so"]);
    for line in [
        "Library soname: [libanother.so]",
        "Library runpath: [$ORIGIN/somewhere/else]",
        "Shared library: [libm.so.6]",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("NODELETE"), "{text}");
    assert!(!desk.tool(&readelf, ["-sW", "another.so"]).contains("UNIQUE"));
    assert!(desk.tool(&readelf, ["-nW", "another.so"]).contains(build_id));
    let link = desk.tool(&readelf, ["--string-dump=.gnu_debuglink", "another.so"]);
    assert!(link.contains("libguest.debug"), "{link}");

    let Some(host) = desk.compile(HOST, &["-ldl"], "host") else { return };
    assert_eq!(desk.tool(&host, ["./another.so"]), "42, and unloaded\n");
    assert_eq!(desk.tool(&host, ["./libguest.so"]), "42, and there to stay\n");
}

#[test]
fn a_debug_link_is_as_another_tool_makes_it() {
    let desk = Desk::new();
    let Some(Tool(objcopy)) = tool("objcopy") else { return };
    let Some(_) = guest(&desk) else { return };
    desk.write("some.debug", vec![7; 100_001]);
    assert_eq!(
        desk.tool(&objcopy, ["--add-gnu-debuglink=some.debug", "libguest.so", "theirs.so"]),
        ""
    );
    let end = desk.run(["patch", "--debuglink=some.debug", "--output=ours.so", "libguest.so"]);
    assert_eq!(end.code, Some(0), "{}", end.error);
    let [ours, theirs] = ["ours", "theirs"].map(|name| {
        let (section, image) =
            (format!("--dump-section=.gnu_debuglink={name}"), format!("{name}.so"));
        desk.tool(&objcopy, [section.as_str(), &image, "/dev/null"]);
        fs::read(desk.path(name)).unwrap()
    });
    assert_eq!(ours, theirs);
}

#[test]
fn a_needed_library_is_replaced_and_one_that_is_not_there_is_an_error_that_lists_them() {
    let desk = Desk::new();
    let Some(Tool(readelf)) = tool("readelf") else { return };
    let Some(_) = guest(&desk) else { return };
    let replace = |old: &str| {
        let new = "libc-of-our-own.so.6";
        desk.run(["patch", "--in-place", "--replace-needed", old, new, "libguest.so"])
    };
    let before = fs::read(desk.path("libguest.so")).unwrap();
    let end = replace("libmissing.so");
    let error = end.failure(1);
    assert!(
        error.contains("libguest.so: no library libmissing.so is needed; it needs "),
        "{error}"
    );
    assert!(error.contains("libc.so.6"), "{error}");
    assert_eq!(fs::read(desk.path("libguest.so")).unwrap(), before);
    assert_eq!(replace("libc.so.6").code, Some(0));
    let text = desk.tool(&readelf, ["-dVW", "libguest.so"]);
    assert!(text.contains("Shared library: [libc-of-our-own.so.6]"), "{text}");
    assert!(!text.contains("libc.so.6"), "{text}");
}

#[test]
fn in_place_the_file_is_another_one_with_the_same_mode_and_a_link_stays() {
    let desk = Desk::new();
    let image = desk.write("guest.so", elf::image());
    fs::set_permissions(&image, fs::Permissions::from_mode(0o750)).unwrap();
    let before = fs::metadata(&image).unwrap();
    std::os::unix::fs::symlink("guest.so", desk.path("link.so")).unwrap();
    for name in ["guest.so", "link.so"] {
        let bytes = fs::read(&image).unwrap();
        fs::write(&image, elf::image()).unwrap();
        let end = desk.run(["patch", "--no-unique", "--in-place", name]);
        assert_eq!(end.code, Some(0), "{}", end.error);
        assert!(end.output.starts_with(&format!("{name}: changed in place\n")), "{}", end.output);
        let after = fs::metadata(&image).unwrap();
        assert_eq!(after.mode(), before.mode());
        assert_ne!(fs::read(&image).unwrap(), elf::image());
        assert!(fs::symlink_metadata(desk.path("link.so")).unwrap().is_symlink());
        drop(bytes);
    }
}

#[test]
fn a_dry_run_shows_all_and_writes_nothing() {
    let desk = Desk::new();
    let image = desk.write("guest.so", elf::image());
    let before = fs::metadata(&image).unwrap();
    let end = desk.run(["patch", "--no-unique", "--dry-run", "guest.so"]);
    assert_eq!(end.code, Some(0), "{}", end.error);
    let lines: Vec<&str> = end.output.lines().map(str::trim).collect();
    assert_eq!(lines[0], "guest.so: would be changed");
    assert!(
        lines.iter().any(|it| it.starts_with("edit  ") && it.ends_with(": a1 -> 11")),
        "{lines:?}"
    );
    let changed = desk.json(["patch", "--json", "--no-unique", "--dry-run", "guest.so"]);
    assert_eq!(changed["output"], Value::Null);
    assert_eq!(applied(&elf::image(), &changed).len(), elf::image().len());
    for destination in ["--in-place", "--output=other.so"] {
        let end = desk.run(["patch", "--no-unique", "--dry-run", destination, "guest.so"]);
        assert_eq!(end.output.lines().next(), Some("guest.so: would be changed"));
    }
    let after = fs::metadata(&image).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    assert_eq!(fs::read_dir(image.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn what_needs_no_change_is_not_written_in_place() {
    let desk = Desk::new();
    let image = desk.write("guest.so", elf::image());
    assert_eq!(desk.run(["patch", "--no-unique", "--in-place", "guest.so"]).code, Some(0));
    let before = fs::metadata(&image).unwrap();
    let end = desk.run(["patch", "--no-unique", "--in-place", "guest.so"]);
    assert!(end.output.starts_with("guest.so: nothing to change\n"), "{}", end.output);
    assert_eq!(fs::metadata(&image).unwrap().ino(), before.ino());
}

#[test]
fn an_option_of_another_format_is_an_error_that_names_the_one_to_use() {
    let desk = Desk::new();
    desk.write("guest.so", elf::image());
    // A Mach-O library without load commands.
    let mut dylib = vec![0xcf, 0xfa, 0xed, 0xfe, 12, 0, 0, 1, 0, 0, 0, 0, 6];
    dylib.resize(32, 0);
    desk.write("guest.dylib", dylib);
    desk.write("guest.dll", "MZ");
    for (file, option, words) in [
        (
            "guest.so",
            "--uuid=0123ABCD-4567-89EF-0011-223344556677",
            "this one is ELF; here it is --build-id",
        ),
        ("guest.so", "--install-name=a", "here it is --soname"),
        ("guest.so", "--rpath=a", "here it is --runpath"),
        ("guest.dylib", "--soname=a", "this one is Mach-O; here it is --install-name"),
        ("guest.dylib", "--runpath=a", "here it is --rpath"),
        ("guest.dylib", "--build-id=00", "here it is --uuid"),
        ("guest.dylib", "--no-unique", "--no-unique is for ELF images, and this one is Mach-O"),
        ("guest.dll", "--soname=a", "reloader pdb-path"),
    ] {
        let end = desk.run(["patch", "--in-place", option, file]);
        let error = end.failure(1);
        assert!(error.starts_with(&format!("reloader: {file}: ")), "{error}");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn what_an_image_lacks_is_said_with_the_cure() {
    let desk = Desk::new();
    desk.write("guest.so", elf::image());
    for (option, words) in [
        ("--build-id=00", "the image has no build ID; link with -Wl,--build-id"),
        ("--soname=a", "the image has no dynamic table: it is linked statically"),
        ("--debuglink=missing.debug", "missing.debug: No such file"),
    ] {
        let end = desk.run(["patch", "--in-place", option, "guest.so"]);
        let error = end.failure(1);
        assert!(error.starts_with("reloader: guest.so: "), "{error}");
        assert!(error.contains(words), "{error}");
    }
    let Some(_) = guest(&desk) else { return };
    let end = desk.run(["patch", "--in-place", "--build-id=00", "libguest.so"]);
    assert!(end.failure(1).contains("another build ID must have as many bytes"), "{}", end.error);
}

/// The image with the reported edits made, which must fit it.
fn applied(image: &[u8], changed: &Value) -> Vec<u8> {
    let bytes = |text: &Value| -> Vec<u8> {
        let text = text.as_str().unwrap();
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    };
    let mut image = image.to_vec();
    let edits = changed["edits"].as_array().unwrap();
    assert!(!edits.is_empty());
    for edit in edits {
        let (start, old, new) =
            (number(edit, "offset") as usize, bytes(&edit["old"]), bytes(&edit["new"]));
        assert_eq!(image[start..start + old.len()], old);
        image[start..start + new.len()].copy_from_slice(&new);
    }
    if let Some(tail) = changed.get("tail").filter(|it| it.is_object()) {
        assert_eq!(number(tail, "offset") as usize, image.len());
        image.extend(bytes(&tail["new"]));
    }
    image
}

/// A library with a unique symbol that does not want to be unloaded; nothing if there is no
/// compiler.
fn guest(desk: &Desk) -> Option<PathBuf> {
    let flags = [
        "-shared",
        "-fPIC",
        "-Wl,-soname,libguest.so",
        "-Wl,-z,nodelete",
        "-Wl,--build-id=sha1",
        "-Wl,--no-as-needed",
    ];
    desk.compile_with(&["g++"], "cpp", GUEST, &flags, "libguest.so")
}

const GUEST: &str = r#"
#include <stdlib.h>
inline int &answer() { static int value = 42; return value; }
extern "C" int cr_main() { return abs(answer()); }
"#;

const HOST: &str = r#"
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **paths)
{
    void *library = dlopen(paths[count - 1], RTLD_NOW);
    if (!library) {
        puts(dlerror());
        return 1;
    }
    int answer = ((int (*)(void))dlsym(library, "cr_main"))();
    dlclose(library);
    int is_there = dlopen(paths[count - 1], RTLD_NOW | RTLD_NOLOAD) != NULL;
    printf("%d, and %s\n", answer, is_there ? "there to stay" : "unloaded");
    return 0;
}
"#;
