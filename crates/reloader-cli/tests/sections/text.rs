use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::desk::{Desk, program};
use crate::elf;
use crate::terminal::{all_of, terminal};

#[test]
fn tables_and_map_are_as_they_have_been_looked_at() {
    let desk = Desk::new();
    desk.write("guest.so", elf::image());
    for (golden, arguments) in [
        ("plain", &["sections", "guest.so"][..]),
        ("writable", &["sections", "guest.so", "--writable"]),
        ("symbols", &["sections", "guest.so", "--writable", "--symbols"]),
    ] {
        let end = desk.run(arguments);
        assert_eq!(end.code, Some(0), "{}", end.error);
        assert_eq!(end.error, "");
        check(golden, &end.output);
        for line in end.output.lines() {
            assert!(line.chars().count() <= 80, "{golden}: {line}");
            assert_eq!(line, line.trim_end(), "{golden}");
        }
    }
}

#[test]
fn on_a_terminal_the_same_text_has_colours() {
    let desk = Desk::new();
    let image = desk.write("guest.so", elf::image());
    let directory = image.parent().unwrap();
    let (terminal, side) = terminal();
    let mut command = program();
    command.current_dir(directory).args(["sections", "guest.so"]).stdout(Stdio::from(side));
    let mut child = command.spawn().unwrap();
    // The program's side of the terminal is open in the command too.
    drop(command);
    let text = all_of(terminal).replace("\r\n", "\n");
    assert!(child.wait().unwrap().success());
    check("coloured", &text);
    let plain = desk.run(["sections", "guest.so"]).output;
    assert_eq!(without_colours(&text), plain);
}

#[test]
fn names_of_an_image_do_not_reach_the_terminal_as_commands() {
    let desk = Desk::new();
    let mut sections = elf::SECTIONS.to_vec();
    sections[9].0 = "\x1b[2J\u{9b}.state\r";
    desk.write("guest.so", elf::named(&sections));
    for arguments in [&["sections", "guest.so"][..], &["sections", "guest.so", "--writable"]] {
        let end = desk.run(arguments);
        assert!(!end.output.contains(['\x1b', '\u{9b}', '\r']), "{:?}", end.output);
        assert!(end.output.contains("\\u{1b}[2J\\u{9b}.state\\r"), "{}", end.output);
    }
    let listed = desk.json(["sections", "guest.so", "--json"]);
    assert_eq!(listed["sections"][8]["name"], sections[9].0);
}

#[test]
fn a_file_that_is_cut_short_is_listed_with_what_is_missing() {
    let desk = Desk::new();
    // The section headers lie before a part that is not there.
    let mut sections = elf::SECTIONS.to_vec();
    sections[11].5 = 0x10_0000;
    desk.write("guest.so", elf::named(&sections));
    let end = desk.run(["sections", "guest.so"]);
    assert_eq!(end.code, Some(0), "{}", end.error);
    assert!(end.output.contains("section: 0x100000 bytes wanted at 0x200"), "{}", end.output);
    let end = desk.run(["sections", "guest.so", "--json"]);
    assert!(end.error.contains("0x100000 bytes wanted at 0x200"), "{}", end.error);
    assert_eq!(end.json()["sections"][10]["size"], 0x10_0000);
}

#[test]
fn of_an_unknown_processor_it_is_said_that_its_relocations_are() {
    let desk = Desk::new();
    let source = "int one; int *to_one = &one;";
    let Some(library) = desk.compile(source, &["-shared", "-fPIC"], "libone.so") else { return };
    assert_eq!(desk.run(["sections", "--writable", "libone.so"]).error, "");
    let mut bytes = fs::read(&library).unwrap();
    // e_machine.
    bytes[18..20].copy_from_slice(&0x1234_u16.to_le_bytes());
    fs::write(&library, bytes).unwrap();
    let words = "may count as variables: the relocations of machine 0x1234 are not known";
    let end = desk.run(["sections", "libone.so"]);
    assert!(end.output.contains(words), "{}", end.output);
    let end = desk.run(["sections", "--writable", "--json", "libone.so"]);
    assert!(end.error.contains(words), "{}", end.error);
    assert_eq!(end.json()["machine"], "machine 0x1234");
}

#[test]
fn an_image_of_thousands_of_pieces_has_a_map_of_a_few_rows() {
    let desk = Desk::new();
    // 2,000 segments of a page each, a megabyte apart.
    let mut image = elf::image()[..64].to_vec();
    image[40..48].fill(0);
    image[56..58].copy_from_slice(&2000_u16.to_le_bytes());
    image[58..64].fill(0);
    for index in 0..2000_u64 {
        image.extend([1_u32, 6].map(u32::to_le_bytes).concat());
        let words = [0, index << 20, index << 20, 0, 0x1000, 0x1000];
        image.extend(words.map(u64::to_le_bytes).concat());
    }
    desk.write("core", image);
    let output = desk.run(["sections", "core", "--writable"]).output;
    let map = output.split("  the image, ").nth(1).unwrap();
    assert!(map.lines().count() < 100, "{map}");
    assert!(map.contains("more rows"), "{map}");
}

/// Compares with a golden file; with `UPDATE_FIXTURES=1` it is written anew.
fn check(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("tests/sections/goldens").join(name).with_extension("txt");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(text, golden, "{}", path.display());
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('m').expect("a colour").1);
    std::iter::once(first.as_str()).chain(rest).collect()
}
