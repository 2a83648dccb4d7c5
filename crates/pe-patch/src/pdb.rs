//! The identity of a PDB, read as far as it takes to compare it with an image's.
//!
//! A reader of its own, and a small one: what the crates for PDBs do with damaged files
//! (panics, and allocations by a claimed size) is not what a build that is still being written
//! should meet.

use std::io::{self, Read, Seek, SeekFrom};

use crate::codeview::Guid;
use crate::debug::{DebugEntry, DebugKind};
use crate::image::Image;

/// What tells one PDB from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PdbIdentity {
    /// Its GUID.
    pub guid: Guid,
    /// Its time stamp, by which images with an `NB10` record know it.
    pub stamp: u32,
    /// How often it had been changed when it was linked. `None` for a portable PDB, which has no
    /// age.
    pub age: Option<u32>,
}

/// Whether an image and a PDB are of the same build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PdbMatch {
    /// Every CodeView record of the image names this PDB.
    Matches,
    /// A record names another PDB.
    Differs {
        /// The record's entry.
        index: u32,
        /// What the PDB is.
        found: PdbIdentity,
    },
    /// The image has no record that names a PDB.
    NoRecord,
}

/// Why a PDB cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PdbError {
    /// It is neither an MSF file of version 7 nor a portable PDB.
    #[error("not a PDB: starts with \"{}\"", .found.escape_ascii())]
    NotPdb {
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// Something in it is impossible, or missing.
    #[error("PDB: {what} ({found:#x})")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// The value that was found.
        found: u64,
    },
    /// Reading failed.
    #[error("PDB: {0}")]
    Io(#[from] io::Error),
}

/// Whether the PDB is the one that the image's CodeView records name, by GUID and age.
///
/// Of the PDB a few kilobytes are read, wherever they are, so that its size does not matter. The
/// age compared is that of the debug information stream, which the linker copied into the image;
/// the PDB's own grows when tools add to it later. Portable PDBs (.NET) are compared by GUID and
/// stamp.
///
/// # Errors
///
/// [`PdbError`] for a file that is no PDB, is damaged, or cannot be read.
pub fn pdb_matches(image: &Image<'_>, pdb: impl Read + Seek) -> Result<PdbMatch, PdbError> {
    let found = PdbIdentity::read(pdb)?;
    let mut outcome = PdbMatch::NoRecord;
    for entry in image.debug_entries() {
        match is_named(&entry, &found) {
            None => {}
            Some(true) => outcome = PdbMatch::Matches,
            Some(false) => return Ok(PdbMatch::Differs { index: entry.index, found }),
        }
    }
    Ok(outcome)
}

/// Whether an entry names this PDB; `None` for an entry that names none.
fn is_named(entry: &DebugEntry<'_>, pdb: &PdbIdentity) -> Option<bool> {
    match entry.kind {
        DebugKind::Rsds => {
            let age = entry.age?;
            let is_same_age = match pdb.age {
                Some(found) => found == age,
                None => entry.time_date_stamp == pdb.stamp,
            };
            Some(entry.guid? == pdb.guid && is_same_age)
        }
        DebugKind::Nb10 => Some(entry.stamp? == pdb.stamp && pdb.age == entry.age),
        _ => None,
    }
}

impl PdbIdentity {
    /// Reads the identity of a PDB.
    ///
    /// # Errors
    ///
    /// As [`pdb_matches`].
    pub fn read(mut pdb: impl Read + Seek) -> Result<PdbIdentity, PdbError> {
        let length = pdb.seek(SeekFrom::End(0))?;
        let start = read(&mut pdb, 0, length.min(64), length)?;
        if start.starts_with(MSF_MAGIC) {
            return Msf::open(pdb, length, &start)?.identity();
        }
        if start.starts_with(b"BSJB") {
            return portable(pdb, length);
        }
        Err(PdbError::NotPdb { found: start.get(..16).unwrap_or(&start).to_vec() })
    }
}

/// A multi-stream file: blocks, and a directory of which stream has which of them.
struct Msf<R> {
    pdb: R,
    length: u64,
    block_size: u64,
    /// The blocks that list the blocks of the directory.
    map: Vec<u32>,
    directory_size: u64,
}

impl<R: Read + Seek> Msf<R> {
    fn open(mut pdb: R, length: u64, start: &[u8]) -> Result<Msf<R>, PdbError> {
        let field =
            |index: usize| word(start, MSF_MAGIC.len().saturating_add(index.saturating_mul(4)));
        let (block_size, directory_size) = (field(0)?, field(3)?);
        if !block_size.is_power_of_two() || !(512..=65536).contains(&block_size) {
            return Err(malformed("its block size makes no sense", block_size));
        }
        let (block_size, directory_size) = (u64::from(block_size), u64::from(directory_size));
        if directory_size > length {
            return Err(malformed("its directory is larger than the file", directory_size));
        }
        // The blocks of the map lie anywhere; the header block lists them up to its end.
        let listed = directory_size.div_ceil(block_size).saturating_mul(4);
        let map = listed.div_ceil(block_size).saturating_mul(4);
        if MAP_LIST.saturating_add(map) > block_size {
            return Err(malformed("its directory is too large for its map", directory_size));
        }
        let map = words(&read(&mut pdb, MAP_LIST, map, length)?);
        Ok(Msf { pdb, length, block_size, map, directory_size })
    }

    fn identity(&mut self) -> Result<PdbIdentity, PdbError> {
        let info = self.stream_start(INFO_STREAM, 28)?;
        let info = info.ok_or(malformed("it has no identity", INFO_STREAM))?;
        let stamp = word(&info, 4)?;
        let guid = info.get(12..).and_then(|bytes| bytes.first_chunk().copied()).map(Guid);
        let guid = guid.ok_or(malformed("its identity is cut short", info.len()))?;
        let age = match self.stream_start(DEBUG_STREAM, 12)? {
            Some(debug) => word(&debug, 8)?,
            // A PDB of types only has no debug information.
            None => word(&info, 8)?,
        };
        Ok(PdbIdentity { guid, stamp, age: Some(age) })
    }

    /// The first bytes of a stream, which are all in its first block; `None` for a stream that is
    /// not there, or empty.
    fn stream_start(&mut self, stream: u64, wanted: u64) -> Result<Option<Vec<u8>>, PdbError> {
        let count = self.directory_word(0)?;
        if stream >= u64::from(count) {
            return Ok(None);
        }
        // Sizes come first, and then the blocks of each stream in turn.
        let mut skipped = u64::from(count).saturating_add(1);
        let mut size = 0;
        for index in 0..=stream {
            if index > 0 {
                skipped = skipped.saturating_add(u64::from(size).div_ceil(self.block_size));
            }
            size = self.directory_word(index.saturating_add(1))?;
            if size == u32::MAX {
                size = 0;
            }
        }
        if size == 0 {
            return Ok(None);
        }
        if u64::from(size) < wanted {
            return Err(malformed("a stream is too short", size));
        }
        let block = self.directory_word(skipped)?;
        let start = u64::from(block).saturating_mul(self.block_size);
        read(&mut self.pdb, start, wanted, self.length).map(Some)
    }

    fn directory_word(&mut self, index: u64) -> Result<u32, PdbError> {
        let offset = index.saturating_mul(4);
        if offset.saturating_add(4) > self.directory_size {
            return Err(malformed("its directory is cut short", offset));
        }
        let place = offset.checked_div(self.block_size).unwrap_or_default();
        let listed = place.saturating_mul(4);
        let map = listed.checked_div(self.block_size).and_then(|it| usize::try_from(it).ok());
        let map = map.and_then(|map| self.map.get(map).copied());
        let map = map.ok_or(malformed("its directory is cut short", offset))?;
        let block = self.word_in(map, listed)?;
        self.word_in(block, offset)
    }

    /// A word of something of which this block has the part with the offset.
    fn word_in(&mut self, block: u32, offset: u64) -> Result<u32, PdbError> {
        let inside = offset.checked_rem(self.block_size).unwrap_or_default();
        let at = u64::from(block).saturating_mul(self.block_size).saturating_add(inside);
        word(&read(&mut self.pdb, at, 4, self.length)?, 0)
    }
}

/// The identity of a portable PDB: in its stream `#Pdb`, GUID and stamp one behind the other.
fn portable(mut pdb: impl Read + Seek, length: u64) -> Result<PdbIdentity, PdbError> {
    let root = read(&mut pdb, 0, length.min(4096), length)?;
    let version = usize::try_from(word(&root, 12)?).unwrap_or(usize::MAX);
    // Behind the version: flags and the number of streams, 16 bits each.
    let streams = version.saturating_add(16);
    let count = word(&root, streams)? >> 16;
    let mut at = streams.saturating_add(4);
    for _ in 0..count.min(MOST_PORTABLE_STREAMS) {
        let offset = word(&root, at)?;
        let name = root.get(at.saturating_add(8)..).unwrap_or_default();
        let name_size = name.iter().take(32).position(|&byte| byte == 0);
        let name_size = name_size.ok_or(malformed("a stream's name does not end", at))?;
        if name.get(..name_size) == Some(b"#Pdb") {
            let id = read(&mut pdb, offset.into(), 20, length)?;
            let guid = id.first_chunk().copied().map(Guid);
            let guid = guid.ok_or(malformed("its identity is cut short", id.len()))?;
            return Ok(PdbIdentity { guid, stamp: word(&id, 16)?, age: None });
        }
        at = at.saturating_add(8).saturating_add(name_size.saturating_add(1).next_multiple_of(4));
    }
    Err(malformed("it has no stream #Pdb", count))
}

/// Bytes at an offset. What the file has no room for is not allocated.
fn read(
    pdb: &mut (impl Read + Seek),
    at: u64,
    size: u64,
    length: u64,
) -> Result<Vec<u8>, PdbError> {
    if at.checked_add(size).is_none_or(|end| end > length) {
        return Err(malformed("it ends too early", at));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    pdb.seek(SeekFrom::Start(at))?;
    pdb.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn word(bytes: &[u8], at: usize) -> Result<u32, PdbError> {
    let word = bytes.get(at..).and_then(|bytes| bytes.first_chunk().copied());
    word.map(u32::from_le_bytes).ok_or(malformed("it ends too early", at))
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

fn malformed(what: &'static str, found: impl TryInto<u64>) -> PdbError {
    PdbError::Malformed { what, found: found.try_into().unwrap_or(u64::MAX) }
}

const MSF_MAGIC: &[u8] = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0";

/// Where the header lists the blocks of the directory's map.
const MAP_LIST: u64 = MSF_MAGIC.len() as u64 + 20;

/// The streams that have the PDB's identity and the debug information's header.
const INFO_STREAM: u64 = 1;
const DEBUG_STREAM: u64 = 3;

/// There are six.
const MOST_PORTABLE_STREAMS: u32 = 64;
