//! The ELF header: what kind of image this is, and where its tables are.

use std::fmt;

use object::elf;

/// The facts of an ELF header, with the counts resolved that do not fit into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The word size.
    pub class: Class,
    /// The byte order.
    pub endian: Endian,
    /// `EI_OSABI`: 0 for System V, 3 for GNU.
    pub os_abi: u8,
    /// What the image is for.
    pub kind: Kind,
    /// The processor.
    pub machine: Machine,
    /// `e_entry`, the address where a program starts.
    pub entry: u64,
    /// `e_flags`, the processor's own.
    pub flags: u32,
    /// The offset of the program headers.
    pub program_headers: u64,
    /// How many there are: `e_phnum`, or section 0's `sh_info` where that says `PN_XNUM`.
    pub program_header_count: u32,
    /// The offset of the section headers, 0 if there are none.
    pub section_headers: u64,
    /// How many there are: `e_shnum`, or section 0's `sh_size` where that is 0.
    pub section_header_count: u64,
    /// Which section holds the names: `e_shstrndx`, or section 0's `sh_link` where that says
    /// `SHN_XINDEX`.
    pub section_names: u32,
}

/// The size of an image's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// 32 bits.
    Elf32,
    /// 64 bits.
    Elf64,
}

impl Class {
    /// The size of a word in bytes.
    pub fn word_size(self) -> u64 {
        match self {
            Class::Elf32 => 4,
            Class::Elf64 => 8,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Elf32 => "32-bit",
            Class::Elf64 => "64-bit",
        })
    }
}

/// The order of an image's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl fmt::Display for Endian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Endian::Little => "little-endian",
            Endian::Big => "big-endian",
        })
    }
}

/// `e_type`: what an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `ET_REL`: for the linker.
    Relocatable,
    /// `ET_EXEC`: a program at a fixed address.
    Executable,
    /// `ET_DYN`: a shared object, or a program that may be loaded anywhere.
    SharedObject,
    /// `ET_CORE`: a process's memory.
    Core,
    /// Any other value.
    Other(u16),
}

impl Kind {
    pub(crate) fn new(e_type: u16) -> Kind {
        match elf::FileType(e_type) {
            elf::ET_REL => Kind::Relocatable,
            elf::ET_EXEC => Kind::Executable,
            elf::ET_DYN => Kind::SharedObject,
            elf::ET_CORE => Kind::Core,
            other => Kind::Other(other.0),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Relocatable => f.write_str("relocatable object"),
            Kind::Executable => f.write_str("executable"),
            Kind::SharedObject => f.write_str("shared object"),
            Kind::Core => f.write_str("core file"),
            Kind::Other(value) => write!(f, "file of type {value:#x}"),
        }
    }
}

/// `e_machine`: a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Machine(pub u16);

impl Machine {
    /// Intel 80386 and its 32-bit successors.
    pub const X86: Machine = Machine(elf::EM_386.0);
    /// x86-64, and x32 where the class is 32-bit.
    pub const X86_64: Machine = Machine(elf::EM_X86_64.0);
    /// 32-bit ARM.
    pub const ARM: Machine = Machine(elf::EM_ARM.0);
    /// 64-bit ARM.
    pub const AARCH64: Machine = Machine(elf::EM_AARCH64.0);
    /// RISC-V, of either class.
    pub const RISCV: Machine = Machine(elf::EM_RISCV.0);
    /// 64-bit PowerPC, of either byte order.
    pub const PPC64: Machine = Machine(elf::EM_PPC64.0);
    /// IBM Z, of either class.
    pub const S390: Machine = Machine(elf::EM_S390.0);
    /// LoongArch, of either class.
    pub const LOONGARCH: Machine = Machine(elf::EM_LOONGARCH.0);
    /// MIPS, of either class and byte order.
    pub const MIPS: Machine = Machine(elf::EM_MIPS.0);
    /// 32-bit PowerPC.
    pub const PPC: Machine = Machine(elf::EM_PPC.0);
    /// 32-bit SPARC.
    pub const SPARC: Machine = Machine(elf::EM_SPARC.0);
    /// 32-bit SPARC with instructions of the 64-bit one.
    pub const SPARC32PLUS: Machine = Machine(elf::EM_SPARC32PLUS.0);
    /// 64-bit SPARC.
    pub const SPARCV9: Machine = Machine(elf::EM_SPARCV9.0);
    /// Motorola 68000.
    pub const M68K: Machine = Machine(elf::EM_68K.0);
    /// SuperH.
    pub const SH: Machine = Machine(elf::EM_SH.0);
    /// PA-RISC, of either class.
    pub const PARISC: Machine = Machine(elf::EM_PARISC.0);
    /// Alpha.
    pub const ALPHA: Machine = Machine(elf::EM_ALPHA.0);
    /// Itanium.
    pub const IA_64: Machine = Machine(elf::EM_IA_64.0);
    /// Elbrus 2000, of either class.
    pub const E2K: Machine = Machine(elf::EM_MCST_ELBRUS.0);
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Machine::X86 => "x86",
            Machine::X86_64 => "x86-64",
            Machine::ARM => "arm",
            Machine::AARCH64 => "aarch64",
            Machine::RISCV => "riscv",
            Machine::PPC64 => "ppc64",
            Machine::S390 => "s390",
            Machine::LOONGARCH => "loongarch",
            Machine::MIPS => "mips",
            Machine::PPC => "ppc",
            Machine::SPARC => "sparc",
            Machine::SPARC32PLUS => "sparc32plus",
            Machine::SPARCV9 => "sparcv9",
            Machine::M68K => "m68k",
            Machine::SH => "sh",
            Machine::PARISC => "parisc",
            Machine::ALPHA => "alpha",
            Machine::IA_64 => "ia-64",
            Machine::E2K => "e2k",
            Machine(other) => return write!(f, "machine {other:#x}"),
        })
    }
}
