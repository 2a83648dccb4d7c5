//! The words of an image that the loader writes before the program sees them.

use std::array;
use std::slice::ChunksExact;

use object::elf;

use crate::header::{Class, Machine};
use crate::layout::Layout;

/// A word that the loader computes and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Relocation {
    /// `r_offset`: the address of the word, before the load bias is added.
    pub address: u64,
    /// The processor's number for how the word is computed. Entries of `DT_RELR` have the number
    /// of the processor's relative relocation.
    pub kind: u32,
    /// The index of the dynamic symbol it is computed from, 0 if from none; see
    /// [`Image::dynamic_symbol`](crate::Image::dynamic_symbol).
    pub symbol: u32,
    /// What is added; `None` where that is what the word holds in the file.
    pub addend: Option<i64>,
}

impl Relocation {
    /// Whether it is an entry that was never filled in.
    pub(crate) fn is_zero(&self) -> bool {
        let Relocation { address, kind, symbol, addend } = *self;
        address == 0 && kind == 0 && symbol == 0 && addend.unwrap_or(0) == 0
    }
}

/// Every dynamic relocation of an image: `DT_RELA`, `DT_REL`, `DT_RELR` and `DT_JMPREL`, in this
/// order.
#[derive(Debug, Clone)]
pub struct Relocations<'data> {
    layout: Layout,
    relative: u32,
    tables: array::IntoIter<Table<'data>, 4>,
    current: Entries<'data>,
}

impl<'data> Relocations<'data> {
    pub(crate) fn new(layout: Layout, machine: Machine, tables: [Table<'data>; 4]) -> Self {
        let relative = kinds(machine, layout.class).relative;
        Relocations { layout, relative, tables: tables.into_iter(), current: Entries::None }
    }
}

impl Iterator for Relocations<'_> {
    type Item = Relocation;

    fn next(&mut self) -> Option<Relocation> {
        loop {
            let found = match &mut self.current {
                Entries::None => None,
                Entries::Rela(entries) => entries.next().and_then(|entry| self.layout.rela(entry)),
                Entries::Rel(entries) => entries.next().and_then(|entry| self.layout.rel(entry)),
                Entries::Relr(entries) => entries.next().map(|address| Relocation {
                    address,
                    kind: self.relative,
                    symbol: 0,
                    addend: None,
                }),
            };
            if found.is_some() {
                return found;
            }
            self.current = self.tables.next()?.entries(self.layout);
        }
    }
}

/// A relocation table's bytes, and how to read them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table<'data> {
    pub(crate) format: Format,
    pub(crate) bytes: &'data [u8],
}

impl<'data> Table<'data> {
    pub(crate) fn entries(self, layout: Layout) -> Entries<'data> {
        match self.format {
            Format::Rela => Entries::Rela(self.bytes.chunks_exact(layout.rela_size())),
            Format::Rel => Entries::Rel(self.bytes.chunks_exact(layout.rel_size())),
            Format::Relr => Entries::Relr(RelrAddresses::new(layout, self.bytes)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Rela,
    Rel,
    Relr,
}

/// The entries of one table.
#[derive(Debug, Clone)]
pub(crate) enum Entries<'data> {
    None,
    Rela(ChunksExact<'data, u8>),
    Rel(ChunksExact<'data, u8>),
    Relr(RelrAddresses<'data>),
}

/// The addresses that a `DT_RELR` table stands for.
///
/// An even word is an address. An odd one is a bitmap of the words that follow the last address:
/// 63 of them where words have 64 bits.
#[derive(Debug, Clone)]
pub(crate) struct RelrAddresses<'data> {
    layout: Layout,
    words: ChunksExact<'data, u8>,
    /// The address that the bitmap's lowest bit stands for.
    position: u64,
    bitmap: u64,
    /// The address that the next bitmap's lowest bit will stand for.
    base: u64,
}

impl<'data> RelrAddresses<'data> {
    fn new(layout: Layout, bytes: &'data [u8]) -> Self {
        let words = bytes.chunks_exact(layout.word_size());
        RelrAddresses { layout, words, position: 0, bitmap: 0, base: 0 }
    }
}

impl Iterator for RelrAddresses<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let size = self.layout.class.word_size();
        loop {
            if self.bitmap != 0 {
                let skipped = u64::from(self.bitmap.trailing_zeros());
                let address = self.position.wrapping_add(skipped.wrapping_mul(size));
                self.position = address.wrapping_add(size);
                // Two steps, because a shift by all 64 bits at once is none at all.
                self.bitmap = self.bitmap.wrapping_shr(self.bitmap.trailing_zeros()) >> 1;
                return Some(address);
            }
            let word = self.layout.word(self.words.next()?)?;
            if word & 1 == 0 {
                self.base = word.wrapping_add(size);
                return Some(word);
            }
            self.bitmap = word >> 1;
            self.position = self.base;
            let covered = size.wrapping_mul(8).wrapping_sub(1);
            self.base = self.base.wrapping_add(covered.wrapping_mul(size));
        }
    }
}

/// How many bytes a relocation writes; a word where its kind is not known to be another.
pub(crate) fn width(machine: Machine, kind: u32, word: u64) -> u64 {
    let is_of = |kinds: &[elf::RelocationType]| kinds.iter().any(|it| it.0 == kind);
    match WIDTHS.iter().find(|(of, _, kinds)| *of == machine && is_of(kinds)) {
        Some((_, width, _)) => *width,
        None => word,
    }
}

/// What linkers leave to the loader in data and is no word.
const WIDTHS: [(Machine, u64, &[elf::RelocationType]); 14] = [
    (Machine::X86_64, 1, &[elf::R_X86_64_8, elf::R_X86_64_PC8]),
    (Machine::X86_64, 2, &[elf::R_X86_64_16, elf::R_X86_64_PC16]),
    (
        Machine::X86_64,
        4,
        &[
            elf::R_X86_64_32,
            elf::R_X86_64_32S,
            elf::R_X86_64_PC32,
            elf::R_X86_64_PLT32,
            elf::R_X86_64_SIZE32,
            elf::R_X86_64_DTPOFF32,
            elf::R_X86_64_TPOFF32,
        ],
    ),
    // Where pointers have 32 bits, too.
    (Machine::X86_64, 8, &[elf::R_X86_64_64, elf::R_X86_64_PC64, elf::R_X86_64_RELATIVE64]),
    (Machine::X86, 1, &[elf::R_386_8, elf::R_386_PC8]),
    (Machine::X86, 2, &[elf::R_386_16, elf::R_386_PC16]),
    (Machine::AARCH64, 2, &[elf::R_AARCH64_ABS16, elf::R_AARCH64_PREL16]),
    (Machine::AARCH64, 4, &[elf::R_AARCH64_ABS32, elf::R_AARCH64_PREL32]),
    (Machine::PPC64, 4, &[elf::R_PPC64_ADDR32, elf::R_PPC64_REL32]),
    (Machine::RISCV, 4, &[elf::R_RISCV_32, elf::R_RISCV_32_PCREL]),
    (Machine::LOONGARCH, 4, &[elf::R_LARCH_32, elf::R_LARCH_32_PCREL]),
    (Machine::S390, 1, &[elf::R_390_8]),
    (Machine::S390, 2, &[elf::R_390_16, elf::R_390_PC16, elf::R_390_PC16DBL]),
    (Machine::S390, 4, &[elf::R_390_32, elf::R_390_PC32, elf::R_390_PC32DBL]),
];

/// The numbers that a processor gives to the relocations that mean the same on all of them. Many
/// number them anew, or name another word, where words have another size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// The load bias is added to the addend.
    pub(crate) relative: u32,
    /// A function's address in the procedure linkage table's part of the GOT.
    pub(crate) jump_slot: u32,
    /// A symbol's address in the GOT.
    pub(crate) glob_dat: u32,
    /// A symbol's address, plus the addend, in a word of data.
    pub(crate) absolute: u32,
    /// The result of calling the function at the addend.
    pub(crate) irelative: u32,
    /// The two words of a thread-local variable's descriptor.
    pub(crate) tls_descriptor: u32,
    /// How many bytes those are.
    pub(crate) tls_descriptor_size: u64,
    /// Whether the numbers are known. Where they are not, nothing is checked by them.
    pub(crate) known: bool,
}

/// Where several numbers are the same relocation on a processor, the format's own text says so.
pub(crate) fn kinds(machine: Machine, class: Class) -> Kinds {
    let row = KINDS.iter().find(|(of, size, _)| *of == machine && *size == class);
    let Some((.., [relative, jump_slot, glob_dat, absolute, irelative, tls_descriptor])) = row
    else {
        return Kinds::default();
    };
    // Slots of the GOT have 8 bytes on x86-64, also where pointers have 4.
    let word = if machine == Machine::X86_64 { 8 } else { class.word_size() };
    Kinds {
        relative: relative.0,
        jump_slot: jump_slot.0,
        glob_dat: glob_dat.0,
        absolute: absolute.0,
        irelative: irelative.0,
        tls_descriptor: tls_descriptor.0,
        tls_descriptor_size: word.saturating_mul(2),
        known: true,
    }
}

/// In the order of [`Kinds`]. RISC-V and LoongArch have no GLOB_DAT: a GOT entry is an ordinary
/// word.
const KINDS: [(Machine, Class, [elf::RelocationType; 6]); 13] = [
    (
        Machine::X86_64,
        Class::Elf64,
        [
            elf::R_X86_64_RELATIVE,
            elf::R_X86_64_JUMP_SLOT,
            elf::R_X86_64_GLOB_DAT,
            elf::R_X86_64_64,
            elf::R_X86_64_IRELATIVE,
            elf::R_X86_64_TLSDESC,
        ],
    ),
    (
        Machine::X86_64,
        Class::Elf32,
        [
            elf::R_X86_64_RELATIVE,
            elf::R_X86_64_JUMP_SLOT,
            elf::R_X86_64_GLOB_DAT,
            elf::R_X86_64_32,
            elf::R_X86_64_IRELATIVE,
            elf::R_X86_64_TLSDESC,
        ],
    ),
    (
        Machine::X86,
        Class::Elf32,
        [
            elf::R_386_RELATIVE,
            elf::R_386_JMP_SLOT,
            elf::R_386_GLOB_DAT,
            elf::R_386_32,
            elf::R_386_IRELATIVE,
            elf::R_386_TLS_DESC,
        ],
    ),
    (
        Machine::AARCH64,
        Class::Elf64,
        [
            elf::R_AARCH64_RELATIVE,
            elf::R_AARCH64_JUMP_SLOT,
            elf::R_AARCH64_GLOB_DAT,
            elf::R_AARCH64_ABS64,
            elf::R_AARCH64_IRELATIVE,
            elf::R_AARCH64_TLSDESC,
        ],
    ),
    (
        Machine::AARCH64,
        Class::Elf32,
        [
            elf::R_AARCH64_P32_RELATIVE,
            elf::R_AARCH64_P32_JUMP_SLOT,
            elf::R_AARCH64_P32_GLOB_DAT,
            elf::R_AARCH64_P32_ABS32,
            elf::R_AARCH64_P32_IRELATIVE,
            elf::R_AARCH64_P32_TLSDESC,
        ],
    ),
    (
        Machine::ARM,
        Class::Elf32,
        [
            elf::R_ARM_RELATIVE,
            elf::R_ARM_JUMP_SLOT,
            elf::R_ARM_GLOB_DAT,
            elf::R_ARM_ABS32,
            elf::R_ARM_IRELATIVE,
            elf::R_ARM_TLS_DESC,
        ],
    ),
    (
        Machine::PPC64,
        Class::Elf64,
        [
            elf::R_PPC64_RELATIVE,
            elf::R_PPC64_JMP_SLOT,
            elf::R_PPC64_GLOB_DAT,
            elf::R_PPC64_ADDR64,
            elf::R_PPC64_IRELATIVE,
            elf::R_PPC64_NONE,
        ],
    ),
    (
        Machine::RISCV,
        Class::Elf64,
        [
            elf::R_RISCV_RELATIVE,
            elf::R_RISCV_JUMP_SLOT,
            elf::R_RISCV_64,
            elf::R_RISCV_64,
            elf::R_RISCV_IRELATIVE,
            elf::R_RISCV_TLSDESC,
        ],
    ),
    (
        Machine::RISCV,
        Class::Elf32,
        [
            elf::R_RISCV_RELATIVE,
            elf::R_RISCV_JUMP_SLOT,
            elf::R_RISCV_32,
            elf::R_RISCV_32,
            elf::R_RISCV_IRELATIVE,
            elf::R_RISCV_TLSDESC,
        ],
    ),
    (
        Machine::S390,
        Class::Elf64,
        [
            elf::R_390_RELATIVE,
            elf::R_390_JMP_SLOT,
            elf::R_390_GLOB_DAT,
            elf::R_390_64,
            elf::R_390_IRELATIVE,
            elf::R_390_NONE,
        ],
    ),
    (
        Machine::S390,
        Class::Elf32,
        [
            elf::R_390_RELATIVE,
            elf::R_390_JMP_SLOT,
            elf::R_390_GLOB_DAT,
            elf::R_390_32,
            elf::R_390_IRELATIVE,
            elf::R_390_NONE,
        ],
    ),
    (
        Machine::LOONGARCH,
        Class::Elf64,
        [
            elf::R_LARCH_RELATIVE,
            elf::R_LARCH_JUMP_SLOT,
            elf::R_LARCH_64,
            elf::R_LARCH_64,
            elf::R_LARCH_IRELATIVE,
            elf::R_LARCH_TLS_DESC64,
        ],
    ),
    (
        Machine::LOONGARCH,
        Class::Elf32,
        [
            elf::R_LARCH_RELATIVE,
            elf::R_LARCH_JUMP_SLOT,
            elf::R_LARCH_32,
            elf::R_LARCH_32,
            elf::R_LARCH_IRELATIVE,
            elf::R_LARCH_TLS_DESC32,
        ],
    ),
];

/// The number of the relocation by which a processor's loader copies a library's variable into the
/// program; `None` where it is not known.
pub(crate) fn copy_kind(machine: Machine, class: Class) -> Option<u32> {
    let kind = match (machine, class) {
        // Where they are numbered anew for the other word size.
        (Machine::AARCH64, Class::Elf32) => elf::R_AARCH64_P32_COPY,
        (Machine::E2K, Class::Elf64) => elf::R_E2K_64_COPY,
        _ => COPY.iter().find(|(of, _)| *of == machine)?.1,
    };
    Some(kind.0)
}

const COPY: [(Machine, elf::RelocationType); 29] = [
    (Machine::X86_64, elf::R_X86_64_COPY),
    (Machine::X86, elf::R_386_COPY),
    (Machine::AARCH64, elf::R_AARCH64_COPY),
    (Machine::ARM, elf::R_ARM_COPY),
    (Machine::PPC64, elf::R_PPC64_COPY),
    (Machine::PPC, elf::R_PPC_COPY),
    (Machine::RISCV, elf::R_RISCV_COPY),
    (Machine::S390, elf::R_390_COPY),
    (Machine::LOONGARCH, elf::R_LARCH_COPY),
    (Machine::MIPS, elf::R_MIPS_COPY),
    (Machine::SPARC, elf::R_SPARC_COPY),
    (Machine::SPARC32PLUS, elf::R_SPARC_COPY),
    (Machine::SPARCV9, elf::R_SPARC_COPY),
    (Machine::M68K, elf::R_68K_COPY),
    (Machine::SH, elf::R_SH_COPY),
    (Machine::PARISC, elf::R_PARISC_COPY),
    (Machine::ALPHA, elf::R_ALPHA_COPY),
    (Machine::IA_64, elf::R_IA64_COPY),
    (Machine::E2K, elf::R_E2K_32_COPY),
    (Machine(elf::EM_CRIS.0), elf::R_CRIS_COPY),
    (Machine(elf::EM_M32R.0), elf::R_M32R_COPY),
    (Machine(elf::EM_MN10300.0), elf::R_MN10300_COPY),
    (Machine(elf::EM_ALTERA_NIOS2.0), elf::R_NIOS2_COPY),
    (Machine(elf::EM_NDS32.0), elf::R_NDS32_COPY),
    (Machine(elf::EM_METAG.0), elf::R_METAG_COPY),
    (Machine(elf::EM_MICROBLAZE.0), elf::R_MICROBLAZE_COPY),
    (Machine(elf::EM_TILEPRO.0), elf::R_TILEPRO_COPY),
    (Machine(elf::EM_TILEGX.0), elf::R_TILEGX_COPY),
    (Machine(elf::EM_CSKY.0), elf::R_CKCORE_COPY),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// By the processors' own supplements to the format.
    #[test]
    fn numbers_are_those_of_the_word_size() {
        let numbers = |machine, class| {
            let it = kinds(machine, class);
            let all = [it.relative, it.jump_slot, it.glob_dat, it.absolute, it.irelative];
            it.known.then_some((all, it.tls_descriptor, it.tls_descriptor_size))
        };
        let (wide, narrow) = (Class::Elf64, Class::Elf32);
        for (machine, class, expected) in [
            (Machine::X86_64, wide, Some(([8, 7, 6, 1, 37], 36, 16))),
            (Machine::X86_64, narrow, Some(([8, 7, 6, 10, 37], 36, 16))),
            (Machine::X86, narrow, Some(([8, 7, 6, 1, 42], 41, 8))),
            (Machine::AARCH64, wide, Some(([1027, 1026, 1025, 257, 1032], 1031, 16))),
            (Machine::AARCH64, narrow, Some(([183, 182, 181, 1, 188], 187, 8))),
            (Machine::ARM, narrow, Some(([23, 22, 21, 2, 160], 13, 8))),
            (Machine::RISCV, wide, Some(([3, 5, 2, 2, 58], 12, 16))),
            (Machine::RISCV, narrow, Some(([3, 5, 1, 1, 58], 12, 8))),
            (Machine::LOONGARCH, wide, Some(([3, 5, 2, 2, 12], 14, 16))),
            (Machine::LOONGARCH, narrow, Some(([3, 5, 1, 1, 12], 13, 8))),
            (Machine::S390, wide, Some(([12, 11, 10, 22, 61], 0, 16))),
            (Machine::S390, narrow, Some(([12, 11, 10, 4, 61], 0, 8))),
            (Machine::X86, wide, None),
            (Machine::ARM, wide, None),
            (Machine::PPC64, narrow, None),
            (Machine::MIPS, narrow, None),
        ] {
            assert_eq!(numbers(machine, class), expected, "{machine} {class:?}");
        }
    }
}
