//! Files that are there whole or not at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::sys;

/// Writes a file, replacing what has its name once it is written; what is no regular file, such as
/// `/dev/stdout`, is written to. A link stays, and what it leads to is replaced. `read` is what the
/// bytes were made from: it is not replaced.
pub fn write_whole(path: &Path, bytes: &[u8], read: &[&Path]) -> anyhow::Result<()> {
    let path = behind_links(path);
    let named = || format!("cannot write {}", path.display());
    let real = fs::canonicalize(&path).ok();
    if real.is_some() && read.iter().any(|read| fs::canonicalize(read).ok() == real) {
        bail!("{}: it is what the question is about, and is not written to", path.display());
    }
    if fs::metadata(&path).is_ok_and(|it| !it.is_file()) {
        return fs::write(&path, bytes).with_context(named);
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = sys::new_file(directory).with_context(named)?;
    file.write_all(bytes).with_context(named)?;
    file.as_file().sync_all().with_context(named)?;
    file.persist(&path).with_context(named)?;
    Ok(())
}

/// Where a path leads that may be a link, even to what is not there yet.
fn behind_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(to) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(to);
    }
    path
}

const MOST_LINKS: usize = 40;
