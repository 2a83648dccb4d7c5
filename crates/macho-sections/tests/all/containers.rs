use macho_sections::{Container, Cpu, Error, FatKind, Image, Structure};

use crate::maker::{Encoding, LITTLE_32, LITTLE_64, fat, library};

fn two() -> [Vec<u8>; 2] {
    [LITTLE_64, LITTLE_32].map(|form| library(form, Encoding::Opcodes, &[]).bytes)
}

#[test]
fn the_slices_of_both_kinds_of_fat_files_are_found() {
    let [first, second] = two();
    for is_64 in [false, true] {
        let bytes = fat(&[&first, &second], is_64);
        let container = Container::parse(&bytes).unwrap();
        let Container::Fat(fat) = &container else { panic!() };
        assert_eq!(fat.kind, if is_64 { FatKind::Fat64 } else { FatKind::Fat32 });
        let [one, two] = &fat.slices[..] else { panic!() };
        assert_eq!((one.data, two.data), (&first[..], &second[..]));
        assert_eq!(one.cpu.family, Cpu::ARM64.family);
        let images: Vec<_> = container.images().map(Result::unwrap).collect();
        assert_eq!(images[1].base(), two.offset);
        assert_eq!(images[1].data(), second);
    }
}

#[test]
fn a_processor_gets_its_own_slice_or_its_familys_oldest() {
    let [first, second] = two();
    let mut bytes = fat(&[&first, &second, &first], false);
    // Two of one family: arm64e with its capability bits, then plain arm64.
    bytes[8..16].copy_from_slice(&[1, 0, 0, 12, 0x80, 0, 0, 2]);
    bytes[48..56].copy_from_slice(&[1, 0, 0, 12, 0, 0, 0, 0]);
    let container = Container::parse(&bytes).unwrap();
    let chosen = |cpu| container.image_for(cpu).map(|image| image.unwrap().base());
    let slices = container.slices();
    assert_eq!(chosen(Cpu::ARM64E), Some(slices[0].offset));
    assert_eq!(chosen(Cpu::ARM64), Some(slices[2].offset));
    assert_eq!(chosen(Cpu { subtype: 7, ..Cpu::ARM64 }), Some(slices[2].offset));
    assert_eq!(chosen(Cpu::POWERPC), None);
    assert_eq!(slices[0].cpu.to_string(), "arm64e");
}

#[test]
fn slices_that_overlap_nest_or_reach_into_the_list_are_refused() {
    let [first, second] = two();
    let good = fat(&[&first, &second], false);
    let place = |slice: usize| 8 + 20 * slice + 8;
    let at = |bytes: &[u8], slice: usize| {
        u32::from_be_bytes(bytes[place(slice)..][..4].try_into().unwrap())
    };
    let first_at = at(&good, 0);
    for second_at in [first_at, first_at + 16, first_at + 0x100, 16, 0] {
        let mut bytes = good.clone();
        bytes[place(1)..][..4].copy_from_slice(&second_at.to_be_bytes());
        let error = Container::parse(&bytes).unwrap_err();
        let structure = Structure::Slice;
        assert!(matches!(error, Error::Malformed { structure: it, .. } if it == structure));
        assert!(!error.is_incomplete());
    }
    // Unsorted slices are fine.
    let mut bytes = good.clone();
    let (one, two) = bytes[8..48].split_at_mut(20);
    one.swap_with_slice(two);
    assert_eq!(Container::parse(&bytes).unwrap().images().flatten().count(), 2);
}

#[test]
fn a_java_class_is_told_from_a_fat_file() {
    let class = [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 52, 0, 10];
    for error in [Container::parse(&class).unwrap_err(), Image::parse(&class).unwrap_err()] {
        assert_eq!(error, Error::JavaClass { major: 52 });
    }
    // A preview release has a minor version of 65535.
    let preview = [0xca, 0xfe, 0xba, 0xbe, 0xff, 0xff, 0, 65, 0, 10];
    assert_eq!(Container::parse(&preview).unwrap_err(), Error::JavaClass { major: 65 });
}

#[test]
fn other_files_are_told_by_their_start() {
    for bytes in [&b"\x7fELF\x02\x01\x01"[..], b"MZ\x90\0", b"!<arch>\n", b"#!"] {
        let error = Container::parse(bytes).unwrap_err();
        assert!(matches!(error, Error::NotMachO { .. }), "{error}");
        assert!(!error.is_incomplete());
    }
    let [first, _] = two();
    assert_eq!(Image::parse(&fat(&[&first], false)).unwrap_err(), Error::Fat);
    assert!(Container::parse(&[0; 64]).unwrap_err().is_incomplete());
    assert!(Container::parse(&[]).unwrap_err().is_incomplete());
}

#[test]
fn an_archive_in_a_slice_is_no_image() {
    let bytes = fat(&[b"!<arch>\nlibrary/"], false);
    let container = Container::parse(&bytes).unwrap();
    let image = container.slices()[0].image();
    assert!(matches!(image, Err(Error::NotMachO { .. })));
}
