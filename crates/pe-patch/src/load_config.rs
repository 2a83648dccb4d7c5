//! The load configuration, which has grown with every release of Windows.

use std::mem::offset_of;
use std::ops::Range;

use object::LittleEndian as LE;
use object::{U16, U32, U64, pe};

use crate::bytes;
use crate::header::{DirectoryKind, Format};
use crate::image::Image;

/// The part of the load configuration that the image has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadConfig<'data> {
    offset: u64,
    bytes: &'data [u8],
    format: Format,
}

impl<'data> LoadConfig<'data> {
    /// The load configuration, as long as its own first field says: the data directory's size is
    /// that of Windows XP's structure in many images.
    pub(crate) fn of(image: &Image<'data>) -> Option<LoadConfig<'data>> {
        let address = u64::from(image.directory(DirectoryKind::LoadConfig)?.address);
        let size: &U32<LE> = bytes::at(image.bytes_at(address, 4)?, 0)?;
        let (offset, left) = image.held_at(address)?;
        let size = u64::from(size.get(LE)).min(left);
        let bytes = image.bytes_at(address, size)?;
        Some(LoadConfig { offset, bytes, format: image.header().format })
    }

    /// Where it is in the file.
    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.bytes.len() as u64)
    }

    /// The address of the metadata of a hybrid image, from no base; 0 for none.
    pub(crate) fn hybrid_metadata(&self) -> u64 {
        self.word(
            offset_of!(pe::ImageLoadConfigDirectory32, chpe_metadata_pointer),
            offset_of!(pe::ImageLoadConfigDirectory64, chpe_metadata_pointer),
        )
    }

    /// The address of the security cookie, which the loader fills, from no base; 0 for none.
    pub(crate) fn security_cookie(&self) -> u64 {
        self.word(
            offset_of!(pe::ImageLoadConfigDirectory32, security_cookie),
            offset_of!(pe::ImageLoadConfigDirectory64, security_cookie),
        )
    }

    /// The section, counted from 1, that has the dynamic relocations, and where in it they are.
    pub(crate) fn dynamic_relocations(&self) -> Option<(u16, u32)> {
        let offset = self.choose(
            offset_of!(pe::ImageLoadConfigDirectory32, dynamic_value_reloc_table_offset),
            offset_of!(pe::ImageLoadConfigDirectory64, dynamic_value_reloc_table_offset),
        );
        let section = self.choose(
            offset_of!(pe::ImageLoadConfigDirectory32, dynamic_value_reloc_table_section),
            offset_of!(pe::ImageLoadConfigDirectory64, dynamic_value_reloc_table_section),
        );
        let offset: &U32<LE> = bytes::at(self.bytes, offset)?;
        let section: &U16<LE> = bytes::at(self.bytes, section)?;
        (section.get(LE) != 0).then(|| (section.get(LE), offset.get(LE)))
    }

    fn word(&self, in32: usize, in64: usize) -> u64 {
        let offset = self.choose(in32, in64);
        match self.format {
            Format::Pe32 => bytes::at::<U32<LE>>(self.bytes, offset).map(|it| it.get(LE).into()),
            Format::Pe32Plus => bytes::at::<U64<LE>>(self.bytes, offset).map(|it| it.get(LE)),
        }
        .unwrap_or_default()
    }

    fn choose(&self, in32: usize, in64: usize) -> u64 {
        match self.format {
            Format::Pe32 => in32 as u64,
            Format::Pe32Plus => in64 as u64,
        }
    }
}
