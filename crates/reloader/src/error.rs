//! What can go wrong on the host's side.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// An error of the host's own making or of its surroundings.
///
/// A bad build is not an error: the running version goes on, and an [`Event`](crate::Event) says
/// what was refused. The message names the file and the cure.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    path: Option<PathBuf>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What sort of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such file.
    NotFound,
    /// The path names something that is no regular file.
    NotAFile,
    /// The file or its directory may not be read.
    PermissionDenied,
    /// The directory for the private copies cannot be made or written.
    TemporaryDirectory,
    /// The fault handlers could not be installed.
    Guard,
    /// The version has no such symbol.
    NoSymbol,
    /// There is no such version, or none is running.
    NoVersion,
    /// The asked rollback failed; the last version that worked takes over.
    RollbackFailed,
    /// This platform cannot load guests.
    Unsupported,
    /// Any other failure of the operating system.
    Io,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), path: None, source: None }
    }

    pub(crate) fn at(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    pub(crate) fn because(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An operating system's error while doing `what` to `path`.
    pub(crate) fn io(what: &str, path: &Path, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            _ => ErrorKind::Io,
        };
        Self::new(kind, what).at(path).because(error)
    }

    /// What sort of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file or directory it is about.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}: ", path.display())?;
        }
        f.write_str(&self.message)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
