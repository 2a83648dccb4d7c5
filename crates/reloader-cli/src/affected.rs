//! `reloader affected`: which units have to be compiled again when files have changed.

use std::path::PathBuf;

use build_info::{Kind, Questions, Quoting, UnitId};
use clap::Args;
use serde::Serialize;

use crate::inquiry::{Answer, Inquiry};
use crate::legible::legible;
use crate::report::{print, remark};
use crate::units::listing::Listed;
use crate::units::{Called, counted};

/// Show which units have to be compiled again when files have changed
///
/// A file is asked for by its path, as it is now or as it was recorded, or by the last parts of it.
#[derive(Debug, Args)]
#[command(after_long_help = JSON_HELP)]
#[group(skip)]
pub struct Affected {
    #[command(flatten)]
    inquiry: Inquiry,

    /// Files that have changed
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// The commands, for a shell, instead of the units' names
    #[arg(long, conflicts_with = "json")]
    commands: bool,

    /// Report one JSON object
    #[arg(long)]
    json: bool,
}

/// The answer as JSON.
#[derive(Serialize)]
struct Listing<'a> {
    file: &'a str,
    units: Vec<Listed<'a>>,
    /// Files that no unit is known to be made from.
    unknown: Vec<String>,
    /// How many units might be affected too, for their files are known in part only.
    partial: usize,
}

impl Affected {
    /// Shows the units; an error says why they cannot be found out.
    pub fn execute(self) -> anyhow::Result<()> {
        let wanted = match self.json {
            true => Questions::ALL,
            false => Questions { commands: self.commands, ..Questions::FILES },
        };
        let answer = self.inquiry.answer(wanted)?;
        let info = &answer.info;
        let mut units: Vec<UnitId> = Vec::new();
        let mut unknown = Vec::new();
        for file in &self.files {
            let named = file.to_string_lossy();
            match look_up(&answer, &named)? {
                found if found.is_empty() => unknown.push(named.into_owned()),
                found => units.extend(found),
            }
        }
        units.sort_unstable();
        units.dedup();
        // What is generated when all is linked is not compiled by itself.
        units.retain(|id| info.units[id.0 as usize].kind != Kind::LinkTimeCode);
        let is_partial = |number: &u32| {
            let unit = &info.units[*number as usize];
            unit.kind == Kind::Source && !unit.has_all_files() && !units.contains(&UnitId(*number))
        };
        let partial = (0..).take(info.units.len()).filter(is_partial).count();

        if self.json {
            let units = units.iter().map(|id| Listed::of(info, &info.units[id.0 as usize]));
            let listing = Listing { file: &answer.name, units: units.collect(), unknown, partial };
            return print(&serde_json::to_string(&listing)?);
        }
        if self.commands {
            print_commands(&answer, &units)?;
        } else {
            let called = Called::of(info);
            for id in &units {
                print(&legible(&called.name(&info.units[id.0 as usize])))?;
            }
        }
        for file in &unknown {
            remark(&format!("{}: no unit is known to be made from it", legible(file)));
        }
        if partial > 0 {
            remark(&format!(
                "{} may be affected too: which files they are made from is known in part only; \
                 --build-dir names the directory of a build.ninja or of depfiles, and -g3 records \
                 all headers",
                counted(partial, "more unit"),
            ));
        }
        Ok(())
    }
}

/// The units that were made from a file.
fn look_up(answer: &Answer, named: &str) -> anyhow::Result<Vec<UnitId>> {
    let here = std::env::current_dir()?;
    let (located, _) = answer.resolve.locate(&here.to_string_lossy(), named, answer.info.format);
    let found = answer.info.affected(&[located]).units;
    if found.is_empty() {
        return Ok(answer.info.affected(&[named]).units);
    }
    Ok(found)
}

/// Prints the command of each unit, as a shell takes it.
fn print_commands(answer: &Answer, units: &[UnitId]) -> anyhow::Result<()> {
    let database = answer.info.compile_commands(&answer.resolve);
    for id in units {
        let unit = &answer.info.units[id.0 as usize];
        let wanting = database.wanting.iter().find(|wanting| wanting.unit == *id);
        if let Some(wanting) = wanting {
            let gaps: Vec<&str> = wanting.gaps.iter().map(|gap| gap.as_str()).collect();
            remark(&format!("{}: {}", legible(unit.name()), gaps.join(", ")));
        }
        if let Some(entry) = database.entries.iter().find(|entry| entry.unit == *id) {
            let directory = Quoting::Posix.join(&[&entry.directory]);
            let command = Quoting::Posix.join(&entry.arguments);
            print(&legible(&format!("cd {directory} && {command}")))?;
        }
    }
    Ok(())
}

const JSON_HELP: &str = "\
A path is compared with the files' paths, with the spellings that were recorded, and with the ends of
both: `rgb.h` is any rgb.h. Where a compiler's list of files is a lower bound, as a line table's is,
it is said how many more units may be affected.

With --json, one object. It has
  file                the image
  units               as in `reloader units --json`
  unknown             the files that no unit is known to be made from
  partial             how many more units may be affected";
