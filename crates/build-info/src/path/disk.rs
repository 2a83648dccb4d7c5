//! The files of this machine, or of one that a test makes up.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::Style;

/// Where files are looked for and read. Paths are absolute, and in the spelling of
/// [`style`](Self::style).
pub trait Disk {
    /// Whose rules its paths follow.
    fn style(&self) -> Style;

    /// The path of a file or directory without links and virtual drives.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be reached, or is no UTF-8.
    fn real(&self, path: &str) -> io::Result<String>;

    /// What is in a directory; names that are no UTF-8 are left out.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be read.
    fn entries(&self, directory: &str) -> io::Result<Vec<Entry>>;

    /// The contents of a file.
    ///
    /// # Errors
    ///
    /// It is not there, is no regular file, has more than `most` bytes, or cannot be read.
    fn read(&self, path: &str, most: usize) -> io::Result<Vec<u8>>;

    /// What tells a file from the same file later.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be reached.
    fn stamp(&self, path: &str) -> io::Result<Stamp>;
}

/// What is in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A link to something.
    Link,
}

/// What tells a file from the same file later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    /// When it was last changed: nanoseconds since 1970, and 0 for whatever was before.
    pub modified: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// The machine's own files.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Disk for System {
    fn style(&self) -> Style {
        if cfg!(windows) { Style::Windows } else { Style::Posix }
    }

    fn real(&self, path: &str) -> io::Result<String> {
        let real = fs::canonicalize(path)?.into_os_string().into_string();
        real.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no UTF-8"))
    }

    fn entries(&self, directory: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let kind = match () {
                () if kind.is_symlink() => EntryKind::Link,
                () if kind.is_dir() => EntryKind::Directory,
                () => EntryKind::File,
            };
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, kind });
            }
        }
        Ok(entries)
    }

    fn read(&self, path: &str, most: usize) -> io::Result<Vec<u8>> {
        // What is no file may never end, or never begin.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
        }
        let mut bytes = Vec::new();
        let limit = (most as u64).saturating_add(1);
        fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() > most {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large"));
        }
        Ok(bytes)
    }

    fn stamp(&self, path: &str) -> io::Result<Stamp> {
        let metadata = fs::metadata(Path::new(path))?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX);
        Ok(Stamp { modified, length: metadata.len() })
    }
}
