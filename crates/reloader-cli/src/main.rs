//! The program `reloader`: runs a native library and reloads it, with its state kept, whenever it
//! is rebuilt.
//!
//! Exit codes: 0, it worked; 1, the work failed; 2, the command line is wrong.

#![forbid(unsafe_code)]

mod affected;
mod build_report;
mod compile_commands;
mod demo;
mod destination;
mod format;
mod inquiry;
mod legible;
mod modules;
mod owner;
mod palette;
mod patch;
mod pdb_of;
mod pdb_path;
mod progress;
mod record;
mod report;
mod run;
mod sections;
mod stop;
mod sys;
mod units;
mod whole;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs a native library and reloads it, with its state kept, whenever it is rebuilt
#[derive(Debug, Parser)]
#[command(name = "reloader", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Demo(demo::Demo),
    PdbPath(pdb_path::PdbPath),
    Sections(sections::Sections),
    Patch(patch::Patch),
    Modules(modules::Modules),
    Units(units::Units),
    Affected(affected::Affected),
    Owner(owner::Owner),
    CompileCommands(compile_commands::CompileCommands),
    BuildReport(build_report::BuildReport),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(run) => run.execute(),
        Command::Demo(demo) => demo.execute(),
        Command::PdbPath(pdb_path) => pdb_path.execute(),
        Command::Sections(sections) => sections.execute(),
        Command::Patch(patch) => patch.execute(),
        Command::Modules(modules) => modules.execute(),
        Command::Units(units) => units.execute(),
        Command::Affected(affected) => affected.execute(),
        Command::Owner(owner) => owner.execute(),
        Command::CompileCommands(commands) => commands.execute(),
        Command::BuildReport(report) => report.execute(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&error);
            ExitCode::FAILURE
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes: 0, it worked; 1, the work failed; 2, the command line is wrong.
Colour is used on a terminal only, and not if NO_COLOR is set.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
