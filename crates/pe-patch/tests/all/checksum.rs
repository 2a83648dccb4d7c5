use pe_patch::{Error, Image, KnownSum, PdbPathOptions, Sum, plan_pdb_path};
use proptest::prelude::*;

use crate::maker::{CODEVIEW, Maker, fixtures, naive_checksum, rsds};

#[test]
fn fixtures_have_the_checksum_that_is_taken_word_by_word() {
    for (name, bytes) in fixtures() {
        let image = Image::parse(&bytes).unwrap();
        let stored = image.stored_checksum();
        let expected = naive_checksum(&bytes, stored.offset as usize);
        assert_eq!(image.computed_checksum(), expected, "{name}");
        assert!(stored.value == expected || name == "no-checksum", "{name}");
    }
}

#[test]
fn what_is_no_image_has_no_checksum() {
    assert!(matches!(pe_patch::checksum(b"MZ"), Err(Error::Short { .. })));
}

proptest! {
    #[test]
    fn sums_are_the_same_however_the_bytes_come(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut pieces = Sum::new();
        for cut in cuts.windows(2) {
            pieces.update(&bytes[cut[0]..cut[1]]);
        }
        prop_assert_eq!(pieces, Sum::of(&bytes));
        prop_assert_eq!(Sum::read(&bytes[..]).unwrap(), pieces);
        prop_assert_eq!(pieces.length(), bytes.len() as u64);
    }

    /// Whatever the contents, an odd length and a checksum at an odd offset among them, the sum
    /// that is brought up to date is the one that is taken anew.
    #[test]
    fn a_checksum_brought_up_to_date_is_the_one_taken_anew(
        fill in prop::collection::vec(any::<u8>(), 0x200),
        overlay in prop::collection::vec(any::<u8>(), 0..9),
        odd in 0..4_u32,
        length in 1..700_usize,
    ) {
        let mut maker = Maker::with_records(true, &[(CODEVIEW, rsds("C:\\a.pdb"))]);
        maker.sections[0].bytes = fill;
        maker.overlay = overlay;
        maker.lfanew += odd;
        let mut bytes = maker.bytes();
        let image = Image::parse(&bytes).unwrap();
        let options = PdbPathOptions { sum: KnownSum::Trust, ..PdbPathOptions::default() };
        let planned = plan_pdb_path(&image, &"p".repeat(length), &options).unwrap();
        planned.plan.apply_to_vec(&mut bytes).unwrap();
        prop_assert_eq!(planned.report.checksum.after, naive_checksum(&bytes, maker.checksum_offset()));
    }
}

/// The sum is never the 0 that is equal to 65,535: an image starts with something.
#[test]
fn a_sum_that_folds_to_zero_is_all_ones() {
    let mut maker = Maker::new(true);
    maker.with_checksum = false;
    for low in 0..=255 {
        for high in [0, 1, 0x7f, 0xff] {
            maker.overlay = vec![low, high];
            let bytes = maker.bytes();
            let expected = naive_checksum(&bytes, maker.checksum_offset());
            assert_eq!(pe_patch::checksum(&bytes), Ok(expected));
        }
    }
    let sum = naive_checksum(&maker.bytes(), maker.checksum_offset()) - maker.bytes().len() as u32;
    let missing = (0xffff - sum) as u16;
    maker.overlay.extend(missing.to_le_bytes());
    let bytes = maker.bytes();
    assert_eq!(pe_patch::checksum(&bytes), Ok(0xffff + bytes.len() as u32));
}
