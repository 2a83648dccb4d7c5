//! `reloader units`: which units an image was built of, compiled how, from which files.

mod long;
mod table;
mod uses;

pub mod listing;

use build_info::Questions;
use clap::Args;

pub use self::table::{Called, counted, toolchain};

use self::listing::{COMMANDS_AND_FILES, Files, Listing};
use crate::inquiry::{Inquiry, Narrow};
use crate::palette::Palette;
use crate::report::{print_by, print_json};

/// Show which units an image was built of, compiled how, from which files
///
/// The format is found by content: ELF with DWARF, Mach-O with a debug map or a dSYM, a PDB, or a
/// PE image, which leads to its PDB. What the image does not record is taken from what lies around
/// it, and it is said which is which.
#[derive(Debug, Args)]
#[command(after_long_help = JSON_HELP)]
#[group(skip)]
pub struct Units {
    #[command(flatten)]
    inquiry: Inquiry,

    /// All that is known of each unit: command, compiler, directory, flags, files
    #[arg(short, long, conflicts_with = "json")]
    long: bool,

    /// Report one JSON object
    #[arg(long)]
    json: bool,
}

impl Units {
    /// Shows the units; an error says why they cannot be found out.
    pub fn execute(self) -> anyhow::Result<()> {
        // The table counts files; all else tells of each.
        let narrow = match self.json || self.long {
            true => Narrow::Now(COMMANDS_AND_FILES),
            false => Narrow::Then(Questions::FILES),
        };
        let answer = self.inquiry.answer(Questions::ALL, &narrow)?;
        if self.json {
            let files = Files::of(&answer.info, &answer.info.units)?;
            return print_json(&Listing::of(&answer.info, &files));
        }
        let palette = Palette::of(&std::io::stdout());
        print_by(|out| table::write(out, &answer.name, &answer.info, self.long, &palette))
    }
}

const JSON_HELP: &str = "\
In the table, a number of files with a + behind it is a lower bound: it is what a line table names,
which leaves out headers that no code came from, or a depfile without the system's headers (-MMD). A
build.ninja beside the image, depfiles (-MD), or macro information (-g3) make it whole.

With --json, one object. Absent facts are null. It has
  format              pdb, elf or mach-o
  units               each with module, object, source, cwd, compiler, command (as it is recorded),
                      arguments (split by the rules of whoever recorded it), language, version (of
                      the front end), files, size (bytes in the image), provenance; then kind,
                      archive, target, back_end, producer, flags, definitions, compiler_pdb
    files             each with path, checksum (kind, value), exists (null: not looked for),
                      provenance
    provenance        where object, source, cwd, compiler, command and files are from: recorded,
                      macros, compile_commands, ninja, cmake, \"build log\", depfile, cargo, compiler,
                      derived, \"depfile: without the system's headers\", or \"line table: lower
                      bound\". For files it is who knows them all, or else the weakest
    kind              source, runtime, resource, import, link-time-code, linker
  linker              cwd, executable, pdb, command, arguments, producer, provenance
  identity            the build-id, UUID, or GUID and age
  groups              COFF groups, each with name, address, size, section, characteristics
  remarks             what is missing or damaged";
