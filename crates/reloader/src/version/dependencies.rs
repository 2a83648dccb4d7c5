//! The libraries that a build needs, opened before it.
//!
//! A copy lies elsewhere than the build, so that `$ORIGIN` in its search path would lead nowhere:
//! the copy is given the path as it is from where the build lies.
//!
//! And a library that is first loaded together with a guest may bind to what the guest defines
//! (C++'s inline variables and template instances, which the guest and `libstdc++` both have), and
//! hold its image for ever. The loader takes a library that is already loaded, by its SONAME or as
//! the same file (glibc's `_dl_map_object`, musl's `load_library`), so each is opened first, by
//! itself: from the guest's own search path, or by its name.

use std::path::{Path, PathBuf};

use crash_guard::Fault;
use elf_sections::{Image, Tag};
use patch_plan::Plan;

use super::Loading;
use crate::sys::{self, Handle, Opening};

/// Each library that the image needs, and what to open for it.
pub(super) fn of(image: &Image<'_>, source: &Path) -> Vec<(Vec<u8>, PathBuf)> {
    let search = image.runpath().or(image.rpath()).unwrap_or_default();
    let directories: Vec<PathBuf> = seen_from(source, search)
        .into_iter()
        .filter(|directory| !directory.is_empty())
        .map(|directory| sys::file_name(&directory).into())
        .collect();
    image
        .needed()
        .map(|wanted| {
            let name = PathBuf::from(sys::file_name(wanted));
            let mut found = directories.iter().map(|directory| directory.join(&name));
            (wanted.to_owned(), found.find(|file| file.is_file()).unwrap_or(name))
        })
        .collect()
}

/// The search path that a copy of the image is to have, so that it leads where that of the build
/// leads; `None` where it does so as it is, or where no search path could.
///
/// A library without a SONAME is found by the search alone, whatever has been opened before, and so
/// is what the guest opens itself.
pub(crate) fn search_path(image: &Image<'_>, source: &Path) -> Option<Vec<u8>> {
    let search = image.runpath().or(image.rpath())?;
    let seen = seen_from(source, search).join(&b':');
    // Other variables stay, and lead where they led.
    let origin = origin_of(source);
    let is_taken_as_it_stands = !sys::has_loader_variable(&origin);
    let is_one = !origin.as_os_str().as_encoded_bytes().contains(&b':');
    (seen != search && is_one && is_taken_as_it_stands).then_some(seen)
}

/// Whether what the image needs is searched for by its path for all that this needs in turn:
/// `DT_RPATH`, where there is no `DT_RUNPATH` (System V gABI, "Shared Object Dependencies").
pub(crate) fn hands_path_down(image: &Image<'_>) -> bool {
    image.runpath().is_none() && image.rpath().is_some()
}

/// Plans to make the path of an image such a one.
pub(crate) fn plan_to_hand_path_down(image: &Image<'_>) -> Result<Plan, patch_plan::Error> {
    let mut plan = Plan::new();
    for entry in image.dynamic().iter().filter(|entry| entry.tag == Tag::RUNPATH) {
        let [old, new] = [Tag::RUNPATH, Tag::RPATH].map(|tag| (tag.0 as usize).to_ne_bytes());
        plan.edit(entry.offset, old, new)?;
    }
    Ok(plan)
}

/// The directories of a search path, with `$ORIGIN` as it is for an image that lies at `source`.
fn seen_from(source: &Path, search: &[u8]) -> Vec<Vec<u8>> {
    let origin = origin_of(source);
    let origin = origin.as_os_str().as_encoded_bytes();
    let seen = |mut directory: &[u8]| {
        let mut seen = Vec::new();
        while let Some((&first, rest)) = directory.split_first() {
            let behind = ORIGIN.iter().find_map(|token| directory.strip_prefix(*token));
            let behind = behind.filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
            match behind {
                Some(_) => seen.extend_from_slice(origin),
                None => seen.push(first),
            }
            directory = behind.unwrap_or(rest);
        }
        seen
    };
    search.split(|&byte| byte == b':').map(seen).collect()
}

/// The directory of an image that lies at `source`.
fn origin_of(source: &Path) -> PathBuf {
    let source = std::path::absolute(source).unwrap_or_else(|_| source.to_owned());
    source.parent().unwrap_or(Path::new("/")).to_owned()
}

/// How a search path names it.
const ORIGIN: [&[u8]; 2] = [b"$ORIGIN", b"${ORIGIN}"];

/// Opens them; what cannot be opened is left to the loader's own words when it misses it.
///
/// One that faults would be found there by the loader all the same, half constructed: the build
/// cannot be loaded with it.
pub(super) fn open(
    loading: &Loading<'_>,
    libraries: &[(Vec<u8>, PathBuf)],
) -> Result<Vec<Handle>, Box<Fault>> {
    let mut opened = Vec::new();
    for (_, path) in libraries {
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
