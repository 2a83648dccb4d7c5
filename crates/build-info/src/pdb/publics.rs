//! Symbols by name and by address.

use std::collections::HashSet;

use crate::{Error, ReadAt};

use super::bytes::{Bytes, u16_at, u32_at};
use super::dbi::Dbi;
use super::msf::{Msf, Stream, malformed};
use super::sections::Sections;
use super::symbols::{S_GPROC32, S_GPROC32_ID, S_LPROC32, S_LPROC32_ID};
use super::window::Window;

/// A symbol that the linker made public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its name as it is linked by: decorated, where the language decorates.
    pub name: String,
    /// Where it is, relative to the image's base.
    pub address: u64,
}

/// Where a name is: the addresses, relative to the image's base, of every symbol that has it.
///
/// The name is that of a public symbol as it is linked by (`?update@@YAXXZ`), or that of a
/// procedure or variable as it is in the source (`game::update`), of which there may be several.
/// Looked up in the PDB's hash tables: what is read does not depend on the number of symbols.
///
/// # Errors
///
/// As [`read`](super::read).
pub fn symbol(source: &(impl ReadAt + ?Sized), name: &str) -> Result<Vec<u64>, Error> {
    let source: &dyn ReadAt = &source;
    let msf = Msf::open(source)?;
    let Some(mut symbols) = Symbols::open(&msf)? else { return Ok(Vec::new()) };
    let mut addresses = symbols.named(symbols.publics, PUBLICS_HEADER, name.as_bytes())?;
    addresses.append(&mut symbols.named(symbols.globals, 0, name.as_bytes())?);
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// The public symbol that is at an address, relative to the image's base, or nearest before it.
///
/// # Errors
///
/// As [`read`](super::read).
pub fn symbol_at(source: &(impl ReadAt + ?Sized), address: u64) -> Result<Option<Symbol>, Error> {
    let source: &dyn ReadAt = &source;
    let msf = Msf::open(source)?;
    match Symbols::open(&msf)? {
        Some(mut symbols) => symbols.at(address),
        None => Ok(None),
    }
}

struct Symbols<'m> {
    msf: &'m Msf<'m>,
    dbi: Dbi,
    sections: Sections,
    publics: Option<Stream>,
    globals: Option<Stream>,
    records: Window<'m>,
    /// The streams of the modules, once they were asked for.
    modules: Option<Vec<Option<Stream>>>,
}

impl<'m> Symbols<'m> {
    fn open(msf: &'m Msf<'m>) -> Result<Option<Self>, Error> {
        let dbi = Dbi::read(msf)?;
        let Some(records) = msf.stream(dbi.symbols) else { return Ok(None) };
        Ok(Some(Self {
            msf,
            sections: Sections::read(msf, &dbi),
            publics: msf.stream(dbi.publics),
            globals: msf.stream(dbi.globals),
            records: Window::new(msf, records, 16, 12),
            modules: None,
            dbi,
        }))
    }

    /// The addresses of what has the name, by a hash table that begins at `table`.
    fn named(
        &mut self,
        stream: Option<Stream>,
        table: u32,
        name: &[u8],
    ) -> Result<Vec<u64>, Error> {
        let mut addresses = Vec::new();
        let Some(stream) = stream else { return Ok(addresses) };
        let mut window = Window::new(self.msf, stream, 4, 12);
        let mut head = Bytes(window.bytes(table, 16, HASH)?);
        let (mark, version) = (head.u32().unwrap_or(0), head.u32().unwrap_or(0));
        let (records_size, _buckets_size) = (head.u32().unwrap_or(0), head.u32().unwrap_or(0));
        if mark != u32::MAX || version != HASH_VERSION {
            return Err(malformed(HASH, table, "is of an unknown version", version));
        }
        let records = table.saturating_add(16);
        let bitmap = records.saturating_add(records_size);
        let buckets = bitmap.saturating_add(BITMAP_SIZE);
        let bucket = hash(name) % BUCKETS;
        // A bucket has a place only if its bit is set; the places follow each other.
        let mut place = 0_u32;
        let mut next_bucket = None;
        let bits = window.bytes(bitmap, BITMAP_SIZE, HASH)?.to_vec();
        let is_set = |bucket: u32| {
            let byte = bits.get((bucket >> 3) as usize).copied().unwrap_or(0);
            byte >> (bucket & 7) & 1 != 0
        };
        if !is_set(bucket) {
            return Ok(addresses);
        }
        for before in 0..bucket {
            place = place.saturating_add(u32::from(is_set(before)));
        }
        let place = buckets.saturating_add(place.saturating_mul(4));
        let mut offset_at = |at: u32| -> Result<u32, Error> {
            let bytes = window.bytes(at, 4, HASH)?;
            // Counted in records of 12 bytes, as they are in memory; in the file they have 8.
            Ok(u32_at(bytes, 0).unwrap_or(0) / 12)
        };
        let first = offset_at(place)?;
        if (bucket.saturating_add(1)..BUCKETS).any(is_set) {
            next_bucket = Some(offset_at(place.saturating_add(4))?);
        }
        let end = next_bucket.unwrap_or(records_size / 8).min(records_size / 8);
        // A symbol has one record, whatever the table says.
        let mut seen = HashSet::new();
        for index in first..end {
            let at = records.saturating_add(index.saturating_mul(8));
            let Some(offset) = u32_at(window.bytes(at, 4, HASH)?, 0) else { break };
            let Some(offset) = offset.checked_sub(1).filter(|it| seen.insert(*it)) else {
                continue;
            };
            addresses.extend(self.address_of(offset, name)?);
        }
        Ok(addresses)
    }

    /// The address of the symbol at an offset in the symbols, if it has the name.
    fn address_of(&mut self, offset: u32, name: &[u8]) -> Result<Option<u64>, Error> {
        let Some((kind, record)) = record(&mut self.records, offset)? else { return Ok(None) };
        let mut fields = Bytes(record);
        match kind {
            S_PUB32 | S_GDATA32 | S_LDATA32 | S_GTHREAD32 | S_LTHREAD32 => {
                fields.u32();
                let address = self.sections.address_in(&mut fields);
                Ok(address.filter(|_| fields.text() == name))
            }
            S_PROCREF | S_LPROCREF => {
                fields.u32();
                let (offset, module) = (fields.u32(), fields.u16());
                let is_named = fields.text() == name;
                match (offset, module) {
                    (Some(offset), Some(module)) if is_named => self.procedure(module, offset),
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// The address of a procedure in the symbols of a module, which counts from 1.
    fn procedure(&mut self, module: u16, offset: u32) -> Result<Option<u64>, Error> {
        let modules = self.modules.get_or_insert_with(|| {
            let (modules, _damage) = self.dbi.modules(self.msf);
            modules.iter().map(|module| self.msf.stream(module.stream?)).collect()
        });
        let index = usize::from(module).checked_sub(1);
        let stream = index.and_then(|index| *modules.get(index)?);
        let Some(stream) = stream else { return Ok(None) };
        let mut window = Window::new(self.msf, stream, 1, 12);
        let Some((kind, record)) = record(&mut window, offset)? else { return Ok(None) };
        if !matches!(kind, S_LPROC32 | S_GPROC32 | S_LPROC32_ID | S_GPROC32_ID) {
            return Ok(None);
        }
        // Parent, end, next, length, where debugging starts and ends, type.
        let mut fields = Bytes(record.get(28..).unwrap_or_default());
        Ok(self.sections.address_in(&mut fields))
    }

    /// The last public symbol at or before an address, by the table that is sorted by address.
    fn at(&mut self, address: u64) -> Result<Option<Symbol>, Error> {
        let Some(stream) = self.publics else { return Ok(None) };
        let mut window = Window::new(self.msf, stream, 16, 12);
        let mut head = Bytes(window.bytes(0, PUBLICS_HEADER, HASH)?);
        let (hash_size, map_size) = (head.u32().unwrap_or(0), head.u32().unwrap_or(0));
        let map = PUBLICS_HEADER.saturating_add(hash_size);
        let (mut low, mut high) = (0_u32, map_size / 4);
        let mut nearest = None;
        while low < high {
            let middle = low.midpoint(high);
            let place = map.saturating_add(middle.saturating_mul(4));
            let offset = u32_at(window.bytes(place, 4, HASH)?, 0).unwrap_or(0);
            let symbol = self.public(offset)?;
            match symbol {
                Some(symbol) if symbol.address <= address => {
                    nearest = Some(symbol);
                    low = middle.saturating_add(1);
                }
                _ => high = middle,
            }
        }
        Ok(nearest)
    }

    fn public(&mut self, offset: u32) -> Result<Option<Symbol>, Error> {
        let Some((S_PUB32, record)) = record(&mut self.records, offset)? else { return Ok(None) };
        let mut fields = Bytes(record);
        fields.u32();
        // What is in no section, such as a constant, is sorted after everything.
        let address = self.sections.address_in(&mut fields);
        let mut name = || String::from_utf8_lossy(fields.text()).into_owned();
        Ok(address.map(|address| Symbol { name: name(), address }))
    }
}

/// The kind and the rest of the symbol at an offset.
fn record<'w>(window: &'w mut Window<'_>, offset: u32) -> Result<Option<(u16, &'w [u8])>, Error> {
    let length = u16_at(window.bytes(offset, 2, SYMBOLS)?, 0).unwrap_or(0);
    let record = window.bytes(offset.saturating_add(2), length.into(), SYMBOLS)?;
    let head = record.split_first_chunk::<2>();
    Ok(head.map(|(kind, rest)| (u16::from_le_bytes(*kind), rest)))
}

/// The hash that names are looked up by; it does not tell the case of letters.
fn hash(name: &[u8]) -> u32 {
    let mut words = name.chunks_exact(4);
    let mut hash = (&mut words).filter_map(|word| u32_at(word, 0)).fold(0, |hash, it| hash ^ it);
    let mut rest = Bytes(words.remainder());
    if rest.0.len() >= 2 {
        hash ^= u32::from(rest.u16().unwrap_or(0));
    }
    hash ^= u32::from(rest.u8().unwrap_or(0));
    hash |= 0x2020_2020;
    hash ^= hash >> 11;
    hash ^ (hash >> 16)
}

const HASH: &str = "hash table of symbols";
const SYMBOLS: &str = "symbols";
const HASH_VERSION: u32 = 0xeffe_0000 + 19_990_810;
const BUCKETS: u32 = 4096;
/// A bit for each bucket and one more, in whole words.
const BITMAP_SIZE: u32 = 4 * 129;
/// What is before the hash table of the public symbols.
const PUBLICS_HEADER: u32 = 28;

const S_PUB32: u16 = 0x110e;
const S_LDATA32: u16 = 0x110c;
const S_GDATA32: u16 = 0x110d;
const S_LTHREAD32: u16 = 0x1112;
const S_GTHREAD32: u16 = 0x1113;
const S_PROCREF: u16 = 0x1125;
const S_LPROCREF: u16 = 0x1127;
