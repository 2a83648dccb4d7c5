//! The plan that gives an image a CodeView record that has none.

use object::pe;

use crate::bytes;
use crate::codeview::Identity;
use crate::debug::{ENTRY_SIZE, MOST_ENTRIES};
use crate::draft::Draft;
use crate::header::DirectoryKind;
use crate::image::Image;
use crate::ladder;
use crate::occupancy::Tenant;
use crate::options::PdbPathOptions;
use crate::path;
use crate::report::{PdbPathPlan, Placed, Report};
use crate::written::{DebugDirectoryEntry, bytes_of};
use crate::{Error, Structure};

/// Plans the edits that give an image its first CodeView record, and a debug directory if it has
/// none.
///
/// The entries that there are keep their records; directory and new record go where the rungs
/// (c), (d) and (e) of [`plan_pdb_path`](crate::plan_pdb_path) find room for both.
/// [`PdbPathOptions::entry`] and [`PdbPathOptions::allow_base_name`] mean nothing here.
///
/// # Errors
///
/// [`Error::HasCodeView`] for an image with a record, [`Error::Malformed`] for one whose headers
/// have no debug directory among their data directories or one of 128 entries, else as
/// [`plan_pdb_path`](crate::plan_pdb_path).
pub fn plan_add_codeview(
    image: &Image<'_>,
    identity: Identity,
    new: &str,
    options: &PdbPathOptions,
) -> Result<PdbPathPlan, Error> {
    let path = path::formed(new, &options.form)?;
    let directory = image.debug_directory().complete()?;
    if let Some(entry) = directory.entries.iter().find(|entry| entry.codeview().is_some()) {
        return Err(Error::HasCodeView { index: entry.index });
    }
    let index = u32::try_from(directory.entries.len()).unwrap_or(u32::MAX);
    if index >= MOST_ENTRIES {
        return Err(directory.too_many(u64::from(index).saturating_add(1)));
    }
    let header = image.header();
    let field = header.directory_offset(DirectoryKind::Debug).ok_or(Error::Malformed {
        structure: Structure::DataDirectories,
        at: header.directories_offset(),
        what: "they end before the debug directory's",
        found: header.number_of_rva_and_sizes.into(),
    })?;

    let old_size = directory.range.end.saturating_sub(directory.range.start);
    let old = bytes::range(image.data(), directory.range.start, old_size).unwrap_or_default();
    let record = identity.record(path.as_bytes());
    let directory_size = old_size.saturating_add(ENTRY_SIZE);
    let wanted = directory_size.saturating_add(record.len() as u64);

    let mut draft = Draft::new(image, &directory.entries, options.signature);
    let place = ladder::find(&draft, wanted, None)
        .map_err(|obstacles| Error::NoRoom { wanted, obstacles })?;
    let offset = place.offset.saturating_add(directory_size);
    let address = place.address.saturating_add(directory_size);
    let entry = DebugDirectoryEntry {
        characteristics: 0,
        time_date_stamp: header.time_date_stamp,
        major_version: 0,
        minor_version: 0,
        typ: pe::IMAGE_DEBUG_TYPE_CODEVIEW.0,
        size_of_data: low(record.len() as u64),
        address_of_raw_data: low(address),
        pointer_to_raw_data: low(offset),
    };
    let contents = [old, &bytes_of(entry), &record].concat();
    place.settle(&mut draft, &contents)?;
    draft.write_u32(Tenant::Headers, field, low(place.address))?;
    draft.write_u32(Tenant::Headers, field.saturating_add(4), low(directory_size))?;
    draft.warn_of_repro(&directory.entries);

    let finished = draft.finish(options.sum)?;
    let placed = Placed {
        index,
        rung: place.rung,
        place: place.rung,
        old_path: Vec::new(),
        new_path: path.into_bytes(),
        offset,
        address: Some(address),
    };
    let report = Report {
        entries: vec![placed],
        checksum: finished.checksum,
        signature: finished.signature,
        warnings: finished.warnings,
    };
    Ok(PdbPathPlan { plan: finished.plan, report })
}

/// Places have been checked to be below 4 GB.
fn low(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
