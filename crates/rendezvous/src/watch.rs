//! What comes into a process and what goes, as it happens.

mod error;
mod ledger;
mod means;

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

pub use error::WatchError;
pub use means::{Means, Refused, UnknownMeans, WatchOptions};

pub(crate) use means::{Place, Ring};

use crate::error::{LocateError, ProcessError};
use crate::list::State;
use crate::locate::{Location, Rendezvous};
use crate::mapping::Mappings;
use crate::memory::Memory;
use crate::module::{Identity, Module};
use crate::snapshot::{Consistency, Extension, Snapshot};
use crate::sys::{Alarm, Process};
use ledger::{Ledger, Need};

/// Watches what a process loads and unloads, by the best means that the system grants.
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
/// Dropping it leaves the target as it was, whatever the [means](Means).
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
    pub(crate) alarm: Alarm,
    means: Means,
    refused: Vec<Refused>,
    /// `None` while the loader has not run, and where there is none.
    rendezvous: Option<Rendezvous>,
    /// As of the last reading.
    known: Option<Snapshot>,
    ledger: Ledger,
    events: VecDeque<Event>,
    /// How long to wait until the next look at a program that is being started.
    patience: Duration,
    /// When everything was read last, and how long that took.
    reading: (Instant, Duration),
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
            process,
            alarm,
            means: Means::Polling,
            refused: Vec::new(),
            rendezvous: None,
            known: None,
            ledger: Ledger::default(),
            events: VecDeque::new(),
            patience: SOON,
            reading: (Instant::now(), Duration::ZERO),
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

    /// The better means that the system did not grant, and why.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The modules as of the events that have been read from the process; none while its loader
    /// has not run.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.known.iter().flat_map(Snapshot::modules)
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
            Err(WatchError::Process(ProcessError::NoProcess { .. } | ProcessError::NoMemory { .. })) => {
                self.soon()
            }
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
            Ring::Ran(times) => {
                self.ledger.ran(times);
                self.look()
            }
            Ring::Stopped => {
                if let Some(rendezvous) = &self.rendezvous
                    && let Ok(heads) = rendezvous.heads(&self.process)
                {
                    self.ledger.stopped(heads.iter().map(|head| head.state));
                }
                self.look()
            }
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
            Ring::Time => self.look_anew(),
        }
    }

    /// Looks, after making sure that it is still the same program.
    fn look_anew(&mut self) -> Result<(), WatchError> {
        let now = Process::open(self.pid)?;
        if now.startup() != self.process.startup() {
            return self.exec();
        }
        self.look()
    }

    /// Everything is another program's.
    fn exec(&mut self) -> Result<(), WatchError> {
        self.events.push_back(Event::Exec);
        self.rendezvous = None;
        self.known = None;
        self.ledger = Ledger::default();
        self.patience = SOON;
        self.begin()
    }

    /// Has changes noticed from now on, and reads what is there.
    fn begin(&mut self) -> Result<(), WatchError> {
        // Before anything is read, so that a program that is run in the meantime is noticed.
        self.arm(None)?;
        self.process = match Process::open(self.pid) {
            // The program is in the middle of being started.
            Err(ProcessError::NoMemory { .. }) => return self.soon(),
            process => process?,
        };
        self.look()
    }

    /// Reads the lists, if the loader has any, and is not at work on them.
    fn look(&mut self) -> Result<(), WatchError> {
        let Some(rendezvous) = self.rendezvous.clone() else { return self.seek() };
        let began = Instant::now();
        let heads = match rendezvous.heads(&self.process) {
            Ok(heads) => heads,
            Err(_) => return self.soon(),
        };
        // It will say when it is done.
        if heads.iter().any(|head| head.state != State::Consistent) {
            return self.again();
        }
        if self.ledger.need() == Need::Ends
            && let Some(known) = &mut self.known
            && let Extension::Added(added) = rendezvous.extend(&self.process, known)
            && self.ledger.found(added)
        {
            return if added == 0 { Ok(()) } else { self.tell_of_new() };
        }
        let snapshot = rendezvous.snapshot(&self.process);
        if snapshot.consistency != Consistency::Consistent || snapshot.problem.is_some() {
            self.ledger.missed();
            return self.soon();
        }
        self.compare(snapshot)?;
        self.ledger.settled();
        self.reading = (began, began.elapsed());
        self.patience = SOON;
        self.again()
    }

    /// Tells of the modules whose files have not been looked for: they are the new ones.
    fn tell_of_new(&mut self) -> Result<(), WatchError> {
        Ok(())
    }

    /// Finds the lists, and has changes of them noticed.
    fn seek(&mut self) -> Result<(), WatchError> {
        Ok(())
    }
}
