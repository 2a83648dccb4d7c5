//! Tools that a machine may lack.

use std::path::PathBuf;

/// A program that is there.
#[derive(Clone, Debug)]
pub struct Tool(pub PathBuf);

/// Finds a program, or says that the test is skipped for want of it; with `REQUIRE_TOOLS=1` it
/// fails instead.
pub fn tool(name: &str) -> Option<Tool> {
    tool_of(&[name])
}

/// The same with the first of several names: a tool with its version, and older ones.
pub fn tool_of(names: &[&str]) -> Option<Tool> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = names.iter().find_map(|name| {
        std::env::split_paths(&path).map(|directory| directory.join(name)).find(|p| p.is_file())
    });
    if found.is_none() {
        missing(&format!("{} is missing", names.join(" or ")));
    }
    found.map(Tool)
}

/// Says that a test is skipped, and why; with `REQUIRE_TOOLS=1` it fails.
pub fn missing(why: &str) {
    assert!(
        std::env::var_os("REQUIRE_TOOLS").is_none_or(|value| value != "1"),
        "{why}, and REQUIRE_TOOLS=1 wants it"
    );
    println!("skipped: {why}");
}
