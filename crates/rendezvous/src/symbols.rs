//! A symbol's address, from an image's own tables.

use object::elf;

use crate::image::{Entry, LoadedImage};
use crate::layout::Layout;
use crate::memory::{Memory, read_available};
use crate::section::Sections;

/// The address of a symbol that a loaded image defines, by the tables that its loader would use.
pub(crate) fn dynamic_symbol<M: Memory + ?Sized>(
    memory: &M,
    image: &LoadedImage,
    entries: &[Entry],
    name: &[u8],
) -> Option<u64> {
    let layout = image.layout;
    let address = |tag: i64| {
        let tag = u64::try_from(tag).ok()?;
        let value = entries.iter().find(|entry| entry.tag == tag)?.value;
        // A loader that keeps the table relocated has added the bias already.
        let is_relocated = image.range().is_some_and(|range| range.contains(&value));
        Some(if is_relocated { value } else { layout.add(image.bias, value) })
    };
    let tables = Tables {
        memory,
        layout,
        symbols: address(elf::DT_SYMTAB.0)?,
        strings: address(elf::DT_STRTAB.0)?,
    };
    let symbol = match (address(elf::DT_GNU_HASH.0), address(elf::DT_HASH.0)) {
        (Some(table), _) => tables.by_gnu_hash(table, name),
        (None, Some(table)) => tables.by_hash(table, name),
        (None, None) => None,
    }?;
    (symbol.section != elf::SHN_UNDEF.0).then(|| layout.add(image.bias, symbol.value))
}

/// The value of a symbol in the `.symtab` of a file, given as memory whose addresses are the
/// file's offsets.
pub(crate) fn file_symbol<M: Memory + ?Sized>(file: &M, name: &[u8]) -> Option<u64> {
    let sections = Sections::of(file)?;
    let layout = sections.layout;
    let symbols = sections.iter().find(|section| section.kind == elf::SHT_SYMTAB.0)?;
    let strings = sections.at(u64::from(symbols.link))?;

    let tables = Tables { memory: file, layout, symbols: symbols.offset, strings: strings.offset };
    tables.by_names(symbols.size, strings.size, name)
}

struct Tables<'memory, M: ?Sized> {
    memory: &'memory M,
    layout: Layout,
    symbols: u64,
    strings: u64,
}

struct Symbol {
    name: u32,
    value: u64,
    section: u16,
}

impl<M: Memory + ?Sized> Tables<'_, M> {
    fn by_gnu_hash(&self, table: u64, name: &[u8]) -> Option<Symbol> {
        let [buckets, first, filter, _] = self.words(table)?;
        let filter_size = u64::from(filter).wrapping_mul(self.layout.pick(4, 8));
        let buckets_at = table.wrapping_add(16).wrapping_add(filter_size);
        let chains_at = buckets_at.wrapping_add(u64::from(buckets).wrapping_mul(4));
        let hash = gnu_hash(name);
        let bucket = u64::from(hash.checked_rem(buckets)?);
        let [mut index] = self.words(buckets_at.wrapping_add(bucket.wrapping_mul(4)))?;
        for _ in 0..MOST_COLLISIONS {
            let place = u64::from(index.checked_sub(first)?);
            let [found] = self.words(chains_at.wrapping_add(place.wrapping_mul(4)))?;
            if found | 1 == hash | 1 {
                let symbol = self.symbol(u64::from(index))?;
                if self.has_name(&symbol, name) {
                    return Some(symbol);
                }
            }
            if found & 1 == 1 {
                return None;
            }
            index = index.checked_add(1)?;
        }
        None
    }

    fn by_hash(&self, table: u64, name: &[u8]) -> Option<Symbol> {
        let [buckets, _] = self.words(table)?;
        let word = |index: u64| {
            let [word] = self.words(table.wrapping_add(index.wrapping_mul(4)))?;
            Some(u64::from(word))
        };
        let bucket = u64::from(hash(name).checked_rem(buckets)?);
        let mut index = word(bucket.checked_add(2)?)?;
        for _ in 0..MOST_COLLISIONS {
            if index == 0 {
                return None;
            }
            let symbol = self.symbol(index)?;
            if self.has_name(&symbol, name) {
                return Some(symbol);
            }
            index = word(index.checked_add(u64::from(buckets))?.checked_add(2)?)?;
        }
        None
    }

    /// Where there is no hash table: looks for the name among the strings, then for a symbol that
    /// has it, each from end to end.
    fn by_names(&self, symbols_size: u64, strings_size: u64, name: &[u8]) -> Option<u64> {
        let mut wanted = name.to_vec();
        wanted.push(0);
        let mut places = Vec::new();
        let overlap = wanted.len().saturating_sub(1);
        let step = u64::try_from(PIECE.saturating_sub(overlap)).ok()?;
        for start in pieces(strings_size, step) {
            let bytes = self.piece(self.strings, start, strings_size, PIECE);
            for (offset, window) in bytes.windows(wanted.len()).enumerate() {
                if window == wanted && places.len() < MOST_COLLISIONS {
                    places.push(start.checked_add(u64::try_from(offset).ok()?)?);
                }
            }
        }
        let symbol_size = self.layout.pick(16, 24);
        let in_a_piece = PIECE.checked_div(symbol_size)?.checked_mul(symbol_size)?;
        for start in pieces(symbols_size, u64::try_from(in_a_piece).ok()?) {
            let bytes = self.piece(self.symbols, start, symbols_size, in_a_piece);
            let found = bytes
                .chunks_exact(symbol_size)
                .filter_map(|bytes| Symbol::parse(self.layout, bytes))
                .find(|symbol| {
                    symbol.section != elf::SHN_UNDEF.0 && places.contains(&u64::from(symbol.name))
                });
            if let Some(symbol) = found {
                return Some(symbol.value);
            }
        }
        None
    }

    /// The bytes of a table from `start` on, up to `most` and the table's end.
    fn piece(&self, table: u64, start: u64, size: u64, most: usize) -> Vec<u8> {
        let length = usize::try_from(size.saturating_sub(start)).unwrap_or(usize::MAX).min(most);
        read_available(self.memory, table.wrapping_add(start), length)
    }

    fn symbol(&self, index: u64) -> Option<Symbol> {
        let size = self.layout.pick(16, 24);
        let offset = index.checked_mul(u64::try_from(size).ok()?)?;
        let mut bytes = [0; 24];
        let bytes = bytes.get_mut(..size)?;
        self.memory.read_exact_at(self.symbols.wrapping_add(offset), bytes).ok()?;
        Symbol::parse(self.layout, bytes)
    }

    fn has_name(&self, symbol: &Symbol, name: &[u8]) -> bool {
        let at = self.strings.wrapping_add(u64::from(symbol.name));
        let found = read_available(self.memory, at, name.len().saturating_add(1));
        found.strip_suffix(b"\0").is_some_and(|found| found == name)
    }

    fn words<const N: usize>(&self, address: u64) -> Option<[u32; N]> {
        let mut words = [0; N];
        let mut at = address;
        for word in &mut words {
            let mut bytes = [0; 4];
            self.memory.read_exact_at(at, &mut bytes).ok()?;
            *word = self.layout.u32(&bytes, 0)?;
            at = at.wrapping_add(4);
        }
        Some(words)
    }
}

impl Symbol {
    fn parse(layout: Layout, bytes: &[u8]) -> Option<Symbol> {
        Some(Symbol {
            name: layout.u32(bytes, 0)?,
            value: layout.word(bytes, layout.pick(4, 8))?,
            section: layout.u16(bytes, layout.pick(14, 6))?,
        })
    }
}

/// Where the pieces of a table begin, a bounded number of them.
fn pieces(size: u64, step: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(0_u64), move |start| start.checked_add(step))
        .take_while(move |start| *start < size)
        .take(MOST_PIECES)
}

/// The hash of `DT_GNU_HASH`.
fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381, |hash: u32, &byte| hash.wrapping_mul(33).wrapping_add(u32::from(byte)))
}

/// The hash of `DT_HASH`.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0, |hash: u32, &byte| {
        let hash = hash.wrapping_shl(4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ high.wrapping_shr(24)) & !high
    })
}

const PIECE: usize = 64 * 1024;
/// 1 GiB of strings or of symbols.
const MOST_PIECES: usize = 16 * 1024;
const MOST_COLLISIONS: usize = 4096;
