//! What must hold for every input: the fuzzer and the plain tests call the same functions.

use object::Object as _;
use object::read::macho::{MachHeader, MachOFile};
use object::{Endianness, macho};
use patch_plan::Plan;

use crate::sys::Module;
use crate::{
    Class, CommandKind, Container, Error, Image, Reason, Resigned, RpathChange,
    plan_edit_and_resign, plan_install_name, plan_rpath, plan_uuid,
};

/// Reads everything of `bytes` that there is to read, checks what must be true of any image, and
/// that other readers see the same.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn macho_parse(bytes: &[u8]) {
    let container = match Container::parse(bytes) {
        Ok(container) => container,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(Image::parse(bytes).is_err());
            return;
        }
    };
    let mut end = 0;
    for slice in container.slices() {
        assert!(slice.data.len() as u64 == slice.size);
        end = slice.offset.saturating_add(slice.size).max(end);
    }
    assert!(end <= bytes.len() as u64);
    for image in container.images().take(MOST).flatten() {
        read_everything(&image);
        agrees_with_object(&image);
        agrees_with_goblin(&image);
    }
}

/// Edits `bytes` in a way that they themselves choose, with the signature renewed, and checks that
/// nothing but what was asked for has changed and that the signature then holds.
///
/// # Panics
///
/// Where a promise of this crate is broken.
pub fn macho_resign(bytes: &[u8]) {
    let Ok(container) = Container::parse(bytes) else { return };
    for image in container.images().take(MOST).flatten() {
        let base = image.base();
        let seed = image
            .data()
            .iter()
            .rev()
            .take(64)
            .fold(1_u64, |seed, &byte| seed.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte));
        for round in 0..4_u64 {
            let place = seed.wrapping_mul(round.wrapping_add(1));
            let place = place.checked_rem(image.data().len() as u64).unwrap_or(0);
            let old = image.data().iter().copied().skip(place as usize).take(3).collect::<Vec<_>>();
            let new = old.iter().map(|byte| byte ^ 0x55).collect::<Vec<_>>();
            let mut edits = Plan::new();
            if edits.edit(base.wrapping_add(place), old, new).is_ok() {
                let resigned = plan_edit_and_resign(&image, &edits);
                check_resigned(bytes, &image, &resigned);
                // The whole file's answer is the same, unless the edit is in what precedes slices.
                if let (Ok(one), Ok(all)) = (&resigned, container.plan_edit_and_resign(&edits)) {
                    assert_eq!(one.plan, all.plan);
                }
            }
        }
        let name = seed.to_string().repeat((seed % 9) as usize);
        let uuid = plan_uuid(&image, [seed as u8; 16]);
        if let Some(edited) = check_resigned(bytes, &image, &uuid) {
            assert_eq!(again(&edited, &image).uuid(), Some([seed as u8; 16]));
        }
        let install_name = plan_install_name(&image, name.as_bytes());
        if let Some(edited) = check_resigned(bytes, &image, &install_name) {
            assert_eq!(again(&edited, &image).install_name(), Some(name.as_bytes()));
        }
        let first = image.rpaths().next().unwrap_or_default();
        let changes = [
            RpathChange::Add(name.as_bytes()),
            RpathChange::Replace { old: first, new: name.as_bytes() },
            RpathChange::Remove(first),
        ];
        for change in changes {
            let resigned = plan_rpath(&image, change);
            if let Some(edited) = check_resigned(bytes, &image, &resigned) {
                let after = again(&edited, &image);
                let (before, after) = (image.rpaths().count(), after.rpaths().count());
                match change {
                    RpathChange::Add(_) => assert_eq!(before.checked_add(1), Some(after)),
                    RpathChange::Replace { .. } => assert_eq!(before, after),
                    RpathChange::Remove(_) => assert_eq!(before.checked_sub(1), Some(after)),
                }
            }
        }
    }
}

/// The file after the plan, which undoes itself and leaves a signature that holds.
fn check_resigned(
    bytes: &[u8],
    image: &Image<'_>,
    resigned: &Result<Resigned, Error>,
) -> Option<Vec<u8>> {
    let resigned = match resigned {
        Ok(resigned) => resigned,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    let mut edited = bytes.to_vec();
    assert_eq!(resigned.plan.apply(&mut edited), Ok(()));
    assert_eq!(edited.len(), bytes.len());
    let after = again(&edited, image);
    let verification = after.verify_signature();
    match &verification {
        Ok(Some(verification)) => assert!(verification.bad_pages.is_empty(), "{verification:?}"),
        Ok(None) => assert!(resigned.directories.is_empty()),
        Err(error) => assert!(resigned.directories.is_empty(), "{error}"),
    }
    let signature = after.signature().ok().flatten();
    let hashes =
        signature.iter().flat_map(|it| it.directories.iter().map(crate::CodeDirectory::cd_hash));
    assert!(
        resigned.directories.is_empty()
            || hashes.eq(resigned.directories.iter().map(|directory| directory.cd_hash))
    );
    // Signing what is signed changes nothing.
    if let Ok(twice) = plan_edit_and_resign(&after, &Plan::new()) {
        assert!(twice.plan.is_empty());
    }
    let mut back = edited.clone();
    assert_eq!(resigned.plan.invert().apply(&mut back), Ok(()));
    assert_eq!(back, bytes);
    Some(edited)
}

/// The image in the edited file. An edit may have broken its headers; then the old one.
fn again<'a>(edited: &'a [u8], image: &Image<'_>) -> Image<'a> {
    let start = usize::try_from(image.base()).unwrap_or(usize::MAX);
    let data = edited.get(start..).and_then(|rest| rest.get(..image.data().len()));
    let parsed = Image::at(data.unwrap_or_default(), image.base());
    parsed.unwrap_or_else(|_| empty())
}

fn empty() -> Image<'static> {
    const EMPTY: &[u8; 28] =
        b"\xce\xfa\xed\xfe\x07\0\0\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    match Image::parse(EMPTY) {
        Ok(image) => image,
        Err(error) => unreachable!("{error}"),
    }
}

fn read_everything(image: &Image<'_>) {
    let length = image.data().len() as u64;
    assert!(image.commands().count() <= image.header().command_count as usize);
    for segment in image.segments() {
        assert!(segment.range().start <= segment.range().end);
        assert_eq!(image.sections_of(segment).len(), segment.section_count as usize);
    }
    for section in image.sections().iter().take(MOST) {
        assert!(section.range().start <= section.range().end);
        if let Some(bytes) = image.section_bytes(section) {
            assert_eq!(bytes.len() as u64, section.size);
        }
        if let Some(found) = image.section_at(section.address) {
            assert!(found.range().contains(&section.address));
        }
        if let Some(bytes) = image.bytes_at(section.address, section.size) {
            assert_eq!(bytes.len() as u64, section.size);
        }
        let _ = image.exclusion_of(section).map(Reason::as_str);
    }
    let _ = (image.check_extent(), image.range(), image.header_address(), image.uuid());
    let _ = (image.install_name(), image.build_versions().count(), image.rpaths().count());
    assert!(image.libraries().count() <= image.header().command_count as usize);
    if let Ok(symbols) = image.symbols() {
        assert!(symbols.count() as u64 <= length);
    }
    let _ = (image.symbol_named("_main"), image.symbol_at(image.header_address().unwrap_or(0)));
    if let Ok(objects) = image.debug_map() {
        assert!(objects.len() as u64 <= length);
    }
    assert!(image.fixups().count() as u64 <= length.saturating_add(1));
    let _ = image.verify_signature().map(|it| it.map(|it| it.is_good()));
    writable(image);
    if let Ok(module) = Module::new(image.data(), 0x1000, "image".into()) {
        assert!(module.mapped().count() <= image.segments().len());
        assert_eq!(module.matches(image), image.uuid().map(|_| true));
    }
}

/// Variables are ascending, disjoint, and neither excluded nor fixed up.
fn writable(image: &Image<'_>) {
    let writable = image.writable();
    let mut end = 0;
    for variable in &writable.variables {
        assert!(!variable.is_empty() && variable.start >= end, "{variable:x?}");
        end = variable.end;
    }
    let mut start = 0;
    for excluded in &writable.excluded {
        assert!(!excluded.range.is_empty() && excluded.range.start >= start);
        start = excluded.range.start;
        let place = writable.variables.partition_point(|it| it.end <= excluded.range.start);
        let next = writable.variables.get(place);
        assert!(next.is_none_or(|variable| variable.start >= excluded.range.end));
    }
}

/// Where `object` reads an image, it sees the same segments and sections.
fn agrees_with_object(image: &Image<'_>) {
    match image.header().class {
        Class::MachO32 => object_segments::<macho::MachHeader32<Endianness>>(image),
        Class::MachO64 => object_segments::<macho::MachHeader64<Endianness>>(image),
    }
}

fn object_segments<Mach: MachHeader<Endian = Endianness>>(image: &Image<'_>) {
    use object::read::macho::{Section as _, Segment as _};

    let Ok(file) = MachOFile::<Mach>::parse(image.data()) else { return };
    let endian = file.endianness();
    let segments: Vec<_> = file.segments().map(|it| it.macho_segment()).collect();
    assert_eq!(segments.len(), image.segments().len());
    for (theirs, ours) in segments.iter().zip(image.segments()) {
        assert_eq!(theirs.name(), ours.name);
        let place = (theirs.vmaddr(endian).into(), theirs.vmsize(endian).into());
        assert_eq!(place, (ours.address, ours.memory_size));
        let file_range = (theirs.fileoff(endian).into(), theirs.filesize(endian).into());
        assert_eq!(file_range, (ours.offset, ours.file_size));
    }
    let sections: Vec<_> = file.sections().map(|it| it.macho_section()).collect();
    assert_eq!(sections.len(), image.sections().len());
    for (theirs, ours) in sections.iter().zip(image.sections()) {
        assert_eq!((theirs.segment_name(), theirs.name()), (ours.segment_name, ours.name));
        let place = (theirs.addr(endian).into(), theirs.size(endian).into());
        assert_eq!(place, (ours.address, ours.size));
        assert_eq!(u64::from(theirs.offset(endian)), ours.offset);
    }
}

/// Where `goblin` reads an image, it sees the same segments.
fn agrees_with_goblin(image: &Image<'_>) {
    // It reserves memory for as many commands as the header claims.
    if image.header().command_count as usize > image.data().len() {
        return;
    }
    // It takes segments of the other class for the image's own, which no loader does.
    let foreign = match image.header().class {
        Class::MachO32 => CommandKind::SEGMENT_64,
        Class::MachO64 => CommandKind::SEGMENT,
    };
    if image.command(foreign).is_some() {
        return;
    }
    let Ok(theirs) = goblin::mach::MachO::parse(image.data(), 0) else { return };
    assert_eq!(theirs.segments.len(), image.segments().len());
    for (theirs, ours) in theirs.segments.iter().zip(image.segments()) {
        assert_eq!((theirs.vmaddr, theirs.vmsize), (ours.address, ours.memory_size));
        assert_eq!((theirs.fileoff, theirs.filesize), (ours.offset, ours.file_size));
        assert_eq!((theirs.initprot, theirs.maxprot), (ours.permissions.0, ours.maximum.0));
        assert_eq!(theirs.nsects, ours.section_count);
    }
}

/// Quadratic work is left out where an input has more of something than any image.
const MOST: usize = 512;
