//! What must hold for every input: the fuzzer and the plain tests call the same functions.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a broken promise ends the test"
)]

use std::io::Cursor;
use std::ops::Range;

use object::LittleEndian as LE;
use object::read::pe::{ImageNtHeaders, PeFile, PeFile32, PeFile64};
use object::{Object, ObjectSection};
use patch_plan::Plan;

use crate::{
    DebugKind, Error, Format, Guid, Identity, Image, KnownSum, PdbIdentity, PdbPathOptions,
    PdbPathPlan, Problem, Removal, Rung, Signature, Sum, Which, pdb_matches, plan_add_codeview,
    plan_pdb_path, plan_remove_pdb_path, plan_repro_fix,
};

/// Reads everything of `bytes` that there is to read and checks what must be true of any image;
/// takes them for a PDB too.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn pe_parse(bytes: &[u8]) {
    if let Err(error) = PdbIdentity::read(Cursor::new(bytes)) {
        assert!(!error.to_string().is_empty());
    }
    let image = match Image::parse(bytes) {
        Ok(image) => image,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(error.offset().is_some());
            return;
        }
    };
    let length = bytes.len() as u64;
    let _ = (image.machine(), image.is_signed());
    assert!(image.overlay().is_none_or(|start| start < length));
    for section in image.sections().take(MOST) {
        let (memory, file) = (section.range(), section.file_range());
        assert!(memory.start <= memory.end);
        assert!(file.is_empty() || file.end <= length);
        assert!(file.end.saturating_sub(file.start) <= section.file_size.saturating_add(511));
        assert!(section.range_in_memory(u64::MAX).is_empty() || section.address == 0);
        for address in [section.address, memory.end, file.end.saturating_sub(1)] {
            if let Some(offset) = image.rva_to_offset(address) {
                assert!(offset < length);
                assert_eq!(
                    image.bytes_at(address, 1),
                    bytes.get(offset as usize..).map(|it| &it[..1])
                );
            }
        }
        if let Some(address) = image.offset_to_rva(section.offset) {
            assert_eq!(image.rva_to_offset(address), Some(section.offset));
        }
        if let Ok(name) = std::str::from_utf8(section.name) {
            assert!(image.sections_named(name).any(|it| it.index == section.index));
        }
    }
    let _ = agrees_with_object(&image);
    directory(&image);
    variables(&image);
    checksum(&image);
    let _ = pdb_matches(&image, Cursor::new(bytes));
}

/// Whether `object` takes the image for one too; what it then reads is what we do.
///
/// # Panics
///
/// Where it is not.
pub fn agrees_with_object(image: &Image<'_>) -> bool {
    match image.header().format {
        Format::Pe32 => PeFile32::parse(image.data()).map(|it| compare(image, &it)).is_ok(),
        Format::Pe32Plus => PeFile64::parse(image.data()).map(|it| compare(image, &it)).is_ok(),
    }
}

fn compare<Pe: ImageNtHeaders>(image: &Image<'_>, object: &PeFile<'_, Pe>) {
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

fn directory(image: &Image<'_>) {
    let directory = image.debug_directory();
    assert!(directory.range.end <= image.data().len() as u64);
    for problem in
        directory.problems.iter().chain(directory.entries.iter().flat_map(|it| &it.problems))
    {
        assert!(!problem.to_string().is_empty());
    }
    for (index, entry) in directory.entries.iter().enumerate() {
        assert_eq!(entry.index as usize, index);
        assert!(directory.range.contains(&entry.offset));
        assert_eq!(image.data().get(place(&entry.record)), Some(entry.data));
        assert!(entry.data.len() as u64 <= u64::from(entry.size));
        assert_eq!(entry.has_path(), entry.capacity.is_some());
        if let Some(path) = entry.path {
            assert!(!path.contains(&0));
            assert!(path.len() as u64 <= entry.capacity.unwrap_or_default().saturating_add(1));
            assert!(entry.age.is_some() && entry.guid.is_some() != entry.stamp.is_some());
        }
        assert!(!entry.kind.as_str().is_empty());
    }
}

fn variables(image: &Image<'_>) {
    let writable = image.writable();
    let mut ranges: Vec<&Range<u64>> = writable.variables.iter().collect();
    assert!(ranges.is_sorted_by(|one, two| one.end <= two.start));
    assert!(writable.excluded.is_sorted_by(|one, two| one.range.end <= two.range.start));
    ranges.extend(writable.excluded.iter().map(|it| &it.range));
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.is_sorted_by(|one, two| one.end <= two.start));
    assert!(ranges.iter().all(|range| range.start < range.end));
}

/// The sum against one that is taken word by word, and against one that is taken in pieces.
fn checksum(image: &Image<'_>) {
    let bytes = image.data();
    let stored = image.stored_checksum();
    let mut words = 0_u32;
    for (index, pair) in bytes.chunks(2).enumerate() {
        let mut word = [0; 2];
        for (inside, byte) in pair.iter().enumerate() {
            let offset = (index * 2 + inside) as u64;
            let is_field = (stored.offset..stored.offset + 4).contains(&offset);
            word[inside] = if is_field { 0 } else { *byte };
        }
        words += u32::from(u16::from_le_bytes(word));
        words = (words & 0xffff) + (words >> 16);
    }
    let expected = words.wrapping_add(bytes.len() as u32);
    assert_eq!(image.computed_checksum(), expected);
    assert_eq!(crate::checksum(bytes), Ok(expected));
    let (front, back) = bytes.split_at(bytes.len() / 3);
    let mut sum = Sum::of(front);
    sum.update(back);
    assert_eq!(sum.checksum(stored), expected);
}

/// Plans every change of `bytes` that there is, applies it, reads the result, and takes it back.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn pe_patch(bytes: &[u8]) {
    let Ok(image) = Image::parse(bytes) else { return };
    let refuse = PdbPathOptions::default();
    let strip = PdbPathOptions { signature: Signature::Strip, ..refuse.clone() };
    let paths = || image.debug_entries().into_iter().filter_map(|entry| entry.path);
    let longest = paths().map(<[u8]>::len).max().unwrap_or_default().min(4096);
    let gap = longest.saturating_add(3);
    for length in [1, longest, gap, longest + 100, longest + 1000] {
        let path = path_of(length.max(1));
        if let Ok(planned) = plan_pdb_path(&image, &path, &refuse) {
            assert!(!image.is_signed() || planned.plan.is_empty());
        }
        let Ok(planned) = plan_pdb_path(&image, &path, &strip) else { continue };
        assert_eq!(plan_pdb_path(&image, &path, &strip).as_ref(), Ok(&planned));
        let patched = round_trip(bytes, &planned);
        stored(&image, &patched, &planned, &path);
        sums(&image, &planned, &path, &strip);
    }
    let one = PdbPathOptions { entry: Which::One(0), allow_base_name: true, ..strip.clone() };
    if let Ok(planned) = plan_pdb_path(&image, &format!("C:\\{}\\a.pdb", path_of(5000)), &one) {
        let patched = round_trip(bytes, &planned);
        let path = String::from_utf8_lossy(&planned.report.entries[0].new_path).into_owned();
        stored(&image, &patched, &planned, &path);
        if planned.report.entries[0].rung == Rung::BaseName {
            assert_eq!(path, "a.pdb");
        }
    }
    removed(&image, &strip);
    added(&image, &strip);
    rehashed(&image, &strip);
}

/// Applies a plan to a copy, and its inverse to that; gives the patched copy.
fn round_trip(bytes: &[u8], planned: &PdbPathPlan) -> Vec<u8> {
    let plan: &Plan = &planned.plan;
    let mut patched = bytes.to_vec();
    assert_eq!(plan.apply_to_vec(&mut patched), Ok(()));
    let mut restored = patched.clone();
    assert_eq!(plan.invert().apply_to_vec(&mut restored), Ok(()));
    assert!(restored == bytes);

    let before = Image::parse(bytes).unwrap_or_else(|error| panic!("{error}"));
    let after = Image::parse(&patched).unwrap_or_else(|error| panic!("{error}: {}", plan.show()));
    let (old, new) = (before.stored_checksum().value, after.stored_checksum().value);
    let checksum = planned.report.checksum;
    assert_eq!((checksum.before, checksum.after), (old, new));
    if !plan.is_empty() {
        assert_eq!(new, if old == 0 { 0 } else { after.computed_checksum() });
        assert!(!after.is_signed());
    }
    memory(&before, &after);
    appended(plan, &before, &after);
    patched
}

/// Appended bytes are in no section's part of the file but that of one which is new or has grown,
/// and not in the headers; what was cut short still is.
fn appended(plan: &Plan, before: &Image<'_>, after: &Image<'_>) {
    let missing = |image: &Image<'_>| image.cut_short().map(|it| (it.index, it.missing()));
    assert_eq!(missing(before), missing(after), "{}", plan.show());
    let Some(tail) = plan.tail() else { return };
    let appended = tail.offset..tail.offset + tail.new.len() as u64;
    let headers = u64::from(before.header().size_of_headers);
    assert!(appended.is_empty() || headers <= appended.start, "{}", plan.show());
    for (new, old) in after.nameless().zip(before.nameless()) {
        let file = new.file_range();
        assert!(
            new.file_size != old.file_size
                || file.is_empty()
                || file.end <= appended.start
                || appended.end <= file.start,
            "section {}: {}",
            new.index,
            plan.show()
        );
    }
}

/// Sections that did not overlap still do not, and all that were there are where they were.
fn memory(before: &Image<'_>, after: &Image<'_>) {
    let old: Vec<_> = before.sections().take(MOST).collect();
    let new: Vec<_> = after.sections().take(MOST).collect();
    let disjoint = |one: &Range<u64>, two: &Range<u64>| {
        one.is_empty() || two.is_empty() || one.end <= two.start || two.end <= one.start
    };
    for (one, was_one) in new.iter().zip(&old) {
        assert_eq!((one.address, one.offset), (was_one.address, was_one.offset));
        assert!(one.size >= was_one.size && one.file_size >= was_one.file_size);
        for (two, was_two) in new.iter().zip(&old).filter(|(it, _)| it.index < one.index) {
            assert!(
                disjoint(&one.range(), &two.range())
                    || !disjoint(&was_one.range(), &was_two.range())
            );
        }
    }
    if before.sections().count() < MOST {
        for added in new.get(old.len()..).unwrap_or_default() {
            assert!(old.iter().all(|it| disjoint(&it.range(), &added.range())));
        }
    }
}

/// The new path is where the report says, with the old identity; other entries are untouched.
fn stored(image: &Image<'_>, patched: &[u8], planned: &PdbPathPlan, path: &str) {
    let after = Image::parse(patched).unwrap_or_else(|error| panic!("{error}"));
    let (old, new) = (image.debug_entries(), after.debug_entries());
    assert_eq!(old.len(), new.len());
    for (old, new) in old.iter().zip(&new) {
        match planned.report.entries.iter().find(|placed| placed.index == old.index) {
            Some(placed) => {
                assert_eq!(new.path, Some(path.as_bytes()), "{}", planned.plan.show());
                assert_eq!((new.kind, new.guid), (old.kind, old.guid));
                assert_eq!((new.age, new.stamp), (old.age, old.stamp));
                assert_eq!(new.record.start, placed.offset);
                assert_eq!(old.path, Some(placed.old_path.as_slice()));
                assert_eq!(placed.new_path, path.as_bytes());
                if placed.place > Rung::Gap {
                    // What led nowhere may lead to the new record.
                    let misleads = |it: &Problem| !matches!(it, Problem::SharesRecord { .. });
                    assert!(!new.is(misleads), "{}", planned.plan.show());
                    assert_eq!(Some(u64::from(new.address)), placed.address);
                }
                if let Some(address) = placed.address {
                    assert_eq!(after.rva_to_offset(address), Some(placed.offset));
                }
            }
            // What led nowhere may lead to new bytes.
            None => {
                assert!(!old.problems.is_empty() || (new.data, new.kind) == (old.data, old.kind));
            }
        }
    }
    let entry = match planned.report.entries.as_slice() {
        [one] => Which::One(one.index),
        _ => Which::All,
    };
    let options =
        PdbPathOptions { entry, signature: Signature::Strip, ..PdbPathOptions::default() };
    let again = plan_pdb_path(&after, path, &options).map(|again| again.plan);
    assert_eq!(again, Ok(Plan::new()), "{}", planned.plan.show());
}

/// However the sum is known, the plan is the same.
fn sums(image: &Image<'_>, planned: &PdbPathPlan, path: &str, options: &PdbPathOptions) {
    let known = KnownSum::Computed(image.computed_checksum());
    let options = PdbPathOptions { sum: known, ..options.clone() };
    assert_eq!(plan_pdb_path(image, path, &options).as_ref(), Ok(planned));
    if planned.report.checksum.was_right == Some(true) {
        let options = PdbPathOptions { sum: KnownSum::Trust, ..options };
        let trusting = plan_pdb_path(image, path, &options).map(|it| it.plan);
        assert_eq!(trusting.as_ref(), Ok(&planned.plan));
    }
}

fn removed(image: &Image<'_>, options: &PdbPathOptions) {
    let before = image.debug_entries();
    if let Ok(planned) = plan_remove_pdb_path(image, Removal::Path, options) {
        let patched = round_trip(image.data(), &planned);
        let after = Image::parse(&patched).unwrap_or_else(|error| panic!("{error}"));
        for (old, new) in before.iter().zip(after.debug_entries()) {
            assert_eq!((new.guid, new.age), (old.guid, old.age));
            assert!(new.path.is_none_or(<[u8]>::is_empty));
        }
    }
    if let Ok(planned) = plan_remove_pdb_path(image, Removal::Entry, options) {
        let patched = round_trip(image.data(), &planned);
        let after = Image::parse(&patched).unwrap_or_else(|error| panic!("{error}"));
        let kept: Vec<_> = before.iter().filter(|it| !it.has_path()).map(|it| it.pointer).collect();
        let left: Vec<_> = after.debug_entries().iter().map(|it| it.pointer).collect();
        assert_eq!(left, kept);
        assert_eq!(plan_remove_pdb_path(&after, Removal::Entry, options), Err(Error::NoPath));
    }
}

fn added(image: &Image<'_>, options: &PdbPathOptions) {
    let identity = Identity { guid: Guid(*b"sixteen bytes it"), age: 7 };
    let Ok(planned) = plan_add_codeview(image, identity, "added.pdb", options) else { return };
    let patched = round_trip(image.data(), &planned);
    let after = Image::parse(&patched).unwrap_or_else(|error| panic!("{error}"));
    let (old, new) = (image.debug_entries(), after.debug_entries());
    assert_eq!(new.len(), old.len() + 1);
    for (old, new) in old.iter().zip(&new) {
        assert_eq!((new.pointer, new.address, new.size), (old.pointer, old.address, old.size));
        assert!(!old.problems.is_empty() || (new.data, new.kind) == (old.data, old.kind));
    }
    let added = &new[old.len()];
    assert_eq!((added.guid, added.age), (Some(identity.guid), Some(identity.age)));
    assert_eq!((added.path, added.capacity), (Some(&b"added.pdb"[..]), Some(9)));
    assert!(!added.is(|it| !matches!(it, Problem::SharesRecord { .. })));
}

fn rehashed(image: &Image<'_>, options: &PdbPathOptions) {
    let Ok(planned) = plan_repro_fix(image, options) else { return };
    let patched = round_trip(image.data(), &planned);
    let after = Image::parse(&patched).unwrap_or_else(|error| panic!("{error}"));
    let again = plan_repro_fix(&after, options);
    assert!(again.is_ok_and(|again| again.plan.is_empty()));
}

fn path_of(length: usize) -> String {
    "path/to/".chars().cycle().take(length).collect()
}

fn place(range: &Range<u64>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// How many of a list are looked at where looking at one costs as much as the list is long.
const MOST: usize = 48;
