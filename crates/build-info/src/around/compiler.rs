//! Asking compilers again which files they read.

use std::collections::BTreeSet;
use std::io::Read;
use std::process::{Child, Command as Process, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::depfile::Depfile;
use super::question::arguments;
use super::{Step, Surroundings, options};
use crate::{BuildInfo, Command, Kind, Provenance, Quoting, Resolve, Unit, sys};

/// Runs the compiler of each unit whose files are not all known with `-M`, and fills in the files
/// that it names.
///
/// A compiler is given those of its options that say what is included and how, and none that says
/// what to write. One that has not answered after `patience` is stopped, with all that it has
/// started, and not asked again.
///
/// # Security
///
/// This runs programs that the binary names, with options that it names: what a stranger's binary
/// says must not be run. Nothing else in this crate runs a program.
///
/// Only commands are run that are whole: those of a `compile_commands.json`, of Ninja, of a build's
/// log, and what Clang records. A compiler that cannot be run, fails, or says nothing becomes a
/// remark, and so do units that there is no such command for.
pub fn ask_compilers(info: &mut BuildInfo, resolve: &Resolve, patience: Duration) {
    let mut around = Surroundings::default();
    let (mut mute, mut hanging) = (0_usize, BTreeSet::new());
    for unit in &info.units {
        if unit.kind != Kind::Source || unit.has_all_files() {
            continue;
        }
        let Some(question) = Question::of(unit) else {
            mute = mute.saturating_add(1);
            continue;
        };
        if hanging.contains(&question.program) {
            continue;
        }
        match question.answer(patience) {
            Ok(steps) => around.steps.extend(steps),
            Err(trouble) => {
                let Question { source, program, .. } = question;
                around.remarks.push(format!("{source}: {program} -M: {}", trouble.text(patience)));
                if matches!(trouble, Trouble::Patience) {
                    hanging.insert(program);
                }
            }
        }
    }
    if mute > 0 {
        let whose = if mute == 1 { "the compiler of a unit" } else { "the compilers of units" };
        around.remarks.push(format!(
            "{whose} cannot be asked: {mute} have no whole command, or one of a compiler that knows \
             no -M"
        ));
    }
    info.fill(&around, resolve);
}

/// What a compiler is to be asked.
struct Question<'a> {
    program: String,
    arguments: Vec<String>,
    source: &'a str,
    cwd: &'a str,
}

/// Why there is no answer.
#[derive(Debug)]
enum Trouble {
    /// It took too long.
    Patience,
    Other(String),
}

impl<'a> Question<'a> {
    /// Nothing if the command is not whole, or no compiler's that knows `-M`.
    fn of(unit: &'a Unit) -> Option<Self> {
        let command = &unit.command.as_ref()?.value;
        let (source, cwd) = (&unit.source.as_ref()?.value, &unit.cwd.as_ref()?.value);
        let partial = matches!(command, Command::Line { quoting: Quoting::Words, .. });
        if partial || !command.with_compiler() || command.is_cut() {
            return None;
        }
        // Whoever runs the compiler stands before it.
        let words = command.arguments();
        let compiler = words.iter().position(|word| options::is_compiler(word))?;
        let (program, rest) = words.get(compiler..)?.split_first()?;
        if matches!(options::stem(program), "rustc" | "nvcc") {
            return None;
        }
        Some(Self { program: program.clone(), arguments: arguments(rest)?, source, cwd })
    }

    fn answer(&self, patience: Duration) -> Result<Vec<Step>, Trouble> {
        let mut process = Process::new(&self.program);
        process.args(&self.arguments).current_dir(self.cwd);
        // What these name would be written to.
        process.env_remove("DEPENDENCIES_OUTPUT").env_remove("SUNPRO_DEPENDENCIES");
        process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        sys::lead_group(&mut process);
        let mut child = process.spawn().map_err(|error| Trouble::Other(error.to_string()))?;
        let told = told(&mut child, patience);
        // It may still run, or what it has started.
        if told.is_err() {
            sys::end_group(&mut child);
        }
        let steps: Vec<Step> = Depfile::parse(&told?).steps(Provenance::Compiler).collect();
        if steps.is_empty() {
            return Err(Trouble::Other("it names no file".to_owned()));
        }
        let named = |mut step: Step| {
            step.directory = Some(self.cwd.to_owned());
            // What it would have written is of no matter.
            step.outputs = Vec::new();
            step.source = Some(self.source.to_owned());
            step
        };
        Ok(steps.into_iter().map(named).collect())
    }
}

impl Trouble {
    fn text(&self, patience: Duration) -> String {
        match self {
            Self::Patience => format!(
                "no answer after {} s: it was stopped, and is not asked again",
                patience.as_secs_f32()
            ),
            Self::Other(what) => what.clone(),
        }
    }
}

/// All that a process says until it has ended.
fn told(child: &mut Child, patience: Duration) -> Result<Vec<u8>, Trouble> {
    let other = |error: std::io::Error| Trouble::Other(error.to_string());
    let end = Instant::now().checked_add(patience);
    let left = || end.map_or(patience, |end| end.saturating_duration_since(Instant::now()));
    let (send, receive) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        // It ends when whoever can write has ended.
        std::thread::spawn(move || {
            let mut told = Vec::new();
            let read = stdout.take(MOST.saturating_add(1)).read_to_end(&mut told);
            // If nobody waits any more, nobody needs it.
            let _ = send.send(read.map(|_| told));
        });
    }
    let told = receive.recv_timeout(left()).map_err(|_| Trouble::Patience)?.map_err(other)?;
    if told.len() as u64 > MOST {
        return Err(Trouble::Other("it says more than all files together can".to_owned()));
    }
    // One that has said all may still not end.
    let status = loop {
        match child.try_wait().map_err(other)? {
            Some(status) => break status,
            None if left().is_zero() => return Err(Trouble::Patience),
            None => std::thread::sleep(left().min(MOMENT)),
        }
    };
    if status.success() { Ok(told) } else { Err(Trouble::Other(status.to_string())) }
}

const MOST: u64 = 16 << 20;
/// How soon the end of a process is noticed that has closed its output before.
const MOMENT: Duration = Duration::from_millis(1);
