//! A section's bytes, of which only those are fetched that a question needs.

use gimli::{EndianSlice, RunTimeEndian};

use super::inflate::{Inflating, Packing};
use crate::{Error, ReadAt};

/// A section's bytes, of which only those are fetched that a question needs.
pub(crate) struct Section<'a> {
    name: &'static str,
    length: u64,
    contents: Contents<'a>,
}

enum Contents<'a> {
    /// In memory, whole.
    Here(&'a [u8]),
    /// In a file, read in windows.
    There { source: &'a dyn ReadAt, offset: u64, start: u64, window: Vec<u8> },
    /// Compressed, unpacked from the front as far as it is looked at.
    Packed(Box<Inflating<'a>>),
}

impl<'a> Section<'a> {
    /// A section that is not there.
    pub(crate) fn empty(name: &'static str) -> Self {
        Self { name, length: 0, contents: Contents::Here(&[]) }
    }

    /// The bytes of a source from an offset, as many of `length` as there are.
    pub(crate) fn plain(
        name: &'static str,
        source: &'a dyn ReadAt,
        offset: u64,
        length: u64,
    ) -> Result<Self, Error> {
        if let Some(bytes) = source.in_memory() {
            let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..));
            let rest = rest.unwrap_or_default();
            let length = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
            let bytes = rest.get(..length).unwrap_or_default();
            return Ok(Self { name, length: length as u64, contents: Contents::Here(bytes) });
        }
        let io = |source| Error::Io { structure: name, offset, source };
        let length = length.min(source.length().map_err(io)?.saturating_sub(offset));
        let contents = Contents::There { source, offset, start: 0, window: Vec::new() };
        Ok(Self { name, length, contents })
    }

    /// What the bytes of a source unpack to. `claimed` is how much that is said to be.
    pub(crate) fn packed(
        name: &'static str,
        source: &'a dyn ReadAt,
        offset: u64,
        length: u64,
        packing: Packing,
        claimed: u64,
    ) -> Result<Self, Error> {
        let inflating = Inflating::new(name, source, offset, length, packing, claimed)?;
        let contents = Contents::Packed(Box::new(inflating));
        Ok(Self { name, length: claimed, contents })
    }

    /// Its name, as ELF has it.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// How many bytes it has, or, where it is compressed, claims to have.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Whether there is nothing of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether it must be unpacked.
    pub(crate) fn is_packed(&self) -> bool {
        matches!(self.contents, Contents::Packed(_))
    }

    /// The bytes at an offset: as many as are wanted, and fewer only at the section's end.
    pub(crate) fn window(&mut self, at: u64, wanted: u64) -> Result<&[u8], Error> {
        let wanted = wanted.min(self.length.saturating_sub(at));
        match &mut self.contents {
            Contents::Here(bytes) => Ok(part(bytes, at, wanted)),
            Contents::There { source, offset, start, window } => {
                let end = start.saturating_add(window.len() as u64);
                if at < *start || at.saturating_add(wanted) > end {
                    // What is small is read at once, and a little ahead otherwise.
                    let (from, count) = if self.length <= WHOLE {
                        (0, self.length)
                    } else {
                        (at, wanted.max(AHEAD).min(self.length.saturating_sub(at)))
                    };
                    let place = offset.saturating_add(from);
                    *start = from;
                    fetch(self.name, *source, place, count, window)?;
                }
                Ok(part(window, at.saturating_sub(*start), wanted))
            }
            Contents::Packed(inflating) => inflating.window(at, wanted),
        }
    }

    /// So many bytes at an offset.
    pub(crate) fn exactly(&mut self, at: u64, wanted: u64) -> Result<&[u8], Error> {
        let (structure, end) = (self.name, self.length);
        let bytes = self.window(at, wanted)?;
        if (bytes.len() as u64) < wanted {
            return Err(Error::Short { structure, wanted, offset: at, end });
        }
        Ok(bytes)
    }

    /// All its bytes.
    pub(crate) fn all(&mut self) -> Result<&[u8], Error> {
        self.window(0, self.length)
    }

    /// All its bytes, if [`all`](Self::all) was asked for them last.
    pub(crate) fn loaded(&self) -> &[u8] {
        match &self.contents {
            Contents::Here(bytes) => bytes,
            Contents::There { start: 0, window, .. } => window,
            Contents::There { .. } => &[],
            Contents::Packed(inflating) => inflating.loaded(),
        }
    }

    /// Nothing before an offset will be looked at again, or seldom.
    pub(crate) fn forget_before(&mut self, at: u64) {
        if let Contents::Packed(inflating) = &mut self.contents {
            inflating.forget_before(at);
        }
    }

    /// The string at an offset, without the zero that ends it.
    pub(crate) fn string(&mut self, at: u64) -> Result<&[u8], Error> {
        let (structure, end) = (self.name, self.length);
        let mut wanted = 256;
        let length = loop {
            let bytes = self.window(at, wanted)?;
            if let Some(length) = bytes.iter().position(|&byte| byte == 0) {
                break length as u64;
            }
            if (bytes.len() as u64) < wanted {
                return Err(Error::Short { structure, wanted, offset: at, end });
            }
            if wanted >= LONGEST_STRING {
                let what = "string longer than any that a compiler writes";
                return Err(Error::Malformed { structure, at, what, found: wanted });
            }
            wanted = wanted.saturating_mul(4);
        };
        self.window(at, length)
    }

    /// What `parse` makes of the bytes at an offset. It is given a window of them, and a wider one
    /// as long as that ends too early and the section goes on.
    pub(crate) fn parse<T>(
        &mut self,
        at: u64,
        end: u64,
        endian: RunTimeEndian,
        mut parse: impl FnMut(EndianSlice<'_, RunTimeEndian>) -> gimli::Result<T>,
    ) -> Result<T, Error> {
        let structure = self.name;
        let most = end.min(self.length).saturating_sub(at);
        let mut wanted = most.min(1024);
        loop {
            let bytes = self.window(at, wanted)?;
            let there = bytes.len() as u64;
            match parse(EndianSlice::new(bytes, endian)) {
                Ok(value) => return Ok(value),
                Err(gimli::Error::UnexpectedEof(_)) if wanted < most && there == wanted => {
                    wanted = wanted.saturating_mul(8).min(most);
                }
                Err(gimli::Error::UnexpectedEof(_)) => {
                    let wanted = there.saturating_add(1);
                    return Err(Error::Short { structure, wanted, offset: at, end });
                }
                Err(error) => return Err(malformed(structure, at, error)),
            }
        }
    }
}

/// What gimli says is wrong with a structure.
pub(crate) fn malformed(structure: &'static str, at: u64, error: gimli::Error) -> Error {
    let (what, found) = match error {
        gimli::Error::UnknownVersion(version) => ("unknown version", version),
        gimli::Error::UnknownForm(form) => ("unknown form", u64::from(form.0)),
        gimli::Error::UnknownUnitType(kind) => ("unknown kind of unit", u64::from(kind.0)),
        gimli::Error::UnknownReservedLength(length) => ("reserved length", u64::from(length)),
        gimli::Error::UnsupportedAddressSize(size) => ("odd size of addresses", u64::from(size)),
        gimli::Error::InvalidAbbreviationCode(code) => ("unknown abbreviation", code),
        gimli::Error::OffsetOutOfBounds(offset) => ("leads out of its section", offset),
        gimli::Error::MissingFileEntryFormatPath => ("a table of files without names", 0),
        gimli::Error::BadUnsignedLeb128 | gimli::Error::BadSignedLeb128 => ("endless number", 0),
        _ => ("not what DWARF has there", 0),
    };
    Error::Malformed { structure, at, what, found }
}

fn part(bytes: &[u8], at: u64, count: u64) -> &[u8] {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let rest = bytes.get(at..).unwrap_or_default();
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(rest.len());
    rest.get(..count).unwrap_or_default()
}

/// Fills a buffer with `count` bytes, which the caller has seen to be no more than the source has.
fn fetch(
    structure: &'static str,
    source: &dyn ReadAt,
    offset: u64,
    count: u64,
    buffer: &mut Vec<u8>,
) -> Result<(), Error> {
    buffer.clear();
    buffer.resize(usize::try_from(count).unwrap_or(0), 0);
    let mut done = 0_usize;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(done as u64);
        let count = match source.read_at(rest, at) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => {
                buffer.clear();
                return Err(Error::Io { structure, offset: at, source });
            }
        };
        done = done.saturating_add(count);
    }
    buffer.truncate(done);
    Ok(())
}

/// Up to this length a section of a file is read at once.
const WHOLE: u64 = 1 << 20;
/// So much is read of a longer one at a time.
const AHEAD: u64 = 4096;
/// A clang command line fits many times.
pub(crate) const LONGEST_STRING: u64 = 1 << 20;
