//! What was found out once, kept for the next question on the same binary.

mod layout;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{BuildInfo, Disk, Identity, Questions, Stamp, System};

/// What was found out once, kept for the next question on the same binary.
///
/// An entry is one file, made whole before it gets its name. It is read piece by piece: what a
/// question does not need is not looked at. One that is damaged, of another version, of other
/// questions, or whose [witnesses](Self::store) have changed is as good as none, and is replaced
/// the next time.
///
/// ```
/// use build_info::{BuildInfo, Cache, CacheKey, Format, Identity, Questions};
///
/// let directory = tempfile::tempdir()?;
/// let cache = Cache::at(directory.path());
/// let key = CacheKey::new(&Identity::BuildId(vec![1, 2, 3])).with("--map /a=/b");
/// assert!(cache.load(&key, &Questions::ALL).is_none());
/// let info = BuildInfo::new(Format::Elf);
/// cache.store(&key, &info, &Questions::ALL, &[])?;
/// assert_eq!(cache.load(&key, &Questions::FILES), Some(info));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
    most: u64,
}

/// Which binary, and under which circumstances.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    identity: String,
    circumstances: u64,
}

impl CacheKey {
    /// The key of a build.
    pub fn new(identity: &Identity) -> Self {
        let (kind, bytes) = match identity {
            Identity::Pdb { guid, age } => ("pdb", [guid.as_slice(), &age.to_be_bytes()].concat()),
            Identity::BuildId(id) => ("id", id.clone()),
            Identity::Uuid(uuid) => ("uuid", uuid.to_vec()),
        };
        let hex: String = bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
        Self { identity: format!("{kind}-{hex}"), circumstances: FNV_BASIS }.with(&bytes)
    }

    /// The same build under a circumstance that changes the answer: an option, or that debug
    /// information was stripped, which leaves a build's identity as it is.
    #[must_use]
    pub fn with(mut self, circumstance: impl AsRef<[u8]>) -> Self {
        let circumstance = circumstance.as_ref();
        let length = (circumstance.len() as u64).to_le_bytes();
        for &byte in length.iter().chain(circumstance) {
            self.circumstances = (self.circumstances ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        self
    }

    fn name(&self) -> String {
        format!("{}-{:016x}{ENDING}", self.identity, self.circumstances)
    }
}

impl Cache {
    /// The cache in a directory, which is made when something is stored.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), most: MOST_BYTES }
    }

    /// With a limit to the bytes of all its entries; 1 GiB if nobody says otherwise. When more is
    /// stored, those go first that were stored first.
    #[must_use]
    pub fn limited(mut self, bytes: u64) -> Self {
        self.most = bytes;
        self
    }

    /// The answer to some questions, if they were asked before and nothing has changed since.
    pub fn load(&self, key: &CacheKey, questions: &Questions) -> Option<BuildInfo> {
        self.entry(key, questions)?.info(questions)
    }

    /// The same for [`BuildInfo::affected`] alone: the units have no files, and of the files those
    /// alone have units that the paths are recognised as. It is far less work. `commands` says
    /// whether the commands of those units are wanted; the others have none.
    pub fn load_for_paths<S: AsRef<str>>(
        &self,
        key: &CacheKey,
        paths: &[S],
        commands: bool,
    ) -> Option<BuildInfo> {
        let questions = Questions { commands, files: true, contributions: false };
        let wanted = |info: &BuildInfo| {
            info.affected(paths).matches.into_iter().flat_map(|one| one.files).collect()
        };
        self.entry(key, &questions)?.info_of_files(commands, wanted)
    }

    /// The same for [`BuildInfo::owners`] alone: of the contributions there are those that matter
    /// for the addresses.
    pub fn load_for_addresses(&self, key: &CacheKey, addresses: &[u64]) -> Option<BuildInfo> {
        let questions = Questions { commands: false, files: false, contributions: true };
        self.entry(key, &questions)?.info_at(addresses)
    }

    fn entry(&self, key: &CacheKey, questions: &Questions) -> Option<layout::Entry> {
        let path = self.directory.join(key.name());
        let mut entry = layout::Entry::open(fs::File::open(path).ok()?, &key.name(), questions)?;
        let witnesses: Vec<(String, Stamp)> = entry.witnesses()?;
        let same = |(path, stamp): &(String, Stamp)| {
            System.stamp(path).map_or(*stamp == GONE, |today| today == *stamp)
        };
        witnesses.iter().all(same).then_some(entry)
    }

    /// Keeps what is known of a binary: the answer to `questions`. It counts as long as the
    /// witnesses, files that it depends on besides the binary, are as they were when they were
    /// read; [`Surroundings`](crate::around::Surroundings::witnesses) has them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn store(
        &self,
        key: &CacheKey,
        info: &BuildInfo,
        questions: &Questions,
        witnesses: &[(String, Stamp)],
    ) -> io::Result<()> {
        let bytes = layout::bytes(&key.name(), info, questions, witnesses)?;
        fs::create_dir_all(&self.directory)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        file.persist(self.directory.join(key.name())).map_err(|error| error.error)?;
        self.keep_to_limit();
        Ok(())
    }

    /// Takes away the oldest entries. What cannot be taken away stays.
    fn keep_to_limit(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let mut entries: Vec<_> = entries
            .flatten()
            .filter(|entry| is_entry(&entry.path()))
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in entries {
            if total <= self.most {
                return;
            }
            if fs::remove_file(path).is_ok() {
                total = total.saturating_sub(length);
            }
        }
    }
}

fn is_entry(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(ENDING))
}

/// The stamp of a witness that was not there.
const GONE: Stamp = Stamp { modified: 0, length: 0 };
const ENDING: &str = ".build-info";
const MOST_BYTES: u64 = 1 << 30;
/// Fowler, Noll and Vo's hash of 64 bits, variant 1a.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
