//! The modules of a process that is dead.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use rendezvous::{Bytes, Core, Location, Memory, Snapshot};

/// The modules in a core file, with what it lacks taken from the files that were mapped.
pub fn snapshot(core: &[u8]) -> anyhow::Result<Snapshot> {
    let files = files(&Core::parse(core)?);
    let mut core = Core::parse(core)?;
    for (path, contents) in &files {
        // Those that have changed since are not taken.
        core.supply(path, contents);
    }
    // A static program tells by its file alone where its list is.
    let executable = core.startup().auxv.phdr.and_then(|address| {
        let path = rendezvous::Mappings::mapping_at(core.mappings(), address)?.file?.path;
        let (_, contents) = files.iter().find(|(it, _)| *it == path)?;
        Some([(0, contents.as_slice())].into_iter().collect::<Bytes<'_>>())
    });
    let executable = executable.as_ref().map(|it| it as &dyn Memory);
    let Location::Found(rendezvous) = core.locate(executable)? else {
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
