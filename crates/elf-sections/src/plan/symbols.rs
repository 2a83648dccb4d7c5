//! Symbols that are made ordinary ones.

use object::elf;

use super::Draft;
use crate::dynamic::Tag;
use crate::symbol::{Binding, RawSymbol, SymbolKind, SymbolTable};
use crate::{Class, Error, Image, SectionKind, Structure};

/// Makes unique symbols global, in both tables.
pub(super) fn make_global(draft: &mut Draft<'_, '_>) -> Result<(), Error> {
    let image = draft.image;
    let dynamic = image.dynamic_value(Tag::SYMTAB).and_then(|it| image.offset_of(it, 1));
    if let Some(start) = dynamic {
        let table = image.whole_dynamic_symbol_table();
        for (offset, new) in unique(image, &table, start) {
            draft.replace(offset, &[new])?;
        }
    }
    let section = image.sections().iter().find(|section| section.kind == SectionKind::SYMTAB);
    // A table that serves as both has been dealt with.
    let section = section.filter(|section| Some(section.offset) != dynamic);
    if let Some(section) = section {
        for (offset, new) in unique(image, &image.symbol_table(), section.offset) {
            draft.replace(offset, &[new])?;
        }
    }
    Ok(())
}

/// Where the binding of a defined unique symbol is, and what it becomes.
fn unique<'a>(
    image: &'a Image<'_>,
    table: &'a SymbolTable<'_>,
    start: u64,
) -> impl Iterator<Item = (u64, u8)> + 'a {
    let size = image.layout.symbol_size() as u64;
    (0..table.count).filter_map(move |index| {
        let raw = table.raw(index)?;
        if raw.binding() != Binding::Unique || raw.is_undefined() {
            return None;
        }
        let symbol = u64::from(index).checked_mul(size)?.checked_add(start)?;
        let offset = symbol.checked_add(info_offset(image.header().class))?;
        Some((offset, as_global(raw.info)))
    })
}

/// Gives the symbols of a name another value.
pub(super) fn move_named(draft: &mut Draft<'_, '_>, name: &[u8], to: u64) -> Result<(), Error> {
    set_values(draft, to, |table, raw| table.is_named(raw, name))
}

/// Gives the symbols that stand for a section another value.
pub(super) fn move_section(draft: &mut Draft<'_, '_>, section: u32, to: u64) -> Result<(), Error> {
    set_values(draft, to, |_, raw| {
        raw.kind() == SymbolKind::Section && u32::from(raw.section) == section
    })
}

fn set_values(
    draft: &mut Draft<'_, '_>,
    to: u64,
    is_it: impl Fn(&SymbolTable<'_>, &RawSymbol) -> bool,
) -> Result<(), Error> {
    let image = draft.image;
    let dynamic = image.dynamic_value(Tag::SYMTAB).and_then(|it| image.offset_of(it, 1));
    let section = image.sections().iter().find(|section| section.kind == SectionKind::SYMTAB);
    let tables = [
        (dynamic, image.whole_dynamic_symbol_table()),
        (section.map(|section| section.offset), image.symbol_table()),
    ];
    let layout = image.layout;
    let (size, value_at) = (layout.symbol_size() as u64, value_offset(layout.class));
    for (start, table) in tables {
        let Some(start) = start else { continue };
        for index in 0..table.count {
            let Some(raw) = table.raw(index) else { break };
            if raw.is_undefined() || !is_it(&table, &raw) {
                continue;
            }
            let offset = u64::from(index)
                .checked_mul(size)
                .and_then(|skipped| skipped.checked_add(start)?.checked_add(value_at))
                .ok_or(Error::Absent { structure: Structure::Symbols })?;
            draft.replace(offset, &layout.word_bytes(to))?;
        }
    }
    Ok(())
}

pub(crate) fn as_global(info: u8) -> u8 {
    elf::SymbolInfo::new(elf::STB_GLOBAL, elf::SymbolInfo(info).st_type()).0
}

/// Where `st_info` is in a symbol.
pub(crate) fn info_offset(class: Class) -> u64 {
    match class {
        Class::Elf32 => 12,
        Class::Elf64 => 4,
    }
}

/// Where `st_value` is in a symbol.
fn value_offset(class: Class) -> u64 {
    match class {
        Class::Elf32 => 4,
        Class::Elf64 => 8,
    }
}
