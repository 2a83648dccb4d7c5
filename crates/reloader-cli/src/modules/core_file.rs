//! The modules of a process that is dead.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use rendezvous::{Bytes, Core, LocateError, Location, Memory, Snapshot};

/// The modules in a core file, with what it lacks taken from the files that were mapped, and from
/// what was executed, if that is named.
pub fn snapshot(core: &[u8], executable: Option<&[u8]>) -> anyhow::Result<Snapshot> {
    let files = files(&Core::parse(core)?);
    let mut core = Core::parse(core)?;
    for (path, contents) in &files {
        // Those that have changed since are not taken.
        core.supply(path, contents);
    }
    if executable.is_some_and(|contents| !core.supply_program(contents)) {
        bail!("the file that is named by --executable is not what this process executed");
    }
    // A static program tells by its file alone where its list is.
    let noted = core.startup().auxv.phdr.and_then(|address| {
        let path = rendezvous::Mappings::mapping_at(core.mappings(), address)?.file?.path;
        let (_, contents) = files.iter().find(|(it, _)| *it == path)?;
        Some(contents.as_slice())
    });
    let executable = executable.or(noted);
    let file = executable.map(|it| [(0, it)].into_iter().collect::<Bytes<'_>>());
    let location = core.locate(file.as_ref().map(|it| it as &dyn Memory));
    let location = match location {
        Err(LocateError::Unreadable { .. }) if executable.is_none() => {
            location.context("it may be found with the program's file: name it by --executable")?
        }
        other => other?,
    };
    let Location::Found(rendezvous) = location else {
        return Err(anyhow!("the process died before its loader had run"));
    };
    let mut snapshot = rendezvous.snapshot(&core);
    snapshot.resolve(&core, core.mappings());
    Ok(snapshot)
}

/// The files that were mapped and can still be read, each once.
fn files(core: &Core<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut files: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for file in core.mappings().iter().filter_map(|mapping| mapping.file.as_ref()) {
        if files.iter().any(|(path, _)| *path == file.path) {
            continue;
        }
        if let Some(contents) = path(&file.path).and_then(|path| contents_of(&path)) {
            files.push((file.path.clone(), contents));
        }
    }
    files
}

/// The path is the core file's word: it may lead to anything.
fn contents_of(path: &Path) -> Option<Vec<u8>> {
    let mut contents = Vec::new();
    crate::format::open(path).ok()?.take(LARGEST).read_to_end(&mut contents).ok()?;
    Some(contents)
}

/// Of an image only the first segments are wanted.
const LARGEST: u64 = 1 << 28;

/// A path of the system that the core file is of, if it can be one of this.
fn path(bytes: &[u8]) -> Option<PathBuf> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(PathBuf::from(OsStr::new(text)))
}
