use std::path::Path;
use std::process::Command;

use crate::desk::Desk;
use crate::elf;

#[test]
fn what_is_no_image_is_an_error_that_says_what_it_is_and_what_to_do() {
    let desk = Desk::new();
    let java = b"\xca\xfe\xba\xbe\0\0\0\x34\0\x10\x0a\0";
    for (name, bytes, words) in [
        ("Guest.class", &java[..], "a Java class of version 52"),
        (
            "libc.so",
            b"/* GNU ld script\n*/\nGROUP ( libc.so.6 )",
            "a linker script: give the library",
        ),
        ("libguest.a", b"!<arch>\n", "`ar x`"),
        ("guest.bc", b"BC\xc0\xde\x35\x14\0\0", "without -flto"),
        ("guest.sh", b"#!/bin/sh\nexec guest\n", "the program that it runs"),
        ("guest.txt", b"hello", "starts with \"hell\" at 0x0"),
        ("empty", b"", "is it still being written"),
        ("blank", &[0; 4096], "is it still being written"),
        ("short", &elf::image()[..40], "is the file still being written or copied?"),
        ("fat", b"\xca\xfe\xba\xbe\0\0\0\x02", "fat header: "),
        ("dos.exe", b"MZ and nothing else, not even a header of 64 bytes", "DOS header: "),
    ] {
        desk.write(name, bytes);
        for command in
            [&["sections"][..], &["sections", "--json"], &["patch", "--dry-run", "--soname=x"]]
        {
            // Of PE images nothing can be changed, whatever is wrong with them.
            if name == "dos.exe" && command[0] == "patch" {
                continue;
            }
            let end = desk.run(command.iter().copied().chain([name]));
            let error = end.failure(1);
            assert!(error.contains(&format!("reloader: {name}: ")), "{error}");
            let is_misplaced = command[0] == "patch" && error.contains("--soname is for ELF");
            assert!(error.contains(words) || is_misplaced, "{name}: {error}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let desk = Desk::new();
    let error = desk.run(["sections", "missing.so"]);
    assert_eq!(
        error.failure(1).trim(),
        "reloader: missing.so: No such file or directory (os error 2)"
    );
    let error = desk.run([Path::new("sections"), desk.path("").as_path()]);
    assert!(error.failure(1).contains("a directory, not an image"), "{}", error.error);
}

#[test]
fn a_pipe_is_not_waited_for_and_a_device_is_not_read() {
    let desk = Desk::new();
    assert!(Command::new("mkfifo").arg(desk.path("pipe")).status().unwrap().success());
    for subcommand in ["sections", "pdb-path", "modules"] {
        for file in ["./pipe", "/dev/zero"] {
            let end = desk.run([subcommand, file]);
            assert!(end.failure(1).contains("a pipe or a device"), "{subcommand}: {}", end.error);
        }
    }
    desk.write("guest.so", elf::image());
    for file in ["./pipe", "/dev/zero"] {
        let end = desk.run(["patch", "--in-place", "--debuglink", file, "guest.so"]);
        assert!(end.failure(1).contains("a pipe or a device"), "{}", end.error);
    }
}

#[test]
fn every_prefix_of_an_image_is_listed_or_named_as_incomplete() {
    let desk = Desk::new();
    let image = elf::image();
    // The tables are at the end: a few lengths of each kind will do for the program as a whole.
    for length in [1, 3, 5, 16, 63, 64, 100, 0x400, 0x2040, image.len() - 64, image.len() - 1] {
        desk.write("guest.so", &image[..length]);
        let end = desk.run(["sections", "guest.so"]);
        let error = end.failure(1);
        let is_known = error.contains("still being written") || error.contains("starts with");
        assert!(is_known, "{length}: {error}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2_and_touches_nothing() {
    let desk = Desk::new();
    let image = elf::image();
    desk.write("guest.so", &image);
    for (arguments, words) in [
        (&["sections"][..], "IMAGE|PID:MODULE"),
        (&["sections", "guest.so", "--what"], "--what"),
        (&["patch", "guest.so"], "what is to be changed"),
        (&["patch", "guest.so", "--soname=a"], "where to?"),
        (&["patch", "guest.so", "--soname=a", "--in-place", "--output=b"], "cannot be used"),
        (&["patch", "guest.so", "--dry-run"], "--dry-run"),
        (&["patch", "guest.so", "--build-id=0", "--dry-run"], "two hexadecimal digits"),
        (&["patch", "guest.so", "--uuid=00", "--dry-run"], "a UUID has 16 bytes"),
        (&["patch", "guest.so", "--replace-needed=a", "--dry-run"], "OLD"),
    ] {
        let end = desk.run(arguments);
        let error = end.failure(2);
        assert!(error.contains(words), "{arguments:?}: {error}");
        assert_eq!(std::fs::read(desk.path("guest.so")).unwrap(), image);
        assert!(!desk.path("b").exists());
    }
}
