//! How wide a target's words are, and in which order their bytes stand.

/// The width of a target's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// `ELFCLASS32`: words of 4 bytes.
    Elf32,
    /// `ELFCLASS64`: words of 8 bytes.
    Elf64,
}

/// The order of the bytes in a target's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endian {
    /// `ELFDATA2LSB`: the least significant byte comes first.
    Little,
    /// `ELFDATA2MSB`: the most significant byte comes first.
    Big,
}

/// How a target's structures are laid out: all that reading them takes to know of its processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    /// The width of its words.
    pub class: Class,
    /// The order of their bytes.
    pub endian: Endian,
}

impl Layout {
    /// The layout of this program's own structures.
    pub const NATIVE: Layout = Layout {
        class: if size_of::<usize>() == 8 { Class::Elf64 } else { Class::Elf32 },
        endian: if cfg!(target_endian = "big") { Endian::Big } else { Endian::Little },
    };

    /// The size of a word in bytes: 4 or 8.
    pub const fn word_size(self) -> usize {
        match self.class {
            Class::Elf32 => 4,
            Class::Elf64 => 8,
        }
    }

    /// The sum of two addresses, as the target's processor computes it: it wraps at the width of
    /// its words, which is how a bias moves an image down.
    pub const fn add(self, address: u64, by: u64) -> u64 {
        self.truncate(address.wrapping_add(by))
    }

    /// The difference of two addresses, as the target's processor computes it.
    pub const fn subtract(self, address: u64, by: u64) -> u64 {
        self.truncate(address.wrapping_sub(by))
    }

    const fn truncate(self, address: u64) -> u64 {
        match self.class {
            Class::Elf32 => address & u32::MAX as u64,
            Class::Elf64 => address,
        }
    }

    /// The address of the `index`th word from `address` on.
    pub(crate) fn word_address(self, address: u64, index: usize) -> u64 {
        let offset = index.saturating_mul(self.word_size());
        self.add(address, u64::try_from(offset).unwrap_or(u64::MAX))
    }

    /// The size of a structure that differs between the classes.
    pub(crate) fn pick<T>(self, elf32: T, elf64: T) -> T {
        match self.class {
            Class::Elf32 => elf32,
            Class::Elf64 => elf64,
        }
    }

    pub(crate) fn u16(self, bytes: &[u8], offset: usize) -> Option<u16> {
        let bytes = bytes.get(offset..)?.first_chunk()?;
        Some(match self.endian {
            Endian::Little => u16::from_le_bytes(*bytes),
            Endian::Big => u16::from_be_bytes(*bytes),
        })
    }

    pub(crate) fn u32(self, bytes: &[u8], offset: usize) -> Option<u32> {
        let bytes = bytes.get(offset..)?.first_chunk()?;
        Some(match self.endian {
            Endian::Little => u32::from_le_bytes(*bytes),
            Endian::Big => u32::from_be_bytes(*bytes),
        })
    }

    fn u64(self, bytes: &[u8], offset: usize) -> Option<u64> {
        let bytes = bytes.get(offset..)?.first_chunk()?;
        Some(match self.endian {
            Endian::Little => u64::from_le_bytes(*bytes),
            Endian::Big => u64::from_be_bytes(*bytes),
        })
    }

    /// The word at an offset, widened.
    pub(crate) fn word(self, bytes: &[u8], offset: usize) -> Option<u64> {
        match self.class {
            Class::Elf32 => self.u32(bytes, offset).map(u64::from),
            Class::Elf64 => self.u64(bytes, offset),
        }
    }

    /// The `index`th of the words that the bytes are.
    pub(crate) fn nth_word(self, bytes: &[u8], index: usize) -> Option<u64> {
        self.word(bytes, index.checked_mul(self.word_size())?)
    }
}
