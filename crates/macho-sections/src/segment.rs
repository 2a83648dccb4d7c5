//! Segment commands: what the loader maps.

use std::ops::Range;

use object::macho;

/// A segment, `LC_SEGMENT` or `LC_SEGMENT_64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment<'data> {
    /// Its place among the segments, as fixups count them.
    pub index: u32,
    /// `segname`, up to the first NUL; all 16 bytes may be used. Empty for the one segment of an
    /// object file, whose sections each name their own.
    pub name: &'data [u8],
    /// `vmaddr`: where it starts in memory, before the slide is added.
    pub address: u64,
    /// `vmsize`: how many bytes it has in memory; those beyond `file_size` are zero.
    pub memory_size: u64,
    /// `fileoff`: where its bytes start in the image.
    pub offset: u64,
    /// `filesize`: how many bytes it has in the image.
    pub file_size: u64,
    /// `initprot`: what may be done with it when the image has been loaded.
    pub permissions: Permissions,
    /// `maxprot`: what it may be allowed later.
    pub maximum: Permissions,
    /// `flags`: the `SG_` bits.
    pub flags: SegmentFlags,
    /// The place of its first section among the image's.
    pub first_section: u32,
    /// How many sections it has.
    pub section_count: u32,
}

impl Segment<'_> {
    /// Its addresses, before the slide is added. Empty where they would wrap around.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.checked_add(self.memory_size).unwrap_or(self.address)
    }

    /// Whether `address` up to `address + length` lies inside it in memory.
    pub fn contains(&self, address: u64, length: u64) -> bool {
        let range = self.range();
        address >= range.start && address.checked_add(length).is_some_and(|end| end <= range.end)
    }

    /// Whether nothing of it is the program's to write once the image is loaded.
    ///
    /// `__DATA_CONST` says *writable* in its permissions: the loader needs that for its fixups and
    /// takes it back afterwards, which is what `SG_READ_ONLY` means. The segments of authenticated
    /// pointers are known by name.
    pub fn is_read_only_after_fixups(&self) -> bool {
        self.flags.is_read_only()
            || self.name == b"__DATA_CONST"
            || self.name.starts_with(b"__AUTH")
    }
}

/// `initprot` and `maxprot`: what may be done with a segment in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permissions(pub u32);

impl Permissions {
    /// `VM_PROT_READ`.
    pub fn is_readable(self) -> bool {
        self.0 & macho::VM_PROT_READ.0 != 0
    }

    /// `VM_PROT_WRITE`.
    pub fn is_writable(self) -> bool {
        self.0 & macho::VM_PROT_WRITE.0 != 0
    }

    /// `VM_PROT_EXECUTE`.
    pub fn is_executable(self) -> bool {
        self.0 & macho::VM_PROT_EXECUTE.0 != 0
    }
}

/// `flags` of a segment: the `SG_` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentFlags(pub u32);

impl SegmentFlags {
    /// `SG_READ_ONLY`: read-only once its fixups have been made.
    pub fn is_read_only(self) -> bool {
        self.0 & macho::SG_READ_ONLY.0 != 0
    }

    /// `SG_PROTECTED_VERSION_1`: encrypted, but for its first page if that starts the file.
    pub fn is_protected(self) -> bool {
        self.0 & macho::SG_PROTECTED_VERSION_1.0 != 0
    }
}
