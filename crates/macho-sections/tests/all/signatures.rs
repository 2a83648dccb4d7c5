use macho_sections::{CodeDirectory, Container, Error, HashKind, Image, plan_edit_and_resign};
use patch_plan::Plan;

use crate::maker::{
    DATA, Directory, Encoding, FORMS, LITTLE_64, Made, PAGE, SHA1, SHA256, fat, library,
};

/// Every hash of both directories, computed anew from nothing but the maker's own knowledge.
fn assert_holds(bytes: &[u8], made: &Made, directories: &[Directory]) {
    let expected = crate::maker::sign(&bytes[..made.signature.start], directories);
    assert_eq!(&bytes[made.signature.clone()], expected);
}

fn edit(at: u64, old: &[u8], new: &[u8]) -> Plan {
    let mut plan = Plan::new();
    plan.edit(at, old, new).unwrap();
    plan
}

const EVERY_HASH: [Directory; 4] = [
    SHA256,
    SHA1,
    Directory { slot: 0x1001, hash: 3, flags: 0x2 },
    Directory { slot: 0x1002, hash: 4, flags: 0x2 },
];

#[test]
fn all_code_directories_and_special_slots_are_read_and_hold() {
    for form in FORMS {
        let made = library(form, Encoding::Opcodes, &EVERY_HASH);
        let image = Image::parse(&made.bytes).unwrap();
        let signature = image.signature().unwrap().unwrap();
        assert!(!signature.has_identity());
        let kinds: Vec<_> = signature.directories.iter().map(|it| it.hash).collect();
        let all = [HashKind::Sha256, HashKind::Sha1, HashKind::Sha256Truncated, HashKind::Sha384];
        assert_eq!(kinds, all);
        let first = &signature.directories[0];
        assert_eq!((first.identifier, first.team), (&b"made"[..], None));
        assert!(first.flags.is_ad_hoc() && first.flags.is_linker_signed());
        assert_eq!(first.page_size, PAGE as u64);
        let entitlements = signature.blob(5).unwrap();
        assert_eq!(first.special_hash(5).unwrap(), SHA256.digest(entitlements.bytes));
        assert_eq!(first.special_hash(6), None);

        let verification = image.verify_signature().unwrap().unwrap();
        assert!(verification.is_good());
        assert_eq!(verification.pages, 4 * made.signature.start.div_ceil(PAGE) as u64);
    }
}

#[test]
fn one_flipped_byte_is_one_bad_page_in_each_directory() {
    let made = library(LITTLE_64, Encoding::Opcodes, &EVERY_HASH);
    for at in [0x40, 0x7ff, 0x800, made.signature.start - 1] {
        let mut bytes = made.bytes.clone();
        bytes[at] ^= 1;
        let image = Image::parse(&bytes).unwrap();
        let verification = image.verify_signature().unwrap().unwrap();
        assert_eq!(verification.bad_pages.len(), 4);
        for bad in verification.bad_pages {
            assert!(bad.range.contains(&(at as u64)));
            assert_eq!(bad.page, (at / PAGE) as u64);
        }
    }
}

#[test]
fn a_changed_part_of_the_signature_is_a_bad_slot() {
    let made = library(LITTLE_64, Encoding::Opcodes, &[SHA256, SHA1]);
    let image = Image::parse(&made.bytes).unwrap();
    let blob = image.signature().unwrap().unwrap().blob(5).unwrap().offset as usize;
    let mut bytes = made.bytes.clone();
    bytes[blob + 9] ^= 1;
    let verification = Image::parse(&bytes).unwrap().verify_signature().unwrap().unwrap();
    assert!(!verification.is_good());
    assert_eq!(verification.bad_slots.iter().map(|it| it.slot).collect::<Vec<_>>(), [5, 5]);
}

#[test]
fn an_edit_renews_exactly_the_hashes_of_its_pages() {
    for form in FORMS {
        let made = library(form, Encoding::Opcodes, &EVERY_HASH);
        let image = Image::parse(&made.bytes).unwrap();
        // Two bytes on either side of a page's end.
        let at = image.offset_of(DATA + 0xff, 1).unwrap();
        let old = &made.bytes[at as usize..at as usize + 2];
        let resigned = plan_edit_and_resign(&image, &edit(at, old, &[1, 2])).unwrap();
        assert_eq!(resigned.directories.len(), 4);
        assert!(resigned.directories.iter().all(|it| it.pages == 2 && it.mended == 0));
        assert_eq!(resigned.plan.edits().len(), 1 + 4 * 2);

        let mut bytes = made.bytes.clone();
        resigned.plan.apply(&mut bytes).unwrap();
        assert_holds(&bytes, &made, &EVERY_HASH);
        let after = Image::parse(&bytes).unwrap();
        let hashes: Vec<_> = after
            .signature()
            .unwrap()
            .unwrap()
            .directories
            .iter()
            .map(CodeDirectory::cd_hash)
            .collect();
        let planned: Vec<_> = resigned.directories.iter().map(|it| it.cd_hash).collect();
        assert_eq!(hashes, planned);
        resigned.plan.invert().apply(&mut bytes).unwrap();
        assert_eq!(bytes, made.bytes);
    }
}

#[test]
fn what_another_tool_left_broken_is_mended() {
    let made = library(LITTLE_64, Encoding::Opcodes, &[SHA256, SHA1]);
    let mut bytes = made.bytes.clone();
    bytes[0x812] ^= 0xff;
    let image = Image::parse(&bytes).unwrap();
    let resigned = plan_edit_and_resign(&image, &Plan::new()).unwrap();
    assert!(resigned.directories.iter().all(|it| it.pages == 1 && it.mended == 1));
    resigned.plan.apply(&mut bytes).unwrap();
    assert_holds(&bytes, &made, &[SHA256, SHA1]);
}

/// A program without a bundle has its property list in a section, and the hash of it in slot 1.
#[test]
fn the_hash_of_a_property_list_is_renewed_unless_it_was_of_something_else() {
    let directories = [SHA256, SHA1];
    let made = library(LITTLE_64, Encoding::Opcodes, &directories);
    let mut bytes = made.bytes.clone();
    let name = bytes.windows(16).position(|it| it == b"__text\0\0\0\0\0\0\0\0\0\0").unwrap();
    bytes[name..name + 12].copy_from_slice(b"__info_plist");
    let signature = crate::maker::sign(&bytes[..made.signature.start], &directories);
    bytes[made.signature.clone()].copy_from_slice(&signature);
    let section = Image::parse(&bytes).unwrap();
    let section = section.section("__TEXT", "__info_plist").unwrap();
    let list = section.offset as usize..(section.offset + section.size) as usize;
    for is_of_it in [true, false] {
        let mut signed = bytes.clone();
        let image = Image::parse(&bytes).unwrap();
        for (directory, of) in
            image.signature().unwrap().unwrap().directories.iter().zip(&directories)
        {
            let start = directory.offset as usize;
            let hashes = u32::from_be_bytes(bytes[start + 16..start + 20].try_into().unwrap());
            let mut hash = of.digest(&bytes[list.clone()]);
            hash[0] ^= u8::from(!is_of_it);
            let slot = start + hashes as usize - hash.len();
            signed[slot..slot + hash.len()].copy_from_slice(&hash);
        }
        let image = Image::parse(&signed).unwrap();
        assert_eq!(image.verify_signature().unwrap().unwrap().is_good(), is_of_it);
        let at = list.start + 3;
        let edits = edit(at as u64, &signed[at..at + 1], &[!signed[at]]);
        let mut edited = signed.clone();
        plan_edit_and_resign(&image, &edits).unwrap().plan.apply(&mut edited).unwrap();
        let after = Image::parse(&edited).unwrap();
        let verified = after.verify_signature().unwrap().unwrap();
        assert!(verified.bad_pages.is_empty());
        assert_eq!(verified.is_good(), is_of_it, "{verified:?}");
        let before = image.signature().unwrap().unwrap();
        let after = after.signature().unwrap().unwrap();
        for ((before, after), of) in
            before.directories.iter().zip(&after.directories).zip(&directories)
        {
            let renewed = of.digest(&edited[list.clone()]);
            let wanted =
                if is_of_it { renewed.as_slice() } else { before.special_hash(1).unwrap() };
            assert_eq!(after.special_hash(1), Some(wanted));
        }
    }
}

#[test]
fn a_real_identity_is_refused() {
    // A directory without the ad-hoc flag.
    let signed = Directory { flags: 0x1_0000, ..SHA256 };
    let made = library(LITTLE_64, Encoding::Opcodes, &[SHA1, signed]);
    let image = Image::parse(&made.bytes).unwrap();
    assert!(image.signature().unwrap().unwrap().has_identity());
    let error = plan_edit_and_resign(&image, &Plan::new()).unwrap_err();
    assert_eq!(error, Error::RealIdentity { team: None });
    assert!(image.verify_signature().unwrap().unwrap().is_good());

    // A cryptographic signature, in the place of the entitlements.
    let made = library(LITTLE_64, Encoding::Opcodes, &[SHA256]);
    let mut bytes = made.bytes.clone();
    let slot = made.signature.start + 12 + 8;
    bytes[slot..slot + 4].copy_from_slice(&0x1_0000_u32.to_be_bytes());
    let image = Image::parse(&bytes).unwrap();
    let error = plan_edit_and_resign(&image, &Plan::new()).unwrap_err();
    assert!(matches!(error, Error::RealIdentity { .. }));
}

#[test]
fn edits_that_no_signature_survives_are_refused() {
    let made = library(LITTLE_64, Encoding::Opcodes, &[SHA256]);
    let image = Image::parse(&made.bytes).unwrap();
    let at = made.signature.start as u64;
    let byte = |at: u64| made.bytes[at as usize];
    for place in [at, at + 40, made.signature.end as u64 - 1] {
        let error = plan_edit_and_resign(&image, &edit(place, &[byte(place)], &[0x77]));
        assert!(matches!(error, Err(Error::Refused { offset, .. }) if offset == place));
    }
    let mut longer = Plan::new();
    longer.append(made.bytes.len() as u64, b"more").unwrap();
    assert!(matches!(plan_edit_and_resign(&image, &longer), Err(Error::Refused { .. })));
    let outside = edit(made.bytes.len() as u64, &[0], &[1]);
    assert!(matches!(plan_edit_and_resign(&image, &outside), Err(Error::Refused { .. })));
    let stale = edit(0x800, &[byte(0x800) ^ 1], &[0]);
    assert!(matches!(plan_edit_and_resign(&image, &stale), Err(Error::Plan(_))));
    // The load command that says where the signature is.
    let command = image.commands().find(|it| it.kind.0 == 0x1d).unwrap();
    let size = command.offset + 12;
    let moved = edit(size, &[byte(size)], &[byte(size) ^ 0x10]);
    assert!(matches!(plan_edit_and_resign(&image, &moved), Err(Error::Refused { .. })));
}

#[test]
fn an_unsigned_image_gets_its_edit_and_nothing_else() {
    let made = library(LITTLE_64, Encoding::Opcodes, &[]);
    let image = Image::parse(&made.bytes).unwrap();
    assert_eq!(image.verify_signature(), Ok(None));
    let edits = edit(0x800, &[made.bytes[0x800]], &[0x90]);
    let resigned = plan_edit_and_resign(&image, &edits).unwrap();
    assert_eq!(resigned.plan, edits);
    assert!(resigned.directories.is_empty());
}

#[test]
fn each_slice_of_a_fat_file_keeps_its_own_signature() {
    let first = library(LITTLE_64, Encoding::Opcodes, &[SHA256, SHA1]);
    let second = library(LITTLE_64, Encoding::Relocations, &[SHA256]);
    let bytes = fat(&[&first.bytes, &second.bytes], false);
    let container = Container::parse(&bytes).unwrap();
    let [one, two] = container.slices() else { panic!() };
    let mut edits = Plan::new();
    for slice in [one, two] {
        let at = slice.offset + 0x810;
        edits.edit(at, &bytes[at as usize..][..4], *b"edit").unwrap();
    }
    let resigned = container.plan_edit_and_resign(&edits).unwrap();
    let bases: Vec<_> = resigned.directories.iter().map(|it| it.base).collect();
    assert_eq!(bases, [one.offset, one.offset, two.offset]);
    let mut edited = bytes.clone();
    resigned.plan.apply(&mut edited).unwrap();
    let slice = |offset: u64, made: &Made| edited[offset as usize..][..made.bytes.len()].to_vec();
    assert_holds(&slice(one.offset, &first), &first, &[SHA256, SHA1]);
    assert_holds(&slice(two.offset, &second), &second, &[SHA256]);

    // Only one of them, by way of its image; an edit of the other does not belong to it.
    let image = one.image().unwrap();
    assert!(matches!(plan_edit_and_resign(&image, &edits), Err(Error::Refused { .. })));
    let list = edit(8, &bytes[8..12], &[1, 2, 3, 4]);
    assert!(matches!(container.plan_edit_and_resign(&list), Err(Error::Refused { .. })));
}

#[test]
fn a_signature_that_contradicts_itself_is_an_error() {
    let made = library(LITTLE_64, Encoding::Opcodes, &[SHA256, SHA1]);
    let start = made.signature.start;
    let be = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let first = start + be(&made.bytes, start + 16) as usize;
    // Place, value: each makes the signature impossible.
    let cases = [
        ("magic", start, 0xfade_0cc1),
        ("parts", start + 8, u32::MAX),
        ("two of one slot", start + 20, 0),
        ("overlap", start + 24, be(&made.bytes, start + 16) + 8),
        ("in the list", start + 16, 8),
        ("directory's magic", first, 0xfade_0c01),
        ("hash offset", first + 16, 10),
        ("far hash offset", first + 16, 0xffff_ff00),
        ("special slots", first + 24, 1000),
        ("fewer hashes", first + 28, 3),
        ("more hashes", first + 28, 0x00ff_ffff),
        ("code limit", first + 32, start as u32 + 1),
        ("hash size", first + 36, 0x1402_0008),
        ("hash kind", first + 36, 0x2009_0008),
        ("page size", first + 36, 0x2002_00ff),
        ("scatter", first + 44, 60),
        ("a name among the hashes", first + 20, be(&made.bytes, first + 16)),
    ];
    for (what, at, value) in cases {
        let mut bytes = made.bytes.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        let image = Image::parse(&bytes).unwrap();
        let error = image.signature().expect_err(what);
        assert!(!error.is_incomplete(), "{what}: {error}");
        assert_eq!(plan_edit_and_resign(&image, &Plan::new()), Err(error));
    }
}
