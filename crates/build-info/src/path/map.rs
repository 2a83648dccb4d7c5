//! Where directories are now that were elsewhere when the image was built.

use std::str::FromStr;

use super::spelling::Spelled;

/// Where a directory is that was elsewhere, or on another machine, when the image was built.
///
/// ```
/// let map: build_info::PathMap = r"D:\QA=/src".parse()?;
/// assert_eq!(map.apply(r"d:\qa\Examples\Cube.cpp").as_deref(), Some("/src/Examples/Cube.cpp"));
/// assert_eq!(map.apply(r"D:\QA2\Cube.cpp"), None);
/// # Ok::<(), build_info::MapError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathMap {
    from: String,
    to: String,
    depth: usize,
}

impl PathMap {
    /// A map of what was `from`, and below it, to `to`. Of several that fit a path, the one with
    /// the longest `from` counts. `.` is where relative paths start that nobody knows the start of.
    pub fn new(from: &str, to: &str) -> Self {
        let depth = Spelled::parse(from, Spelled::likely_style(from)).collapsed().names.len();
        Self { from: from.to_owned(), to: to.to_owned(), depth }
    }

    /// The path that a path is mapped to, if it is one of those that are.
    pub fn apply(&self, path: &str) -> Option<String> {
        self.place(&Spelled::parse(path, Spelled::likely_style(path)))
            .map(|spelled| spelled.to_string())
    }

    /// How many names `from` has.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn place<'a>(&'a self, path: &Spelled<'a>) -> Option<Spelled<'a>> {
        let from = Spelled::parse(&self.from, path.style).collapsed();
        let path = path.clone().collapsed();
        let same_root = |one: &Spelled<'_>, other: &Spelled<'_>| {
            let root = |path: &Spelled<'_>| Spelled { names: Vec::new(), ..path.clone() }.key();
            root(one) == root(other)
        };
        if !same_root(&from, &path) {
            return None;
        }
        let fold = |name: &&'a str| path.style.fold(name);
        let (start, rest) = path.names.split_at_checked(from.names.len())?;
        if !start.iter().map(fold).eq(from.names.iter().map(fold)) || rest.first() == Some(&"..") {
            return None;
        }
        let mut to = Spelled::parse(&self.to, Spelled::likely_style(&self.to)).collapsed();
        to.names.extend(rest);
        Some(to)
    }
}

impl FromStr for PathMap {
    type Err = MapError;

    /// Reads `FROM=TO`; the first `=` is the one between.
    fn from_str(text: &str) -> Result<Self, MapError> {
        match text.split_once('=') {
            Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok(Self::new(from, to)),
            _ => Err(MapError(text.to_owned())),
        }
    }
}

/// A map that is not of the form `FROM=TO`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not FROM=TO", .0.escape_debug())]
pub struct MapError(String);
