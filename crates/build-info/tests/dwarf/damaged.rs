//! Images that are cut short or damaged: an error or a remark, and never much memory.

use std::path::Path;

use build_info::oracle::dwarf_read;

use crate::dice::Dice;
use crate::heap;
use crate::mutant::{debug_sections, mutant};
use crate::workshop::Workshop;

/// What anything small may take at once.
const MOST: usize = 64 << 20;

#[test]
fn every_prefix_of_an_image_is_incomplete() {
    let workshop = Workshop::new();
    workshop.write("small.c", "int main(void) { return 0; }\n");
    let command = "gcc -g -nostdlib -static -Wl,--build-id=none -e main small.c -o image";
    if workshop.run(command).is_none() {
        return;
    }
    let image = std::fs::read(workshop.at("image")).expect("an image");
    let questions = build_info::Questions::ALL;
    build_info::elf::read(&image, &questions).expect("the whole image");
    for end in 0..image.len() {
        let (result, bytes) =
            heap::most_during(|| build_info::elf::read(&image[..end], &questions));
        let error = result.expect_err("a prefix");
        assert!(error.is_incomplete(), "{end} bytes: {error}");
        assert!(bytes < MOST, "{bytes} bytes for {end}");
        if end % 16 == 0 {
            dwarf_read(&image[..end]);
        }
    }
}

#[test]
fn every_prefix_of_a_mach_o_image_can_be_read_as_far_as_it_goes() {
    let workshop = Workshop::new();
    let Some(image) = library(&workshop) else { return };
    for end in 0..image.len() {
        if end % 8 == 0 || end < 4096 {
            let (_, bytes) = heap::most_during(|| dwarf_read(&image[..end]));
            assert!(bytes < MOST, "{bytes} bytes for {end}");
        }
    }
}

#[test]
fn five_thousand_mutants_do_no_harm() {
    let workshop = Workshop::new();
    let mut images: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, path: &Path| {
        images.push((name.to_owned(), std::fs::read(path).expect("an image")));
    };
    for (compiler, options, link) in [
        ("g++", "-g3", ""),
        ("g++", "-gdwarf-3 -gstrict-dwarf -g3", ""),
        ("g++", "-g -O2 -flto", "-g -O2 -flto"),
        ("g++", "-g -gdwarf64 -fdebug-types-section", ""),
        ("clang++-14", "-gdwarf-4 -ffunction-sections", "-fuse-ld=gold"),
        ("clang++-19", "-g -fdebug-macro -grecord-command-line", ""),
        ("clang++-19", "-g -gsplit-dwarf", ""),
        ("g++", "-g -m32", "-m32 -nostdlib -Wl,-e,main"),
    ] {
        if let Some(image) = workshop.build(compiler, options, link) {
            add(&format!("{compiler} {options}"), &image);
            for tool in [
                "objcopy --compress-debug-sections=zlib",
                "llvm-objcopy-19 --compress-debug-sections=zstd",
            ] {
                if workshop.run(&format!("{tool} image packed")).is_some() {
                    add(&format!("{compiler} {options}, {tool}"), &workshop.at("packed"));
                }
            }
            if options.contains("split") {
                add("a split file", &workshop.at("main.dwo"));
            }
        }
    }
    if let Some(image) = library(&workshop) {
        images.push(("Mach-O".to_owned(), image));
        if workshop.run("dsymutil-19 --flat library -o library.dwarf").is_some() {
            let dsym = std::fs::read(workshop.at("library.dwarf")).expect("a dSYM");
            images.push(("dSYM".to_owned(), dsym));
        }
    }
    if images.is_empty() {
        return;
    }
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let each = 5_000_usize.div_ceil(images.len());
    for (name, image) in &images {
        dwarf_read(image);
        let places = debug_sections(image);
        for number in 0..each {
            let mutant = mutant(image, &places, &mut dice);
            let (_, bytes) = heap::most_during(|| dwarf_read(&mutant));
            assert!(bytes < MOST, "{bytes} bytes for mutant {number} of {name}");
        }
    }
}

#[test]
fn a_small_section_that_unpacks_to_much_is_refused() {
    let workshop = Workshop::new();
    let Some(image) = workshop.build("g++", "-g", "") else { return };
    // A gigabyte of zeros where the units are described.
    let zeros = std::fs::File::create(workshop.at("zeros")).expect("a file");
    zeros.set_len(1 << 30).expect("a sparse file");
    let tool = "objcopy --remove-section=.debug_info image bare";
    if workshop.run(tool).is_none() {
        return;
    }
    let command = "objcopy --add-section .debug_info=zeros \
                   --set-section-flags .debug_info=readonly,debug bare huge";
    workshop.run(command).expect("objcopy is there");
    for (kind, tool) in [("zlib", "objcopy"), ("zstd", "llvm-objcopy-19")] {
        let command = format!("{tool} --compress-debug-sections={kind} huge trap");
        if workshop.run(&command).is_none() {
            continue;
        }
        let trap = std::fs::read(workshop.at("trap")).expect("an image");
        assert!(trap.len() < 4 << 20);
        let questions = build_info::Questions::ALL;
        let (info, bytes) = heap::most_during(|| build_info::read(&trap, &questions));
        let info = info.expect("an image");
        assert!(!info.remarks.is_empty());
        assert!(bytes < MOST, "{bytes} bytes");
        drop(image.clone());
    }
}

#[test]
fn the_regressions_of_the_fuzzer_are_read() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/regressions/dwarf_read");
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        dwarf_read(&std::fs::read(path).expect("an input"));
    }
}

fn library(workshop: &Workshop) -> Option<Vec<u8>> {
    let compile = "clang++-19 -target arm64-apple-macos12 -g -Iinclude -c";
    workshop.run(&format!("{compile} main.cc -o main.o"))?;
    workshop.run(&format!("{compile} src/part.cc -o part.o"))?;
    workshop.run(
        "ld64.lld-19 -arch arm64 -platform_version macos 12 12 -dylib -undefined dynamic_lookup \
         main.o part.o -o library",
    )?;
    Some(std::fs::read(workshop.at("library")).expect("an image"))
}
