//! Notes of static probes, laid out by hand.

use rendezvous::{Bytes, Class, Endian, Layout, Probe};

use crate::paper::{LAYOUTS, Paper};

fn words(layout: Layout, words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|&word| Paper::new(layout).word(word)).collect()
}

/// A file of sections: the names, where the base is, and one of notes.
fn file(layout: Layout, base: Option<u64>, notes: &[Vec<u8>]) -> Vec<u8> {
    file_of_many(layout, base, notes, 0)
}

/// With so many empty sections before those.
fn file_of_many(layout: Layout, base: Option<u64>, notes: &[Vec<u8>], empty: usize) -> Vec<u8> {
    let word = |value: u64| words(layout, &[value]);
    let half = |value: u16| match layout.endian {
        Endian::Little => value.to_le_bytes().to_vec(),
        Endian::Big => value.to_be_bytes().to_vec(),
    };
    let four = |value: u32| match layout.endian {
        Endian::Little => value.to_le_bytes().to_vec(),
        Endian::Big => value.to_be_bytes().to_vec(),
    };
    let is_small = layout.class == Class::Elf32;
    let (header_size, section_size) = if is_small { (52, 40) } else { (64, 64) };
    let names = b"\0.names\0.stapsdt.base\0.note.stapsdt\0".to_vec();
    let notes = notes.concat();
    let names_at = header_size as u64;
    let notes_at = names_at + names.len() as u64;
    let table_at = notes_at + notes.len() as u64;
    // Name, kind, address, offset, size.
    let mut sections = vec![
        (0, 0, 0, 0, 0),
        (1, 3, 0, names_at, names.len() as u64),
        (22, 7, 0, notes_at, notes.len() as u64),
    ];
    sections.extend(base.map(|base| (8, 1, base, names_at, 1)));
    sections.splice(2..2, std::iter::repeat_n((0, 0, 0, 0, 0), empty));
    let mut bytes = b"\x7fELF".to_vec();
    bytes.push(if is_small { 1 } else { 2 });
    bytes.push(if layout.endian == Endian::Little { 1 } else { 2 });
    bytes.resize(16, 0);
    bytes.extend([half(3), half(62), four(1)].concat());
    bytes.extend([word(0), word(0), word(table_at), four(0)].concat());
    let counts = [header_size, 0, 0, section_size, sections.len() as u16, 1];
    bytes.extend(counts.iter().flat_map(|&count| half(count)));
    assert_eq!(bytes.len(), usize::from(header_size));
    bytes.extend(names);
    bytes.extend(notes);
    for (name, kind, address, offset, size) in sections {
        bytes.extend([four(name), four(kind), word(0), word(address), word(offset)].concat());
        bytes.extend([word(size), four(0), four(0), word(4), word(0)].concat());
    }
    bytes
}

fn note(layout: Layout, name: &[u8], kind: u32, places: [u64; 3], strings: &[u8]) -> Vec<u8> {
    let descriptor = [words(layout, &places), strings.to_vec()].concat();
    let mut note = Vec::new();
    for value in [name.len() as u32, descriptor.len() as u32, kind] {
        note.extend(match layout.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        });
    }
    for part in [name, &descriptor] {
        note.extend_from_slice(part);
        note.resize(note.len().next_multiple_of(4), 0);
    }
    note
}

fn probes(bytes: &[u8]) -> Vec<Probe> {
    let file: Bytes<'_> = [(0, bytes)].into_iter().collect();
    Probe::all_of(&file)
}

#[test]
fn probes_are_read_in_every_layout_and_moved_with_their_base() {
    for layout in LAYOUTS {
        let notes = [
            note(layout, b"stapsdt\0", 3, [0x1000, 0x8000, 0], b"rtld\0map_complete\0-8@%rdi\0"),
            note(layout, b"GNU\0", 3, [1, 2, 3], b"a\0b\0c\0"),
            note(layout, b"stapsdt\0", 4, [1, 2, 3], b"a\0b\0c\0"),
            note(layout, b"stapsdt\0", 3, [0x1010, 0x8000, 0x9000], b"libc\0setjmp\0\0"),
            note(layout, b"stapsdt\0", 3, [1, 2, 3], b"no end"),
        ];
        for (base, moved) in
            [(None, 0), (Some(0x8000), 0), (Some(0x8100), 0x100), (Some(0x7ff0), -16)]
        {
            let found = probes(&file(layout, base, &notes));
            let seen: Vec<_> = found
                .iter()
                .map(|it| {
                    (&it.provider[..], &it.name[..], it.address, it.semaphore, &it.arguments[..])
                })
                .collect();
            let at = |address: u64| address.wrapping_add_signed(moved);
            let expected: [(&[u8], &[u8], _, _, &[u8]); 2] = [
                (b"rtld", b"map_complete", at(0x1000), 0, b"-8@%rdi"),
                (b"libc", b"setjmp", at(0x1010), at(0x9000), b""),
            ];
            assert_eq!(seen, expected, "{layout:?}");
        }
    }
}

#[test]
fn probes_are_found_behind_any_number_of_sections() {
    for layout in LAYOUTS {
        let notes = [note(layout, b"stapsdt\0", 3, [0x1000, 0x8000, 0], b"rtld\0map_complete\0\0")];
        for empty in (0..200).chain([5000]) {
            let bytes = file_of_many(layout, Some(0x8100), &notes, empty);
            let found = probes(&bytes);
            assert_eq!(found.len(), 1, "{empty}");
            assert_eq!(found[0].address, 0x1100, "{empty}");
            let size = if layout.class == Class::Elf32 { 40 } else { 64 };
            // The base is the last section, the notes are the one before.
            let without_base = probes(&bytes[..bytes.len() - 1]);
            assert_eq!(without_base[0].address, 0x1000, "{empty}");
            assert!(probes(&bytes[..bytes.len() - size - 1]).is_empty(), "{empty}");
        }
    }
}

#[test]
fn no_prefix_and_no_damage_of_a_file_with_probes_does_harm() {
    for layout in LAYOUTS {
        let notes = note(layout, b"stapsdt\0", 3, [0x1000, 0x8000, 0], b"rtld\0map_complete\0\0");
        let whole = file(layout, Some(0x8000), &[notes]);
        assert_eq!(probes(&whole).len(), 1);
        for length in 0..whole.len() {
            // The base comes last, and may be missing.
            let is_read = length + 72 >= whole.len();
            assert!(probes(&whole[..length]).len() <= usize::from(is_read), "{layout:?}: {length}");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                assert!(probes(&damaged).len() <= 1);
            }
        }
    }
}
