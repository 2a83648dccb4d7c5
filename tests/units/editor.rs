//! Clangd, which says what it thinks of a compilation database.

use std::fs;
use std::path::Path;
use std::process::Command;

use build_info::CompileCommand;
use reloader_tests::{Tool, tool_of};
use serde_json::json;

/// Clangd opens each source by its command and finds nothing wrong.
pub fn no_complaint(directory: &Path, commands: &[CompileCommand]) {
    let Some(Tool(clangd)) = tool_of(&["clangd-19", "clangd"]) else { return };
    let entries = commands.iter().map(|command| {
        json!({
            "directory": command.directory,
            "file": command.file,
            "arguments": command.driver_arguments(),
        })
    });
    let database = directory.join("database");
    fs::create_dir(&database).unwrap();
    let text = serde_json::Value::from_iter(entries).to_string();
    fs::write(database.join("compile_commands.json"), text).unwrap();
    assert!(!commands.is_empty());
    for command in commands {
        let output = Command::new(&clangd)
            .arg(format!("--check={}", command.file))
            .arg(format!("--compile-commands-dir={}", database.display()))
            .env("XDG_CACHE_HOME", directory)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("All checks completed, 0 errors"), "{}: {said}", command.file);
        assert!(!said.contains("Failed to find compilation database"), "{said}");
        assert!(output.status.success(), "{said}");
    }
}
