use macho_sections::oracle::macho_parse;
use macho_sections::{Container, Error, Image};

use crate::maker::{Encoding, FORMS, LITTLE_32, LITTLE_64, Segment, fixtures, library, section};

#[test]
fn every_prefix_is_incomplete_and_none_panics() {
    for (name, bytes) in fixtures() {
        for end in 0..bytes.len() {
            let prefix = &bytes[..end];
            match Container::parse(prefix) {
                Ok(container) => {
                    // The headers are whole; what is missing is said by whoever looks for it.
                    for image in container.images() {
                        let error = image.and_then(|image| image.check_extent()).unwrap_err();
                        assert!(error.is_incomplete(), "{name} {end:#x}: {error}");
                    }
                }
                Err(error) => assert!(error.is_incomplete(), "{name} {end:#x}: {error}"),
            }
            if end % 61 == 0 {
                macho_parse(prefix);
            }
        }
    }
}

#[test]
fn a_load_command_that_stands_still_or_reaches_too_far_is_refused() {
    for form in FORMS {
        let good = library(form, Encoding::Opcodes, &[]).bytes;
        let first = form.header_size() + 4;
        let commands = u32::try_from(good.len()).unwrap();
        for size in [0, 1, 7, commands, u32::MAX, 0x8000_0000] {
            let mut bytes = good.clone();
            bytes[first..first + 4].copy_from_slice(&form.u32(size));
            let error = Image::parse(&bytes).unwrap_err();
            assert!(matches!(error, Error::Malformed { .. }), "{size:#x}: {error}");
            macho_parse(&bytes);
        }
    }
}

#[test]
fn commands_that_overlap_or_lack_room_for_their_sections_are_refused() {
    for form in FORMS {
        let good = library(form, Encoding::Opcodes, &[]).bytes;
        let start = form.header_size();
        // The first segment ends in the middle of its section: what follows overlaps it.
        let mut bytes = good.clone();
        bytes[start + 4..start + 8].copy_from_slice(&form.u32(96));
        let error = Image::parse(&bytes).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{form:?}: {error}");
        // One section more than there is room for, and as many as can be counted.
        let count = start + if form.is_wide { 64 } else { 48 };
        for sections in [2_u32, u32::MAX, 0x0333_3334] {
            let mut bytes = good.clone();
            bytes[count..count + 4].copy_from_slice(&form.u32(sections));
            assert!(matches!(Image::parse(&bytes), Err(Error::Malformed { .. })));
        }
        // More commands than there are.
        let mut bytes = good.clone();
        bytes[16..20].copy_from_slice(&form.u32(u32::MAX));
        let error = Image::parse(&bytes).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
}

#[test]
fn every_single_changed_byte_keeps_every_promise() {
    for (_, mut bytes) in fixtures() {
        for index in 0..bytes.len() {
            // Of code, data, tables and hashes every seventh: most of them are not what the parser
            // goes by, and each costs as much as the rest.
            if index % 7 != 0 && index >= 0x800 {
                continue;
            }
            let old = bytes[index];
            bytes[index] = if index % 2 == 0 { 0xff } else { old ^ 1 };
            macho_parse(&bytes);
            bytes[index] = old;
        }
    }
}

#[test]
fn one_endless_name_costs_no_more_than_many() {
    // A table of symbols whose names are all the same text without an end.
    let form = LITTLE_64;
    let mut symbols = Vec::new();
    for index in 0..40_000_u32 {
        symbols.extend(form.symbol(index, 0x0f, 1, 0, 0));
    }
    let strings = vec![b'a'; symbols.len()];
    let size = symbols.len() as u32;
    let places = form.words(&[0x100, 40_000, 0x100 + size, size]);
    let mut bytes = form.head(6, &[form.command(2, &places)], 0x100);
    bytes.extend(symbols);
    bytes.extend(strings);
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.symbols().unwrap().filter(|it| it.name.is_empty()).count(), 40_000);
}

/// What went through all segments or sections for each word or symbol would take minutes here.
#[test]
fn very_many_segments_sections_and_relocations_are_no_work_of_all_with_all() {
    const SEGMENTS: u32 = 20_000;
    const RELOCATIONS: u32 = 200_000;
    let form = LITTLE_32;
    let head = (SEGMENTS as usize * (56 + 68) + 80 + 28).next_multiple_of(0x1000);
    let mut commands: Vec<Vec<u8>> = (0..SEGMENTS)
        .map(|index| {
            let address = 0x1000 * (1 + u64::from(index));
            form.segment(&Segment {
                name: "__DATA",
                address,
                size: 0x1000,
                offset: 0,
                file_size: 8,
                maximum: 3,
                permissions: 3,
                flags: 0,
                sections: vec![section("__DATA", "__data", address, 8, 0, 0)],
            })
        })
        .collect();
    let mut places = [0; 18];
    places[16..].copy_from_slice(&[head as u32, RELOCATIONS]);
    commands.push(form.command(0xb, &form.words(&places)));
    let mut bytes = form.head(6, &commands, head);
    // Local ones of four bytes, of words that are zeros in memory, in the last segments.
    for index in 0..RELOCATIONS {
        let segment = SEGMENTS - 1 - index % 1000;
        bytes.extend(form.words(&[0x1000 * segment + 0x800 + index / 1000 * 4, 2 << 25]));
    }
    let image = Image::parse(&bytes).unwrap();
    assert_eq!(image.fixups().filter(Result::is_ok).count(), RELOCATIONS as usize);
    for index in 0..SEGMENTS {
        let address = 0x1000 * (1 + u64::from(index));
        let section = image.section_at(address + 7).unwrap();
        assert_eq!((section.index, section.segment), (index, index));
        assert_eq!(image.segment_at(address + 8).unwrap().index, index);
        assert_eq!(image.section_at(address + 8), None);
        assert_eq!((image.offset_of(address, 8), image.offset_of(address, 9)), (Some(0), None));
    }
    assert_eq!(image.writable().variables.len(), SEGMENTS as usize);
}
