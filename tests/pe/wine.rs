//! Windows programs, run by wine in a prefix of the tests' own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use reloader_tests::tool_of;

/// wine with a prefix that is set up.
pub struct Wine {
    program: PathBuf,
    prefix: PathBuf,
}

/// wine, or `None` if it is missing. Setting up the prefix takes seconds, and so it is kept for
/// later runs.
pub fn wine() -> Option<&'static Wine> {
    static WINE: OnceLock<Option<Wine>> = OnceLock::new();
    let wine = WINE.get_or_init(|| {
        // Debian has it outside of PATH, and the wrapper in PATH asks for a 32-bit one.
        let program = match Path::new("/usr/lib/wine/wine64") {
            debian if debian.is_file() => debian.to_owned(),
            _ => tool_of(&["wine64", "wine"])?.0,
        };
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wine");
        let wine = Wine { program, prefix };
        let output = wine.run("wineboot", ["--init"]);
        assert!(output.status.success(), "{output:?}");
        Some(wine)
    });
    if wine.is_none() {
        tool_of(&["wine64", "wine"])?;
    }
    wine.as_ref()
}

impl Wine {
    /// Runs a program to its end, which must come within five minutes.
    pub fn run<Argument: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = Argument>,
    ) -> Output {
        Command::new("timeout")
            .args(["--kill-after=10", "300"])
            .arg(&self.program)
            .arg(program)
            .args(arguments)
            .env("WINEPREFIX", &self.prefix)
            .env("WINEDEBUG", "-all")
            // What it would ask to download.
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .env_remove("DISPLAY")
            .output()
            .unwrap()
    }
}

/// A path as Windows programs under wine see it.
pub fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.to_str().unwrap().replace('/', "\\"))
}
