//! A Mach-O image's symbols, and the debug map that is written as some of them.

use gimli::Reader;
use object::macho;

use super::image::Image;
use crate::Error;
use crate::symbol_table::{Name, SymbolTable};

/// The addresses of the symbols of a name, ascending.
///
/// C's names have an underscore before them, which may be left out.
pub(crate) fn find(image: &Image<'_>, name: &[u8]) -> Result<Vec<u64>, Error> {
    let mut addresses = Vec::new();
    each(image, |symbol, its_name| {
        let is_defined =
            symbol.kind & macho::N_STAB == 0 && symbol.kind & macho::N_TYPE == macho::N_SECT.0;
        if is_defined && (its_name.is(name) || its_name.behind(b"_").is(name)) {
            addresses.push(symbol.value);
        }
    })?;
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// What a debug map says of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Object {
    /// The source's path, or its directory and name.
    pub(crate) source: String,
    /// The object's path, or the archive's with the member's name in brackets.
    pub(crate) path: String,
    /// When the object was modified, or 0.
    pub(crate) modified: u64,
    /// Where its functions begin and end.
    pub(crate) functions: Vec<(u64, u64)>,
}

/// The debug map: which objects were linked, and which functions are whose.
pub(crate) fn debug_map(image: &Image<'_>) -> Result<Vec<Object>, Error> {
    let mut objects: Vec<Object> = Vec::new();
    let mut current: Option<Object> = None;
    let mut function = None;
    // Every symbol may have the same long name.
    let mut left = image.source.length().unwrap_or(0).saturating_mul(2).saturating_add(1 << 20);
    each(image, |symbol, name| match macho::SymbolStab(symbol.kind) {
        macho::N_SO => {
            let name = owned(name, &mut left);
            match &mut current {
                // A directory has been named, and the source follows.
                Some(object) if object.path.is_empty() && !name.is_empty() => {
                    object.source.push_str(&name);
                }
                _ => {
                    objects.extend(current.take());
                    let source = name;
                    current = (!source.is_empty()).then(|| Object { source, ..Object::default() });
                }
            }
        }
        macho::N_OSO => {
            if let Some(object) = &mut current {
                object.path = owned(name, &mut left);
                object.modified = symbol.value;
            }
        }
        macho::N_FUN => match (function.take(), symbol.section) {
            (Some(begin), 0) => {
                if let Some(object) = &mut current {
                    object.functions.push((begin, symbol.value.saturating_add(begin)));
                }
            }
            (_, 0) => {}
            (_, _) => function = Some(symbol.value),
        },
        _ => {}
    })?;
    objects.extend(current);
    objects.retain(|object| !object.path.is_empty());
    Ok(objects)
}

/// A symbol.
struct Symbol {
    kind: u8,
    section: u8,
    value: u64,
}

fn owned(name: Name<'_>, left: &mut u64) -> String {
    let name = name.text();
    *left = left.saturating_sub(name.len() as u64);
    if *left == 0 {
        return String::new();
    }
    String::from_utf8_lossy(name).into_owned()
}

fn each(image: &Image<'_>, take: impl FnMut(&Symbol, Name<'_>)) -> Result<(), Error> {
    let Some(place) = image.symbols else { return Ok(()) };
    let table = SymbolTable {
        source: image.source,
        endian: image.endian,
        entries: (place.at, place.count.saturating_mul(if image.is_64 { 16 } else { 12 })),
        strings: (place.strings_at, place.strings_size),
    };
    table.each(|reader| symbol(reader, image.is_64), take)
}

fn symbol(reader: &mut impl Reader, is_64: bool) -> gimli::Result<(u32, Symbol)> {
    let name = reader.read_u32()?;
    let (kind, section) = (reader.read_u8()?, reader.read_u8()?);
    reader.read_u16()?;
    let value = if is_64 { reader.read_u64()? } else { u64::from(reader.read_u32()?) };
    Ok((name, Symbol { kind, section, value }))
}
