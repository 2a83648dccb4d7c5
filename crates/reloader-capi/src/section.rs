//! Where a section of an image is.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use elf_sections::{Source, sys};

use crate::abi::{self, Sized as _};
use crate::status::{Problem, Status};

/// The first section of this name of an ELF or PE image.
pub(crate) fn find(path: &Path, name: &[u8]) -> Result<abi::Section, Problem> {
    let file = open(path)?;
    let mut start = Vec::new();
    (&file).take(2).read_to_end(&mut start).map_err(|error| unread(path, &error))?;
    let found = if start == b"MZ" { of_pe(path, name)? } else { of_elf(path, name, file)? };
    found.ok_or_else(|| {
        let name = String::from_utf8_lossy(name);
        Problem::new(Status::NotFound, format!("{}: there is no section {name}", path.display()))
    })
}

fn of_pe(path: &Path, name: &[u8]) -> Result<Option<abi::Section>, Problem> {
    let bytes = read(path)?;
    let image = pe_patch::Image::parse(&bytes).map_err(|error| bad(path, &error))?;
    let section = image.sections().find(|section| section.name == name);
    Ok(section.map(|section| {
        let file = section.file_range();
        abi::Section {
            address: section.address,
            memory_size: section.size,
            offset: file.start,
            file_size: file.end - file.start,
            ..abi::Section::EMPTY
        }
    }))
}

/// Reads what it needs of the file, however long that is.
fn of_elf(path: &Path, name: &[u8], file: File) -> Result<Option<abi::Section>, Problem> {
    let source = Source::new(file).map_err(|error| unread(path, &error))?;
    let unread = || source.failure().map(|error| unread(path, &error));
    let image = source.image().map_err(|error| unread().unwrap_or_else(|| bad(path, &error)))?;
    let section = image.sections().iter().find(|section| section.name == name);
    let found = section.map(|section| abi::Section {
        address: section.address,
        memory_size: section.size,
        offset: section.offset,
        file_size: file_size(section),
        loaded_at: loaded(path, &image, section),
        ..abi::Section::EMPTY
    });
    unread().map_or(Ok(found), Err)
}

/// Reads a whole regular file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|error| unread(path, &error))?;
    Ok(bytes)
}

/// Opens a regular file: a pipe would be waited for, and a device may never end.
fn open(path: &Path) -> Result<File, Problem> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Problem { status: Status::NotFound, ..unread(path, &error) },
        _ => unread(path, &error),
    };
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(bad(path, &"it is no regular file, but a directory, a pipe or a device"));
    }
    File::open(path).map_err(failed)
}

fn unread(path: &Path, error: &dyn Display) -> Problem {
    Problem::new(Status::Io, format!("{}: it cannot be read: {error}", path.display()))
}

fn bad(path: &Path, error: &dyn Display) -> Problem {
    Problem::new(Status::BadImage, format!("{}: {error}", path.display()))
}

/// A section that is zeros in memory has no bytes in the file.
fn file_size(section: &elf_sections::Section<'_>) -> u64 {
    if section.kind == elf_sections::SectionKind::NOBITS { 0 } else { section.size }
}

/// Where the section is in this process; 0 if the image is not loaded.
fn loaded(
    path: &Path,
    image: &elf_sections::Image<'_>,
    section: &elf_sections::Section<'_>,
) -> u64 {
    let Ok(whole) = path.canonicalize() else { return 0 };
    // The program itself has no path with the loader.
    let program = std::env::current_exe().ok().and_then(|path| path.canonicalize().ok());
    let is_it = |module: &sys::Module| {
        let file = if module.path.as_os_str().is_empty() {
            program.clone()
        } else {
            module.path.canonicalize().ok()
        };
        file.as_ref() == Some(&whole) && module.matches(image)
    };
    if !section.is_addressable() {
        return 0;
    }
    let module = sys::modules().into_iter().find(is_it);
    module.map_or(0, |module| sys::locate(&module, section).start as u64)
}
