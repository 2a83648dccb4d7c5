//! What kind of file an image is, by its first bytes.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use anyhow::{Context, anyhow, bail};

/// A format that the program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Linux and its kin.
    Elf,
    /// Apple's systems; thin or fat.
    MachO,
    /// Windows.
    Pe,
}

impl Format {
    /// The format of a file whose first bytes these are; an error says what else it is.
    pub fn of(start: &[u8]) -> Result<Format, Foreign> {
        let magic = |wanted: [u8; 4]| start.starts_with(&wanted);
        let is_macho = [0xfeed_face_u32, 0xfeed_facf]
            .iter()
            .any(|word| magic(word.to_le_bytes()) || magic(word.to_be_bytes()));
        let is_fat = magic([0xca, 0xfe, 0xba, 0xbe]) || magic([0xca, 0xfe, 0xba, 0xbf]);
        if magic(*b"\x7fELF") {
            Ok(Format::Elf)
        } else if is_macho || is_fat {
            Ok(Format::MachO)
        } else if start.starts_with(b"MZ") {
            Ok(Format::Pe)
        } else {
            Err(Foreign::among("ELF, Mach-O nor PE", start))
        }
    }

    /// Opens a file and looks at its first bytes; the file is then at its start.
    pub fn open(path: &Path) -> anyhow::Result<(Format, File)> {
        let named = || path.display().to_string();
        let file = open(path)?;
        let mut start = Vec::new();
        (&file).take(START).read_to_end(&mut start).with_context(named)?;
        (&file).rewind().with_context(named)?;
        Ok((Format::of(&start).with_context(named)?, file))
    }
}

/// Opens a regular file: a pipe would be waited for, and a device may never end.
pub fn open(path: &Path) -> anyhow::Result<File> {
    let named = || path.display().to_string();
    let metadata = std::fs::metadata(path).with_context(named)?;
    if metadata.is_dir() {
        bail!("{}: a directory, not an image", path.display());
    }
    if !metadata.is_file() {
        bail!("{}: neither a file nor a directory, but a pipe or a device", path.display());
    }
    File::open(path).with_context(named)
}

/// Reads a whole regular file.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    Ok(bytes)
}

/// An error that more bytes could cure says so.
pub trait Incomplete: std::error::Error + Send + Sync + 'static {
    fn is_incomplete(&self) -> bool;
}

impl Incomplete for elf_sections::Error {
    fn is_incomplete(&self) -> bool {
        self.is_incomplete()
    }
}

impl Incomplete for macho_sections::Error {
    fn is_incomplete(&self) -> bool {
        self.is_incomplete()
    }
}

impl Incomplete for pe_patch::Error {
    fn is_incomplete(&self) -> bool {
        self.is_incomplete()
    }
}

/// Asks whether a file that ends too early is still being written.
pub fn with_cure<E: Incomplete>(error: E) -> anyhow::Error {
    match error.is_incomplete() {
        true => anyhow!("{error}; is the file still being written or copied?"),
        false => error.into(),
    }
}

/// A file of another format, with what might help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    wanted: &'static str,
    found: Vec<u8>,
    is_blank: bool,
    hint: &'static str,
}

impl Foreign {
    /// What a file is that is none of those wanted, by its first bytes.
    pub fn among(wanted: &'static str, start: &[u8]) -> Foreign {
        let hint = KNOWN.iter().find(|(magic, _)| start.starts_with(magic));
        Foreign {
            wanted,
            found: start.iter().copied().take(4).collect(),
            is_blank: start.iter().all(|&byte| byte == 0),
            hint: hint.map_or("", |(_, hint)| hint),
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.found.is_empty(), self.is_blank) {
            (true, _) => return f.write_str("the file is empty: is it still being written?"),
            (_, true) => return f.write_str("starts with zeros: is it still being written?"),
            _ => {}
        }
        let found = self.found.escape_ascii();
        write!(f, "neither {}: starts with \"{found}\" at 0x0{}", self.wanted, self.hint)
    }
}

impl std::error::Error for Foreign {}

/// What people take for images, and what to do about it.
const KNOWN: [(&[u8], &str); 12] = [
    (b"Microsoft C/C++ MSF 7.00\r\n", ", a PDB: `reloader units` reads it"),
    (b"!<arch>\n", ", an archive of object files: take one out with `ar x`"),
    (b"!<thin>\n", ", a thin archive, which only names object files: give one of those"),
    (b"BC\xc0\xde", ", LLVM bitcode: link it, or compile without -flto"),
    (b"\xde\xc0\x17\x0b", ", LLVM bitcode: link it, or compile without -flto"),
    (b"--- !tapi-tbd", ", a stub that stands for a library: give the library itself"),
    (b"/* GNU ld script", ", a linker script: give the library that it names"),
    (b"INPUT", ", a linker script: give the library that it names"),
    (b"GROUP", ", a linker script: give the library that it names"),
    (b"#!", ", a script: give the program that it runs"),
    (b"\0asm", ", WebAssembly"),
    (b"PK\x03\x04", ", a ZIP archive: unpack it"),
];

/// Enough for every magic number above.
const START: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_magic_number_of_the_formats_is_known() {
        for (start, format) in [
            (&b"\x7fELF\x02"[..], Format::Elf),
            (b"MZ\x90\0", Format::Pe),
            (b"\xcf\xfa\xed\xfe", Format::MachO),
            (b"\xce\xfa\xed\xfe", Format::MachO),
            (b"\xfe\xed\xfa\xce", Format::MachO),
            (b"\xfe\xed\xfa\xcf", Format::MachO),
            (b"\xca\xfe\xba\xbe\0\0\0\x02", Format::MachO),
            (b"\xca\xfe\xba\xbf\0\0\0\x02", Format::MachO),
        ] {
            assert_eq!(Format::of(start), Ok(format), "{start:?}");
        }
    }

    #[test]
    fn other_files_are_named_with_what_to_do() {
        for (start, words) in [
            (&b""[..], "empty"),
            (&[0; 64], "still being written"),
            (b"!<arch>\n/  ", "`ar x`"),
            (b"/* GNU ld script\n", "the library that it names"),
            (b"#!/bin/sh\n", "script"),
            (b"hello", "\"hell\" at 0x0"),
        ] {
            let error = Format::of(start).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
