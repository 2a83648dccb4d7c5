//! What must hold for every input: the fuzzer and the plain tests call the same function.

use patch_plan::Plan;

use crate::{Binding, Expected, Image, LoadCopyOptions, Verdict, plan_load_copy, verdict};

/// Reads everything of `bytes` that there is to read and checks what must be true of any image.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn elf_image(bytes: &[u8]) {
    let Ok(image) = Image::parse(bytes) else {
        assert!(verdict(bytes, &Expected::native()).reason().is_some());
        return;
    };
    read_everything(&image);

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

    for defer_initializers in [false, true] {
        let options = LoadCopyOptions { defer_initializers, ..LoadCopyOptions::default() };
        let Ok(copy) = plan_load_copy(&image, &options) else { continue };
        assert_eq!(Ok(copy.clone()), plan_load_copy(&image, &options));
        round_trip(bytes, &copy.plan);
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
    let is_unique = |symbol: &crate::Symbol<'_>| symbol.binding == Binding::Unique;
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
