use macho_sections::{Authentication, Binding, Error, Fixup, FixupTarget, Image};

use crate::maker::{BASE, DATA, Encoding, FORMS, LITTLE_64, chained, library};

fn fixups(bytes: &[u8]) -> Result<Vec<(u64, String)>, Error> {
    let image = Image::parse(bytes).unwrap();
    let text = |fixup: Fixup<'_>| match fixup.target {
        FixupTarget::Address(target) => format!("to {target:#x}"),
        FixupTarget::Symbol { name, library, addend, binding } => {
            let name = String::from_utf8_lossy(name).into_owned();
            format!("{name} {library:?} {addend} {binding:?}")
        }
        other => format!("{other:?}"),
    };
    image.fixups().map(|fixup| fixup.map(|it| (it.address, text(it)))).collect()
}

#[test]
fn opcodes_of_both_classes_and_byte_orders_say_which_words_are_addresses() {
    for form in FORMS {
        let made = library(form, Encoding::Opcodes, &[]);
        let found = fixups(&made.bytes).unwrap();
        let addresses: Vec<_> = found.iter().map(|(address, _)| *address).collect();
        let rebased: [u64; 4] =
            if form.is_wide { [0x10, 0x28, 0x38, 0x48] } else { [0x10, 0x24, 0x30, 0x3c] };
        let mut expected = rebased.map(|offset| DATA + offset).to_vec();
        expected.extend([BASE + 0x900, DATA + 0x70, DATA + 0x80]);
        assert_eq!(addresses, expected);
        let texts: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts[0], format!("to {:#x}", DATA + 0x20));
        assert_eq!(texts[4], "_bound Some(1) -8 Eager");
        assert_eq!(texts[5], "_weak Some(-3) 0 Weak");
        assert_eq!(texts[6], "_lazy Some(2) 0 Lazy");
    }
}

#[test]
fn relocations_of_both_classes_and_byte_orders_say_which_words_are_addresses() {
    for form in FORMS {
        let made = library(form, Encoding::Relocations, &[]);
        assert_eq!(
            fixups(&made.bytes).unwrap(),
            [
                (DATA + 0x20, "_import None 0 Eager".to_owned()),
                (DATA + 0x10, format!("to {:#x}", DATA + 0x20)),
            ]
        );
    }
}

#[test]
fn chains_of_every_format_lead_from_word_to_word() {
    for (name, form, encoding) in chained() {
        let made = library(form, encoding, &[]);
        assert_eq!(
            fixups(&made.bytes).unwrap(),
            [
                (DATA + 0x10, format!("to {:#x}", DATA + 0x20)),
                (DATA + 0x20, "_chained Some(1) 0 Eager".to_owned()),
            ],
            "{name}"
        );
        let image = Image::parse(&made.bytes).unwrap();
        let first = image.fixups().next().unwrap().unwrap();
        assert_eq!(u64::from(first.size), form.word_size() as u64);
        let signed = Authentication { key: 2, diversity: 0x1234, by_address: true };
        assert_eq!(first.authentication, (name == "arm64e-userland24").then_some(signed));
    }
}

#[test]
fn a_number_in_a_chain_of_32_bit_words_is_no_address() {
    let made = chained().into_iter().find(|(name, ..)| *name == "32").unwrap();
    let (_, form, Encoding::Chained(format, ..)) = made else { panic!() };
    // Beyond the greatest valid pointer, 0x100000, by which the bias is 0x2080000.
    let made = library(form, Encoding::Chained(format, 0x0208_0007, 0), &[]);
    let image = Image::parse(&made.bytes).unwrap();
    let first = image.fixups().next().unwrap().unwrap();
    assert_eq!(first.target, FixupTarget::Number(7));
}

#[test]
fn a_chain_that_leaves_its_segment_or_names_what_is_not_there_is_an_error() {
    let far = 0xfff << 51 | DATA;
    let unknown_import = 1 << 63 | 5;
    for (first, second) in [(far, 0), (unknown_import, 0)] {
        let made = library(LITTLE_64, Encoding::Chained(2, first, second), &[]);
        let image = Image::parse(&made.bytes).unwrap();
        let last = image.fixups().last().unwrap();
        assert!(matches!(last, Err(Error::Malformed { .. })), "{last:?}");
        assert!(image.writable().unread.is_some());
    }
}

#[test]
fn opcodes_that_never_end_are_an_error() {
    let made = library(LITTLE_64, Encoding::Opcodes, &[]);
    // The third rebase: 2^63 - 1 times, and each steps back onto the same word.
    let mut endless = vec![0x11, 0x22, 0x10, 0x80];
    endless.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    endless.extend([0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    let mut bytes = made.bytes;
    // LC_DYLD_INFO_ONLY says how many bytes of opcodes there are.
    let command = 0x8000_0022_u32.to_le_bytes();
    let at = bytes.windows(4).position(|it| it == command).unwrap();
    bytes[at + 12..at + 16].copy_from_slice(&(endless.len() as u32).to_le_bytes());
    bytes.splice(0xb00..0xb00 + endless.len(), endless);
    let image = Image::parse(&bytes).unwrap();
    let found: Vec<_> = image.fixups().take(bytes.len() * 2).collect();
    assert_eq!(found.len(), bytes.len() + 1);
    let (last, others) = found.split_last().unwrap();
    assert!(others.iter().flatten().count() == bytes.len());
    assert!(last.as_ref().unwrap_err().to_string().contains("more fixups than bytes"), "{last:?}");
    let eager = found
        .into_iter()
        .flatten()
        .filter(|it| matches!(it.target, FixupTarget::Symbol { binding: Binding::Eager, .. }));
    assert_eq!(eager.count(), 0);
}
