//! The container: a file of pages, and a directory of which stream has which of them.

use crate::{Error, ReadAt};

use super::bytes::{Bytes, u32_at};

/// A multi-stream file of version 7, of which only the directory has been read.
pub(super) struct Msf<'s> {
    source: &'s dyn ReadAt,
    page_size: u32,
    page_count: u32,
    /// Where each stream's part of `pages` begins, and its length in bytes.
    streams: Vec<Extent>,
    /// The pages of all streams, one stream after the other.
    pages: Vec<u32>,
}

struct Extent {
    first: u32,
    size: u32,
}

/// A stream that exists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    index: u16,
    /// Its length in bytes.
    pub(super) size: u32,
}

impl<'s> Msf<'s> {
    pub(super) fn open(source: &'s dyn ReadAt) -> Result<Self, Error> {
        let length = source.length().map_err(|error| io(HEADER, 0, error))?;
        let mut start = [0; FIELDS_END as usize];
        let there = usize::try_from(length).unwrap_or(usize::MAX).min(start.len());
        let start = start.get_mut(..there).unwrap_or_default();
        read(source, 0, start, HEADER)?;
        let Some(mut fields) = start.strip_prefix(MAGIC).map(Bytes) else {
            return Err(other_format(start));
        };
        let mut field = || fields.u32().ok_or_else(|| short(HEADER, 0, FIELDS_END, length));
        let (page_size, _free_map) = (field()?, field()?);
        let (page_count, directory_size, _unknown) = (field()?, field()?, field()?);
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return Err(malformed(HEADER, 32, "no page is of this size", page_size));
        }
        let whole = u64::from(page_count).saturating_mul(u64::from(page_size));
        if length < whole {
            return Err(short("the pages that the header promises", 0, whole, length));
        }
        let mut msf = Self { source, page_size, page_count, streams: vec![], pages: vec![] };
        let directory = msf.directory(directory_size)?;
        msf.read_streams(&directory, directory_size)?;
        Ok(msf)
    }

    /// The pages of the directory. Its pages are listed on the pages of the block map, and those
    /// in what is left of the header's page.
    fn directory(&self, size: u32) -> Result<Vec<u32>, Error> {
        let count = size.div_ceil(self.page_size);
        if count > self.page_count {
            return Err(malformed(HEADER, 44, "the directory has more pages than the file", size));
        }
        let map_size = count.saturating_mul(4);
        let list_size = map_size.div_ceil(self.page_size).saturating_mul(4);
        if u64::from(list_size).saturating_add(FIELDS_END) > u64::from(self.page_size) {
            return Err(malformed(HEADER, 44, "the directory is too large for its map", size));
        }
        let mut list = vec![0; list_size as usize];
        read(self.source, FIELDS_END, &mut list, HEADER)?;
        let list: Vec<u32> = words(&list).collect();
        self.words(&list, 0, map_size, "block map")
    }

    fn read_streams(&mut self, directory: &[u32], size: u32) -> Result<(), Error> {
        let count = self.words(directory, 0, 4.min(size), DIRECTORY)?;
        let Some(&count) = count.first() else {
            return Err(short(DIRECTORY, 0, 4, size.into()));
        };
        let sizes_end = u64::from(count).saturating_mul(4).saturating_add(4);
        if sizes_end > size.into() {
            return Err(short(DIRECTORY, 4, sizes_end, size.into()));
        }
        // Streams are named by 16 bits everywhere: those above cannot be meant by anything.
        let count = count.min(MOST_STREAMS);
        let mut first = 0_u32;
        for size in self.words(directory, 4, count.saturating_mul(4), DIRECTORY)? {
            let size = if size == NO_STREAM { 0 } else { size };
            self.streams.push(Extent { first, size });
            // A page is in one stream, so that all streams together are no longer than the file;
            // what is read and kept later is bounded by that.
            first = first.saturating_add(size.div_ceil(self.page_size));
            if first > self.page_count {
                let what = "the streams have more pages than the file";
                return Err(malformed(DIRECTORY, 4, what, first));
            }
        }
        let pages_size = u64::from(first).saturating_mul(4);
        let pages_end = sizes_end.saturating_add(pages_size);
        if pages_end > size.into() {
            return Err(short(DIRECTORY, sizes_end, pages_size, size.into()));
        }
        // Both fit 32 bits, since their sum is at most `size`.
        self.pages = self.words(directory, sizes_end as u32, pages_size as u32, DIRECTORY)?;
        Ok(())
    }

    pub(super) fn stream(&self, index: u16) -> Option<Stream> {
        let extent = self.streams.get(usize::from(index)).filter(|extent| extent.size > 0)?;
        Some(Stream { index, size: extent.size })
    }

    /// Fills the buffer from an offset in a stream on.
    pub(super) fn read(
        &self,
        stream: Stream,
        offset: u32,
        buffer: &mut [u8],
        structure: &'static str,
    ) -> Result<(), Error> {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        if offset.checked_add(length).is_none_or(|end| end > stream.size) {
            return Err(short(structure, offset.into(), length.into(), stream.size.into()));
        }
        self.read_pages(self.pages_of(stream), offset, buffer, structure)
    }

    /// The bytes from an offset in a stream on, as many as lie in a row, if the file is in memory.
    pub(super) fn in_memory(&self, stream: Stream, offset: u32, most: u32) -> Option<&'s [u8]> {
        let bytes = self.source.in_memory()?;
        let most = most.min(stream.size.saturating_sub(offset));
        let pages = self.pages_of(stream).get(self.page_of(offset)..)?;
        let (at, row) = self.row(pages, offset, most)?;
        let at = usize::try_from(at).ok()?;
        bytes.get(at..at.checked_add(row as usize)?)
    }

    fn pages_of(&self, stream: Stream) -> &[u32] {
        let first = self.streams.get(usize::from(stream.index)).map_or(0, |extent| extent.first);
        let count = stream.size.div_ceil(self.page_size);
        let end = first.saturating_add(count);
        self.pages.get(first as usize..end as usize).unwrap_or_default()
    }

    fn read_pages(
        &self,
        pages: &[u32],
        mut offset: u32,
        mut buffer: &mut [u8],
        structure: &'static str,
    ) -> Result<(), Error> {
        while !buffer.is_empty() {
            let wanted = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
            let rest = pages.get(self.page_of(offset)..).unwrap_or_default();
            let Some((at, row)) = self.row(rest, offset, wanted) else {
                let page = rest.first().copied().unwrap_or(0);
                return Err(malformed(structure, offset, "is on a page that does not exist", page));
            };
            let (now, later) = buffer.split_at_mut(row as usize);
            read(self.source, at, now, structure)?;
            (buffer, offset) = (later, offset.saturating_add(row));
        }
        Ok(())
    }

    /// Where the byte at `offset` is in the file, and how many of the `most` bytes from there on
    /// follow it there. `pages` begin with the page of that byte.
    fn row(&self, pages: &[u32], offset: u32, most: u32) -> Option<(u64, u32)> {
        let (&page, following) = pages.split_first()?;
        if page >= self.page_count {
            return None;
        }
        let within = offset & self.page_size.wrapping_sub(1);
        let at = u64::from(page).checked_mul(self.page_size.into())?.checked_add(within.into())?;
        let (mut row, mut last) = (self.page_size.wrapping_sub(within), page);
        for &next in following {
            if row >= most || Some(next) != last.checked_add(1) || next >= self.page_count {
                break;
            }
            (row, last) = (row.saturating_add(self.page_size), next);
        }
        Some((at, row.min(most)))
    }

    fn page_of(&self, offset: u32) -> usize {
        (offset >> self.page_size.trailing_zeros()) as usize
    }

    /// The 32-bit words of a part of the pages. They grow as they are read: `size` is a claim.
    fn words(
        &self,
        pages: &[u32],
        offset: u32,
        size: u32,
        structure: &'static str,
    ) -> Result<Vec<u32>, Error> {
        let (mut found, mut buffer) = (Vec::new(), [0; CHUNK as usize]);
        for start in (0..size).step_by(CHUNK as usize) {
            let count = size.saturating_sub(start).min(CHUNK);
            let part = buffer.get_mut(..count as usize).unwrap_or_default();
            self.read_pages(pages, offset.saturating_add(start), part, structure)?;
            found.extend(words(part));
        }
        Ok(found)
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(4).filter_map(|word| u32_at(word, 0))
}

fn read(
    source: &dyn ReadAt,
    mut offset: u64,
    mut buffer: &mut [u8],
    structure: &'static str,
) -> Result<(), Error> {
    while !buffer.is_empty() {
        match source.read_at(buffer, offset) {
            Ok(0) => return Err(short(structure, offset, buffer.len() as u64, offset)),
            Ok(count) => {
                buffer = buffer.get_mut(count..).unwrap_or_default();
                offset = offset.saturating_add(count as u64);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io(structure, offset, error)),
        }
    }
    Ok(())
}

/// What a file is that is not what is read here.
fn other_format(start: &[u8]) -> Error {
    if !start.is_empty() && MAGIC.starts_with(start) {
        return short(HEADER, 0, FIELDS_END, start.len() as u64);
    }
    for (magic, what, cure) in RELATIVES {
        if start.starts_with(magic) {
            return Error::Unsupported { what, cure };
        }
    }
    Error::WrongFormat { expected: "a PDB", found: start.iter().take(16).copied().collect() }
}

/// Whether a file that begins like this is a PDB, or what [`Msf::open`] names as one of another kind.
pub(super) fn is_known(start: &[u8]) -> bool {
    start.starts_with(MAGIC) || RELATIVES.iter().any(|(magic, ..)| start.starts_with(magic))
}

fn io(structure: &'static str, offset: u64, source: std::io::Error) -> Error {
    Error::Io { structure, offset, source }
}

pub(super) fn short(structure: &'static str, offset: u64, wanted: u64, end: u64) -> Error {
    Error::Short { structure, wanted, offset, end }
}

pub(super) fn malformed(
    structure: &'static str,
    at: u32,
    what: &'static str,
    found: impl Into<u64>,
) -> Error {
    Error::Malformed { structure, at: at.into(), what, found: found.into() }
}

/// What an MSF file of version 7 begins with.
const MAGIC: &[u8] = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0";

/// What other files that are called PDBs begin with, what they are, and what helps.
const RELATIVES: [(&[u8], &str, &str); 3] = [
    (
        b"BSJB",
        "a portable PDB",
        "it is of a .NET assembly, which has no units that are compiled one by one; its documents \
         are listed by a reader of .NET metadata",
    ),
    (
        b"Microsoft MSFZ Container",
        "a compressed PDB (MSFZ, PDZ)",
        "decompress it first, with pdzcopy or pdbtool",
    ),
    (
        b"Microsoft C/C++ program database 2.00",
        "a PDB of Visual C++ 6 or before",
        "link again with Visual Studio .NET 2002 or newer",
    ),
];

const HEADER: &str = "MSF header";
const DIRECTORY: &str = "stream directory";
/// Where the header's fields end and the list of the block map's pages begins.
const FIELDS_END: u64 = 52;
/// In the directory, for a stream that was deleted.
const NO_STREAM: u32 = u32::MAX;
const MOST_STREAMS: u32 = 1 << 16;
const CHUNK: u32 = 4096;
