//! What must hold for every input: the fuzzer and the plain tests call the same function.

mod agreement;
mod changes;

use std::ops::Range;

use patch_plan::Plan;

pub use self::changes::elf_plan;
use crate::{
    Binding, Expected, Image, LoadCopyOptions, Source, Symbol, Verdict, plan_load_copy, verdict,
};

/// Reads everything of `bytes` that there is to read and checks what must be true of any image.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn elf_parse(bytes: &[u8]) {
    let source = Source::new(bytes).unwrap_or_else(|error| unreachable!("{error}"));
    let fetched = source.image();
    let image = match Image::parse(bytes) {
        Ok(image) => image,
        Err(reason) => {
            assert!(verdict(bytes, &Expected::native()).reason().is_some());
            assert_eq!(fetched.err(), Some(reason));
            return;
        }
    };
    read_everything(&image);
    agreement::with_object(&image);
    agreement::with_goblin(&image);
    if let Ok(fetched) = fetched {
        same_from_a_source(&image, &fetched);
        // What is read again is read once.
        let most = (bytes.len() as u64).saturating_mul(3).saturating_add(8192);
        assert!(source.fetched() <= most, "{} of {}", source.fetched(), bytes.len());
        assert_eq!(source.failure(), None);
    } else {
        unreachable!("what is whole cannot be read in pieces");
    }

    let expected = Expected::like(image.header());
    match verdict(bytes, &expected) {
        Verdict::Complete(image) => complete(&image, &expected),
        Verdict::Incomplete(reason) => {
            assert!(reason.is_incomplete());
            assert!(!reason.to_string().is_empty());
        }
        Verdict::Unloadable(reason) => {
            assert!(!reason.is_incomplete());
            assert!(!reason.to_string().is_empty());
        }
    }
}

fn read_everything(image: &Image<'_>) {
    let length = image.data().len() as u64;
    for segment in image.segments() {
        assert!(segment.range().start <= segment.range().end);
    }
    for section in image.sections() {
        if let Some(bytes) = image.section_bytes(section) {
            assert!(bytes.len() as u64 <= length);
        }
        let range = section.range();
        assert!(range.start <= range.end);
    }
    for section in image.sections().iter().take(MOST) {
        if let Some(found) = image.section_at(section.address) {
            assert!(found.range().contains(&section.address));
        }
        assert!(image.sections_named(".state").all(|state| state.name == b".state"));
    }
    // A symbol table has at most as many entries as the file has room for.
    assert!(image.symbols().count() as u64 <= length);
    assert!(image.dynamic_symbols().count() as u64 <= length);
    for symbol in image.dynamic_symbols().take(MOST) {
        assert_eq!(image.dynamic_symbol(symbol.index).map(|it| it.name), Some(symbol.name));
        let Ok(name) = std::str::from_utf8(symbol.name) else { continue };
        if let Some(found) = image.exported(name) {
            assert!(found.is_defined());
            assert_eq!(found.name, symbol.name);
        }
        let imports = image.imports(name);
        assert!(imports.len() <= image.relocations().count());
    }
    // A word of a packed table stands for 63 addresses at most.
    assert!(image.relocations().count() as u64 <= length.saturating_mul(16));
    let sorted = image.sorted_relocation_targets(0..u64::MAX);
    assert!(sorted.is_sorted());
    for address in sorted.iter().take(MOST) {
        if let Some(bytes) = image.bytes_at(*address, 8) {
            assert_eq!(bytes.len(), 8);
            let offset = image.offset_of(*address, 8).map(|offset| offset as usize);
            assert_eq!(offset.and_then(|offset| image.data().get(offset..)?.get(..8)), Some(bytes));
        }
    }
    for name in image.needed().chain(image.soname()).chain(image.runpath()).chain(image.rpath()) {
        assert!(!name.contains(&0));
    }
    let _ = (image.build_id(), image.tls(), image.range());
    if let Some(relro) = image.relro() {
        assert!(relro.start <= relro.end);
    }
    let _ = (image.initializers().is_empty(), image.finalizers().is_empty());
    variables(image);
    symbols(image);
    for note in image.notes() {
        let start = usize::try_from(note.offset).unwrap_or(usize::MAX);
        let found = image.data().get(start..).and_then(|it| it.get(..note.descriptor.len()));
        assert_eq!(found, Some(note.descriptor));
    }
    let _ = (image.properties().count(), image.debug_link());
    #[cfg(feature = "compression")]
    for section in image.sections().iter().take(MOST) {
        if let Ok(contents) = image.section_contents(section, 1 << 20) {
            match image.compression_of(section) {
                Some(compression) => assert_eq!(contents.len() as u64, compression.size),
                None => assert_eq!(Some(&*contents), image.section_bytes(section)),
            }
        }
    }
}

/// Every byte of a writable segment is a variable's or excluded, and only those are.
fn variables(image: &Image<'_>) {
    let writable = image.writable();
    let excluded = || writable.excluded.iter().map(|it| it.range.clone());
    let mut parts: Vec<Range<u64>> = writable.variables.iter().cloned().chain(excluded()).collect();
    parts.sort_by_key(|range| range.start);
    assert!(parts.iter().all(|range| range.start < range.end));
    assert!(parts.is_sorted_by(|before, after| before.end <= after.start));
    assert!(writable.variables.is_sorted_by(|before, after| before.end < after.start));
    assert!(writable.excluded.is_sorted_by_key(|it| it.range.start));
    let loads: Vec<Range<u64>> = image
        .loads()
        .filter(|it| it.permissions.is_writable())
        .map(crate::Segment::range)
        .collect();
    let is_writable = |address: &u64| loads.iter().any(|range| range.contains(address));
    for range in parts.iter().take(MOST) {
        assert!(is_writable(&range.start) && is_writable(&range.end.saturating_sub(1)));
    }
    for range in loads.iter().take(MOST).filter(|range| !range.is_empty()) {
        for address in [range.start, range.end.saturating_sub(1)] {
            let is_excluded = writable.exclusion_at(address).is_some();
            assert!(writable.contains(address) != is_excluded, "{address:#x}");
        }
    }
    for section in image.sections().iter().take(MOST) {
        let _ = image.exclusion_of(section).map(crate::Reason::as_str);
    }
}

fn symbols(image: &Image<'_>) {
    let index = image.symbol_index();
    for symbol in index.symbols().iter().take(MOST) {
        if let Some(found) = index.at(symbol.address) {
            assert!(found.address <= symbol.address);
        }
        assert!(symbol.name.is_empty() || index.named(symbol.name).any(|it| it == symbol));
    }
    let versions = image.symbol_versions();
    for symbol in image.dynamic_symbols().take(MOST) {
        if let Some(version) = versions.of(symbol.index) {
            assert!(!version.name.contains(&0));
        }
    }
    assert!(versions.iter().count() <= 1 << 15);
}

/// An image that is read in pieces says what one says that is there as a whole.
fn same_from_a_source(whole: &Image<'_>, fetched: &Image<'_>) {
    assert_eq!(whole.header(), fetched.header());
    assert_eq!(whole.segments(), fetched.segments());
    assert!(whole.sections() == fetched.sections());
    assert!(whole.dynamic() == fetched.dynamic());
    assert_eq!(whole.build_id(), fetched.build_id());
    assert!(whole.needed().eq(fetched.needed()));
    assert_eq!(whole.soname(), fetched.soname());
    assert!(whole.relocations().eq(fetched.relocations()));
    assert_eq!(whole.writable(), fetched.writable());
    assert!(whole.symbols().eq(fetched.symbols()));
    assert!(whole.dynamic_symbols().eq(fetched.dynamic_symbols()));
    let names = whole.dynamic_symbols().take(MOST).map(|symbol| symbol.name);
    for name in names.filter_map(|name| std::str::from_utf8(name).ok()) {
        let index = |symbol: Option<Symbol<'_>>| symbol.map(|symbol| symbol.index);
        assert_eq!(index(whole.exported(name)), index(fetched.exported(name)));
    }
}

/// What a complete image must allow.
fn complete(image: &Image<'_>, expected: &Expected<'_>) {
    assert_eq!(image.check_extent(), Ok(()));
    let options = LoadCopyOptions { defer_initializers: true, ..LoadCopyOptions::default() };
    let Ok(copy) = plan_load_copy(image, &options) else { return };
    let mut patched = image.data().to_vec();
    assert_eq!(copy.plan.apply_to_vec(&mut patched), Ok(()));
    let verdict = verdict(&patched, expected);
    assert_eq!(verdict.reason(), None, "after {}", copy.plan.show());
    let Some(patched) = verdict.complete() else { return };
    assert!(patched.initializers().is_empty() && patched.finalizers().is_empty());
    assert!(!patched.is_nodelete());
    let is_unique = |symbol: &Symbol<'_>| symbol.binding == Binding::Unique;
    assert!(!patched.dynamic_symbols().any(|it| is_unique(&it) && it.is_defined()));
}

fn round_trip(bytes: &[u8], plan: &Plan) {
    let mut patched = bytes.to_vec();
    assert_eq!(plan.apply(&mut patched), Ok(()));
    assert_eq!(patched.len(), bytes.len());
    assert_eq!(plan.invert().apply(&mut patched), Ok(()));
    assert!(patched == bytes);
}

/// How many of a list are looked at where looking at one costs as much as the list is long.
const MOST: usize = 32;
