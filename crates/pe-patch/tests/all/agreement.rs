use std::panic::catch_unwind;

use pe_patch::oracle::agrees_with_object;
use pe_patch::{DebugKind, Image, PdbPathOptions, Signature, plan_pdb_path};
use proptest::prelude::*;

use crate::maker::fixtures;

/// Compares with `object` and `goblin` where they accept the image; says how many did.
fn compare(bytes: &[u8]) -> usize {
    let Ok(image) = Image::parse(bytes) else { return 0 };
    usize::from(agrees_with_object(&image)) + usize::from(compare_goblin(&image))
}

fn compare_goblin(image: &Image<'_>) -> bool {
    let bytes = image.data().to_vec();
    // It may panic on damaged images, which is not what is tested here.
    let Ok(Some(theirs)) = catch_unwind(|| {
        let pe = goblin::pe::PE::parse(&bytes).ok()?;
        let record = pe.debug_data.as_ref().and_then(|debug| debug.codeview_pdb70_debug_info);
        let record = record.map(|it| (it.signature, it.age, it.filename.to_vec()));
        Some((pe.sections.len(), pe.entry, record))
    }) else {
        return false;
    };
    let (sections, entry, record) = theirs;
    assert_eq!(sections, image.sections().count());
    assert_eq!(entry as u64, u64::from(image.header().address_of_entry_point));
    let first = image.debug_entries().into_iter().find(|it| it.kind == DebugKind::Rsds);
    if let (Some(ours), Some((guid, age, path))) = (first, record)
        && ours.problems.is_empty()
        && ours.guid.map(|it| it.0) == Some(guid)
    {
        assert_eq!(ours.age, Some(age));
        let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
        assert_eq!(ours.path, Some(&path[..end]));
    }
    true
}

#[test]
fn two_other_readers_see_what_we_see_before_and_after_every_change() {
    let mut accepted = 0;
    for (name, bytes) in fixtures() {
        eprintln!("{name}");
        accepted += compare(&bytes);
        let image = Image::parse(&bytes).unwrap();
        for length in [3, 30, 130, 3000] {
            let options =
                PdbPathOptions { signature: Signature::Strip, ..PdbPathOptions::default() };
            let Ok(planned) = plan_pdb_path(&image, &"p".repeat(length), &options) else {
                continue;
            };
            let mut patched = bytes.clone();
            planned.plan.apply_to_vec(&mut patched).unwrap();
            accepted += compare(&patched);
        }
    }
    assert!(accepted > 100, "{accepted}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn damaged_images_that_others_accept_are_read_alike(
        which: prop::sample::Index,
        writes in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..4),
    ) {
        let inputs = fixtures();
        let (_, mut bytes) = inputs[which.index(inputs.len())].clone();
        for (place, value) in writes {
            let start = place.index(bytes.len().min(0x700) / 4) * 4;
            let value = if value % 2 == 0 { value % 0x5000 } else { value };
            let end = (start + 4).min(bytes.len());
            bytes[start..end].copy_from_slice(&value.to_le_bytes()[..end - start]);
        }
        compare(&bytes);
    }
}
