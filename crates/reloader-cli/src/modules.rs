//! `reloader modules`: which modules a process has, and what comes and goes.

mod core_file;
mod listing;
mod news;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use rendezvous::{Consistency, Event, Location, Process, Snapshot, Watch};

use self::listing::{Listed, Space};
use self::news::News;
use crate::destination::usage;
use crate::palette::Palette;
use crate::report::{Report, Reporter, print, remark};

/// Show the modules of a process, as its loader has them, and what it loads and unloads
///
/// The process is not stopped to be listed. The modules of a core file are those that the process
/// had when it died.
#[derive(Debug, Args)]
#[command(after_long_help = JSON_HELP)]
#[group(skip)]
pub struct Modules {
    /// A process by its number, a core file, or `self`, which is this program
    #[arg(value_name = "PID|CORE|self")]
    target: PathBuf,

    /// Go on, and tell of each module that is added or removed, until the process ends
    ///
    /// The modules that are there already are the first that are added. The best means that the
    /// system grants is used, and said: those that do not stop the process come first. However
    /// this program ends, the process is left as it was.
    #[arg(long)]
    watch: bool,

    /// The file that the process of a core file executed, where the core file does not say
    ///
    /// Such are those that QEMU writes of the programs that it emulates.
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    executable: Option<PathBuf>,

    /// Show each of the loader's namespaces, with what is in it
    #[arg(long, conflicts_with = "watch")]
    namespaces: bool,

    /// Report JSON: one array, or with --watch one object a line
    #[arg(long)]
    json: bool,
}

/// What an argument names.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    Own,
    Process(u32),
    Core(&'a Path),
}

impl Modules {
    /// Lists or watches; an error says why the process cannot be read.
    pub fn execute(self) -> anyhow::Result<()> {
        let target = Target::of(&self.target);
        if self.executable.is_some() && !matches!(target, Target::Core(_)) {
            usage(NAME, "--executable is for core files: the system knows what a process runs");
        }
        match (target, self.watch) {
            (Target::Own, false) => self.list(&of_process(&Process::own()?)?),
            (Target::Process(pid), false) => self.list(&of_process(&Process::open(pid)?)?),
            (Target::Core(path), false) => {
                let bytes = crate::format::read(path)?;
                let executable = self.executable.as_deref().map(crate::format::read).transpose()?;
                let snapshot = core_file::snapshot(&bytes, executable.as_deref())
                    .with_context(|| format!("{}", path.display()))?;
                self.list(&snapshot)
            }
            (Target::Process(pid), true) => self.watch(pid),
            (Target::Own, true) => {
                usage(NAME, "this program loads nothing more: watch another process")
            }
            (Target::Core(path), true) => {
                usage(NAME, &format!("{}: a core file does not change", path.display()))
            }
        }
    }

    fn list(&self, snapshot: &Snapshot) -> anyhow::Result<()> {
        match snapshot.consistency {
            Consistency::Consistent => {}
            Consistency::Changing => remark("the loader is in the middle of a change"),
            Consistency::Torn => remark("the list does not hold still: it is of several moments"),
        }
        let spaces: Vec<Space<'_>> =
            snapshot.namespaces.iter().enumerate().map(Space::of).collect();
        let modules = || snapshot.modules().map(Listed::of);
        if self.json {
            let all = match self.namespaces {
                true => serde_json::to_string(&spaces)?,
                false => serde_json::to_string(&modules().collect::<Vec<_>>())?,
            };
            print(&all)?;
        } else {
            let palette = Palette::of(&std::io::stdout());
            let lines: Vec<String> = match self.namespaces {
                true => spaces.iter().map(|space| space.line(&palette)).collect(),
                false => modules().map(|module| module.line(&palette)).collect(),
            };
            if !lines.is_empty() {
                print(&lines.join("\n"))?;
            }
        }
        match snapshot.problem {
            None => Ok(()),
            Some(problem) => bail!("the loader's list is damaged: {problem}"),
        }
    }

    fn watch(&self, pid: u32) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut watch = rendezvous::watch(pid)?;
        let reporter = Reporter::new(self.json)?;
        for refused in watch.refused() {
            remark(&format!("not granted: {refused}"));
        }
        remark(&format!("process {pid} is watched by {}", how(&watch)));
        let present: Vec<Event> = watch.modules().cloned().map(Event::Added).collect();
        let mut events = present.into_iter();
        loop {
            while let Some(event) = events.next().map(Ok).or_else(|| watch.next_ready()) {
                let event = event?;
                if let Some(news) = News::of(&event, began.elapsed(), &watch) {
                    reporter.report(&news);
                }
                if event == Event::Exit || !reporter.is_read()? {
                    return Ok(());
                }
            }
            if !reporter.wait(&watch)? {
                return Ok(());
            }
        }
    }
}

impl Target<'_> {
    fn of(argument: &Path) -> Target<'_> {
        match argument.to_str() {
            Some("self") => Target::Own,
            text => match text.and_then(|text| text.parse().ok()) {
                Some(pid) => Target::Process(pid),
                None => Target::Core(argument),
            },
        }
    }
}

/// The lists of a process, once it has any.
fn of_process(process: &Process) -> anyhow::Result<Snapshot> {
    let rendezvous = match process.locate()? {
        Location::Found(rendezvous) => rendezvous,
        Location::NotYet { wait_at } => bail!(
            "process {}: its loader has not run yet; it will have when {wait_at:#x} is reached",
            process.pid()
        ),
    };
    let mut snapshot = rendezvous.snapshot(process);
    snapshot.resolve(process, &process.mappings()?);
    Ok(snapshot)
}

/// The means, and what it does to the process.
fn how(watch: &Watch) -> String {
    let means = watch.means();
    let effect =
        if means.is_exact() { "which stops it at each change" } else { "which never stops it" };
    match watch.site() {
        Some(site) => format!("{means} at the loader's {site}, {effect}"),
        None => format!("{means}, {effect}"),
    }
}

const NAME: &str = "modules";

const JSON_HELP: &str = "\
Reading a process takes the same permission as attaching a debugger to it; what is missing is said.

With --json, one array with an object for each module. Absent facts are null. It has
  namespace   the place of the loader's list that it is in: 0 for the program's own, others for dlmopen
              and for audit libraries
  path        of the file that is mapped; where there is none, what the loader calls the module
  bias        what was added to the addresses in the file, as a string in hexadecimal
  dynamic     the address of its dynamic table, the same
  build_id    in hexadecimal
  role        program, loader, kernel (the vDSO) or library
  deleted     whether the file was deleted or replaced since it was mapped

With --namespaces too, an object for each namespace, with namespace, r_debug (the address of the loader's
structure), state (consistent, add, delete or the number), and modules, an array as above.

With --watch --json, one object a line, with
  event       added, removed, exec (the process runs another program), exit
  micros      since the watch began
  means       by what changes are noticed: perf-breakpoint, uprobe, polling
  site        where in the loader: probes (its maker's own, passed once for each change), function (which
              every loader calls twice); null while polling and until its loader has run
and, for added and removed, what is said of a module above.

The first of the means that the system grants is used. perf-breakpoint and uprobe do not stop the process, and do
not see what comes and goes between two looks; polling looks every 20 ms.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_process_and_a_path_a_core_file() {
        assert_eq!(Target::of(Path::new("self")), Target::Own);
        assert_eq!(Target::of(Path::new("123")), Target::Process(123));
        assert_eq!(Target::of(Path::new("./123")), Target::Core(Path::new("./123")));
    }
}
