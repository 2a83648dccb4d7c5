//! Texts, wherever they are.

use gimli::{Encoding, Reader, RunTimeEndian};

use super::form::Text;
use super::line::Name;
use super::section::{LONGEST_STRING, Section};

/// The sections that texts are in.
pub(crate) struct Strings<'a> {
    pub(crate) str: Section<'a>,
    pub(crate) line_str: Section<'a>,
    pub(crate) str_offsets: Section<'a>,
    /// `.debug_str` of the supplementary file.
    pub(crate) supplement: Option<Section<'a>>,
    pub(crate) endian: RunTimeEndian,
    /// How many bytes may still be copied: many units can name one long text.
    left: u64,
}

/// Where a unit's part of `.debug_str_offsets` begins, and how wide offsets are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offsets {
    pub(crate) base: u64,
    pub(crate) encoding: Encoding,
}

impl<'a> Strings<'a> {
    pub(crate) fn new(
        str: Section<'a>,
        line_str: Section<'a>,
        str_offsets: Section<'a>,
        endian: RunTimeEndian,
        length: u64,
    ) -> Self {
        let left = length.saturating_mul(4).saturating_add(4 << 20);
        Self { str, line_str, str_offsets, supplement: None, endian, left }
    }

    /// A text, unless it is nowhere.
    pub(crate) fn text(&mut self, text: &Text, offsets: Option<Offsets>) -> Option<String> {
        let name = match text {
            Text::Inline(bytes) => Name::Inline(bytes),
            Text::Str(at) => Name::Str(*at),
            Text::LineStr(at) => Name::LineStr(*at),
            Text::Index(index) => Name::Index(*index),
            Text::Supplement(at) => Name::Supplement(*at),
        };
        let bytes = self.bytes(name, offsets)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// The bytes of a name, unless it is nowhere.
    pub(crate) fn bytes<'b>(
        &'b mut self,
        name: Name<'b>,
        offsets: Option<Offsets>,
    ) -> Option<&'b [u8]> {
        if self.left == 0 {
            return None;
        }
        let found = match name {
            Name::Inline(bytes) => Ok(bytes),
            Name::Str(at) => self.str.string(at),
            Name::LineStr(at) => self.line_str.string(at),
            Name::Supplement(at) => self.supplement.as_mut()?.string(at),
            Name::Index(index) => {
                let Offsets { base, encoding } = offsets?;
                let width = u64::from(encoding.format.word_size());
                let at = base.checked_add(index.checked_mul(width)?)?;
                let end = self.str_offsets.length();
                let at = self
                    .str_offsets
                    .parse(at, end, self.endian, |mut bytes| bytes.read_offset(encoding.format));
                self.str.string(at.ok()? as u64)
            }
        };
        // What is not found may have been looked for in vain through as much as a string can take.
        let cost = found.as_ref().map_or(LONGEST_STRING, |bytes| bytes.len() as u64);
        self.left = self.left.saturating_sub(cost.saturating_add(16));
        found.ok()
    }
}
