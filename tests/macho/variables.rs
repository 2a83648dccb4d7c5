use std::ops::Range;
use std::path::PathBuf;

use macho_sections::sys::{self, Module};
use macho_sections::{Container, FileKind, Image, Reason, SymbolKind};

use reloader_tests::went_through;

use crate::made::Workshop;
use crate::samples::samples;

const LINKED: [&str; 7] = [
    "arm64-dylib",
    "arm64-bundle",
    "arm64-execute",
    "arm64e-dylib",
    "x86_64-dylib",
    "x86_64-bundle",
    "x86_64-execute",
];

fn address_of(image: &Image<'_>, name: &str) -> u64 {
    image.symbol_named(name).unwrap().unwrap_or_else(|| panic!("{name}")).address
}

fn holds(ranges: &[Range<u64>], address: u64, size: u64) -> bool {
    ranges.iter().any(|it| it.start <= address && address + size <= it.end)
}

#[test]
fn every_variable_of_a_guest_is_among_the_variables_and_no_constant_is() {
    let Some(made) = Workshop::new() else { return };
    for name in LINKED {
        let bytes = made.read(name);
        let image = Image::parse(&bytes).unwrap();
        let writable = image.writable();
        assert_eq!(writable.unread, None);
        for (variable, size) in [("_counter", 4), ("_total", 8), ("_zeros", 256)] {
            let address = address_of(&image, variable);
            assert!(holds(&writable.variables, address, size), "{name} {variable}");
        }
        for (word, reason) in [
            ("_pointer", Reason::RelocatedWord),
            ("_function", Reason::RelocatedWord),
            ("_chosen", Reason::RelocatedWord),
            ("_each_thread", Reason::ThreadLocal),
        ] {
            let address = address_of(&image, word);
            assert!(!holds(&writable.variables, address, 1), "{name} {word}");
            let excluded = writable.excluded.iter().find(|it| it.range.contains(&address));
            assert_eq!(excluded.map(|it| it.reason), Some(reason), "{name} {word}");
        }
        let thread_local = writable.thread_local.unwrap();
        assert_eq!(thread_local.template.end - thread_local.template.start, 4);
        assert!(thread_local.size >= 44);
        let state = image.section("__DATA", "__state").unwrap();
        assert_eq!(state.range(), address_of(&image, "_counter")..address_of(&image, "_total") + 8);
        assert_eq!(image.exclusion_of(state), None);
    }
}

#[test]
fn an_object_file_has_its_variables_in_sections_that_name_their_segment() {
    let Some(made) = Workshop::new() else { return };
    for name in ["arm64.o", "arm64e.o", "x86_64.o", "armv7.o", "i386.o", "powerpc.o"] {
        let bytes = made.read(name);
        let image = Image::parse(&bytes).unwrap();
        assert_eq!(image.header().kind, FileKind::OBJECT);
        let [segment] = image.segments() else { panic!("{name}") };
        assert_eq!(segment.name, b"");
        let writable = image.writable();
        let data = image.section("__DATA", "__data").unwrap();
        assert!(holds(&writable.variables, data.address, data.size), "{name}");
        let common = image.section("__DATA", "__common").unwrap();
        assert!(common.is_zero_fill());
        assert!(holds(&writable.variables, common.address, common.size), "{name}");
        if let Some(text) = image.section("__TEXT", "__text") {
            assert_eq!(image.exclusion_of(text), Some(Reason::ReadOnly));
        }
        if let Some(debug) = image.section("__DWARF", "__debug_info") {
            assert_eq!(image.exclusion_of(debug), Some(Reason::NotMapped));
        }
        assert_eq!(image.fixups().count(), 0);
        assert_eq!(writable.thread_local, None);
    }
}

#[test]
fn debugging_information_has_its_own_bytes_and_none_of_the_images() {
    let Some(made) = Workshop::new() else { return };
    let (library, debug) = (made.read("arm64-dylib"), made.read("arm64-debug"));
    let (library, debug) = (Image::parse(&library).unwrap(), Image::parse(&debug).unwrap());
    assert_eq!(debug.header().kind, FileKind::DSYM);
    assert_eq!(debug.uuid(), library.uuid());
    let text = debug.section("__TEXT", "__text").unwrap();
    assert_eq!(debug.section_bytes(text), None);
    assert_eq!(text.range(), library.section("__TEXT", "__text").unwrap().range());
    let line = debug.section("__DWARF", "__debug_line").unwrap();
    assert_eq!(debug.section_bytes(line).unwrap().len() as u64, line.size);
    assert_eq!(debug.exclusion_of(line), Some(Reason::NotMapped));
}

#[test]
fn the_debug_map_has_the_object_file_and_what_it_contributed() {
    let Some(made) = Workshop::new() else { return };
    for name in LINKED {
        let bytes = made.read(name);
        let image = Image::parse(&bytes).unwrap();
        let [object] = &image.debug_map().unwrap()[..] else { panic!("{name}") };
        let arch = name.split('-').next().unwrap();
        assert!(object.object.ends_with(format!("{arch}.o").as_bytes()));
        assert!(object.source.ends_with(b"guest.c"));
        assert_eq!(object.member, None);
        for function in &object.functions {
            let name = String::from_utf8_lossy(function.name);
            let at = image.symbol_at(function.address).unwrap().unwrap();
            assert_eq!(function.address, at.address, "{name}");
            assert!(image.section_at(function.address + function.size - 1).is_some());
        }
        let compute = object.functions.iter().find(|it| it.name == b"_compute").unwrap();
        assert_eq!(compute.address, address_of(&image, "_compute"));
        assert!(compute.size > 0);
        let variable = |name: &[u8]| object.variables.iter().find(|it| it.name == name).unwrap();
        assert_eq!(variable(b"_counter").address, Some(address_of(&image, "_counter")));
        let hidden = variable(b"_hidden_zeros");
        assert!(!hidden.is_global && hidden.address.is_some());
    }
}

/// The samples' own symbols are the judge: whatever symbol lies in a section of variables is in
/// none that is excluded whole.
#[test]
fn the_variables_of_the_samples_are_in_data_bss_and_common() {
    let (mut ranges, mut symbols) = (0, 0);
    for (path, bytes) in samples() {
        for image in Container::parse(&bytes).unwrap().images() {
            let image = image.unwrap();
            let writable = image.writable();
            for name in ["__data", "__bss", "__common"] {
                for section in image.sections_named(name) {
                    let is_data = section.segment_name == b"__DATA";
                    assert_eq!(image.exclusion_of(section).is_none(), is_data, "{path:?}");
                }
            }
            for range in &writable.variables {
                // It may go on from one section into the next.
                for address in [range.start, range.end - 1] {
                    let section = image.section_at(address).unwrap();
                    assert_eq!(image.exclusion_of(section), None);
                    assert!(section.segment_name.starts_with(b"__DATA"));
                }
                ranges += 1;
            }
            for symbol in image.symbols().unwrap() {
                let SymbolKind::Section(Some(index)) = symbol.kind else { continue };
                let section = &image.sections()[index as usize];
                assert!(
                    section.range().contains(&symbol.address)
                        || section.range().end == symbol.address
                        || symbol.name == b"__mh_execute_header"
                        || symbol.name == b"__mh_bundle_header",
                    "{path:?} {}",
                    String::from_utf8_lossy(symbol.name)
                );
                symbols += 1;
            }
        }
    }
    went_through(ranges, 7500, "ranges of variables");
    went_through(symbols, 15_000, "symbols");
}

/// Images mapped as a loader would map them, in this process: each variable is where the module
/// says, with the value that it starts with.
#[test]
fn a_mapped_guest_has_its_state_where_the_module_says() {
    let Some(made) = Workshop::new() else { return };
    for name in LINKED {
        let bytes = made.read(name);
        let image = Image::parse(&bytes).unwrap();
        let range = image.range().unwrap();
        let mut memory = vec![0_u8; (range.end - range.start) as usize];
        for segment in image.segments().iter().filter(|it| it.maximum.0 != 0) {
            let start = (segment.address - range.start) as usize;
            let bytes = image.bytes_at(segment.address, segment.file_size).unwrap();
            memory[start..start + bytes.len()].copy_from_slice(bytes);
        }
        let slide = memory.as_ptr().addr().wrapping_sub(range.start as usize);
        let module = Module::new(&memory, slide, PathBuf::from(name)).unwrap();
        assert_eq!(module.header, memory.as_ptr().addr());
        assert_eq!(module.matches(&image), Some(true));
        let state = sys::locate(&module, image.section("__DATA", "__state").unwrap());
        assert_eq!(module.section("__DATA", "__state"), Some(state.clone()));
        let start = state.start - module.header;
        assert_eq!(memory[start..start + 4], 3_u32.to_le_bytes());
        assert_eq!(memory[start + 8..start + 16], 4_u64.to_le_bytes());
        assert!(module.contains(state.start));
    }
}
