//! Where everything in a loaded image lies, both ways: what is at this address, and where is this
//! thing.
//!
//! Made only when a word of the state leads into an old image: most reloads need none.

use std::collections::HashMap;
use std::ops::Range;

use elf_sections::{Image, SectionKind, SymbolKind};
use memchr::memmem;

use super::correlate::{Named, stem};
use super::variables::{StateMap, Variable};
use crate::sys;

/// What a pointer leads to, in words that hold for other builds as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A function, a variable, a vtable: this far behind its start.
    Symbol { name: String, file: Option<String>, offset: u64 },
    /// A string literal, with the zero byte that ends it.
    Text(Vec<u8>),
}

impl Target {
    /// Whether it is a table of virtual functions (Itanium C++ ABI, 5.1.4.1).
    pub(crate) fn is_vtable(&self) -> bool {
        matches!(self, Self::Symbol { name, .. } if name.starts_with("_ZTV"))
    }

    /// For reports.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Symbol { name, offset: 0, .. } => name.clone(),
            Self::Symbol { name, offset, .. } => format!("{name}+{offset:#x}"),
            Self::Text(text) => {
                let text = text.strip_suffix(b"\0").unwrap_or(text);
                format!("{:?}", String::from_utf8_lossy(text.get(..40).unwrap_or(text)))
            }
        }
    }
}

/// The places of one loaded image.
pub(crate) struct Atlas {
    bias: usize,
    /// By address.
    places: Vec<Place>,
    exact: HashMap<(String, Option<String>), Option<usize>>,
    by_name: HashMap<String, Option<usize>>,
    by_stem: HashMap<String, Option<usize>>,
    /// What the compiler has numbered, by stem and file: a number means nothing in another build.
    numbered: HashMap<(String, Option<String>), Option<usize>>,
    /// Memory that holds constants and no code.
    constants: Vec<Constants>,
}

struct Place {
    name: String,
    file: Option<String>,
    address: u64,
    size: u64,
    function: bool,
}

impl Named for Place {
    fn name(&self) -> &str {
        &self.name
    }
    fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

/// The longest text that is looked for.
const LONGEST_TEXT: usize = 64 << 10;
/// The shortest that is told from a number by its looks.
const SHORTEST_TEXT: usize = 4;

impl Atlas {
    pub(crate) fn of(image: &Image<'_>, bias: usize, state: &StateMap) -> Self {
        let mut places = Vec::new();
        let mut take = |symbol: elf_sections::Symbol<'_>| {
            let function = symbol.kind == SymbolKind::Function;
            if symbol.is_defined()
                && (function || symbol.kind == SymbolKind::Object)
                && symbol.size > 0
            {
                places.push(Place {
                    name: String::from_utf8_lossy(symbol.name).into_owned(),
                    file: symbol.file.map(|file| String::from_utf8_lossy(file).into_owned()),
                    address: symbol.address,
                    size: symbol.size,
                    function,
                });
            }
        };
        if image.symbols().next().is_some() {
            image.symbols().for_each(&mut take);
        } else {
            image.dynamic_symbols().for_each(&mut take);
        }
        // The state's variables may have better names than the symbol table gives them.
        let better: HashMap<u64, &Variable> =
            state.variables.iter().map(|variable| (variable.address, variable)).collect();
        for place in places.iter_mut().filter(|place| !place.function) {
            if let Some(variable) = better.get(&place.address) {
                place.name.clone_from(&variable.name);
                place.file.clone_from(&variable.file);
            }
        }
        places.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
        let mut exact = HashMap::new();
        let mut by_name = HashMap::new();
        let mut by_stem = HashMap::new();
        let mut numbered = HashMap::new();
        for (index, place) in places.iter().enumerate() {
            enter(&mut exact, (place.name.clone(), place.file.clone()), index);
            enter(&mut by_name, place.name.clone(), index);
            enter(&mut by_stem, stem(&place.name).to_owned(), index);
            if stem(&place.name) != place.name {
                let group = (stem(&place.name).to_owned(), place.file.clone());
                enter(&mut numbered, group, index);
            }
        }
        let constants = image
            .sections()
            .iter()
            .filter(|section| {
                let flags = section.flags;
                section.kind == SectionKind::PROGBITS
                    && flags.is_allocated()
                    && !flags.is_writable()
                    && !flags.is_executable()
            })
            .map(|section| Constants {
                range: section.range(),
                texts: section.flags.holds_strings(),
            })
            .collect();
        Self { bias, places, exact, by_name, by_stem, numbered, constants }
    }

    /// What lies at an address of the process, if it is something that other builds may have too.
    pub(crate) fn describe(&self, address: usize) -> Option<Target> {
        let address = address.wrapping_sub(self.bias) as u64;
        let behind = self.places.partition_point(|place| place.address <= address);
        // Symbols may overlap or share a place; the nearest that covers the address is meant.
        let place = self.places.get(..behind)?.iter().rev().take(8).find(|place| {
            let offset = address.wrapping_sub(place.address);
            // A word that leads into the middle of a function is no function pointer.
            offset < place.size && (!place.function || offset == 0)
        });
        if let Some(place) = place {
            if self.is_one_of_several(&place.name, place.file.as_deref()) {
                return None;
            }
            return Some(Target::Symbol {
                name: place.name.clone(),
                file: place.file.clone(),
                offset: address.wrapping_sub(place.address),
            });
        }
        let constants =
            self.constants.iter().find(|constants| constants.range.contains(&address))?;
        self.text_at(address, constants).map(Target::Text)
    }

    /// Where the same thing is in this image, as an address of the process.
    pub(crate) fn resolve(&self, target: &Target) -> Option<usize> {
        match target {
            Target::Symbol { name, file, offset } => {
                let place = self.place(name, file.as_deref())?;
                (*offset < place.size)
                    .then(|| self.bias.wrapping_add(place.address.wrapping_add(*offset) as usize))
            }
            Target::Text(text) => self.constants.iter().find_map(|constants| {
                let range = &constants.range;
                let size = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
                let mut bytes = vec![0; size];
                let start = self.bias.wrapping_add(range.start as usize);
                if !sys::read(start, &mut bytes) {
                    return None;
                }
                let found = memmem::find_iter(&bytes, text)
                    .find(|&at| constants.texts || starts_a_text(&bytes, at))?;
                Some(start.wrapping_add(found))
            }),
        }
    }

    /// Whether only a number tells it from others of its file.
    fn is_one_of_several(&self, name: &str, file: Option<&str>) -> bool {
        let group = (stem(name).to_owned(), file.map(str::to_owned));
        stem(name) != name && self.numbered.get(&group).is_some_and(Option::is_none)
    }

    fn place(&self, name: &str, file: Option<&str>) -> Option<&Place> {
        if self.is_one_of_several(name, file) {
            return None;
        }
        let exact = (name.to_owned(), file.map(str::to_owned));
        let index = [self.exact.get(&exact), self.by_name.get(name), self.by_stem.get(stem(name))]
            .into_iter()
            .flatten()
            .find_map(|index| *index)?;
        self.places.get(index)
    }

    /// The text that starts at `address`, if it is one: printable, valid, and ended before its
    /// section is.
    ///
    /// Linkers put texts and tables of numbers into one section. There only what follows a zero
    /// byte and is long enough not to be a small number is taken for a text; anything else has no
    /// name.
    fn text_at(&self, address: u64, constants: &Constants) -> Option<Vec<u8>> {
        let before = u64::from(address > constants.range.start);
        let longest = usize::try_from(constants.range.end.checked_sub(address)?).ok()?;
        let mut bytes = vec![0; longest.min(LONGEST_TEXT).saturating_add(before as usize)];
        let start = address.saturating_sub(before);
        if !sys::read(self.bias.wrapping_add(start as usize), &mut bytes) {
            return None;
        }
        let after_zero = starts_a_text(&bytes, before as usize);
        let mut text = bytes.split_off(before as usize);
        let length = memchr::memchr(0, &text)?;
        let printable = std::str::from_utf8(text.get(..length)?)
            .ok()?
            .chars()
            .all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\x1b'));
        text.truncate(length.saturating_add(1));
        let is_text = length > 0 && (constants.texts || after_zero && length >= SHORTEST_TEXT);
        (printable && is_text).then_some(text)
    }
}

/// A section of constants.
struct Constants {
    range: Range<u64>,
    /// It holds texts and nothing else.
    texts: bool,
}

fn starts_a_text(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_none_or(|before| bytes.get(before) == Some(&0))
}

fn enter<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Option<usize>>, key: K, index: usize) {
    map.entry(key).and_modify(|known| *known = None).or_insert(Some(index));
}
