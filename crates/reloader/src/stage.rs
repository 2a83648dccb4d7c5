//! Private copies of builds.
//!
//! A version is loaded from a copy, so that the build may be overwritten while it runs. The copies
//! of a process lie in a directory of its own, of mode 0700, which it holds a lock on; a directory
//! whose lock is free belonged to a process that is gone, and is cleared away by the next one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::{Error, ErrorKind};
use crate::sys;

/// The directory of this process below one temporary directory.
#[derive(Debug)]
pub(crate) struct Stage {
    root: PathBuf,
    home: Mutex<Home>,
    /// A forked child has the same directory and must not remove it.
    process: u32,
    /// Whether copies that share blocks are worth trying here.
    reflinks: AtomicBool,
}

#[derive(Debug)]
struct Home {
    directory: PathBuf,
    /// Locked for as long as it is open.
    lock: sys::Kept,
}

/// A copy of a build; the file goes with it.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
    identity: Identity,
    stage: Arc<Stage>,
}

/// What tells one build from the next.
pub(crate) type Identity = [u64; 7];

/// Why there is no copy.
#[derive(Debug)]
pub(crate) enum NotStaged {
    /// The build is still being written, or was replaced meanwhile.
    Changing,
    /// There is nothing in it yet.
    Empty(Identity),
    /// The build cannot be read: what was tried, and why it failed.
    Unreadable(io::Error),
    /// The copy cannot be written.
    Unwritable(PathBuf, io::Error),
}

const PREFIX: &str = "reloader-";
/// Not yet locked; never cleared away, for its owner may be about to lock it.
const UNFINISHED: &str = ".reloader-";
const LOCK: &str = "lock";
/// How many letters and digits end the name of a directory.
const SUFFIX: usize = 6;

static STAGES: Mutex<Vec<(PathBuf, Weak<Stage>)>> = Mutex::new(Vec::new());
static COPIES: AtomicU64 = AtomicU64::new(0);

impl Stage {
    /// Where the copies lie as long as the host does not say: below the system's temporary
    /// directory, or beside the library where no directory can be made there, for the reason that
    /// comes with it.
    pub(crate) fn unless_said(library: &Path) -> Result<(Arc<Self>, Option<Error>), Error> {
        match Self::below(&std::env::temp_dir()) {
            Ok(stage) => Ok((stage, None)),
            Err(error) => match Self::beside(library) {
                Ok(stage) => Ok((stage, Some(error))),
                Err(_) => Err(error),
            },
        }
    }

    /// This process's directory beside the library.
    pub(crate) fn beside(library: &Path) -> Result<Arc<Self>, Error> {
        Self::below(library.parent().unwrap_or(Path::new("/")))
    }

    /// Where the directory of this process was made.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// This process's directory below `root`, made if there is none yet.
    pub(crate) fn below(root: &Path) -> Result<Arc<Self>, Error> {
        let unusable = |error: io::Error| {
            Error::new(
                ErrorKind::TemporaryDirectory,
                "no directory for the private copies can be made here; choose another with temp_dir",
            )
            .at(root)
            .because(error)
        };
        // A relative path may lead elsewhere tomorrow.
        let whole = std::path::absolute(root).map_err(unusable)?;
        if sys::has_loader_variable(&whole) {
            let reason = "the dynamic loader takes a part of the path for a variable";
            return Err(unusable(io::Error::other(reason)));
        }
        let mut stages = STAGES.lock().unwrap_or_else(PoisonError::into_inner);
        stages.retain(|(_, stage)| stage.strong_count() > 0);
        let known = stages.iter().find(|(known, _)| *known == whole);
        if let Some(stage) = known.and_then(|(_, stage)| stage.upgrade())
            && stage.process == sys::process()
        {
            return Ok(stage);
        }
        clear_abandoned(&whole);
        let stage = Arc::new(Self {
            home: Mutex::new(Home::make(&whole).map_err(unusable)?),
            root: whole.clone(),
            process: sys::process(),
            reflinks: AtomicBool::new(true),
        });
        stages.push((whole, Arc::downgrade(&stage)));
        Ok(stage)
    }

    /// The directory, made again if somebody has cleared it away, as systems do with what is old
    /// and temporary, or if the host has closed the lock with whatever it found open.
    fn directory(&self) -> io::Result<PathBuf> {
        let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if !home.lock.is_there() {
            home.lock_again();
        }
        if !home.lock.is_there() || !home.directory.is_dir() {
            *home = Home::make(&self.root)?;
        }
        Ok(home.directory.clone())
    }

    /// Copies the build at `source`, a regular file, under a name that no other
    /// copy of this process has ever had: the loader knows its libraries by name. The open file is
    /// for the edits.
    ///
    /// The file of `spare`, a copy that is not mapped any more, is written over where a copy cannot
    /// share blocks: that spares the file system half the work.
    pub(crate) fn copy(
        self: &Arc<Self>,
        source: &Path,
        version: u32,
        spare: Option<Staged>,
    ) -> Result<(Staged, File), NotStaged> {
        let mut original = sys::open_build(source).map_err(NotStaged::Unreadable)?;
        let metadata = original.metadata().map_err(NotStaged::Unreadable)?;
        if sys::being_written(&original) == Some(true) {
            return Err(NotStaged::Changing);
        }
        let identity = sys::identity(&metadata);
        if metadata.len() == 0 {
            return Err(NotStaged::Empty(identity));
        }
        let directory =
            self.directory().map_err(|error| NotStaged::Unwritable(self.root.clone(), error))?;
        let forked = Some(sys::process()).filter(|&process| process != self.process);
        let path = directory.join(copy_name(source, version, forked));
        // From here on the copy goes when this does.
        let staged = Staged { path, identity, stage: Arc::clone(self) };
        let copy = self
            .fill(source, &mut original, &staged.path, spare)
            .map_err(|error| NotStaged::Unwritable(staged.path.clone(), error))?;
        match fs::metadata(source) {
            Ok(now) if sys::identity(&now) == identity => Ok((staged, copy)),
            _ => Err(NotStaged::Changing),
        }
    }

    fn fill(
        &self,
        source: &Path,
        original: &mut File,
        path: &Path,
        spare: Option<Staged>,
    ) -> io::Result<File> {
        let mut open = File::options();
        open.read(true).write(true);
        if self.reflinks.load(Ordering::Relaxed) {
            if reflink_copy::reflink(source, path).is_ok() {
                return open.open(path);
            }
            self.reflinks.store(false, Ordering::Relaxed);
        }
        let spare = spare.and_then(|spare| {
            // A fork of this process may still run it.
            let copy = open.open(&spare.path).ok().filter(|copy| !sys::is_shared(copy))?;
            fs::rename(&spare.path, path).ok().map(|()| copy)
        });
        let mut copy = match spare {
            Some(copy) => copy,
            None => open.create_new(true).open(path)?,
        };
        let length = io::copy(original, &mut copy)?;
        copy.set_len(length)?;
        Ok(copy)
    }
}

impl Home {
    /// A new directory below `root`, locked.
    fn make(root: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        sys::make_private(&mut builder);
        let unfinished = builder.prefix(UNFINISHED).rand_bytes(SUFFIX).tempdir_in(root)?;
        let lock = File::create_new(unfinished.path().join(LOCK))?;
        if !sys::try_lock(&lock)? {
            return Err(io::Error::other("somebody else has locked the new directory"));
        }
        let name = unfinished.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let suffix = name.strip_prefix(UNFINISHED).unwrap_or(name);
        let directory = root.join(format!("{PREFIX}{}-{suffix}", sys::process()));
        fs::rename(unfinished.path(), &directory)?;
        // Nothing is there any more under the old name.
        let _moved = unfinished.keep();
        Ok(Self { directory, lock: sys::Kept::new(lock) })
    }

    /// Takes the lock again, if nobody has it and the directory is still there.
    fn lock_again(&mut self) {
        if let Ok(lock) = File::open(self.directory.join(LOCK))
            && sys::try_lock(&lock).unwrap_or(false)
        {
            self.lock = sys::Kept::new(lock);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.process == sys::process() {
            let home = self.home.get_mut().unwrap_or_else(PoisonError::into_inner);
            // What cannot be removed now is cleared away by the next process.
            drop(fs::remove_dir_all(&home.directory));
        }
    }
}

impl Staged {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The identity of the build that it is a copy of.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.stage.process == sys::process() {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// `libguest.so` becomes `libguest.v3-17.so`: debuggers and people know it again. A forked child
/// counts on from where its parent was, in the same directory: there it ends in its process too.
fn copy_name(source: &Path, version: u32, forked: Option<u32>) -> PathBuf {
    let mut unique = COPIES.fetch_add(1, Ordering::Relaxed).to_string();
    if let Some(process) = forked {
        unique.push_str(&format!("-{process}"));
    }
    let mut name = source.file_stem().unwrap_or(source.as_os_str()).to_owned();
    if sys::has_loader_variable(source) {
        name = "guest".into();
    }
    name.push(format!(".v{version}-{unique}"));
    // A long name with a number more may be too long for the file system.
    let mut name =
        if name.len() > 200 { format!("guest.v{version}-{unique}").into() } else { name };
    if let Some(extension) = source
        .extension()
        .filter(|extension| extension.len() < 32 && !sys::has_loader_variable(Path::new(extension)))
    {
        name.push(".");
        name.push(extension);
    }
    PathBuf::from(name)
}

/// Whether a name is one that [`copy_name`] makes.
fn is_copy_name(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    name.rmatch_indices(".v").any(|(at, separator)| {
        let numbers = name[at + separator.len()..].split('.').next().unwrap_or_default();
        numbers.contains('-') && numbers.split('-').all(is_number)
    })
}

/// Whether a name is one that [`Home::make`] gives to a directory.
fn is_home_name(name: &str) -> bool {
    let parts = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(process, suffix)| {
        process.parse::<u32>().is_ok()
            && suffix.len() == SUFFIX
            && suffix.bytes().all(|it| it.is_ascii_alphanumeric())
    })
}

/// Removes the directories of processes that are gone.
fn clear_abandoned(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(is_home_name)
            && entry.metadata().is_ok_and(|metadata| sys::is_own_directory(&metadata));
        let path = entry.path().join(LOCK);
        if !ours || !path.symlink_metadata().is_ok_and(|lock| lock.is_file() && lock.len() == 0) {
            continue;
        }
        let Ok(lock) = File::open(path) else { continue };
        if sys::try_lock(&lock).unwrap_or(false) {
            clear(&entry.path());
        }
    }
}

/// Removes a directory with the lock and the copies in it. Where somebody has put anything else
/// there, that and the directory stay.
fn clear(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut others = false;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if is_copy_name(&name) && entry.file_type().is_ok_and(|it| it.is_file()) {
            drop(fs::remove_file(entry.path()));
        } else {
            others |= name != LOCK;
        }
    }
    if !others {
        drop(fs::remove_file(directory.join(LOCK)));
        drop(fs::remove_dir(directory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe.so");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let stage = Stage::below(directory.path()).unwrap();
        let copied = stage.copy(&pipe, 1, None);
        assert!(matches!(copied, Err(NotStaged::Unreadable(_))), "{copied:?}");
    }

    #[test]
    fn its_own_names_are_known_and_no_others() {
        for source in ["libguest.so", "guest", "a.v1-x.so", "\u{e4}.v2-2", "$ORIGIN.so"] {
            for forked in [None, Some(1234)] {
                let name = copy_name(Path::new(source), 3, forked);
                assert!(is_copy_name(name.to_str().unwrap()), "{name:?}");
            }
        }
        for name in ["lock", "libguest.so", "a.v1.so", "a.v-1.so", "a.v1-.so", "a.v1-2b.so", "v1-2"]
        {
            assert!(!is_copy_name(name), "{name}");
        }
        assert!(is_home_name("reloader-17-aB3dE6"));
        for name in ["reloader-notes", "reloader-1-notes", "reloader-x-aB3dE6", "reloader-1-aB_dE6"]
        {
            assert!(!is_home_name(name), "{name}");
        }
    }
}
