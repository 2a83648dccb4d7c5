//! Changes of ELF images.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use elf_sections::{
    Binding, Changes, DebugLink, Error, Image, Source, debug_link_checksum, plan_changes,
};
use patch_plan::Plan;

use super::changed::{Change, Changed};
use super::identity::digits;
use crate::destination::hexadecimal;
use crate::format::{open, with_cure};

#[derive(Debug, Args)]
#[command(next_help_heading = "Changes of ELF images")]
#[group(skip)]
pub struct ElfChanges {
    /// The image's own name (DT_SONAME)
    #[arg(long, value_name = "NAME", group = "change")]
    soname: Option<OsString>,

    /// Where the loader looks for libraries (DT_RUNPATH); a DT_RPATH becomes one
    #[arg(long, value_name = "PATH", group = "change")]
    runpath: Option<OsString>,

    /// Need this library as well (DT_NEEDED)
    #[arg(long, value_name = "NAME", group = "change")]
    needed: Vec<OsString>,

    /// Need another library instead of one
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], group = "change")]
    replace_needed: Vec<OsString>,

    /// Find the debugging information in this file (.gnu_debuglink): its name and checksum are put
    /// down
    #[arg(long, value_name = "FILE", group = "change")]
    debuglink: Option<PathBuf>,

    /// Another build ID, as many bytes as it has
    #[arg(long, value_name = "HEX", value_parser = build_id, group = "change")]
    build_id: Option<BuildId>,

    /// Make unique symbols (STB_GNU_UNIQUE) ordinary ones, so that the library can be unloaded and
    /// loaded beside another version of itself
    #[arg(long, group = "change")]
    no_unique: bool,

    /// Allow unloading (DF_1_NODELETE)
    #[arg(long, group = "change")]
    no_nodelete: bool,
}

/// A type of its own, for a list would mean an option that is given several times.
#[derive(Clone, Debug)]
struct BuildId(Vec<u8>);

fn build_id(text: &str) -> Result<BuildId, String> {
    digits(text).map(BuildId)
}

impl ElfChanges {
    /// The first option that is given, and which one does the same for Mach-O.
    pub fn given(&self) -> Option<(&'static str, Option<&'static str>)> {
        [
            ("--soname", self.soname.is_some(), Some("--install-name")),
            ("--runpath", self.runpath.is_some(), Some("--rpath")),
            ("--needed", !self.needed.is_empty(), None),
            ("--replace-needed", !self.replace_needed.is_empty(), None),
            ("--debuglink", self.debuglink.is_some(), None),
            ("--build-id", self.build_id.is_some(), Some("--uuid")),
            ("--no-unique", self.no_unique, None),
            ("--no-nodelete", self.no_nodelete, None),
        ]
        .into_iter()
        .find_map(|(option, is_given, instead)| is_given.then_some((option, instead)))
    }

    /// Plans what was asked for.
    pub fn plan(&self, file: File, path: &Path) -> anyhow::Result<(Plan, Changed)> {
        let source = Source::new(file)?;
        let image = source.image().map_err(with_cure)?;
        let link = self.debuglink.as_deref().map(checksum_of).transpose()?;
        let bytes = |text: &OsString| text.as_encoded_bytes().to_vec();
        let pairs = self.replace_needed.chunks_exact(2);
        let changes = Changes {
            soname: self.soname.as_ref().map(bytes),
            runpath: self.runpath.as_ref().map(bytes),
            replace_needed: pairs.map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect(),
            add_needed: self.needed.iter().map(bytes).collect(),
            build_id: self.build_id.as_ref().map(|it| it.0.clone()),
            debug_link: link
                .as_ref()
                .map(|(name, checksum)| DebugLink { file_name: name, checksum: *checksum }),
            localize_unique: self.no_unique,
            allow_unload: self.no_nodelete,
        };
        let plan = plan_changes(&image, &changes).map_err(|error| cured(error, &image))?;
        if let Some(error) = source.failure() {
            return Err(error.into());
        }
        let mut changed = Changed::of(path, "elf", &plan);
        changed.changes = described(&image, &changes);
        Ok((plan, changed))
    }
}

/// The base name and the checksum of a file with debugging information.
fn checksum_of(path: &Path) -> anyhow::Result<(Vec<u8>, u32)> {
    let named = || path.display().to_string();
    let name = path.file_name().with_context(|| format!("{}: no file name", named()))?;
    let mut file = open(path)?;
    let mut part = vec![0; 1 << 16];
    let mut checksum = 0;
    loop {
        match file.read(&mut part).with_context(named)? {
            0 => return Ok((name.as_encoded_bytes().to_vec(), checksum)),
            count => checksum = debug_link_checksum(checksum, &part[..count]),
        }
    }
}

/// What is changed, before and after.
fn described(image: &Image<'_>, changes: &Changes<'_>) -> Vec<Change> {
    let mut described = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut add = |what, before: Option<String>, after| {
        described.push(Change { image: None, what, before, after });
    };
    if let Some(soname) = &changes.soname {
        add("soname", image.soname().map(text), Some(text(soname)));
    }
    if let Some(runpath) = &changes.runpath {
        let before = image.runpath().or_else(|| image.rpath());
        add("runpath", before.map(text), Some(text(runpath)));
    }
    for (old, new) in &changes.replace_needed {
        add("needed", Some(text(old)), Some(text(new)));
    }
    for name in &changes.add_needed {
        add("needed", None, Some(text(name)));
    }
    if let Some(build_id) = &changes.build_id {
        add("build-id", image.build_id().map(hexadecimal), Some(hexadecimal(build_id)));
    }
    if let Some(link) = &changes.debug_link {
        let shown = |link: &DebugLink<'_>| {
            format!("{} (checksum {:08x})", text(link.file_name), link.checksum)
        };
        add("debuglink", image.debug_link().as_ref().map(shown), Some(shown(link)));
    }
    if changes.localize_unique {
        let is_unique = |it: &elf_sections::Symbol<'_>| it.binding == Binding::Unique;
        let count = image.dynamic_symbols().filter(|it| it.is_defined() && is_unique(it)).count();
        add("unique symbols", Some(count.to_string()), Some("0".to_owned()));
    }
    if changes.allow_unload {
        let before = if image.is_nodelete() { "forbidden" } else { "allowed" };
        add("unloading", Some(before.to_owned()), Some("allowed".to_owned()));
    }
    described
}

/// The error with what can be done about it.
fn cured(error: Error, image: &Image<'_>) -> anyhow::Error {
    match &error {
        Error::NotNeeded { .. } => {
            let start = |name: &[u8]| {
                String::from_utf8_lossy(&name[..name.len().min(MOST_OF_A_NAME)]).into_owned()
            };
            let mut needed = image.needed().map(start);
            let listed: Vec<String> = needed.by_ref().take(MOST_NAMES).collect();
            let listed =
                if listed.is_empty() { "no library".to_owned() } else { listed.join(", ") };
            match needed.count() {
                0 => anyhow!("{error}; it needs {listed}"),
                more => anyhow!("{error}; it needs {listed} and {more} more"),
            }
        }
        Error::NoRoom { structure: elf_sections::Structure::BuildId, .. } => {
            anyhow!("{error}; another build ID must have as many bytes")
        }
        Error::Absent { structure: elf_sections::Structure::BuildId } => {
            anyhow!("{error}; link with -Wl,--build-id to have one")
        }
        Error::Absent { structure: elf_sections::Structure::DynamicTable } => {
            anyhow!("{error}: it is linked statically, or an object file")
        }
        _ => with_cure(error),
    }
}

/// How many libraries an error lists.
const MOST_NAMES: usize = 20;

/// How many bytes of each it shows.
const MOST_OF_A_NAME: usize = 256;
