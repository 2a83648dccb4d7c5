//! What has to be built again when files change.

use crate::path::{Spelled, style};
use crate::{BuildInfo, File, FileId, Style, UnitId};

/// What has to be built again when files change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// The units that were made from any of them, ascending, once each.
    pub units: Vec<UnitId>,
    /// For each path that was asked for, in order, which file it is.
    pub matches: Vec<Match>,
}

/// Which file a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The path that was asked for.
    pub path: String,
    /// The files: none if no unit was made from it, several if the path is relative and could be
    /// any of them.
    pub files: Vec<FileId>,
    /// How it was recognised.
    pub by: Recognised,
}

/// How a path was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recognised {
    /// It is the file's path.
    Path,
    /// It is another spelling that is recorded.
    Spelling,
    /// It is the end of the file's path, or of a recorded spelling, by whole names.
    End,
    /// No unit was made from such a file.
    Not,
}

impl BuildInfo {
    /// Which units were made from any of some files, and so have to be built again when those
    /// change.
    ///
    /// A path is compared in its one spelling, by the letter, with the paths of the files; with
    /// their recorded spellings if it is none of these; and, if it is relative, with their ends,
    /// by whole names: `a.h` is `/src/a.h` and `/inc/a.h`, but not `/inc/ba.h`. Of these
    /// three the first that recognises a file counts. [`Resolve::locate`](crate::Resolve::locate)
    /// gives a path without links to ask for.
    ///
    /// The answer is as whole as the lists of files are: see
    /// [`Unit::has_all_files`](crate::Unit::has_all_files).
    pub fn affected<S: AsRef<str>>(&self, paths: &[S]) -> Affected {
        let mut affected = Affected::default();
        for path in paths {
            let found = self.recognise(path.as_ref());
            let files = found.files.iter().filter_map(|file| self.files.get(file.0 as usize));
            affected.units.extend(files.flat_map(|file| &file.units));
            affected.matches.push(found);
        }
        affected.units.sort_unstable();
        affected.units.dedup();
        affected
    }

    fn recognise(&self, path: &str) -> Match {
        let asked = Asked::new(path, style(self.format));
        for by in [Recognised::Path, Recognised::Spelling, Recognised::End] {
            let test = |file: &File| match by {
                Recognised::Path => asked.is(&file.path),
                Recognised::Spelling => file.spellings.iter().any(|it| asked.is(it)),
                _ => {
                    asked.is_end_of(&file.path)
                        || file.spellings.iter().any(|it| asked.is_end_of(it))
                }
            };
            let numbered = (0..).map(FileId).zip(&self.files);
            let files: Vec<FileId> =
                numbered.filter(|(_, file)| test(file)).map(|(id, _)| id).collect();
            if !files.is_empty() {
                return Match { path: path.to_owned(), files, by };
            }
        }
        Match { path: path.to_owned(), files: Vec::new(), by: Recognised::Not }
    }
}

/// A path that is asked for.
struct Asked<'a> {
    style: Style,
    spelled: Spelled<'a>,
    key: String,
    last: &'a str,
}

impl<'a> Asked<'a> {
    fn new(path: &'a str, style: Style) -> Self {
        let spelled = Spelled::parse(path, style).collapsed();
        let last = spelled.names.last().copied().unwrap_or_default();
        Self { style, key: spelled.key(), last, spelled }
    }

    fn is(&self, path: &str) -> bool {
        self.has_same_end(path) && Spelled::parse(path, self.style).collapsed().key() == self.key
    }

    fn is_end_of(&self, path: &str) -> bool {
        if self.spelled.is_absolute() || self.last.is_empty() || !self.has_same_end(path) {
            return false;
        }
        let path = Spelled::parse(path, self.style).collapsed();
        let fold = |name: &&str| path.style.fold(name).into_owned();
        let ours = self.spelled.names.iter().rev();
        ours.len() <= path.names.len()
            && ours.zip(path.names.iter().rev()).all(|(one, other)| fold(one) == fold(other))
    }

    /// Whether the last letters could be the same: nearly all files are none of those asked for,
    /// and this says so quickly.
    fn has_same_end(&self, path: &str) -> bool {
        let (ours, path) = (self.last.as_bytes(), path.as_bytes());
        let end = path.len().checked_sub(ours.len()).and_then(|start| path.get(start..));
        !self.last.is_ascii() || end.is_some_and(|end| end.eq_ignore_ascii_case(ours))
    }
}
