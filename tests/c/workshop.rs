//! The installed library, and programs compiled against it.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, fs};

/// What `install.sh` installs of the library that cargo has built for these tests.
pub fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let mut directory = env::current_exe().unwrap();
        directory.pop();
        let mut prefix = tempfile::Builder::new();
        let prefix = prefix.prefix("libreloader-").tempdir_in(directory).unwrap().keep();
        install(&prefix);
        // Nobody is left to remove it when the tests have run; the next run does.
        remove_older(&prefix);
        prefix
    })
}

/// Runs `install.sh`.
pub fn install(prefix: &Path) {
    let built = env::current_exe().unwrap();
    let output = Command::new(crate_directory().join("install.sh"))
        .arg(prefix)
        .env("BUILT", built.parent().unwrap())
        .output()
        .unwrap();
    good(&output, "install.sh");
}

fn remove_older(prefix: &Path) {
    let entries = fs::read_dir(prefix.parent().unwrap()).unwrap().flatten();
    for entry in entries.filter(|entry| entry.path() != prefix) {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let old = age.and_then(|time| time.elapsed().ok()).is_some_and(|age| age.as_secs() > 7200);
        if old && entry.file_name().to_string_lossy().starts_with("libreloader-") {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Where the crate lies.
pub fn crate_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/reloader-capi")
}

/// How a program finds the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    Shared,
    Static,
}

/// A program that is compiled against the installed library, once for each way.
#[derive(Clone, Debug, Hash)]
pub struct Program {
    pub compiler: &'static str,
    pub flags: Vec<String>,
    /// Each with the name of its file.
    pub sources: Vec<(&'static str, String)>,
    pub link: Link,
}

impl Program {
    pub fn c(source: impl Into<String>) -> Self {
        let sources = vec![("host.c", source.into())];
        Self { compiler: "cc", flags: strict("c11"), sources, link: Link::Shared }
    }

    pub fn cxx(source: impl Into<String>) -> Self {
        let sources = vec![("host.cpp", source.into())];
        Self { compiler: "c++", flags: strict("c++17"), sources, link: Link::Shared }
    }

    pub fn compiler(mut self, compiler: &'static str) -> Self {
        self.compiler = compiler;
        self
    }

    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    pub fn source(mut self, name: &'static str, text: &str) -> Self {
        self.sources.push((name, text.to_owned()));
        self
    }

    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// Compiles it, without a warning, and gives the program's path.
    pub fn path(&self) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        let directory = prefix().join("programs").join(format!("{:016x}", hasher.finish()));
        let program = directory.join("host");
        if program.exists() {
            return program;
        }
        fs::create_dir_all(&directory).unwrap();
        let unfinished = tempfile::tempdir_in(&directory).unwrap();
        for (name, text) in &self.sources {
            fs::write(unfinished.path().join(name), text).unwrap();
        }
        let lib = prefix().join("lib");
        let mut command = Command::new(self.compiler);
        command
            .current_dir(unfinished.path())
            .args(&self.flags)
            .arg(joined("-I", &prefix().join("include")))
            .args(self.sources.iter().map(|(name, _)| name));
        match self.link {
            Link::Shared => {
                command.arg(joined("-L", &lib)).arg("-lreloader").arg(joined("-Wl,-rpath,", &lib));
            }
            Link::Static => {
                command.arg(lib.join("libreloader.a"));
                command.args(["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"]);
            }
        }
        let output = command.args(["-o", "host"]).output().unwrap();
        good(&output, &format!("{command:?}"));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::rename(unfinished.path().join("host"), &program).unwrap();
        program
    }
}

fn strict(standard: &str) -> Vec<String> {
    let standard = format!("-std={standard}");
    [&standard, "-g", "-Wall", "-Wextra", "-pedantic", "-pthread"].map(str::to_owned).to_vec()
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut option = OsString::from(option);
    option.push(path);
    option
}

/// It ended well.
#[track_caller]
pub fn good(output: &Output, what: &str) {
    assert!(
        output.status.success(),
        "{what}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
