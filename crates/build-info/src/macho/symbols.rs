//! A Mach-O image's symbols, and the debug map that is written as some of them.

use gimli::{EndianSlice, Reader};
use object::macho;

use super::image::Image;
use crate::Error;
use crate::dwarf::Section;

/// The addresses of the symbols of a name, ascending.
///
/// C's names have an underscore before them, which may be left out.
pub(crate) fn find(image: &Image<'_>, name: &[u8]) -> Result<Vec<u64>, Error> {
    let mut addresses = Vec::new();
    each(image, |symbol| {
        let is_defined =
            symbol.kind & macho::N_STAB == 0 && symbol.kind & macho::N_TYPE == macho::N_SECT.0;
        let behind = symbol.strings.strip_prefix(b"_").unwrap_or_default();
        if is_defined && (is_called(symbol.strings, name) || is_called(behind, name)) {
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
    each(image, |symbol| match macho::SymbolStab(symbol.kind) {
        macho::N_SO => {
            let name = symbol.name(&mut left);
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
                object.path = symbol.name(&mut left);
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
struct Symbol<'a> {
    /// What begins with its name.
    strings: &'a [u8],
    kind: u8,
    section: u8,
    value: u64,
}

impl Symbol<'_> {
    fn name(&self, left: &mut u64) -> String {
        let some = self.strings.get(..LONGEST_NAME).unwrap_or(self.strings);
        let name = some.split(|&byte| byte == 0).next().unwrap_or_default();
        *left = left.saturating_sub(name.len() as u64);
        if *left == 0 {
            return String::new();
        }
        String::from_utf8_lossy(name).into_owned()
    }
}

fn is_called(strings: &[u8], name: &[u8]) -> bool {
    strings.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0))
}

fn each(image: &Image<'_>, mut take: impl FnMut(&Symbol<'_>)) -> Result<(), Error> {
    let Some(place) = image.symbols else { return Ok(()) };
    let size = place.count.saturating_mul(if image.is_64 { 16 } else { 12 });
    let mut table = Section::plain("symbol table", image.source, place.at, size)?;
    let (at, size) = (place.strings_at, place.strings_size);
    let mut strings = Section::plain("symbol names", image.source, at, size)?;
    let strings = strings.all()?;
    let mut reader = EndianSlice::new(table.all()?, image.endian);
    while let Ok((name, mut symbol)) = symbol(&mut reader, image.is_64) {
        let name = usize::try_from(name).ok().and_then(|at| strings.get(at..));
        symbol.strings = name.unwrap_or_default();
        take(&symbol);
    }
    Ok(())
}

fn symbol<'a>(reader: &mut impl Reader, is_64: bool) -> gimli::Result<(u32, Symbol<'a>)> {
    let name = reader.read_u32()?;
    let (kind, section) = (reader.read_u8()?, reader.read_u8()?);
    reader.read_u16()?;
    let value = if is_64 { reader.read_u64()? } else { u64::from(reader.read_u32()?) };
    Ok((name, Symbol { strings: &[], kind, section, value }))
}

/// Of a path.
const LONGEST_NAME: usize = 4096;
