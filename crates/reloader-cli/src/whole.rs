//! Files that are there whole or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Context;

use crate::sys;

/// Writes a file, replacing what has its name once it is written; what is no regular file, such as
/// `/dev/stdout`, is written to.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let named = || format!("cannot write {}", path.display());
    if fs::metadata(path).is_ok_and(|it| !it.is_file()) {
        return fs::write(path, bytes).with_context(named);
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = sys::new_file(directory).with_context(named)?;
    file.write_all(bytes).with_context(named)?;
    file.as_file().sync_all().with_context(named)?;
    file.persist(path).with_context(named)?;
    Ok(())
}
