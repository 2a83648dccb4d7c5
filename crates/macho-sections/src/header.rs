//! The Mach-O header: for whom an image is, and what kind of image it is.

use std::fmt;

use object::macho;

/// The header of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// The size of its words.
    pub class: Class,
    /// The order of their bytes.
    pub endian: Endian,
    /// `cputype` and `cpusubtype`.
    pub cpu: Cpu,
    /// `filetype`.
    pub kind: FileKind,
    /// `flags`: the `MH_` bits.
    pub flags: FileFlags,
    /// `ncmds`: how many load commands there are.
    pub command_count: u32,
    /// `sizeofcmds`: how many bytes they take.
    pub commands_size: u32,
}

/// The size of an image's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// 32-bit words.
    MachO32,
    /// 64-bit words.
    MachO64,
}

impl Class {
    /// How many bytes an address takes.
    pub fn word_size(self) -> u8 {
        match self {
            Class::MachO32 => 4,
            Class::MachO64 => 8,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::MachO32 => "32-bit",
            Class::MachO64 => "64-bit",
        })
    }
}

/// The order of the bytes of an image's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endian {
    /// The least significant byte first.
    Little,
    /// The most significant byte first.
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

/// The processor that an image or a slice is for.
///
/// Displayed by the name that Apple's tools give it:
///
/// ```
/// use macho_sections::Cpu;
///
/// assert_eq!(Cpu::ARM64E.to_string(), "arm64e");
/// assert!(Cpu::ARM64E.is(Cpu { subtype: 0x8000_0002, ..Cpu::ARM64 }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cpu {
    /// `cputype`: the family, with a bit for 64-bit words.
    pub family: u32,
    /// `cpusubtype`: the model in the low 24 bits, capabilities in the high eight.
    pub subtype: u32,
}

impl Cpu {
    /// 32-bit x86.
    pub const I386: Cpu = Cpu { family: macho::CPU_TYPE_X86.0, subtype: 3 };
    /// x86-64.
    pub const X86_64: Cpu = Cpu { family: macho::CPU_TYPE_X86_64.0, subtype: 3 };
    /// x86-64 with the instructions of Haswell.
    pub const X86_64H: Cpu = Cpu { family: macho::CPU_TYPE_X86_64.0, subtype: 8 };
    /// 32-bit ARM, version 7.
    pub const ARMV7: Cpu = Cpu { family: macho::CPU_TYPE_ARM.0, subtype: 9 };
    /// AArch64.
    pub const ARM64: Cpu = Cpu { family: macho::CPU_TYPE_ARM64.0, subtype: 0 };
    /// AArch64 with authenticated pointers.
    pub const ARM64E: Cpu = Cpu { family: macho::CPU_TYPE_ARM64.0, subtype: 2 };
    /// AArch64 with 32-bit addresses.
    pub const ARM64_32: Cpu = Cpu { family: macho::CPU_TYPE_ARM64_32.0, subtype: 1 };
    /// 32-bit PowerPC.
    pub const POWERPC: Cpu = Cpu { family: macho::CPU_TYPE_POWERPC.0, subtype: 0 };
    /// 64-bit PowerPC.
    pub const POWERPC64: Cpu = Cpu { family: macho::CPU_TYPE_POWERPC64.0, subtype: 0 };

    /// The model, without the capability bits.
    pub fn model(self) -> u32 {
        self.subtype & MODEL
    }

    /// Whether family and model are the same, whatever the capability bits say.
    ///
    /// arm64e carries the version of its calling convention in those bits, and old executables for
    /// x86-64 a bit for the libraries they were linked with.
    pub fn is(self, other: Cpu) -> bool {
        self.family == other.family && self.model() == other.model()
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arm = |model| match model {
            5 => Some("armv4t"),
            6 => Some("armv6"),
            7 => Some("armv5e"),
            9 => Some("armv7"),
            11 => Some("armv7s"),
            12 => Some("armv7k"),
            14 => Some("armv6m"),
            15 => Some("armv7m"),
            16 => Some("armv7em"),
            _ => None,
        };
        let name = match (macho::CpuType(self.family), self.model()) {
            (macho::CPU_TYPE_X86, _) => Some("i386"),
            (macho::CPU_TYPE_X86_64, 8) => Some("x86_64h"),
            (macho::CPU_TYPE_X86_64, _) => Some("x86_64"),
            (macho::CPU_TYPE_ARM, model) => arm(model).or(Some("arm")),
            (macho::CPU_TYPE_ARM64, 2) => Some("arm64e"),
            (macho::CPU_TYPE_ARM64, _) => Some("arm64"),
            (macho::CPU_TYPE_ARM64_32, _) => Some("arm64_32"),
            (macho::CPU_TYPE_POWERPC, _) => Some("ppc"),
            (macho::CPU_TYPE_POWERPC64, _) => Some("ppc64"),
            _ => None,
        };
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "processor {:#x}/{:#x}", self.family, self.subtype),
        }
    }
}

/// `filetype`: what kind of image it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileKind(pub u32);

impl FileKind {
    /// `MH_OBJECT`: a relocatable object file.
    pub const OBJECT: FileKind = FileKind(macho::MH_OBJECT.0);
    /// `MH_EXECUTE`: a program.
    pub const EXECUTE: FileKind = FileKind(macho::MH_EXECUTE.0);
    /// `MH_FVMLIB`: a library at a fixed address.
    pub const FVMLIB: FileKind = FileKind(macho::MH_FVMLIB.0);
    /// `MH_CORE`: the memory of a process that has died.
    pub const CORE: FileKind = FileKind(macho::MH_CORE.0);
    /// `MH_PRELOAD`: firmware.
    pub const PRELOAD: FileKind = FileKind(macho::MH_PRELOAD.0);
    /// `MH_DYLIB`: a library that programs link against.
    pub const DYLIB: FileKind = FileKind(macho::MH_DYLIB.0);
    /// `MH_DYLINKER`: the loader.
    pub const DYLINKER: FileKind = FileKind(macho::MH_DYLINKER.0);
    /// `MH_BUNDLE`: a plug-in, which is what build systems make of a module.
    pub const BUNDLE: FileKind = FileKind(macho::MH_BUNDLE.0);
    /// `MH_DYLIB_STUB`: a library's symbols without its contents.
    pub const DYLIB_STUB: FileKind = FileKind(macho::MH_DYLIB_STUB.0);
    /// `MH_DSYM`: another image's debugging information.
    pub const DSYM: FileKind = FileKind(macho::MH_DSYM.0);
    /// `MH_KEXT_BUNDLE`: a kernel extension.
    pub const KEXT_BUNDLE: FileKind = FileKind(macho::MH_KEXT_BUNDLE.0);
    /// `MH_FILESET`: a kernel with its extensions.
    pub const FILESET: FileKind = FileKind(macho::MH_FILESET.0);
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            FileKind::OBJECT => "object file",
            FileKind::EXECUTE => "executable",
            FileKind::FVMLIB => "fixed library",
            FileKind::CORE => "core file",
            FileKind::PRELOAD => "preloaded executable",
            FileKind::DYLIB => "dynamic library",
            FileKind::DYLINKER => "dynamic linker",
            FileKind::BUNDLE => "bundle",
            FileKind::DYLIB_STUB => "stub of a dynamic library",
            FileKind::DSYM => "debugging information",
            FileKind::KEXT_BUNDLE => "kernel extension",
            FileKind::FILESET => "file set",
            FileKind(other) => return write!(f, "file type {other:#x}"),
        })
    }
}

/// `flags` of the header: the `MH_` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileFlags(pub u32);

impl FileFlags {
    /// `MH_TWOLEVEL`: imports name the library they are wanted from.
    pub fn is_two_level(self) -> bool {
        self.0 & macho::MH_TWOLEVEL.0 != 0
    }

    /// `MH_PIE`: the program may be loaded anywhere.
    pub fn is_position_independent(self) -> bool {
        self.0 & macho::MH_PIE.0 != 0
    }

    /// `MH_HAS_TLV_DESCRIPTORS`: it has thread-local variables.
    pub fn has_thread_locals(self) -> bool {
        self.0 & macho::MH_HAS_TLV_DESCRIPTORS.0 != 0
    }

    /// `MH_DYLIB_IN_CACHE`: it is part of the system's shared cache.
    pub fn is_in_shared_cache(self) -> bool {
        self.0 & macho::MH_DYLIB_IN_CACHE.0 != 0
    }
}

/// The bits of `cpusubtype` that name the model.
const MODEL: u32 = 0x00ff_ffff;
