//! `reloader demo`: a library is written, built, run, edited, broken and mended before the user's
//! eyes.

mod note;
mod workshop;

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use reloader::{Plugin, Step};

use self::note::Note;
use self::workshop::{Workshop, is_same_file};
use crate::record::{Fault, Record, State};
use crate::report::Reporter;
use crate::stop::Stop;

/// Build a small C library, run it, edit it, break it and mend it, and show that its state survives
///
/// It needs a C compiler: the one that the environment variable CC names, or cc. Everything happens
/// in a temporary directory. The exit code is 0 only if all that the demo promises was observed.
#[derive(Debug, Args)]
#[command(after_long_help = JSON_HELP)]
pub struct Demo {
    /// Leave the directory with the library and its source where it is
    #[arg(long)]
    keep: bool,

    /// Report one JSON object a line
    #[arg(long)]
    json: bool,
}

impl Demo {
    /// Plays the demo; an error says what was not observed.
    pub fn execute(self) -> anyhow::Result<()> {
        let stop = Stop::install()?;
        let reporter = Reporter::new(self.json)?;
        let mut workshop = Workshop::open()?;
        let outcome = Play::open(&mut workshop, &reporter, &stop).and_then(Play::perform);
        if self.keep {
            reporter.report(&Note::Kept { directory: workshop.keep().display().to_string() });
        }
        outcome?;
        // Whoever has closed the output does not want to read it; any other failure to write is
        // one.
        reporter.is_read().map(drop)
    }
}

/// The demo under way.
struct Play<'a> {
    plugin: Plugin,
    records: Receiver<Record>,
    workshop: &'a mut Workshop,
    reporter: &'a Reporter,
    stop: &'a Stop,
    /// What the guest counted up to in its last step.
    counter: i32,
    /// How far it counts in one step.
    stride: i32,
    observed: usize,
}

/// One step and what was seen in it.
struct Moment {
    /// The counter before it.
    before: i32,
    /// The counter after it, if a version ran.
    after: Option<i32>,
    records: Vec<Record>,
}

/// A reload that kept the counter.
struct Reload {
    version: u32,
    before: i32,
    after: i32,
    state: State,
}

/// A crash, and the version that ran on.
struct Crash {
    fault: Fault,
    version: u32,
    before: i32,
    after: i32,
}

impl<'a> Play<'a> {
    fn open(
        workshop: &'a mut Workshop,
        reporter: &'a Reporter,
        stop: &'a Stop,
    ) -> anyhow::Result<Self> {
        reporter.report(&Note::Written { file: workshop.source_file().display().to_string() });
        reporter.report(&Note::built(workshop)?);
        let (sender, records) = mpsc::channel();
        let callback = reporter.clone();
        let plugin = Plugin::builder(workshop.library())
            .on_event(move |event| {
                if let Some(record) = callback.event(event) {
                    // Nobody listens once the play is over.
                    let _ = sender.send(record);
                }
            })
            .open()?;
        let (counter, stride, observed) = (0, 1, 0);
        Ok(Self { plugin, records, workshop, reporter, stop, counter, stride, observed })
    }

    fn perform(mut self) -> anyhow::Result<()> {
        self.first_version()?;
        self.new_code()?;
        self.new_variable()?;
        let line = self.break_it()?;
        let crash = self.crash(line)?;
        self.rollback(&crash)?;
        self.mend()?;
        self.end()
    }

    fn first_version(&mut self) -> anyhow::Result<()> {
        let mut loaded = false;
        let mut counted = Vec::new();
        self.until("the library to be loaded and to count three steps", |moment| {
            moment.is_calm()?;
            loaded |= moment.records.iter().any(|record| matches!(record, Record::Loaded { .. }));
            counted.extend(moment.after);
            Ok((loaded && counted.len() == 3).then_some(()))
        })?;
        ensure!(counted == [1, 2, 3], "the library did not count 1, 2, 3 but {counted:?}");
        self.observe("loaded", "the library runs and counts its steps: 1, 2, 3".into());
        Ok(())
    }

    fn new_code(&mut self) -> anyhow::Result<()> {
        self.edit("    counter += 1;\n", "    counter += 10;\n")?;
        let Reload { version, before, after, .. } = self.reload(10)?;
        self.observe(
            "counter_kept",
            format!(
                "the new code runs as version {version}, and the counter went on: {before}, {after}"
            ),
        );
        Ok(())
    }

    fn new_variable(&mut self) -> anyhow::Result<()> {
        self.edit(
            "static int CR_STATE counter = 0;\n",
            "static int CR_STATE lives = 3;\nstatic int CR_STATE counter = 0;\n",
        )?;
        let Reload { before, after, state, .. } = self.reload(10)?;
        ensure!(
            state.carried.iter().any(|name| name == "counter"),
            "the counter is not among the variables that were carried: {}",
            state.summary
        );
        ensure!(
            state.new.iter().any(|name| name == "lives"),
            "the variable in front of the counter is not reported as new: {}",
            state.summary
        );
        self.observe(
            "carried_by_name",
            format!(
                "a variable was put in front, the counter found by its name: {before}, {after}"
            ),
        );
        Ok(())
    }

    /// Makes the guest crash, and returns the line it will crash in.
    fn break_it(&mut self) -> anyhow::Result<usize> {
        self.edit(
            "    counter += 10;\n",
            "    counter = -1;\n    *(volatile int *)0 = counter;\n",
        )?;
        self.workshop.line_of("*(volatile int *)0").context("the crash is not in the source")
    }

    fn crash(&mut self, line: usize) -> anyhow::Result<Crash> {
        let stride = self.stride;
        let mut fault = None;
        let mut version = None;
        let crash =
            self.until("the library to crash and the version before to run", |moment| {
                for record in &moment.records {
                    match record {
                        Record::Fault(it) => fault = Some(it.clone()),
                        Record::RolledBack { version: it, .. } => version = Some(*it),
                        Record::Refused { .. } => moment.is_calm()?,
                        _ => {}
                    }
                }
                let Some(after) = moment.after else { return Ok(None) };
                let before = moment.before;
                ensure!(
                    after == before + stride,
                    "the counter went from {before} to {after}, not to {}",
                    before + stride
                );
                Ok(fault
                    .take_if(|_| version.is_some())
                    .zip(version)
                    .map(|(fault, version)| Crash { fault, version, before, after }))
            })?;
        let Fault { operation, file, line: reported, function, message, .. } = &crash.fault;
        let place = self.workshop.source_file();
        ensure!(
            *operation == "step"
                && function.as_deref() == Some("advance")
                && file.as_deref().is_some_and(|file| is_same_file(file, &place))
                && reported.is_some_and(|it| it as usize == line),
            "the crash was in the step, in advance, {}:{line}, but the report says: {message}",
            place.display()
        );
        self.observe(
            "crash_located",
            format!("the crash was survived and found in its line, {}:{line}", place.display()),
        );
        Ok(crash)
    }

    fn rollback(&mut self, crash: &Crash) -> anyhow::Result<()> {
        let Crash { fault, version, before, after } = crash;
        ensure!(
            *version + 1 == fault.version && self.plugin.version() == Some(*version),
            "version {} crashed, but the one that took over again is {version}",
            fault.version
        );
        self.observe(
            "rolled_back",
            format!("version {version} runs again with the state it had: {before}, {after}"),
        );
        Ok(())
    }

    fn mend(&mut self) -> anyhow::Result<()> {
        self.edit(
            "    counter = -1;\n    *(volatile int *)0 = counter;\n",
            "    counter += 100;\n",
        )?;
        let Reload { version, before, after, .. } = self.reload(100)?;
        self.observe(
            "fixed",
            format!("the mended code runs as version {version}, and the counter went on: {before}, {after}"),
        );
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<()> {
        let running = self.plugin.version();
        let records = {
            let Self { plugin, ref records, .. } = self;
            plugin.close();
            records.try_iter().collect::<Vec<_>>()
        };
        let closed = records
            .iter()
            .any(|record| matches!(record, Record::Closed { version, .. } if *version == running));
        ensure!(closed && running.is_some(), "the library was not closed: {records:?}");
        self.observed += 1;
        self.reporter
            .report(&Note::Observed { what: "closed", text: "the library was closed".to_owned() });
        self.reporter.report(&Note::Finished { observed: self.observed });
        Ok(())
    }

    /// Edits the source and builds it.
    fn edit(&mut self, old: &str, new: &str) -> anyhow::Result<()> {
        let edit = self.workshop.edit(old, new)?;
        let file = self.workshop.source_file().display().to_string();
        self.reporter.report(&Note::edited(file, edit));
        self.reporter.report(&Note::built(self.workshop)?);
        Ok(())
    }

    /// Waits for the new build to take over and to count on in steps of `stride`.
    fn reload(&mut self, stride: i32) -> anyhow::Result<Reload> {
        let old_stride = std::mem::replace(&mut self.stride, stride);
        self.until("the new build to take over", |moment| {
            moment.is_calm()?;
            let reloaded = moment.records.iter().find_map(|record| match record {
                Record::Reloaded { version, state, .. } => Some((*version, state)),
                _ => None,
            });
            let Some(after) = moment.after else { return Ok(None) };
            let before = moment.before;
            let expected = before + if reloaded.is_some() { stride } else { old_stride };
            ensure!(
                after == expected,
                "the counter went from {before} to {after}, not to {expected}"
            );
            Ok(reloaded.map(|(version, state)| Reload {
                version,
                before,
                after,
                state: state.clone(),
            }))
        })
    }

    /// Steps until `seen` has seen what it wants.
    fn until<T>(
        &mut self,
        awaited: &str,
        mut seen: impl FnMut(&Moment) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let limit = Instant::now() + LIMIT;
        loop {
            if let Some(found) = seen(&self.step())? {
                return Ok(found);
            }
            let now = Instant::now();
            ensure!(now < limit, "waited {} s in vain for {awaited}", LIMIT.as_secs());
            if self.stop.wait_until(now + PACE) {
                bail!("interrupted while waiting for {awaited}");
            }
        }
    }

    fn step(&mut self) -> Moment {
        let before = self.counter;
        let after = match self.plugin.step() {
            Step::Ran(counter) => Some(counter),
            _ => None,
        };
        self.counter = after.unwrap_or(before);
        Moment { before, after, records: self.records.try_iter().collect() }
    }

    fn observe(&mut self, what: &'static str, text: String) {
        self.observed += 1;
        self.reporter.report(&Note::Observed { what, text });
    }
}

impl Moment {
    /// An error if a build was refused or a version failed.
    fn is_calm(&self) -> anyhow::Result<()> {
        for record in &self.records {
            match record {
                Record::Refused { version, reason, .. } => {
                    bail!("version {version} was refused: {reason}")
                }
                Record::Fault(fault) => bail!("unexpected fault: {}", fault.message),
                _ => {}
            }
        }
        Ok(())
    }
}

/// How long anything may take to be observed.
const LIMIT: Duration = Duration::from_secs(30);

/// From one step to the next.
const PACE: Duration = Duration::from_millis(2);

const JSON_HELP: &str = "\
JSON:
  With --json, each line is an object: an event as `reloader run --json` reports
  it (see `reloader run --help`), or

  event      what the demo did: written, built, edited, observed, kept or finished

  written: the source was written
    file       its path

  built: the library was built
    file       its path
    compiler   the compiler
    micros     how long it took, in microseconds

  edited: the source was changed
    file       its path
    line       the line the change begins in, from 1
    removed    the lines that stood there
    added      the lines that stand there now

  observed: something that the demo promises was seen
    what       loaded, counter_kept, carried_by_name, crash_located,
               rolled_back, fixed or closed
    text       the same to read

  kept: with --keep, where everything is
    directory  its path

  finished: everything was seen
    observed   how many things";
