use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reloader_tests::tool;
use tempfile::TempDir;

/// A scratch directory and the tools to fill it.
pub struct Workshop(TempDir);

impl Workshop {
    pub fn new() -> Workshop {
        Workshop(TempDir::with_prefix("elf-").unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// Compiles a source into the file `name`; `None`, and a line about it, for want of a tool.
    pub fn compile(&self, name: &str, source: &str, command: &[&str]) -> Option<PathBuf> {
        let (compiler, flags) = command.split_first().unwrap();
        tool(compiler)?;
        if let Some(linker) = flags.iter().find_map(|flag| flag.strip_prefix("-fuse-ld=")) {
            tool(&format!("ld.{linker}"))?;
        }
        let extension = if compiler.contains("++") { "cpp" } else { "c" };
        let source = self.write(&format!("{name}.{extension}"), source);
        let output = self.path(name);
        let mut command = Command::new(compiler);
        command.arg(&source).args(flags).arg("-o").arg(&output);
        succeed(&mut command);
        Some(output)
    }
}

/// Runs a command, which must succeed.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.env("LC_ALL", "C").output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What a tool prints of a file; `None`, and a line about it, if there is no such tool.
pub fn printed(program: &str, flags: &[&str], file: &Path) -> Option<String> {
    tool(program)?;
    let output = succeed(Command::new(program).args(flags).arg::<&OsStr>(file.as_ref()));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
