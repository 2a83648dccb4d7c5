//! Records that are taken out, and records that are added.

use std::fs;
use std::path::PathBuf;

use pe_patch::{
    DebugKind, Error, Guid, Identity, Image, PdbPathOptions, PdbPathPlan, Removal, Rung, Signature,
    plan_add_codeview, plan_remove_pdb_path, plan_repro_fix,
};

use crate::reader::{CODEVIEW, CodeView, Reader, checksum};
use crate::{images, metadata, second};

const STRIP: PdbPathOptions = PdbPathOptions {
    entry: pe_patch::Which::All,
    form: pe_patch::PathForm::Full,
    allow_base_name: false,
    signature: Signature::Strip,
    sum: pe_patch::KnownSum::Verify,
};

#[test]
fn a_path_is_taken_out_and_nothing_else() {
    for (path, bytes) in images_with_bytes() {
        let name = path.display().to_string();
        let image = Image::parse(&bytes).unwrap();
        let planned = plan_remove_pdb_path(&image, Removal::Path, &STRIP);
        if Reader::new(&bytes).codeviews().is_empty() {
            assert_eq!(planned.unwrap_err(), Error::NoPath, "{name}");
            continue;
        }
        let planned = planned.unwrap();
        let after = applied(&name, &bytes, &planned);
        crate::untouched::assert_rest_is_untouched(&name, &bytes, &after);
        let without = |record: CodeView| CodeView { path: Vec::new(), ..record };
        let old = Reader::new(&bytes).codeviews().into_iter();
        let expected: Vec<CodeView> = old.map(without).collect();
        assert_eq!(Reader::new(&after).codeviews(), expected, "{name}");
        assert_eq!(second::object(&after), expected.first().cloned(), "{name}");
        let again = plan_remove_pdb_path(&Image::parse(&after).unwrap(), Removal::Path, &STRIP);
        assert!(again.unwrap().plan.is_empty(), "{name}");
    }
}

#[test]
fn an_entry_is_taken_out_and_can_be_added_again() {
    for (path, bytes) in images_with_bytes() {
        let name = path.display().to_string();
        let image = Image::parse(&bytes).unwrap();
        let old = Reader::new(&bytes);
        let Some(record) = old.codeviews().first().cloned() else { continue };
        let planned = plan_remove_pdb_path(&image, Removal::Entry, &STRIP).unwrap();
        let removed = applied(&name, &bytes, &planned);
        let reader = Reader::new(&removed);
        assert_eq!(reader.codeviews(), [], "{name}");
        assert_eq!(second::goblin(&removed), None, "{name}");
        assert_eq!(second::object(&removed), None, "{name}");
        let others = |reader: &Reader<'_>| -> Vec<(u32, Vec<u8>)> {
            let entries = reader.entries().into_iter().filter(|entry| entry.kind != CODEVIEW);
            entries.map(|entry| (entry.kind, entry.data)).collect()
        };
        assert_eq!(others(&reader), others(&old), "{name}");
        assert_eq!(metadata::of(&reader), metadata::of(&old), "{name}");

        let identity = Identity { guid: Guid(record.guid), age: record.age };
        let new = "C:\\added\\guest.pdb";
        let planned =
            plan_add_codeview(&Image::parse(&removed).unwrap(), identity, new, &STRIP).unwrap();
        let added = applied(&name, &removed, &planned);
        let reader = Reader::new(&added);
        let expected = CodeView { path: new.as_bytes().to_vec(), ..record };
        assert_eq!(reader.codeviews(), std::slice::from_ref(&expected), "{name}");
        assert_eq!(second::object(&added), Some(expected), "{name}");
        assert_eq!(others(&reader), others(&old), "{name}");
        assert_eq!(metadata::of(&reader), metadata::of(&old), "{name}");
        for entry in reader.entries().iter().filter(|entry| entry.size > 0) {
            assert_eq!(reader.offset(entry.address), entry.offset as usize, "{name}");
        }
    }
}

#[test]
fn an_image_without_a_record_gets_one_and_one_with_a_record_does_not() {
    let identity = Identity { guid: Guid([7; 16]), age: 3 };
    let mut rungs = Vec::new();
    for (path, bytes) in images_with_bytes() {
        let name = path.display().to_string();
        let image = Image::parse(&bytes).unwrap();
        let planned = plan_add_codeview(&image, identity, "new.pdb", &STRIP);
        if !Reader::new(&bytes).codeviews().is_empty() {
            assert!(matches!(planned, Err(Error::HasCodeView { .. })), "{name}: {planned:?}");
            continue;
        }
        let planned = planned.unwrap();
        let after = applied(&name, &bytes, &planned);
        let expected = CodeView { guid: [7; 16], age: 3, path: b"new.pdb".to_vec() };
        assert_eq!(Reader::new(&after).codeviews(), std::slice::from_ref(&expected), "{name}");
        assert_eq!(second::goblin(&after), Some(expected.clone()), "{name}");
        assert_eq!(second::object(&after), Some(expected), "{name}");
        let kept = Reader::new(&bytes).entries().len();
        assert_eq!(Reader::new(&after).entries().len(), kept + 1, "{name}");
        rungs.push(planned.report.entries[0].rung);
    }
    assert!(rungs.iter().all(|rung| *rung >= Rung::Tail), "{rungs:?}");
}

#[test]
fn the_hash_of_a_reproducible_build_is_replaced_where_there_is_one() {
    let mut hashes = 0;
    for (path, bytes) in images_with_bytes() {
        let name = path.display();
        let image = Image::parse(&bytes).unwrap();
        let has_hash =
            image.debug_entries().iter().any(|it| it.kind == DebugKind::Repro { has_hash: true });
        // REPRO is type 16; LLD and .NET leave it empty.
        let expected = Reader::new(&bytes).entries().iter().any(|it| it.kind == 16 && it.size > 0);
        assert_eq!(has_hash, expected, "{name}");
        hashes += usize::from(has_hash);
        match plan_repro_fix(&image, &STRIP) {
            Ok(planned) => {
                let after = applied(&name.to_string(), &bytes, &planned);
                let again = plan_repro_fix(&Image::parse(&after).unwrap(), &STRIP).unwrap();
                assert!(again.plan.is_empty(), "{name}");
            }
            Err(error) => assert!(!has_hash && error == Error::NoRepro, "{name}: {error}"),
        }
    }
    println!("{hashes} hashes");
}

fn images_with_bytes() -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
    images().into_iter().map(|path| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    })
}

/// The image after a plan, with what every plan owes checked.
fn applied(name: &str, before: &[u8], planned: &PdbPathPlan) -> Vec<u8> {
    let mut after = before.to_vec();
    planned.plan.apply_to_vec(&mut after).unwrap();
    let (old, new) = (Reader::new(before), Reader::new(&after));
    match old.stored_checksum() {
        0 => assert_eq!(new.stored_checksum(), 0, "{name}"),
        _ => assert_eq!(new.stored_checksum(), checksum(&after), "{name}"),
    }
    if old.is_sound().is_ok() {
        assert_eq!(new.is_sound(), Ok(()), "{name}");
    }
    assert!(planned.plan.is_empty() || new.certificates().is_none(), "{name}");
    let mut restored = after.clone();
    planned.plan.invert().apply_to_vec(&mut restored).unwrap();
    assert!(restored == before, "{name}: the inverse restores the file");
    after
}
