//! The plan that makes the hash of a reproducible build say what the image now is.

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::Error;
use crate::debug::{DebugEntry, DebugKind, repro_hash};
use crate::draft::Draft;
use crate::header::DirectoryKind;
use crate::image::Image;
use crate::occupancy::Tenant;
use crate::options::PdbPathOptions;
use crate::report::{PdbPathPlan, Report};

/// Plans the edits that replace the hash in an image's REPRO entries by one of its bytes as they
/// are now.
///
/// A linker that is told to build reproducibly (`/Brepro`) leaves a hash of what it made, and
/// turns time stamps into parts of it. After a change the image is another one under the old
/// hash. To be planned on the changed image:
///
/// ```
/// # fn patched() -> Vec<u8> { std::fs::read(std::env::current_exe().unwrap()).unwrap() }
/// use pe_patch::{Error, Image, PdbPathOptions, plan_repro_fix};
///
/// let mut bytes = patched();
/// if let Ok(image) = Image::parse(&bytes) {
///     match plan_repro_fix(&image, &PdbPathOptions::default()) {
///         Ok(fix) => fix.plan.apply_to_vec(&mut bytes)?,
///         Err(Error::NoRepro) => {}
///         Err(error) => return Err(error.into()),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The new hash is the SHA-256 of the whole file, cut or repeated to the old one's length, in
/// which the hash itself, the checksum, and the directory entry of the certificate table are left
/// out. That table counts as what is left of it when the signature is off: nothing where it is the
/// file's end, else zeros. The same image always gets the same hash, and a second plan is empty. Time stamps
/// stay, since symbol servers look images up by them, and so do the GUIDs of PDBs. LLD and .NET
/// write REPRO entries without a hash; there is nothing to fix in those.
///
/// # Errors
///
/// [`Error::NoRepro`] for an image without such a hash, else as
/// [`plan_pdb_path`](crate::plan_pdb_path).
pub fn plan_repro_fix(image: &Image<'_>, options: &PdbPathOptions) -> Result<PdbPathPlan, Error> {
    let entries = image.debug_directory().complete()?.entries;
    let mut draft = Draft::new(image, &entries, options.signature);
    let mut hashes: Vec<(Range<u64>, Tenant)> = Vec::new();
    for entry in &entries {
        let Some(range) = hash_range(entry) else { continue };
        if !hashes.iter().any(|(known, _)| *known == range) {
            hashes.push((range, draft.occupancy().owner_of(entry)));
        }
    }
    if hashes.is_empty() {
        return Err(Error::NoRepro);
    }
    let hash = hash(image, draft.end(), hashes.iter().map(|(range, _)| range.clone()).collect());
    for (range, owner) in hashes {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or_default();
        let new: Vec<u8> = hash.iter().copied().cycle().take(length).collect();
        draft.write(Some(owner), range.start, &new)?;
    }
    let finished = draft.finish(options.sum)?;
    let report = Report {
        entries: Vec::new(),
        checksum: finished.checksum,
        signature: finished.signature,
        warnings: finished.warnings,
    };
    Ok(PdbPathPlan { plan: finished.plan, report })
}

/// Where the file has the hash of a REPRO entry.
fn hash_range(entry: &DebugEntry<'_>) -> Option<Range<u64>> {
    if !matches!(entry.kind, DebugKind::Repro { .. }) {
        return None;
    }
    let inside = repro_hash(entry.data)?;
    let at = |inside: usize| entry.record.start.checked_add(inside as u64);
    Some(at(inside.start)?..at(inside.end)?)
}

/// The hash of the image as it is without its signature, when it ends at `end`.
fn hash(image: &Image<'_>, end: u64, mut left_out: Vec<Range<u64>>) -> [u8; 32] {
    let checksum = image.stored_checksum().offset;
    left_out.push(checksum..checksum.saturating_add(4));
    if let Some(field) = image.header().directory_offset(DirectoryKind::Security) {
        left_out.push(field..field.saturating_add(8));
    }
    left_out.push(end..end);
    left_out.sort_unstable_by_key(|range| range.start);
    let zeroed = image.certificate_table().unwrap_or_default();
    let mut hasher = Sha256::new();
    let mut cursor = 0;
    for range in left_out {
        let next = cursor..range.start.min(end);
        add(&mut hasher, image, &(next.start..next.end.min(zeroed.start)));
        add_zeros(&mut hasher, next.start.max(zeroed.start)..next.end.min(zeroed.end));
        add(&mut hasher, image, &(next.start.max(zeroed.end)..next.end));
        cursor = cursor.max(range.end);
    }
    hasher.finalize().into()
}

fn add(hasher: &mut Sha256, image: &Image<'_>, range: &Range<u64>) {
    let size = range.end.saturating_sub(range.start);
    hasher.update(crate::bytes::range(image.data(), range.start, size).unwrap_or_default());
}

fn add_zeros(hasher: &mut Sha256, range: Range<u64>) {
    let mut left = range.end.saturating_sub(range.start);
    while left > 0 {
        let size = left.min(ZEROS.len() as u64);
        hasher.update(crate::bytes::range(&ZEROS, 0, size).unwrap_or_default());
        left = left.saturating_sub(size);
    }
}

const ZEROS: [u8; 4096] = [0; 4096];
