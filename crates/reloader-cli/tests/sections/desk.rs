use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reloader_tests::{Tool, tool_of};
use serde_json::Value;
use tempfile::TempDir;

/// A directory to work in.
pub struct Desk(TempDir);

/// How a run ended.
pub struct End {
    pub code: Option<i32>,
    pub output: String,
    pub error: String,
}

impl Desk {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs the program here.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> End {
        let mut command = program();
        end(command.current_dir(self.0.path()).args(arguments))
    }

    /// Runs it, and it must succeed with one object.
    pub fn json<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Value {
        self.run(arguments).json()
    }

    /// Runs another program here, which must succeed, and gives what it prints.
    pub fn tool<A: AsRef<OsStr>>(
        &self,
        tool: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> String {
        let end = end(Command::new(tool).current_dir(self.0.path()).args(arguments));
        assert_eq!(end.code, Some(0), "{}: {}", tool.display(), end.error);
        end.output
    }

    /// Compiles C here; nothing if there is no compiler, which is said.
    pub fn compile(&self, source: &str, flags: &[&str], name: &str) -> Option<PathBuf> {
        self.compile_with(&["cc"], "c", source, flags, name)
    }

    /// Compiles here with the first of these compilers that is there.
    pub fn compile_with(
        &self,
        compilers: &[&str],
        extension: &str,
        source: &str,
        flags: &[&str],
        name: &str,
    ) -> Option<PathBuf> {
        let Tool(compiler) = tool_of(compilers)?;
        let source = self.write(&format!("{name}.{extension}"), source);
        let output = self.path(name);
        let arguments = flags.iter().map(OsStr::new);
        let files = [source.file_name().unwrap(), OsStr::new("-o"), output.as_os_str()];
        self.tool(&compiler, files.into_iter().chain(arguments));
        Some(output)
    }
}

impl End {
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.error);
        serde_json::from_str(&self.output)
            .unwrap_or_else(|error| panic!("{error}: {}", self.output))
    }

    /// The error, of a run that must have failed with this code and printed nothing.
    pub fn failure(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{}", self.error);
        assert_eq!(self.output, "");
        &self.error
    }
}

/// The program, with surroundings that do not change what it prints.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reloader"));
    command.env_remove("NO_COLOR").env("TERM", "xterm").stdin(Stdio::null());
    // Nothing that is kept from another run.
    command.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    command
}

pub fn end(command: &mut Command) -> End {
    let output = command.output().unwrap();
    // Other tools show bytes as they are.
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    End { code: output.status.code(), output: text(&output.stdout), error: text(&output.stderr) }
}

/// A number of an object.
pub fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key}: {value}"))
}

/// The objects of a list that have a name.
pub fn named<'a>(list: &'a Value, name: &str) -> Vec<&'a Value> {
    list.as_array().unwrap().iter().filter(|it| it["name"] == name).collect()
}
