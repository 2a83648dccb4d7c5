//! A place to put a guest on, and what was seen of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reloader::{Builder, Event, Plugin, Step};

use crate::{Build, write};

/// A directory with a guest in it, and one for the copies.
#[derive(Debug)]
pub struct Bench {
    directory: tempfile::TempDir,
    temporary: tempfile::TempDir,
}

/// The events of a plugin as they came, in words.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Vec<Event>>>);

impl Bench {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it makes directories")]
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), temporary: tempfile::tempdir().unwrap() }
    }

    /// One with a guest.
    pub fn with(build: &Build) -> Self {
        let bench = Self::new();
        bench.put(build);
        bench
    }

    /// The guest's path.
    pub fn library(&self) -> PathBuf {
        self.directory.path().join("libguest.so")
    }

    /// Where the guest lies.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the copies lie.
    pub fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// Puts a build in the guest's place, as linkers do: whole, by renaming.
    pub fn put(&self, build: &Build) {
        self.put_bytes(&build.bytes());
    }

    /// The same with any bytes.
    pub fn put_bytes(&self, bytes: &[u8]) {
        let unfinished = self.directory.path().join("unfinished");
        write(&unfinished, bytes);
        fs::rename(unfinished, self.library()).unwrap();
    }

    /// A plugin that looks at the file with each step, so that nothing depends on when a
    /// notification comes.
    pub fn builder(&self) -> Builder {
        Plugin::builder(self.library())
            .temp_dir(self.temporary.path())
            .watch(reloader::Watch::Poll(Duration::ZERO))
    }

    /// That plugin, opened, and what it tells.
    pub fn open(&self) -> (Plugin, Seen) {
        self.open_with(|builder| builder)
    }

    /// The same with other options.
    pub fn open_with(&self, options: impl FnOnce(Builder) -> Builder) -> (Plugin, Seen) {
        let seen = Seen::default();
        let plugin = options(self.builder()).on_event(seen.callback()).open().unwrap();
        (plugin, seen)
    }

    /// The files that are left for the copies.
    pub fn copies(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for directory in fs::read_dir(self.temporary.path()).unwrap().flatten() {
            for file in fs::read_dir(directory.path()).unwrap().flatten() {
                if file.file_name() != "lock" {
                    found.push(file.path());
                }
            }
        }
        found
    }

    /// The mappings that come from copies.
    pub fn mappings(&self) -> Vec<String> {
        let copies = self.temporary.path().to_str().unwrap();
        let maps = fs::read("/proc/self/maps").unwrap();
        String::from_utf8_lossy(&maps)
            .lines()
            .filter(|line| line.contains(copies))
            .map(str::to_owned)
            .collect()
    }
}

impl Seen {
    /// A callback that notes each event.
    pub fn callback(&self) -> impl FnMut(&Event) + Send + 'static {
        let seen = Arc::clone(&self.0);
        move |event| seen.lock().unwrap().push(event.clone())
    }

    /// What has been seen since this was last asked.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Forgets what has been seen.
    pub fn forget(&self) {
        drop(self.take());
    }

    /// The words of what has been seen since this was last asked: `loaded 1`, `fault 2 step`,
    /// `refused 3 BadImage`.
    pub fn words(&self) -> Vec<String> {
        self.take().iter().filter_map(words).collect()
    }
}

fn words(event: &Event) -> Option<String> {
    Some(match event {
        Event::Loaded { version, .. } => format!("loaded {version}"),
        Event::Reloaded { version, from, .. } => format!("reloaded {version} from {from}"),
        Event::Refused(refusal) => format!("refused {} {:?}", refusal.version, refusal.kind),
        Event::Fault(failure) => format!("fault {} {}", failure.version, failure.during),
        Event::RolledBack { version, from } => format!("rolled back to {version} from {from}"),
        Event::Closed { .. } => "closed".to_owned(),
        _ => return None,
    })
}

/// Steps until `done`, for at most ten seconds.
pub fn step_until(plugin: &mut Plugin, mut done: impl FnMut(Step) -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !done(plugin.step()) {
        assert!(Instant::now() < until, "what was waited for does not come: {plugin:?}");
        std::thread::yield_now();
    }
}
