//! Asking compilers again which files they read.

use std::io::Read;
use std::process::{Command as Process, Stdio};

use super::depfile::Depfile;
use super::{Step, Surroundings, options};
use crate::{BuildInfo, Command, Kind, Provenance, Quoting, Resolve, Unit};

/// Runs the compiler of each unit whose files are not all known with `-M` in place of what it
/// wrote, and fills in the files that it names.
///
/// # Security
///
/// This runs programs that the binary names, with options that it names: what a stranger's binary
/// says must not be run. Nothing else in this crate runs a program.
///
/// Only commands are run that are whole: those of a `compile_commands.json`, of Ninja, and what
/// Clang records. A compiler that cannot be run, or fails, becomes a remark.
pub fn ask_compilers(info: &mut BuildInfo, resolve: &Resolve) {
    let mut around = Surroundings::default();
    for unit in &info.units {
        if unit.kind != Kind::Source || unit.has_all_files() {
            continue;
        }
        match ask(unit) {
            Some(Ok(steps)) => around.steps.extend(steps),
            Some(Err(remark)) => around.remarks.push(remark),
            None => {}
        }
    }
    info.fill(&around, resolve);
}

/// What the compiler of a unit says; nothing if its command is not whole, or no compiler's that
/// knows `-M`.
fn ask(unit: &Unit) -> Option<Result<Vec<Step>, String>> {
    let command = &unit.command.as_ref()?.value;
    let (source, cwd) = (&unit.source.as_ref()?.value, &unit.cwd.as_ref()?.value);
    let partial = matches!(command, Command::Line { quoting: Quoting::Words, .. });
    if partial || !command.with_compiler() || command.is_cut() {
        return None;
    }
    let arguments = command.arguments();
    let (program, arguments) = arguments.split_first()?;
    let stem = options::stem(program).to_ascii_lowercase();
    if matches!(&*stem, "cl" | "clang-cl" | "rustc" | "ml" | "ml64" | "nvcc") {
        return None;
    }
    let mut process = Process::new(program);
    process.args(without_outputs(arguments)).arg("-M").current_dir(cwd);
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let told = run(&mut process).map_err(|error| format!("{source}: {program} -M: {error}"));
    Some(told.map(|told| {
        let steps = Depfile::parse(&told).steps(Provenance::Compiler);
        // What it would have written is of no matter.
        let named = |mut step: Step| {
            step.directory = Some(cwd.clone());
            step.outputs = Vec::new();
            step.source = Some(source.clone());
            step
        };
        steps.map(named).collect()
    }))
}

/// The arguments but for those that say what to write.
fn without_outputs(arguments: &[String]) -> Vec<&String> {
    let mut kept = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "-o" | "-MF" | "-MT" | "-MQ" => drop(rest.next()),
            "-c" | "-S" | "-MD" | "-MMD" | "-MM" | "-M" | "-MP" | "-MG" => {}
            other if other.starts_with("-MF") || other.starts_with("-gsplit-dwarf") => {}
            _ => kept.push(argument),
        }
    }
    kept
}

fn run(process: &mut Process) -> std::io::Result<Vec<u8>> {
    let mut child = process.spawn()?;
    let mut told = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MOST).read_to_end(&mut told)?;
    }
    // With its output closed it does not wait for a reader.
    let status = child.wait()?;
    if status.success() { Ok(told) } else { Err(std::io::Error::other(status.to_string())) }
}

const MOST: u64 = 16 << 20;
