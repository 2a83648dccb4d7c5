//! `reloader compile-commands`: a compilation database out of an image.

use std::io::Write;
use std::path::PathBuf;

use build_info::{CompileCommand, Gap, Questions, Wanting};
use clap::Args;
use serde::Serialize;

use crate::inquiry::{Inquiry, Narrow};
use crate::legible::legible;
use crate::report::{print_by, remark};
use crate::whole::write_whole;

/// Write a compile_commands.json with the commands that an image was built with
///
/// Units whose command is not known, or not as a whole, are named on the standard error. The
/// latter are in the database all the same, for an editor is better off with some of the options
/// than with none, unless --complete leaves them out.
#[derive(Debug, Args)]
#[group(skip)]
pub struct CompileCommands {
    #[command(flatten)]
    inquiry: Inquiry,

    /// The file to write, instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Only commands that are known as a whole
    #[arg(long)]
    complete: bool,
}

/// An entry as the format has it.
#[derive(Serialize)]
struct Written<'a> {
    directory: &'a str,
    file: &'a str,
    arguments: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
}

impl CompileCommands {
    /// Writes the database; an error says why it cannot be.
    pub fn execute(self) -> anyhow::Result<()> {
        // The files tell where sources lie, and which of several units a command is of; once that is
        // known they are not needed.
        let wanted = Questions { commands: true, files: true, contributions: false };
        let answer = self.inquiry.answer(wanted, &Narrow::Then(COMMANDS))?;
        let database = answer.info.compile_commands(&answer.resolve);
        let is_wanted = |entry: &&CompileCommand| {
            !self.complete || !database.wanting.iter().any(|one| one.unit == entry.unit)
        };
        let entries: Vec<Written<'_>> =
            database.entries.iter().filter(is_wanted).map(Written::of).collect();
        match &self.output {
            Some(path) => {
                let text = serde_json::to_string_pretty(&entries)?;
                write_whole(path, format!("{text}\n").as_bytes(), &answer.read())?;
            }
            None => print_by(|out| {
                serde_json::to_writer_pretty(&mut *out, &entries)?;
                out.write_all(b"\n")
            })?,
        }
        for unit in answer.generated() {
            remark(&format!(
                "{}: left out: generated when all was linked, of what is not recorded",
                legible(unit.name())
            ));
        }
        for wanting in &database.wanting {
            if let Some(unit) = answer.info.units.get(wanting.unit.0 as usize) {
                remark(&format!("{}: {}", legible(unit.name()), self.outcome(wanting)));
            }
        }
        Ok(())
    }

    /// What is wanting of an entry, what has become of it, and what would help.
    fn outcome(&self, wanting: &Wanting) -> String {
        let gaps: Vec<&str> = wanting.gaps.iter().map(|gap| gap.as_str()).collect();
        let is_out = self.complete || wanting.gaps.iter().any(|gap| gap.is_fatal());
        let outcome = if is_out { "left out" } else { "incomplete" };
        let cure = wanting.gaps.iter().find_map(|gap| cure(*gap)).unwrap_or_default();
        format!("{outcome}: {}{cure}", gaps.join(", "))
    }
}

impl<'a> Written<'a> {
    fn of(entry: &'a CompileCommand) -> Self {
        Self {
            directory: &entry.directory,
            file: &entry.file,
            arguments: entry.driver_arguments(),
            output: entry.output.as_deref(),
        }
    }
}

/// What is needed of what is known.
const COMMANDS: Questions = Questions { commands: true, files: false, contributions: false };

fn cure(gap: Gap) -> Option<&'static str> {
    match gap {
        Gap::Command | Gap::Options => Some(
            "; --build-dir names the directory of a compile_commands.json or build.ninja, and \
             clang records commands with -grecord-command-line",
        ),
        Gap::Cut => Some("; --build-dir names the directory of a build.ninja that has it whole"),
        _ => None,
    }
}
