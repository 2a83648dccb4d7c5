//! `reloader affected`: which units have to be compiled again when files have changed.

use std::io::IsTerminal;
use std::path::PathBuf;

use build_info::{Kind, Questions, Quoting, UnitId};
use clap::Args;
use serde::Serialize;

use crate::inquiry::{Answer, Inquiry, Narrow};
use crate::legible::legible;
use crate::report::{print, print_json, remark};
use crate::units::Called;
use crate::units::listing::{COMMANDS_AND_FILES, Files, Listed};

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
    /// How many units might be affected too: their files are known in part only, or they stand for
    /// units that are not recorded.
    partial: usize,
}

impl Affected {
    /// Shows the units; an error says why they cannot be found out.
    pub fn execute(self) -> anyhow::Result<()> {
        let subject = self.inquiry.open()?;
        let here = std::env::current_dir()?;
        let asked: Vec<[String; 2]> = self
            .files
            .iter()
            .map(|file| {
                let named = file.to_string_lossy().into_owned();
                let here = here.to_string_lossy();
                [subject.resolve.locate(&here, &named, subject.format).0, named]
            })
            .collect();
        let (wanted, narrow) = match self.json {
            true => (Questions::ALL, Narrow::Now(COMMANDS_AND_FILES)),
            false => (
                Questions { commands: self.commands, ..Questions::FILES },
                Narrow::Paths(asked.clone()),
            ),
        };
        let answer = subject.answer(wanted, &narrow)?;
        let info = &answer.info;
        let mut units: Vec<UnitId> = Vec::new();
        let (mut unknown, mut generated) = (Vec::new(), Vec::new());
        // What is generated when all is linked is not compiled by itself.
        let is_compiled = |id: &UnitId| info.units[id.0 as usize].kind != Kind::LinkTimeCode;
        for paths in asked {
            // As it is now, or else as it was recorded.
            let found = paths.iter().map(|path| info.affected(&[path]).units);
            match found.into_iter().find(|units| !units.is_empty()) {
                Some(found) if found.iter().any(is_compiled) => {
                    units.extend(found.into_iter().filter(is_compiled));
                }
                Some(found) => generated.push((paths[1].clone(), found)),
                None => unknown.push(paths[1].clone()),
            }
        }
        units.sort_unstable();
        units.dedup();
        if self.json {
            let is_partial = |number: &u32| {
                let (unit, id) = (&info.units[*number as usize], UnitId(*number));
                let is_known = units.contains(&id) || unit.has_all_files();
                let is_affected = || generated.iter().any(|(_, units)| units.contains(&id));
                unit.kind == Kind::Source && !is_known || is_affected()
            };
            let partial = (0..).take(info.units.len()).filter(is_partial).count();
            let units = || units.iter().map(|id| &info.units[id.0 as usize]);
            let files = Files::of(info, units())?;
            let units = units().map(|unit| Listed::of(&files, unit)).collect();
            return print_json(&Listing { file: &answer.name, units, unknown, partial });
        }
        if self.commands {
            print_commands(&answer, &units)?;
        } else {
            let called = Called::of(info);
            for id in &units {
                print(&legible(&called.name(&info.units[id.0 as usize])))?;
            }
        }
        for (file, units) in &generated {
            let count = units.len();
            remark(&format!(
                "{}: {count} units were made from it when all was linked; which were compiled from \
                 it is not recorded",
                legible(file)
            ));
        }
        for file in &unknown {
            remark(&format!("{}: no unit is known to be made from it", legible(file)));
        }
        info.remarks.iter().for_each(|text| remark(&legible(text)));
        Ok(())
    }
}

/// Prints the command of each unit, as a shell takes it.
fn print_commands(answer: &Answer, units: &[UnitId]) -> anyhow::Result<()> {
    let database = answer.info.compile_commands_of(units.iter().copied(), &answer.resolve);
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
            let line = format!("cd {directory} && {command}");
            let shown = legible(&line);
            if std::io::stdout().is_terminal() && shown != line {
                remark(&format!(
                    "{}: not shown as a shell would take it; that goes only where no terminal is",
                    legible(unit.name())
                ));
                print(&shown)?;
            } else {
                print(&line)?;
            }
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
  partial             how many more units may be affected, those among them that were generated when
                      all was linked, and stand for units that are not recorded";
