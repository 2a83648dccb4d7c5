//! Storage that a program has for a library's variable, on every processor.

use elf_sections::{Class, Error, Image, Machine, Reason};

/// Processor, class, and the number of `R_*_COPY`, out of the processors' supplements.
const KINDS: [(u16, Class, u32); 33] = [
    (62, Class::Elf64, 5),
    // x32.
    (62, Class::Elf32, 5),
    (3, Class::Elf32, 5),
    (183, Class::Elf64, 1024),
    (183, Class::Elf32, 180),
    (40, Class::Elf32, 20),
    (20, Class::Elf32, 19),
    (21, Class::Elf64, 19),
    (22, Class::Elf64, 9),
    (2, Class::Elf32, 19),
    (18, Class::Elf32, 19),
    (43, Class::Elf64, 19),
    (243, Class::Elf64, 4),
    (243, Class::Elf32, 4),
    (258, Class::Elf64, 4),
    (8, Class::Elf32, 126),
    (4, Class::Elf32, 19),
    (42, Class::Elf32, 162),
    (15, Class::Elf32, 128),
    (0x9026, Class::Elf64, 24),
    (50, Class::Elf64, 0x84),
    (76, Class::Elf32, 9),
    (88, Class::Elf32, 50),
    (89, Class::Elf32, 20),
    (113, Class::Elf32, 36),
    (167, Class::Elf32, 39),
    (174, Class::Elf32, 43),
    (175, Class::Elf32, 9),
    (175, Class::Elf64, 64),
    (188, Class::Elf32, 10),
    (189, Class::Elf32, 21),
    (191, Class::Elf64, 16),
    (252, Class::Elf32, 10),
];

#[test]
fn the_storage_of_a_librarys_variable_is_flagged_on_every_processor_that_has_such() {
    for (machine, class, kind) in KINDS {
        let bytes = program(machine, class, kind);
        let image = Image::parse(&bytes).unwrap();
        let writable = image.writable();
        let seen = format!("{} {class}: {writable:x?}", Machine(machine));
        assert_eq!(writable.unread, None, "{seen}");
        for address in [COPIED - 1, COPIED, COPIED + SIZE - 1, COPIED + SIZE] {
            let is_copied = (COPIED..COPIED + SIZE).contains(&address);
            let reason = is_copied.then_some(Reason::CopyRelocated);
            assert_eq!(writable.exclusion_at(address), reason, "{address:#x}, {seen}");
        }
        // The next number is another relocation, which writes a word.
        let bytes = program(machine, class, kind + 1);
        let writable = Image::parse(&bytes).unwrap().writable();
        let reason = writable.exclusion_at(COPIED).unwrap();
        assert!([Reason::RelocatedWord, Reason::Got].contains(&reason), "{reason}, {seen}");
        assert!(writable.contains(COPIED + SIZE - 1), "{seen}");
    }
}

#[test]
fn of_a_processor_whose_relocations_are_unknown_it_is_said_so() {
    let machine = 0x1234;
    let bytes = program(machine, Class::Elf64, 5);
    let writable = Image::parse(&bytes).unwrap().writable();
    assert_eq!(writable.unread, Some(Error::UnknownRelocations { machine: Machine(machine) }));
    let said = writable.unread.as_ref().map(Error::to_string);
    assert_eq!(said.as_deref(), Some("the relocations of machine 0x1234 are not known"));
    // What it writes to is no variable all the same: a word, as far as anybody knows.
    assert_eq!(writable.exclusion_at(COPIED + 7), Some(Reason::RelocatedWord));
    assert!(writable.contains(COPIED + 8));
    // Where there are none, nothing is unknown.
    let mut without = bytes;
    let size = without.windows(16).position(|it| it == [8_u64, 24].map(u64::to_le_bytes).concat());
    without[size.unwrap() + 8] = 0;
    let image = Image::parse(&without).unwrap();
    assert_eq!(image.relocations().count(), 0);
    assert_eq!(image.writable().unread, None);
}

const COPIED: u64 = 0x600;
const SIZE: u64 = 24;

/// A little-endian program of one writable segment, at address 0, with one relocation with addend
/// of the only symbol.
fn program(machine: u16, class: Class, kind: u32) -> Vec<u8> {
    let is_small = class == Class::Elf32;
    let word = |value: u64| value.to_le_bytes()[..if is_small { 4 } else { 8 }].to_vec();
    let int = |value: u32| value.to_le_bytes().to_vec();
    let half = |value: u16| value.to_le_bytes().to_vec();
    let choose = |small: u16, large: u16| if is_small { small } else { large };
    let (dynamic, symbols, relocations, strings) = (0x100_u64, 0x200_u64, 0x300_u64, 0x400_u64);

    let class = if is_small { 1 } else { 2 };
    let mut bytes = [&b"\x7fELF"[..], &[class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    bytes.extend([half(2), half(machine), int(1), word(0)].concat());
    bytes.extend([word(choose(52, 64).into()), word(0), int(0)].concat());
    for value in [choose(52, 64), choose(32, 56), 2, choose(40, 64), 0, 0] {
        bytes.extend(half(value));
    }
    for (kind, start, size) in [(1, 0, 0x1000_u64), (2, dynamic, 0x80)] {
        bytes.extend(int(kind));
        if !is_small {
            bytes.extend(int(6));
        }
        for value in [start, start, start, size, size] {
            bytes.extend(word(value));
        }
        if is_small {
            bytes.extend(int(6));
        }
        bytes.extend(word(8));
    }

    let mut put = |at: u64, parts: Vec<Vec<u8>>| {
        bytes.resize(bytes.len().max(0x1000), 0);
        let part = parts.concat();
        bytes[at as usize..][..part.len()].copy_from_slice(&part);
    };
    let entry_size = if is_small { 12 } else { 24 };
    let symbol_size = if is_small { 16 } else { 24 };
    let table = [
        (5, strings),
        (10, 16),
        (6, symbols),
        (11, symbol_size),
        (7, relocations),
        (8, entry_size),
        (9, entry_size),
        (0, 0),
    ];
    put(dynamic, table.into_iter().flat_map(|(tag, value)| [word(tag), word(value)]).collect());
    put(strings, vec![b"\0shared\0".to_vec()]);
    // A global object, index 1, in a section of its own.
    let symbol = match is_small {
        true => vec![int(1), word(COPIED), word(SIZE), vec![0x11, 0], half(1)],
        false => vec![int(1), vec![0x11, 0], half(1), word(COPIED), word(SIZE)],
    };
    put(symbols + symbol_size, symbol);
    let info = if is_small { 1 << 8 | u64::from(kind) } else { 1 << 32 | u64::from(kind) };
    put(relocations, vec![word(COPIED), word(info), word(0)]);
    bytes
}
