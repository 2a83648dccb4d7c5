//! What was found out about a build, kept for the next question.

use std::cell::RefCell;
use std::env;
use std::path::{Path, PathBuf};

use build_info::{
    BuildInfo, Cache, CacheKey, Companion, Companions, Disk, Identity, Nearby, Opened, Questions,
    Stamp, System,
};

/// A file that an answer depends on, as it was; all zeros if it was not there.
pub type Witness = (String, Stamp);

/// To what a question is narrowed down.
pub enum Narrow {
    /// This much of what was kept, and whether each file is there now.
    Now(Questions),
    /// This much of what was kept, and files as they were then.
    Then(Questions),
    /// The units that were made from these files, each by the first of its paths that is known.
    Paths(Vec<[String; 2]>),
    /// The owners of these addresses.
    Addresses(Vec<u64>),
}

/// The place of an answer in the cache.
pub struct Kept {
    cache: Cache,
    key: CacheKey,
}

impl Kept {
    /// The place of the answers about a build, under circumstances that change them; none where
    /// there is no directory to keep them in.
    pub fn of(directory: Option<&Path>, identity: &Identity, circumstances: &str) -> Option<Self> {
        let directory = directory.map(Path::to_owned).or_else(cache_directory)?;
        let key = CacheKey::new(identity).with(env!("CARGO_PKG_VERSION")).with(circumstances);
        Some(Self { cache: Cache::at(directory), key })
    }

    /// The answer, if it was given before: alone, or among all. Of a narrow one only as much as
    /// matters. `read` is what is found out where nothing is kept, which may be more than is asked.
    pub fn load(&self, asked: &Questions, read: &Questions, narrow: &Narrow) -> Option<BuildInfo> {
        let load = |key: &CacheKey| match narrow {
            Narrow::Now(part) | Narrow::Then(part) => self.cache.load(key, part),
            Narrow::Paths(paths) => {
                self.cache.load_for_paths(key, paths.as_flattened(), asked.commands)
            }
            Narrow::Addresses(addresses) => self.cache.load_for_addresses(key, addresses),
        };
        load(&self.key(&Questions::ALL)).or_else(|| load(&self.key(read)))
    }

    /// Keeps an answer. Where that cannot be done, the next question takes as long as this one.
    pub fn store(&self, info: &BuildInfo, questions: &Questions, witnesses: &[Witness]) {
        let _ = self.cache.store(&self.key(questions), info, questions, witnesses);
    }

    /// Answers to some questions do not take the place of those to others.
    fn key(&self, questions: &Questions) -> CacheKey {
        self.key.clone().with(format!("{questions:?}"))
    }
}

/// The files around an image, and which of them were looked at.
pub struct Watched {
    nearby: Nearby,
    seen: RefCell<Vec<Witness>>,
}

impl Watched {
    pub fn new(nearby: Nearby) -> Self {
        Self { nearby, seen: RefCell::default() }
    }

    pub fn into_witnesses(self) -> Vec<Witness> {
        self.seen.into_inner()
    }
}

impl Companions for Watched {
    fn places(&self, wanted: &Companion) -> Vec<PathBuf> {
        self.nearby.places(wanted)
    }

    fn open(&self, place: &Path) -> Option<Opened> {
        self.seen.borrow_mut().push(witness(&place.to_string_lossy()));
        self.nearby.open(place)
    }
}

/// A file as it is now.
pub fn witness(path: &str) -> Witness {
    let gone = Stamp { modified: 0, length: 0 };
    (path.to_owned(), System.stamp(path).unwrap_or(gone))
}

/// The directory for what programs can find out again: the XDG one, or that of the system.
fn cache_directory() -> Option<PathBuf> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let base = variable("XDG_CACHE_HOME").or_else(|| match env::consts::OS {
        "windows" => variable("LOCALAPPDATA"),
        "macos" => Some(variable("HOME")?.join("Library/Caches")),
        _ => Some(variable("HOME")?.join(".cache")),
    });
    Some(base?.join("reloader"))
}
