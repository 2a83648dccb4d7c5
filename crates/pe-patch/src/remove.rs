//! The plan that takes the PDB path out of an image before it is given away.

use std::ops::Range;

use crate::Error;
use crate::bytes;
use crate::codeview::CodeView;
use crate::debug::{DebugDirectory, DebugEntry, ENTRY_SIZE, Problem};
use crate::draft::Draft;
use crate::header::DirectoryKind;
use crate::image::Image;
use crate::occupancy::Tenant;
use crate::options::PdbPathOptions;
use crate::pdb_path::{EntryFields, Home, chosen, sharing, warn_of_hidden};
use crate::report::{PdbPathPlan, Placed, Report, Rung, Warning};

/// What is taken out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Removal {
    /// The path. GUID and age stay, so that a crash dump still says which build it is of, and a
    /// debugger looks for a PDB of the image's own name.
    #[default]
    Path,
    /// The record, and its entry of the debug directory: nothing leads to a PDB any more.
    Entry,
}

/// Plans the edits that take the PDB path out of an image.
///
/// The path's bytes become zeros, all of them up to the record's end; where an entry's address and
/// its offset lead to two records, the path of both, and the entry is repaired. Nothing moves except, for
/// [`Removal::Entry`], the entries behind the removed one. [`PdbPathOptions::form`] and
/// [`PdbPathOptions::allow_base_name`] mean nothing here.
///
/// # Errors
///
/// [`Error::Shared`] where another structure has bytes of the record, else as
/// [`plan_pdb_path`](crate::plan_pdb_path).
pub fn plan_remove_pdb_path(
    image: &Image<'_>,
    removal: Removal,
    options: &PdbPathOptions,
) -> Result<PdbPathPlan, Error> {
    let directory = image.debug_directory().complete()?;
    let entries = &directory.entries;
    let chosen = chosen(entries, options.entry)?;
    let mut draft = Draft::new(image, entries, options.signature);
    let mut placed: Vec<Placed> = Vec::new();
    let mut done = Vec::new();
    for entry in &chosen {
        placed.push(Placed {
            index: entry.index,
            rung: Rung::Record,
            place: Rung::Record,
            old_path: entry.path.unwrap_or_default().to_vec(),
            new_path: Vec::new(),
            offset: entry.record.start,
            address: image.offset_to_rva(entry.record.start),
        });
        if done.contains(&entry.record) {
            continue;
        }
        done.push(entry.record.clone());
        let sharing = sharing(&chosen, entry);
        let is_alone = Home::of(draft.occupancy(), entries, &sharing).is_some();
        let owner = draft.occupancy().owner_of(entry);
        let header = entry.path_offset();
        let start = match removal {
            Removal::Path => entry.record.start.saturating_add(header),
            Removal::Entry => entry.record.start,
        };
        match (is_alone, removal) {
            (true, _) => {
                draft.clear(Some(owner), &(start..entry.record.end))?;
                warn_of_hidden(&mut draft, entry);
            }
            (false, Removal::Entry) => {
                draft.warn(Warning::OldRecordStays { offset: entry.record.start });
            }
            (false, Removal::Path) => {
                return Err(Home::obstacle(draft.occupancy(), entry));
            }
        }
    }
    let mut cleared = Vec::new();
    for entry in &chosen {
        clear_other(&mut draft, &chosen, entry, removal, &mut cleared)?;
    }
    match removal {
        Removal::Path => {
            for entry in &chosen {
                EntryFields::repaired(&mut draft, entry).write(&mut draft, entry)?;
            }
        }
        Removal::Entry => close_up(&mut draft, &directory, &chosen)?,
    }
    draft.warn_of_repro(entries);

    let finished = draft.finish(options.sum)?;
    let report = Report {
        entries: placed,
        checksum: finished.checksum,
        signature: finished.signature,
        warnings: finished.warnings,
    };
    Ok(PdbPathPlan { plan: finished.plan, report })
}

/// Takes the path out of the other record, where an entry's address and its offset lead to two:
/// some readers find the one, some the other.
fn clear_other(
    draft: &mut Draft<'_, '_>,
    chosen: &[&DebugEntry<'_>],
    entry: &DebugEntry<'_>,
    removal: Removal,
    cleared: &mut Vec<u64>,
) -> Result<(), Error> {
    let other = entry.problems.iter().find_map(|problem| match *problem {
        Problem::Disagree { by_address, by_pointer, used } => {
            Some(if used == by_address { by_pointer } else { by_address })
        }
        _ => None,
    });
    let Some(offset) = other.filter(|other| !cleared.contains(other)) else { return Ok(()) };
    // Its own entry has it taken out.
    if chosen.iter().any(|it| it.record.start == offset) {
        return Ok(());
    }
    let Some(path) = path_at(draft.image, offset, entry.size) else { return Ok(()) };
    cleared.push(offset);
    if draft.occupancy().tenant_in(&(offset..path.end), None).is_some() {
        draft.warn(Warning::OldRecordStays { offset });
        return Ok(());
    }
    let start = match removal {
        Removal::Path => path.start,
        Removal::Entry => offset,
    };
    draft.clear(None, &(start..path.end))
}

/// Where the path of a record at an offset is, up to the zero that ends it or the record's end.
fn path_at(image: &Image<'_>, offset: u64, size: u32) -> Option<Range<u64>> {
    let left = image.end().checked_sub(offset)?;
    let data = bytes::range(image.data(), offset, left.min(size.into()))?;
    let inside = CodeView::of(data)?.path_offset()?;
    let path = data.get(usize::try_from(inside).ok()?..)?;
    let length = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
    let start = offset.checked_add(inside)?;
    Some(start..start.checked_add(length as u64)?)
}

/// Moves the entries up that are left, and shortens the directory.
fn close_up(
    draft: &mut Draft<'_, '_>,
    directory: &DebugDirectory<'_>,
    removed: &[&DebugEntry<'_>],
) -> Result<(), Error> {
    let image = draft.image;
    let mut left: Vec<u8> = Vec::new();
    for entry in &directory.entries {
        if !removed.iter().any(|it| it.index == entry.index) {
            let bytes = bytes::range(image.data(), entry.offset, ENTRY_SIZE);
            left.extend_from_slice(bytes.unwrap_or_default());
        }
    }
    let size = left.len() as u64;
    let old_size = directory.range.end.saturating_sub(directory.range.start);
    left.resize(usize::try_from(old_size).unwrap_or(left.len()), 0);
    let owner = Tenant::Directory(DirectoryKind::Debug);
    draft.write(Some(owner), directory.range.start, &left)?;
    let Some(field) = image.header().directory_offset(DirectoryKind::Debug) else { return Ok(()) };
    if size == 0 {
        return draft.write(Some(Tenant::Headers), field, &[0; 8]);
    }
    let size = u32::try_from(size).unwrap_or_default();
    draft.write_u32(Tenant::Headers, field.saturating_add(4), size)
}
