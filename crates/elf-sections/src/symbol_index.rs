//! Symbols by address and by name.

use std::cmp::Reverse;

use crate::symbol::{Binding, Symbol, SymbolKind, SymbolSection};

/// An image's symbols, sorted once so that each look-up is a binary search, and a walk back over
/// those that start behind one that reaches far.
///
/// ```
/// use elf_sections::{Image, SymbolIndex};
///
/// # let Ok(bytes) = std::fs::read("/proc/self/exe") else { return Ok(()) };
/// let image = Image::parse(&bytes)?;
/// let index = image.symbol_index();
/// if let Some(main) = index.named(b"main").next() {
///     let found = index.at(main.address).unwrap();
///     assert_eq!(found.address, main.address);
/// }
/// # Ok::<(), elf_sections::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SymbolIndex<'data> {
    symbols: Vec<Symbol<'data>>,
    /// The numbers of the symbols that have an address, by it; of those at one address the
    /// preferred one comes last.
    by_address: Vec<u32>,
    /// For each of those, where the farthest reaching one up to it ends.
    ends: Vec<u64>,
    by_name: Vec<u32>,
}

impl<'data> SymbolIndex<'data> {
    /// Sorts symbols, of one image or of several tables of it.
    pub fn new(symbols: impl IntoIterator<Item = Symbol<'data>>) -> SymbolIndex<'data> {
        let symbols: Vec<Symbol<'data>> = symbols.into_iter().collect();
        let numbers = || (0_u32..).zip(&symbols);
        let mut by_address: Vec<(u32, &Symbol<'data>)> =
            numbers().filter(|(_, symbol)| has_address(symbol)).collect();
        by_address.sort_by_key(|(number, symbol)| {
            (symbol.address, symbol.size != 0, Reverse(symbol.size), rank(symbol), Reverse(*number))
        });
        let mut farthest = 0;
        let ends = by_address
            .iter()
            .map(|(_, symbol)| {
                farthest = end(symbol).max(farthest);
                farthest
            })
            .collect();
        let mut by_name: Vec<(u32, &Symbol<'data>)> =
            numbers().filter(|(_, symbol)| !symbol.name.is_empty()).collect();
        by_name.sort_by_key(|(_, symbol)| by_length(symbol.name));
        let only_numbers = |sorted: Vec<(u32, &Symbol<'data>)>| -> Vec<u32> {
            sorted.into_iter().map(|(number, _)| number).collect()
        };
        let (by_address, by_name) = (only_numbers(by_address), only_numbers(by_name));
        SymbolIndex { symbols, by_address, ends, by_name }
    }

    /// The symbol that an address belongs to: of those that cover it the one that starts last, and
    /// of several of these the smallest, and of equal ones that which others see best.
    ///
    /// A symbol without a size covers its own address only. Sections, files and thread-local
    /// variables, whose values are no addresses, are never found.
    pub fn at(&self, address: u64) -> Option<&Symbol<'data>> {
        self.all_at(address).next()
    }

    /// All symbols that cover an address, the best one first.
    pub fn all_at(&self, address: u64) -> impl Iterator<Item = &Symbol<'data>> {
        let end_of_search = self.by_address.partition_point(|&number| {
            self.symbol(number).is_some_and(|symbol| symbol.address <= address)
        });
        let before = self.by_address.get(..end_of_search).unwrap_or_default();
        let ends = self.ends.get(..end_of_search).unwrap_or_default();
        before
            .iter()
            .zip(ends)
            .rev()
            // Where nothing before reaches the address, nothing covers it.
            .take_while(move |(_, farthest)| **farthest > address)
            .filter_map(|(&number, _)| self.symbol(number))
            .filter(move |symbol| end(symbol) > address)
    }

    /// The symbols of a name, in the order of the table: there may be several local ones.
    pub fn named(&self, name: &[u8]) -> impl Iterator<Item = &Symbol<'data>> {
        let place =
            |&number: &u32| by_length(self.symbol(number).map_or(&[][..], |symbol| symbol.name));
        let name = by_length(name);
        let start = self.by_name.partition_point(|number| place(number) < name);
        let rest = self.by_name.get(start..).unwrap_or_default();
        let count = rest.partition_point(|number| place(number) <= name);
        let found = rest.get(..count).unwrap_or_default();
        found.iter().filter_map(|&number| self.symbol(number))
    }

    /// All of them, in the order of the table.
    pub fn symbols(&self) -> &[Symbol<'data>] {
        &self.symbols
    }

    fn symbol(&self, number: u32) -> Option<&Symbol<'data>> {
        self.symbols.get(usize::try_from(number).ok()?)
    }
}

/// What names are sorted by: those that end at the same byte of one long string, which a linker
/// shares and a hostile file has thousands of, are told apart at once.
fn by_length(name: &[u8]) -> (usize, &[u8]) {
    (name.len(), name)
}

/// Where a symbol ends: at least behind its address.
fn end(symbol: &Symbol<'_>) -> u64 {
    symbol.address.saturating_add(symbol.size.max(1))
}

fn has_address(symbol: &Symbol<'_>) -> bool {
    let is_placed = matches!(symbol.section, SymbolSection::Index(_));
    let is_of_code_or_data = !matches!(
        symbol.kind,
        SymbolKind::Section | SymbolKind::File | SymbolKind::Tls | SymbolKind::Common
    );
    // `$d` and its kin mark where data start in the code of some processors.
    is_placed && is_of_code_or_data && !symbol.name.starts_with(b"$")
}

fn rank(symbol: &Symbol<'_>) -> u8 {
    match symbol.binding {
        Binding::Global | Binding::Unique => 3,
        Binding::Weak => 2,
        Binding::Local => 1,
        Binding::Other(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::symbol::Visibility;

    fn symbol(index: u32, address: u64, size: u64, name: &'static [u8]) -> Symbol<'static> {
        Symbol {
            index,
            name,
            address,
            size,
            kind: SymbolKind::Object,
            binding: Binding::Global,
            visibility: Visibility::Default,
            section: SymbolSection::Index(1),
            file: None,
        }
    }

    proptest! {
        #[test]
        fn finds_what_looking_at_every_symbol_finds(
            places in prop::collection::vec((0..60_u64, 0..20_u64, 0..4_usize), 0..30),
        ) {
            const NAMES: [&[u8]; 4] = [b"a", b"ab", b"b", b""];
            let symbols: Vec<Symbol<'_>> = (0..)
                .zip(&places)
                .map(|(index, &(address, size, name))| symbol(index, address, size, NAMES[name]))
                .collect();
            let index = SymbolIndex::new(symbols.iter().copied());
            for address in 0..90 {
                let covering = symbols
                    .iter()
                    .filter(|it| it.address <= address && address < it.address + it.size.max(1));
                let best = covering.clone().max_by_key(|it| {
                    (it.address, it.size != 0, Reverse(it.size), Reverse(it.index))
                });
                prop_assert_eq!(index.at(address), best);
                prop_assert_eq!(index.all_at(address).count(), covering.count());
            }
            for name in &NAMES[..3] {
                let all: Vec<&Symbol<'_>> = symbols.iter().filter(|it| it.name == *name).collect();
                prop_assert_eq!(index.named(name).collect::<Vec<_>>(), all);
            }
        }
    }
}
