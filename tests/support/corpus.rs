//! Images of other makers, out of packages of the public registries.
//!
//! A package is fetched by its registry's ordinary client, checked against the SHA-256 in the
//! source, unpacked and kept beside the target directory's profiles, so that each is fetched once.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};

use crate::{missing, tool};

/// One version of a package, for one platform where it differs by platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Package {
    registry: Registry,
    name: &'static str,
    version: &'static str,
    /// Of the archive as it is fetched, in hexadecimal.
    sha256: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Registry {
    PyPi { platform: &'static str, python: &'static str },
    Npm,
    Crates,
}

impl Package {
    /// A wheel from PyPI: `platform` is the last part of its name, `win_amd64`, `any`,
    /// `macosx_11_0_arm64`. Where there is one for each Python, it is the one for 3.11.
    pub const fn wheel(
        name: &'static str,
        version: &'static str,
        platform: &'static str,
        sha256: &'static str,
    ) -> Self {
        Self::wheel_for("3.11", name, version, platform, sha256)
    }

    /// A wheel of which there is none for Python 3.11.
    pub const fn wheel_for(
        python: &'static str,
        name: &'static str,
        version: &'static str,
        platform: &'static str,
        sha256: &'static str,
    ) -> Self {
        Self { registry: Registry::PyPi { platform, python }, name, version, sha256 }
    }

    /// A package from npm; scoped names too: `@rollup/rollup-win32-x64-msvc`.
    pub const fn npm(name: &'static str, version: &'static str, sha256: &'static str) -> Self {
        Self { registry: Registry::Npm, name, version, sha256 }
    }

    /// A crate from crates.io.
    pub const fn crates(name: &'static str, version: &'static str, sha256: &'static str) -> Self {
        Self { registry: Registry::Crates, name, version, sha256 }
    }

    /// Its name at its registry.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The directory with what the archive holds: what a wheel installs, npm's `package`, the
    /// crate's root.
    ///
    /// Without the client or the network it says that the test is skipped, or fails with
    /// `REQUIRE_TOOLS=1`. An archive with another SHA-256 always fails.
    pub fn unpacked(&self) -> Option<PathBuf> {
        // Without a network each attempt takes its time, and one is enough for all tests.
        static SEEN: Mutex<Option<HashMap<Package, Option<PathBuf>>>> = Mutex::new(None);
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get_or_insert_default();
        match seen.get(self) {
            Some(Some(root)) => return Some(root.clone()),
            Some(None) => {
                missing(&format!("{} could not be fetched", self.label()));
                return None;
            }
            None => {}
        }
        let root = self.fetched();
        seen.insert(*self, root.clone());
        root
    }

    fn fetched(&self) -> Option<PathBuf> {
        let corpus = corpus_directory();
        fs::create_dir_all(&corpus).unwrap();
        let name = self.label().replace(['/', '@', ' '], "-");
        let place = corpus.join(&name);
        // For other processes; it ends with the file's closing, however that comes about.
        let lock = File::create(corpus.join(format!("{name}.lock"))).unwrap();
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
        if !place.exists() {
            let unfinished = tempfile::tempdir_in(&corpus).unwrap();
            self.download(unfinished.path())?;
            let root = self.unpack(unfinished.path());
            fs::rename(root, &place).unwrap();
        }
        Some(place)
    }

    /// Puts the archive, and nothing else that ends as archives do, below `directory`.
    fn download(&self, directory: &Path) -> Option<()> {
        let Self { name, version, .. } = self;
        let mut command = match self.registry {
            Registry::PyPi { platform, python } => {
                let mut pip = limited("python3")?;
                pip.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:"])
                    .args(["--disable-pip-version-check", "--retries=2", "--timeout=30"])
                    .args(["--python-version", python, "--platform", platform, "--dest=."])
                    .arg(format!("{name}=={version}"));
                pip
            }
            Registry::Npm => {
                let mut npm = limited("npm")?;
                npm.args(["pack", "--fetch-retries=2", "--fetch-timeout=60000"])
                    .arg(format!("{name}@{version}"));
                npm
            }
            Registry::Crates => {
                // Cargo fetches for a package that depends on it.
                let manifest = format!(
                    "[package]\nname = \"corpus\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
                     [dependencies]\n{name} = \"={version}\"\n[workspace]\n"
                );
                fs::write(directory.join("Cargo.toml"), manifest).unwrap();
                fs::create_dir(directory.join("src")).unwrap();
                fs::write(directory.join("src/lib.rs"), "").unwrap();
                let mut cargo = limited("cargo")?;
                cargo.arg("fetch");
                cargo
            }
        };
        let output = command.current_dir(directory).output().unwrap();
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            missing(&format!("{} cannot be fetched: {}", self.label(), why.trim()));
            return None;
        }
        if self.registry == Registry::Crates {
            let archive = format!("{name}-{version}.crate");
            let kept = cargo_home().join("registry/cache");
            let found = fs::read_dir(kept).unwrap().flatten().map(|it| it.path().join(&archive));
            fs::copy(found.into_iter().find(|it| it.exists()).unwrap(), directory.join(archive))
                .unwrap();
        }
        Some(())
    }

    /// Checks the archive, unpacks it, and gives the directory that is of interest.
    fn unpack(&self, directory: &Path) -> PathBuf {
        let archive = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| ENDINGS.iter().any(|&it| path.extension() == Some(OsStr::new(it))))
            .unwrap_or_else(|| panic!("{}: no archive came", self.label()));
        let mut hasher = Sha256::new();
        io::copy(&mut File::open(&archive).unwrap(), &mut Hashing(&mut hasher)).unwrap();
        let sha256: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sha256, self.sha256, "SHA-256 of {}", archive.display());

        let root = directory.join("unpacked");
        fs::create_dir(&root).unwrap();
        let mut command = if archive.extension() == Some(OsStr::new("whl")) {
            let mut command = Command::new("python3");
            command.args(["-m", "zipfile", "-e"]).arg(&archive).arg(&root);
            command
        } else {
            let mut command = Command::new("tar");
            command.args(["--no-same-owner", "-xzf"]).arg(&archive).arg("-C").arg(&root);
            command
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        match self.registry {
            Registry::PyPi { .. } => root,
            Registry::Npm => root.join("package"),
            Registry::Crates => root.join(format!("{}-{}", self.name, self.version)),
        }
    }

    /// The name of its directory and in messages.
    fn label(&self) -> String {
        let Self { name, version, .. } = self;
        match self.registry {
            Registry::PyPi { platform, .. } => format!("pypi {name} {version} {platform}"),
            Registry::Npm => format!("npm {name} {version}"),
            Registry::Crates => format!("crate {name} {version}"),
        }
    }
}

/// A client that is ended where it hangs.
fn limited(client: &str) -> Option<Command> {
    let client = tool(client)?;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", "300"]).arg(client.0);
    Some(command)
}

/// `target/corpus`, whatever the profile.
fn corpus_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    // target/debug/deps/pe-0123456789abcdef
    program.ancestors().nth(3).unwrap().join("corpus")
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .expect("cargo has a home")
}

struct Hashing<'a>(&'a mut Sha256);

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const ENDINGS: [&str; 3] = ["whl", "tgz", "crate"];
