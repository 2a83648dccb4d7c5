//! Sections that are in no segment.

use super::{Draft, check_name, slack};
use crate::{Class, DebugLink, Error, Section, SectionKind, Structure};

/// Sets the contents of `.gnu_debuglink`, where they are if nothing else is there, else at the end
/// of the file.
pub(super) fn set_debug_link(draft: &mut Draft<'_, '_>, link: DebugLink<'_>) -> Result<(), Error> {
    const NAME: &[u8] = b".gnu_debuglink";
    check_name(link.file_name)?;
    if draft.sections.count() == 0 {
        return Err(Error::Absent { structure: Structure::SectionHeaders });
    }
    let bytes = link.to_bytes(draft.image.layout);
    let size = bytes.len() as u64;
    let found = draft.image.sections().iter().find(|it| it.name == NAME).copied();
    match found {
        Some(section) if section.kind != SectionKind::PROGBITS => {
            let (structure, what) = (Structure::Section, "a debug link without bytes");
            let (at, found) = (section.offset, u64::from(section.kind.0));
            Err(Error::Malformed { structure, at, what, found })
        }
        Some(section) if size <= section.size && slack::is_alone(draft.image, &section) => {
            draft.replace(section.offset, &bytes)?;
            draft.set_section(section.index, None, section.offset, size)
        }
        Some(section) => {
            let offset = append(draft, &bytes);
            draft.set_section(section.index, None, offset, size)
        }
        None => {
            let offset = append(draft, &bytes);
            add(draft, NAME, offset, size)
        }
    }
}

/// Adds a section of the program's own bytes, which means that its name and the headers move.
fn add(draft: &mut Draft<'_, '_>, name: &[u8], offset: u64, size: u64) -> Result<(), Error> {
    let (image, layout) = (draft.image, draft.image.layout);
    let structure = Structure::SectionNames;
    let names: Option<&Section<'_>> = usize::try_from(image.header().section_names)
        .ok()
        .filter(|&index| index != 0)
        .and_then(|index| image.sections().get(index));
    let names = names.ok_or(Error::Absent { structure })?;
    let old = image.section_bytes(names).unwrap_or_default();
    // What is put behind them must not go on with the last one.
    if names.kind != SectionKind::STRTAB || old.last() != Some(&0) {
        let (at, what, found) = (names.offset, "not a table of strings", u64::from(names.kind.0));
        return Err(Error::Malformed { structure, at, what, found });
    }
    // A name that is nowhere so far would become a part of the new one.
    let mut in_use = (0..draft.sections.count())
        .filter_map(|index| layout.u32(draft.sections.entry(index)?))
        .map(u64::from);
    if let Some(found) = in_use.find(|&name| name >= old.len() as u64) {
        let (at, what) = (names.offset, "a section's name is not in it");
        return Err(Error::Malformed { structure, at, what, found });
    }
    let name_at = u32::try_from(old.len()).map_err(|_| Error::NoRoom {
        structure,
        wanted: old.len() as u64,
        room: u64::from(u32::MAX),
    })?;
    let all = [old, name, b"\0"].concat();
    let names_at = draft.append(&all);
    draft.set_section(names.index, None, names_at, all.len() as u64)?;

    let word = |value| layout.word_bytes(value);
    // Name, kind and flags; address, offset and size; link and info; alignment and entry size.
    let header = [
        &layout.u32_bytes(name_at)[..],
        &layout.u32_bytes(SectionKind::PROGBITS.0),
        &word(0),
        &word(0),
        &word(offset),
        &word(size),
        &layout.u32_bytes(0),
        &layout.u32_bytes(0),
        &word(4),
        &word(0),
    ]
    .concat();
    let count = draft.sections.count();
    draft.sections.insert(count, &header);
    let count = count.saturating_add(1);
    // Counts from SHN_LORESERVE on are in section 0's size (gABI, "ELF Header").
    let (in_header, in_section) =
        if count < RESERVED { (count as u16, 0) } else { (0, count as u64) };
    let size_at = match layout.class {
        Class::Elf32 => 20,
        Class::Elf64 => 32,
    };
    // What else section 0 has there is nobody's count.
    if in_section != 0 {
        draft.sections.set(0, size_at, &word(in_section))?;
    }
    draft.set_header(48, 60, &layout.u16_bytes(in_header))?;

    let at = draft.end().next_multiple_of(8);
    draft.pad_to(at);
    let table = draft.sections.bytes.clone();
    draft.append(&table);
    draft.sections.has_moved = true;
    draft.set_header(32, 40, &word(at))
}

/// Appends bytes, aligned as checksums are.
fn append(draft: &mut Draft<'_, '_>, bytes: &[u8]) -> u64 {
    draft.pad_to(draft.end().next_multiple_of(4));
    draft.append(bytes)
}

/// `SHN_LORESERVE`.
const RESERVED: usize = 0xff00;
