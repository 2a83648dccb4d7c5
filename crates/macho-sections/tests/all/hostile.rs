use macho_sections::oracle::macho_parse;
use macho_sections::{Container, Error, Image};

use crate::maker::{Encoding, FORMS, LITTLE_64, fixtures, library};

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
