//! Which recorded paths are one file, and whether and where it is.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;

use super::directories::Directories;
use super::disk::{Disk, System};
use super::map::PathMap;
use super::spelling::{Spelled, Style};
use crate::{Format, Found};

/// How recorded paths are brought to one spelling, and where their files are looked for.
///
/// A path is taken apart by the rules of its own system: separators, `.` and `..`, drive letters
/// and the prefixes of Windows (`\\?\`). Relative ones start from the directory of the compiler,
/// the linker, what was linked, the archive that it is from, the linker's PDB, the image and the
/// search roots, in that order; the first start from which the file is there counts, and if it is
/// nowhere the first. Then [maps](Self::map) are applied. If the file is not where the path leads, its
/// last names are looked for below the [search roots](Self::root), as many as will fit and never
/// the last alone; a directory that was found that way is taken for the place of its neighbours
/// too. What is found has its links and virtual drives taken out, and names of Windows are found
/// in other letters.
///
/// Each directory is looked at once, however often this is used. No file is opened, and nothing is
/// asked of other machines: of `\\server\share` only what is mapped is looked for.
pub struct Resolve {
    maps: Vec<PathMap>,
    pub(super) roots: Vec<String>,
    pub(super) image: Option<String>,
    directories: Option<RefCell<Directories>>,
}

impl Resolve {
    /// On the files of this machine.
    pub fn new() -> Self {
        Self::on(System)
    }

    /// By the letter: no file is looked for.
    pub fn lexical() -> Self {
        Self { maps: Vec::new(), roots: Vec::new(), image: None, directories: None }
    }

    /// On the files of another disk.
    pub fn on(disk: impl Disk + 'static) -> Self {
        let directories = RefCell::new(Directories::new(Box::new(disk)));
        Self { directories: Some(directories), ..Self::lexical() }
    }

    /// With a directory that is elsewhere now.
    #[must_use]
    pub fn map(mut self, map: PathMap) -> Self {
        self.maps.push(map);
        self.maps.sort_by_key(|map| std::cmp::Reverse(map.depth()));
        self
    }

    /// With a directory below which files are looked for that are not where they were; absolute.
    #[must_use]
    pub fn root(mut self, root: impl Into<String>) -> Self {
        self.roots.push(root.into());
        self
    }

    /// With the directory that the image, or its PDB, is in; absolute.
    #[must_use]
    pub fn image_directory(mut self, directory: impl Into<String>) -> Self {
        self.image = Some(directory.into());
        self
    }

    /// The spelling of a path that starts from a directory, as a [resolved](crate::BuildInfo::resolve)
    /// file has it, and whether it is there.
    ///
    /// ```
    /// use build_info::{Format, Found, Resolve};
    ///
    /// let resolve = Resolve::lexical().map(r"D:\QA=/src".parse()?);
    /// let (path, found) = resolve.locate(r"d:\qa\build", r"..\Cube.cpp", Format::Pdb);
    /// assert_eq!((path.as_str(), found), ("/src/Cube.cpp", Found::Unknown));
    /// # Ok::<(), build_info::MapError>(())
    /// ```
    pub fn locate(&self, directory: &str, path: &str, format: Format) -> (String, Found) {
        let directory = Spelled::parse(directory, style(format));
        let placed = self.place(&[Spelled::parse_in(path, &directory)]);
        (placed.path, placed.found)
    }

    /// What a path that starts from a directory is compared by.
    pub(crate) fn key(&self, directory: &str, path: &str, format: Format) -> String {
        let (path, _) = self.locate(directory, path, format);
        Spelled::parse(&path, style(format)).key()
    }

    /// Takes the first of the paths that leads to a file, or the first.
    pub(super) fn place(&self, candidates: &[Spelled<'_>]) -> Placed {
        let mut first = None;
        for candidate in candidates {
            let mapped = self.mapped(candidate);
            let ignore_case = candidate.style == Style::Windows;
            if let Some(found) = self.find(&mapped, ignore_case) {
                return Placed::at(found);
            }
            first = first.or(Some(mapped));
        }
        let path = first.map(|path| path.collapsed().text()).unwrap_or_default();
        let found = if self.directories.is_some() { Found::Missing } else { Found::Unknown };
        Placed { path, found }
    }

    pub(super) fn mapped<'a>(&'a self, path: &Spelled<'a>) -> Spelled<'a> {
        self.maps.iter().find_map(|map| map.place(path)).unwrap_or_else(|| path.clone())
    }

    /// The style of the disk that is looked on.
    pub(super) fn disk_style(&self) -> Option<Style> {
        Some(self.directories.as_ref()?.borrow().disk().style())
    }

    pub(super) fn find(&self, path: &Spelled<'_>, ignore_case: bool) -> Option<String> {
        self.directories.as_ref()?.borrow_mut().find(path, ignore_case)
    }
}

impl Default for Resolve {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolve")
            .field("maps", &self.maps)
            .field("roots", &self.roots)
            .field("image", &self.image)
            .field("looks", &self.directories.is_some())
            .finish()
    }
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) path: String,
    pub(super) found: Found,
}

impl Placed {
    pub(super) fn at(path: String) -> Self {
        let found = Found::At(PathBuf::from(&path));
        Self { path, found }
    }
}

/// Whose rules the paths follow that could follow either's.
pub(crate) fn style(format: Format) -> Style {
    match format {
        Format::Pdb => Style::Windows,
        Format::Elf | Format::MachO => Style::Posix,
    }
}
