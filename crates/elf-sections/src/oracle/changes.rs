//! What must hold of every plan.

use super::{MOST, round_trip};
use crate::dynamic::Tag;
use crate::version::Role;
use crate::{
    Binding, Changes, DebugLink, Expected, Image, LoadCopyOptions, plan_changes, plan_load_copy,
    verdict,
};

/// Plans changes to an image, which ones its own bytes choose, and checks what must be true of
/// any plan.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn elf_plan(bytes: &[u8]) {
    let Ok(image) = Image::parse(bytes) else { return };
    for defer_initializers in [false, true] {
        let options = LoadCopyOptions { defer_initializers, ..LoadCopyOptions::default() };
        let Ok(copy) = plan_load_copy(&image, &options) else { continue };
        assert_eq!(Ok(copy.clone()), plan_load_copy(&image, &options));
        round_trip(bytes, &copy.plan);
    }
    let sum = bytes.iter().fold(0_u32, |sum, &byte| sum.rotate_left(5) ^ u32::from(byte));
    for choice in [sum, sum.rotate_right(11), u32::MAX] {
        change(&image, &chosen(&image, choice));
    }
}

/// One change for each of the lowest bits, with names of a length by the others.
fn chosen(image: &Image<'_>, choice: u32) -> Changes<'static> {
    let is = |bit: u32| choice >> bit & 1 == 1;
    let name = |start: &str, shift: u32| {
        let length = (choice >> shift & 0x3f) as usize;
        format!("{start}{}", "n".repeat(length)).into_bytes()
    };
    let mut needed: Vec<Vec<u8>> = Vec::new();
    for name in image.needed().take(MOST).map(<[u8]>::to_vec) {
        if !needed.contains(&name) {
            needed.push(name);
        }
    }
    let first = needed.first().cloned();
    // New names that others had before: each library is called as the next one was.
    let next = needed.iter().cloned().zip(needed.iter().cycle().skip(1).cloned());
    let mut replace_needed: Vec<_> = next.filter(|_| is(26)).collect();
    if is(2) {
        replace_needed.truncate(needed.len().saturating_sub(1));
        let old = needed.last().cloned();
        replace_needed.extend(old.map(|old| (old, name("r", 16))));
    }
    let mut add_needed = if is(3) { vec![name("a", 20), name("b", 9)] } else { Vec::new() };
    add_needed.extend(first.clone().filter(|_| is(27)));
    Changes {
        soname: is(0).then(|| first.filter(|_| is(28)).unwrap_or_else(|| name("lib", 8))),
        runpath: is(1).then(|| name("/", 12)),
        replace_needed,
        add_needed,
        build_id: image.build_id().filter(|_| is(4)).map(|it| vec![0x5a; it.len()]),
        debug_link: is(5).then_some(DebugLink { file_name: b"some.debug", checksum: 0x1234_5678 }),
        localize_unique: is(6),
        allow_unload: is(7),
    }
}

fn change(image: &Image<'_>, changes: &Changes<'_>) {
    let plan = match plan_changes(image, changes) {
        Ok(plan) => plan,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(Ok(&plan), plan_changes(image, changes).as_ref());
    let mut changed = image.data().to_vec();
    assert_eq!(plan.apply_to_vec(&mut changed), Ok(()));
    let mut back = changed.clone();
    assert_eq!(plan.invert().apply_to_vec(&mut back), Ok(()));
    assert!(back == image.data());

    let expected = Expected::like(image.header());
    if verdict(image.data(), &expected).reason().is_some() || !is_tidy(image) {
        let _ = Image::parse(&changed);
        return;
    }
    let after = verdict(&changed, &expected);
    assert_eq!(after.reason(), None, "{changes:?}\n{}", plan.show());
    let Some(after) = after.complete() else { return };
    has_changed(image, &after, changes);
    stays(image, &after);
}

/// Whether no two structures share bytes. Where they do, changing one changes the other.
fn is_tidy(image: &Image<'_>) -> bool {
    let (header, layout) = (image.header(), image.layout);
    let size = |count: u64, size: usize| count.saturating_mul(size as u64);
    let tables = [
        (0, layout.header_size() as u64),
        (
            header.program_headers,
            size(u64::from(header.program_header_count), layout.segment_size()),
        ),
        (header.section_headers, size(header.section_header_count, layout.section_size())),
    ];
    let sections = image.sections().iter().filter(|it| !it.flags.is_allocated());
    let sections = sections.filter_map(crate::Section::file_range);
    let dynamic = image.segment(crate::SegmentKind::DYNAMIC);
    let dynamic = dynamic.map(|it| (it.offset, it.file_size));
    let notes = image.notes().filter(crate::Note::is_build_id);
    let notes = notes
        .map(|it| (it.offset.saturating_sub(16), (it.descriptor.len() as u64).saturating_add(16)));
    let sizes = [
        (Tag::STRTAB, image.dynamic_strings().len() as u64),
        (Tag::SYMTAB, size(image.dynamic_symbols().count() as u64, layout.symbol_size())),
        (Tag::RELA, image.dynamic_value(Tag::RELASZ).unwrap_or(0)),
        (Tag::REL, image.dynamic_value(Tag::RELSZ).unwrap_or(0)),
        (Tag::RELR, image.dynamic_value(Tag::RELRSZ).unwrap_or(0)),
        (Tag::JMPREL, image.dynamic_value(Tag::PLTRELSZ).unwrap_or(0)),
        (Tag::VERSYM, size(image.dynamic_symbols().count() as u64, 2)),
        (Tag::HASH, 8),
        (Tag::GNU_HASH, 16),
        (Tag::VERNEED, 16),
        (Tag::VERDEF, 20),
        (Tag::INIT_ARRAY, 1),
        (Tag::FINI_ARRAY, 1),
        (Tag::INIT, 16),
        (Tag::FINI, 16),
        (Tag::PLTGOT, 1),
    ];
    let by_dynamic = sizes
        .into_iter()
        .filter_map(|(tag, size)| Some((image.offset_of(image.dynamic_value(tag)?, 1)?, size)));
    let versions = image.version_names().names.into_iter();
    let versions = versions.filter_map(|it| Some((image.offset_of(it.field, 4)?, 4)));
    let mut all: Vec<(u64, u64)> = tables
        .into_iter()
        .chain(sections)
        .chain(dynamic)
        .chain(notes)
        .chain(by_dynamic)
        .filter(|&(_, size)| size != 0)
        .collect();
    // Those of the table that starts there.
    let start = |tag| image.dynamic_value(tag).and_then(|it| image.offset_of(it, 1));
    let (needed, defined) = (start(Tag::VERNEED), start(Tag::VERDEF));
    all.extend(versions.filter(|&(offset, _)| {
        let is_of = |start: Option<u64>| start.is_some_and(|it| offset.wrapping_sub(it) < 20);
        !is_of(needed) && !is_of(defined)
    }));
    all.sort_unstable();
    all.dedup();
    all.is_sorted_by(|before, after| before.0.saturating_add(before.1) <= after.0)
}

fn has_changed(before: &Image<'_>, after: &Image<'_>, changes: &Changes<'_>) {
    if let Some(soname) = &changes.soname {
        assert_eq!(after.soname(), Some(&soname[..]));
    } else {
        assert_eq!(after.soname(), before.soname());
    }
    if let Some(runpath) = &changes.runpath {
        assert_eq!(after.runpath(), Some(&runpath[..]));
    } else {
        assert_eq!((after.runpath(), after.rpath()), (before.runpath(), before.rpath()));
    }
    let renamed = |name: &[u8]| {
        let new = changes.replace_needed.iter().find(|(old, _)| old == name);
        new.map_or(name, |(_, new)| new).to_vec()
    };
    let mut needed: Vec<Vec<u8>> = before.needed().map(renamed).collect();
    needed.extend(changes.add_needed.iter().cloned());
    assert_eq!(after.needed().map(<[u8]>::to_vec).collect::<Vec<_>>(), needed);
    // The name of a library in the tables of versions is that of the library.
    let of_versions = |image: &Image<'_>, as_renamed: &dyn Fn(&[u8]) -> Vec<u8>| -> Vec<Vec<u8>> {
        let strings = image.dynamic_strings();
        let names = image.version_names().names.into_iter();
        names
            .map(|it| {
                let name = crate::symbol::string(strings, u64::from(it.name)).unwrap_or_default();
                if it.role == Role::Library { as_renamed(name) } else { name.to_vec() }
            })
            .collect()
    };
    assert_eq!(of_versions(after, &<[u8]>::to_vec), of_versions(before, &renamed));
    if let Some(build_id) = &changes.build_id {
        assert_eq!(after.build_id(), Some(&build_id[..]));
    }
    if let Some(link) = changes.debug_link {
        assert_eq!(after.debug_link(), Some(link));
    }
    if changes.localize_unique {
        let is_unique = |symbol: crate::Symbol<'_>| symbol.binding == Binding::Unique;
        assert!(!after.dynamic_symbols().any(|it| it.is_defined() && is_unique(it)));
    }
    if changes.allow_unload {
        assert!(!after.is_nodelete());
    }
}

/// What nobody asked to change.
fn stays(before: &Image<'_>, after: &Image<'_>) {
    assert!(before.relocations().eq(after.relocations()));
    assert_eq!(before.dynamic_symbols().count(), after.dynamic_symbols().count());
    // What is outside the strings may be inside them when they have grown.
    let table = before.whole_dynamic_symbol_table();
    let has_name = |index: u32| {
        let raw = table.raw(index);
        raw.and_then(|raw| crate::symbol::string(table.strings, raw.name.into())).is_some()
    };
    for (before, after) in before.dynamic_symbols().zip(after.dynamic_symbols()) {
        assert!(before.name == after.name || !has_name(before.index), "{before:?}\n{after:?}");
    }
    let other_names = before.dynamic().iter().filter(|it| {
        [Tag::AUXILIARY, Tag::FILTER, Tag::CONFIG, Tag::DEPAUDIT, Tag::AUDIT].contains(&it.tag)
    });
    for entry in other_names {
        let name = |image: &Image<'_>| {
            crate::symbol::string(image.dynamic_strings(), entry.value).map(<[u8]>::to_vec)
        };
        assert!(after.dynamic().iter().any(|it| (it.tag, it.value) == (entry.tag, entry.value)));
        assert!(name(before).is_none() || name(before) == name(after));
    }
    assert_eq!(before.initializers(), after.initializers());
    assert_eq!(before.tls(), after.tls());
    assert_eq!(before.relro(), after.relro());
    let mapped = |image: &Image<'_>| -> Vec<(u64, u64)> {
        image.loads().map(|load| (load.address, load.offset)).collect()
    };
    assert!(mapped(after).starts_with(&mapped(before)));
}
