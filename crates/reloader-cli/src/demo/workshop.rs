//! The demo's library on disk: its source, the edits to it, and the compiler.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use anyhow::{Context, bail};
use tempfile::TempDir;

/// A directory with the source of the guest and what was built of it.
pub struct Workshop {
    directory: TempDir,
    compiler: Vec<String>,
    source: String,
}

/// What an edit did to the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The line it begins in, from 1.
    pub line: usize,
    /// What stood there.
    pub removed: Vec<String>,
    /// What stands there now.
    pub added: Vec<String>,
}

impl Workshop {
    /// A new directory with the guest as it is at first, not built yet.
    pub fn open() -> anyhow::Result<Self> {
        let directory =
            tempfile::Builder::new().prefix("reloader-demo-").tempdir().with_context(|| {
                format!("{}: cannot make a directory there (set TMPDIR)", env::temp_dir().display())
            })?;
        let compiler = match env::var("CC") {
            Ok(words) if !words.trim().is_empty() => {
                words.split_whitespace().map(str::to_owned).collect()
            }
            _ => vec!["cc".to_owned()],
        };
        let workshop = Self { directory, compiler, source: GUEST.to_owned() };
        workshop.save()?;
        Ok(workshop)
    }

    /// The source file.
    pub fn source_file(&self) -> PathBuf {
        self.directory.path().join("guest.c")
    }

    /// The library.
    pub fn library(&self) -> PathBuf {
        self.directory.path().join(format!(
            "{}guest{}",
            env::consts::DLL_PREFIX,
            env::consts::DLL_SUFFIX
        ))
    }

    /// The compiler as the user would name it.
    pub fn compiler(&self) -> String {
        self.compiler.join(" ")
    }

    /// Replaces `old`, which stands in the source once, with `new`; both are whole lines.
    pub fn edit(&mut self, old: &str, new: &str) -> anyhow::Result<Edit> {
        let Some((before, after)) =
            self.source.split_once(old).filter(|(_, after)| !after.contains(old))
        else {
            bail!("{}: {old:?} does not stand there once", self.source_file().display());
        };
        let edit = Edit {
            line: before.lines().count() + 1,
            removed: old.lines().map(str::to_owned).collect(),
            added: new.lines().map(str::to_owned).collect(),
        };
        self.source = [before, new, after].concat();
        self.save()?;
        Ok(edit)
    }

    /// The line, from 1, that `text` stands in.
    pub fn line_of(&self, text: &str) -> Option<usize> {
        self.source.lines().position(|line| line.contains(text)).map(|index| index + 1)
    }

    /// Compiles the source and puts the library in its place in one go; says how long it took.
    pub fn build(&self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let library = self.library();
        let unfinished = library.with_extension("unfinished");
        let (program, arguments) = self.compiler.split_first().context("CC names no program")?;
        let output = Command::new(program)
            .args(arguments)
            .args(["-g", "-shared", "-fPIC", "-fno-omit-frame-pointer", "-o"])
            .arg(&unfinished)
            .arg(self.source_file())
            .output();
        let output = match output {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "{program}: there is no such C compiler; install one (Debian, Ubuntu: apt install gcc; Fedora: dnf \
                 install gcc; macOS: xcode-select --install) or name yours in the environment variable CC"
            ),
            Err(error) => bail!("{program}: the C compiler cannot be started: {error}"),
        };
        if !output.status.success() {
            bail!(
                "{}: {} failed ({}); it must be able to build a shared library of C:\n{}",
                self.source_file().display(),
                self.compiler(),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        fs::rename(&unfinished, &library)
            .with_context(|| format!("{}: cannot be put in its place", library.display()))?;
        Ok(started.elapsed())
    }

    /// Leaves the directory where it is, and says where that is.
    pub fn keep(self) -> PathBuf {
        self.directory.keep()
    }

    fn save(&self) -> anyhow::Result<()> {
        let path = self.source_file();
        fs::write(&path, &self.source)
            .with_context(|| format!("{}: cannot be written", path.display()))
    }
}

/// Whether a debugger's name for a source file means this one.
pub fn is_same_file(name: &str, path: &Path) -> bool {
    let name = Path::new(name);
    match (name.canonicalize(), path.canonicalize()) {
        (Ok(name), Ok(path)) => name == path,
        _ => name == path,
    }
}

const GUEST: &str = include_str!("guest.c");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_says_what_it_changed_and_where() {
        let mut workshop = Workshop::open().unwrap();
        let line = workshop.line_of("counter += 1;").unwrap();
        let edit = workshop.edit("    counter += 1;\n", "    counter += 2;\n\n").unwrap();
        let expected = Edit {
            line,
            removed: vec!["    counter += 1;".into()],
            added: vec!["    counter += 2;".into(), String::new()],
        };
        assert_eq!(edit, expected);
        let written = fs::read_to_string(workshop.source_file()).unwrap();
        assert_eq!(written.lines().nth(line - 1), Some("    counter += 2;"));
    }

    #[test]
    fn an_edit_of_what_is_not_there_or_not_unique_changes_nothing() {
        let mut workshop = Workshop::open().unwrap();
        assert!(workshop.edit("no such line", "").is_err());
        assert!(workshop.edit("counter", "").is_err());
        assert_eq!(fs::read_to_string(workshop.source_file()).unwrap(), GUEST);
    }

    #[test]
    fn a_kept_directory_stays_and_another_goes() {
        let workshop = Workshop::open().unwrap();
        let source = workshop.source_file();
        drop(workshop);
        assert!(!source.exists());
        let workshop = Workshop::open().unwrap();
        let source = workshop.source_file();
        let kept = workshop.keep();
        assert!(source.exists());
        fs::remove_dir_all(kept).unwrap();
    }
}
