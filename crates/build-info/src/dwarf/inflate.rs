//! Compressed sections, unpacked from the front as far as they are looked at.

use std::io::{self, BufReader, Read};

use flate2::bufread::ZlibDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::{Error, ReadAt};

/// How a section is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// `ELFCOMPRESS_ZLIB`, and GNU's older `.zdebug_…`.
    Zlib,
    /// `ELFCOMPRESS_ZSTD`.
    Zstd,
}

/// A compressed section, unpacked as far as it has been looked at.
pub(crate) struct Inflating<'a> {
    name: &'static str,
    packed: Stretch<'a>,
    packing: Packing,
    stream: Box<dyn Read + 'a>,
    /// What has been unpacked, but for the first `dropped` bytes.
    unpacked: Vec<u8>,
    dropped: u64,
    ended: bool,
    /// What went wrong. What a decoder does after that is not defined.
    failure: Option<(io::ErrorKind, String)>,
    /// How much it may unpack to.
    most: u64,
    /// How often it was begun anew, to look at what had been dropped.
    restarts: u32,
}

impl<'a> Inflating<'a> {
    pub(crate) fn new(
        name: &'static str,
        source: &'a dyn ReadAt,
        offset: u64,
        length: u64,
        packing: Packing,
        claimed: u64,
    ) -> Result<Self, Error> {
        let io = |source| Error::Io { structure: name, offset, source };
        let length = length.min(source.length().map_err(io)?.saturating_sub(offset));
        let packed = Stretch { source, at: offset, end: offset.saturating_add(length) };
        Ok(Self {
            name,
            packed,
            packing,
            stream: stream(packed, packing),
            unpacked: Vec::new(),
            dropped: 0,
            ended: false,
            failure: None,
            most: claimed.min(length.saturating_mul(RATIO).saturating_add(FLOOR)),
            restarts: 0,
        })
    }

    /// The bytes at an offset: as many as are wanted, and fewer only at the end.
    pub(crate) fn window(&mut self, at: u64, wanted: u64) -> Result<&[u8], Error> {
        if at < self.dropped {
            self.restart(at)?;
        }
        let end = at.saturating_add(wanted);
        if end > self.most {
            let what = "unpacks to far more than such a section does";
            return Err(Error::Malformed { structure: self.name, at, what, found: end });
        }
        while !self.ended && self.reached() < end {
            if let Some((kind, text)) = &self.failure {
                let source = io::Error::new(*kind, text.as_str());
                return Err(Error::Io { structure: self.name, offset: self.reached(), source });
            }
            if at > self.reached() {
                // What lies before is only passed through.
                self.drop_before(at);
            }
            let step = end.saturating_sub(self.reached()).clamp(STEP, STEPS);
            let step = step.min(self.most.saturating_sub(self.reached()));
            let before = self.unpacked.len();
            let read = self.stream.by_ref().take(step).read_to_end(&mut self.unpacked);
            match read {
                Ok(_) if self.unpacked.len() == before => self.ended = true,
                Ok(_) => {}
                Err(error) => self.failure = Some((error.kind(), error.to_string())),
            }
        }
        let from = usize::try_from(at.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        let rest = self.unpacked.get(from..).unwrap_or_default();
        let count = usize::try_from(wanted).unwrap_or(usize::MAX).min(rest.len());
        Ok(rest.get(..count).unwrap_or_default())
    }

    /// What has been unpacked, if nothing of it has been dropped.
    pub(crate) fn loaded(&self) -> &[u8] {
        if self.dropped == 0 { &self.unpacked } else { &[] }
    }

    /// Nothing before an offset will be looked at again, or seldom.
    pub(crate) fn forget_before(&mut self, at: u64) {
        // Moving what is kept costs as much as it has bytes.
        if at.saturating_sub(self.dropped) > (self.unpacked.len() as u64) / 2 {
            self.drop_before(at);
        }
    }

    /// The offset that has been unpacked to.
    fn reached(&self) -> u64 {
        self.dropped.saturating_add(self.unpacked.len() as u64)
    }

    fn drop_before(&mut self, at: u64) {
        let count = at.saturating_sub(self.dropped).min(self.unpacked.len() as u64);
        self.unpacked.drain(..usize::try_from(count).unwrap_or(0));
        self.dropped = self.dropped.saturating_add(count);
    }

    fn restart(&mut self, at: u64) -> Result<(), Error> {
        if self.restarts >= MOST_RESTARTS {
            let what = "leads back and forth too often for a compressed section";
            let found = u64::from(self.restarts);
            return Err(Error::Malformed { structure: self.name, at, what, found });
        }
        self.restarts = self.restarts.saturating_add(1);
        self.stream = stream(self.packed, self.packing);
        self.unpacked.clear();
        self.dropped = 0;
        self.ended = false;
        self.failure = None;
        Ok(())
    }
}

fn stream<'a>(packed: Stretch<'a>, packing: Packing) -> Box<dyn Read + 'a> {
    // A small frame needs no wide window.
    let widest = packed.end.saturating_sub(packed.at).saturating_mul(4).max(8 << 20);
    let source = BufReader::with_capacity(64 << 10, packed);
    match packing {
        Packing::Zlib => Box::new(ZlibDecoder::new(source)),
        Packing::Zstd => Box::new(Frames { source: Some(source), frame: None, widest }),
    }
}

/// A stretch of a source, read from front to back.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    source: &'a dyn ReadAt,
    at: u64,
    end: u64,
}

impl Read for Stretch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let mut rest = buffer.get_mut(..most).unwrap_or_default();
        let mut done = 0_usize;
        // As much as there is, since how far a decoder comes before it finds that something is wrong
        // depends on it.
        while !rest.is_empty() {
            let count = match self.source.read_at(rest, self.at) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.at = self.at.saturating_add(count as u64);
            done = done.saturating_add(count);
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        Ok(done)
    }
}

/// The frames of Zstandard, one after the other.
struct Frames<R: Read> {
    source: Option<R>,
    frame: Option<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
    widest: u64,
}

impl<R: io::BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(buffer)?;
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
                self.source = self.frame.take().map(StreamingDecoder::into_inner);
            }
            let Some(mut source) = self.source.take() else { return Ok(0) };
            if source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let frame = StreamingDecoder::new_with_max_window_size(source, self.widest);
            self.frame = Some(frame.map_err(io::Error::other)?);
        }
    }
}

/// Debug information packs to a third or a fifth of its size, tables of zeros to less. More than
/// this is taken for a trap.
const RATIO: u64 = 24;
/// A small section may unpack to so much whatever its ratio.
const FLOOR: u64 = 8 << 20;
/// How much is unpacked at a time, at least and at most.
const STEP: u64 = 32 << 10;
const STEPS: u64 = 1 << 20;
const MOST_RESTARTS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_is_what_was_packed_from_front_to_back_and_back_again() {
        let original: Vec<u8> =
            (0..200_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        let mut packed = Vec::new();
        flate2::bufread::ZlibEncoder::new(&*original, flate2::Compression::fast())
            .read_to_end(&mut packed)
            .expect("what can be packed");
        assert!(packed.len() > 200_000, "more than is read at a time");
        let (source, length): (&dyn ReadAt, _) = (&packed, packed.len() as u64);
        let claimed = original.len() as u64;
        let mut section =
            Inflating::new("a section", source, 0, length, Packing::Zlib, claimed).expect("one");
        for at in [0, 7, 70_000, 300_000, 299_000, 799_990, 5] {
            section.forget_before(at);
            let from = at as usize;
            for wanted in [1, 300, 100_000] {
                let end = original.len().min(from + wanted as usize);
                let wanted = wanted.min(claimed - at);
                let window = section.window(at, wanted).expect("a window");
                assert!(window == &original[from..end], "{wanted} at {at}");
            }
        }
        assert_ne!(section.restarts, 0);
    }

    #[test]
    fn what_cannot_be_unpacked_fails_again_and_again() {
        let packed = [0x78, 0x9c, 0xff, 0xff, 0xff];
        let source: &dyn ReadAt = &packed.as_slice();
        let mut section =
            Inflating::new("a section", source, 0, 5, Packing::Zlib, 100).expect("one");
        let first = section.window(0, 1).expect_err("damage").to_string();
        assert_eq!(section.window(0, 1).expect_err("damage").to_string(), first);
        assert!(section.window(0, 101).is_err());
    }
}
