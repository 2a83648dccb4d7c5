//! Platforms on which the library loads no guests yet: signals and the standard output stay as they
//! are.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

pub fn on_stop(_stopping: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Ok(())
}

pub fn take_stdout() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn reader_is_gone<T>(_output: T) -> bool {
    false
}

pub fn wait_while_read<S, T>(_source: S, _output: T) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn new_file(directory: &Path) -> io::Result<NamedTempFile> {
    NamedTempFile::new_in(directory)
}
