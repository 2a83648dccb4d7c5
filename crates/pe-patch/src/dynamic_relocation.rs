//! Bytes that the loader changes by the dynamic value relocation table (DVRT).

use std::ops::Range;

use object::LittleEndian as LE;
use object::{U16, U32, U64, pe, pod};

use crate::bytes;
use crate::header::{Format, Machine};
use crate::image::Image;
use crate::load_config::LoadConfig;
use crate::relocation::{Collision, Touched, WIDEST};

/// The first dynamic relocation that covers a touched byte.
///
/// Of tables of a version or kind that is not known, every half word of a block is taken for an
/// entry whose lower twelve bits are its place in the page, as in all that are known.
pub(crate) fn dynamic_relocation(image: &Image<'_>, touched: &Touched) -> Option<Collision> {
    let table = Table::of(image)?;
    let is_arm64 = image.header().machine == Machine::ARM64;
    table.groups().find_map(|(symbol, fixups)| {
        let kind = Kind::of(symbol, is_arm64);
        match kind {
            Kind::FunctionOverride => overrides(fixups)
                .find_map(|relocations| collision(relocations, Kind::Other, touched)),
            kind => collision(fixups, kind, touched),
        }
    })
}

/// Where the file has the table; empty for an image without.
pub(crate) fn table_range(image: &Image<'_>) -> Range<u64> {
    Table::of(image).map_or(0..0, |table| {
        let size = TABLE_HEADER.saturating_add(table.groups.len() as u64);
        table.offset..table.offset.saturating_add(size)
    })
}

/// What the entries of a group look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// 32-bit entries, twelve bits of which are the place: calls through the import table.
    ImportCall,
    /// 32-bit entries, ten bits of which count instructions: the same on ARM64.
    Arm64ImportCall,
    /// Entries with their new bytes: the other face of an ARM64X image.
    Arm64x,
    /// Relocations within a structure of their own.
    FunctionOverride,
    /// 16-bit entries.
    Other,
}

impl Kind {
    fn of(symbol: u64, is_arm64: bool) -> Kind {
        match pe::DynamicRelocationSymbol(symbol) {
            pe::IMAGE_DYNAMIC_RELOCATION_GUARD_IMPORT_CONTROL_TRANSFER if is_arm64 => {
                Kind::Arm64ImportCall
            }
            pe::IMAGE_DYNAMIC_RELOCATION_ARM64_KERNEL_IMPORT_CALL_TRANSFER => Kind::Arm64ImportCall,
            pe::IMAGE_DYNAMIC_RELOCATION_GUARD_IMPORT_CONTROL_TRANSFER => Kind::ImportCall,
            ARM64X => Kind::Arm64x,
            pe::IMAGE_DYNAMIC_RELOCATION_FUNCTION_OVERRIDE => Kind::FunctionOverride,
            _ => Kind::Other,
        }
    }
}

/// The table's groups of relocations.
struct Table<'data> {
    /// Where its header is in the file.
    offset: u64,
    groups: &'data [u8],
    version: u32,
    format: Format,
}

impl<'data> Table<'data> {
    fn of(image: &Image<'data>) -> Option<Table<'data>> {
        let (section, offset) = LoadConfig::of(image)?.dynamic_relocations()?;
        let section = image.section(section.checked_sub(1)?)?;
        let address = section.address.checked_add(offset.into())?;
        let offset = image.offset_of(address, TABLE_HEADER)?;
        let header: &pe::ImageDynamicRelocationTable = bytes::at(image.data(), offset)?;
        let start = address.checked_add(TABLE_HEADER)?;
        let (_, left) = image.held_at(start)?;
        let size = u64::from(header.size.get(LE)).min(left);
        let groups = image.bytes_at(start, size)?;
        let (version, format) = (header.version.get(LE), image.header().format);
        Some(Table { offset, groups, version, format })
    }

    /// The symbol and the fixups of each group.
    fn groups(&self) -> impl Iterator<Item = (u64, &'data [u8])> {
        let mut rest = self.groups;
        std::iter::from_fn(move || {
            let (symbol, header, size) = self.group(rest)?;
            let end = header.checked_add(size)?;
            let fixups = rest.get(header..)?;
            let fixups = fixups.get(..size).unwrap_or(fixups);
            rest = rest.get(end..).unwrap_or_default();
            Some((symbol, fixups))
        })
    }

    /// The symbol of the first group, the size of its header and that of its fixups.
    fn group(&self, rest: &[u8]) -> Option<(u64, usize, usize)> {
        let word = |offset: u64| Some(bytes::at::<U32<LE>>(rest, offset)?.get(LE));
        let wide = self.format == Format::Pe32Plus;
        let symbol = |offset: u64| {
            if wide {
                Some(bytes::at::<U64<LE>>(rest, offset)?.get(LE))
            } else {
                word(offset).map(u64::from)
            }
        };
        let (symbol, header, size) = match (self.version, wide) {
            (2, _) => (symbol(8)?, word(0)?.max(20), word(4)?),
            (_, true) => (symbol(0)?, 12, word(8)?),
            (_, false) => (symbol(0)?, 8, word(4)?),
        };
        Some((symbol, usize::try_from(header).ok()?, usize::try_from(size).ok()?))
    }
}

/// The base relocations within a group of function overrides.
fn overrides(fixups: &[u8]) -> impl Iterator<Item = &[u8]> {
    let header = bytes::at::<U32<LE>>(fixups, 0).and_then(|it| usize::try_from(it.get(LE)).ok());
    let all = fixups.get(4..).unwrap_or_default();
    let mut rest = header.and_then(|size| all.get(..size)).unwrap_or(all);
    std::iter::from_fn(move || {
        let header: &[U32<LE>; 4] = bytes::at(rest, 0)?;
        let [_, _, rvas, relocations] = header.map(|field| field.get(LE));
        let start = usize::try_from(rvas).ok()?.checked_add(size_of::<[U32<LE>; 4]>())?;
        let found = rest.get(start..)?;
        let size = usize::try_from(relocations).ok()?;
        rest = found.get(size..).unwrap_or_default();
        Some(found.get(..size).unwrap_or(found))
    })
}

fn collision(fixups: &[u8], kind: Kind, touched: &Touched) -> Option<Collision> {
    touched.blocks(fixups).find_map(|(page, entries)| {
        let hit = |place: u64, width: u64| {
            let start = page.saturating_add(place);
            touched.collision(start..start.saturating_add(width))
        };
        match kind {
            Kind::ImportCall | Kind::Arm64ImportCall => {
                let (entries, _) =
                    pod::slice_from_bytes::<U32<LE>>(entries, entries.len() / 4).ok()?;
                entries.iter().find_map(|entry| match kind {
                    Kind::ImportCall => hit(u64::from(entry.get(LE) & 0xfff), CALL),
                    _ => hit(u64::from((entry.get(LE) & 0x3ff) << 2), WIDEST),
                })
            }
            Kind::Arm64x => arm64x(entries)
                .find_map(|place| hit(place.start, place.end.saturating_sub(place.start))),
            Kind::Other | Kind::FunctionOverride => {
                let (entries, _) =
                    pod::slice_from_bytes::<U16<LE>>(entries, entries.len() / 2).ok()?;
                let entries = entries.iter().map(|entry| entry.get(LE));
                // A zero is what blocks are padded with.
                entries
                    .filter(|&entry| entry != 0)
                    .find_map(|entry| hit(u64::from(entry & 0xfff), CALL))
            }
        }
    })
}

/// The places in the page that the entries of an ARM64X block change.
fn arm64x(entries: &[u8]) -> impl Iterator<Item = Range<u64>> {
    let mut offset = 0_u64;
    std::iter::from_fn(move || {
        loop {
            let entry = bytes::at::<U16<LE>>(entries, offset)?.get(LE);
            offset = offset.checked_add(2)?;
            if entry == 0 {
                continue;
            }
            let place = u64::from(entry & 0xfff);
            let size = 1_u64 << (entry >> 14);
            let width = match (entry >> 12) & 3 {
                // Zeros.
                0 => size,
                // New bytes, which follow.
                1 => {
                    offset = offset.checked_add(size.next_multiple_of(2))?;
                    size
                }
                // A difference, half a word that follows, scaled.
                2 => {
                    offset = offset.checked_add(2)?;
                    WIDEST
                }
                _ => WIDEST,
            };
            return Some(place..place.saturating_add(width));
        }
    })
}

const TABLE_HEADER: u64 = size_of::<pe::ImageDynamicRelocationTable>() as u64;

/// `IMAGE_DYNAMIC_RELOCATION_ARM64X`.
const ARM64X: pe::DynamicRelocationSymbol = pe::DynamicRelocationSymbol(6);

/// The most bytes that a call takes up which the loader rewrites.
const CALL: u64 = 16;
