//! The companions that lie around an image, by the rules that debuggers have.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::companion::{Companion, Companions, Opened};

/// The file system around an image.
///
/// Debug information is looked for as GDB does: by build-id below each debug directory; by the name
/// of a debug link beside the image, in its `.debug`, and below each debug directory where the image
/// would be. A split unit is looked for where it was compiled, then below each root, then beside the
/// image; a package of them is the image with `.dwp` behind its name.
#[derive(Clone, Debug)]
pub struct Nearby {
    image: PathBuf,
    debug_directories: Vec<PathBuf>,
    roots: Vec<PathBuf>,
}

impl Nearby {
    /// What is around an image.
    pub fn of(image: impl AsRef<Path>) -> Self {
        let image = image.as_ref();
        Self {
            image: std::fs::canonicalize(image).unwrap_or_else(|_| image.to_owned()),
            debug_directories: vec!["/usr/lib/debug".into()],
            roots: Vec::new(),
        }
    }

    /// Looks below another debug directory, after those that are known: `/usr/lib/debug`.
    #[must_use]
    pub fn debug_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.debug_directories.push(directory.into());
        self
    }

    /// Looks for what is recorded with a path that is not there below a directory: for a tree that
    /// has been moved.
    #[must_use]
    pub fn root(mut self, directory: impl Into<PathBuf>) -> Self {
        self.roots.push(directory.into());
        self
    }

    fn directory(&self) -> &Path {
        self.image.parent().unwrap_or(Path::new(""))
    }

    fn by_build_id(&self, id: &[u8]) -> Vec<PathBuf> {
        let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let Some((first, rest)) = digits.split_at_checked(2).filter(|parts| !parts.1.is_empty())
        else {
            return Vec::new();
        };
        let name = format!(".build-id/{first}/{rest}.debug");
        self.debug_directories.iter().map(|directory| directory.join(&name)).collect()
    }

    /// A recorded path: where it says, and below each root with fewer and fewer of its directories.
    fn recorded(&self, path: &Path) -> Vec<PathBuf> {
        let mut places = vec![path.to_owned()];
        for root in &self.roots {
            let mut rest = path.strip_prefix("/").unwrap_or(path);
            loop {
                places.push(root.join(rest));
                let mut parts = rest.components();
                parts.next();
                rest = parts.as_path();
                if rest.as_os_str().is_empty() {
                    break;
                }
            }
        }
        places
    }
}

impl Companions for Nearby {
    fn places(&self, wanted: &Companion) -> Vec<PathBuf> {
        let beside = self.directory();
        match wanted {
            Companion::BuildId(id) => self.by_build_id(id),
            Companion::DebugLink(name) => {
                let mut places = vec![beside.join(name), beside.join(".debug").join(name)];
                let below = beside.strip_prefix("/").unwrap_or(beside);
                let directories = self.debug_directories.iter();
                places.extend(directories.map(|directory| directory.join(below).join(name)));
                // A link that names the image itself leads nowhere.
                places.retain(|place| *place != self.image);
                places
            }
            Companion::Supplement { name, id } => {
                let mut places = self.recorded(&beside.join(name));
                places.extend(self.by_build_id(id));
                places
            }
            Companion::SplitUnit { directory, name } => {
                let recorded = Path::new(directory.as_deref().unwrap_or("")).join(name);
                let mut places = self.recorded(&recorded);
                places.push(beside.join(name));
                places.extend(Path::new(name).file_name().map(|name| beside.join(name)));
                places
            }
            Companion::SplitPackage => vec![behind(&self.image, ".dwp")],
            Companion::DebugSymbols(_) => {
                let Some(name) = self.image.file_name() else { return Vec::new() };
                let inside = Path::new("Contents/Resources/DWARF").join(name);
                vec![behind(&self.image, ".dSYM").join(inside)]
            }
            Companion::Object(path) => self.recorded(&beside.join(path)),
        }
    }

    fn open(&self, place: &Path) -> Option<Opened> {
        // To open what is no file may take for ever, or do something.
        std::fs::metadata(place).ok().filter(std::fs::Metadata::is_file)?;
        let file = File::open(place).ok()?;
        let about = file.metadata().ok()?;
        let modified = about.modified().ok().and_then(|when| when.duration_since(UNIX_EPOCH).ok());
        let modified = modified.map(|since| since.as_secs());
        Some(Opened { source: Box::new(file), modified })
    }
}

fn behind(path: &Path, more: &str) -> PathBuf {
    let mut longer = OsString::from(path);
    longer.push(more);
    longer.into()
}
