//! Edits that keep the ad-hoc signature true.

use std::ops::Range;

use patch_plan::{Edit, Plan};

use crate::signature::{CodeDirectory, Signature};
use crate::{Container, Error, Image};

/// An edit with everything that the signature needs because of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resigned {
    /// The edits of the file, and those of its hashes.
    pub plan: Plan,
    /// What becomes of each code directory; empty if the image is not signed.
    pub directories: Vec<ResignedDirectory>,
}

/// What becomes of a code directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResignedDirectory {
    /// Where its image starts in the file.
    pub base: u64,
    /// Its slot.
    pub slot: u32,
    /// How many hashes of pages are rewritten.
    pub pages: u64,
    /// How many of those are of pages that no edit touches: they were wrong before.
    pub mended: u64,
    /// Its new hash, by which the system will know the code.
    pub cd_hash: [u8; 20],
}

/// Plans an edit of an image together with the hashes that it changes, in every code directory.
///
/// Offsets of `edits` are counted from the start of the file, as those of the resulting plan: for
/// a slice that is [`Image::base`] further than where the image says something is. An ad-hoc
/// signature proves only that the bytes are whole, and so renewing its hashes is all there is to
/// it; the flags stay as they are. An image that is not signed gets its edits and nothing else.
///
/// The system remembers for each file that it has verified its pages. The plan is therefore to be
/// written as a new file, as [`Plan::write_file`] does, and never into the old one.
///
/// ```no_run
/// # use std::path::Path;
/// use macho_sections::{Image, plan_edit_and_resign};
/// use patch_plan::{Plan, WriteOptions};
///
/// # let path = Path::new("guest.dylib");
/// let bytes = std::fs::read(path)?;
/// let mut edits = Plan::new();
/// edits.edit(0x4010, *b"one", *b"two")?;
/// let resigned = plan_edit_and_resign(&Image::parse(&bytes)?, &edits)?;
/// resigned.plan.write_file(path, path, &WriteOptions::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Error::RealIdentity`] if a key was used to sign, [`Error::Refused`] for an edit that changes
/// the length, lies outside of the image or touches the signature, [`Error::Plan`] if the edits do
/// not fit the bytes, and what [`Image::signature`] fails with.
pub fn plan_edit_and_resign(image: &Image<'_>, edits: &Plan) -> Result<Resigned, Error> {
    let local = relative(edits, image)?;
    let signature = image.signature()?;
    let mut patched = image.data().to_vec();
    local.apply(&mut patched)?;
    let Some(signature) = signature else {
        let is_added = Image::at(&patched, image.base())
            .is_ok_and(|patched| patched.signature_range().is_some());
        return match local.edits().first().filter(|_| is_added) {
            Some(edit) => Err(refused(image, edit, "it makes a signature where there is none")),
            None => Ok(Resigned { plan: edits.clone(), directories: Vec::new() }),
        };
    };
    if signature.has_identity() {
        let team = signature.team().map(|team| String::from_utf8_lossy(team).into_owned());
        return Err(Error::RealIdentity { team });
    }
    check_untouched(image, &signature, &local)?;
    let after = Image::at(&patched, image.base())?;
    if after.signature_range() != image.signature_range() {
        let what = "it moves the signature";
        return Err(local.edits().first().map_or_else(
            || Error::Refused { offset: image.base(), what },
            |edit| refused(image, edit, what),
        ));
    }
    let (mut all, mut directories) = (edits.edits().to_vec(), Vec::new());
    for directory in &signature.directories {
        directories.push(resign(image, &after, &signature, directory, &local, &mut all));
    }
    Ok(Resigned { plan: Plan::from_edits(all)?, directories })
}

impl Container<'_> {
    /// Plans an edit of a file together with the hashes that it changes, in every slice that it
    /// touches; see [`plan_edit_and_resign`]. Edits between slices are taken over as they are.
    ///
    /// # Errors
    ///
    /// As [`plan_edit_and_resign`]; [`Error::Refused`] for an edit of the list of slices or of one
    /// that reaches from one slice into the next.
    pub fn plan_edit_and_resign(&self, edits: &Plan) -> Result<Resigned, Error> {
        let fat = match self {
            Container::Thin(image) => return plan_edit_and_resign(image, edits),
            Container::Fat(fat) => fat,
        };
        if let Some(tail) = edits.tail() {
            return Err(Error::Refused { offset: tail.offset, what: CHANGES_LENGTH });
        }
        let first = fat.slices.iter().map(|slice| slice.offset).min().unwrap_or(0);
        let mut left: Vec<&Edit> = edits.edits().iter().collect();
        if let Some(edit) = left.first().filter(|edit| edit.offset < first) {
            let what = "it changes what is before the first slice";
            return Err(Error::Refused { offset: edit.offset, what });
        }
        let mut all = Resigned { plan: Plan::new(), directories: Vec::new() };
        for slice in &fat.slices {
            let range = slice.offset..slice.offset.saturating_add(slice.size);
            let touches = |edit: &Edit| overlap(&range, &of(edit));
            let (inside, outside): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|edit| touches(edit));
            left = outside;
            if inside.is_empty() {
                continue;
            }
            let edits = Plan::from_edits(inside.into_iter().cloned())?;
            let resigned = plan_edit_and_resign(&slice.image()?, &edits)?;
            all.plan.merge(&resigned.plan)?;
            all.directories.extend(resigned.directories);
        }
        for edit in left {
            all.plan.edit(edit.offset, edit.old.clone(), edit.new.clone())?;
        }
        Ok(all)
    }
}

/// Adds the edits of one directory's hashes to `all`.
fn resign(
    before: &Image<'_>,
    after: &Image<'_>,
    signature: &Signature<'_>,
    directory: &CodeDirectory<'_>,
    edits: &Plan,
    all: &mut Vec<Edit>,
) -> ResignedDirectory {
    let mut bytes = directory.bytes.to_vec();
    let start = before.base().saturating_add(directory.offset);
    let mut write = |range: Range<usize>, new: Vec<u8>| {
        let offset = start.saturating_add(range.start as u64);
        if let Some(place) = bytes.get_mut(range) {
            let old = place.to_vec();
            place.copy_from_slice(&new);
            all.push(Edit { offset, old, new });
        }
    };
    let (mut pages, mut mended) = (0_u64, 0_u64);
    for (index, range, digest) in directory.bad_pages(after.data()) {
        let Some(place) = directory.hash_range(index) else { continue };
        pages = pages.saturating_add(1);
        // Of those that end behind the page's start, the first.
        let next = edits.edits().partition_point(|edit| of(edit).end <= range.start);
        if !edits.edits().get(next).is_some_and(|edit| overlap(&range, &of(edit))) {
            mended = mended.saturating_add(1);
        }
        write(place, digest);
    }
    // Of what has a special slot, an edit can only change the property list: everything else is in
    // the signature. A slot that was wrong before was not made by hashing what we would hash.
    let old = before.expected_slots(signature, directory);
    for (slot, digest) in after.expected_slots(signature, directory) {
        let was = old.iter().find(|(other, _)| *other == slot).map(|(_, digest)| digest.as_slice());
        let place = directory.special_range(slot).filter(|_| was.is_some_and(|was| was != digest));
        if let Some(place) = place.filter(|_| directory.special_hash(slot) == was) {
            write(place, digest);
        }
    }
    let cd_hash = directory.hash.digest(&bytes).first_chunk().copied().unwrap_or_default();
    ResignedDirectory { base: before.base(), slot: directory.slot, pages, mended, cd_hash }
}

/// The edits counted from the start of the image.
fn relative(edits: &Plan, image: &Image<'_>) -> Result<Plan, Error> {
    if let Some(tail) = edits.tail() {
        return Err(Error::Refused { offset: tail.offset, what: CHANGES_LENGTH });
    }
    let mut local = Plan::new();
    for edit in edits.edits() {
        let offset = edit.offset.checked_sub(image.base());
        let end = image.data().len() as u64;
        let inside = offset.filter(|offset| {
            offset.checked_add(edit.old.len() as u64).is_some_and(|last| last <= end)
        });
        let Some(offset) = inside else {
            let what = "it lies outside of the image";
            return Err(Error::Refused { offset: edit.offset, what });
        };
        local.edit(offset, edit.old.clone(), edit.new.clone())?;
    }
    Ok(local)
}

fn check_untouched(
    image: &Image<'_>,
    signature: &Signature<'_>,
    edits: &Plan,
) -> Result<(), Error> {
    let range = signature.offset..signature.offset.saturating_add(signature.size);
    match edits.edits().iter().find(|edit| overlap(&range, &of(edit))) {
        Some(edit) => Err(refused(image, edit, "it changes the signature itself")),
        None => Ok(()),
    }
}

fn refused(image: &Image<'_>, edit: &Edit, what: &'static str) -> Error {
    Error::Refused { offset: image.base().saturating_add(edit.offset), what }
}

fn of(edit: &Edit) -> Range<u64> {
    edit.offset..edit.end().unwrap_or(u64::MAX)
}

fn overlap(first: &Range<u64>, second: &Range<u64>) -> bool {
    first.start < second.end && second.start < first.end
}

const CHANGES_LENGTH: &str = "it changes the length, which needs a new signature";
