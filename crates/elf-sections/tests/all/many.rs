//! Images of very many headers. What went through all of them for each would take minutes here.

use elf_sections::{Changes, DebugLink, Error, Image, Structure, plan_changes};

/// Read-only segments, each in a page of its own and none with unused bytes behind it in the file.
const SEGMENTS: u64 = 60_000;

#[test]
fn an_image_of_sixty_thousand_read_only_segments_gets_every_change() {
    let bytes = image();
    let parsed = Image::parse(&bytes).unwrap();
    let none = Changes::default;
    let link = DebugLink { file_name: b"own.debug", checksum: 7 };
    let changed = |changes: &Changes<'_>| {
        let mut changed = bytes.clone();
        plan_changes(&parsed, changes).unwrap().apply_to_vec(&mut changed).unwrap();
        changed
    };

    let name = b"libanother.so".to_vec();
    let bytes = changed(&Changes { soname: Some(name.clone()), ..none() });
    assert_eq!(Image::parse(&bytes).unwrap().soname(), Some(&name[..]));

    let bytes = changed(&Changes { runpath: Some(name.clone()), ..none() });
    assert_eq!(Image::parse(&bytes).unwrap().runpath(), Some(&name[..]));

    let bytes = changed(&Changes { add_needed: vec![name.clone(); 3], ..none() });
    assert_eq!(Image::parse(&bytes).unwrap().needed().count(), 4);

    let replace_needed = vec![(b"libdep.so".to_vec(), name.clone())];
    let bytes = changed(&Changes { replace_needed, ..none() });
    assert_eq!(Image::parse(&bytes).unwrap().needed().next(), Some(&name[..]));

    let bytes = changed(&Changes { debug_link: Some(link), ..none() });
    assert_eq!(Image::parse(&bytes).unwrap().debug_link(), Some(link));

    let bytes = changed(&Changes { build_id: Some(vec![7; 4]), ..none() });
    assert_eq!(Image::parse(&bytes).unwrap().build_id(), Some(&[7; 4][..]));
}

/// The last of all has room behind it, and gets the strings.
#[test]
fn room_behind_the_last_of_sixty_thousand_segments_is_found() {
    let mut bytes = image();
    let end = bytes.len().next_multiple_of(0x1000);
    bytes.resize(end + 0x1000, 0);
    let last = HEADER + (SEGMENTS as usize - 1) * 56;
    bytes[last + 8..last + 16].copy_from_slice(&(end as u64).to_le_bytes());
    let address = u64::from_le_bytes(bytes[last + 16..last + 24].try_into().unwrap()) & !0xfff;
    bytes[last + 16..last + 24].copy_from_slice(&address.to_le_bytes());
    let image = Image::parse(&bytes).unwrap();
    let soname = Some(b"libanother.so".to_vec());
    let plan = plan_changes(&image, &Changes { soname, ..Changes::default() }).unwrap();
    assert_eq!(plan.tail(), None);
    let mut changed = bytes.clone();
    plan.apply_to_vec(&mut changed).unwrap();
    let changed = Image::parse(&changed).unwrap();
    assert_eq!(changed.soname(), Some(&b"libanother.so"[..]));
    assert!(changed.segments()[SEGMENTS as usize - 1].file_size > 16);
}

/// Symbols and sections whose names all lead into one string of 16 MiB.
#[test]
fn names_that_share_one_endless_string_are_not_read_to_its_end_each() {
    const SYMBOLS: usize = 40_000;
    const SECTIONS: usize = 20_000;
    let words = |values: &[u64]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
    let halves =
        |values: &[u32]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
    let length = 16 << 20;
    let sections_at = HEADER + SYMBOLS * 24;
    let strings_at = sections_at + SECTIONS * 64;

    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(halves(&[1 | 62 << 16, 1]));
    bytes.extend(words(&[0, 0, sections_at as u64]));
    bytes.extend(halves(&[0, 64, 64 << 16, SECTIONS as u32 | 1 << 16]));
    for index in 1..=SYMBOLS as u32 {
        bytes.extend(halves(&[index, 0x11 | 0xfff1 << 16]));
        bytes.extend(words(&[u64::from(index), 1]));
    }
    bytes.resize(sections_at + 64, 0);
    // The strings, the symbols, and sections that are nothing.
    bytes.extend(halves(&[0, 3]));
    bytes.extend(words(&[0, 0, strings_at as u64, length as u64, 0, 1, 0]));
    bytes.extend(halves(&[0, 2]));
    bytes.extend(words(&[0, 0, HEADER as u64, SYMBOLS as u64 * 24, 1, 8, 24]));
    for index in 3..SECTIONS as u32 {
        bytes.extend(halves(&[index, 1]));
        bytes.extend(words(&[0; 7]));
    }
    bytes.resize(strings_at + length - 1, b'a');
    bytes.push(0);
    // The last 100 bytes are within reach.
    let near = HEADER + 24 * 7;
    bytes[near..near + 4].copy_from_slice(&(length as u32 - 101).to_le_bytes());

    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.sections().len(), SECTIONS);
    assert!(image.sections()[3..].iter().all(|section| section.name.is_empty()));
    let index = image.symbol_index();
    assert_eq!(index.symbols().len(), SYMBOLS);
    let named: Vec<u64> = index.named(&[b'a'; 100]).map(|symbol| symbol.address).collect();
    assert_eq!(named, [8]);
}

/// The SONAME is the end of the name of the needed library.
#[test]
fn a_string_that_is_the_end_of_another_is_not_overwritten() {
    let mut bytes = image();
    let soname = HEADER + SEGMENTS as usize * 56 + 2 * 16;
    assert_eq!(bytes[soname], 14);
    bytes[soname + 8] = 12;
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.soname(), Some(&b"dep.so"[..]));
    let soname = Some(b"own.so".to_vec());
    let plan = plan_changes(&image, &Changes { soname, ..Changes::default() }).unwrap();
    let mut changed = bytes.clone();
    plan.apply_to_vec(&mut changed).unwrap();
    let changed = Image::parse(&changed).unwrap();
    assert_eq!(changed.soname(), Some(&b"own.so"[..]));
    assert!(changed.needed().eq([b"libdep.so"]));
}

/// Each bit of a `DT_RELR` bitmap stands for a word, and every second word for a range of its own:
/// a megabyte of them for four million, in a file of 131,000 words.
#[test]
fn packed_relocations_name_no_more_words_than_the_file_could_have() {
    const TABLE: u64 = 1 << 20;
    let words = |values: &[u64]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
    let halves =
        |values: &[u32]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
    let dynamic_at = HEADER as u64 + 2 * 56;
    let table_at = dynamic_at + 4 * 16;
    let end = table_at + TABLE;

    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(halves(&[3 | 62 << 16, 1]));
    bytes.extend(words(&[0, HEADER as u64, 0]));
    bytes.extend(halves(&[0, 64 | 56 << 16, 2 | 64 << 16, 0]));
    for (kind, at, size, memory) in [(1, 0, end, 1_u64 << 40), (2, dynamic_at, 4 * 16, 4 * 16)] {
        bytes.extend(halves(&[kind, 6]));
        bytes.extend(words(&[at, at, at, size, memory, 0x1000]));
    }
    // RELR, RELRSZ, RELRENT and the end.
    bytes.extend(words(&[36, table_at, 35, TABLE, 37, 8, 0, 0]));
    bytes.extend(words(&[1 << 30]));
    for _ in 1..TABLE / 8 {
        bytes.extend(words(&[0x5555_5555_5555_5555]));
    }
    assert_eq!(bytes.len() as u64, end);

    let image = Image::parse(&bytes).unwrap();
    assert!(image.relocations().count() > 4_000_000);
    let writable = image.writable();
    let structure = Structure::Relr;
    assert!(
        matches!(writable.unread, Some(Error::Malformed { structure: it, .. }) if it == structure)
    );
    assert!(writable.excluded.len() as u64 <= end / 8 + 8, "{}", writable.excluded.len());
}

/// 65,535 bytes can be read again, one more cannot.
#[test]
fn a_name_is_not_made_longer_than_one_that_is_read() {
    let bytes = image();
    let image = Image::parse(&bytes).unwrap();
    let plan = |length| {
        let soname = Some(vec![b'n'; length]);
        plan_changes(&image, &Changes { soname, ..Changes::default() })
    };
    let mut changed = bytes.clone();
    plan(0xffff).unwrap().apply_to_vec(&mut changed).unwrap();
    assert_eq!(Image::parse(&changed).unwrap().soname().map(<[u8]>::len), Some(0xffff));
    let refused = plan(0x10000).unwrap_err();
    assert!(matches!(refused, Error::NoRoom { room: 0xffff, .. }), "{refused}");
    let link = Some(DebugLink { file_name: &[b'n'; 0x10000], checksum: 7 });
    let refused = plan_changes(&image, &Changes { debug_link: link, ..Changes::default() });
    assert!(matches!(refused, Err(Error::NoRoom { room: 0xffff, .. })));
}

/// The size of the file header.
const HEADER: usize = 64;

/// A library with a name, a needed library, a build ID and section names.
fn image() -> Vec<u8> {
    let words = |values: &[u64]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
    let halves =
        |values: &[u32]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
    let strings = b"\0libx.so\0libdep.so\0";
    let names = b"\0.shstrtab\0";
    let dynamic_at = HEADER as u64 + SEGMENTS * 56;
    let strings_at = dynamic_at + 6 * 16;
    let note_at = (strings_at + strings.len() as u64).next_multiple_of(8);
    let names_at = note_at + 20;
    let sections_at = (names_at + names.len() as u64).next_multiple_of(8);
    let end = sections_at + 2 * 64;

    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(halves(&[3 | 62 << 16, 1]));
    bytes.extend(words(&[0, HEADER as u64, sections_at]));
    bytes.extend(halves(&[0, 64 | 56 << 16, SEGMENTS as u32 | 64 << 16, 2 | 1 << 16]));
    let mut segment = |kind: u32, flags: u32, offset: u64, address: u64, size: u64, align: u64| {
        bytes.extend(halves(&[kind, flags]));
        bytes.extend(words(&[offset, address, address, size, size, align]));
    };
    segment(1, 6, 0, 0, end, 0x1000);
    segment(2, 6, dynamic_at, dynamic_at, 6 * 16, 8);
    segment(4, 4, note_at, note_at, 20, 4);
    let top = end.next_multiple_of(0x1000);
    for index in 0..SEGMENTS - 3 {
        let within = index % 0x800;
        segment(1, 4, within, top + index * 0x1000 + within, 16, 0x1000);
    }
    // STRTAB, STRSZ, SONAME, NEEDED, a spare one and the end.
    bytes.extend(words(&[5, strings_at, 10, strings.len() as u64, 14, 1, 1, 9, 0, 0, 0, 0]));
    bytes.extend(strings);
    bytes.resize(note_at as usize, 0);
    bytes.extend(halves(&[4, 4, 3]));
    bytes.extend(b"GNU\0\x01\x02\x03\x04");
    bytes.extend(names);
    bytes.resize(sections_at as usize + 64, 0);
    bytes.extend(halves(&[1, 3]));
    bytes.extend(words(&[0, 0, names_at, names.len() as u64, 0, 1, 0]));
    assert_eq!(bytes.len() as u64, end);
    bytes
}
