//! A loaded image, and what tells it from every other.

use std::borrow::Cow;

/// An image that a loader has in one of its lists.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Module {
    /// The place of its list: 0 is the program's own, each `dlmopen` of a new namespace and each
    /// `LD_AUDIT` library adds one. The loader reuses places and never removes one.
    pub namespace: u32,
    /// `struct link_map`: the address of the loader's record of it.
    pub link_map: u64,
    /// `l_addr`: what was added to the image's own addresses.
    pub bias: u64,
    /// `l_ld`: the address of its dynamic table; 0 for a static program, which has none.
    pub dynamic: u64,
    /// `l_name`: what the loader calls it. Empty for most programs; relative where it was opened
    /// so; what the file was called then, whatever it is called now. `None` where a core file does
    /// not hold it.
    pub name: Option<Vec<u8>>,
    /// What it is to the process, judged by addresses alone.
    pub role: Role,
    /// The file that is mapped where its dynamic table is; `None` until [`Snapshot::resolve`] has
    /// found it, and where no file is.
    ///
    /// [`Snapshot::resolve`]: crate::Snapshot::resolve
    pub file: Option<MappedFile>,
    /// The build ID from its notes in memory; `None` until [`Snapshot::resolve`] has found it, and
    /// where there is none.
    ///
    /// [`Snapshot::resolve`]: crate::Snapshot::resolve
    pub build_id: Option<Vec<u8>>,
    /// An address that is in the image whatever else is: that of its dynamic table, or of the
    /// program headers of a program that has none.
    pub(crate) anchor: u64,
}

impl Module {
    /// The path of the file that is mapped, or what the loader calls the image where that is not
    /// known. As bytes: a path need not be text, and a core file need not be of this system.
    pub fn path(&self) -> &[u8] {
        match &self.file {
            Some(file) if !file.path.is_empty() => &file.path,
            _ => self.name.as_deref().unwrap_or_default(),
        }
    }

    /// [`path`](Self::path) as text, with `U+FFFD` for what is none.
    pub fn path_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.path())
    }

    /// Whether its file was deleted or replaced since it was mapped: what its path now names, if
    /// anything, is another file.
    pub fn is_deleted(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.is_deleted)
    }

    /// What tells this load of an image from every other that is loaded at the same time, and from
    /// most that were before: the same file twice, or another file at the same path, are others.
    pub fn identity(&self) -> Identity {
        Identity {
            namespace: self.namespace,
            link_map: self.link_map,
            bias: self.bias,
            dynamic: self.dynamic,
            file: self.file.as_ref().and_then(|file| file.identity),
        }
    }
}

/// What an image is to its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// The program.
    Program,
    /// The loader itself.
    Loader,
    /// What the kernel maps into every process (vDSO).
    Kernel,
    /// Any other: a library.
    Library,
}

/// The file that is mapped somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MappedFile {
    /// Its path as the kernel gives it: absolute, with links followed, and without the mark that
    /// says it was deleted.
    pub path: Vec<u8>,
    /// What tells it from every other file; core files do not say.
    pub identity: Option<FileIdentity>,
    /// Whether it was deleted since. A file's own name may end as the kernel's mark does: of a
    /// process that runs it is known which it is, and of a core file it is taken for the mark.
    pub is_deleted: bool,
}

impl MappedFile {
    /// What the kernel's notation of a mapped path says.
    pub(crate) fn new(path: &[u8], identity: Option<FileIdentity>) -> MappedFile {
        let (path, is_deleted) = match path.strip_suffix(DELETED) {
            Some(path) => (path, true),
            None => (path, false),
        };
        MappedFile { path: path.to_vec(), identity, is_deleted }
    }
}

/// What tells a file from every other that exists at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The device: its major number in the upper 32 bits, its minor number in the lower.
    pub device: u64,
    /// The number of the file on it.
    pub inode: u64,
}

/// What tells one load of an image from another. See [`Module::identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// [`Module::namespace`].
    pub namespace: u32,
    /// [`Module::link_map`].
    pub link_map: u64,
    /// [`Module::bias`].
    pub bias: u64,
    /// [`Module::dynamic`].
    pub dynamic: u64,
    /// [`MappedFile::identity`].
    pub file: Option<FileIdentity>,
}

/// What the kernel puts behind the path of a file that was deleted.
pub(crate) const DELETED: &[u8] = b" (deleted)";
