//! How a new build is noticed.
//!
//! The operating system's notifications only set a flag, so that a step without news costs one
//! atomic load; whether there really is another build is then asked of the file itself. Watched are
//! the directories in which the path, or a symbolic link on the way, has an entry: a linker
//! replaces the file, and a watch on the file would go with it. The directories further up are not:
//! whatever goes on in them would wake the watcher.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::builder::Watch;
use crate::sys;

/// Says when it is worth looking at the file.
#[derive(Debug)]
pub(crate) struct Notice {
    news: Arc<AtomicBool>,
    path: PathBuf,
    /// The system is to tell, and has not been asked yet: until the first look the host may become
    /// a daemon, which forks, and closes whatever is open.
    untried: bool,
    watcher: Option<RecommendedWatcher>,
    /// What the watcher waits with.
    descriptors: Arc<OnceLock<sys::Descriptors>>,
    /// The one that has the watcher's thread; a forked child has not.
    process: u32,
    /// The directories that are watched.
    watched: BTreeSet<PathBuf>,
    /// The entries in them whose changes are news; shared with the watcher's thread.
    entries: Arc<RwLock<BTreeSet<PathBuf>>>,
    /// Looking is also due by time: the system does not tell, or something is awaited that it would
    /// not tell.
    timer: Option<Timer>,
    /// The timer that the host asked for, or that a missing watch makes necessary.
    resting: Option<Duration>,
    /// When something is awaited that the system would not tell.
    awaited: Option<Duration>,
}

#[derive(Debug)]
struct Timer {
    every: Duration,
    last: Instant,
}

/// How often the file is looked at where the system does not tell.
const FALLBACK: Duration = Duration::from_millis(100);
/// How many symbolic links are followed (the kernel's own limit).
const LINKS: usize = 40;

impl Notice {
    /// The first look is due at once.
    pub(crate) fn new(path: &Path, watch: Watch) -> Self {
        let news = Arc::new(AtomicBool::new(true));
        let entries = Arc::new(RwLock::new(BTreeSet::new()));
        let resting = match watch {
            Watch::Poll(every) => Some(every),
            Watch::Notify | Watch::Manual => None,
        };
        let mut notice = Self {
            news,
            path: path.to_owned(),
            untried: watch == Watch::Notify,
            watcher: None,
            descriptors: Arc::new(OnceLock::new()),
            process: sys::process(),
            watched: BTreeSet::new(),
            entries,
            timer: None,
            resting,
            awaited: None,
        };
        notice.restart_timer();
        notice
    }

    /// Whether it is worth looking; one atomic load where the system tells.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire) || self.timer.as_ref().is_some_and(Timer::is_due)
    }

    /// Makes the next look due at once.
    pub(crate) fn look(&self) {
        self.news.store(true, Ordering::Release);
    }

    /// The file is about to be looked at: what happens from here on is news again. Says whether the
    /// look was asked for or is only due by time.
    pub(crate) fn looking(&mut self) -> bool {
        let told = self.news.swap(false, Ordering::AcqRel);
        self.leave_lost_watcher();
        if std::mem::take(&mut self.untried) {
            self.start_watcher();
        }
        if self.watcher.is_some() {
            let all = self.rearm();
            self.resting = (!all).then_some(FALLBACK);
        }
        self.restart_timer();
        told
    }

    /// Another look is wanted after this time, if the system tells of nothing before.
    pub(crate) fn look_after(&mut self, awaited: Option<Duration>) {
        self.awaited = awaited;
        self.restart_timer();
    }

    fn start_watcher(&mut self) {
        let (news, entries) = (Arc::clone(&self.news), Arc::clone(&self.entries));
        let noted = Arc::clone(&self.descriptors);
        let start = || sys::undisturbed(|| watcher(news, entries, noted).ok());
        let (watcher, descriptors) = sys::Descriptors::opened_by(start);
        // Without them it could not be told later whether they are still the watcher's.
        self.watcher = watcher.filter(|_| descriptors.is_some());
        if let Some(descriptors) = descriptors {
            self.descriptors.get_or_init(|| descriptors);
        }
        if self.watcher.is_none() {
            self.resting = Some(FALLBACK);
        }
    }

    /// In a forked child nobody answers for the watcher any more: it is the parent's. Nor does
    /// anybody once the host has closed its descriptors, whose numbers may be those of files of the
    /// host's by now: nothing may be written to them, and they may not be closed.
    fn leave_lost_watcher(&mut self) {
        let forked = self.process != sys::process();
        let closed = || self.descriptors.get().is_none_or(|it| !it.are_there());
        if self.watcher.is_some() && (forked || closed()) {
            std::mem::forget(self.watcher.take());
            self.resting = Some(FALLBACK);
        }
        self.process = sys::process();
    }

    fn restart_timer(&mut self) {
        let every = self.resting.into_iter().chain(self.awaited).min();
        self.timer = every.map(|every| Timer { every, last: Instant::now() });
    }

    /// Watches what is to be watched by now; false where the directory that the file lies in cannot
    /// be.
    fn rearm(&mut self) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let entries = entries(&self.path);
        let wanted: BTreeSet<PathBuf> =
            entries.iter().filter_map(|entry| Some(entry.parent()?.to_owned())).collect();
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
        for old in self.watched.difference(&wanted) {
            // It may be gone already.
            drop(watcher.unwatch(old));
        }
        // A directory that was removed and made again needs a new watch, and only asking tells.
        self.watched = wanted
            .into_iter()
            .filter(|directory| watcher.watch(directory, RecursiveMode::NonRecursive).is_ok())
            .collect();
        let file = std::fs::canonicalize(&self.path);
        let home = file.as_deref().ok().and_then(Path::parent);
        home.is_some_and(|home| self.watched.contains(home))
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.leave_lost_watcher();
    }
}

impl Timer {
    fn is_due(&self) -> bool {
        self.last.elapsed() >= self.every
    }
}

fn watcher(
    news: Arc<AtomicBool>,
    entries: Arc<RwLock<BTreeSet<PathBuf>>>,
    descriptors: Arc<OnceLock<sys::Descriptors>>,
) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // The library's thread would panic without them, and close what has their numbers by now:
        // it stays here, and nobody waits for it.
        while descriptors.get().is_some_and(|it| !it.are_there()) {
            std::thread::park();
        }
        let told = match event {
            Ok(event) => {
                let entries = entries.read().unwrap_or_else(PoisonError::into_inner);
                !is_reading(event.kind) && event.paths.iter().any(|path| decides(&entries, path))
            }
            // Something was missed.
            Err(_) => true,
        };
        if told {
            news.store(true, Ordering::Release);
        }
    })
}

fn is_reading(kind: EventKind) -> bool {
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    matches!(kind, EventKind::Access(_)) && kind != written
}

/// Whether what happened to `path` may concern the file: it is one of the entries, lies beside one,
/// where a library may lie that it needs, or is the directory itself.
fn decides(entries: &BTreeSet<PathBuf>, path: &Path) -> bool {
    entries.iter().any(|entry| entry.parent() == path.parent() || entry.parent() == Some(path))
}

/// The directory entries that decide which file `path` is: its own, and those of the links on the
/// way.
fn entries(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut links = 0;
    let mut whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    'again: loop {
        let mut walked = PathBuf::new();
        let mut rest = whole.components();
        while let Some(component) = rest.next() {
            if component == Component::ParentDir {
                walked.pop();
                continue;
            }
            let parent = walked.clone();
            walked.push(component);
            if !matches!(component, Component::Normal(_)) {
                continue;
            }
            if let Ok(target) = std::fs::read_link(&walked) {
                found.insert(walked);
                links += 1;
                if links > LINKS {
                    return found;
                }
                whole = parent.join(target).join(rest.as_path());
                continue 'again;
            }
        }
        found.insert(walked);
        return found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn every_link_on_the_way_counts_where_it_stands() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("releases/5")).unwrap();
        std::fs::write(root.join("releases/5/lib.so.1"), b"").unwrap();
        std::os::unix::fs::symlink("lib.so.1", root.join("releases/5/lib.so")).unwrap();
        std::os::unix::fs::symlink("releases/5", root.join("current")).unwrap();
        let found = entries(&root.join("current/lib.so"));
        let wanted = ["current", "releases/5/lib.so", "releases/5/lib.so.1"];
        assert_eq!(found, wanted.into_iter().map(|entry| root.join(entry)).collect());
    }

    #[test]
    fn what_lies_elsewhere_is_no_news() {
        let entries = BTreeSet::from([PathBuf::from("/a/b/lib.so")]);
        let decides = |path: &str| decides(&entries, Path::new(path));
        assert!(decides("/a/b/lib.so") && decides("/a/b"));
        assert!(decides("/a/b/libneeded.so"), "it lies beside the file");
        assert!(!decides("/a/c") && !decides("/a") && !decides("/a/c/lib.so"));
    }

    #[cfg(unix)]
    #[test]
    fn links_in_a_circle_end() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("b", root.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", root.path().join("b")).unwrap();
        assert!(!entries(&root.path().join("a")).is_empty());
    }
}
