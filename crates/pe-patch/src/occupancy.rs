//! What lies where in the file, so that nothing is written over anything else.

use std::fmt;
use std::ops::Range;

use object::LittleEndian as LE;
use object::pe;

use crate::bytes;
use crate::debug::DebugEntry;
use crate::dynamic_relocation::table_range;
use crate::header::{DataDirectory, DirectoryKind};
use crate::image::{Image, SECTION_HEADER_SIZE};
use crate::load_config::LoadConfig;

/// A structure that bytes of the file belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tenant {
    /// The two fields of the DOS header that a loader reads.
    DosHeader,
    /// The NT headers and the data directories.
    Headers,
    /// The section table.
    SectionTable,
    /// What a data directory leads to.
    Directory(DirectoryKind),
    /// A part of a .NET image that the CLR header leads to.
    ClrPart,
    /// The dynamic relocations (DVRT) that the load configuration leads to.
    DynamicRelocations,
    /// The record of an entry of the debug directory.
    DebugRecord {
        /// The entry's index.
        index: u32,
    },
    /// COFF symbols and their strings.
    Symbols,
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tenant::DosHeader => f.write_str("DOS header"),
            Tenant::Headers => f.write_str("headers"),
            Tenant::SectionTable => f.write_str("section table"),
            Tenant::Directory(kind) => kind.fmt(f),
            Tenant::ClrPart => f.write_str("metadata of a .NET image"),
            Tenant::DynamicRelocations => f.write_str("dynamic relocations"),
            Tenant::DebugRecord { index } => write!(f, "record of debug entry {index}"),
            Tenant::Symbols => f.write_str("COFF symbols"),
        }
    }
}

/// Everything that is known to lie somewhere.
#[derive(Debug, Clone)]
pub(crate) struct Occupancy {
    tenants: Vec<(Range<u64>, Tenant)>,
}

impl Occupancy {
    pub(crate) fn of(image: &Image<'_>, entries: &[DebugEntry<'_>]) -> Occupancy {
        let header = image.header();
        let directories = header.directories_offset();
        let table = header.section_table_offset();
        let table_size = u64::from(header.number_of_sections).saturating_mul(SECTION_HEADER_SIZE);
        let directories_end =
            directories.saturating_add(header.directory_count().saturating_mul(8));
        let mut tenants = vec![
            (DOS_MAGIC, Tenant::DosHeader),
            (DOS_LFANEW, Tenant::DosHeader),
            (header.offset..directories_end, Tenant::Headers),
            (table..table.saturating_add(table_size), Tenant::SectionTable),
            (image.symbol_range(), Tenant::Symbols),
        ];
        for kind in DirectoryKind::ALL {
            let Some(directory) = image.directory(kind) else { continue };
            let range = match kind {
                DirectoryKind::Security => image.certificate_table().unwrap_or_default(),
                _ => held_part(image, directory),
            };
            tenants.push((range, Tenant::Directory(kind)));
            if kind == DirectoryKind::Clr {
                let parts = clr_parts(image, directory);
                tenants.extend(parts.map(|part| (part, Tenant::ClrPart)));
            }
        }
        if let Some(config) = LoadConfig::of(image) {
            // Longer by its own first field than by the data directory's in many images.
            tenants.push((config.range(), Tenant::Directory(DirectoryKind::LoadConfig)));
            tenants.push((table_range(image), Tenant::DynamicRelocations));
        }
        for (place, entry) in entries.iter().enumerate() {
            // Entries of one record are one tenant.
            let is_known = |it: &DebugEntry<'_>| it.record == entry.record;
            if !entries.iter().take(place).any(is_known) {
                let tenant = Tenant::DebugRecord { index: entry.index };
                tenants.push((entry.record.clone(), tenant));
            }
        }
        tenants.retain(|(range, _)| !range.is_empty());
        Occupancy { tenants }
    }

    /// The first byte of a range that somebody other than `owner` has, and who.
    pub(crate) fn tenant_in(
        &self,
        range: &Range<u64>,
        owner: Option<Tenant>,
    ) -> Option<(u64, Tenant)> {
        self.tenants
            .iter()
            .filter(|(taken, tenant)| {
                taken.start < range.end && range.start < taken.end && Some(*tenant) != owner
            })
            .map(|(taken, tenant)| (taken.start.max(range.start), *tenant))
            .min_by_key(|(offset, _)| *offset)
    }

    /// As whose an entry's record is known.
    pub(crate) fn owner_of(&self, entry: &DebugEntry<'_>) -> Tenant {
        let is_record = |(range, tenant): &&(Range<u64>, Tenant)| {
            *range == entry.record && matches!(tenant, Tenant::DebugRecord { .. })
        };
        let known = self.tenants.iter().find(is_record).map(|(_, tenant)| *tenant);
        known.unwrap_or(Tenant::DebugRecord { index: entry.index })
    }

    /// The next structure that starts at or behind an offset, and where.
    pub(crate) fn next(&self, offset: u64) -> Option<(u64, Tenant)> {
        self.tenants
            .iter()
            .map(|(taken, tenant)| (taken.start, *tenant))
            .filter(|(start, _)| *start >= offset)
            .min_by_key(|(start, _)| *start)
    }
}

/// The part of a directory that the file holds.
fn held_part(image: &Image<'_>, directory: DataDirectory) -> Range<u64> {
    image.held_at(directory.address.into()).map_or(0..0, |(offset, left)| {
        offset..offset.saturating_add(left.min(directory.size.into()))
    })
}

/// Where the parts of a .NET image are that its header leads to.
fn clr_parts(image: &Image<'_>, header: DataDirectory) -> impl Iterator<Item = Range<u64>> {
    let size = size_of::<pe::ImageCor20Header>() as u64;
    let header: Option<&pe::ImageCor20Header> =
        image.bytes_at(header.address.into(), size).and_then(|bytes| bytes::at(bytes, 0));
    header
        .into_iter()
        .flat_map(|header| {
            [
                header.meta_data,
                header.resources,
                header.strong_name_signature,
                header.code_manager_table,
                header.vtable_fixups,
                header.export_address_table_jumps,
                header.managed_native_header,
            ]
        })
        .map(|part| DataDirectory {
            address: part.virtual_address.get(LE),
            size: part.size.get(LE),
        })
        .map(|part| held_part(image, part))
}

/// Where the DOS header has its signature, and the offset of the NT headers.
const DOS_MAGIC: Range<u64> = 0..2;
const DOS_LFANEW: Range<u64> = 0x3c..0x40;
