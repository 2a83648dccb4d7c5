//! The dynamic table, and that every table it speaks of is where it says.

use super::{check_code, check_table, holes, is_segment, read};
use crate::dynamic::{Routines, Tag};
use crate::{Error, Image, SegmentKind, Structure};

/// What the other checks go on with.
pub(super) struct Dynamics<'data> {
    pub(super) strings: &'data [u8],
}

pub(super) fn check<'data>(image: &Image<'data>) -> Result<Dynamics<'data>, Error> {
    check_position(image)?;
    let strings = check_strings(image)?;
    check_symbols(image)?;
    check_names(image, strings)?;
    check_partners(image)?;
    check_routines(image, &image.initializers(), Structure::Initializers)?;
    check_routines(image, &image.finalizers(), Structure::Finalizers)?;
    Ok(Dynamics { strings })
}

/// The table must be mapped where it says, be writable if it claims to be, and end.
fn check_position(image: &Image<'_>) -> Result<(), Error> {
    let structure = Structure::DynamicTable;
    let Some(segment) = image.segments().iter().find(is_segment(SegmentKind::DYNAMIC)) else {
        return Err(Error::Absent { structure });
    };
    let wrong = |what, found| Error::Malformed { structure, at: segment.address, what, found };
    let size = segment.file_size;
    read(image, structure, segment.address, size.max(1))?;
    if image.offset_of(segment.address, size) != Some(segment.offset) {
        return Err(wrong("not where its segment is", segment.offset));
    }
    holes::check(image, structure, segment.offset..segment.offset.saturating_add(size))?;
    if image.dynamic().is_empty() {
        return Err(Error::ZeroFilled { structure, offset: segment.offset });
    }
    // The loader writes into a table that is writable by its own header.
    let is_mapped_writable = image.loads().any(|load| {
        load.permissions.is_writable() && load.contains(segment.address, segment.memory_size)
    });
    if segment.permissions.is_writable() && !is_mapped_writable {
        return Err(wrong("in a segment that is not writable", size));
    }
    let entry_size = image.layout.dynamic_size() as u64;
    let used = (image.dynamic().len() as u64).saturating_add(1).saturating_mul(entry_size);
    if used > size {
        return Err(wrong("has no end", size));
    }
    Ok(())
}

fn check_strings<'data>(image: &Image<'data>) -> Result<&'data [u8], Error> {
    let structure = Structure::DynamicStrings;
    let (Some(address), Some(size)) =
        (image.dynamic_value(Tag::STRTAB), image.dynamic_value(Tag::STRSZ))
    else {
        return Err(Error::Absent { structure });
    };
    let strings = check_table(image, structure, Tag::STRTAB, size)?;
    if let Some(offset) = image.offset_of(address, size) {
        holes::check(image, structure, offset..offset.saturating_add(size))?;
    }
    // With this, every string that starts inside the table also ends inside it.
    if strings.last() != Some(&0) {
        let (at, what) = (address, "the last string does not end");
        return Err(Error::Malformed { structure, at, what, found: size });
    }
    Ok(strings)
}

fn check_symbols(image: &Image<'_>) -> Result<(), Error> {
    let structure = Structure::DynamicSymbols;
    let size = image.layout.symbol_size() as u64;
    let Some(address) = image.dynamic_value(Tag::SYMTAB) else {
        return Err(Error::Absent { structure });
    };
    check_entry_size(image, structure, Tag::SYMENT, size)?;
    check_table(image, structure, Tag::SYMTAB, size)?;
    let table = image.dynamic_symbol_table();
    let length = u64::from(table.count).saturating_mul(size);
    if let Some(offset) = image.offset_of(address, length) {
        holes::check(image, structure, offset..offset.saturating_add(length))?;
    }
    Ok(())
}

fn check_names(image: &Image<'_>, strings: &[u8]) -> Result<(), Error> {
    let structure = Structure::DynamicStrings;
    let named = [Tag::NEEDED, Tag::SONAME, Tag::RPATH, Tag::RUNPATH, Tag::AUXILIARY, Tag::FILTER];
    for entry in image.dynamic().iter().filter(|entry| named.contains(&entry.tag)) {
        let at = entry.offset;
        let first = usize::try_from(entry.value).ok().and_then(|start| strings.get(start));
        let Some(&first) = first else {
            let what = "a name lies outside of them";
            return Err(Error::Malformed { structure, at, what, found: entry.value });
        };
        if first == 0 && entry.tag == Tag::NEEDED {
            return Err(Error::ZeroFilled { structure, offset: at });
        }
    }
    Ok(())
}

/// A loader that finds a table's address looks at its size without asking whether there is one.
fn check_partners(image: &Image<'_>) -> Result<(), Error> {
    let partners = [
        (Tag::RELA, Tag::RELASZ),
        (Tag::REL, Tag::RELSZ),
        (Tag::RELR, Tag::RELRSZ),
        (Tag::JMPREL, Tag::PLTRELSZ),
        (Tag::PLTREL, Tag::PLTRELSZ),
        (Tag::PLTREL, Tag::JMPREL),
        (Tag::INIT_ARRAY, Tag::INIT_ARRAYSZ),
        (Tag::FINI_ARRAY, Tag::FINI_ARRAYSZ),
        (Tag::VERNEED, Tag::VERSYM),
        (Tag::VERDEF, Tag::VERSYM),
    ];
    for (tag, partner) in partners {
        if image.dynamic_value(tag).is_some() && image.dynamic_value(partner).is_none() {
            let (structure, what) = (Structure::DynamicTable, "an entry without its partner");
            let (at, found) = (tag.0.unsigned_abs(), partner.0.unsigned_abs());
            return Err(Error::Malformed { structure, at, what, found });
        }
    }
    Ok(())
}

fn check_routines(
    image: &Image<'_>,
    routines: &Routines,
    structure: Structure,
) -> Result<(), Error> {
    if let Some(address) = routines.function {
        check_code(image, structure, address)?;
    }
    if let Some(array) = &routines.array {
        let (at, found) = (array.start, array.end.saturating_sub(array.start));
        let word = image.header().class.word_size();
        read(image, structure, at, found)?;
        if found.checked_rem(word) != Some(0) {
            let what = "its size is no multiple of a word's";
            return Err(Error::Malformed { structure, at, what, found });
        }
    }
    Ok(())
}

/// Loaders stop the process where an entry's size is not the one that they were built with.
pub(super) fn check_entry_size(
    image: &Image<'_>,
    structure: Structure,
    tag: Tag,
    expected: u64,
) -> Result<(), Error> {
    match image.dynamic_value(tag) {
        Some(size) if size == expected => Ok(()),
        found => {
            let (what, found) = ("entries of another size", found.unwrap_or(0));
            Err(Error::Malformed { structure, at: tag.0.unsigned_abs(), what, found })
        }
    }
}
