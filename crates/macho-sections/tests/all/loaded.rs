use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use macho_sections::sys::{self, Module, Modules, Registry};
use macho_sections::{Container, Image};

use crate::maker::{BASE, DATA, Encoding, FORMS, LITTLE_64, UUID, library};

/// What a loader would have in memory: the header and the commands, and nothing of the file's end.
fn loaded(slide: usize, path: &str) -> Module {
    let made = library(LITTLE_64, Encoding::Opcodes, &[]).bytes;
    Module::new(&made[..0x800], slide, PathBuf::from(path)).unwrap()
}

#[test]
fn sections_are_where_the_slide_puts_them() {
    let module = loaded(0x7000_0000, "/lib/one.dylib");
    assert_eq!(module.header, 0x7000_0000 + BASE as usize);
    assert_eq!(module.uuid, Some(UUID));
    let data = 0x7000_0000 + DATA as usize;
    assert_eq!(module.section("__DATA", "__data"), Some(data..data + 0x80));
    assert_eq!(module.section("__DATA", "__nothing"), None);
    assert!(module.contains(data + 0x1ff) && !module.contains(data + 0x200));
    // The tables are in memory too, and belong to every image of a shared cache alike.
    assert!(!module.contains(0x7000_0000 + BASE as usize + 0x10000));

    let made = library(LITTLE_64, Encoding::Opcodes, &[]).bytes;
    let image = Image::parse(&made).unwrap();
    assert_eq!(module.matches(&image), Some(true));
    let bss = image.section("__DATA", "__bss").unwrap();
    assert_eq!(sys::locate(&module, bss), data + 0x140..data + 0x1e0);
}

#[test]
fn an_image_that_was_moved_down_wraps_around() {
    let slide = 0_usize.wrapping_sub(0x8000);
    let module = loaded(slide, "/lib/low.dylib");
    assert_eq!(module.header, BASE as usize - 0x8000);
    assert_eq!(module.address(DATA), DATA as usize - 0x8000);
}

/// An image as a loader would map it: each segment's bytes at its address, zeros behind.
#[test]
fn a_mapped_copy_has_its_variables_where_the_module_says() {
    for form in FORMS {
        let made = library(form, Encoding::Opcodes, &[]).bytes;
        let container = Container::parse(&made).unwrap();
        let image = container.images().next().unwrap().unwrap();
        let range = image.range().unwrap();
        let mut memory = vec![0xee_u8; (range.end - range.start) as usize];
        for segment in image.segments() {
            let start = (segment.address - range.start) as usize;
            let bytes = image.bytes_at(segment.address, segment.file_size).unwrap();
            let place = &mut memory[start..start + segment.memory_size as usize];
            place.fill(0);
            place[..bytes.len()].copy_from_slice(bytes);
        }
        let slide = memory.as_ptr().addr().wrapping_sub(range.start as usize);
        let module = Module::new(&memory, slide, PathBuf::new()).unwrap();
        assert_eq!(module.header, memory.as_ptr().addr());
        for section in image.sections() {
            let place = sys::locate(&module, section);
            let start = place.start - memory.as_ptr().addr();
            let found = &memory[start..start + place.len()];
            match image.section_bytes(section) {
                Some(bytes) => assert_eq!(found, bytes),
                None => assert!(found.iter().all(|&byte| byte == 0)),
            }
        }
    }
}

#[test]
fn the_list_changes_with_its_generation_and_what_was_taken_stays() {
    let registry = Registry::new();
    let empty = registry.modules();
    assert!(empty.is_empty());
    registry.add(loaded(0x1000_0000, "one"));
    registry.add(loaded(0x2000_0000, "two"));
    assert_ne!(registry.generation(), empty.generation());
    let both = registry.modules();
    assert_eq!(both.generation(), registry.generation());
    assert!(Arc::ptr_eq(&both, &registry.modules()));
    let paths = |modules: &Modules| {
        modules.iter().map(|it| it.path.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(paths(&both), ["one", "two"]);

    let address = 0x2000_0000 + DATA as usize;
    assert_eq!(both.at(address).unwrap().path, Path::new("two"));
    assert_eq!(both.at(0x3000_0000), None);
    registry.remove(0x2000_0000 + BASE as usize);
    assert_eq!(paths(&registry.modules()), ["one"]);
    assert_eq!(registry.modules().at(address), None);
    assert_eq!(paths(&both), ["one", "two"]);
    assert!(empty.is_empty());

    // The removal of an image has been missed, and another is at its place.
    registry.add(loaded(0x1000_0000, "other"));
    assert_eq!(paths(&registry.modules()), ["other"]);
}

#[test]
fn readers_see_whole_lists_while_images_come_and_go() {
    static LIST: Registry = Registry::new();
    LIST.add(loaded(0x1000_0000, "stays"));
    thread::scope(|scope| {
        for writer in 1..4_usize {
            scope.spawn(move || {
                for _ in 0..200 {
                    let slide = 0x1000_0000 * (writer + 1);
                    LIST.add(loaded(slide, "comes and goes"));
                    LIST.remove(slide + BASE as usize);
                }
            });
        }
        for _ in 0..1000 {
            let modules = LIST.modules();
            assert!((1..=4).contains(&modules.len()));
            assert!(modules.generation() <= LIST.generation());
            let at = modules.at(0x1000_0000 + DATA as usize).unwrap();
            assert_eq!(at.path, Path::new("stays"));
        }
    });
    assert_eq!(LIST.modules().len(), 1);
}

#[cfg(not(target_os = "macos"))]
#[test]
fn a_process_whose_loader_speaks_no_macho_has_no_such_images() {
    assert!(sys::modules().is_empty());
    assert_eq!(sys::module_of_address(sys::modules as *const () as usize), None);
    assert_eq!(sys::generation(), sys::modules().generation());
}

#[cfg(target_os = "macos")]
#[test]
fn this_program_is_among_the_loaded_images() {
    let this = sys::module_of_address(sys::modules as *const () as usize).unwrap();
    assert_eq!(this.path, std::env::current_exe().unwrap());
    assert!(this.section("__TEXT", "__text").is_some());
}
