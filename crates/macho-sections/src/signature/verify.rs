//! Holding an image against its signature.

use std::ops::Range;

use super::{CodeDirectory, Signature};
use crate::{Error, Image};

/// What a signature says of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// How many hashes of pages were compared, over all code directories.
    pub pages: u64,
    /// Those that are wrong.
    pub bad_pages: Vec<BadPage>,
    /// Special slots whose hash is not that of what they stand for. Those that stand for files
    /// beside the image are not looked at.
    pub bad_slots: Vec<BadSlot>,
}

impl Verification {
    /// Whether all is as it was signed.
    pub fn is_good(&self) -> bool {
        self.bad_pages.is_empty() && self.bad_slots.is_empty()
    }
}

/// A page that is not what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPage {
    /// The slot of the code directory that says so.
    pub directory: u32,
    /// Which page.
    pub page: u64,
    /// Its bytes in the image.
    pub range: Range<u64>,
}

/// Something beside the pages that is not what was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadSlot {
    /// The slot of the code directory that says so.
    pub directory: u32,
    /// Which special slot.
    pub slot: u32,
}

impl<'data> Image<'data> {
    /// Hashes every page of the image and compares. `None` for an image without a signature.
    ///
    /// This shows whether the image is whole. Whether anybody vouches for it, a cryptographic
    /// signature would have to show, which is not looked at.
    ///
    /// # Errors
    ///
    /// As [`signature`](Image::signature).
    pub fn verify_signature(&self) -> Result<Option<Verification>, Error> {
        let Some(signature) = self.signature()? else { return Ok(None) };
        let mut result = Verification { pages: 0, bad_pages: Vec::new(), bad_slots: Vec::new() };
        for directory in &signature.directories {
            result.pages = result.pages.saturating_add(directory.page_count());
            let bad = directory.bad_pages(self.data).map(|(page, range, _)| BadPage {
                directory: directory.slot,
                page,
                range,
            });
            result.bad_pages.extend(bad);
            let slots = self.expected_slots(&signature, directory);
            let bad = slots.into_iter().filter(|(slot, expected)| {
                directory.special_hash(*slot).is_some_and(|found| found != expected)
            });
            let bad = bad.map(|(slot, _)| BadSlot { directory: directory.slot, slot });
            result.bad_slots.extend(bad);
        }
        Ok(Some(result))
    }

    /// The special slots of a directory whose contents are in the image, each with the hash that
    /// it must have.
    pub(crate) fn expected_slots(
        &self,
        signature: &Signature<'_>,
        directory: &CodeDirectory<'_>,
    ) -> Vec<(u32, Vec<u8>)> {
        let mut slots = Vec::new();
        for blob in signature.blobs.iter().filter(|blob| is_hashed(blob.slot)) {
            if blob.slot <= directory.special_slots {
                slots.push((blob.slot, directory.hash.digest(blob.bytes)));
            }
        }
        // A program without a bundle around it may carry its property list in a section. The slot
        // is zero if whoever signed it did not look there.
        let is_set = |hash: &[u8]| hash.iter().any(|&byte| byte != 0);
        if directory.special_hash(PROPERTY_LIST).is_some_and(is_set) {
            let section = self.section("__TEXT", "__info_plist");
            if let Some(bytes) = section.and_then(|section| self.section_bytes(section)) {
                slots.push((PROPERTY_LIST, directory.hash.digest(bytes)));
            }
        }
        slots
    }
}

impl CodeDirectory<'_> {
    /// The pages of `data` that have another hash than the directory says: index, range, and the
    /// hash they have.
    pub(crate) fn bad_pages(
        &self,
        data: &[u8],
    ) -> impl Iterator<Item = (u64, Range<u64>, Vec<u8>)> {
        (0..self.page_count()).filter_map(move |index| {
            let range = self.page(index);
            let (start, end) =
                (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
            let digest = self.hash.digest(data.get(start..end)?);
            (self.page_hash(index)? != digest).then_some((index, range, digest))
        })
    }
}

/// Whether a part of the signature has its hash in a special slot of the same number.
fn is_hashed(slot: u32) -> bool {
    // Requirements, entitlements twice, launch and library constraints. The property list (1) and
    // the resources (3) are files beside the image.
    matches!(slot, 2 | 4 | 5 | 7..=11)
}

/// `CSSLOT_INFOSLOT`.
const PROPERTY_LIST: u32 = 1;
