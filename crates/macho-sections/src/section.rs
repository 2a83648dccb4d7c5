//! Section headers: the linker's names for parts of a segment.

use std::ops::Range;

use object::macho;

/// A section.
///
/// It is known by its segment's name and its own. Neither needs to be unique in a hostile or hand
/// made image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Section<'data> {
    /// Its place among the image's sections. Symbols count from 1, here it is from 0.
    pub index: u32,
    /// `sectname`, up to the first NUL; all 16 bytes may be used.
    pub name: &'data [u8],
    /// `segname`: the segment it belongs to, which in an object file is the one it will be put
    /// into.
    pub segment_name: &'data [u8],
    /// The place of the segment whose command holds it.
    pub segment: u32,
    /// The type, from the low eight bits of `flags`.
    pub kind: SectionKind,
    /// The attributes: the other 24 bits of `flags`, where they stand there.
    pub flags: SectionFlags,
    /// `addr`: where it is in memory, before the slide is added.
    pub address: u64,
    /// `offset`: where its bytes start in the image; meaningless if it is
    /// [zero-fill](Section::is_zero_fill).
    pub offset: u64,
    /// `size`: how many bytes it has in memory and, unless it is zero-fill, in the image.
    pub size: u64,
    /// `align`: the power of two it is aligned to.
    pub align: u32,
    /// `reloff`: where its relocations are, in an object file.
    pub relocations: u32,
    /// `nreloc`: how many relocations it has.
    pub relocation_count: u32,
    /// `reserved1`: for symbol pointers and stubs, the index of the first in the table of indirect
    /// symbols.
    pub reserved1: u32,
    /// `reserved2`: for stubs, the size of one.
    pub reserved2: u32,
}

impl Section<'_> {
    /// Its addresses, before the slide is added. Empty where they would wrap around.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.checked_add(self.size).unwrap_or(self.address)
    }

    /// Whether it is zeros in memory and nothing in the file.
    pub fn is_zero_fill(&self) -> bool {
        matches!(
            self.kind,
            SectionKind::ZEROFILL | SectionKind::GB_ZEROFILL | SectionKind::THREAD_LOCAL_ZEROFILL
        )
    }

    /// Whether it belongs to thread-local storage: initial values, or what leads to them.
    pub fn is_thread_local(&self) -> bool {
        matches!(
            self.kind,
            SectionKind::THREAD_LOCAL_REGULAR
                | SectionKind::THREAD_LOCAL_ZEROFILL
                | SectionKind::THREAD_LOCAL_VARIABLES
                | SectionKind::THREAD_LOCAL_VARIABLE_POINTERS
                | SectionKind::THREAD_LOCAL_INIT_FUNCTION_POINTERS
        )
    }
}

/// The type of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SectionKind(pub u8);

impl SectionKind {
    /// `S_REGULAR`: nothing special.
    pub const REGULAR: SectionKind = SectionKind(macho::S_REGULAR.0);
    /// `S_ZEROFILL`: zeros, not in the file: `__bss` and `__common`.
    pub const ZEROFILL: SectionKind = SectionKind(macho::S_ZEROFILL.0);
    /// `S_CSTRING_LITERALS`: strings that end in NUL.
    pub const CSTRING_LITERALS: SectionKind = SectionKind(macho::S_CSTRING_LITERALS.0);
    /// `S_4BYTE_LITERALS`: constants of four bytes.
    pub const FOUR_BYTE_LITERALS: SectionKind = SectionKind(macho::S_4BYTE_LITERALS.0);
    /// `S_8BYTE_LITERALS`: constants of eight bytes.
    pub const EIGHT_BYTE_LITERALS: SectionKind = SectionKind(macho::S_8BYTE_LITERALS.0);
    /// `S_LITERAL_POINTERS`: pointers to literals, which the runtime makes unique.
    pub const LITERAL_POINTERS: SectionKind = SectionKind(macho::S_LITERAL_POINTERS.0);
    /// `S_16BYTE_LITERALS`: constants of sixteen bytes.
    pub const SIXTEEN_BYTE_LITERALS: SectionKind = SectionKind(macho::S_16BYTE_LITERALS.0);
    /// `S_NON_LAZY_SYMBOL_POINTERS`: addresses that are bound at load.
    pub const NON_LAZY_SYMBOL_POINTERS: SectionKind =
        SectionKind(macho::S_NON_LAZY_SYMBOL_POINTERS.0);
    /// `S_LAZY_SYMBOL_POINTERS`: addresses that are bound at the first call.
    pub const LAZY_SYMBOL_POINTERS: SectionKind = SectionKind(macho::S_LAZY_SYMBOL_POINTERS.0);
    /// `S_SYMBOL_STUBS`: code that jumps through a symbol pointer.
    pub const SYMBOL_STUBS: SectionKind = SectionKind(macho::S_SYMBOL_STUBS.0);
    /// `S_MOD_INIT_FUNC_POINTERS`: initialisers.
    pub const MOD_INIT_FUNC_POINTERS: SectionKind = SectionKind(macho::S_MOD_INIT_FUNC_POINTERS.0);
    /// `S_MOD_TERM_FUNC_POINTERS`: finalisers.
    pub const MOD_TERM_FUNC_POINTERS: SectionKind = SectionKind(macho::S_MOD_TERM_FUNC_POINTERS.0);
    /// `S_COALESCED`: definitions of which the linker keeps one.
    pub const COALESCED: SectionKind = SectionKind(macho::S_COALESCED.0);
    /// `S_GB_ZEROFILL`: zeros that may be gigabytes.
    pub const GB_ZEROFILL: SectionKind = SectionKind(macho::S_GB_ZEROFILL.0);
    /// `S_INTERPOSING`: pairs of functions to be replaced by one another.
    pub const INTERPOSING: SectionKind = SectionKind(macho::S_INTERPOSING.0);
    /// `S_LAZY_DYLIB_SYMBOL_POINTERS`: lazy pointers into lazily loaded libraries.
    pub const LAZY_DYLIB_SYMBOL_POINTERS: SectionKind =
        SectionKind(macho::S_LAZY_DYLIB_SYMBOL_POINTERS.0);
    /// `S_THREAD_LOCAL_REGULAR`: initial values of thread-local variables.
    pub const THREAD_LOCAL_REGULAR: SectionKind = SectionKind(macho::S_THREAD_LOCAL_REGULAR.0);
    /// `S_THREAD_LOCAL_ZEROFILL`: thread-local variables that start as zero.
    pub const THREAD_LOCAL_ZEROFILL: SectionKind = SectionKind(macho::S_THREAD_LOCAL_ZEROFILL.0);
    /// `S_THREAD_LOCAL_VARIABLES`: the descriptors through which code finds the variables.
    pub const THREAD_LOCAL_VARIABLES: SectionKind = SectionKind(macho::S_THREAD_LOCAL_VARIABLES.0);
    /// `S_THREAD_LOCAL_VARIABLE_POINTERS`: pointers to descriptors.
    pub const THREAD_LOCAL_VARIABLE_POINTERS: SectionKind =
        SectionKind(macho::S_THREAD_LOCAL_VARIABLE_POINTERS.0);
    /// `S_THREAD_LOCAL_INIT_FUNCTION_POINTERS`: initialisers of thread-local variables.
    pub const THREAD_LOCAL_INIT_FUNCTION_POINTERS: SectionKind =
        SectionKind(macho::S_THREAD_LOCAL_INIT_FUNCTION_POINTERS.0);
    /// `S_INIT_FUNC_OFFSETS`: initialisers, as offsets.
    pub const INIT_FUNC_OFFSETS: SectionKind = SectionKind(macho::S_INIT_FUNC_OFFSETS.0);
}

/// The attributes of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SectionFlags(pub u32);

impl SectionFlags {
    /// `S_ATTR_PURE_INSTRUCTIONS` or `S_ATTR_SOME_INSTRUCTIONS`: it has code.
    pub fn has_instructions(self) -> bool {
        self.0 & (macho::S_ATTR_PURE_INSTRUCTIONS.0 | macho::S_ATTR_SOME_INSTRUCTIONS.0) != 0
    }

    /// `S_ATTR_DEBUG`: it is for debuggers, and is not loaded.
    pub fn is_debug(self) -> bool {
        self.0 & macho::S_ATTR_DEBUG.0 != 0
    }

    /// `S_ATTR_SELF_MODIFYING_CODE`: its code is written by the loader.
    pub fn is_self_modifying(self) -> bool {
        self.0 & macho::S_ATTR_SELF_MODIFYING_CODE.0 != 0
    }

    /// `S_ATTR_NO_DEAD_STRIP`: the linker keeps it even if nothing refers to it.
    pub fn is_kept(self) -> bool {
        self.0 & macho::S_ATTR_NO_DEAD_STRIP.0 != 0
    }
}
