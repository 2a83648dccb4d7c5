use std::path::Path;
use std::process::Command;

use elf_sections::{Class, Image};
use reloader_tests::tool;

use crate::workshop::Workshop;

/// What eu-elflint finds wrong with a file; `None`, and a line about it, if there is no such tool.
fn complaints(path: &Path) -> Option<Vec<String>> {
    tool("eu-elflint")?;
    let output = Command::new("eu-elflint").arg("--gnu-ld").arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().filter(|line| *line != "No errors").map(str::to_owned).collect())
}

/// What eu-elflint finds wrong with a changed file and not with the one it was made from. Numbers
/// do not count: of sections that were wrong before there may be more.
pub fn new_complaints(before: &Path, after: &Path) -> Option<Vec<String>> {
    let without_numbers =
        |line: &String| -> String { line.chars().filter(|it| !it.is_ascii_hexdigit()).collect() };
    let old: Vec<String> = complaints(before)?.iter().map(without_numbers).collect();
    let bytes = std::fs::read(after).unwrap();
    let image = Image::parse(&bytes).unwrap();
    let mut new = complaints(after)?;
    new.retain(|line| !old.contains(&without_numbers(line)) && !is_mistaken(&image, line));
    Some(new)
}

/// Whether the tool complains of a word that lies where it may be written.
///
/// elfutils 0.188 takes the size of the symbol whose address is written for the size of what is
/// written (`check_one_reloc`). So it sees a pointer to a large variable reach into the read-only
/// segment that comes next, a page or more behind it.
fn is_mistaken(image: &Image<'_>, line: &str) -> bool {
    let Some(place) =
        line.strip_suffix(": read-only section modified but text relocation flag not set")
    else {
        return false;
    };
    let (section, index) = place.rsplit_once("': relocation ").unwrap();
    let section = section.split(['[', ']']).nth(1).unwrap().trim().parse::<usize>().unwrap();
    let section = &image.sections()[section];
    let entry = index.parse::<usize>().unwrap() * section.entry_size as usize;
    let entry = &image.section_bytes(section).unwrap()[entry..];
    let (word, symbol) = match image.header().class {
        Class::Elf32 => (4, u32::from_le_bytes(entry[4..8].try_into().unwrap()) >> 8),
        Class::Elf64 => (8, u32::from_le_bytes(entry[12..16].try_into().unwrap())),
    };
    let mut address = [0; 8];
    address[..word].copy_from_slice(&entry[..word]);
    let address = u64::from_le_bytes(address);
    let size = image.dynamic_symbol(symbol).unwrap().size;
    let mut loads = image.segments().iter().filter(|it| it.is_load());
    let is_writable = image
        .segment_at(address)
        .is_some_and(|it| it.permissions.is_writable() && it.contains(address, word as u64));
    is_writable
        && loads.any(|it| {
            !it.permissions.is_writable()
                && address + (word as u64) <= it.address
                && it.address <= address + size
        })
}

/// No plan has touched it: the linker alone put constants behind the variables.
#[test]
fn the_complaint_that_is_allowed_is_made_of_what_gnu_ld_links() {
    let workshop = Workshop::new();
    let source = "int large[3000] = {1}; int *to_large = large;
                  __attribute__((section(\".late\"))) const int late[4] = {1};
                  int value(void) { return *to_large + late[1]; }";
    let command = ["gcc", "-shared", "-fPIC", "-fuse-ld=bfd", "-Wl,--section-start=.late=0x8000"];
    let Some(path) = workshop.compile("late.so", source, &command) else { return };
    let Some(all) = complaints(&path) else { return };
    let bytes = std::fs::read(&path).unwrap();
    let image = Image::parse(&bytes).unwrap();
    // A later elfutils may know better.
    println!("{} complaints", all.len());
    assert!(all.len() <= 1 && all.iter().all(|line| is_mistaken(&image, line)), "{all:#?}");
    // It is not allowed of a word that does lie among constants, nor of any other relocation.
    let index = |line: &str| -> usize {
        line.rsplit(": relocation ").next().unwrap().split(':').next().unwrap().parse().unwrap()
    };
    for line in all {
        let number = index(&line);
        let other = line.replace(&format!("relocation {number}:"), "relocation 0:");
        assert!(!is_mistaken(&image, &other), "{other}");
        let section = image.sections().iter().find(|it| it.name == b".rela.dyn").unwrap();
        let place = section.offset as usize + number * 24;
        let mut damaged = bytes.clone();
        damaged[place..place + 8].copy_from_slice(&0x8000_u64.to_le_bytes());
        assert!(!is_mistaken(&Image::parse(&damaged).unwrap(), &line), "{line}");
    }
}
