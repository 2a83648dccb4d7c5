//! What comes into a process and what goes, as it happens.

mod arm;
mod error;
mod ledger;
mod means;
mod program;
mod site;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

pub use error::WatchError;
pub use means::{Means, Refused, UnknownMeans, WatchOptions};
pub use site::Site;

pub(crate) use means::Place;

use crate::error::{LocateError, ProcessError, WalkError};
use crate::list::{Head, State};
use crate::locate::{Location, Rendezvous};
use crate::mapping::Mappings;
use crate::module::Module;
use crate::snapshot::Consistency;
use crate::sys::{Alarm, Process, Ring};
use crate::tracker::Tracker;
use arm::NOWHERE;
use ledger::Ledger;
use program::Program;

/// Watches what a process loads and unloads, by the best [harmless](Means::HARMLESS) means that the
/// system grants.
///
/// # Errors
///
/// If the process cannot be read.
pub fn watch(pid: u32) -> Result<Watch, WatchError> {
    Watch::with(pid, &WatchOptions::default())
}

/// A process that is watched.
///
/// As an iterator it waits for the next event, and ends after [`Event::Exit`]. To wait for other
/// things too, poll its descriptor (`AsFd`), which is ready to read when
/// [`next_ready`](Self::next_ready) may have an event; it has to be asked until it has none.
///
/// Dropping it leaves the target as it was, whatever the [means](Means); what else can happen is
/// said there.
///
/// ```no_run
/// use rendezvous::{Event, watch};
///
/// let watch = watch(4711)?;
/// println!("{} modules, watched by {}", watch.modules().count(), watch.means());
/// for event in watch {
///     match event? {
///         Event::Added(module) => println!("+ {}", module.path_lossy()),
///         Event::Removed(module) => println!("- {}", module.path_lossy()),
///         Event::Exec => println!("another program"),
///         Event::Exit => println!("the end"),
///         _ => {}
///     }
/// }
/// # Ok::<(), rendezvous::WatchError>(())
/// ```
pub struct Watch {
    pid: u32,
    options: WatchOptions,
    process: Process,
    /// What it runs.
    program: Program,
    pub(crate) alarm: Alarm,
    means: Means,
    site: Option<Site>,
    refused: Vec<Refused>,
    /// `None` while the loader has not run, and where there is none.
    rendezvous: Option<Rendezvous>,
    tracker: Tracker,
    ledger: Ledger,
    events: VecDeque<Event>,
    /// How long to wait until the next look at a program that is being started.
    patience: Duration,
    /// Whether nothing is noticed until the timer rings.
    is_mute: bool,
    /// When the lists were read last; `None` if they are to be read at once.
    looked: Option<Instant>,
    /// When everything was read last, and how long that took.
    reading: (Instant, Duration),
    /// Whether it is known that the program has no loader.
    has_no_loader: bool,
    has_ended: bool,
}

/// Something that has happened to a process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The loader has a module that it did not have before.
    Added(Module),
    /// It no longer has this one.
    Removed(Module),
    /// The process runs another program: no module of the old one is left, and those of the new
    /// one are added as its loader loads them.
    Exec,
    /// It has ended.
    Exit,
}

impl Watch {
    /// Watches with other options than [`watch`] does.
    ///
    /// # Errors
    ///
    /// If the process cannot be read, or none of the means is granted.
    pub fn with(pid: u32, options: &WatchOptions) -> Result<Watch, WatchError> {
        let process = Process::open(pid)?;
        let alarm = Alarm::new(pid).map_err(WatchError::system("preparing to watch"))?;
        let mut watch = Watch {
            pid,
            options: options.clone(),
            program: Program::of(&process),
            process,
            alarm,
            means: Means::Polling,
            site: None,
            refused: Vec::new(),
            rendezvous: None,
            tracker: Tracker::new(),
            ledger: Ledger::default(),
            events: VecDeque::new(),
            patience: SOON,
            is_mute: false,
            looked: None,
            reading: (Instant::now(), Duration::ZERO),
            has_no_loader: false,
            has_ended: false,
        };
        watch.begin()?;
        // What is there is not news.
        watch.events.clear();
        Ok(watch)
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// By what changes are noticed.
    pub fn means(&self) -> Means {
        self.means
    }

    /// Where in the loader they are noticed; `None` while it has not run, where there is none, and
    /// where the lists are read every so often instead.
    pub fn site(&self) -> Option<Site> {
        self.site
    }

    /// The better means that the system did not grant, and why.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The modules as of the events that have been read from the process; none while its loader
    /// has not run.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.tracker.snapshot().modules()
    }

    /// The next event, if there is one already.
    ///
    /// # Errors
    ///
    /// If the process can no longer be read, or its lists are damaged.
    pub fn next_ready(&mut self) -> Option<Result<Event, WatchError>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            if self.has_ended {
                return None;
            }
            match self.alarm.take() {
                Ok(None) => return None,
                Ok(Some(ring)) => {
                    if let Err(error) = self.answer(ring) {
                        return Some(Err(error));
                    }
                }
                Err(error) => return Some(Err(WatchError::system("watching")(error))),
            }
        }
    }

    /// Sees to what has rung, and lets the target go on.
    fn answer(&mut self, ring: Ring) -> Result<(), WatchError> {
        let seen = self.see(ring);
        let gone_on = self.alarm.let_go().map_err(WatchError::system("letting the target go on"));
        match seen {
            // A process that has gone is not one that cannot be read.
            Err(WatchError::Process(
                ProcessError::NoProcess { .. } | ProcessError::NoMemory { .. },
            )) => self.soon(),
            seen => seen.and(gone_on),
        }
    }

    fn see(&mut self, ring: Ring) -> Result<(), WatchError> {
        match ring {
            Ring::Exit => {
                self.has_ended = true;
                self.events.push_back(Event::Exit);
                Ok(())
            }
            Ring::Exec => self.exec(),
            // From before. Everything is read when the timer rings, which a look might stop.
            Ring::Ran(_) | Ring::Unsure if self.is_mute => Ok(()),
            Ring::Ran(times) => {
                self.ledger.ran(times);
                self.look()
            }
            Ring::Stopped => self.look(),
            Ring::Unsure => {
                self.ledger.missed();
                self.look_anew()
            }
            Ring::Time if self.means == Means::Polling => {
                let (at, took) = self.reading;
                if at.elapsed() >= took.saturating_mul(SHARE) {
                    self.ledger.missed();
                }
                self.look_anew()
            }
            Ring::Time if self.is_mute => {
                // First of all, so that whatever is not read now is noticed.
                self.mute(false)?;
                self.ledger.missed();
                self.looked = None;
                self.look_anew()
            }
            Ring::Time if self.rendezvous.is_some() => self.look(),
            Ring::Time => self.look_anew(),
        }
    }

    /// Looks, after making sure that it is still the same program.
    fn look_anew(&mut self) -> Result<(), WatchError> {
        let now = Process::open(self.pid)?;
        if self.program.is_another(&now) {
            return self.exec();
        }
        self.look()
    }

    /// Everything is another program's.
    fn exec(&mut self) -> Result<(), WatchError> {
        self.events.push_back(Event::Exec);
        self.rendezvous = None;
        self.tracker = Tracker::new();
        self.ledger = Ledger::default();
        self.has_no_loader = false;
        self.patience = SOON;
        self.begin()
    }

    /// Has changes noticed from now on, and reads what is there.
    fn begin(&mut self) -> Result<(), WatchError> {
        // Before anything is read, so that a program that is run in the meantime is noticed.
        self.arm(&[NOWHERE])?;
        self.process = match Process::open(self.pid) {
            // The program is in the middle of being started.
            Err(ProcessError::NoMemory { .. }) => return self.soon(),
            process => process?,
        };
        self.program = Program::of(&self.process);
        self.look()
    }

    /// Reads of the lists what has to be read, if the loader has any and is not at work on them.
    fn look(&mut self) -> Result<(), WatchError> {
        let Some(rendezvous) = self.rendezvous.clone() else { return self.seek() };
        // A target that goes on is held up by being read all the time.
        if !self.means.is_exact()
            && let Some(left) = self.looked.and_then(|it| PACE.checked_sub(it.elapsed()))
        {
            if self.ledger.is_flooded() && !self.is_mute {
                self.mute(true)?;
                let (_, took) = self.reading;
                return self.wait(PACE.max(took.saturating_mul(SLACK)));
            }
            return self.wait(left.max(Duration::from_micros(1)));
        }
        self.looked = Some(Instant::now());
        if !self.ledger.is_unsure() {
            let Ok(heads) = rendezvous.heads(&self.process) else { return self.soon() };
            // Until it is done, nothing is whole. By its function it will say so, by its probes only
            // if there was any change.
            if !self.means.is_exact() && !is_settled(&heads) {
                let will_say = self.site != Some(Site::Probes);
                return if will_say { self.at_rest() } else { self.soon() };
            }
            if self.tracker.advance(&rendezvous, &self.process).is_err() {
                self.ledger.missed();
                return self.soon();
            }
            self.tell()?;
            if self.ledger.is_explained(self.site.map_or(0, Site::passes)) {
                return self.at_rest();
            }
        }
        self.look_at_everything(&rendezvous)
    }

    fn look_at_everything(&mut self, rendezvous: &Rendezvous) -> Result<(), WatchError> {
        self.ledger.missed();
        let began = Instant::now();
        let mut snapshot = rendezvous.snapshot(&self.process);
        match (snapshot.consistency, snapshot.problem) {
            (Consistency::Consistent, None) => {}
            // It ends, most likely.
            (_, Some(WalkError::Head(_) | WalkError::Node(_))) => return self.soon(),
            (Consistency::Consistent, Some(problem)) => return Err(WatchError::Lists(problem)),
            // It will say when it is done, or it does not hold still.
            _ => return self.soon(),
        }
        // Another file can have been loaded where one was.
        let mappings = self.process.mappings()?;
        for module in snapshot.modules_mut() {
            module.file = mappings.mapping_at(module.dynamic).and_then(|mapping| mapping.file);
        }
        self.tracker.update(snapshot);
        self.tell()?;
        self.ledger.settled();
        self.reading = (began, began.elapsed());
        self.at_rest()
    }

    /// Tells what the last look has changed.
    fn tell(&mut self) -> Result<(), WatchError> {
        self.events.extend(self.tracker.removed().iter().cloned().map(Event::Removed));
        if !self.tracker.added().is_empty() {
            self.tracker.resolve(&self.process, &self.process.mappings()?);
            self.events.extend(self.tracker.added().iter().cloned().map(Event::Added));
        }
        Ok(())
    }

    /// Finds the lists, and has changes of them noticed before it reads them.
    fn seek(&mut self) -> Result<(), WatchError> {
        if self.has_no_loader {
            return self.at_rest();
        }
        match self.locate()? {
            Some(Location::NotYet { wait_at }) => {
                self.arm(&[(None, vec![site::place(&self.process, wait_at)])])?;
                // It may have got there while nobody was looking.
                if let Some(Location::Found(rendezvous)) = self.locate()? {
                    return self.found(rendezvous);
                }
                self.wait(LATER)
            }
            Some(Location::Found(rendezvous)) => self.found(rendezvous),
            None if self.has_no_loader => self.at_rest(),
            None => self.soon(),
        }
    }

    fn found(&mut self, rendezvous: Rendezvous) -> Result<(), WatchError> {
        let Ok(heads) = rendezvous.heads(&self.process) else { return self.soon() };
        self.arm(&self.sites(&rendezvous, &heads))?;
        // What runs now may not be what was asked.
        if self.program.is_another(&Process::open(self.pid)?) {
            return self.soon();
        }
        self.rendezvous = Some(rendezvous);
        self.looked = None;
        self.ledger.missed();
        self.look()
    }

    /// Where the lists are; `None` if that is not known now, or never will be.
    fn locate(&mut self) -> Result<Option<Location>, WatchError> {
        match self.process.locate() {
            Ok(location) => Ok(Some(location)),
            Err(ProcessError::Locate(LocateError::Static | LocateError::NoList)) => {
                self.has_no_loader = true;
                Ok(None)
            }
            // A program that is just being started.
            Err(ProcessError::Locate(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Has nothing noticed for a while, which costs the target nothing.
    fn mute(&mut self, is_mute: bool) -> Result<(), WatchError> {
        self.is_mute = is_mute;
        self.alarm.mute(is_mute).map_err(WatchError::system("switching counters"))
    }

    /// Nothing is to be done until something rings.
    fn at_rest(&mut self) -> Result<(), WatchError> {
        self.patience = SOON;
        let polls = self.means == Means::Polling;
        self.wait(if polls { self.options.interval } else { Duration::ZERO })
    }

    /// Looks again in a moment, and then in a longer one.
    fn soon(&mut self) -> Result<(), WatchError> {
        let patience = self.patience;
        self.patience = patience.saturating_mul(2).min(LATER);
        self.wait(patience)
    }

    fn wait(&mut self, time: Duration) -> Result<(), WatchError> {
        self.alarm.tick(time).map_err(WatchError::system("setting a timer"))
    }
}

impl Iterator for Watch {
    type Item = Result<Event, WatchError>;

    /// Waits for the next event; `None` after the last.
    fn next(&mut self) -> Option<Result<Event, WatchError>> {
        loop {
            if let Some(event) = self.next_ready() {
                return Some(event);
            }
            if self.has_ended {
                return None;
            }
            if let Err(error) = self.alarm.wait() {
                return Some(Err(WatchError::system("waiting")(error)));
            }
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("pid", &self.pid)
            .field("means", &self.means)
            .field("modules", &self.modules().count())
            .field("has_ended", &self.has_ended)
            .finish_non_exhaustive()
    }
}

fn is_settled(heads: &[Head]) -> bool {
    heads.iter().all(|head| head.state == State::Consistent)
}

/// How long a target that is not stopped is left alone after a look.
const PACE: Duration = Duration::from_millis(1);
/// Of a loader that is very busy, so many times as long as a whole reading takes nothing is noticed.
const SLACK: u32 = 4;
/// How soon a program is looked at again that is being started.
const SOON: Duration = Duration::from_millis(1);
/// How often one is looked at whose loader does not begin.
const LATER: Duration = Duration::from_secs(1);
/// While polling, so many times as long as a whole reading takes is waited until the next.
const SHARE: u32 = 50;
