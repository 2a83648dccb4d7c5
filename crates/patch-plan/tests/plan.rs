//! What a plan promises: all or nothing, back again, and the same twice.

use patch_plan::{Edit, Error, FileError, Plan};
use proptest::prelude::*;

#[test]
fn edits_are_kept_in_order_whatever_the_order_they_come_in() {
    let mut plan = Plan::new();
    plan.edit(8, *b"cc", *b"CC").unwrap().edit(0, *b"a", *b"A").unwrap();
    plan.edit(4, *b"bb", *b"BB").unwrap();
    let offsets: Vec<u64> = plan.edits().iter().map(|edit| edit.offset).collect();
    assert_eq!(offsets, [0, 4, 8]);
}

#[test]
fn what_no_plan_can_have_is_refused_and_leaves_the_plan_as_it_was() {
    let mut plan = Plan::new();
    plan.edit(4, *b"abcd", *b"ABCD").unwrap();
    let before = plan.clone();
    for (offset, length, other) in [(4, 4, 4), (3, 2, 4), (7, 1, 4), (0, 64, 4), (5, 2, 4)] {
        let refused = plan.edit(offset, vec![0; length], vec![1; length]).unwrap_err();
        assert_eq!(refused, Error::Overlap { offset, other });
    }
    let refused = plan.edit(20, *b"ab", *b"abc").unwrap_err();
    assert_eq!(refused, Error::LengthsDiffer { offset: 20, old: 2, new: 3 });
    assert_eq!(refused.to_string(), "edit at 0x14: 2 bytes cannot be replaced by 3");
    assert!(plan.edit(u64::MAX, *b"ab", *b"cd").is_err());
    assert!(matches!(plan.append(6, b"x"), Err(Error::Overlap { offset: 6, other: 4 })));
    assert_eq!(plan, before);
    // Neighbours do not overlap.
    plan.edit(8, *b"e", *b"E").unwrap().edit(3, *b"f", *b"F").unwrap();
}

#[test]
fn an_edit_behind_the_end_of_the_image_is_refused_with_where_that_is() {
    let mut plan = Plan::new();
    plan.edit(6, *b"abcd", *b"ABCD").unwrap();
    let refused = plan.apply(&mut b"12345678".to_vec()).unwrap_err();
    assert_eq!(refused, Error::OutOfRange { offset: 6, wanted: 4, end: 8 });
    assert_eq!(refused.to_string(), "edit at 0x6: 4 bytes wanted, image ends at 0x8");
    let mut plan = Plan::new();
    plan.edit(u64::MAX - 4, *b"abcd", *b"ABCD").unwrap();
    assert!(matches!(plan.apply(&mut [0; 8]), Err(Error::OutOfRange { .. })));
}

#[test]
fn a_mismatch_says_where_and_what() {
    let mut plan = Plan::new();
    plan.edit(2, *b"ab", *b"AB").unwrap();
    let mut image = *b"..xy..";
    let refused = plan.apply(&mut image).unwrap_err();
    assert_eq!(refused.to_string(), "0x2: expected 6162, found 7879");
    assert_eq!(&image, b"..xy..");
}

#[test]
fn appended_bytes_come_and_go() {
    let mut plan = Plan::new();
    plan.edit(0, *b"a", *b"A").unwrap().append(4, b"ef").unwrap().append(4, b"gh").unwrap();
    let mut image = b"abcd".to_vec();
    assert_eq!(plan.apply(&mut image), Err(Error::LengthChanges { offset: 4 }));
    plan.apply_to_vec(&mut image).unwrap();
    assert_eq!(image, b"Abcdefgh");
    assert_eq!(
        plan.apply_to_vec(&mut image.clone()),
        Err(Error::Mismatch { offset: 0, expected: b"a".to_vec(), found: b"A".to_vec() })
    );
    plan.invert().apply_to_vec(&mut image).unwrap();
    assert_eq!(image, b"abcd");
    assert_eq!(
        plan.apply_to_vec(&mut b"abc".to_vec()),
        Err(Error::WrongLength { expected: 4, end: 3 })
    );
}

#[test]
fn a_merged_plan_has_the_changes_of_both_or_is_as_it_was() {
    let mut first = Plan::new();
    first.edit(0, *b"a", *b"A").unwrap();
    let mut second = Plan::new();
    second.edit(2, *b"c", *b"C").unwrap().append(4, b"e").unwrap();
    first.merge(&second).unwrap();
    let mut image = b"abcd".to_vec();
    first.apply_to_vec(&mut image).unwrap();
    assert_eq!(image, b"AbCde");

    let before = first.clone();
    let mut third = Plan::new();
    third.edit(1, *b"b", *b"B").unwrap().edit(2, *b"c", *b"x").unwrap();
    assert!(first.merge(&third).is_err());
    assert_eq!(first, before);
}

#[test]
fn a_plan_is_shown_as_text_and_as_json() {
    let mut plan = Plan::new();
    plan.edit(0x10, *b"\x00\x01", *b"\xfe\xff").unwrap().append(0x20, b"!").unwrap();
    assert_eq!(plan.show().to_string(), "0x10: 0001 -> feff\n0x20: append 21\n");
    assert_eq!(plan.invert().show().to_string(), "0x10: feff -> 0001\n0x20: take off 21\n");
    let json: serde_json::Value = serde_json::from_str(&plan.to_json()).unwrap();
    assert_eq!(json["edits"][0]["offset"], 16);
    assert_eq!(json["edits"][0]["old"], "0001");
    assert_eq!(json["edits"][0]["new"], "feff");
    assert_eq!(json["tail"]["new"], "21");
    let empty: serde_json::Value = serde_json::from_str(&Plan::new().to_json()).unwrap();
    assert!(empty["edits"].as_array().unwrap().is_empty() && empty["tail"].is_null());

    let mut long = Plan::new();
    long.edit(0, vec![0xaa; 100], vec![0xbb; 100]).unwrap();
    assert!(long.show().to_string().contains("… (100 bytes) -> bb"));
}

#[test]
fn a_file_is_changed_only_if_every_edit_fits() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"0123456789").unwrap();
    let path = file.path().to_owned();
    let mut plan = Plan::new();
    plan.edit(1, *b"1", *b"a").unwrap().edit(8, *b"x", *b"b").unwrap();
    let refused = plan.apply_to_file(file.as_file(), &path).unwrap_err();
    assert!(matches!(refused, FileError::Plan { source: Error::Mismatch { offset: 8, .. }, .. }));
    assert_eq!(refused.to_string(), format!("{}: 0x8: expected 78, found 38", path.display()));
    assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");

    let mut plan = Plan::new();
    plan.edit(1, *b"1", *b"a").unwrap().append(10, b"!").unwrap();
    plan.apply_to_file(file.as_file(), &path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"0a23456789!");
    plan.invert().apply_to_file(file.as_file(), &path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");
}

/// An image, and edits that fit it without touching each other.
fn image_and_plan() -> impl Strategy<Value = (Vec<u8>, Plan)> {
    (prop::collection::vec(any::<u8>(), 0..200), any::<u64>(), prop::option::of(0..20_usize))
        .prop_flat_map(|(image, seed, appended)| {
            let length = image.len();
            let edits = prop::collection::vec((0..=length, 0..9_usize, any::<[u8; 8]>()), 0..12);
            (Just(image), edits, Just((seed, appended)))
        })
        .prop_map(|(image, edits, (seed, appended))| {
            let mut plan = Plan::new();
            for (start, length, new) in edits {
                let end = image.len().min(start + length);
                // The ones that overlap are left out by the plan itself.
                let _ = plan.edit(start as u64, &image[start..end], &new[..end - start]);
            }
            if let Some(count) = appended {
                plan.append(image.len() as u64, &seed.to_le_bytes().repeat(3)[..count]).unwrap();
            }
            (image, plan)
        })
}

proptest! {
    #[test]
    fn apply_then_inverse_gives_the_same_bytes((image, plan) in image_and_plan()) {
        let mut patched = image.clone();
        plan.apply_to_vec(&mut patched).unwrap();
        for edit in plan.edits() {
            let start = edit.offset as usize;
            prop_assert_eq!(&patched[start..start + edit.new.len()], &edit.new[..]);
        }
        plan.invert().apply_to_vec(&mut patched).unwrap();
        prop_assert_eq!(patched, image);
        prop_assert_eq!(plan.invert().invert(), plan);
    }

    #[test]
    fn bytes_outside_of_the_edits_stay((image, plan) in image_and_plan()) {
        let mut patched = image.clone();
        plan.apply_to_vec(&mut patched).unwrap();
        for (index, (old, new)) in image.iter().zip(&patched).enumerate() {
            let is_edited = plan.edits().iter().any(|edit| {
                (edit.offset..edit.end().unwrap()).contains(&(index as u64))
            });
            prop_assert!(is_edited || old == new);
        }
    }

    #[test]
    fn the_same_input_and_plan_give_the_same_bytes((image, plan) in image_and_plan()) {
        let (mut first, mut second) = (image.clone(), image);
        plan.apply_to_vec(&mut first).unwrap();
        // The order in which the edits were given does not matter.
        let edits: Vec<Edit> = plan.edits().iter().rev().cloned().collect();
        let mut again = Plan::from_edits(edits).unwrap();
        if let Some(tail) = plan.tail() {
            again.append(tail.offset, &tail.new).unwrap();
        }
        prop_assert_eq!(&again, &plan);
        again.apply_to_vec(&mut second).unwrap();
        prop_assert_eq!(first, second);
    }

    #[test]
    fn a_failing_old_leaves_every_byte_untouched(
        (image, plan) in image_and_plan(),
        which: prop::sample::Index,
    ) {
        prop_assume!(!plan.edits().is_empty());
        let edit = &plan.edits()[which.index(plan.edits().len())];
        let mut changed = image;
        changed[edit.offset as usize] ^= 0x80;
        let before = changed.clone();
        prop_assert!(plan.apply_to_vec(&mut changed).is_err());
        prop_assert_eq!(&changed, &before);
        prop_assert!(plan.apply(&mut changed).is_err());
        prop_assert_eq!(changed, before);
    }

    #[test]
    fn a_file_and_a_slice_are_patched_alike((image, plan) in image_and_plan()) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &image).unwrap();
        plan.apply_to_file(file.as_file(), file.path()).unwrap();
        let mut patched = image;
        plan.apply_to_vec(&mut patched).unwrap();
        prop_assert_eq!(std::fs::read(file.path()).unwrap(), patched);
    }
}

#[test]
fn a_tail_is_replaced_by_a_longer_or_a_shorter_one_and_comes_back() {
    for new in [&b"longer than before"[..], b"x", b""] {
        let mut plan = Plan::new();
        plan.edit(0, *b"a", *b"A").unwrap().replace_tail(4, *b"efgh", new).unwrap();
        assert!(matches!(plan.append(4, b"x"), Err(Error::SecondTail { .. })));
        assert!(matches!(plan.edit(3, *b"de", *b"DE"), Err(Error::Overlap { .. })));
        let mut image = b"abcdefgh".to_vec();
        plan.apply_to_vec(&mut image).unwrap();
        assert_eq!(image, [b"Abcd", new].concat());
        plan.invert().apply_to_vec(&mut image).unwrap();
        assert_eq!(image, b"abcdefgh");
        assert!(plan.apply_to_vec(&mut b"abcdefgx".to_vec()).is_err());
    }
}

#[test]
fn a_plan_is_made_of_very_many_edits_in_any_order() {
    let edits = (0..300_000).rev().map(|at| Edit { offset: at * 2, old: vec![0], new: vec![1] });
    let plan = Plan::from_edits(edits).unwrap();
    assert_eq!(plan.edits().len(), 300_000);
    let (low, high) = plan.edits().split_at(150_000);
    let mut merged = Plan::from_edits(high.iter().cloned()).unwrap();
    merged.merge(&Plan::from_edits(low.iter().cloned()).unwrap()).unwrap();
    assert_eq!(merged, plan);
    assert!(merged.merge(&plan).is_err() && merged == plan);
}
