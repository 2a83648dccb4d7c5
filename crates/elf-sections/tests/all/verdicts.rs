use elf_sections::{
    Class, Error, Expected, Image, Kind, Machine, SegmentKind, Structure, Tag, Verdict, verdict,
};

use crate::support::{GUEST, Workshop, guests, regressions, skipped, went_through};

fn expected() -> Expected<'static> {
    Expected { entry: Some("cr_main"), ..Expected::native() }
}

/// The fixtures with what a host of their own processor would expect.
fn fixtures() -> Vec<(String, Vec<u8>, Expected<'static>)> {
    let good = regressions().into_iter().filter(|(name, _)| name.starts_with("good-"));
    good.map(|(name, bytes)| {
        let header = *Image::parse(&bytes).unwrap().header();
        (name, bytes, Expected { entry: Some("cr_main"), ..Expected::like(&header) })
    })
    .collect()
}

#[test]
fn every_prefix_is_incomplete() {
    let workshop = Workshop::new();
    let mut images = fixtures();
    for flags in [&[][..], &["-s"], &["-g"]] {
        images.extend(guests(&workshop, flags).into_iter().map(|(n, b)| (n, b, expected())));
    }
    for (name, bytes, expected) in images {
        for length in 0..bytes.len() {
            match verdict(&bytes[..length], &expected) {
                Verdict::Incomplete(_) => {}
                other => panic!("{name} cut at {length:#x} of {:#x}: {other:?}", bytes.len()),
            }
        }
    }
}

#[test]
fn prefixes_of_a_large_image_are_incomplete() {
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let Ok(image) = Image::parse(&bytes) else { return skipped("ELF program to test") };
    let expected = Expected::like(image.header());
    let step = bytes.len() / 997;
    for length in (0..bytes.len()).step_by(step) {
        let verdict = verdict(&bytes[..length], &expected);
        assert!(verdict.reason().unwrap().is_incomplete(), "cut at {length:#x}");
    }
}

#[test]
fn a_file_that_has_only_been_sized_is_incomplete() {
    for length in [1, 4, 16, 64, 4096, 16384] {
        let zeros = vec![0; length];
        let verdict = verdict(&zeros, &expected());
        assert!(matches!(verdict, Verdict::Incomplete(Error::ZeroFilled { .. })), "{length}");
    }
}

#[test]
fn an_image_written_from_front_to_back_into_a_sized_file_is_incomplete_until_the_end() {
    for (name, bytes, expected) in fixtures() {
        let mut file = vec![0; bytes.len()];
        let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
        // The last section header's name and kind come first in it: behind them there is only
        // what no reader needs.
        let section_header = if expected.class == Class::Elf64 { 64 } else { 40 };
        for block in 0..=(last - section_header) / 64 {
            let verdict = verdict(&file, &expected);
            let is_whole = verdict.reason().is_none();
            // Code and data may be missing; headers, tables and symbols may not.
            assert!(!is_whole, "{name}: {:#x} of {last:#x} bytes", block * 64);
            let range = block * 64..(block * 64 + 64).min(bytes.len());
            file[range.clone()].copy_from_slice(&bytes[range]);
        }
        file.copy_from_slice(&bytes);
        assert_eq!(verdict(&file, &expected).reason(), None);
    }
}

#[test]
fn a_page_of_zeros_in_a_table_is_incomplete() {
    let workshop = Workshop::new();
    for (name, bytes) in guests(&workshop, &[]) {
        let image = Image::parse(&bytes).unwrap();
        let tables = [Tag::STRTAB, Tag::SYMTAB, Tag::RELA, Tag::GNU_HASH, Tag::JMPREL];
        let addresses = tables.iter().filter_map(|&tag| image.dynamic_value(tag));
        let tables = addresses.map(|address| image.offset_of(address, 1).unwrap());
        let dynamic = image.segment(SegmentKind::DYNAMIC).unwrap().offset;
        let header = image.header();
        let places = tables.chain([0, dynamic, header.program_headers, header.section_headers]);
        for place in places.collect::<Vec<u64>>() {
            let mut damaged = bytes.clone();
            let start = place as usize & !0xfff;
            let end = damaged.len().min(start + 0x1000);
            damaged[start..end].fill(0);
            let verdict = verdict(&damaged, &expected());
            assert!(verdict.reason().is_some_and(Error::is_incomplete), "{name}: {start:#x}");
        }
    }
}

/// As a plan leaves it that has moved the table: its last entries, which are zeros, are the first
/// of a page of which nothing else is used.
#[test]
fn the_zeros_that_end_a_dynamic_table_may_be_alone_on_a_page_and_more_may_not() {
    if !cfg!(all(target_pointer_width = "64", target_endian = "little")) {
        return skipped("64-bit compiler");
    }
    let workshop = Workshop::new();
    let mut count = 0;
    for (name, bytes) in guests(&workshop, &[]) {
        let image = Image::parse(&bytes).unwrap();
        for (zeros, is_whole) in [(1, true), (5, true), (8, true), (9, false), (100, false)] {
            let moved = with_dynamic_table_across_pages(&image, zeros);
            let verdict = verdict(&moved, &expected());
            let is_hole = matches!(
                verdict.reason(),
                Some(Error::ZeroFilled { structure: Structure::DynamicTable, .. })
            );
            assert!(if is_whole { verdict.reason().is_none() } else { is_hole }, "{name}, {zeros}");
            count += 1;
        }
    }
    went_through(count, 40, "tables");
}

/// The image with its dynamic table in a segment of its own at the end: all that is said ends with
/// a page, and the entries of zeros follow.
fn with_dynamic_table_across_pages(image: &Image<'_>, zeros: usize) -> Vec<u8> {
    let (header, dynamic) = (image.header(), image.dynamic());
    let mut bytes = image.data().to_vec();
    bytes.resize(bytes.len().next_multiple_of(0x1000), 0);
    let start = bytes.len();
    let address = image.range().unwrap().end.next_multiple_of(0x1000);
    bytes.resize(start + 0x1000 - 16 * dynamic.len(), 0);
    let table = (bytes.len() - start) as u64;
    for entry in dynamic {
        bytes.extend([entry.tag.0.cast_unsigned(), entry.value].map(u64::to_le_bytes).concat());
    }
    bytes.resize(bytes.len() + 16 * zeros + 200, 0);
    let size = (bytes.len() - start) as u64;
    let table_size = (16 * (dynamic.len() + zeros)) as u64;
    let mut put = |kind, segment: [u32; 2], [skipped, size, align]: [u64; 3]| {
        let index = image.segments().iter().position(|it| it.kind == kind).unwrap();
        let at = header.program_headers as usize + 56 * index;
        let (offset, address) = (start as u64 + skipped, address + skipped);
        bytes[at..at + 8].copy_from_slice(&segment.map(u32::to_le_bytes).concat());
        let words = [offset, address, address, size, size, align];
        bytes[at + 8..at + 56].copy_from_slice(&words.map(u64::to_le_bytes).concat());
    };
    put(SegmentKind::DYNAMIC, [2, 6], [table, table_size, 8]);
    put(SegmentKind::GNU_STACK, [1, 6], [0, size, 0x1000]);
    bytes
}

#[test]
fn what_is_no_image_for_this_host_says_why() {
    let refused = |bytes: &[u8], expected: &Expected<'_>| match verdict(bytes, expected) {
        Verdict::Unloadable(reason) => reason.to_string(),
        other => panic!("{other:?}"),
    };
    let script = b"INPUT(libreal.so)\n";
    assert_eq!(refused(script, &expected()), "not an ELF image: starts with \"INPU\"");
    assert_eq!(refused(b"\x7fEXE", &expected()), "not an ELF image: starts with \"\\x7fEXE\"");

    let fixtures = regressions();
    let fixture = |name: &str| &fixtures.iter().find(|it| it.0 == name).unwrap().1;
    let x86_64 = Expected {
        class: Class::Elf64,
        endian: elf_sections::Endian::Little,
        machine: Machine::X86_64,
        kind: Kind::SharedObject,
        entry: Some("cr_main"),
    };
    assert_eq!(refused(fixture("good-x86"), &x86_64), "a 32-bit image, 64-bit wanted");
    let reason = refused(fixture("good-ppc64be"), &x86_64);
    assert_eq!(reason, "a big-endian image, little-endian wanted");
    let reason = refused(fixture("good-riscv64"), &x86_64);
    assert_eq!(reason, "an image for riscv, x86-64 wanted");
    let missing = Expected { entry: Some("cr_other"), ..x86_64 };
    assert_eq!(refused(fixture("good-lld"), &missing), "no symbol cr_other is exported");
    // It is in the table, and it is wanted, not offered.
    let wanted = Expected { entry: Some("imported"), ..x86_64 };
    assert_eq!(refused(fixture("good-lld"), &wanted), "no symbol imported is exported");
    let data = Expected { entry: Some("counter"), ..x86_64 };
    assert!(refused(fixture("good-lld"), &data).contains("no function"));
}

#[test]
fn programs_and_objects_and_libraries_that_forbid_dlopen_are_refused() {
    let workshop = Workshop::new();
    let main = format!("{GUEST}\nint main(void) {{ return 0; }}");
    let kinds: [(&[&str], &str); 4] = [
        (&["-no-pie"], "file type is executable, shared object wanted"),
        (&["-c"], "file type is relocatable object, shared object wanted"),
        (&["-fPIE", "-pie"], "a position-independent executable, shared object wanted"),
        (&["-shared", "-fPIC", "-Wl,-z,nodlopen"], "a shared object linked with -z nodlopen"),
    ];
    for (flags, reason) in kinds {
        let command: Vec<&str> = ["gcc"].iter().chain(flags).copied().collect();
        let Some(path) = workshop.compile("other", &main, &command) else { return };
        let bytes = std::fs::read(path).unwrap();
        match verdict(&bytes, &expected()) {
            Verdict::Unloadable(found) => assert_eq!(found.to_string(), reason),
            other => panic!("{flags:?}: {other:?}"),
        }
    }
}

#[test]
fn a_hidden_entry_is_none() {
    let workshop = Workshop::new();
    for (name, bytes) in guests(&workshop, &[]) {
        let expected = Expected { entry: Some("hidden"), ..Expected::native() };
        let Verdict::Unloadable(reason) = verdict(&bytes, &expected) else { panic!("{name}") };
        assert_eq!(reason, Error::NoSymbol { symbol: "hidden".to_owned() });
    }
}

#[test]
fn a_dynamic_table_that_leads_nowhere_is_refused() {
    const NOWHERE: u64 = 0x7000_0000;
    for (name, bytes, expected) in fixtures() {
        let image = Image::parse(&bytes).unwrap();
        let addresses = [
            Tag::STRTAB,
            Tag::SYMTAB,
            Tag::HASH,
            Tag::GNU_HASH,
            Tag::RELA,
            Tag::REL,
            Tag::RELR,
            Tag::JMPREL,
            Tag::VERSYM,
            Tag::VERNEED,
            Tag::INIT,
            Tag::INIT_ARRAY,
            Tag::FINI,
            Tag::FINI_ARRAY,
        ];
        // The loader does not look at the older hash table where there is a newer one.
        let is_unused = |tag| tag == Tag::HASH && image.dynamic_value(Tag::GNU_HASH).is_some();
        let sizes = [Tag::STRSZ, Tag::RELASZ, Tag::RELSZ, Tag::RELRSZ, Tag::PLTRELSZ];
        let entry_sizes = [Tag::SYMENT, Tag::RELAENT, Tag::RELENT, Tag::RELRENT, Tag::PLTREL];
        let mut tried = 0;
        for entry in image.dynamic() {
            let is_led = addresses.contains(&entry.tag) || sizes.contains(&entry.tag);
            let values = match entry.tag {
                tag if is_unused(tag) => continue,
                _ if is_led => vec![NOWHERE, u64::from(u32::MAX) - 7],
                tag if entry_sizes.contains(&tag) => vec![0, 1, NOWHERE],
                _ => continue,
            };
            for value in values {
                let damaged = with_value(&image, entry.offset, value);
                let verdict = verdict(&damaged, &expected);
                let reason = verdict.reason();
                assert!(reason.is_some(), "{name}: {:?} = {value:#x}", entry.tag);
                tried += 1;
            }
        }
        assert!(tried > 8, "{name}");
    }
}

#[test]
fn relocations_that_write_into_code_or_name_no_symbol_are_refused() {
    let workshop = Workshop::new();
    if !cfg!(target_pointer_width = "64") {
        return skipped("64-bit compiler");
    }
    for (name, bytes) in guests(&workshop, &[]) {
        let image = Image::parse(&bytes).unwrap();
        let table = image.dynamic_value(Tag::RELA).unwrap();
        let table = image.offset_of(table, 24).unwrap() as usize;
        let code = image.segments().iter().find(|it| it.permissions.is_executable()).unwrap();

        let mut damaged = bytes.clone();
        damaged[table..table + 8].copy_from_slice(&code.address.to_le_bytes());
        let refusal = verdict(&damaged, &expected());
        let Verdict::Unloadable(Error::Malformed { structure, at, .. }) = refusal else {
            panic!("{name}: {refusal:?}")
        };
        assert_eq!((structure, at), (Structure::Rela, code.address));

        let symbolic = image.relocations().position(|it| it.symbol != 0).unwrap();
        let size = image.dynamic_value(Tag::RELASZ).unwrap() as usize;
        if symbolic * 24 >= size {
            continue;
        }
        let mut damaged = bytes.clone();
        damaged[table + symbolic * 24 + 12..][..4].copy_from_slice(&0xffff_u32.to_le_bytes());
        let refusal = verdict(&damaged, &expected());
        assert!(matches!(refusal, Verdict::Unloadable(_)), "{name}: {refusal:?}");
    }
}

#[test]
fn errors_name_what_was_read_where_and_how_much_there_was() {
    let fixtures = fixtures();
    let (_, bytes, expected) = fixtures.iter().find(|it| it.0 == "good-lld").unwrap();
    let verdict = verdict(&bytes[..bytes.len() - 1], expected);
    let image = Image::parse(bytes).unwrap();
    let header = image.header();
    assert_eq!(
        verdict.reason().unwrap().to_string(),
        format!(
            "section headers: {:#x} bytes wanted at {:#x}, image ends at {:#x}",
            header.section_header_count * 64,
            header.section_headers,
            bytes.len() - 1
        )
    );
}

fn with_value(image: &Image<'_>, entry: u64, value: u64) -> Vec<u8> {
    let mut damaged = image.data().to_vec();
    let word = image.header().class.word_size() as usize;
    let bytes = match image.header().endian {
        elf_sections::Endian::Little => value.to_le_bytes()[..word].to_vec(),
        elf_sections::Endian::Big => value.to_be_bytes()[8 - word..].to_vec(),
    };
    damaged[entry as usize + word..][..word].copy_from_slice(&bytes);
    damaged
}
