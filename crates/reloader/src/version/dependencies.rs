//! Libraries that a build expects to find beside itself.
//!
//! A copy lies elsewhere, so that `$ORIGIN` in its search path leads nowhere. The loader takes a dependency that is
//! already loaded under the wanted name (glibc's `_dl_map_object`, musl's `load_library`: by SONAME), so those of the
//! original's directory are opened first, by their own paths.

use std::path::{Path, PathBuf};

use crash_guard::Fault;
use elf_sections::Image;

use super::Loading;
use crate::sys::{self, Handle, Opening};

/// The dependencies that `$ORIGIN` leads to from where the build itself lies.
pub(super) fn beside(image: &Image<'_>, source: &Path) -> Vec<PathBuf> {
    let search = image.runpath().or(image.rpath()).unwrap_or_default();
    let relative: Vec<&[u8]> = search
        .split(|&byte| byte == b':')
        .filter_map(|path| {
            path.strip_prefix(b"$ORIGIN").or_else(|| path.strip_prefix(b"${ORIGIN}"))
        })
        .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
        .collect();
    if relative.is_empty() {
        return Vec::new();
    }
    let source = std::path::absolute(source).unwrap_or_else(|_| source.to_owned());
    let Some(origin) = source.parent() else { return Vec::new() };
    image
        .needed()
        .filter(|name| !name.contains(&b'/'))
        .filter_map(|name| {
            relative.iter().find_map(|rest| {
                let mut directory = origin.as_os_str().to_owned();
                directory.push(sys::file_name(rest));
                let file = PathBuf::from(directory).join(sys::file_name(name));
                file.is_file().then_some(file)
            })
        })
        .collect()
}

/// Opens them; what cannot be opened is left to the loader's own words when it misses it.
///
/// One that faults would be found there by the loader all the same, half constructed: the build cannot be loaded with it.
pub(super) fn open(loading: &Loading<'_>, paths: &[PathBuf]) -> Result<Vec<Handle>, Box<Fault>> {
    let mut opened = Vec::new();
    for path in paths {
        match sys::open(loading.caller, path) {
            Opening::Opened(handle) => opened.push(handle),
            Opening::Refused(_) => {}
            Opening::Faulted(fault) => {
                close(loading, opened);
                return Err(fault);
            }
        }
    }
    Ok(opened)
}

/// Closes them; their destructors are their own, and what one does at its end changes nothing here.
pub(super) fn close(loading: &Loading<'_>, dependencies: Vec<Handle>) {
    for dependency in dependencies {
        drop(sys::close(loading.caller, dependency));
    }
}
