//! The question that all subcommands about builds begin with: what does this file say?

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use build_info::around::{Surroundings, ask_compilers};
use build_info::{BuildInfo, Format, Found, Nearby, PathMap, Questions, Resolve, System};
use clap::Args;

use crate::format::{self, Foreign, Incomplete, with_cure};
use crate::kept::{Kept, Watched, Witness, witness};
use crate::pdb_of::pdb_of;
use crate::progress::Progress;

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

/// What a file says.
pub struct Answer {
    /// The file, as it was named.
    pub name: String,
    pub info: BuildInfo,
    /// Where recorded paths lead.
    pub resolve: Resolve,
    /// What the information was read from: the file, or its PDB.
    read: PathBuf,
    /// Where a Windows image wants to be loaded.
    image_base: Option<u64>,
}

impl Inquiry {
    /// Finds out what is asked; an error says why it cannot be.
    pub fn answer(&self, mut questions: Questions) -> anyhow::Result<Answer> {
        let name = self.image.display().to_string();
        let progress = Progress::begin(format!("reading {name}"));
        let mut file = format::open(&self.image)?;
        let mut read = self.image.clone();
        let mut image_base = None;
        if starts_with(&file, b"MZ").with_context(|| name.clone())? {
            let found = pdb_of(&self.image, |path| self.elsewhere(path))?;
            progress.stage(format!("reading {}", found.pdb.display()));
            file = format::open(&found.pdb)?;
            read = found.pdb;
            image_base = Some(found.image_base);
        }
        // There the names of the sources come with the commands, at next to no cost.
        questions.commands |= starts_with(&file, b"Microsoft C/C++").unwrap_or(false);

        let resolve = self.resolve(&read)?;
        let kept = if self.no_cache { None } else { self.kept(&file, &read)? };
        let info = match kept.as_ref().and_then(|kept| kept.load(&questions)) {
            Some(mut info) => {
                // Files may have come and gone meanwhile, and this tells of each.
                if questions == Questions::ALL {
                    info.resolve(&resolve);
                }
                info
            }
            None => {
                let (info, witnesses) =
                    self.find_out(&file, &read, &questions, &resolve, &progress)?;
                if let Some(kept) = &kept {
                    kept.store(&info, &questions, &witnesses);
                }
                info
            }
        };
        Ok(Answer { name, info, resolve, read, image_base })
    }

    /// Finds out what is asked by reading, and on which files that depends.
    fn find_out(
        &self,
        file: &File,
        read: &Path,
        questions: &Questions,
        resolve: &Resolve,
        progress: &Progress,
    ) -> anyhow::Result<(BuildInfo, Vec<Witness>)> {
        let nearby = self.root.iter().fold(Nearby::of(read), Nearby::root);
        let watched = Watched::new(nearby);
        let mut info = build_info::read_with(file, questions, &watched)
            .map_err(told)
            .with_context(|| read.display().to_string())?;
        let mut witnesses = watched.into_witnesses();
        if questions.files {
            for directory in self.build_directories(&info, resolve, &mut witnesses)? {
                progress.stage(format!("looking around in {directory}"));
                let mut around = Surroundings::find(&directory, &System);
                around.image = Some(absolute(&self.image)?);
                info.fill(&around, resolve);
                witnesses.extend(around.witnesses);
            }
            if self.run {
                progress.stage("asking the compilers".to_owned());
                ask_compilers(&mut info, resolve);
            }
        }
        progress.stage("looking for the files".to_owned());
        info.resolve(resolve);
        Ok((info, witnesses))
    }

    /// Where the answers about a file are kept.
    fn kept(&self, file: &File, read: &Path) -> anyhow::Result<Option<Kept>> {
        // What is wrong with a file is said when it is read.
        let Ok(Some(identity)) = build_info::identity(file) else { return Ok(None) };
        // A build's identity stays the same when it is stripped, or lies elsewhere.
        let length = file.metadata().map(|it| it.len()).unwrap_or_default();
        let here = absolute(Path::new("."))?;
        let circumstances = format!("{:?}", (self, read, here, length));
        Ok(Kept::of(self.cache_dir.as_deref(), &identity, &circumstances))
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

impl Answer {
    /// The addresses of a symbol, as the contributions count them.
    pub fn symbol(&self, name: &str) -> anyhow::Result<Vec<u64>> {
        let file = format::open(&self.read)?;
        let found = match self.info.format {
            Format::Pdb => build_info::pdb::symbol(&file, name),
            Format::MachO => build_info::macho::symbol(&file, name),
            _ => build_info::elf::symbol(&file, name),
        };
        found.map_err(with_cure).with_context(|| self.read.display().to_string())
    }

    /// An address as the contributions count it.
    pub fn relative(&self, address: u64) -> u64 {
        match self.image_base {
            Some(base) if address >= base => address - base,
            _ => address,
        }
    }
}

impl Incomplete for build_info::Error {
    fn is_incomplete(&self) -> bool {
        self.is_incomplete()
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

/// What is wrong with a file, and what would help.
fn told(error: build_info::Error) -> anyhow::Error {
    match error {
        build_info::Error::WrongFormat { found, .. } => {
            Foreign::among("ELF, Mach-O, PE nor PDB", &found).into()
        }
        other => with_cure(other),
    }
}

fn starts_with(file: &File, magic: &[u8]) -> std::io::Result<bool> {
    use build_info::ReadAt;
    let mut start = vec![0; magic.len()];
    let read = file.read_at(&mut start, 0)?;
    Ok(start.get(..read) == Some(magic))
}

/// From how many of the compilers' directories a build is looked for.
const DIRECTORIES: usize = 8;
