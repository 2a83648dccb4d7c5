//! The dynamic symbols that the loader may come across.

use super::check_code;
use crate::dynamic::Tag;
use crate::symbol::SymbolKind;
use crate::{Error, Image, Structure};

/// One pass over the table. `highest` is the highest index that a relocation names.
pub(super) fn check(
    image: &Image<'_>,
    highest: u32,
    last_version: Option<u16>,
) -> Result<(), Error> {
    let structure = Structure::DynamicSymbols;
    let mut table = image.dynamic_symbol_table();
    let address = image.dynamic_value(Tag::SYMTAB).unwrap_or(0);
    let wrong = |what, found: u32| Error::Malformed {
        structure,
        at: address,
        what,
        found: u64::from(found),
    };
    if !image.is_dynamic_symbol_count_exact() {
        table.count = table.count.max(highest.saturating_add(1)).min(table.capacity());
    }
    if highest >= table.count && highest != 0 {
        return Err(wrong("a relocation names a symbol that there is not", highest));
    }
    let versions = match last_version {
        Some(_) => versions(image, table.count)?,
        None => &[],
    };
    let mut versions = versions.chunks_exact(2);
    for index in 0..table.count {
        let Some(raw) = table.raw(index) else {
            return Err(wrong("not inside the file's part of a segment", index));
        };
        if index != 0 && raw.is_zero() {
            let skipped = u64::from(index).saturating_mul(image.layout.symbol_size() as u64);
            let offset = image.offset_of(address.saturating_add(skipped), 1).unwrap_or(0);
            return Err(Error::ZeroFilled { structure, offset });
        }
        if raw.name as usize >= table.strings.len() {
            return Err(wrong("a name lies outside of the dynamic strings", raw.name));
        }
        // The loader calls an indirect function to learn the address it is to use.
        if raw.kind() == SymbolKind::IndirectFunction && !raw.is_undefined() && !raw.is_absolute() {
            check_code(image, structure, raw.value)?;
        }
        let version = versions.next().and_then(|entry| image.layout.u16(entry));
        if let (Some(version), Some(last)) = (version, last_version)
            && version & INDEX > last
        {
            let (structure, what) = (Structure::SymbolVersions, "a version that is not defined");
            return Err(Error::Malformed { structure, at: address, what, found: version.into() });
        }
    }
    Ok(())
}

fn versions<'data>(image: &Image<'data>, count: u32) -> Result<&'data [u8], Error> {
    let size = u64::from(count).saturating_mul(2);
    super::check_table(image, Structure::SymbolVersions, Tag::VERSYM, size)
}

/// The bits of a version that are its index; the highest hides it.
const INDEX: u16 = 0x7fff;
