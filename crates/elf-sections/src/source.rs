//! Files that are read piece by piece, as an image asks for them.

use std::fmt;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::bytes::{Bytes, Fetch};
use crate::image::parse;
use crate::layout::Layout;
use crate::{Class, Endian, Error, Image};

/// Bytes that can be read at any offset: a file, a process's memory, a slice.
///
/// Implemented for slices, vectors and [`std::fs::File`].
pub trait ReadAt {
    /// Reads bytes at an offset, as many as there are and fit, and says how many; 0 at the end.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// How many bytes there are.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn length(&self) -> io::Result<u64>;
}

/// A file of which only what is asked for is read, and kept.
///
/// An [`Image`] of it costs two or three reads however large the file is; each thing that is then
/// asked of the image costs a read for each table that it looks into, once.
///
/// ```
/// use elf_sections::Source;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::current_exe()?;
/// let source = Source::new(std::fs::File::open(path)?)?;
/// let image = source.image()?;
/// for section in image.sections_named(".bss") {
///     println!("{:#x?}", section.range());
/// }
/// println!("{} of {} bytes read", source.fetched(), source.length());
/// # Ok(())
/// # }
/// ```
///
/// What cannot be read is as if the file ended there, and [`failure`](Source::failure) says why.
/// If more is asked for, counted twice where it overlaps, than the file is long, the whole of it
/// is read once, so that no image makes a source hold more than a few times its length.
pub struct Source<R> {
    reader: R,
    /// The first bytes.
    start: Vec<u8>,
    /// The section headers with what lies before them, and where.
    table: OnceLock<(u64, Vec<u8>)>,
    /// What is asked for beyond those.
    pieces: Pieces,
    /// Asked for only once it matters: it is a system call of its own.
    length: OnceLock<u64>,
    failure: OnceLock<Failure>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    offset: u64,
    wanted: u64,
    kind: io::ErrorKind,
}

impl<R: ReadAt + Sync> Source<R> {
    /// Reads the first bytes.
    ///
    /// # Errors
    ///
    /// What [`ReadAt::read_at`] fails with.
    pub fn new(reader: R) -> io::Result<Source<R>> {
        let mut start = vec![0; START];
        fill(&reader, 0, &mut start)?;
        let length = OnceLock::new();
        if start.len() < START {
            let _ = length.set(start.len() as u64);
        }
        let (table, pieces) = (OnceLock::new(), Pieces::default());
        Ok(Source { reader, start, table, pieces, length, failure: OnceLock::new() })
    }

    /// Reads the headers of the image and the names of its sections.
    ///
    /// # Errors
    ///
    /// As [`Image::parse`], and [`Error::Unreadable`] where reading fails.
    pub fn image(&self) -> Result<Image<'_>, Error> {
        if self.table.get().is_none() {
            self.fetch_table();
        }
        parse::image(Bytes::Fetched(self)).map_err(|error| self.failure().unwrap_or(error))
    }

    /// Why the first read failed that did, as [`Error::Unreadable`].
    pub fn failure(&self) -> Option<Error> {
        let Failure { offset, wanted, kind } = *self.failure.get()?;
        Some(Error::Unreadable { offset, wanted, kind })
    }

    /// The length of the file, as it was when it was first asked for; 0 if it cannot be told, for
    /// which there is a [`failure`](Source::failure) then.
    pub fn length(&self) -> u64 {
        *self.length.get_or_init(|| {
            self.reader.length().unwrap_or_else(|error| {
                self.fail(0, 0, error.kind());
                0
            })
        })
    }

    /// How many bytes have been read so far.
    pub fn fetched(&self) -> u64 {
        let table = self.table.get().map_or(0, |(_, table)| table.len());
        let headers = self.start.len().saturating_add(table) as u64;
        self.pieces.index().fetched.saturating_add(headers)
    }

    /// What it reads from.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// One read for the section headers together with the bytes before them, which often are the
    /// sections' names.
    fn fetch_table(&self) {
        let start = &self.start;
        let class = if start.get(4) == Some(&1) { Class::Elf32 } else { Class::Elf64 };
        let endian = if start.get(5) == Some(&2) { Endian::Big } else { Endian::Little };
        let layout = Layout::new(class, endian);
        let Some(header) = layout.header(start) else { return };
        let size = u64::from(header.shnum).saturating_mul(layout.section_size() as u64);
        if header.shoff < START as u64 || size == 0 || size > LARGEST_TABLE {
            return;
        }
        let from = header.shoff.saturating_sub(NAMES);
        let Ok(wanted) = usize::try_from(size.saturating_add(NAMES)) else { return };
        let mut table = vec![0; wanted];
        // What is missing is noticed when it is asked for.
        if fill(&self.reader, from, &mut table).is_ok() {
            let _ = self.table.set((from, table));
        }
    }

    fn read(&self, offset: u64, size: u64) -> Option<Box<[u8]>> {
        let mut bytes = Vec::new();
        let length = usize::try_from(size).ok()?;
        if bytes.try_reserve_exact(length).is_err() {
            self.fail(offset, size, io::ErrorKind::OutOfMemory);
            return None;
        }
        bytes.resize(length, 0);
        let read = fill(&self.reader, offset, &mut bytes);
        let failed = match read {
            Ok(()) if bytes.len() == length => return Some(bytes.into_boxed_slice()),
            Ok(()) => io::ErrorKind::UnexpectedEof,
            Err(error) => error.kind(),
        };
        self.fail(offset, size, failed);
        None
    }

    /// Only the first failure is kept.
    fn fail(&self, offset: u64, wanted: u64, kind: io::ErrorKind) {
        let _ = self.failure.set(Failure { offset, wanted, kind });
    }

    /// What was read with the headers.
    fn among_headers(&self, offset: u64, size: u64) -> Option<&[u8]> {
        slice(&self.start, offset, size).or_else(|| {
            let (from, table) = self.table.get()?;
            slice(table, offset.checked_sub(*from)?, size)
        })
    }
}

impl<R: ReadAt + Sync> Fetch for Source<R> {
    fn length(&self) -> u64 {
        self.length()
    }

    fn get(&self, offset: u64, size: u64) -> Option<&[u8]> {
        if let Some(found) = self.among_headers(offset, size) {
            return Some(found);
        }
        if offset.checked_add(size)? > self.length() {
            return None;
        }
        if size == 0 {
            return Some(&[]);
        }
        if let Some(found) = self.pieces.find(offset, size) {
            return Some(found);
        }
        let asked = self.fetched().saturating_add(size);
        if asked > self.length().saturating_add(START as u64) {
            let whole = self.read(0, self.length())?;
            return slice(self.pieces.keep(0, whole)?, offset, size);
        }
        let bytes = self.read(offset, size)?;
        slice(self.pieces.keep(offset, bytes)?, 0, size)
    }

    fn up_to(&self, offset: u64, size: u64) -> &[u8] {
        let there = || self.get(offset, self.length().saturating_sub(offset).min(size));
        self.among_headers(offset, size).or_else(there).unwrap_or_default()
    }
}

impl<R> fmt::Debug for Source<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("length", &self.length.get()).finish_non_exhaustive()
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).ok();
        let rest = start.and_then(|start| self.get(start..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(target), Some(found)) = (buffer.get_mut(..count), rest.get(..count)) {
            target.copy_from_slice(found);
        }
        Ok(count)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(buffer, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.as_slice().length()
    }
}

impl<R: ReadAt + ?Sized> ReadAt for &R {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }

    fn length(&self) -> io::Result<u64> {
        (**self).length()
    }
}

/// What has been read. A piece stays where it is for as long as the source exists.
#[derive(Default)]
struct Pieces {
    index: Mutex<Index>,
    /// The shelf of number `n` has room for `8 << n` pieces.
    shelves: [OnceLock<Shelf>; SHELVES],
}

/// Places for pieces, each filled once.
struct Shelf(Box<[OnceLock<Box<[u8]>>]>);

#[derive(Default)]
struct Index {
    /// The offset, length and number of each piece, ascending by the offset.
    starts: Vec<(u64, u64, usize)>,
    count: usize,
    fetched: u64,
}

impl Pieces {
    fn index(&self) -> std::sync::MutexGuard<'_, Index> {
        // Nothing that holds the lock can leave the index half changed.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, offset: u64, size: u64) -> Option<&[u8]> {
        let index = self.index();
        let holds = |&(start, length, number): &(u64, u64, usize)| {
            let skipped = offset.checked_sub(start)?;
            (skipped.checked_add(size)? <= length).then_some((number, skipped))
        };
        let behind = index.starts.partition_point(|&(start, ..)| start <= offset);
        let before = behind.checked_sub(1).and_then(|it| index.starts.get(it)).and_then(holds);
        // The piece that is the whole file starts before all others.
        let (number, skipped) = before.or_else(|| index.starts.first().and_then(holds))?;
        drop(index);
        slice(self.slot(number)?.get()?, skipped, size)
    }

    fn keep(&self, offset: u64, bytes: Box<[u8]>) -> Option<&[u8]> {
        let length = bytes.len() as u64;
        let mut index = self.index();
        let number = index.count;
        let kept = self.slot(number)?.get_or_init(|| bytes);
        index.count = number.checked_add(1)?;
        index.fetched = index.fetched.saturating_add(length);
        let at = index.starts.partition_point(|&(start, ..)| start < offset);
        match index.starts.get_mut(at).filter(|place| place.0 == offset) {
            Some(place) if place.1 < length => *place = (offset, length, number),
            Some(_) => {}
            None => index.starts.insert(at, (offset, length, number)),
        }
        Some(kept)
    }

    fn slot(&self, number: usize) -> Option<&OnceLock<Box<[u8]>>> {
        let place = number.checked_add(FIRST_SHELF)?;
        let shelf = place.ilog2().checked_sub(FIRST_SHELF.ilog2())?;
        let room = FIRST_SHELF.checked_shl(shelf)?;
        self.shelves
            .get(shelf as usize)?
            .get_or_init(|| Shelf((0..room).map(|_| OnceLock::new()).collect()))
            .0
            .get(place.checked_sub(room)?)
    }
}

/// Fills the buffer from an offset on, and cuts it where there is nothing more.
fn fill<R: ReadAt + ?Sized>(reader: &R, offset: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut filled = 0_usize;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let Some(at) = offset.checked_add(filled as u64) else { break };
        match reader.read_at(rest, at) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(())
}

fn slice(bytes: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(offset).ok()?..)?.get(..usize::try_from(size).ok()?)
}

/// What is read at once at the start: program headers are there, and often the interpreter's path
/// and the notes.
const START: usize = 1024;

/// What is read with the section headers: GNU ld and gold write the names before them.
const NAMES: u64 = 512;

/// A table that claims more is read only as far as the file goes.
const LARGEST_TABLE: u64 = 1 << 16;

const FIRST_SHELF: usize = 8;

/// Enough for as many pieces as there can be.
const SHELVES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_overlapping_pieces_are_each_what_the_file_has_there_and_the_whole_is_read_once() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|index| (index * 7 % 251) as u8).collect();
        let source = Source::new(&bytes).unwrap();
        let mut kept = Vec::new();
        for start in (0..90_000).step_by(37) {
            let size = 1 + start % 5000;
            kept.push((start, source.get(start as u64, size as u64).unwrap()));
        }
        for (start, piece) in kept {
            assert_eq!(piece, &bytes[start..start + piece.len()]);
        }
        assert!(source.fetched() <= 3 * bytes.len() as u64, "{}", source.fetched());
        assert!(source.get(99_999, 2).is_none());
    }

    #[test]
    fn a_piece_is_read_once() {
        let bytes = vec![7; 10_000];
        let source = Source::new(&bytes).unwrap();
        for _ in 0..100 {
            assert_eq!(source.get(5000, 100).unwrap().len(), 100);
            assert_eq!(source.get(5010, 10).unwrap().len(), 10);
        }
        assert_eq!(source.fetched(), START as u64 + 100);
    }
}
