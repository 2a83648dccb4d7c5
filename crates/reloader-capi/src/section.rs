//! Where a section of an image is.

use std::path::Path;

use elf_sections::sys;

use crate::abi::{self, Sized as _};
use crate::status::{Problem, Status};

/// The first section of this name of an ELF or PE image.
pub(crate) fn find(path: &Path, name: &[u8]) -> Result<abi::Section, Problem> {
    let bytes = read(path)?;
    let bad = |error: &dyn std::fmt::Display| {
        Problem::new(Status::BadImage, format!("{}: {error}", path.display()))
    };
    let found = if bytes.starts_with(b"MZ") {
        let image = pe_patch::Image::parse(&bytes).map_err(|error| bad(&error))?;
        let section = image.sections().find(|section| section.name == name);
        section.map(|section| {
            let file = section.file_range();
            abi::Section {
                address: section.address,
                memory_size: section.size,
                offset: file.start,
                file_size: file.end - file.start,
                ..abi::Section::EMPTY
            }
        })
    } else {
        let image = elf_sections::Image::parse(&bytes).map_err(|error| bad(&error))?;
        let section = image.sections().iter().find(|section| section.name == name);
        section.map(|section| abi::Section {
            address: section.address,
            memory_size: section.size,
            offset: section.offset,
            file_size: file_size(section),
            loaded_at: loaded(path, &image, section),
            ..abi::Section::EMPTY
        })
    };
    found.ok_or_else(|| {
        let name = String::from_utf8_lossy(name);
        Problem::new(Status::NotFound, format!("{}: there is no section {name}", path.display()))
    })
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| {
        let status = match error.kind() {
            std::io::ErrorKind::NotFound => Status::NotFound,
            _ => Status::Io,
        };
        Problem::new(status, format!("{}: it cannot be read: {error}", path.display()))
    })
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
