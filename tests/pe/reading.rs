//! What is read of every image, against three other readers and the tests' own.

use std::fs;
use std::path::PathBuf;

use pe_patch::{DirectoryKind, Image, PdbPathOptions, plan_pdb_path};

use crate::reader::{CODEVIEW, Reader, u32_at};
use crate::{images, made, second};

#[test]
fn sections_and_directories_are_those_of_the_headers() {
    for path in images() {
        let bytes = fs::read(&path).unwrap();
        let (image, reader) = (Image::parse(&bytes).unwrap(), Reader::new(&bytes));
        assert_eq!(image.sections().count(), reader.sections.len(), "{}", path.display());
        for (section, expected) in image.sections().zip(&reader.sections) {
            assert_eq!(section.address, u64::from(expected.address), "{}", path.display());
            assert_eq!(section.virtual_size, expected.virtual_size, "{}", path.display());
            assert_eq!(section.offset, u64::from(expected.raw), "{}", path.display());
            assert_eq!(section.file_size, u64::from(expected.raw_size), "{}", path.display());
            assert_eq!(section.flags.0, expected.characteristics, "{}", path.display());
            let held = expected.raw_size.min(expected.virtual_size.next_multiple_of(0x1000));
            for address in [expected.address, expected.address + held.saturating_sub(1)] {
                if held > 0 {
                    let offset = u64::from(expected.raw + (address - expected.address));
                    assert_eq!(image.rva_to_offset(address.into()), Some(offset));
                    assert_eq!(image.offset_to_rva(offset), Some(address.into()));
                }
            }
        }
        for kind in DirectoryKind::ALL {
            let found = image.directory(kind).map_or((0, 0), |it| (it.address, it.size));
            assert_eq!(found, reader.directory(kind as usize), "{}: {kind}", path.display());
        }
    }
}

#[test]
fn long_section_names_are_those_that_object_reads() {
    use object::read::{Object, ObjectSection};
    let mut long = 0;
    for path in images() {
        let bytes = fs::read(&path).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let other = object::File::parse(&bytes[..]).unwrap();
        for (section, other) in image.sections().zip(other.sections()) {
            assert_eq!(section.name, other.name_bytes().unwrap(), "{}", path.display());
            long += usize::from(section.name.len() > 8);
        }
    }
    println!("{long} long names");
    assert!(long > 0 || made::image("mingw-x64.dll").is_none());
}

#[test]
fn variables_are_where_the_symbols_say_and_no_function_is_among_them() {
    use object::read::{Object, ObjectSymbol};
    let Some(omagic) = made::image("mingw-omagic.dll") else { return };
    let (mut functions, mut writable_functions, mut variables) = (0, 0, 0);
    for path in images() {
        let bytes = fs::read(&path).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let base = image.header().image_base;
        let writable = image.writable();
        let other = object::File::parse(&bytes[..]).unwrap();
        for symbol in other.symbols() {
            let Some(address) = symbol.address().checked_sub(base) else { continue };
            let is_variable = writable.variables.iter().any(|it| it.contains(&address));
            let name = symbol.name().unwrap_or_default();
            if matches!(name, "twice" | "_twice" | "hidden" | "hidden_helper") {
                functions += 1;
                assert!(!is_variable, "{}: {name}", path.display());
                let excluded = writable.excluded.iter().find(|it| it.range.contains(&address));
                if let Some(excluded) = excluded {
                    assert_eq!(excluded.reason.as_str(), "code", "{}", path.display());
                    assert_eq!(path, omagic);
                    writable_functions += 1;
                }
            } else if matches!(name, "data" | "_data") {
                variables += 1;
                assert!(is_variable, "{}: {name}", path.display());
            }
        }
    }
    println!("{functions} functions, {writable_functions} of them writable, {variables} variables");
    assert!(functions > 10 && writable_functions >= 3 && variables >= 5);
}

#[test]
fn the_debug_directory_is_what_four_readers_say_it_is() {
    let paths = images();
    let listed = second::readobj(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    for (index, path) in paths.iter().enumerate() {
        let name = path.display();
        let bytes = fs::read(path).unwrap();
        let (image, reader) = (Image::parse(&bytes).unwrap(), Reader::new(&bytes));
        let found = image.debug_directory();
        assert_eq!(found.problems, [], "{name}");
        let expected = reader.entries();
        assert_eq!(found.entries.len(), expected.len(), "{name}");
        for (entry, expected) in found.entries.iter().zip(&expected) {
            assert_eq!(entry.offset, expected.at as u64, "{name}");
            assert_eq!(entry.data, expected.data, "{name}");
            assert_eq!((entry.size, entry.pointer), (expected.size, expected.offset), "{name}");
            assert_eq!(entry.time_date_stamp, expected.stamp, "{name}");
            assert_eq!(entry.problems, [], "{name}");
            assert_eq!(entry.path.is_some(), expected.kind == CODEVIEW, "{name}");
            if expected.kind == CODEVIEW {
                let record = expected.codeview();
                assert_eq!(entry.path, Some(&record.path[..]), "{name}");
                assert_eq!(entry.guid.map(|guid| guid.0), Some(record.guid), "{name}");
                assert_eq!(entry.age, Some(record.age), "{name}");
                assert!(entry.capacity >= Some(record.path.len() as u64), "{name}");
            }
        }
        let records = reader.codeviews();
        assert_eq!(second::goblin(&bytes), records.first().cloned(), "{name}");
        assert_eq!(second::object(&bytes), records.first().cloned(), "{name}");
        if let Some(listed) = &listed {
            assert_eq!(listed[index], records, "{name}");
        }
    }
}

#[test]
fn dynamic_relocations_that_a_linker_wrote_leave_room_for_a_path() {
    let Some(path) = made::image("zig-arm64x.dll") else { return };
    let bytes = fs::read(path).unwrap();
    let image = Image::parse(&bytes).unwrap();
    // DynamicValueRelocTableOffset: the table is there.
    let reader = Reader::new(&bytes);
    let load_config = reader.offset(reader.directory(10).0);
    assert_ne!(u32_at(&bytes, load_config + 0xe0), 0);
    for length in [1, 100, 3000] {
        let planned = plan_pdb_path(&image, &"p".repeat(length), &PdbPathOptions::default());
        assert!(planned.is_ok(), "{length}: {planned:?}");
    }
}
