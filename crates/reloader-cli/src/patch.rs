//! `reloader patch`: changes what an image says of itself.

mod changed;
mod elf;
mod identity;
mod macho;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use patch_plan::Plan;

use self::changed::Changed;
use self::elf::ElfChanges;
use self::macho::MachoChanges;
use crate::destination::{Destination, usage};
use crate::format::Format;
use crate::palette::Palette;
use crate::report::{Report, print};

/// Change names, libraries and identifications of an image
///
/// All changes that are asked for are made in one step, or none. Where a name does not fit in its
/// place, it is moved to where there is room; nothing else of the image moves in memory. The
/// signature of a Mach-O image is renewed (ad hoc); one that was made with a key cannot be. For the
/// PDB paths of Windows images there is `reloader pdb-path`.
#[derive(Debug, Args)]
#[command(after_long_help = JSON_HELP)]
#[command(override_usage = USAGE)]
#[command(group = ArgGroup::new("change").multiple(true))]
#[group(skip)]
pub struct Patch {
    /// An ELF or Mach-O image; of a fat file, every image is changed
    image: PathBuf,

    #[command(flatten)]
    destination: Destination,

    /// Report one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    elf: ElfChanges,

    #[command(flatten)]
    macho: MachoChanges,
}

impl Patch {
    /// Changes the image; an error says why it stays as it is.
    pub fn execute(self) -> anyhow::Result<()> {
        if self.elf.given().or(self.macho.given()).is_none() {
            usage("patch", "what is to be changed? --soname, --uuid, ...: see --help");
        }
        self.destination.check("patch");
        let file = self.image.as_path();
        let (plan, mut changed) = self.plan(file)?;
        changed.output = self.destination.write(&plan, file)?;
        if self.json {
            return print(&serde_json::to_string(&changed)?);
        }
        print(&changed.line(&Palette::of(&std::io::stdout())))
    }

    fn plan(&self, path: &Path) -> anyhow::Result<(Plan, Changed)> {
        let (format, file) = Format::open(path)?;
        let (elf, macho) = (self.elf.given(), self.macho.given());
        let planned = match format {
            Format::Elf => match macho {
                Some((option, instead)) => misplaced(option, "Mach-O", "ELF", instead),
                None => self.elf.plan(file, path),
            },
            Format::MachO => match elf {
                Some((option, instead)) => misplaced(option, "ELF", "Mach-O", instead),
                None => self.macho.plan(file, path),
            },
            Format::Pe => bail!(
                "{}: a PE image, of which only the PDB path can be changed: reloader pdb-path",
                path.display()
            ),
        };
        planned.with_context(|| path.display().to_string())
    }
}

/// An option of another format, and the one that does the same, if there is one.
fn misplaced<T>(option: &str, of: &str, format: &str, instead: Option<&str>) -> anyhow::Result<T> {
    let hint = instead.map(|it| format!("; here it is {it}")).unwrap_or_default();
    bail!("{option} is for {of} images, and this one is {format}{hint}")
}

const USAGE: &str =
    "reloader patch <CHANGES> [--output <FILE> | --in-place] [--dry-run] [--json] <IMAGE>";

const JSON_HELP: &str = "\
With --json, one object. Absent facts are null. It has
  file, output        output is null with --dry-run, and if nothing had to be changed
  format              elf or mach-o
  changes             each with image (which one of a fat file), what, before and after
  edits, tail         offset, old and new bytes in hexadecimal; the tail is what is appended
  signature           of a signed image, for each code directory that is renewed: image, slot and
                      cd_hash
  warnings            what else should be known";
