//! The plan that gives an image another PDB path.

use std::ops::Range;

use crate::bytes;
use crate::debug::{DebugEntry, Problem};
use crate::draft::Draft;
use crate::header::DirectoryKind;
use crate::image::Image;
use crate::ladder::{self, RECORD_ALIGNMENT};
use crate::occupancy::{Occupancy, Tenant};
use crate::options::{PathForm, PdbPathOptions, Which};
use crate::path;
use crate::report::{Obstacle, PdbPathPlan, Placed, Report, Rung, Warning};
use crate::{Error, Structure};

/// Plans the edits that give an image another PDB path.
///
/// GUID and age stay, so that debuggers still know the PDB for the image's own. Each entry uses
/// the lowest rung of a ladder that holds, and the report says which:
///
/// - (a) [`Rung::Record`]: the record has room; what is left of it is zeroed.
/// - (b) [`Rung::Gap`]: it grows into zeros behind it that fill up to the next known structure.
/// - (c) [`Rung::Tail`]: it moves behind the virtual size of a section, into bytes that the file
///   holds anyway.
/// - (d) [`Rung::NewSection`]: it moves into a section of its own, appended to the file.
/// - (e) [`Rung::LastSection`]: it moves to the end of the last section, which grows.
/// - (f) [`Rung::BaseName`]: where none of these has room, the base name alone is stored, if
///   [`PdbPathOptions::allow_base_name`] says so.
///
/// A path is stored as it is, in UTF-8. If every chosen entry has the path already, the plan is
/// empty.
///
/// # Errors
///
/// [`Error::NoPath`] and [`Error::NoSuchEntry`] for an image or entry without a path,
/// [`Error::BadPath`] for a path that cannot be stored, [`Error::Signed`] for a signed image
/// unless the signature may be stripped, [`Error::NoRoom`] where no rung holds,
/// [`Error::Malformed`] for a debug directory of more entries than are read,
/// [`Error::Relocated`] and [`Error::DynamicallyRelocated`] where the loader changes a byte that
/// the plan would change, and [`Error::Plan`] where structures overlap as no linker lays them.
pub fn plan_pdb_path(
    image: &Image<'_>,
    new: &str,
    options: &PdbPathOptions,
) -> Result<PdbPathPlan, Error> {
    let path = path::formed(new, &options.form)?;
    let entries = image.debug_directory().complete()?.entries;
    let chosen = chosen(&entries, options.entry)?;
    let outcome = plan(image, &entries, &chosen, &path, options);
    let base_name = path::base_name(&path);
    match outcome {
        Err(Error::NoRoom { .. })
            if options.allow_base_name
                && options.form != PathForm::BaseName
                && !base_name.is_empty()
                && base_name.len() < path.len() =>
        {
            let mut plan = plan(image, &entries, &chosen, base_name, options)?;
            for placed in &mut plan.report.entries {
                placed.rung = Rung::BaseName;
            }
            Ok(plan)
        }
        outcome => outcome,
    }
}

/// The entries that are to change.
pub(crate) fn chosen<'entries, 'data>(
    entries: &'entries [DebugEntry<'data>],
    which: Which,
) -> Result<Vec<&'entries DebugEntry<'data>>, Error> {
    let with_path = entries.iter().filter(|entry| entry.has_path());
    let chosen: Vec<_> = match which {
        Which::All => with_path.collect(),
        Which::One(index) => with_path.filter(|entry| entry.index == index).collect(),
    };
    match (chosen.is_empty(), which) {
        (false, _) => Ok(chosen),
        (true, Which::All) => Err(Error::NoPath),
        (true, Which::One(index)) => Err(Error::NoSuchEntry { index }),
    }
}

/// The chosen entries that lead to the same record.
pub(crate) fn sharing<'entries, 'data>(
    chosen: &[&'entries DebugEntry<'data>],
    entry: &DebugEntry<'_>,
) -> Vec<&'entries DebugEntry<'data>> {
    chosen.iter().filter(|it| it.record == entry.record).copied().collect()
}

fn plan(
    image: &Image<'_>,
    entries: &[DebugEntry<'_>],
    chosen: &[&DebugEntry<'_>],
    path: &str,
    options: &PdbPathOptions,
) -> Result<PdbPathPlan, Error> {
    let mut draft = Draft::new(image, entries, options.signature);
    let mut placed = Vec::new();
    let mut movers: Vec<Mover<'_, '_>> = Vec::new();
    let mut obstacles = Vec::new();
    // Entries that share one record are changed by one edit of it.
    let mut done: Vec<Range<u64>> = Vec::new();
    for entry in chosen {
        if done.contains(&entry.record) {
            continue;
        }
        done.push(entry.record.clone());
        let sharing = sharing(chosen, entry);
        let home = Home::of(draft.occupancy(), entries, &sharing);
        match home.as_ref().and_then(|home| in_place(&draft, &sharing, home, path)) {
            Some((rung, size)) => {
                rewrite(&mut draft, entry, &sharing, path, size)?;
                for entry in sharing {
                    placed.push(placed_in_place(image, entry, rung, path));
                }
            }
            // It could not be changed where it is, and need not be.
            None if has_already(entry, path) => {
                for entry in sharing {
                    placed.push(placed_in_place(image, entry, Rung::Record, path));
                }
            }
            None => {
                let obstacle = |rung, reason| Obstacle { rung, reason };
                obstacles.push(match home {
                    Some(_) => obstacle(Rung::Record, "the record is too short"),
                    None => obstacle(Rung::Record, "the record's bytes are not its own"),
                });
                obstacles.push(obstacle(Rung::Gap, "no gap behind the record is long enough"));
                movers.push(Mover { sharing, is_alone: home.is_some() });
            }
        }
    }
    if !movers.is_empty() {
        obstacles.dedup();
        relocate(&mut draft, &movers, path, obstacles, &mut placed)?;
    }
    placed.sort_by_key(|placed: &Placed| placed.index);
    for placed in placed.iter().filter(|placed| placed.address.is_none()) {
        draft.warn(Warning::NotInMemory { index: placed.index });
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

/// A record that is where its entries say and that nobody else has bytes of: it can be changed
/// where it is.
pub(crate) struct Home {
    pub(crate) record: Range<u64>,
}

impl Home {
    /// The home of entries that share one record; `None` if there is anything doubtful about it.
    pub(crate) fn of(
        occupancy: &Occupancy,
        entries: &[DebugEntry<'_>],
        sharing: &[&DebugEntry<'_>],
    ) -> Option<Home> {
        let entry = sharing.first()?;
        let record = entry.record.clone();
        let others = entries.iter().filter(|it| it.record == record);
        let is_cut = entry.is(|problem| matches!(problem, Problem::CutShort { .. }));
        let is_shared = occupancy.tenant_in(&record, Some(occupancy.owner_of(entry))).is_some();
        let is_alone = !is_cut && !is_shared && others.count() == sharing.len();
        is_alone.then_some(Home { record })
    }

    /// Why an entry's record has no home of its own.
    pub(crate) fn obstacle(occupancy: &Occupancy, entry: &DebugEntry<'_>) -> Error {
        match occupancy.tenant_in(&entry.record, Some(occupancy.owner_of(entry))) {
            Some((offset, tenant)) => Error::Shared { offset, tenant },
            None => Error::Malformed {
                structure: Structure::DebugRecord,
                at: entry.record.start,
                what: "the file does not hold all of it, or another entry leads there too",
                found: entry.size.into(),
            },
        }
    }
}

/// Whether every reader of an entry finds this path already.
fn has_already(entry: &DebugEntry<'_>, path: &str) -> bool {
    let misleads =
        |problem: &Problem| matches!(problem, Problem::Disagree { .. } | Problem::NoTerminator);
    entry.path == Some(path.as_bytes()) && !entry.is(misleads)
}

/// The rung on which a record can stay where it is, and its size then.
fn in_place(
    draft: &Draft<'_, '_>,
    sharing: &[&DebugEntry<'_>],
    home: &Home,
    path: &str,
) -> Option<(Rung, u64)> {
    let entry = sharing.first()?;
    let wanted = path.len() as u64;
    if wanted <= entry.capacity? {
        return Some((Rung::Record, entry.size.into()));
    }
    let size = entry.path_offset().checked_add(wanted)?.checked_add(1)?;
    let gap = gap_behind(draft, home)?;
    let room = gap.end.checked_sub(home.record.start)?;
    let fits = size <= room && is_mapped_in_one_piece(draft.image, sharing, home, size);
    fits.then_some((Rung::Gap, size))
}

/// Whether memory has that many bytes of a record at each of its addresses: the bytes behind it in
/// the file may be another section's, which lies elsewhere in memory, or nobody's.
fn is_mapped_in_one_piece(
    image: &Image<'_>,
    sharing: &[&DebugEntry<'_>],
    home: &Home,
    size: u64,
) -> bool {
    let start = home.record.start;
    let is_whole = |address| {
        let held = image.held_at(address).filter(|&(offset, _)| offset == start);
        held.map(|(_, left)| left >= size)
    };
    let addresses = sharing.iter().map(|entry| u64::from(entry.address));
    image.offset_to_rva(start).and_then(is_whole) == Some(true)
        && addresses.filter(|&address| address != 0).all(|it| is_whole(it) != Some(false))
}

/// The zeros between a record and the next structure, if they are what alignment leaves.
fn gap_behind(draft: &Draft<'_, '_>, home: &Home) -> Option<Range<u64>> {
    let start = home.record.end;
    let (end, next) = draft.occupancy().next(start)?;
    let length = end.checked_sub(start)?;
    // A constant that happens to be zero has no header that would name it: only what aligns the
    // next word, or lies between two records, is surely nobody's.
    let widest = match next {
        Tenant::DebugRecord { .. } => WIDEST_GAP,
        _ => RECORD_ALIGNMENT,
    };
    let behind = bytes::range(draft.image.data(), start, length).filter(|_| length < widest)?;
    behind.iter().all(|&byte| byte == 0).then_some(start..end)
}

/// Changes a record where it is. `size` is the new `SizeOfData`.
fn rewrite(
    draft: &mut Draft<'_, '_>,
    entry: &DebugEntry<'_>,
    sharing: &[&DebugEntry<'_>],
    path: &str,
    size: u64,
) -> Result<(), Error> {
    let header = entry.path_offset();
    let start = entry.record.start.saturating_add(header);
    let end = entry.record.start.saturating_add(size);
    let room = usize::try_from(end.saturating_sub(start)).unwrap_or_default();
    let mut bytes = path.as_bytes().to_vec();
    bytes.resize(room, 0);
    let owner = draft.occupancy().owner_of(entry);
    draft.write(Some(owner), start, &bytes)?;
    warn_of_hidden(draft, entry);
    for entry in sharing {
        let mut place = EntryFields::repaired(draft, entry);
        place.size = u32::try_from(size).unwrap_or(entry.size);
        place.write(draft, entry)?;
    }
    Ok(())
}

/// Says that what lies behind the zero of the old path is erased with it.
pub(crate) fn warn_of_hidden(draft: &mut Draft<'_, '_>, entry: &DebugEntry<'_>) {
    if entry.is(|problem| matches!(problem, Problem::AfterTerminator { .. })) {
        let path = entry.path.unwrap_or_default().len() as u64;
        let start = entry.record.start.saturating_add(entry.path_offset());
        draft.warn(Warning::HiddenBytesErased { offset: start.saturating_add(path) });
    }
}

fn placed_in_place(image: &Image<'_>, entry: &DebugEntry<'_>, rung: Rung, path: &str) -> Placed {
    Placed {
        index: entry.index,
        rung,
        place: rung,
        old_path: entry.path.unwrap_or_default().to_vec(),
        new_path: path.as_bytes().to_vec(),
        offset: entry.record.start,
        address: image.offset_to_rva(entry.record.start),
    }
}

/// Entries that share a record which moves.
struct Mover<'entries, 'data> {
    sharing: Vec<&'entries DebugEntry<'data>>,
    /// Whether the old record is nobody else's and can be erased.
    is_alone: bool,
}

/// Gives records a new place, all of them one.
fn relocate(
    draft: &mut Draft<'_, '_>,
    movers: &[Mover<'_, '_>],
    path: &str,
    mut obstacles: Vec<Obstacle>,
    placed: &mut Vec<Placed>,
) -> Result<(), Error> {
    let mut contents: Vec<u8> = Vec::new();
    let mut starts = Vec::new();
    for mover in movers {
        let Some(entry) = mover.sharing.first() else { continue };
        let aligned = contents.len().next_multiple_of(RECORD_ALIGNMENT as usize);
        contents.resize(aligned, 0);
        starts.push(contents.len() as u64);
        let header = entry.path_offset();
        let header = usize::try_from(header).ok().and_then(|size| entry.data.get(..size));
        contents.extend_from_slice(header.unwrap_or_default());
        contents.extend_from_slice(path.as_bytes());
        contents.push(0);
    }
    let wanted = contents.len() as u64;
    let home = movers.first().and_then(|mover| Some(mover.sharing.first()?.record.start));
    let place = ladder::find(draft, wanted, home).map_err(|more| {
        obstacles.extend(more);
        Error::NoRoom { wanted, obstacles }
    })?;
    place.settle(draft, &contents)?;

    for (mover, &start) in movers.iter().zip(&starts) {
        let offset = place.offset.saturating_add(start);
        let address = place.address.saturating_add(start);
        for entry in &mover.sharing {
            let form = entry.path_offset();
            let size = form.saturating_add(path.len() as u64).saturating_add(1);
            let fields = EntryFields {
                size: u32::try_from(size).unwrap_or_default(),
                address: u32::try_from(address).unwrap_or_default(),
                pointer: u32::try_from(offset).unwrap_or_default(),
            };
            fields.write(draft, entry)?;
            placed.push(Placed {
                index: entry.index,
                rung: place.rung,
                place: place.rung,
                old_path: entry.path.unwrap_or_default().to_vec(),
                new_path: path.as_bytes().to_vec(),
                offset,
                address: Some(address),
            });
        }
        let Some(entry) = mover.sharing.first() else { continue };
        if mover.is_alone {
            warn_of_hidden(draft, entry);
            draft.clear(Some(draft.occupancy().owner_of(entry)), &entry.record)?;
        } else {
            draft.warn(Warning::OldRecordStays { offset: entry.record.start });
        }
    }
    Ok(())
}

/// The fields of an entry that say where its record is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryFields {
    pub(crate) size: u32,
    pub(crate) address: u32,
    pub(crate) pointer: u32,
}

impl EntryFields {
    fn of(entry: &DebugEntry<'_>) -> EntryFields {
        EntryFields { size: entry.size, address: entry.address, pointer: entry.pointer }
    }

    /// Those of an entry whose address and offset lead to two places as they are when both lead to
    /// where the record was read; those of any other entry as they are.
    pub(crate) fn repaired(draft: &mut Draft<'_, '_>, entry: &DebugEntry<'_>) -> EntryFields {
        if !entry.is(|problem| matches!(problem, Problem::Disagree { .. })) {
            return EntryFields::of(entry);
        }
        draft.warn(Warning::EntryRepaired { index: entry.index });
        // Where no address leads there, readers of the file still find it.
        let address = draft.image.offset_to_rva(entry.record.start).unwrap_or_default();
        EntryFields {
            size: entry.size,
            address: u32::try_from(address).unwrap_or_default(),
            pointer: u32::try_from(entry.record.start).unwrap_or_default(),
        }
    }

    /// Writes those that change.
    pub(crate) fn write(
        self,
        draft: &mut Draft<'_, '_>,
        entry: &DebugEntry<'_>,
    ) -> Result<(), Error> {
        let fields = [
            (SIZE_OF_DATA, entry.size, self.size),
            (ADDRESS_OF_RAW_DATA, entry.address, self.address),
            (POINTER_TO_RAW_DATA, entry.pointer, self.pointer),
        ];
        let owner = Tenant::Directory(DirectoryKind::Debug);
        for (inside, old, new) in fields {
            if old != new {
                draft.write_u32(owner, entry.offset.saturating_add(inside), new)?;
            }
        }
        Ok(())
    }
}

/// Where the fields are in an entry.
const SIZE_OF_DATA: u64 = 16;
const ADDRESS_OF_RAW_DATA: u64 = 20;
const POINTER_TO_RAW_DATA: u64 = 24;

/// No linker aligns a debug record to more.
const WIDEST_GAP: u64 = 16;
