//! An ELF image's symbols.

use std::collections::HashMap;

use gimli::Reader;
use object::elf;

use super::image::{Image, Part};
use crate::dwarf::Claimed;
use crate::symbol_table::{Name, SymbolTable};
use crate::{Error, Fact, Kind, Provenance, Unit, UnitId};

/// The addresses of the symbols of a name, ascending.
pub(crate) fn find(image: &Image<'_>, name: &[u8]) -> Result<Vec<u64>, Error> {
    let mut addresses = Vec::new();
    for part in tables(image, |part| part.kind == elf::SHT_SYMTAB || part.kind == elf::SHT_DYNSYM) {
        each(image, part, |symbol, its_name| {
            if its_name.is(name) && symbol.section != elf::SHN_UNDEF.0 && !symbol.is_file() {
                addresses.push(symbol.value);
            }
        })?;
    }
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// Units by the names of their sources alone, from an image that has nothing else, and what the
/// symbols that only they know claim.
pub(crate) fn units(image: &Image<'_>) -> Result<(Vec<Unit>, Vec<Claimed>), Error> {
    let (mut units, mut claims): (Vec<Unit>, Vec<Claimed>) = (Vec::new(), Vec::new());
    let mut current = None;
    // Every symbol may have the same long name.
    let mut left = image.source.length().unwrap_or(0).saturating_mul(2).saturating_add(1 << 20);
    for part in tables(image, |part| part.kind == elf::SHT_SYMTAB) {
        each(image, part, |symbol, name| {
            if symbol.is_file() {
                // One without a name ends what comes from files.
                let name = name.text();
                left = left.saturating_sub(name.len() as u64);
                current = UnitId::after(&units).filter(|_| !name.is_empty() && left > 0);
                if current.is_some() {
                    let name = String::from_utf8_lossy(name).into_owned();
                    let runtime = matches!(name.as_str(), "crtstuff.c" | "start.S" | "crti.o");
                    let provenance = Provenance::Derived;
                    units.push(Unit {
                        source: Some(Fact { value: name, provenance }),
                        kind: if runtime { Kind::Runtime } else { Kind::Source },
                        target: image.target().map(str::to_owned),
                        ..Unit::default()
                    });
                }
            } else if let Some(unit) = current
                && symbol.is_local()
                && symbol.kind() == elf::STT_FUNC.0
                && symbol.size > 0
            {
                let end = symbol.value.saturating_add(symbol.size);
                claims.push(Claimed { begin: symbol.value, end, unit });
            }
        })?;
    }
    Ok((units, claims))
}

/// The sources that symbols are listed under and that no unit is of, in the order of the symbols:
/// they were compiled without debug information.
pub(crate) fn undescribed(image: &Image<'_>, units: &[Unit]) -> Result<Vec<String>, Error> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut described: HashMap<String, usize> = HashMap::new();
    for source in units.iter().filter_map(|unit| unit.source.as_ref()) {
        let count = described.entry(last(&source.value)).or_default();
        *count = count.saturating_add(1);
    }
    let mut found = Vec::new();
    for part in tables(image, |part| part.kind == elf::SHT_SYMTAB) {
        each(image, part, |symbol, name| {
            if !symbol.is_file() || found.len() >= MOST_UNDESCRIBED {
                return;
            }
            let name = last(&String::from_utf8_lossy(name.text()));
            match described.get_mut(&name) {
                Some(left) if *left > 0 => *left = left.saturating_sub(1),
                _ if is_of_a_source(&name) => found.push(name),
                _ => {}
            }
        })?;
    }
    Ok(found)
}

/// Whether a file that symbols are listed under is a source of somebody's: start files have no
/// debug information anywhere, and a whole program's code, an object or a part of a crate is none.
fn is_of_a_source(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    !matches!(name, "crtstuff.c" | "start.S") && is_short_word(extension) && extension != "o"
}

/// As extensions of sources are: `c`, `S`, `cpp`, `f90`.
fn is_short_word(word: &str) -> bool {
    (1..=4).contains(&word.len())
        && word.starts_with(|it: char| it.is_ascii_alphabetic())
        && word.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'+')
}

/// More of them nobody reads.
const MOST_UNDESCRIBED: usize = 1 << 12;

impl UnitId {
    /// The number of the unit that comes after those.
    fn after(units: &[Unit]) -> Option<Self> {
        u32::try_from(units.len()).ok().map(UnitId)
    }
}

/// A symbol.
struct Symbol {
    value: u64,
    size: u64,
    info: u8,
    section: u16,
}

impl Symbol {
    fn kind(&self) -> u8 {
        self.info & 0xf
    }

    fn is_file(&self) -> bool {
        self.kind() == elf::STT_FILE.0
    }

    fn is_local(&self) -> bool {
        self.info >> 4 == elf::STB_LOCAL.0
    }
}

/// The symbol tables of a kind, as many as a file has room for: any number of headers can say that
/// their table is at one place.
fn tables<'i>(
    image: &'i Image<'_>,
    wanted: impl Fn(&Part) -> bool,
) -> impl Iterator<Item = &'i Part> {
    let length = image.source.length().unwrap_or(0);
    let mut left = length.saturating_mul(2);
    image.parts.iter().filter(move |part| wanted(part)).take_while(move |part| {
        // One that goes on behind the end is an error of its own.
        let rest = left.checked_sub(part.size.min(length));
        left = rest.unwrap_or(0);
        rest.is_some()
    })
}

fn each(image: &Image<'_>, part: &Part, take: impl FnMut(&Symbol, Name<'_>)) -> Result<(), Error> {
    let Some(strings) = image.parts.get(part.link) else { return Ok(()) };
    let table = SymbolTable {
        source: image.source,
        endian: image.endian,
        entries: (part.offset, part.size),
        strings: (strings.offset, strings.size),
    };
    table.each(|reader| symbol(reader, image.is_64), take)
}

fn symbol(reader: &mut impl Reader, is_64: bool) -> gimli::Result<(u32, Symbol)> {
    let name = reader.read_u32()?;
    let (value, size, info, section);
    if is_64 {
        info = reader.read_u8()?;
        reader.read_u8()?;
        section = reader.read_u16()?;
        value = reader.read_u64()?;
        size = reader.read_u64()?;
    } else {
        value = u64::from(reader.read_u32()?);
        size = u64::from(reader.read_u32()?);
        info = reader.read_u8()?;
        reader.read_u8()?;
        section = reader.read_u16()?;
    }
    Ok((name, Symbol { value, size, info, section }))
}
