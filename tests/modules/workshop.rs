//! Programs and libraries as the machine's own compilers make them, once for all runs.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use reloader_tests::tool;

/// A file to be made.
#[derive(Clone, Debug, Hash)]
pub struct Work {
    compiler: String,
    source: String,
    flags: Vec<String>,
    name: String,
}

impl Work {
    /// The program that obeys.
    pub fn program() -> Self {
        Self::new("gcc", "target", include_str!("target.c")).flags(["-O1", "-pthread"])
    }

    /// A library that needs none, not even the C library, so that every loader loads it.
    pub fn library(name: &str) -> Self {
        let source =
            format!("int {name}_value = 1; int {name}(int x) {{ return {name}_value += x; }}");
        Self::library_of(name, &source).flag("-nostdlib")
    }

    /// A library of this source.
    pub fn library_of(name: &str, source: &str) -> Self {
        Self::new("gcc", &format!("lib{name}.so"), source).flags(["-O1", "-shared", "-fPIC"])
    }

    fn new(compiler: &str, name: &str, source: &str) -> Self {
        Self {
            compiler: compiler.to_owned(),
            source: source.to_owned(),
            flags: Vec::new(),
            name: name.to_owned(),
        }
        .flag("-Wl,--build-id")
    }

    #[must_use]
    pub fn compiler(mut self, compiler: &str) -> Self {
        self.compiler = compiler.to_owned();
        self
    }

    #[must_use]
    pub fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    #[must_use]
    pub fn flags<'a>(mut self, flags: impl IntoIterator<Item = &'a str>) -> Self {
        self.flags.extend(flags.into_iter().map(str::to_owned));
        self
    }

    #[must_use]
    pub fn before(mut self, text: &str) -> Self {
        self.source.insert_str(0, text);
        self
    }

    /// Makes it, in a directory of its own, unless a tool is missing, which is said.
    pub fn make(&self) -> Option<PathBuf> {
        tool(&self.compiler)?;
        for linker in ["lld", "mold", "gold"] {
            if self.flags.iter().any(|flag| *flag == format!("-fuse-ld={linker}")) {
                tool(&format!("ld.{linker}"))?;
            }
        }
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        let directory = directory().join(format!("{:016x}", hasher.finish()));
        let made = directory.join(&self.name);
        if !made.exists() {
            fs::create_dir_all(&directory).unwrap();
            // Several tests may want the same file at the same time.
            let room = tempfile::tempdir_in(&directory).unwrap();
            let source = room.path().join("source.c");
            fs::write(&source, &self.source).unwrap();
            let output = Command::new(&self.compiler)
                .current_dir(room.path())
                // Libraries after what needs them.
                .arg("source.c")
                .args(&self.flags)
                .arg("-o")
                .arg(&self.name)
                .output()
                .unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{self:?}: {errors}");
            fs::rename(room.path().join(&self.name), &made).unwrap();
        }
        Some(made)
    }

    /// Makes a copy of it that a test may change.
    pub fn make_in(&self, directory: &Path) -> Option<PathBuf> {
        let made = self.make()?;
        let copy = directory.join(&self.name);
        copy_closed(&made, &copy);
        Some(copy)
    }
}

/// For a 32-bit program; the headers of the kernel are the same.
pub const M32: [&str; 3] = ["-m32", "-idirafter", "/usr/include/x86_64-linux-gnu"];

/// Copies a file by a process of its own, so that no child of another test has it open for writing,
/// which would keep it from being run.
pub fn copy_closed(from: &Path, to: &Path) {
    let arguments: [&OsStr; 3] = ["-f".as_ref(), from.as_os_str(), to.as_os_str()];
    assert!(Command::new("cp").args(arguments).status().unwrap().success());
}

/// Beside the test's own program, so that it goes with the target directory.
fn directory() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().join("zoo")
}
