//! How a new build is noticed.
//!
//! The operating system's notifications only set a flag, so that a step without news costs one atomic load; whether
//! there really is another build is then asked of the file itself. Watched are the directories in which the path, or a
//! symbolic link on the way, has an entry: a linker replaces the file, and a watch on the file would go with it.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::builder::Watch;

/// Says when it is worth looking at the file.
#[derive(Debug)]
pub(crate) struct Notice {
    news: Arc<AtomicBool>,
    path: PathBuf,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    /// Looking is also due by time: the system does not tell, or something is awaited that it would not tell.
    timer: Option<Timer>,
    /// The timer that the host asked for, or that a missing watch makes necessary.
    resting: Option<Duration>,
    awaited: Awaited,
}

/// What is awaited that the system would not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    Nothing,
    /// The end of the writing of a build.
    Completion,
    /// Something that a build misses, wherever it may appear.
    Missing,
}

#[derive(Debug)]
struct Timer {
    every: Duration,
    last: Instant,
}

/// How often the file is looked at where the system does not tell.
const FALLBACK: Duration = Duration::from_millis(100);
/// How often while a build is being written.
const AWAITING: Duration = Duration::from_millis(5);
/// How often while a build misses something; each look copies the build.
const MISSING: Duration = Duration::from_secs(1);
/// How many symbolic links are followed (the kernel's own limit).
const LINKS: usize = 40;

impl Notice {
    /// The first look is due at once.
    pub(crate) fn new(path: &Path, watch: Watch) -> Self {
        let news = Arc::new(AtomicBool::new(true));
        let watcher = (watch == Watch::Notify).then(|| watcher(Arc::clone(&news)).ok()).flatten();
        let resting = match watch {
            Watch::Poll(every) => Some(every),
            Watch::Notify if watcher.is_none() => Some(FALLBACK),
            Watch::Notify | Watch::Manual => None,
        };
        let mut notice = Self {
            news,
            path: path.to_owned(),
            watcher,
            watched: BTreeSet::new(),
            timer: None,
            resting,
            awaited: Awaited::Nothing,
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

    /// The file is about to be looked at: what happens from here on is news again.
    pub(crate) fn looking(&mut self) {
        self.news.store(false, Ordering::Release);
        if self.watcher.is_some() {
            let all = self.rearm();
            self.resting = (!all).then_some(FALLBACK);
        }
        self.restart_timer();
    }

    /// Says what has come of the look.
    pub(crate) fn looked(&mut self, awaited: Awaited) {
        self.awaited = awaited;
        self.restart_timer();
    }

    fn restart_timer(&mut self) {
        let wanted = match self.awaited {
            Awaited::Nothing => None,
            Awaited::Completion => Some(AWAITING),
            Awaited::Missing => Some(MISSING),
        };
        let every = self.resting.into_iter().chain(wanted).min();
        self.timer = every.map(|every| Timer { every, last: Instant::now() });
    }

    /// Watches what is to be watched by now; false where something cannot be.
    fn rearm(&mut self) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let wanted = directories(&self.path);
        for old in self.watched.difference(&wanted) {
            // It may be gone already.
            drop(watcher.unwatch(old));
        }
        let mut all = true;
        self.watched = wanted
            .into_iter()
            .filter(|directory| {
                // A directory that was removed and made again needs a new watch, and only asking tells.
                let watched = watcher.watch(directory, RecursiveMode::NonRecursive).is_ok();
                all &= watched;
                watched
            })
            .collect();
        all && !self.watched.is_empty()
    }
}

impl Timer {
    fn is_due(&self) -> bool {
        self.last.elapsed() >= self.every
    }
}

fn watcher(news: Arc<AtomicBool>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let read_only = event.is_ok_and(|event| match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => true,
            _ => false,
        });
        if !read_only {
            news.store(true, Ordering::Release);
        }
    })
}

/// The directories whose entries decide which file `path` is.
fn directories(path: &Path) -> BTreeSet<PathBuf> {
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
                found.insert(parent.clone());
                links += 1;
                if links > LINKS {
                    return found;
                }
                whole = parent.join(target).join(rest.as_path());
                continue 'again;
            }
        }
        if let Some(parent) = walked.parent() {
            found.insert(parent.to_owned());
        }
        return found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn every_link_on_the_way_is_watched_where_it_stands() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("releases/5")).unwrap();
        std::fs::write(root.join("releases/5/lib.so.1"), b"").unwrap();
        std::os::unix::fs::symlink("lib.so.1", root.join("releases/5/lib.so")).unwrap();
        std::os::unix::fs::symlink("releases/5", root.join("current")).unwrap();
        let found = directories(&root.join("current/lib.so"));
        assert_eq!(found, BTreeSet::from([root.clone(), root.join("releases/5")]));
    }

    #[cfg(unix)]
    #[test]
    fn links_in_a_circle_end() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("b", root.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", root.path().join("b")).unwrap();
        assert!(!directories(&root.path().join("a")).is_empty());
    }
}
