//! A section's contents, compressed or not.

use super::Image;
use crate::compression::Compression;
use crate::section::Section;
#[cfg(feature = "compression")]
use crate::{Error, Structure};

impl<'data> Image<'data> {
    /// How a section's contents are compressed; `None` if they are not.
    pub fn compression_of(&self, section: &Section<'_>) -> Option<Compression> {
        let (offset, size) = section.file_range()?;
        let start = || self.data.up_to(offset, size.min(Compression::MOST_HEADER));
        if section.flags.is_compressed() {
            Compression::parse(self.layout, start())
        } else if section.name.starts_with(b".zdebug") {
            Compression::parse_gnu(start())
        } else {
            None
        }
    }

    /// A section's contents: its [bytes](Image::section_bytes), or what they stand for where they
    /// are compressed.
    ///
    /// `most` is how many bytes a compressed section may have when it is not: a few compressed
    /// bytes can stand for gigabytes.
    ///
    /// # Errors
    ///
    /// [`Error::Short`] where the file ends too early; [`Error::Malformed`] where a compressed
    /// section claims more than `most`, is compressed in another way than zlib's and Zstandard's,
    /// or is not what its header says.
    #[cfg(feature = "compression")]
    pub fn section_contents(
        &self,
        section: &Section<'_>,
        most: u64,
    ) -> Result<std::borrow::Cow<'data, [u8]>, Error> {
        let structure = Structure::Section;
        let bytes = self.section_bytes(section).ok_or(Error::Short {
            structure,
            wanted: section.size,
            offset: section.offset,
            end: self.data.len(),
        })?;
        let wrong = |what, found| Error::Malformed { structure, at: section.offset, what, found };
        let Some(compression) = self.compression_of(section) else {
            if section.flags.is_compressed() {
                return Err(wrong("compressed without a header", section.size));
            }
            return Ok(bytes.into());
        };
        if compression.size > most {
            return Err(wrong("more bytes than allowed when decompressed", compression.size));
        }
        let skipped = usize::try_from(compression.header_size).unwrap_or(usize::MAX);
        let compressed = bytes.get(skipped..).unwrap_or_default();
        crate::compression::decompress(compression.kind, compressed, compression.size)
            .map(Into::into)
            .ok_or_else(|| wrong("does not decompress to its size", compression.size))
    }
}
