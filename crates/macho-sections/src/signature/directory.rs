//! Code directories: one hash for each page, and some for what is not a page.

use std::ops::Range;

use object::read::macho::CodeDirectory as RawDirectory;
use object::{BigEndian, macho};

use super::{Blob, HashKind};
use crate::{Error, Structure};

/// A code directory.
///
/// It has been checked that its hashes are inside it, behind its header and apart from its names, and
/// that there is one for every page up to the code limit, which ends before the signature starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeDirectory<'data> {
    /// Its slot: 0 for the first, 0x1000 and up for others.
    pub slot: u32,
    /// Where it starts in the image.
    pub offset: u64,
    /// `version`: 0x20400 is what linkers write.
    pub version: u32,
    /// `flags`.
    pub flags: SignatureFlags,
    /// The name that was signed for.
    pub identifier: &'data [u8],
    /// The team that signed.
    pub team: Option<&'data [u8]>,
    /// How it hashes.
    pub hash: HashKind,
    /// How many bytes a page has; 0 if everything is one page.
    pub page_size: u64,
    /// Where in the image the bytes that it covers end; they start at 0.
    pub code_limit: u64,
    /// How many pages it has hashes for.
    pub code_slots: u32,
    /// How many special slots it has: hashes of things that are no pages, numbered from 1.
    pub special_slots: u32,
    /// All its bytes.
    pub bytes: &'data [u8],
    /// Where the first page's hash is in `bytes`.
    hashes: u32,
}

impl<'data> CodeDirectory<'data> {
    pub(super) fn parse(blob: &Blob<'data>, limit: u64) -> Result<CodeDirectory<'data>, Error> {
        let at = blob.offset;
        let unsupported = |what, found: u32| {
            let found = u64::from(found);
            Error::Unsupported { structure: STRUCTURE, at, what, found }
        };
        if blob.magic != macho::CSMAGIC_CODEDIRECTORY {
            return Err(Error::malformed(STRUCTURE, at, "another magic number", blob.magic));
        }
        let size = blob.bytes.len() as u64;
        let raw = RawDirectory::parse(blob.bytes)
            .map_err(|_| Error::malformed(STRUCTURE, at, "too small for its version", size))?;
        let header = raw.header();
        let kind = header.hash_type.0;
        let hash = HashKind::new(kind).ok_or_else(|| unsupported("hash", u32::from(kind)))?;
        if let Some(offset) = raw.scatter_offset().filter(|&offset| offset != 0) {
            return Err(unsupported("scattered pages", offset));
        }
        let version = raw.version().0;
        let before_encryption = pre_encrypt_offset(version, blob.bytes);
        if let Some(offset) = before_encryption.filter(|&offset| offset != 0) {
            return Err(unsupported("hashes from before encryption", offset));
        }
        let page_size = match header.page_size {
            0 => 0,
            shift => 1_u64
                .checked_shl(u32::from(shift))
                .ok_or_else(|| Error::malformed(STRUCTURE, at, "page size", shift))?,
        };
        let missing = |_| Error::malformed(STRUCTURE, at, "a name that reaches beyond it", size);
        let directory = CodeDirectory {
            slot: blob.slot,
            offset: at,
            version,
            flags: SignatureFlags(header.flags.get(BigEndian).0),
            identifier: raw.ident().map_err(missing)?,
            team: raw.team_id().map_err(missing)?,
            hash,
            page_size,
            code_limit: raw.code_limit(),
            code_slots: header.n_code_slots.get(BigEndian),
            special_slots: header.n_special_slots.get(BigEndian),
            bytes: blob.bytes,
            hashes: header.hash_offset.get(BigEndian),
        };
        let hashes = directory.check(usize::from(header.hash_size), limit)?;
        // A name that shared bytes with hashes would change with them.
        let team = directory.team.map(|team| (raw.team_offset().unwrap_or(0), team));
        let names = [Some((header.ident_offset.get(BigEndian), directory.identifier)), team];
        for (start, name) in names.into_iter().flatten() {
            let start = u64::from(start);
            let end = start.saturating_add(name.len() as u64).saturating_add(1);
            if start < hashes.end && hashes.start < end {
                return Err(Error::malformed(STRUCTURE, at, "a name among its hashes", start));
            }
        }
        Ok(directory)
    }

    /// The hash that tells this signature from every other: what the system knows the code by.
    pub fn cd_hash(&self) -> [u8; 20] {
        let digest = self.hash.digest(self.bytes);
        digest.first_chunk().copied().unwrap_or_default()
    }

    /// How many pages there are up to the code limit.
    pub fn page_count(&self) -> u64 {
        match self.page_size {
            0 => u64::from(self.code_limit != 0),
            size => self.code_limit.div_ceil(size),
        }
    }

    /// The bytes of the image that a page consists of.
    pub fn page(&self, index: u64) -> Range<u64> {
        let (size, limit) = (self.page_size, self.code_limit);
        if size == 0 {
            return 0..limit;
        }
        let start = index.saturating_mul(size).min(limit);
        start..start.saturating_add(size).min(limit)
    }

    /// The hash that a page should have.
    pub fn page_hash(&self, index: u64) -> Option<&'data [u8]> {
        self.bytes.get(self.hash_range(index)?)
    }

    /// Where the hash of a page is in the directory.
    pub(crate) fn hash_range(&self, index: u64) -> Option<Range<usize>> {
        if index >= u64::from(self.code_slots) {
            return None;
        }
        let skipped = usize::try_from(index).ok()?.checked_mul(self.hash.size())?;
        let start = usize::try_from(self.hashes).ok()?.checked_add(skipped)?;
        Some(start..start.checked_add(self.hash.size())?)
    }

    /// The hash in a special slot; all zeros if it is not used.
    pub fn special_hash(&self, slot: u32) -> Option<&'data [u8]> {
        self.bytes.get(self.special_range(slot)?)
    }

    /// Where the hash of a special slot is in the directory: before the pages', counted backwards.
    pub(crate) fn special_range(&self, slot: u32) -> Option<Range<usize>> {
        if slot == 0 || slot > self.special_slots {
            return None;
        }
        let back = usize::try_from(slot).ok()?.checked_mul(self.hash.size())?;
        let start = usize::try_from(self.hashes).ok()?.checked_sub(back)?;
        Some(start..start.checked_add(self.hash.size())?)
    }

    /// Where its hashes are, the special ones first.
    fn check(&self, hash_size: usize, limit: u64) -> Result<Range<u64>, Error> {
        let malformed =
            |what, found: u64| Err(Error::malformed(STRUCTURE, self.offset, what, found));
        if hash_size != self.hash.size() {
            return malformed("another size of hashes than their kind has", hash_size as u64);
        }
        if self.code_limit > limit {
            return malformed("pages that reach into the signature", self.code_limit);
        }
        if self.page_count() > u64::from(self.code_slots) {
            return malformed("fewer hashes than pages", u64::from(self.code_slots));
        }
        let size = hash_size as u64;
        let start = u64::from(self.hashes);
        let first = start.checked_sub(size.saturating_mul(u64::from(self.special_slots)));
        let Some(first) = first.filter(|&first| first >= header_size(self.version)) else {
            return malformed("hashes in its header", u64::from(self.special_slots));
        };
        let end = start.saturating_add(size.saturating_mul(u64::from(self.code_slots)));
        if end > self.bytes.len() as u64 {
            return malformed("hashes that reach beyond it", u64::from(self.code_slots));
        }
        Ok(first..end)
    }
}

/// `flags` of a code directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignatureFlags(pub u32);

impl SignatureFlags {
    /// `CS_ADHOC`: made without a key.
    pub fn is_ad_hoc(self) -> bool {
        self.0 & macho::CS_ADHOC.0 != 0
    }

    /// `CS_LINKER_SIGNED`: made by the linker.
    pub fn is_linker_signed(self) -> bool {
        self.0 & macho::CS_LINKER_SIGNED.0 != 0
    }

    /// `CS_RUNTIME`: the hardened runtime's rules apply.
    pub fn is_hardened(self) -> bool {
        self.0 & macho::CS_RUNTIME.0 != 0
    }
}

/// `preEncryptOffset`, where the version has it.
fn pre_encrypt_offset(version: u32, bytes: &[u8]) -> Option<u32> {
    if version < macho::CS_SUPPORTSRUNTIME.0 {
        return None;
    }
    bytes.get(92..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// How many bytes the fields of a version take.
fn header_size(version: u32) -> u64 {
    match macho::CsVersion(version) {
        version if version >= macho::CS_SUPPORTSLINKAGE => 108,
        version if version >= macho::CS_SUPPORTSRUNTIME => 96,
        version if version >= macho::CS_SUPPORTSEXECSEG => 88,
        version if version >= macho::CS_SUPPORTSCODELIMIT64 => 64,
        version if version >= macho::CS_SUPPORTSTEAMID => 52,
        version if version >= macho::CS_SUPPORTSSCATTER => 48,
        _ => 44,
    }
}

const STRUCTURE: Structure = Structure::CodeDirectory;
