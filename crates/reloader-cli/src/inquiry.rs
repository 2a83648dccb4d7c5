//! The question that all subcommands about builds begin with: what does this file say?

mod kept;
mod subject;

pub use self::kept::Narrow;
pub use self::subject::{Answer, Subject};

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use build_info::around::Surroundings;
use build_info::{BuildInfo, Disk, Found, PathMap, Questions, Resolve, System};
use clap::Args;

use self::kept::{Witness, witness};

/// Which image, and how its facts become facts of this machine.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Inquiry {
    /// An image (ELF, Mach-O, PE) or a PDB
    #[arg(value_name = "IMAGE|PDB")]
    image: PathBuf,

    /// Where a directory is now that was elsewhere when it was recorded; several times if need be
    #[arg(long, value_name = "FROM=TO", value_parser = map)]
    map: Vec<PathMap>,

    /// A directory to look below for files that are not where they were; several times if need be
    #[arg(long, value_name = "DIR")]
    root: Vec<PathBuf>,

    /// Where compile_commands.json, build.ninja or depfiles lie [default: looked for around the
    /// image, this directory and the compiler's]
    #[arg(long, value_name = "DIR")]
    build_dir: Option<PathBuf>,

    /// What the build printed, as `make V=1`, `make -Bn` and `ninja -v` do; it was run in the
    /// --build-dir, or else where this file is; several times if need be
    #[arg(long, value_name = "FILE")]
    build_log: Vec<PathBuf>,

    /// Run the compilers that the image names to ask them for headers that nobody has recorded
    #[arg(long)]
    run: bool,

    /// Find everything out anew, and keep nothing of it
    #[arg(long)]
    no_cache: bool,

    /// Where to keep what was found out [default: reloader in the user's cache directory]
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    cache_dir: Option<PathBuf>,
}

impl Inquiry {
    /// Finds out what is asked; an error says why it cannot be.
    pub fn answer(&self, questions: Questions, narrow: &Narrow) -> anyhow::Result<Answer> {
        self.open()?.answer(questions, narrow)
    }

    /// Opens the file that knows: the image, or its PDB.
    pub fn open(&self) -> anyhow::Result<Subject<'_>> {
        Subject::open(self)
    }

    /// Where a build system may have left word: where it is said to be, or what is found from the
    /// image, from here and from where the compilers ran. What is of another build matches nothing.
    fn build_directories(
        &self,
        info: &BuildInfo,
        resolve: &Resolve,
        witnesses: &mut Vec<Witness>,
    ) -> anyhow::Result<Vec<String>> {
        if let Some(directory) = &self.build_dir {
            let directory = absolute(directory)?;
            if !Path::new(&directory).is_dir() {
                bail!("{directory}: no directory");
            }
            return Ok(vec![directory]);
        }
        let beside = self.image.parent().map(|parent| absolute(&Path::new(".").join(parent)));
        let mut starts: Vec<String> = beside.into_iter().collect::<anyhow::Result<_>>()?;
        starts.push(absolute(Path::new("."))?);
        let mut compiled: Vec<&str> =
            info.units.iter().filter_map(|unit| Some(unit.cwd.as_ref()?.value.as_str())).collect();
        compiled.sort_unstable();
        compiled.dedup();
        for directory in compiled.into_iter().take(DIRECTORIES) {
            if let (path, Found::At(_)) = resolve.locate("", directory, info.format) {
                starts.push(path);
            }
        }
        let mut found = Vec::new();
        for start in starts {
            // A build that comes here later is to be noticed.
            let files = ["compile_commands.json", "build.ninja", "build"];
            witnesses.extend(files.map(|file| witness(&format!("{start}/{file}"))));
            let directory = Surroundings::directory_above(&start, &System);
            found.extend(directory.filter(|directory| !found.contains(directory)));
        }
        Ok(found)
    }

    /// What the build printed, as far as that was kept.
    fn printed(&self, witnesses: &mut Vec<Witness>) -> anyhow::Result<Vec<Surroundings>> {
        let taken = |path: &PathBuf| {
            let path = absolute(path)?;
            let above = Path::new(&path).parent().unwrap_or(Path::new("/"));
            let directory = absolute(self.build_dir.as_deref().unwrap_or(above))?;
            witnesses.push(witness(&path));
            let bytes = System.read(&path, MOST_LOG).with_context(|| path.clone())?;
            let mut around = Surroundings::default();
            around.add_build_log(&directory, &String::from_utf8_lossy(&bytes), &System);
            if around.steps.is_empty() && around.links.is_empty() {
                bail!("{path}: no command of a compiler in it; make shows them with V=1 or -Bn");
            }
            Ok(around)
        };
        self.build_log.iter().map(taken).collect()
    }

    /// Where the paths lead that are recorded in a file.
    fn resolve(&self, read: &Path) -> anyhow::Result<Resolve> {
        let mut resolve = self.map.iter().cloned().fold(Resolve::new(), Resolve::map);
        for root in &self.root {
            resolve = resolve.root(absolute(root)?);
        }
        Ok(match read.parent() {
            Some(parent) => resolve.image_directory(absolute(&Path::new(".").join(parent))?),
            None => resolve,
        })
    }

    /// Where a PDB may be besides where its path says.
    fn elsewhere(&self, path: &str) -> Vec<PathBuf> {
        self.map.iter().filter_map(|map| map.apply(path)).map(PathBuf::from).collect()
    }
}

/// A map from the command line: a directory that begins with a dot is one of here.
fn map(text: &str) -> anyhow::Result<PathMap> {
    let parsed: PathMap = text.parse()?;
    match text.split_once('=') {
        Some((from, to)) if to.starts_with('.') => {
            let here = absolute(Path::new(to))?;
            Ok(PathMap::new(from, here.trim_end_matches("/.")))
        }
        _ => Ok(parsed),
    }
}

fn absolute(path: &Path) -> anyhow::Result<String> {
    let path = std::path::absolute(path).with_context(|| path.display().to_string())?;
    Ok(path.to_string_lossy().into_owned())
}

/// From how many of the compilers' directories a build is looked for.
const DIRECTORIES: usize = 8;
/// More than any build prints.
const MOST_LOG: usize = 1 << 30;
