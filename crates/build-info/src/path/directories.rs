//! What is where, each directory looked at once.

use std::collections::HashMap;
use std::rc::Rc;

use super::disk::{Disk, Entry, EntryKind};
use super::spelling::{Root, Spelled, Style};

/// The directories that have been looked at.
///
/// A file costs the system nothing once its directory is known, and a directory costs two calls,
/// or one if it is not there: hundreds of thousands of files are in some thousands of directories.
pub(super) struct Directories {
    disk: Box<dyn Disk>,
    /// By path, and whether case matters in it.
    known: HashMap<(String, bool), Option<Rc<Directory>>>,
}

struct Directory {
    /// Without links.
    path: String,
    /// By name, and by name in capitals where case does not matter.
    entries: HashMap<String, (String, EntryKind)>,
}

impl Directories {
    pub(super) fn new(disk: Box<dyn Disk>) -> Self {
        Self { disk, known: HashMap::new() }
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// The path of a file without links, if it is there. If case is to be ignored, a file of the
    /// very name is preferred to one that has it in other letters.
    pub(super) fn find(&mut self, path: &Spelled<'_>, ignore_case: bool) -> Option<String> {
        let style = self.disk.style();
        let sane = path.names.len() <= MOST_NAMES
            && path.names.iter().all(|name| name.len() <= LONGEST_NAME && !name.contains('\0'));
        if path.style != style || !path.is_absolute() || !sane {
            return None;
        }
        // On another machine's share nobody is asked: it would be told who asks.
        if matches!(path.root, Root::Share(..)) {
            return None;
        }
        let mut above = path.clone();
        // Only on Windows `..` is taken back by the letter; elsewhere a link may lead away.
        if style == Style::Windows {
            above = above.collapsed();
        }
        let Some(name) = above.names.pop() else {
            return self.directory(&above, ignore_case).map(|directory| directory.path.clone());
        };
        if name == ".." {
            above.names.push(name);
            return self.directory(&above, ignore_case).map(|directory| directory.path.clone());
        }
        let directory = self.directory(&above, ignore_case)?;
        let (name, kind) = directory.entry(name, ignore_case, style)?;
        let whole = below(&directory.path, name, style);
        match kind {
            EntryKind::File | EntryKind::Directory => Some(whole),
            EntryKind::Link => self.disk.real(&whole).ok(),
        }
    }

    fn directory(&mut self, path: &Spelled<'_>, ignore_case: bool) -> Option<Rc<Directory>> {
        let asked = (path.text(), ignore_case);
        if let Some(known) = self.known.get(&asked) {
            return known.clone();
        }
        let directory = self.look(path, &asked.0, ignore_case).map(Rc::new);
        self.known.insert(asked, directory.clone());
        directory
    }

    fn look(&mut self, path: &Spelled<'_>, text: &str, ignore_case: bool) -> Option<Directory> {
        let style = self.disk.style();
        // What is not there has nothing in it.
        for length in 0..path.names.len() {
            let names = path.names.get(..length).unwrap_or_default().to_vec();
            let above = Spelled { names, ..path.clone() };
            if !ignore_case && self.known.get(&(above.text(), false)) == Some(&None) {
                return None;
            }
        }
        let real = match self.disk.real(text) {
            Ok(real) => real,
            Err(_) if ignore_case => {
                let name = *path.names.last()?;
                let above = self.directory(&path.clone().parent(), true)?;
                let (name, _) = above.entry(name, true, style)?;
                self.disk.real(&below(&above.path, name, style)).ok()?
            }
            Err(_) => return None,
        };
        let entries = self.disk.entries(&real).ok()?;
        let real = Spelled::parse(&real, style).to_string();
        Some(Directory::new(real, entries, style))
    }
}

impl Directory {
    fn new(path: String, entries: Vec<Entry>, style: Style) -> Self {
        let mut by_name = HashMap::with_capacity(entries.len());
        for Entry { name, kind } in entries {
            let folded = Style::Windows.fold(&name).into_owned();
            if style == Style::Posix {
                by_name.insert(name.clone(), (name.clone(), kind));
            }
            by_name.entry(folded).or_insert((name, kind));
        }
        Self { path, entries: by_name }
    }

    fn entry(&self, name: &str, ignore_case: bool, style: Style) -> Option<(&str, EntryKind)> {
        let folded = || self.entries.get(&*Style::Windows.fold(name));
        let found = match style {
            Style::Windows => folded(),
            Style::Posix => {
                let exact = self.entries.get(name).filter(|(real, _)| real == name);
                exact.or_else(|| folded().filter(|_| ignore_case))
            }
        };
        found.map(|(name, kind)| (&**name, *kind))
    }
}

impl PartialEq for Directory {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

fn below(directory: &str, name: &str, style: Style) -> String {
    let mut path = Spelled::parse(directory, style);
    path.names.push(name);
    path.text()
}

/// More than any system takes.
const MOST_NAMES: usize = 512;
const LONGEST_NAME: usize = 1024;
