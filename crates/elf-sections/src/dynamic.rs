//! The dynamic table: what the image tells the loader.

use std::ops::Range;

use object::elf;

/// An entry of the dynamic table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dynamic {
    /// What the value means.
    pub tag: Tag,
    /// An address, a size, an offset in the dynamic strings or flags, depending on the tag.
    pub value: u64,
    /// The entry's offset in the file.
    pub offset: u64,
}

/// `d_tag`: what an entry of the dynamic table means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub i64);

/// Names the tags that this crate reads, each by the specification's word.
macro_rules! tags {
    ($($name:ident = $constant:ident: $doc:literal,)*) => {
        impl Tag {
            $(
                #[doc = concat!("`", stringify!($constant), "`: ", $doc, ".")]
                pub const $name: Tag = Tag(elf::$constant.0);
            )*
        }
    };
}

tags! {
    NULL = DT_NULL: "the end of the table",
    NEEDED = DT_NEEDED: "the name of a library that must be loaded",
    SONAME = DT_SONAME: "the image's own name",
    RPATH = DT_RPATH: "where to look for libraries, before the environment",
    RUNPATH = DT_RUNPATH: "where to look for libraries, after the environment",
    STRTAB = DT_STRTAB: "the address of the dynamic strings",
    STRSZ = DT_STRSZ: "their size",
    SYMTAB = DT_SYMTAB: "the address of the dynamic symbols",
    SYMENT = DT_SYMENT: "the size of one",
    HASH = DT_HASH: "the address of the System V hash table",
    GNU_HASH = DT_GNU_HASH: "the address of the GNU hash table",
    RELA = DT_RELA: "the address of the relocations with addends",
    RELASZ = DT_RELASZ: "their size",
    RELAENT = DT_RELAENT: "the size of one",
    RELACOUNT = DT_RELACOUNT: "how many of them are relative, which come first",
    REL = DT_REL: "the address of the relocations without addends",
    RELSZ = DT_RELSZ: "their size",
    RELENT = DT_RELENT: "the size of one",
    RELCOUNT = DT_RELCOUNT: "how many of them are relative, which come first",
    RELR = DT_RELR: "the address of the packed relative relocations",
    RELRSZ = DT_RELRSZ: "their size",
    RELRENT = DT_RELRENT: "the size of one word of them",
    JMPREL = DT_JMPREL: "the address of the procedure linkage table's relocations",
    PLTRELSZ = DT_PLTRELSZ: "their size",
    PLTREL = DT_PLTREL: "whether they have addends: `DT_RELA` or `DT_REL`",
    PLTGOT = DT_PLTGOT: "the address of the procedure linkage table's GOT",
    INIT = DT_INIT: "the address of the first initialiser",
    INIT_ARRAY = DT_INIT_ARRAY: "the address of the array of initialisers",
    INIT_ARRAYSZ = DT_INIT_ARRAYSZ: "its size in bytes",
    FINI = DT_FINI: "the address of the last finaliser",
    FINI_ARRAY = DT_FINI_ARRAY: "the address of the array of finalisers",
    FINI_ARRAYSZ = DT_FINI_ARRAYSZ: "its size in bytes",
    VERSYM = DT_VERSYM: "the address of the versions of the dynamic symbols",
    VERNEED = DT_VERNEED: "the address of the versions wanted from other images",
    VERDEF = DT_VERDEF: "the address of the versions that the image defines",
    FLAGS = DT_FLAGS: "flags, `DF_*`",
    FLAGS_1 = DT_FLAGS_1: "more flags, `DF_1_*`",
    TEXTREL = DT_TEXTREL: "relocations may be in segments that are not writable",
    AUXILIARY = DT_AUXILIARY: "a library whose symbols come before the image's own",
    FILTER = DT_FILTER: "a library whose symbols take the place of the image's own",
    CONFIG = DT_CONFIG: "the name of a configuration file",
    DEPAUDIT = DT_DEPAUDIT: "libraries that watch the loading of those that are needed",
    AUDIT = DT_AUDIT: "libraries that watch the loading of the image",
}

/// What the loader calls once an image is relocated, or before it is unmapped.
///
/// The array is an array of words, each the address of a function once it has been relocated.
/// Initialisers are called `function` first, then the array from its start; finalisers the array
/// from its end, then `function`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Routines {
    /// `DT_INIT` or `DT_FINI`: the address of a function, before the load bias is added.
    pub function: Option<u64>,
    /// `DT_INIT_ARRAY` or `DT_FINI_ARRAY`: the addresses that the array occupies, before the load
    /// bias is added.
    pub array: Option<Range<u64>>,
}

impl Routines {
    /// Whether there is nothing to call.
    pub fn is_empty(&self) -> bool {
        self.function.is_none() && self.array.as_ref().is_none_or(Range::is_empty)
    }
}
