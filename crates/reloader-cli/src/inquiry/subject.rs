//! The file that knows how an image was built, and what it says.

use std::collections::BTreeSet;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use build_info::around::{Surroundings, ask_compilers};
use build_info::{
    BuildInfo, Format, Kind, Nearby, Provenance, Questions, ReadAt, Resolve, System, Unit,
};

use super::kept::{Kept, Narrow, Watched, Witness, witness};
use super::{Inquiry, absolute};
use crate::format::{self, Foreign, Incomplete, with_cure};
use crate::pdb_of::pdb_of;
use crate::progress::Progress;

/// The file that knows: an image, or its PDB.
pub struct Subject<'a> {
    inquiry: &'a Inquiry,
    /// The image, as it was named.
    pub name: String,
    /// The file, and where it is.
    file: File,
    path: PathBuf,
    pub format: Format,
    /// Where a Windows image wants to be loaded.
    image_base: Option<u64>,
    /// Where recorded paths lead.
    pub resolve: Resolve,
    progress: Progress,
}

/// What a file says.
pub struct Answer {
    /// The image, as it was named.
    pub name: String,
    /// The system takes the memory back sooner than piece after piece could be given back.
    pub info: ManuallyDrop<BuildInfo>,
    /// Where recorded paths lead.
    pub resolve: Resolve,
    /// The image and the file that was read for it: they may be one.
    sources: [PathBuf; 2],
}

impl Answer {
    /// The files that it was read from.
    pub fn read(&self) -> [&Path; 2] {
        self.sources.each_ref().map(PathBuf::as_path)
    }

    /// The units that stand for others, which are not recorded: what LLVM's linkers generate when
    /// they link has one name in a PDB for many sources, and no command.
    pub fn generated(&self) -> impl Iterator<Item = &Unit> {
        let is_pdb = self.info.format == Format::Pdb;
        let all = self.info.units.iter().filter(move |_| is_pdb);
        all.filter(|unit| unit.kind == Kind::LinkTimeCode && unit.module != MICROSOFTS)
    }
}

/// What Microsoft's linker calls what it generates, besides the modules of the objects themselves.
const MICROSOFTS: &str = "* CIL *";

impl<'a> Subject<'a> {
    pub(super) fn open(inquiry: &'a Inquiry) -> anyhow::Result<Self> {
        let name = inquiry.image.display().to_string();
        let progress = Progress::begin(format!("reading {name}"));
        let mut file = format::open(&inquiry.image)?;
        let mut path = inquiry.image.clone();
        let mut image_base = None;
        let mut start = start(&file).with_context(|| name.clone())?;
        if start.starts_with(b"MZ") {
            let found = pdb_of(&inquiry.image, |path| inquiry.elsewhere(path))?;
            progress.stage(format!("reading {}", found.pdb.display()));
            file = format::open(&found.pdb)?;
            start = b"Microsoft".to_vec();
            path = found.pdb;
            image_base = Some(found.image_base);
        }
        let format = match format::Format::of(&start) {
            Ok(format::Format::MachO) => Format::MachO,
            _ if start.starts_with(b"Microsoft") => Format::Pdb,
            _ => Format::Elf,
        };
        let resolve = inquiry.resolve(&path)?;
        Ok(Self { inquiry, name, file, path, format, image_base, resolve, progress })
    }

    /// The addresses of a symbol, as the contributions count them.
    pub fn symbol(&self, name: &str) -> anyhow::Result<Vec<u64>> {
        let nearby = self.nearby();
        let found = match self.format {
            Format::Pdb => build_info::pdb::symbol(&self.file, name),
            Format::MachO => build_info::macho::symbol(&self.file, name),
            _ => build_info::elf::symbol_with(&self.file, name, &nearby),
        };
        found.map_err(told).with_context(|| self.path.display().to_string())
    }

    /// An address as the contributions count it.
    pub fn relative(&self, address: u64) -> u64 {
        match self.image_base {
            Some(base) if address >= base => address - base,
            _ => address,
        }
    }

    /// Finds out what is asked; an error says why it cannot be.
    pub fn answer(self, asked: Questions, narrow: &Narrow) -> anyhow::Result<Answer> {
        let mut read = asked;
        // There the names of the sources come with the commands, at next to no cost; and a compiler
        // is asked by its command.
        read.commands |= self.format == Format::Pdb || self.inquiry.run;
        let kept = if self.inquiry.no_cache { None } else { self.kept()? };
        let load = |narrow: &Narrow| kept.as_ref()?.load(&asked, &read, narrow);
        let mut known = load(narrow);
        let mut look = matches!(narrow, Narrow::Now(_));
        // What is not known by the path that it had then may be known by the one that it has now.
        if let (Some(info), Narrow::Paths(paths)) = (&known, narrow)
            && paths.iter().any(|paths| info.affected(paths).units.is_empty())
        {
            known = load(&Narrow::Then(asked));
            look = true;
        }
        let info = match known {
            Some(mut info) => {
                // Files may have come and gone meanwhile.
                if look {
                    info.resolve(&self.resolve);
                }
                info
            }
            None => {
                let (info, witnesses) = self.find_out(&read)?;
                if let Some(kept) = &kept {
                    kept.store(&info, &read, &witnesses);
                }
                info
            }
        };
        let sources = [self.inquiry.image.clone(), self.path];
        Ok(Answer {
            sources,
            name: self.name,
            info: ManuallyDrop::new(info),
            resolve: self.resolve,
        })
    }

    /// Finds out what is asked by reading, and on which files that depends.
    fn find_out(&self, questions: &Questions) -> anyhow::Result<(BuildInfo, Vec<Witness>)> {
        let Self { inquiry, resolve, progress, .. } = self;
        let watched = Watched::new(self.nearby());
        let mut info = build_info::read_with(&self.file, questions, &watched)
            .map_err(told)
            .with_context(|| self.path.display().to_string())?;
        let mut witnesses = watched.into_witnesses();
        if questions.files {
            for mut around in inquiry.printed(&mut witnesses)? {
                around.image = Some(absolute(&inquiry.image)?);
                info.fill(&around, resolve);
            }
            for directory in inquiry.build_directories(&info, resolve, &mut witnesses)? {
                progress.stage(format!("looking around in {directory}"));
                let mut around = Surroundings::find(&directory, &System);
                around.image = Some(absolute(&inquiry.image)?);
                info.fill(&around, resolve);
                witnesses.extend(around.witnesses);
            }
            if inquiry.run {
                progress.stage("asking the compilers".to_owned());
                ask_compilers(&mut info, resolve, PATIENCE);
            }
            info.remarks.extend(in_part(&info));
        }
        progress.stage("looking for the files".to_owned());
        info.resolve(resolve);
        if inquiry.run {
            witnesses.extend(asked_of(&info));
        }
        Ok((info, witnesses))
    }

    fn nearby(&self) -> Nearby {
        self.inquiry.root.iter().fold(Nearby::of(&self.path), Nearby::root)
    }

    /// Where the answers about the file are kept.
    fn kept(&self) -> anyhow::Result<Option<Kept>> {
        // What is wrong with a file is said when it is read.
        let Ok(Some(identity)) = build_info::identity(&self.file) else { return Ok(None) };
        // A build's identity stays the same when it is stripped, or lies elsewhere; and whoever
        // links can give any.
        let (_, stamp) = witness(&self.path.to_string_lossy());
        let here = absolute(Path::new("."))?;
        let circumstances = format!("{:?}", (self.inquiry, &self.path, here, stamp));
        Ok(Kept::of(self.inquiry.cache_dir.as_deref(), &identity, &circumstances))
    }
}

impl Incomplete for build_info::Error {
    fn is_incomplete(&self) -> bool {
        self.is_incomplete()
    }
}

/// The files that compilers have named: what they include may change, and nothing else would tell.
fn asked_of(info: &BuildInfo) -> Vec<Witness> {
    let uses = info.units.iter().flat_map(|unit| &unit.files);
    let named = uses.filter(|used| used.provenance == Provenance::Compiler);
    let numbers: BTreeSet<u32> = named.map(|used| used.file.0).collect();
    let files = numbers.into_iter().filter_map(|number| info.files.get(number as usize));
    files.map(|file| witness(&file.path)).collect()
}

/// That the files of some units are known in part only.
fn in_part(info: &BuildInfo) -> Option<String> {
    let units = info.units.iter().filter(|unit| unit.kind == Kind::Source);
    let (count, of) = (units.clone().filter(|unit| !unit.has_all_files()).count(), units.count());
    (count > 0).then(|| {
        format!(
            "the files that {count} of {of} units are made from are known in part only; --build-dir \
             names the directory of a build.ninja or of depfiles, and -g3 records all headers"
        )
    })
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

fn start(file: &File) -> std::io::Result<Vec<u8>> {
    let mut start = vec![0; 16];
    let read = file.read_at(&mut start, 0)?;
    start.truncate(read);
    Ok(start)
}

/// How long a compiler may take to name the files that it reads.
const PATIENCE: Duration = Duration::from_secs(60);
