//! The libraries that a guest needs and that lie beside it: one that was built again counts as a
//! new build of the guest.
//!
//! The first version has them where they lie, and shares them with whoever else in the process has
//! them. The loader takes a library that it knows for the one that is wanted, so that the code of a
//! rebuilt one would never run: the next version gets a copy of that, by its whole path. So does
//! each library beside the guest that leads to the rebuilt one. A library that the host had loaded
//! before is the host's, and stays as it is.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use elf_sections::sys::{Module, modules};
use elf_sections::{Changes, Expected, Image, Source, Verdict, plan_changes, verdict};

use crate::stage::{Identity, NotStaged, Stage, Staged};
use crate::sys;
use crate::version::{hands_path_down, plan_to_hand_path_down, search_path};

/// The libraries beside one guest.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    known: Vec<Neighbour>,
    /// What was loaded before the guest first was.
    before: Option<Vec<PathBuf>>,
}

#[derive(Debug)]
struct Neighbour {
    /// As the guest asks for it, or another library beside it.
    name: Vec<u8>,
    path: PathBuf,
    /// What it asks for itself.
    needs: Vec<Vec<u8>>,
    /// The build that was looked at last.
    seen: Identity,
    /// It has changed, or one that it leads to, and could not be copied yet.
    pending: bool,
    /// It was in the process before the guest.
    belongs_to_host: bool,
    /// What versions get instead of the library itself.
    copy: Option<Arc<Staged>>,
}

/// Why a library that was built again could not be copied.
#[derive(Debug)]
pub(crate) struct NotCopied {
    pub(crate) reason: String,
    /// There was no place for the copy.
    pub(crate) no_place: bool,
}

impl NotCopied {
    fn of(reason: String) -> Self {
        Self { reason, no_place: false }
    }
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

    /// Makes copies of those that were built again, and of those that lead to them.
    pub(crate) fn refresh(&mut self, stage: &Arc<Stage>, version: u32) -> Result<(), NotCopied> {
        for it in self.known.iter_mut().filter(|it| !it.belongs_to_host) {
            if let Some(new) = it.is_new() {
                it.seen = new;
                it.pending = true;
            }
        }
        while let Some(leading) = self
            .known
            .iter()
            .position(|it| !it.belongs_to_host && !it.pending && self.is_pending(&it.needs))
        {
            self.known[leading].pending = true;
        }
        // What another leads to is copied before that; libraries that lead to each other in any
        // order.
        while let Some(first) = self.known.iter().position(|it| it.pending) {
            let ready = |it: &Neighbour| it.pending && !self.is_pending(&it.needs);
            let next = self.known.iter().position(ready).unwrap_or(first);
            let copies = self.copies();
            let it = &mut self.known[next];
            it.copy(stage, version, &copies).map_err(|NotCopied { reason, no_place }| {
                let reason = format!("{}, which it needs, {reason}", it.path.display());
                NotCopied { reason, no_place }
            })?;
        }
        Ok(())
    }

    fn is_pending(&self, names: &[Vec<u8>]) -> bool {
        self.known.iter().any(|it| it.pending && names.contains(&it.name))
    }

    /// What there are copies of, and their paths.
    fn copies(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let copies = self.known.iter().filter_map(|it| {
            let path = it.copy.as_ref()?.path();
            Some((it.name.clone(), path.as_os_str().as_encoded_bytes().to_vec()))
        });
        copies.collect()
    }

    /// What a guest is to ask for instead of the names it has: nothing as long as all libraries are
    /// the ones that the first version had.
    pub(crate) fn replacements(&self, image: &Image<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
        needed_of(image, self.copies())
    }

    /// Takes note of what a version was loaded with: each library as it asks for it, and where that
    /// lies; and what those ask for in turn.
    pub(crate) fn note(&mut self, guest: &Path, needed: &[(Vec<u8>, PathBuf)]) {
        let Some(directory) = guest.parent() else { return };
        let asked = |name: &Vec<u8>| (name.clone(), PathBuf::from(sys::file_name(name)));
        let mut wanted: VecDeque<(Vec<u8>, PathBuf)> = needed.iter().cloned().collect();
        wanted.extend(self.known.iter().flat_map(|it| &it.needs).map(asked));
        let mut loaded = None;
        while let Some((name, path)) = wanted.pop_front() {
            // What was asked for by its name alone may have been found here all the same.
            let path = directory.join(path);
            if path.parent() != Some(directory) || self.known.iter().any(|it| it.name == name) {
                continue;
            }
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let Ok(file) = path.canonicalize() else { continue };
            let is_it = |module: &Module| module.path.canonicalize().is_ok_and(|it| it == file);
            if !loaded.get_or_insert_with(modules).iter().any(is_it) {
                continue;
            }
            let before = self.before.as_deref().unwrap_or_default();
            let needs = needs(&path);
            wanted.extend(needs.iter().map(asked));
            self.known.push(Neighbour {
                name,
                path,
                needs,
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

    /// Copies the library; the copy asks for those of others that there are.
    fn copy(
        &mut self,
        stage: &Arc<Stage>,
        version: u32,
        copies: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), NotCopied> {
        let (staged, file) =
            stage.copy(&self.path, version, None).map_err(|error| match error {
                NotStaged::Unwritable(_, error) => {
                    NotCopied { reason: format!("cannot be copied: {error}"), no_place: true }
                }
                NotStaged::Unreadable(error) => NotCopied::of(format!("cannot be read: {error}")),
                _ => NotCopied::of("is being written".to_owned()),
            })?;
        let unloadable =
            |reason: &dyn std::fmt::Display| NotCopied::of(format!("cannot be loaded: {reason}"));
        let bytes = sys::map(&file).map_err(|error| unloadable(&error))?;
        let image = match verdict(&bytes, &Expected { entry: None, ..Expected::native() }) {
            Verdict::Complete(image) => image,
            Verdict::Incomplete(reason) => {
                return Err(NotCopied::of(format!("is not whole: {reason}")));
            }
            Verdict::Unloadable(reason) => return Err(unloadable(&reason)),
        };
        let needs = image.needed().map(<[u8]>::to_vec).collect();
        let replace_needed = needed_of(&image, copies.to_vec());
        let runpath = search_path(&image, &self.path);
        let hands_down = runpath.is_some() && hands_path_down(&image);
        let changes = Changes { replace_needed, runpath, ..Changes::default() };
        let plan = plan_changes(&image, &changes).map_err(|error| unloadable(&error))?;
        drop(image);
        drop(bytes);
        plan.apply_to_file(&file, staged.path()).map_err(|error| unloadable(&error))?;
        if hands_down {
            let bytes = sys::map(&file).map_err(|error| unloadable(&error))?;
            let image = Image::parse(&bytes).map_err(|error| unloadable(&error))?;
            let plan = plan_to_hand_path_down(&image).map_err(|error| unloadable(&error))?;
            drop(image);
            drop(bytes);
            plan.apply_to_file(&file, staged.path()).map_err(|error| unloadable(&error))?;
        }
        self.needs = needs;
        self.seen = staged.identity();
        self.pending = false;
        self.copy = Some(Arc::new(staged));
        Ok(())
    }
}

/// Those of the copies that an image needs.
fn needed_of(image: &Image<'_>, copies: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let needed: Vec<&[u8]> = image.needed().collect();
    copies.into_iter().filter(|(name, _)| needed.contains(&name.as_slice())).collect()
}

/// What a library asks for. Somebody may be writing it, and then it is looked at again.
fn needs(path: &Path) -> Vec<Vec<u8>> {
    let source = File::open(path).and_then(Source::new);
    source
        .ok()
        .and_then(|source| Some(source.image().ok()?.needed().map(<[u8]>::to_vec).collect()))
        .unwrap_or_default()
}
