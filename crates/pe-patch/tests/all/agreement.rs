use std::panic::catch_unwind;

use object::LittleEndian as LE;
use object::read::pe::{ImageNtHeaders, PeFile32, PeFile64};
use object::{Object, ObjectSection};
use pe_patch::{DebugKind, Format, Image, PdbPathOptions, Signature, plan_pdb_path};
use proptest::prelude::*;

use crate::maker::fixtures;

/// Compares with `object` and `goblin` where they accept the image; says how many did.
fn compare(bytes: &[u8]) -> usize {
    let Ok(image) = Image::parse(bytes) else { return 0 };
    let with_object = match image.header().format {
        Format::Pe32 => PeFile32::parse(bytes).map(|it| compare_object(&image, &it)).is_ok(),
        Format::Pe32Plus => PeFile64::parse(bytes).map(|it| compare_object(&image, &it)).is_ok(),
    };
    usize::from(with_object) + usize::from(compare_goblin(&image))
}

fn compare_object<Pe: ImageNtHeaders>(
    image: &Image<'_>,
    object: &object::read::pe::PeFile<'_, Pe>,
) {
    let sections: Vec<_> = image.sections().collect();
    let table = object.section_table();
    assert_eq!(table.len(), sections.len());
    for (ours, theirs) in sections.iter().zip(table.iter()) {
        assert_eq!(ours.address, u64::from(theirs.virtual_address.get(LE)));
        assert_eq!(ours.offset, u64::from(theirs.pointer_to_raw_data.get(LE)));
        assert_eq!(ours.file_size, u64::from(theirs.size_of_raw_data.get(LE)));
        assert_eq!(ours.flags.0, theirs.characteristics.get(LE).0);
    }
    for (ours, theirs) in sections.iter().zip(object.sections()) {
        // Where its strings are damaged, `object` gives no name and we give the short one.
        if let Ok(name) = theirs.name_bytes()
            && !ours.name.starts_with(b"/")
        {
            assert_eq!(ours.name, name);
        }
    }
    let first = image.debug_entries().into_iter().find(|it| it.kind == DebugKind::Rsds);
    if let (Some(ours), Ok(Some(theirs))) = (first, object.pdb_info())
        && ours.problems.is_empty()
    {
        assert_eq!(ours.guid.map(|it| it.0), Some(theirs.guid()));
        assert_eq!((ours.age, ours.path), (Some(theirs.age()), Some(theirs.path())));
    }
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
    #![proptest_config(ProptestConfig::with_cases(1000))]

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
