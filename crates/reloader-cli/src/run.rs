//! `reloader run`: steps a library at an interval and reports what happens to it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use reloader::{ErrorKind, Plugin, StatePolicy, Step, Watch};

use crate::report::{Reporter, remark};
use crate::stop::Stop;

/// Run a library: step it at an interval, reload it when it is rebuilt, roll it back when it
/// crashes
#[derive(Debug, Args)]
#[command(after_long_help = JSON_HELP)]
pub struct Run {
    /// The library; it exports `cr_main`, the entry point of cr.h and reloader_guest.h
    #[arg(value_name = "LIB")]
    library: PathBuf,

    /// Milliseconds from one step to the next; 0: as fast as possible, 16: about 60 steps a second
    ///
    /// A step that takes longer is followed by the next one at once, and the time lost is not made
    /// up for. While no version runs, the file is looked at no more than a hundred times a second.
    #[arg(long, value_name = "MS", default_value_t = 16)]
    interval: u64,

    /// End after so many steps that ran
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,

    /// How variables are carried from one version to the next
    #[arg(long, value_name = "POLICY", value_enum, default_value_t)]
    state: State,

    /// Carry zero-initialised variables outside the state section too
    #[arg(long)]
    bss: bool,

    /// How many versions that worked are kept to go back to
    #[arg(long, value_name = "N", default_value_t = 3)]
    history: usize,

    /// Milliseconds that one call into the library may take; what takes longer is a fault
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    deadline: Option<u64>,

    /// Where the private directory with the loaded copies is made
    #[arg(long, value_name = "D")]
    temp_dir: Option<PathBuf>,

    /// Look at the file at this interval in milliseconds instead of being told of changes
    #[arg(long, value_name = "MS")]
    poll: Option<u64>,

    /// Load a build that failed again although its bytes are the same
    #[arg(long)]
    retry_known_bad: bool,

    /// Wait for the library if it is not there yet
    #[arg(long)]
    wait: bool,

    /// End, with exit code 1, when no version could run for so many milliseconds
    #[arg(long, value_name = "MS")]
    give_up: Option<u64>,

    /// Report one JSON object a line; the standard output of the library goes to the standard error
    #[arg(long)]
    json: bool,
}

/// How variables are carried.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum State {
    /// Each variable by its name, whatever its place
    #[default]
    BySymbol,
    /// The state section as it is, at the same addresses and of the same size, or the build is
    /// refused
    Identical,
    /// The state section as it is, of the same size, or the build is refused
    SameSize,
    /// The state section as it is; a build with less room is refused
    Fits,
    /// Nothing is carried
    Off,
}

impl Run {
    /// Runs the library until the steps are made or the user ends it.
    pub fn execute(self) -> anyhow::Result<()> {
        let stop = Stop::install()?;
        let reporter = Reporter::new(self.json)?;
        let mut plugin = self.open(&reporter)?;
        if self.wait && !self.library.exists() {
            remark(&format!("waiting for {}", self.library.display()));
        }
        let outcome = self.drive(&mut plugin, &stop, &reporter);
        let works = plugin.version().is_some() && plugin.steps() > 0;
        plugin.close();
        match outcome? {
            Ending::Unread => Ok(()),
            Ending::Wished if works => Ok(()),
            Ending::Wished | Ending::GivenUp => bail!(
                "{}: no version of it runs; what was refused or failed is reported above, and a fixed build would \
                 have been loaded",
                self.library.display()
            ),
        }
    }

    fn open(&self, reporter: &Reporter) -> anyhow::Result<Plugin> {
        let reporter = reporter.clone();
        let mut builder = Plugin::builder(&self.library)
            .state(self.state.into())
            .untagged_bss(self.bss)
            .history(self.history)
            .retry_known_bad(self.retry_known_bad)
            .may_be_missing(self.wait)
            .on_event(move |event| {
                reporter.event(event);
            });
        if let Some(deadline) = self.deadline {
            builder = builder.deadline(Duration::from_millis(deadline));
        }
        if let Some(directory) = &self.temp_dir {
            builder = builder.temp_dir(directory);
        }
        if let Some(interval) = self.poll {
            builder = builder.watch(Watch::Poll(Duration::from_millis(interval)));
        }
        builder.open().map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!("{error} (--wait waits for it)"),
            // Its text has its sources in it, which the chain of an error would repeat.
            _ => anyhow!("{error}"),
        })
    }

    fn drive(
        &self,
        plugin: &mut Plugin,
        stop: &Stop,
        reporter: &Reporter,
    ) -> anyhow::Result<Ending> {
        let interval = Duration::from_millis(self.interval);
        let give_up = self.give_up.map(Duration::from_millis);
        let mut ran = 0;
        let mut last_ran = Instant::now();
        let mut look_at_output = Instant::now();
        let mut next = Instant::now();
        loop {
            let step = plugin.step();
            let now = Instant::now();
            if let Step::Ran(_) = step {
                ran += 1;
                last_ran = now;
                next = now.max(next + interval);
            } else {
                next = now + interval.max(REST);
            }
            if self.steps.is_some_and(|steps| ran >= steps) {
                return Ok(Ending::Wished);
            }
            if give_up.is_some_and(|limit| now.duration_since(last_ran) >= limit) {
                return Ok(Ending::GivenUp);
            }
            if now >= look_at_output {
                look_at_output = now + LOOK;
                if !reporter.is_read()? {
                    return Ok(Ending::Unread);
                }
            }
            if stop.wait_until(next) {
                return Ok(Ending::Wished);
            }
        }
    }
}

impl From<State> for StatePolicy {
    fn from(state: State) -> Self {
        match state {
            State::BySymbol => Self::BySymbol,
            State::Identical => Self::Identical,
            State::SameSize => Self::SameSize,
            State::Fits => Self::Fits,
            State::Off => Self::Off,
        }
    }
}

/// Why the plugin is stepped no more.
enum Ending {
    /// The steps are made, or the user wants to end.
    Wished,
    /// Nobody reads the reports.
    Unread,
    /// No version could run for longer than allowed.
    GivenUp,
}

/// The least time between two steps while nothing runs.
const REST: Duration = Duration::from_millis(10);

/// How often the program looks whether its reports are read.
const LOOK: Duration = Duration::from_millis(100);

const JSON_HELP: &str = "\
Ending:
  SIGINT, SIGTERM, the last of --steps and a closed output end the run, and the
  library gets CR_CLOSE. The exit code is 0 if a version of it was running then
  (with a closed output always), and 1 if not, or if the library could not be
  opened. A second signal ends the program without closing the library.

JSON:
  With --json, each line is an object. Facts that are not known are null, never
  missing.

  event      what happened: loaded, reloaded, refused, fault, rolled_back or
             closed
  version    the version it happened to, counted from 1; for reloaded and
             rolled_back the one that runs from now on, for refused the number
             the build would have had, for closed the one that ran last or null

  loaded: a version runs where none did
    micros     microseconds from the check of the file to the return of the
               library's load call
    modules_verified
               whether the loader's own list has each version that is loaded,
               once; null if it cannot be read

  reloaded: a new version took over
    from       the version it took over from
    micros     as for loaded
    modules_verified
               as for loaded
    state      what became of the variables:
      carried       names of those that kept their values
      new           names of those that only the new version has
      dropped       names of those that only the old version had
      resized       those whose size changed, what fits was kept: name, and
                    from and to in bytes
      refused       those that could not be carried: name, reason
      bytes         how many bytes were carried
      translated    how many pointers into the old version now lead into the
                    new one
      untranslated  pointers that still lead into an old version: at, target,
                    version

  refused: a build was not loaded; what ran before runs on
    kind       bad_image, incomplete, loader, state, known_bad or staging
    reason     what is wrong with it, and the cure

  fault: a version failed
    operation  open, constructor, load, step, unload, close or destructor
    kind       access, non_canonical, stack_overflow, bus, illegal,
               system_call, integer_divide, floating_point, trap, abort,
               raised, deadline, cxx_exception, foreign_panic,
               foreign_exception or returned
    value      the negative number it returned, for returned
    address    the address it accessed, as \"0x...\"
    pc         the address of the code, as \"0x...\"
    function   the function in the library
    file       its source file
    line       the line there, from 1
    message    all of this to read

  rolled_back: a version that was left before takes over again
    from       the version that was left

  closed: the end
    steps      how many steps all versions made";
