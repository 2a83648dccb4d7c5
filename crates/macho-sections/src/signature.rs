//! Code signatures: the hashes that a loader and a kernel hold an image's pages against.

mod directory;
mod hash;
mod verify;

use std::ops::Range;

use object::macho;
use object::read::macho::CodeSignature;

use crate::command::CommandKind;
use crate::{Error, Image, Structure};

pub use directory::{CodeDirectory, SignatureFlags};
pub use hash::HashKind;
pub use verify::{BadPage, BadSlot, Verification};

/// The code signature of an image.
///
/// Its parts lie one behind the other: no byte is in two of them, so that a hash can be rewritten
/// without touching anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'data> {
    /// Where it starts in the image.
    pub offset: u64,
    /// How many bytes are set aside for it.
    pub size: u64,
    /// Its code directories: the first, and those with other hashes that came later to be.
    pub directories: Vec<CodeDirectory<'data>>,
    /// All its parts, the code directories among them.
    pub blobs: Vec<Blob<'data>>,
}

impl<'data> Signature<'data> {
    /// Whether anybody's key was used: there is a cryptographic signature, or a code directory
    /// that does not say it was made without.
    pub fn has_identity(&self) -> bool {
        let signs = |blob: &Blob<'_>| blob.slot == CMS_SLOT && blob.bytes.len() > EMPTY_BLOB;
        self.blobs.iter().any(signs)
            || self.directories.iter().any(|directory| !directory.flags.is_ad_hoc())
    }

    /// The team that signed, if a code directory names one.
    pub fn team(&self) -> Option<&'data [u8]> {
        self.directories.iter().find_map(|directory| directory.team)
    }

    /// The part that a special slot is the hash of, if it is in the signature.
    pub fn blob(&self, slot: u32) -> Option<&Blob<'data>> {
        self.blobs.iter().find(|blob| blob.slot == slot)
    }
}

/// A part of a code signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob<'data> {
    /// What it is for: 0 the code directory, 2 requirements, 5 and 7 entitlements, 0x1000 and up
    /// more code directories, 0x10000 the cryptographic signature.
    pub slot: u32,
    /// What it is.
    pub magic: u32,
    /// Where it starts in the image.
    pub offset: u64,
    /// Its bytes, with their eight bytes of header.
    pub bytes: &'data [u8],
}

impl<'data> Image<'data> {
    /// Offset and size of the code signature, as its load command has them.
    pub fn signature_range(&self) -> Option<Range<u64>> {
        let (offset, size) = self.linkedit(CommandKind::CODE_SIGNATURE)?;
        Some(offset..offset.saturating_add(size))
    }

    /// The code signature. `None` for an image without.
    ///
    /// # Errors
    ///
    /// [`Error::Short`] if it reaches beyond the end, [`Error::Malformed`] if its parts contradict
    /// each other, [`Error::Unsupported`] for hashes and layouts that this crate does not know.
    pub fn signature(&self) -> Result<Option<Signature<'data>>, Error> {
        let Some(place) = self.linkedit(CommandKind::CODE_SIGNATURE) else { return Ok(None) };
        let data = self.table(STRUCTURE, place)?;
        let (offset, size) = place;
        let malformed = |what| Error::malformed(STRUCTURE, offset, what, size);
        if !data.is_empty() && data.iter().all(|&byte| byte == 0) {
            return Err(Error::ZeroFilled { structure: STRUCTURE, offset });
        }
        let parsed = CodeSignature::parse(data)
            .map_err(|_| malformed("no list of parts of a known kind"))?;
        let mut blobs = Vec::new();
        for blob in parsed.blobs() {
            let blob = blob.map_err(|_| malformed("a part that reaches beyond it"))?;
            blobs.push(Blob {
                slot: blob.slot().0,
                magic: blob.magic(),
                offset: offset.saturating_add(u64::from(blob.offset())),
                bytes: blob.data(),
            });
        }
        let list = size_of::<macho::CsBlobIndex>() as u64;
        let list = list.saturating_mul(blobs.len() as u64).saturating_add(12);
        check_apart(&blobs, offset.saturating_add(list))?;
        let mut directories: Vec<CodeDirectory<'_>> = Vec::new();
        for blob in blobs.iter().filter(|blob| is_directory_slot(blob.slot)) {
            if directories.iter().any(|directory| directory.slot == blob.slot) {
                return Err(malformed("two parts for one slot"));
            }
            directories.push(CodeDirectory::parse(blob, offset)?);
        }
        if directories.is_empty() {
            return Err(malformed("no code directory"));
        }
        Ok(Some(Signature { offset, size, directories, blobs }))
    }
}

/// Parts must neither share bytes with each other nor with the list of them.
fn check_apart(blobs: &[Blob<'_>], list_end: u64) -> Result<(), Error> {
    let mut ordered: Vec<_> = blobs.iter().collect();
    ordered.sort_by_key(|blob| blob.offset);
    let mut end = list_end;
    for blob in ordered {
        if blob.offset < end {
            let what = "a part that overlaps what is before it";
            return Err(Error::malformed(STRUCTURE, blob.offset, what, end));
        }
        end = blob.offset.saturating_add(blob.bytes.len() as u64);
    }
    Ok(())
}

fn is_directory_slot(slot: u32) -> bool {
    slot == macho::CSSLOT_CODEDIRECTORY.0 || macho::CsSlot(slot).is_alternate_codedirectory()
}

const STRUCTURE: Structure = Structure::CodeSignature;

/// `CSSLOT_SIGNATURESLOT`.
const CMS_SLOT: u32 = macho::CSSLOT_SIGNATURESLOT.0;

/// A part of eight bytes is a header without contents; `codesign -s -` leaves such a one where the
/// cryptographic signature would be.
const EMPTY_BLOB: usize = 8;
