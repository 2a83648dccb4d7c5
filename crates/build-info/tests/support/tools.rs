//! The programs that tests run.

use std::path::PathBuf;

/// A program, or nothing, which is said; a failure where tools are required.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = [PathBuf::from("/usr/lib/wine"), PathBuf::from("/usr/sbin")];
    let found = std::env::split_paths(&path)
        .chain(more)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        let required = std::env::var_os("REQUIRE_TOOLS").is_some_and(|value| value == "1");
        assert!(!required, "{name} is missing, and REQUIRE_TOOLS=1 wants it");
        println!("skipped: {name} is missing");
    }
    found
}
