//! Changes of Mach-O images.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::anyhow;
use clap::Args;
use macho_sections::{
    Container, Error, Image, Resigned, ResignedDirectory, RpathChange, Structure,
    plan_install_name, plan_rpath, plan_uuid,
};
use patch_plan::Plan;

use super::changed::{Change, Changed, Directory};
use super::identity::{uuid, uuid_text};
use crate::destination::hexadecimal;
use crate::format::with_cure;

#[derive(Debug, Args)]
#[command(next_help_heading = "Changes of Mach-O images")]
#[group(skip)]
pub struct MachoChanges {
    /// Another identification of the build (LC_UUID)
    #[arg(long, value_name = "UUID", value_parser = uuid, group = "change")]
    uuid: Option<[u8; 16]>,

    /// The name by which others will look for this library (LC_ID_DYLIB)
    #[arg(long, value_name = "NAME", group = "change")]
    install_name: Option<OsString>,

    /// Look for @rpath in this directory as well (LC_RPATH)
    #[arg(long, value_name = "PATH", group = "change")]
    rpath: Vec<OsString>,

    /// Look for @rpath in another directory instead of one
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], group = "change")]
    replace_rpath: Vec<OsString>,

    /// Look for @rpath no longer in this directory
    #[arg(long, value_name = "PATH", group = "change")]
    remove_rpath: Vec<OsString>,
}

/// One change of one image.
#[derive(Clone, Copy)]
enum Step<'a> {
    Uuid([u8; 16]),
    InstallName(&'a [u8]),
    Rpath(RpathChange<'a>),
}

impl MachoChanges {
    /// The first option that is given, and which one does the same for ELF.
    pub fn given(&self) -> Option<(&'static str, Option<&'static str>)> {
        [
            ("--uuid", self.uuid.is_some(), Some("--build-id")),
            ("--install-name", self.install_name.is_some(), Some("--soname")),
            ("--rpath", !self.rpath.is_empty(), Some("--runpath")),
            ("--replace-rpath", !self.replace_rpath.is_empty(), Some("--runpath")),
            ("--remove-rpath", !self.remove_rpath.is_empty(), Some("--runpath")),
        ]
        .into_iter()
        .find_map(|(option, is_given, instead)| is_given.then_some((option, instead)))
    }

    /// Plans what was asked for, for every image of the file.
    pub fn plan(&self, mut file: File, path: &Path) -> anyhow::Result<(Plan, Changed)> {
        let mut original = Vec::new();
        file.read_to_end(&mut original)?;
        let mut draft = Draft::new(&original);
        let count = Container::parse(&original).map_err(with_cure)?.images().count();
        for step in self.steps() {
            for index in 0..count {
                draft.perform(step, index)?;
            }
        }
        let plan = draft.plan()?;
        let mut changed = Changed::of(path, "mach-o", &plan);
        changed.changes = draft.changes;
        changed.warnings = draft.warnings;
        let directories = draft.directories.into_iter();
        changed.signature = directories
            .map(|((_, slot), (image, directory))| Directory {
                image,
                slot,
                cd_hash: hexadecimal(&directory.cd_hash),
            })
            .collect();
        Ok((plan, changed))
    }

    fn steps(&self) -> Vec<Step<'_>> {
        let removed = self.remove_rpath.iter().map(|it| RpathChange::Remove(bytes(it)));
        let replaced = self.replace_rpath.chunks_exact(2);
        let replaced = replaced
            .map(|pair| RpathChange::Replace { old: bytes(&pair[0]), new: bytes(&pair[1]) });
        let added = self.rpath.iter().map(|it| RpathChange::Add(bytes(it)));
        self.uuid
            .map(Step::Uuid)
            .into_iter()
            .chain(self.install_name.iter().map(|it| Step::InstallName(bytes(it))))
            .chain(removed.chain(replaced).chain(added).map(Step::Rpath))
            .collect()
    }
}

fn bytes(text: &OsString) -> &[u8] {
    text.as_encoded_bytes()
}

/// A file with the changes so far.
struct Draft<'a> {
    original: &'a [u8],
    bytes: Vec<u8>,
    /// What has been touched: from offset to end.
    touched: BTreeMap<u64, u64>,
    changes: Vec<Change>,
    /// The last state of each code directory, by its image's offset and its slot.
    directories: BTreeMap<(u64, u32), (Option<String>, ResignedDirectory)>,
    warnings: Vec<String>,
}

impl Draft<'_> {
    fn new(original: &[u8]) -> Draft<'_> {
        Draft {
            original,
            bytes: original.to_vec(),
            touched: BTreeMap::new(),
            changes: Vec::new(),
            directories: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Makes one change of the file's image of this number.
    fn perform(&mut self, step: Step<'_>, index: usize) -> anyhow::Result<()> {
        let container = Container::parse(&self.bytes)?;
        let Some(image) = container.images().nth(index) else { return Ok(()) };
        let image = image.map_err(with_cure)?;
        let cpu = image.header().cpu.to_string();
        let name = Some(cpu.clone()).filter(|_| !container.slices().is_empty());
        let (change, resigned) = step.plan(&image, name.clone()).map_err(|error| match &name {
            Some(name) => cured(error, &image).context(format!("the {name} image")),
            None => cured(error, &image),
        })?;
        let Resigned { plan, directories } = resigned;
        for directory in directories {
            if directory.mended != 0 {
                self.warnings.push(format!(
                    "{cpu}: {} pages had wrong hashes before, which are right now",
                    directory.mended
                ));
            }
            self.directories.insert((directory.base, directory.slot), (name.clone(), directory));
        }
        for edit in plan.edits() {
            let end = edit.end().unwrap_or(u64::MAX);
            let known = self.touched.entry(edit.offset).or_insert(end);
            *known = end.max(*known);
        }
        self.changes.push(change);
        plan.apply(&mut self.bytes)?;
        Ok(())
    }

    /// All of it as one plan.
    fn plan(&self) -> Result<Plan, patch_plan::Error> {
        let mut plan = Plan::new();
        let mut done = 0;
        for (&start, &end) in &self.touched {
            let start = start.max(done);
            done = done.max(end);
            let part = |bytes: &[u8]| {
                let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
                bytes.get(range).map(<[u8]>::to_vec)
            };
            if let Some((old, new)) = part(self.original).zip(part(&self.bytes))
                && old != new
            {
                plan.edit(start, old, new)?;
            }
        }
        Ok(plan)
    }
}

impl Step<'_> {
    fn plan(self, image: &Image<'_>, name: Option<String>) -> Result<(Change, Resigned), Error> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let change = |what, before, after| Change { image: name, what, before, after };
        Ok(match self {
            Step::Uuid(uuid) => {
                let before = image.uuid().map(uuid_text);
                (change("uuid", before, Some(uuid_text(uuid))), plan_uuid(image, uuid)?)
            }
            Step::InstallName(wanted) => {
                let before = image.install_name().map(text);
                let change = change("install-name", before, Some(text(wanted)));
                (change, plan_install_name(image, wanted)?)
            }
            Step::Rpath(rpath) => {
                let (before, after) = match rpath {
                    RpathChange::Add(path) => (None, Some(text(path))),
                    RpathChange::Replace { old, new } => (Some(text(old)), Some(text(new))),
                    RpathChange::Remove(path) => (Some(text(path)), None),
                };
                (change("rpath", before, after), plan_rpath(image, rpath)?)
            }
        })
    }
}

/// The error with what can be done about it.
fn cured(error: Error, image: &Image<'_>) -> anyhow::Error {
    match &error {
        Error::Absent { structure: Structure::Rpath } => {
            let rpaths: Vec<_> = image.rpaths().map(String::from_utf8_lossy).collect();
            match rpaths.is_empty() {
                true => error.into(),
                false => anyhow!("the image has no such run path; it has {}", rpaths.join(", ")),
            }
        }
        Error::NoRoom { .. } => {
            anyhow!("{error}; a shorter name may fit, or link with -headerpad_max_install_names")
        }
        Error::RealIdentity { .. } => {
            anyhow!("{error}; take it off (codesign --remove-signature), change, and sign again")
        }
        _ => with_cure(error),
    }
}
