//! The sections that debug information lies in: of an image, and of a file that was split off it.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use elf_sections::{Image, Section};
use gimli::{DwarfSections, SectionId};

/// The most that is read of a file, or that a section may have once it is not compressed any more.
const MOST: u64 = 1 << 30;

/// Those of an image that has any.
pub(super) fn of<'data>(image: &Image<'data>) -> Option<DwarfSections<Cow<'data, [u8]>>> {
    let load = |id: SectionId| {
        let wanted = is_needed(id).then(|| section(image, id.name()));
        Ok::<_, gimli::Error>(wanted.flatten().unwrap_or_default())
    };
    named(image, SectionId::DebugInfo.name())?;
    DwarfSections::load(load).ok()
}

/// Those of a file with what was split off an image when that was compiled.
pub(super) fn of_split(path: &Path) -> Option<DwarfSections<Cow<'static, [u8]>>> {
    let file = File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    // Not mapped: a compiler may be writing it.
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).ok()?;
    let image = Image::parse(&bytes).ok()?;
    let load = |id: SectionId| {
        let name = id.dwo_name().filter(|_| is_needed(id));
        let found = name.and_then(|name| section(&image, name));
        Ok::<_, gimli::Error>(Cow::Owned(found.unwrap_or_default().into_owned()))
    };
    DwarfSections::load(load).ok()
}

/// Whether variables are told of there; a unit leads to its lines, and is not read without.
fn is_needed(id: SectionId) -> bool {
    matches!(
        id,
        SectionId::DebugAbbrev
            | SectionId::DebugAddr
            | SectionId::DebugInfo
            | SectionId::DebugLine
            | SectionId::DebugLineStr
            | SectionId::DebugStr
            | SectionId::DebugStrOffsets
    )
}

fn section<'data>(image: &Image<'data>, name: &str) -> Option<Cow<'data, [u8]>> {
    image.section_contents(named(image, name)?, MOST).ok()
}

fn named<'a, 'data>(image: &'a Image<'data>, name: &str) -> Option<&'a Section<'data>> {
    // As GNU tools name a compressed one, without a flag.
    let compressed = name.replacen(".debug", ".zdebug", 1);
    let compressed = image.sections().iter().find(|it| it.name == compressed.as_bytes());
    image.sections().iter().find(|it| it.name == name.as_bytes()).or(compressed)
}
