//! Authenticode: where the certificate table is, and what may be done to it.

use std::ops::Range;

use crate::header::DirectoryKind;
use crate::image::Image;

/// Where the certificate table of a signed image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificates {
    /// It is the end of the file, where signing puts it.
    AtEnd { offset: u64, size: u64 },
    /// Something follows it, and would move if it were cut out.
    InBetween { offset: u64, size: u64 },
    /// The directory leads behind the end, or into what the image maps.
    Nowhere,
}

/// The certificate table, if the data directory speaks of one. Unlike every other directory's,
/// its address is an offset in the file.
pub(crate) fn certificates(image: &Image<'_>) -> Option<Certificates> {
    let directory = image.directory(DirectoryKind::Security)?;
    let (offset, size) = (u64::from(directory.address), u64::from(directory.size));
    let Some(end) = offset.checked_add(size).filter(|&end| size > 0 && end <= image.end()) else {
        return Some(Certificates::Nowhere);
    };
    let symbols = image.symbol_range();
    let is_mapped = offset < image.mapped_end() || (offset < symbols.end && symbols.start < end);
    Some(match () {
        () if is_mapped => Certificates::Nowhere,
        () if end == image.end() => Certificates::AtEnd { offset, size },
        () => Certificates::InBetween { offset, size },
    })
}

impl Image<'_> {
    /// Where the certificate table is, if it is one.
    pub(crate) fn certificate_table(&self) -> Option<Range<u64>> {
        match certificates(self)? {
            Certificates::AtEnd { offset, size } | Certificates::InBetween { offset, size } => {
                Some(offset..offset.saturating_add(size))
            }
            Certificates::Nowhere => None,
        }
    }

    /// Whether the image has a certificate table, or says so.
    pub fn is_signed(&self) -> bool {
        self.directory(DirectoryKind::Security).is_some()
    }

    /// Where the part of the file ends that headers and sections take up. What lies behind is an
    /// overlay: certificates, COFF symbols, an installer's payload.
    pub(crate) fn mapped_end(&self) -> u64 {
        let header = self.header();
        let sections = self
            .nameless()
            .filter(|section| section.offset != 0 && section.file_size != 0)
            .map(|section| section.offset.saturating_add(section.file_size))
            .max();
        [header.directories_offset(), header.size_of_headers.into()]
            .into_iter()
            .chain(sections)
            .max()
            .unwrap_or_default()
            .min(self.end())
    }

    /// Where the overlay starts, if there is one.
    pub fn overlay(&self) -> Option<u64> {
        Some(self.mapped_end()).filter(|&start| start < self.end())
    }
}
