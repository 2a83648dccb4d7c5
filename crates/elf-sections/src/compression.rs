//! Sections whose bytes in the file are compressed.

use object::elf;

use crate::header::Class;
use crate::layout::Layout;

/// What a compressed section says of its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Compression {
    /// How they are compressed.
    pub kind: CompressionKind,
    /// How many bytes there are when they are not.
    pub size: u64,
    /// How those want to be aligned; 1 where the section does not say.
    pub align: u64,
    /// How many bytes the section has before the compressed ones.
    pub header_size: u64,
}

/// How a section is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompressionKind {
    /// `ELFCOMPRESS_ZLIB`.
    Zlib,
    /// `ELFCOMPRESS_ZSTD`.
    Zstd,
    /// zlib behind the header that GNU tools used before there was a flag: a section named
    /// `.zdebug_…` that starts with `ZLIB`.
    GnuZlib,
    /// Any other value.
    Other(u32),
}

impl Compression {
    /// The header of a section with the flag `SHF_COMPRESSED`: `Elf32_Chdr` or `Elf64_Chdr`.
    pub(crate) fn parse(layout: Layout, bytes: &[u8]) -> Option<Compression> {
        let word = layout.word_size();
        // The wider one has a reserved field behind the type.
        let size_at = word;
        let align_at = word.checked_mul(2)?;
        let header_size = match layout.class {
            Class::Elf32 => 12,
            Class::Elf64 => 24,
        };
        let kind = match elf::CompressionType(layout.u32(bytes)?) {
            elf::ELFCOMPRESS_ZLIB => CompressionKind::Zlib,
            elf::ELFCOMPRESS_ZSTD => CompressionKind::Zstd,
            other => CompressionKind::Other(other.0),
        };
        let size = layout.word(bytes.get(size_at..)?)?;
        let align = layout.word(bytes.get(align_at..)?)?;
        Some(Compression { kind, size, align, header_size })
    }

    /// The older header, whose size is big-endian everywhere.
    pub(crate) fn parse_gnu(bytes: &[u8]) -> Option<Compression> {
        let size = bytes.strip_prefix(b"ZLIB")?.first_chunk()?;
        let size = u64::from_be_bytes(*size);
        Some(Compression { kind: CompressionKind::GnuZlib, size, align: 1, header_size: 12 })
    }

    /// The longest header.
    pub(crate) const MOST_HEADER: u64 = 24;
}

/// The bytes that `compressed` stands for, of which there must be as many as the header says.
#[cfg(feature = "compression")]
pub(crate) fn decompress(kind: CompressionKind, compressed: &[u8], size: u64) -> Option<Vec<u8>> {
    use std::io::Read;

    let mut contents = Vec::new();
    // One more, to notice that there are too many.
    let most = size.checked_add(1)?;
    match kind {
        CompressionKind::Zlib | CompressionKind::GnuZlib => {
            flate2::read::ZlibDecoder::new(compressed)
                .take(most)
                .read_to_end(&mut contents)
                .ok()?;
        }
        CompressionKind::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(compressed).ok()?;
            decoder.take(most).read_to_end(&mut contents).ok()?;
        }
        CompressionKind::Other(_) => return None,
    }
    (contents.len() as u64 == size).then_some(contents)
}
