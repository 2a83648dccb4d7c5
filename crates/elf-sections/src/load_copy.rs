//! The edits that make a copy of an image load beside its predecessor, and unload again.

use object::elf;
use patch_plan::Plan;

use crate::dynamic::{Routines, Tag};
use crate::plan::{as_global, info_offset};
use crate::symbol::Binding;
use crate::{Error, Image, Structure};

/// What to change in a copy that is about to be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadCopyOptions {
    /// Make the image's unique symbols ordinary global ones, so that each copy has storage of its
    /// own and can be unloaded. On by default.
    pub localize_unique: bool,
    /// Take the flag away that forbids unloading. On by default.
    pub allow_unload: bool,
    /// Keep the loader from calling initialisers and finalisers, for a caller that calls them
    /// itself, outside the loader's lock. Off by default.
    pub defer_initializers: bool,
}

impl Default for LoadCopyOptions {
    fn default() -> LoadCopyOptions {
        LoadCopyOptions { localize_unique: true, allow_unload: true, defer_initializers: false }
    }
}

/// What [`plan_load_copy`] found, and would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadCopy {
    /// The edits; empty if the image loads well as it is.
    pub plan: Plan,
    /// The unique symbols that the image defines, whether or not they are changed.
    pub unique_symbols: Vec<String>,
    /// Whether the image forbids unloading, whether or not that is changed.
    pub nodelete: bool,
    /// What has to be called once the image is loaded. It is the caller's task if
    /// [`LoadCopyOptions::defer_initializers`] is set, and the loader's otherwise.
    pub initializers: Routines,
    /// What has to be called before the image is unloaded, likewise.
    pub finalizers: Routines,
}

/// Plans the edits of a copy of `image` that is about to be loaded.
///
/// - **Unique symbols.** g++ gives inline variables, and statics of inline functions and templates,
///   the binding `STB_GNU_UNIQUE`. glibc then keeps one definition for the whole process: a second
///   version of a library works on the first one's variables, and the first can never be unloaded.
///   Their binding becomes `STB_GLOBAL` in the dynamic symbol table; references inside a copy that
///   is loaded with `RTLD_LOCAL` then lead to the copy itself, unless the host or a library that
///   was loaded globally defines the same name. A library that is loaded *together* with a copy
///   looks into the copy first, as with any global symbol; if it finds a definition there, the
///   copy stays for as long as that library. A host that loads the C++ runtime before its first
///   guest rules that out.
/// - **`DF_1_NODELETE`** (`-z nodelete`) is taken off `DT_FLAGS_1`.
/// - **Initialisers and finalisers**, if they are to be deferred: `DT_INIT` and `DT_FINI` get the
///   tag [`DEFERRED_TAG`](LoadCopy::DEFERRED_TAG), which loaders pass over, and the sizes of
///   `DT_INIT_ARRAY` and `DT_FINI_ARRAY` become 0. The arrays stay where they are and are still
///   relocated, so that after loading they hold the addresses to call. Finalisers include the
///   compiler's own, which calls `__cxa_finalize` for the destructors of the image's objects.
///
/// # Errors
///
/// [`Error::Absent`] for an image without a dynamic table, and [`Error::Short`] where the table of
/// dynamic symbols ends too early.
pub fn plan_load_copy(image: &Image<'_>, options: &LoadCopyOptions) -> Result<LoadCopy, Error> {
    if image.dynamic().is_empty() {
        return Err(Error::Absent { structure: Structure::DynamicTable });
    }
    let mut copy = LoadCopy {
        plan: Plan::new(),
        unique_symbols: Vec::new(),
        nodelete: image.is_nodelete(),
        initializers: image.initializers(),
        finalizers: image.finalizers(),
    };
    unique_symbols(image, options, &mut copy)?;
    let nodelete = elf::DF_1_NODELETE.0;
    for entry in image.dynamic() {
        match entry.tag {
            Tag::FLAGS_1 if options.allow_unload && entry.value & nodelete != 0 => {
                replace_value(image, &mut copy.plan, entry.offset, entry.value & !nodelete)?;
            }
            Tag::INIT | Tag::FINI if options.defer_initializers => {
                replace_word(image, &mut copy.plan, entry.offset, LoadCopy::DEFERRED_TAG)?;
            }
            Tag::INIT_ARRAYSZ | Tag::FINI_ARRAYSZ
                if options.defer_initializers && entry.value != 0 =>
            {
                replace_value(image, &mut copy.plan, entry.offset, 0)?;
            }
            _ => {}
        }
    }
    Ok(copy)
}

impl LoadCopy {
    /// The tag that stands in for `DT_INIT` and `DT_FINI` where they are deferred.
    ///
    /// It lies in the range that the gABI leaves to operating systems (`DT_LOOS` to `DT_HIOS`) and
    /// none has given a meaning to it; glibc, musl and FreeBSD's loader pass over tags that they
    /// do not know.
    pub const DEFERRED_TAG: u64 = 0x6000_1d17;
}

fn unique_symbols(
    image: &Image<'_>,
    options: &LoadCopyOptions,
    copy: &mut LoadCopy,
) -> Result<(), Error> {
    let table = image.whole_dynamic_symbol_table();
    let Some(address) = image.dynamic_value(Tag::SYMTAB) else { return Ok(()) };
    let size = image.layout.symbol_size() as u64;
    for index in 0..table.count {
        let Some(raw) = table.raw(index) else { break };
        if raw.binding() != Binding::Unique || raw.is_undefined() {
            continue;
        }
        copy.unique_symbols.push(String::from_utf8_lossy(table.name(&raw)).into_owned());
        if !options.localize_unique {
            continue;
        }
        let offset = u64::from(index)
            .checked_mul(size)
            .and_then(|skipped| skipped.checked_add(address))
            .and_then(|address| image.offset_of(address, size))
            .and_then(|offset| offset.checked_add(info_offset(image.header().class)))
            .ok_or(short(image, Structure::DynamicSymbols, address, size))?;
        add(&mut copy.plan, offset, &[raw.info], &[as_global(raw.info)])?;
    }
    Ok(())
}

/// Replaces the value of the dynamic entry at an offset.
fn replace_value(image: &Image<'_>, plan: &mut Plan, entry: u64, new: u64) -> Result<(), Error> {
    let word = image.header().class.word_size();
    let offset =
        entry.checked_add(word).ok_or(short(image, Structure::DynamicTable, entry, word))?;
    replace_word(image, plan, offset, new)
}

fn replace_word(image: &Image<'_>, plan: &mut Plan, offset: u64, new: u64) -> Result<(), Error> {
    let size = image.layout.word_size();
    let old = image.data.get(offset, size as u64).ok_or(short(
        image,
        Structure::DynamicTable,
        offset,
        size as u64,
    ))?;
    add(plan, offset, old, &image.layout.word_bytes(new))
}

/// Two edits of one byte mean two structures that share it, which no linker writes.
fn add(plan: &mut Plan, offset: u64, old: &[u8], new: &[u8]) -> Result<(), Error> {
    match plan.edit(offset, old, new) {
        Ok(_) => Ok(()),
        Err(_) => {
            let (structure, what) = (Structure::DynamicTable, "overlaps the dynamic symbols");
            Err(Error::Malformed { structure, at: offset, what, found: old.len() as u64 })
        }
    }
}

fn short(image: &Image<'_>, structure: Structure, offset: u64, wanted: u64) -> Error {
    Error::Short { structure, wanted, offset, end: image.data.len() }
}
