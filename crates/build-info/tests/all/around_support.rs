//! What the tests of command lines, paths and build systems share.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use build_info::{Disk, Entry, EntryKind, Stamp, Style};

/// Files that are nowhere.
#[derive(Clone, Debug)]
pub struct Pretended {
    pub style: Style,
    pub files: BTreeMap<String, Vec<u8>>,
    pub links: BTreeMap<String, String>,
    pub asked: std::rc::Rc<std::cell::RefCell<Vec<String>>>,
}

impl Pretended {
    pub fn new(style: Style, files: &[&str]) -> Self {
        Self {
            style,
            files: files.iter().map(|path| ((*path).to_owned(), Vec::new())).collect(),
            links: BTreeMap::new(),
            asked: std::rc::Rc::default(),
        }
    }

    fn separator(&self) -> char {
        if self.style == Style::Posix { '/' } else { '\\' }
    }

    fn same(&self, one: &str, other: &str) -> bool {
        match self.style {
            Style::Posix => one == other,
            Style::Windows => one.eq_ignore_ascii_case(other),
        }
    }

    fn names<'a>(&self, path: &'a str) -> Vec<&'a str> {
        path.split(self.separator()).filter(|name| !name.is_empty()).collect()
    }

    fn missing() -> io::Error {
        io::ErrorKind::NotFound.into()
    }
}

impl Disk for Pretended {
    fn style(&self) -> Style {
        self.style
    }

    fn real(&self, path: &str) -> io::Result<String> {
        self.asked.borrow_mut().push(format!("real {path}"));
        let mut path = path.to_owned();
        for (from, to) in &self.links {
            if let Some(rest) = path.strip_prefix(from.as_str())
                && (rest.is_empty() || rest.starts_with(self.separator()))
            {
                path = format!("{to}{rest}");
            }
        }
        let mut wanted: Vec<&str> = Vec::new();
        for name in self.names(&path) {
            match name {
                ".." => wanted.truncate(wanted.len().saturating_sub(1)),
                _ => wanted.push(name),
            }
        }
        for file in self.files.keys() {
            let names = self.names(file);
            let starts = names.len() >= wanted.len()
                && names.iter().zip(&wanted).all(|(one, other)| self.same(one, other));
            if starts {
                let separator = self.separator().to_string();
                let real = names[..wanted.len()].join(&separator);
                return Ok(if self.style == Style::Posix { format!("/{real}") } else { real });
            }
        }
        Err(Self::missing())
    }

    fn entries(&self, directory: &str) -> io::Result<Vec<Entry>> {
        self.asked.borrow_mut().push(format!("entries {directory}"));
        let wanted = self.names(directory);
        let below = |path: &str| {
            let names = self.names(path);
            let inside = names.len() > wanted.len()
                && names.iter().zip(&wanted).all(|(one, other)| self.same(one, other));
            let directory = names.len() > wanted.len() + 1;
            inside.then(|| (names[wanted.len()].to_owned(), directory))
        };
        let files: BTreeSet<_> = self.files.keys().filter_map(|path| below(path)).collect();
        let links = self.links.keys().filter_map(|path| below(path)).map(|(name, _)| name);
        let kind = |directory| if directory { EntryKind::Directory } else { EntryKind::File };
        let mut entries: Vec<_> =
            files.into_iter().map(|(name, inner)| Entry { name, kind: kind(inner) }).collect();
        entries.extend(links.map(|name| Entry { name, kind: EntryKind::Link }));
        Ok(entries)
    }

    fn read(&self, path: &str, most: usize) -> io::Result<Vec<u8>> {
        let bytes = self.files.get(path).ok_or_else(Self::missing)?;
        if bytes.len() > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.clone()) }
    }

    fn stamp(&self, path: &str) -> io::Result<Stamp> {
        let bytes = self.files.get(path).ok_or_else(Self::missing)?;
        Ok(Stamp { modified: 1, length: bytes.len() as u64 })
    }
}
