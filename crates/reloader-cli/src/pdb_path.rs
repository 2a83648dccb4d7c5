//! `reloader pdb-path`: shows where Windows images say their PDBs are, and changes it.

mod change;
mod images;
mod listing;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use pe_patch::Image;
use serde::Serialize;

use self::change::Change;
use self::listing::Listing;
use crate::destination::{Destination, usage};
use crate::format::read;
use crate::palette::Palette;
use crate::report::{Report, complain, print, reason};

/// Show or change the PDB path of Windows images
///
/// Without --set, --basename or --strip, the debug directory of each image is listed. A debugger
/// loads and locks the PDB that an image names; an image with another path lets it lock a copy.
#[derive(Debug, Args)]
#[command(after_long_help = JSON_HELP)]
#[group(skip)]
pub struct PdbPath {
    /// Executables and libraries (PE), or patterns such as 'bin/**/*.dll'
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// Write this path, as it is; longer than the present one if need be
    #[arg(long, value_name = "PATH", group = "change")]
    set: Option<String>,

    /// Cut the path down to the name of the file; debuggers then look beside the image
    #[arg(long, group = "change")]
    basename: bool,

    /// Take the path out, for a release
    #[arg(long, group = "change")]
    strip: bool,

    /// Only this entry of the debug directory, counted from 0 as in the list
    #[arg(long, value_name = "N")]
    entry: Option<u32>,

    #[command(flatten)]
    destination: Destination,

    /// Change signed images too, and take the signature off, for it would be wrong
    #[arg(long, requires = "change")]
    allow_strip_signature: bool,

    /// Report one JSON object a line, one for each image
    #[arg(long)]
    json: bool,
}

impl PdbPath {
    /// Lists or changes each image; an error says how many of them failed.
    pub fn execute(self) -> anyhow::Result<()> {
        let change = self.change();
        if change.is_some() {
            self.destination.check(NAME);
        }
        let files = images::expand(&self.images)?;
        if self.destination.output.is_some() && files.len() > 1 {
            usage(NAME, &format!("--output is for one image, and these are {}", files.len()));
        }
        let mut failed = 0;
        for file in &files {
            let done = match &change {
                Some(change) => self.perform(change, file),
                None => self.list(file),
            };
            if let Err(error) = done {
                failed += 1;
                let failure = Failure::of(file, &error);
                if self.json {
                    print(&serde_json::to_string(&failure)?)?;
                }
                if files.len() == 1 {
                    bail!(failure.error);
                }
                complain(&anyhow!(failure.error));
            }
        }
        match failed {
            0 => Ok(()),
            _ => bail!("{failed} of {} images failed", files.len()),
        }
    }

    /// What is to be done to the path, if anything is.
    fn change(&self) -> Option<Change> {
        match (&self.set, self.basename, self.strip) {
            (Some(path), ..) => Some(Change::Set(path.clone())),
            (None, true, _) => Some(Change::Basename),
            (None, false, true) => Some(Change::Strip),
            (None, false, false) => None,
        }
    }

    fn list(&self, file: &Path) -> anyhow::Result<()> {
        let bytes = read(file)?;
        let image = parse(file, &bytes)?;
        self.show(&Listing::of(file, &image, self.entry)?)
    }

    fn perform(&self, change: &Change, file: &Path) -> anyhow::Result<()> {
        let bytes = read(file)?;
        let image = parse(file, &bytes)?;
        let (plan, mut changed) =
            change.plan(file, &image, self.entry, self.allow_strip_signature)?;
        changed.output = self.destination.write(&plan, file)?;
        self.show(&changed)
    }

    fn show(&self, report: &impl Report) -> anyhow::Result<()> {
        let text = if self.json {
            serde_json::to_string(report)?
        } else {
            report.line(&Palette::of(&std::io::stdout()))
        };
        print(&text)
    }
}

/// An image that could not be read or changed.
#[derive(Serialize)]
struct Failure {
    file: String,
    error: String,
    /// The offset in the file at which that became clear.
    offset: Option<u64>,
}

impl Failure {
    fn of(file: &Path, error: &anyhow::Error) -> Self {
        let cause = error.downcast_ref::<pe_patch::Error>();
        let cure = cause.map_or("", |cause| match cause {
            pe_patch::Error::Signed { .. } => "; --allow-strip-signature takes the signature off",
            pe_patch::Error::NoRoom { .. } => "; a shorter path may fit, or --basename",
            _ => "",
        });
        Self {
            file: file.display().to_string(),
            error: format!("{}{cure}", reason(error)),
            offset: cause.and_then(pe_patch::Error::offset),
        }
    }
}

fn parse<'data>(file: &Path, bytes: &'data [u8]) -> anyhow::Result<Image<'data>> {
    Image::parse(bytes).with_context(|| file.display().to_string())
}

/// The name of the subcommand.
const NAME: &str = "pdb-path";

const JSON_HELP: &str = "\
Patterns that the shell has left alone are expanded: * and ? within a name, ** over directories, [ab].

With --json, one object a line for each image. Absent facts are null. A list has
  file, machine       x64, arm64x, ...
  entries             each with index, kind, guid, age, path, capacity (how many bytes of path fit
                      without moving anything) and problems
  problems            what is wrong with the debug directory as a whole, and whether the file is
                      cut short
  signed              whether there is a certificate table
  checksum            stored, computed; 0 stored means that there is none

A change has
  file, output        output is null with --dry-run
  rung                record, gap, tail, new-section, last-section, base-name: how much had to
                      change, the most of all entries
  entries             each with index, rung and the paths before and after
  edits, tail         offset, old and new bytes in hexadecimal; the tail is what is appended or
                      cut off
  checksum            before, after; 0 stays 0
  signature           unsigned, kept, stripped
  warnings            what else should be known

An image that could not be read or changed has file, error and offset: where in the file that became
clear. The others are still done, and the exit code is 1.";
