//! A plan's result as a file that appears whole or not at all.

use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{FileError, Plan};

/// How [`Plan::write_file`] treats what is not the file's bytes.
///
/// ```
/// use patch_plan::{Durability, Times, WriteOptions};
///
/// let scratch = WriteOptions { durability: Durability::Cached, ..WriteOptions::default() };
/// assert_eq!(scratch.times, Times::Now);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Which modification time the target gets.
    pub times: Times,
    /// Whether to wait for the disk.
    pub durability: Durability,
}

/// Which modification time a written file gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Times {
    /// The present: build tools see a changed file.
    #[default]
    Now,
    /// The source's access and modification times.
    Keep,
}

/// Whether a written file must survive a power cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Bytes and directory entry are on the disk when the call returns.
    #[default]
    Flushed,
    /// The system writes them when it likes; right for a private copy that nobody needs after a
    /// crash.
    Cached,
}

/// How the source's bytes came into the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// Its blocks are shared, and only the patched ones were written.
    Cloned,
    /// Every byte was read and written.
    Bytes,
}

/// What [`Plan::write_file`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file that was replaced: the target, or where the target's symbolic links lead.
    pub path: PathBuf,
    /// The length of the file.
    pub length: u64,
    /// How the unpatched bytes got there.
    pub copied: Copied,
}

pub(crate) fn write_file(
    plan: &Plan,
    source: &Path,
    target: &Path,
    options: &WriteOptions,
) -> Result<Written, FileError> {
    // Before it is opened as well: to open a pipe waits for somebody to write to it.
    let kind = fs::metadata(source).map_err(FileError::io(source, "open"))?;
    let original = match kind.is_file() {
        true => File::open(source).map_err(FileError::io(source, "open"))?,
        false => return Err(not_regular(source)),
    };
    let before = original.metadata().map_err(FileError::io(source, "stat"))?;
    if !before.is_file() {
        return Err(not_regular(source));
    }

    let target = place_of(target)?;
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let (temporary, copied) = copy_into(&original, directory)
        .map_err(|(call, source)| FileError::Io { path: directory.to_owned(), call, source })?;
    if has_changed(&before, &original.metadata().map_err(FileError::io(source, "stat"))?) {
        return Err(FileError::SourceChanged { path: source.to_owned() });
    }

    // The plan was made for the source, and so the source is what a mismatch names.
    plan.apply_to_file(temporary.as_file(), source)?;

    let (path, file) = (temporary.path(), temporary.as_file());
    if options.times == Times::Keep {
        let mut times = FileTimes::new();
        if let Ok(accessed) = before.accessed() {
            times = times.set_accessed(accessed);
        }
        if let Ok(modified) = before.modified() {
            times = times.set_modified(modified);
        }
        file.set_times(times).map_err(FileError::io(path, "set times"))?;
    }
    let permissions = permissions_of(&before, file).map_err(FileError::io(path, "stat"))?;
    file.set_permissions(permissions).map_err(FileError::io(path, "set permissions"))?;
    if options.durability == Durability::Flushed {
        file.sync_all().map_err(FileError::io(path, "sync"))?;
    }
    let length = read_back(plan, path, before.len())?;
    temporary.persist(&target).map_err(|error| FileError::io(&target, "rename")(error.error))?;

    // Windows has no handle to flush a directory by; its rename is journalled.
    if options.durability == Durability::Flushed && cfg!(unix) {
        let handle = File::open(directory).map_err(FileError::io(directory, "open"))?;
        handle.sync_all().map_err(FileError::io(directory, "sync"))?;
    }
    Ok(Written { path: target, length, copied })
}

fn not_regular(source: &Path) -> FileError {
    let error = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
    FileError::io(source, "open")(error)
}

/// Where the target is: where its links lead. What is there may only be a regular file: a device or
/// a pipe would be lost.
fn place_of(target: &Path) -> Result<PathBuf, FileError> {
    let refused = |what| {
        let error = io::Error::new(io::ErrorKind::InvalidInput, what);
        Err(FileError::io(target, "replace")(error))
    };
    match fs::metadata(target) {
        Ok(metadata) if metadata.is_file() => {
            fs::canonicalize(target).map_err(FileError::io(target, "resolve"))
        }
        Ok(_) => refused("not a regular file"),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::io(target, "stat")(error))
        }
        Err(_) if fs::symlink_metadata(target).is_ok() => refused("a link that leads nowhere"),
        Err(_) => Ok(target.to_owned()),
    }
}

type Failure = (&'static str, io::Error);

/// A temporary file in `directory`, readable by its owner alone, with all bytes of `original`.
fn copy_into(original: &File, directory: &Path) -> Result<(NamedTempFile, Copied), Failure> {
    let mut named = tempfile::Builder::new();
    let named = named.prefix(".patch-plan-");

    // macOS can clone into a new file only, and gives it the source's permissions at once.
    if cfg!(target_os = "macos") {
        let cloned = named.make_in(directory, |path| {
            reflink_copy::reflink_file_to_path(original, path)?;
            File::options().read(true).write(true).open(path)
        });
        if let Ok(temporary) = cloned {
            return Ok((temporary, Copied::Cloned));
        }
    }

    let temporary =
        named.tempfile_in(directory).map_err(|error| ("create temporary file", error))?;
    if reflink_copy::reflink_file(original, temporary.as_file()).is_ok() {
        return Ok((temporary, Copied::Cloned));
    }
    let (mut reader, mut writer) = (original, temporary.as_file());
    temporary.as_file().set_len(0).map_err(|error| ("truncate", error))?;
    writer.seek(SeekFrom::Start(0)).map_err(|error| ("seek", error))?;
    reader.seek(SeekFrom::Start(0)).map_err(|error| ("seek", error))?;
    io::copy(&mut reader, &mut writer).map_err(|error| ("copy", error))?;
    Ok((temporary, Copied::Bytes))
}

/// The source's permissions. A file of another owner or group does not act for this one's: what
/// runs with its owner's rights would run with ours.
#[cfg(unix)]
fn permissions_of(source: &Metadata, file: &File) -> io::Result<Permissions> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let made = file.metadata()?;
    let mut permissions = source.permissions();
    if (source.uid(), source.gid()) != (made.uid(), made.gid()) {
        permissions.set_mode(permissions.mode() & !SET_ID);
    }
    Ok(permissions)
}

#[cfg(not(unix))]
fn permissions_of(source: &Metadata, _: &File) -> io::Result<Permissions> {
    Ok(source.permissions())
}

/// `S_ISUID` and `S_ISGID`.
#[cfg(unix)]
const SET_ID: u32 = 0o6000;

fn has_changed(before: &Metadata, after: &Metadata) -> bool {
    before.len() != after.len() || before.modified().ok() != after.modified().ok()
}

/// Opens the written file anew and compares what the plan put there; returns its length.
fn read_back(plan: &Plan, path: &Path, source_length: u64) -> Result<u64, FileError> {
    let mut file = File::open(path).map_err(FileError::io(path, "open"))?;
    let tail = plan.tail().map(|tail| (tail.offset, tail.new.as_slice()));
    let edits = plan.edits().iter().map(|edit| (edit.offset, edit.new.as_slice()));
    for (offset, wrote) in edits.chain(tail) {
        let mut found = vec![0; wrote.len()];
        file.seek(SeekFrom::Start(offset)).map_err(FileError::io(path, "seek"))?;
        file.read_exact(&mut found).map_err(FileError::io(path, "read"))?;
        if found != wrote {
            let (path, wrote) = (path.to_owned(), wrote.to_vec());
            return Err(FileError::NotWritten { path, offset, wrote, found });
        }
    }
    let length = file.metadata().map_err(FileError::io(path, "stat"))?.len();
    let expected =
        plan.tail().map_or(source_length, |tail| tail.offset.saturating_add(tail.new.len() as u64));
    if length != expected {
        let source = crate::Error::WrongLength { expected, end: length };
        return Err(FileError::Plan { path: path.to_owned(), source });
    }
    Ok(length)
}
