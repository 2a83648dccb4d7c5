//! How a call went, and why it failed.

use reloader::ErrorKind;

/// `reloader_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// It went well.
    Ok = 0,
    /// No version can run.
    Idle = 1,
    /// A version, or the called function, failed.
    Failed = 2,
    /// An argument is not what it should be.
    BadArgument = -1,
    /// There is no such file, symbol, section or version.
    NotFound = -2,
    /// The operating system failed.
    Io = -3,
    /// A file is not the image it should be.
    BadImage = -4,
    /// Not on this platform.
    Unsupported = -5,
    /// Another call for the plugin is under way.
    Busy = -6,
    /// A defect of the library.
    Internal = -7,
}

/// A status that is no success, in words.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: Status,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(Status::BadArgument, message)
    }
}

impl From<reloader::Error> for Problem {
    fn from(error: reloader::Error) -> Self {
        let status = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NoSymbol | ErrorKind::NoVersion => Status::NotFound,
            ErrorKind::RollbackFailed => Status::Failed,
            ErrorKind::Unsupported => Status::Unsupported,
            _ => Status::Io,
        };
        Self::new(status, error.to_string())
    }
}
