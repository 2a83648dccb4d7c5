//! Guests, compiled by the machine's own compilers.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

/// How a guest is compiled.
#[derive(Clone, Debug, Hash)]
pub struct Build {
    compiler: String,
    extension: &'static str,
    /// Each with the name of its file.
    sources: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    libraries: Vec<PathBuf>,
    flags: Vec<String>,
}

impl Build {
    /// C, with the system's compiler.
    pub fn c(source: impl Into<String>) -> Self {
        Self::with("cc", "c", source.into())
    }

    /// C++, with the system's compiler.
    pub fn cxx(source: impl Into<String>) -> Self {
        Self::with("c++", "cpp", source.into())
    }

    fn with(compiler: &str, extension: &'static str, source: String) -> Self {
        Self {
            compiler: compiler.to_owned(),
            extension,
            sources: vec![(format!("guest.{extension}"), source)],
            headers: Vec::new(),
            libraries: Vec::new(),
            flags: ["-g", "-fPIC", "-shared", "-pthread"].map(str::to_owned).to_vec(),
        }
    }

    /// Another compiler.
    #[must_use]
    pub fn compiler(mut self, name: impl Into<String>) -> Self {
        self.compiler = name.into();
        self
    }

    /// One more flag.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// One more source file of the same language.
    #[must_use]
    pub fn source(mut self, name: &str, text: impl Into<String>) -> Self {
        self.sources.push((format!("{name}.{}", self.extension), text.into()));
        self
    }

    /// More text at the end of the main source.
    #[must_use]
    pub fn more(mut self, text: &str) -> Self {
        self.sources[0].1.push_str(text);
        self
    }

    /// More text at the start of the main source.
    #[must_use]
    pub fn more_before(mut self, text: &str) -> Self {
        self.sources[0].1.insert_str(0, text);
        self
    }

    /// A library to link against.
    #[must_use]
    pub fn library(mut self, path: &Path) -> Self {
        self.libraries.push(path.to_owned());
        self
    }

    /// A file that the sources include.
    #[must_use]
    pub fn header(mut self, name: &str, text: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), text.into()));
        self
    }

    /// Compiles, once for all test runs, and gives the library's path.
    pub fn path(&self) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        let root = build_directory();
        let directory = root.join(format!("{:016x}", hasher.finish()));
        let library = directory.join("libguest.so");
        if !library.exists() {
            self.compile(&directory).unwrap_or_else(|error| panic!("{self:?}: {error}"));
        }
        library
    }

    /// The library's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn compile(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        // Several tests may want the same guest at the same time.
        let unfinished = || tempfile::NamedTempFile::new_in(directory);
        for (name, text) in self.sources.iter().chain(&self.headers) {
            let source = unfinished()?;
            fs::write(source.path(), text)?;
            source.persist(directory.join(name))?;
        }
        let unfinished = unfinished()?.into_temp_path();
        let mut include = OsString::from("-I");
        include.push(header_directory());
        // In its directory, so that the debug information names the file alone.
        let output = Command::new(&self.compiler)
            .current_dir(directory)
            .args(&self.flags)
            .arg(include)
            .args(self.sources.iter().map(|(name, _)| name))
            .args(&self.libraries)
            .arg("-o")
            .arg(&unfinished)
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        unfinished.persist(directory.join("libguest.so"))?;
        Ok(())
    }
}

/// Where the guests' header lies.
pub fn header_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/reloader-guest/include")
}

/// Beside the test's own program, so that it goes with the target directory.
fn build_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().unwrap().join("guests")
}
