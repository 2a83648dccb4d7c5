//! The names of the image and of the libraries that it needs, and where those are looked for.

use object::elf;

use super::room::{self, Wanted};
use super::strings::Strings;
use super::{Changes, Draft};
use crate::dynamic::Tag;
use crate::symbol::is_string;
use crate::version::Role;
use crate::{Error, Machine, Structure};

pub(super) fn change(draft: &mut Draft<'_, '_>, changes: &Changes<'_>) -> Result<(), Error> {
    let is_named = changes.soname.is_some()
        || changes.runpath.is_some()
        || !changes.replace_needed.is_empty()
        || !changes.add_needed.is_empty();
    if !is_named && !changes.allow_unload {
        return Ok(());
    }
    if draft.image.dynamic().is_empty() {
        return Err(Error::Absent { structure: Structure::DynamicTable });
    }
    if changes.runpath.is_some() && draft.image.relocates_itself() {
        return Err(Error::SelfRelocating { structure: Structure::RunPath });
    }
    if changes.allow_unload {
        allow_unload(draft)?;
    }
    if is_named { name(draft, changes) } else { Ok(()) }
}

fn allow_unload(draft: &mut Draft<'_, '_>) -> Result<(), Error> {
    for (index, entry) in draft.image.dynamic().iter().enumerate() {
        if entry.tag == Tag::FLAGS_1 {
            set(draft, index, entry.tag, entry.value & !elf::DF_1_NODELETE.0)?;
        }
    }
    Ok(())
}

fn name(draft: &mut Draft<'_, '_>, changes: &Changes<'_>) -> Result<(), Error> {
    let image = draft.image;
    let mut strings = Strings::new(image)?;
    // Tag and value of entries that there are not yet.
    let mut new = Vec::new();
    let find = |tags: &[Tag]| {
        // The loader keeps the last of several.
        let is_it = |(_, entry): &(usize, &crate::Dynamic)| tags.contains(&entry.tag);
        image.dynamic().iter().enumerate().rfind(is_it)
    };
    let single = [
        (&changes.soname, Tag::SONAME, find(&[Tag::SONAME])),
        (&changes.runpath, Tag::RUNPATH, find(&[Tag::RUNPATH]).or_else(|| find(&[Tag::RPATH]))),
    ];
    for (name, tag, entry) in single {
        let Some(name) = name else { continue };
        match entry {
            Some((index, entry)) => {
                let value = strings.place(name, Some((entry.value, 1)));
                set(draft, index, tag, value)?;
            }
            None => new.push((tag, strings.place(name, None))),
        }
    }
    let versions = image.version_names();
    let dynamic_strings = image.dynamic_strings();
    for (old, name) in &changes.replace_needed {
        let is_old = |offset: u64| is_string(dynamic_strings, offset, old);
        let needed = image.dynamic().iter().enumerate();
        let entries: Vec<(u64, u64)> = needed
            .filter(|(_, entry)| entry.tag == Tag::NEEDED && is_old(entry.value))
            .map(|(index, entry)| (index as u64, entry.value))
            .collect();
        let Some(&(_, first)) = entries.first() else {
            return Err(Error::NotNeeded { name: old.escape_ascii().to_string() });
        };
        // The loader finds the library of a version by its name.
        let of_versions = versions
            .names
            .iter()
            .filter(|it| it.role == Role::Library && is_old(u64::from(it.name)));
        let fields: Vec<(u64, u64)> =
            of_versions.map(|it| (it.field, u64::from(it.name))).collect();
        // The same name may stand at several offsets.
        let offsets = entries.iter().chain(&fields).map(|(_, offset)| *offset);
        let users = offsets.filter(|&offset| offset == first).count();
        let value = strings.place(name, Some((first, users)));
        for (index, _) in entries {
            set(draft, index as usize, Tag::NEEDED, value)?;
        }
        for (field, _) in fields {
            let offset = image.offset_of(field, 4).ok_or(too_large(value))?;
            let value = u32::try_from(value).map_err(|_| too_large(value))?;
            draft.replace(offset, &image.layout.u32_bytes(value))?;
        }
    }
    for name in &changes.add_needed {
        new.push((Tag::NEEDED, strings.place(name, None)));
    }
    put(draft, &strings, new)
}

/// Puts the strings and the new entries of the dynamic table where there is room.
fn put(
    draft: &mut Draft<'_, '_>,
    strings: &Strings<'_>,
    new: Vec<(Tag, u64)>,
) -> Result<(), Error> {
    let image = draft.image;
    let grown = strings.grown()?;
    let mut moves_dynamic = false;
    if !add_entries(draft, &new)? {
        if image.relocates_itself() {
            // Its code knows where the table is.
            return Err(Error::SelfRelocating { structure: Structure::DynamicTable });
        }
        if image.header().machine == Machine::MIPS {
            // The loader is led to the debugger's structure by a distance from the table.
            let structure = Structure::DynamicTable;
            return Err(Error::NoRoom { structure, wanted: new.len() as u64, room: 0 });
        }
        let size = draft.dynamic.entry_size;
        draft.dynamic.bytes.truncate(image.dynamic().len().saturating_mul(size));
        for &(tag, value) in &new {
            let entry = entry_bytes(draft, tag, value);
            draft.dynamic.bytes.extend_from_slice(&entry);
        }
        let end = draft.dynamic.bytes.len().saturating_add(size);
        draft.dynamic.bytes.resize(end, 0);
        moves_dynamic = true;
    }
    if grown.is_none() {
        for (offset, new) in &strings.replaced {
            let start = image.dynamic_value(Tag::STRTAB).unwrap_or(0);
            let at = image.offset_of(start.saturating_add(*offset as u64), new.len() as u64);
            let absent = Error::Absent { structure: Structure::DynamicStrings };
            draft.replace(at.ok_or(absent)?, new)?;
        }
        if !moves_dynamic {
            return Ok(());
        }
    }
    room::make(draft, Wanted { strings: grown, moves_dynamic })
}

/// Writes new entries into spare ones, or over such as no loader needs. Whether there was room.
fn add_entries(draft: &mut Draft<'_, '_>, new: &[(Tag, u64)]) -> Result<bool, Error> {
    let used = draft.image.dynamic().len();
    let empty = (used..draft.dynamic.count()).take_while(|&index| {
        draft.dynamic.entry(index).is_some_and(|entry| entry.iter().all(|&byte| byte == 0))
    });
    // The last one ends the table.
    let spare = used..used.saturating_add(empty.count()).saturating_sub(1);
    // A loader that relocates itself relies on them.
    let is_needed = draft.image.relocates_itself();
    let dispensable = draft.image.dynamic().iter().enumerate();
    let dispensable = dispensable
        .filter(|(_, entry)| !is_needed && matches!(entry.tag, Tag::RELACOUNT | Tag::RELCOUNT))
        .map(|(index, _)| index);
    let mut places: Vec<usize> = spare.chain(dispensable).take(new.len()).collect();
    places.sort_unstable();
    // Libraries are searched in the order of their entries.
    let last = draft.image.dynamic().iter().rposition(|entry| entry.tag == Tag::NEEDED);
    let adds_library = new.iter().any(|(tag, _)| *tag == Tag::NEEDED);
    if places.len() < new.len() || (adds_library && places.first().copied() < last) {
        return Ok(false);
    }
    for (&index, &(tag, value)) in places.iter().zip(new) {
        set(draft, index, tag, value)?;
    }
    Ok(true)
}

fn entry_bytes(draft: &Draft<'_, '_>, tag: Tag, value: u64) -> Vec<u8> {
    let layout = draft.image.layout;
    [layout.word_bytes(tag.0.cast_unsigned()), layout.word_bytes(value)].concat()
}

/// Writes an entry of the dynamic table.
pub(super) fn set(
    draft: &mut Draft<'_, '_>,
    index: usize,
    tag: Tag,
    value: u64,
) -> Result<(), Error> {
    let bytes = entry_bytes(draft, tag, value);
    draft.dynamic.set(index, 0, &bytes)
}

fn too_large(wanted: u64) -> Error {
    Error::NoRoom { structure: Structure::NeededVersions, wanted, room: u64::from(u32::MAX) }
}
