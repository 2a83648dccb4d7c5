//! Debug information that is not in the image itself.

use flate2::Crc;
use gimli::{EndianSlice, Reader};
use object::elf;

use super::image::Image;
use crate::ReadAt;
use crate::companion::{Companion, Companions};

/// The file that an image's debug information was split off to, if the image has none.
pub(crate) fn find(
    image: &Image<'_>,
    companions: &dyn Companions,
    remarks: &mut Vec<String>,
) -> Option<Box<dyn ReadAt>> {
    let has = |name| image.section(name).is_ok_and(|section| !section.is_empty());
    if has(".debug_info") || has(".debug_line") {
        return None;
    }
    let id = image.note(b"GNU", elf::NT_GNU_BUILD_ID.0);
    if let Some(id) = &id {
        for place in companions.places(&Companion::BuildId(id.clone())) {
            let Some(opened) = companions.open(&place) else { continue };
            if build_id(&*opened.source).as_ref() == Some(id) {
                return Some(opened.source);
            }
            remarks.push(format!("{} is of another build", place.display()));
        }
    }
    let (name, crc) = debug_link(image)?;
    for place in companions.places(&Companion::DebugLink(name.clone())) {
        let Some(opened) = companions.open(&place) else { continue };
        // The build-id says the same and is quicker to read.
        let belongs = match (&id, build_id(&*opened.source)) {
            (Some(id), Some(other)) => *id == other,
            _ => checksum(&*opened.source) == Some(crc),
        };
        if belongs {
            return Some(opened.source);
        }
        remarks.push(format!("{} is of another build", place.display()));
    }
    remarks.push(format!("the debug information is in another file, {name}, that is not found"));
    None
}

/// The file that has what dwz found in several images.
pub(crate) fn supplement(
    image: &Image<'_>,
    companions: &dyn Companions,
    remarks: &mut Vec<String>,
) -> Option<Box<dyn ReadAt>> {
    let (name, id) = alternative(image).or_else(|| supplementary(image))?;
    let wanted = Companion::Supplement { name, id };
    for place in companions.places(&wanted) {
        let Some(opened) = companions.open(&place) else { continue };
        let Companion::Supplement { id, .. } = &wanted else { continue };
        let other = Image::read(&*opened.source).ok();
        let other = other.and_then(|other| {
            let build_id = other.note(b"GNU", elf::NT_GNU_BUILD_ID.0);
            build_id.or_else(|| supplementary(&other).map(|(_, id)| id))
        });
        if other.as_ref() == Some(id) {
            return Some(opened.source);
        }
        remarks.push(format!("{} is of another build", place.display()));
    }
    let Companion::Supplement { name, .. } = wanted else { return None };
    remarks.push(format!("names that are in another file, {name}, are missing: it is not found"));
    None
}

fn build_id(source: &dyn ReadAt) -> Option<Vec<u8>> {
    Image::read(source).ok()?.note(b"GNU", elf::NT_GNU_BUILD_ID.0)
}

/// The name and the checksum in `.gnu_debuglink`.
fn debug_link(image: &Image<'_>) -> Option<(String, u32)> {
    let mut section = image.section(".gnu_debuglink").ok()?;
    let mut reader = EndianSlice::new(section.window(0, 4096).ok()?, image.endian);
    let name = reader.read_null_terminated_slice().ok()?;
    let padding = name.len().wrapping_add(1).wrapping_neg() & 3;
    reader.skip(padding).ok()?;
    Some((name.to_string_lossy().into_owned(), reader.read_u32().ok()?))
}

/// The name and the build-id in `.gnu_debugaltlink`.
fn alternative(image: &Image<'_>) -> Option<(String, Vec<u8>)> {
    let mut section = image.section(".gnu_debugaltlink").ok()?;
    let mut reader = EndianSlice::new(section.window(0, 4096).ok()?, image.endian);
    let name = reader.read_null_terminated_slice().ok()?;
    Some((name.to_string_lossy().into_owned(), reader.slice().to_vec()))
}

/// The name and the checksum in `.debug_sup`, which DWARF 5 has for it. In the supplementary file
/// itself the name is empty.
fn supplementary(image: &Image<'_>) -> Option<(String, Vec<u8>)> {
    let mut section = image.section(".debug_sup").ok()?;
    let mut reader = EndianSlice::new(section.window(0, 4096).ok()?, image.endian);
    let (version, _is_supplementary) = (reader.read_u16().ok()?, reader.read_u8().ok()?);
    let name = reader.read_null_terminated_slice().ok()?;
    let length = reader.read_uleb128().ok()?;
    let checksum = reader.split(usize::try_from(length).ok()?).ok()?;
    (version == 5).then(|| (name.to_string_lossy().into_owned(), checksum.slice().to_vec()))
}

fn checksum(source: &dyn ReadAt) -> Option<u32> {
    let mut crc = Crc::new();
    if let Some(bytes) = source.in_memory() {
        crc.update(bytes);
        return Some(crc.sum());
    }
    let mut buffer = vec![0; 1 << 18];
    let mut at = 0_u64;
    loop {
        let count = source.read_at(&mut buffer, at).ok()?;
        if count == 0 {
            return Some(crc.sum());
        }
        crc.update(buffer.get(..count)?);
        at = at.checked_add(count as u64)?;
    }
}
