//! What a compiler says of itself and of how it compiled.

use crate::{Flag, Version};

use super::bytes::Bytes;

/// `S_COMPILE2` or `S_COMPILE3`.
#[derive(Debug)]
pub(super) struct Compile {
    /// `CV_CFL_LANG`.
    pub(super) language: u8,
    flags: u32,
    machine: u16,
    pub(super) front_end: Version,
    pub(super) back_end: Version,
    /// What it calls itself.
    pub(super) producer: String,
}

impl Compile {
    pub(super) fn parse(record: &[u8], kind: u16) -> Option<Self> {
        let mut fields = Bytes(record);
        let flags = fields.u32()?;
        let machine = fields.u16()?;
        let mut version = || -> Option<Version> {
            let mut parts = [0; 4];
            let count = if kind == S_COMPILE3 { 4 } else { 3 };
            for part in parts.iter_mut().take(count) {
                *part = fields.u16()?;
            }
            Some(Version(parts))
        };
        let (front_end, back_end) = (version()?, version()?);
        // Where a length stands before the text, it is an older record of the same number.
        if kind == S_COMPILE2_ST {
            fields.u8();
        }
        let producer = String::from_utf8_lossy(fields.text()).into_owned();
        let language = flags as u8;
        Some(Self { language, flags: flags >> 8, machine, front_end, back_end, producer })
    }

    /// The language's usual name.
    pub(super) fn language_name(&self) -> Option<&'static str> {
        Some(match self.language {
            0x00 => "C",
            0x01 => "C++",
            0x02 => "Fortran",
            0x03 => "MASM",
            0x04 => "Pascal",
            0x05 => "Basic",
            0x06 => "COBOL",
            LINK => "LINK",
            CVTRES => "CVTRES",
            0x09 => "CVTPGD",
            0x0a => "C#",
            0x0b => "Visual Basic",
            0x0c => "ILASM",
            0x0d => "Java",
            0x0e => "JScript",
            0x0f => "MSIL",
            0x10 => "HLSL",
            0x11 => "Objective-C",
            0x12 => "Objective-C++",
            0x13 | b'S' => "Swift",
            0x14 => "aliasobj",
            0x15 => "Rust",
            0x16 => "Go",
            b'D' => "D",
            _ => return None,
        })
    }

    /// The machine, by the name that Rust has for it.
    pub(super) fn target(&self) -> Option<&'static str> {
        Some(match self.machine {
            0x02..=0x07 => "x86",
            0x10..=0x15 => "mips",
            0x40..=0x45 => "powerpc",
            0x60..=0x68 | 0xf4 => "arm",
            0x80 | 0x81 => "ia64",
            0xd0 => "x86_64",
            0xf6 => "aarch64",
            0xf7 | 0xf8 => "arm64ec",
            0xf9 => "arm64x",
            _ => return None,
        })
    }

    /// What the bits say, ascending.
    pub(super) fn flags(&self) -> Vec<Flag> {
        let set = |&(bit, _): &(u32, Flag)| self.flags >> bit & 1 != 0;
        let mut flags: Vec<_> = FLAGS.iter().filter(|one| set(one)).map(|one| one.1).collect();
        flags.sort_unstable();
        flags
    }

    /// Whether the compiler is Microsoft's, and lists every file that it has read.
    pub(super) fn lists_every_file(&self) -> bool {
        let Version([major, minor, ..]) = self.back_end;
        self.producer.starts_with("Microsoft") && (major, minor) >= LISTS_EVERY_FILE
    }
}

/// The language of the linker's own module and of imports.
pub(super) const LINK: u8 = 0x07;
/// The language of resources.
pub(super) const CVTRES: u8 = 0x08;

pub(super) const S_COMPILE2_ST: u16 = 0x1013;
pub(super) const S_COMPILE2: u16 = 0x1116;
pub(super) const S_COMPILE3: u16 = 0x113c;

/// Visual Studio 2022 as it was when a list was first seen that has even the headers with nothing
/// but macros; in the lists of Visual Studio 2015 they are missing.
const LISTS_EVERY_FILE: (u16, u16) = (19, 44);

const FLAGS: [(u32, Flag); 12] = [
    (0, Flag::EditAndContinue),
    (1, Flag::NoDebugInfo),
    (2, Flag::Ltcg),
    (3, Flag::NoDataAlign),
    (4, Flag::Managed),
    (5, Flag::SecurityChecks),
    (6, Flag::Hotpatch),
    (7, Flag::ConvertedByCvtcil),
    (8, Flag::MsilModule),
    (9, Flag::Sdl),
    (10, Flag::Pgo),
    (11, Flag::ExpModule),
];
