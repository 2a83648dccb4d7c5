//! The libraries that a guest needs and that lie beside it: one that was built again counts as a
//! new build of the guest.
//!
//! The first version has them where they lie, and shares them with whoever else in the process has
//! them. The loader takes a library that it knows for the one that is wanted, so that the code of a
//! rebuilt one would never run: the next version gets a copy of that, by its whole path. A library
//! that the host had loaded before is the host's, and stays as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use elf_sections::sys::{Module, modules};
use elf_sections::{Expected, Image, Verdict, verdict};

use crate::stage::{Identity, NotStaged, Stage, Staged};
use crate::sys;

/// The libraries beside one guest.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    known: Vec<Neighbour>,
    /// What was loaded before the guest first was.
    before: Option<Vec<PathBuf>>,
}

#[derive(Debug)]
struct Neighbour {
    /// As the guest asks for it.
    name: Vec<u8>,
    path: PathBuf,
    /// The build that was looked at last.
    seen: Identity,
    /// It has changed and could not be copied yet.
    pending: bool,
    /// It was in the process before the guest.
    belongs_to_host: bool,
    /// What versions get instead of the library itself.
    copy: Option<Arc<Staged>>,
}

impl Neighbours {
    /// Notes what the host has, once.
    pub(crate) fn note_the_hosts(&mut self) {
        self.before.get_or_insert_with(|| {
            let loaded = modules().into_iter();
            loaded.filter_map(|module| module.path.canonicalize().ok()).collect()
        });
    }

    /// Whether one was built again; costs a `stat` each.
    pub(crate) fn have_changed(&self) -> bool {
        self.known.iter().any(|it| !it.belongs_to_host && (it.pending || it.is_new().is_some()))
    }

    /// Makes copies of those that were built again; the reason says what is to be waited for.
    pub(crate) fn refresh(&mut self, stage: &Arc<Stage>, version: u32) -> Result<(), String> {
        for it in self.known.iter_mut().filter(|it| !it.belongs_to_host) {
            let new = it.is_new();
            if new.is_none() && !it.pending {
                continue;
            }
            it.seen = new.unwrap_or(it.seen);
            it.pending = true;
            let library = it.path.display();
            let (staged, file) =
                stage.copy(&it.path, version, None).map_err(|error| match error {
                    NotStaged::Unreadable(error) | NotStaged::Unwritable(_, error) => {
                        format!("{library}, which it needs, cannot be copied: {error}")
                    }
                    _ => format!("{library}, which it needs, is being written"),
                })?;
            let bytes = sys::map(&file).map_err(|error| error.to_string())?;
            match verdict(&bytes, &Expected { entry: None, ..Expected::native() }) {
                Verdict::Complete(_) => {}
                Verdict::Incomplete(reason) => {
                    return Err(format!("{library}, which it needs, is not whole: {reason}"));
                }
                Verdict::Unloadable(reason) => {
                    return Err(format!("{library}, which it needs, cannot be loaded: {reason}"));
                }
            }
            it.seen = staged.identity();
            it.pending = false;
            it.copy = Some(Arc::new(staged));
        }
        Ok(())
    }

    /// What a guest is to ask for instead of the names it has: nothing as long as all libraries are
    /// the ones that the first version had.
    pub(crate) fn replacements(&self, image: &Image<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let needed: Vec<&[u8]> = image.needed().collect();
        self.known
            .iter()
            .filter(|it| needed.contains(&it.name.as_slice()))
            .filter_map(|it| {
                let path = it.copy.as_ref()?.path();
                Some((it.name.clone(), path.as_os_str().as_encoded_bytes().to_vec()))
            })
            .collect()
    }

    /// Takes note of what a version was loaded with: each library as it asks for it, and where that
    /// lies.
    pub(crate) fn note(&mut self, guest: &Path, needed: &[(Vec<u8>, PathBuf)]) {
        let Some(directory) = guest.parent() else { return };
        for (name, path) in needed {
            // What was asked for by its name alone may have been found here all the same.
            let path = directory.join(path);
            if path.parent() != Some(directory) || self.known.iter().any(|it| it.name == *name) {
                continue;
            }
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let Ok(file) = path.canonicalize() else { continue };
            let is_it = |module: &Module| module.path.canonicalize().is_ok_and(|it| it == file);
            if !modules().iter().any(is_it) {
                continue;
            }
            let before = self.before.as_deref().unwrap_or_default();
            self.known.push(Neighbour {
                name: name.clone(),
                path,
                seen: sys::identity(&metadata),
                pending: false,
                belongs_to_host: before.contains(&file),
                copy: None,
            });
        }
    }
}

impl Neighbour {
    /// The library's identity, if it is another than the one that was looked at last.
    fn is_new(&self) -> Option<Identity> {
        let metadata = std::fs::metadata(&self.path).ok().filter(std::fs::Metadata::is_file)?;
        Some(sys::identity(&metadata)).filter(|&identity| identity != self.seen)
    }
}
