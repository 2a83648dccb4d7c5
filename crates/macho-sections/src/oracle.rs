//! What must hold for every input: the fuzzer and the plain tests call the same functions.

mod edits;

use object::Object as _;
use object::read::macho::{MachHeader, MachOFile};
use object::{Endianness, macho};

pub use self::edits::macho_resign;
use crate::sys::Module;
use crate::{Class, CommandKind, Container, Image, Reason};

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
