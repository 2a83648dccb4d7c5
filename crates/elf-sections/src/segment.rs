//! Program headers: what the loader maps, and what it is told besides.

use std::ops::Range;

use object::elf;

/// A program header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    /// `p_type`.
    pub kind: SegmentKind,
    /// `p_flags`.
    pub permissions: Permissions,
    /// `p_offset`: where its bytes start in the file.
    pub offset: u64,
    /// `p_vaddr`: where it starts in memory, before the load bias is added.
    pub address: u64,
    /// `p_filesz`: how many bytes it has in the file.
    pub file_size: u64,
    /// `p_memsz`: how many it has in memory; those beyond `file_size` are zero.
    pub memory_size: u64,
    /// `p_align`: 0 or 1, or a power of two.
    pub align: u64,
}

impl Segment {
    /// Whether the loader maps it.
    pub fn is_load(&self) -> bool {
        self.kind == SegmentKind::LOAD
    }

    /// Its addresses, before the load bias is added. Empty where they would wrap around.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.checked_add(self.memory_size).unwrap_or(self.address)
    }

    /// Whether `address` up to `address + length` lies inside it in memory.
    pub fn contains(&self, address: u64, length: u64) -> bool {
        let range = self.range();
        address >= range.start && address.checked_add(length).is_some_and(|end| end <= range.end)
    }
}

/// `p_type`: what a program header is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentKind(pub u32);

impl SegmentKind {
    /// `PT_NULL`: an unused header.
    pub const NULL: SegmentKind = SegmentKind(elf::PT_NULL.0);
    /// `PT_LOAD`: bytes to be mapped.
    pub const LOAD: SegmentKind = SegmentKind(elf::PT_LOAD.0);
    /// `PT_DYNAMIC`: the dynamic table.
    pub const DYNAMIC: SegmentKind = SegmentKind(elf::PT_DYNAMIC.0);
    /// `PT_INTERP`: the path of the program's loader.
    pub const INTERP: SegmentKind = SegmentKind(elf::PT_INTERP.0);
    /// `PT_NOTE`: notes, the build ID among them.
    pub const NOTE: SegmentKind = SegmentKind(elf::PT_NOTE.0);
    /// `PT_PHDR`: the program headers themselves.
    pub const PHDR: SegmentKind = SegmentKind(elf::PT_PHDR.0);
    /// `PT_TLS`: the initial image of thread-local storage.
    pub const TLS: SegmentKind = SegmentKind(elf::PT_TLS.0);
    /// `PT_GNU_EH_FRAME`: the unwinding table's header.
    pub const GNU_EH_FRAME: SegmentKind = SegmentKind(elf::PT_GNU_EH_FRAME.0);
    /// `PT_GNU_STACK`: whether the stack must be executable.
    pub const GNU_STACK: SegmentKind = SegmentKind(elf::PT_GNU_STACK.0);
    /// `PT_GNU_RELRO`: what becomes read-only after relocation.
    pub const GNU_RELRO: SegmentKind = SegmentKind(elf::PT_GNU_RELRO.0);
    /// `PT_GNU_PROPERTY`: the note of the processor features used.
    pub const GNU_PROPERTY: SegmentKind = SegmentKind(elf::PT_GNU_PROPERTY.0);
}

/// `p_flags`: what may be done with a segment in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permissions(pub u32);

impl Permissions {
    /// `PF_R`.
    pub fn is_readable(self) -> bool {
        self.0 & elf::PF_R.0 != 0
    }

    /// `PF_W`.
    pub fn is_writable(self) -> bool {
        self.0 & elf::PF_W.0 != 0
    }

    /// `PF_X`.
    pub fn is_executable(self) -> bool {
        self.0 & elf::PF_X.0 != 0
    }
}
