//! Finding what a build system left in its directory.

use super::Surroundings;
use super::depfile::Depfile;
use crate::path::{Root, Spelled};
use crate::{Disk, Entry, EntryKind, Provenance, Stamp, Style};

impl Surroundings {
    /// Reads what is in a build directory: `compile_commands.json`, `build.ninja` with its log of
    /// dependencies, and in the directories below it dependency files (`*.d`) and CMake's
    /// `link.txt`.
    ///
    /// Of what is below, 100,000 names are looked at and 12 directories deep; links are not
    /// followed. What cannot be read becomes a remark. No program is run.
    pub fn find(directory: &str, disk: &dyn Disk) -> Self {
        let mut around = Self::default();
        around.look(directory, disk);
        around
    }

    /// The nearest directory, from one upwards, with a `compile_commands.json` or a `build.ninja`
    /// in it or in its `build`, `out`, `builddir` or `target`, or that CMake or cargo was run in; or
    /// the first itself, if dependency files are in it or in a directory of it.
    pub fn directory_above(start: &str, disk: &dyn Disk) -> Option<String> {
        let mut directory = Spelled::parse(start, disk.style()).collapsed();
        let first = directory.to_string();
        loop {
            let path = directory.to_string();
            for inner in ["", "build", "out", "builddir", "target"] {
                let candidate =
                    if inner.is_empty() { path.clone() } else { below(&path, inner, disk) };
                let has = |name| disk.stamp(&below(&candidate, name, disk)).is_ok();
                if NAMES.into_iter().any(has) {
                    return Some(candidate);
                }
            }
            if path == first && has_depfiles(&path, disk) {
                return Some(path);
            }
            directory.names.pop()?;
        }
    }

    /// Adds what a dependency file says. `directory` is where its relative paths start, if that is
    /// known; if not, it is taken for where the compiler ran.
    pub fn add_depfile(&mut self, directory: Option<&str>, bytes: &[u8]) {
        self.add_rules(bytes, |_| directory.map(str::to_owned));
    }

    fn add_rules(&mut self, bytes: &[u8], directory: impl Fn(&[String]) -> Option<String>) {
        let file = Depfile::parse(bytes);
        if file.is_cut {
            self.remarks
                .push("a dependency file has too many rules: not all were taken".to_owned());
        }
        for mut step in file.steps(Provenance::Depfile) {
            step.directory = directory(&step.outputs);
            self.steps.push(step);
        }
    }

    pub(super) fn add_depfile_at(&mut self, path: &str, directory: Option<&str>, disk: &dyn Disk) {
        match disk.read(path, MOST_DEPFILE) {
            Ok(bytes) => {
                let style = disk.style();
                self.add_rules(&bytes, |targets| match directory {
                    Some(directory) => Some(directory.to_owned()),
                    None => targets.iter().find_map(|target| start_of(path, target, style)),
                });
                self.witness(path.to_owned(), disk);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.remarks.push(format!("{path}: {error}")),
        }
    }

    /// Notes that a file was read, or was not there.
    pub(super) fn witness(&mut self, path: String, disk: &dyn Disk) {
        let gone = Stamp { modified: 0, length: 0 };
        let stamp = disk.stamp(&path).unwrap_or(gone);
        self.witnesses.push((path, stamp));
    }

    fn look(&mut self, directory: &str, disk: &dyn Disk) {
        let commands = below(directory, COMMANDS, disk);
        match disk.read(&commands, MOST_COMMANDS) {
            Ok(bytes) => {
                if let Err(error) = self.add_compile_commands(&bytes) {
                    self.remarks.push(format!("{commands}: {error}"));
                }
                self.witness(commands, disk);
            }
            // It may be there the next time.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.witness(commands, disk);
            }
            Err(error) => self.remarks.push(format!("{commands}: {error}")),
        }
        let manifest = below(directory, MANIFEST, disk);
        if disk.stamp(&manifest).is_ok() {
            self.add_ninja(directory, MANIFEST, disk);
        } else {
            self.witness(manifest, disk);
        }
        self.walk(directory, disk);
    }

    fn walk(&mut self, top: &str, disk: &dyn Disk) {
        let mut left = MOST_NAMES;
        let mut rest = vec![(top.to_owned(), 0_usize)];
        while let Some((directory, depth)) = rest.pop() {
            let Ok(entries) = disk.entries(&directory) else { continue };
            if left < entries.len() {
                self.remarks
                    .push(format!("{top}: not all of its {MOST_NAMES} names were looked at"));
                return;
            }
            left = left.saturating_sub(entries.len());
            for entry in entries {
                let path = below(&directory, &entry.name, disk);
                let skipped = matches!(&*entry.name, ".git" | ".hg" | ".svn" | "node_modules");
                match entry.kind {
                    EntryKind::Directory if !skipped && depth < DEEPEST => {
                        rest.push((path, depth.saturating_add(1)));
                    }
                    EntryKind::File if entry.name.ends_with(".d") => {
                        self.add_depfile_at(&path, None, disk);
                    }
                    EntryKind::File if entry.name == LINK => self.add_link_file(&path, disk),
                    _ => {}
                }
            }
        }
    }
}

/// Whether dependency files are in a directory, or in one of its own.
fn has_depfiles(directory: &str, disk: &dyn Disk) -> bool {
    let entries = |directory: &str| disk.entries(directory).unwrap_or_default();
    let is_depfile = |entry: &Entry| entry.kind == EntryKind::File && entry.name.ends_with(".d");
    let own = entries(directory);
    let inner = own.iter().filter(|entry| entry.kind == EntryKind::Directory);
    own.iter().any(is_depfile)
        || inner
            .take(MOST_INNER)
            .any(|inner| entries(&below(directory, &inner.name, disk)).iter().any(is_depfile))
}

/// Where the relative paths of a dependency file start, if it lies beside what it is about:
/// `/b/obj/a.d` and `/b/obj/a.o.d` are about `obj/a.o` of `/b`.
fn start_of(depfile: &str, target: &str, style: Style) -> Option<String> {
    let (mut depfile, target) = (Spelled::parse(depfile, style), Spelled::parse(target, style));
    if target.root != Root::Relative || target.names.contains(&"..") {
        return None;
    }
    let (made, above) = target.names.split_last()?;
    let stem = depfile.names.pop()?.strip_suffix(".d")?;
    let is_about = stem == *made || made.rsplit_once('.').is_some_and(|(made, _)| made == stem);
    if !is_about || !depfile.names.ends_with(above) {
        return None;
    }
    let rest = depfile.names.len().saturating_sub(above.len());
    depfile.names.truncate(rest);
    Some(depfile.text())
}

/// A path that starts from a directory.
pub(super) fn below(directory: &str, path: &str, disk: &dyn Disk) -> String {
    let directory = Spelled::parse(directory, disk.style());
    let spelled = Spelled::parse_in(path, &directory);
    match spelled.style {
        // A link may lead away before `..` takes back.
        Style::Posix => spelled.to_string(),
        Style::Windows => spelled.collapsed().to_string(),
    }
}

/// Where a shell is that was in a directory and enters another: it takes `..` by the letters.
pub(super) fn entered(directory: &str, path: &str, disk: &dyn Disk) -> String {
    let directory = Spelled::parse(directory, disk.style());
    Spelled::parse_in(path, &directory).collapsed().to_string()
}

const COMMANDS: &str = "compile_commands.json";
const MANIFEST: &str = "build.ninja";
const LINK: &str = "link.txt";
const NAMES: [&str; 4] = [COMMANDS, MANIFEST, "CMakeCache.txt", ".cargo-lock"];

/// Of how many directories of one it is asked whether dependency files are in them.
const MOST_INNER: usize = 64;
const MOST_NAMES: usize = 100_000;
const DEEPEST: usize = 12;
const MOST_COMMANDS: usize = 1 << 30;
const MOST_DEPFILE: usize = 16 << 20;
