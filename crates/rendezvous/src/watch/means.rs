//! By what a change is noticed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::site::Site;
use crate::mapping::Mapping;

/// How a [`Watch`](crate::Watch) notices that the loader has been at work.
///
/// All of them read the target's memory, which the system must allow; see
/// [`ProcessError::Refused`](crate::ProcessError::Refused). What each needs besides differs, and
/// so does what happens to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Means {
    /// The kernel counts, by a debug register of the processor, how often the target passes the
    /// [`Site`] in its loader (`perf_event_open(2)`).
    ///
    /// The target is never stopped and nothing in it is changed. When the watcher ends, in any
    /// way, the kernel takes the counters away. Since the target goes on meanwhile, a module that
    /// came and went, or went and came back as it was, between two looks is not seen. There is a
    /// millisecond between two looks at least.
    ///
    /// It needs a debug register that is free, `kernel.perf_event_paranoid` of 2 at most or
    /// `CAP_PERFMON`, and as many descriptors as the target has threads, for each processor.
    PerfBreakpoint,
    /// The same by a breakpoint that the kernel itself keeps in the page of the loader's file, for
    /// machines that have no debug registers to give. It needs `CAP_PERFMON`, as root has.
    Uprobe,
    /// Debug registers of every thread stop the target there (`ptrace(2)`) until the lists have
    /// been read, so that nothing is missed.
    ///
    /// The tracer is a process of its own, which outlives the watcher for as long as it takes to
    /// put everything back: dropping the watch, a panic and signals, SIGKILL too, leave the target
    /// as it was. If the tracer itself is killed, the watcher starts another one; but a target that
    /// loads or unloads something before that, or whose watcher is killed too, dies of the registers
    /// that are still armed. A kernel that is short of memory may choose the tracer.
    ///
    /// Attaching interrupts system calls that are not resumed after a stop: `epoll_wait` and others
    /// of `signal(7)` fail with `EINTR` in the target, as they do under any debugger.
    ///
    /// It needs a target that nobody else traces, and the right to trace it: Yama's
    /// `ptrace_scope` of 1 takes that from all but root, though reading is allowed to ancestors.
    DebugRegister,
    /// The same by an instruction in the text of the target, in whose place the original is put
    /// back. Children that the target forks get the original too. One that shares the target's
    /// memory without being its thread dies if it loads something, as the target does whose tracer
    /// is killed. It is the most dangerous of the means, and used only where it is named.
    Breakpoint,
    /// The lists are read every so often. What came and went between is not seen. Exec is known by
    /// the addresses and the random bytes that the kernel gives each start of a program.
    Polling,
}

impl Means {
    /// All of them: first those that cannot harm the target, then those that see every change.
    pub const ALL: [Means; 5] = [
        Means::PerfBreakpoint,
        Means::Uprobe,
        Means::Polling,
        Means::DebugRegister,
        Means::Breakpoint,
    ];

    /// Those that never stop the target and leave nothing in it whoever is killed, the best first:
    /// these are tried where nothing else is said. The last of them is always granted.
    pub const HARMLESS: [Means; 3] = [Means::PerfBreakpoint, Means::Uprobe, Means::Polling];

    /// Its name: `perf-breakpoint`, `uprobe`, `debug-register`, `breakpoint`, `polling`.
    pub fn as_str(self) -> &'static str {
        match self {
            Means::PerfBreakpoint => "perf-breakpoint",
            Means::Uprobe => "uprobe",
            Means::DebugRegister => "debug-register",
            Means::Breakpoint => "breakpoint",
            Means::Polling => "polling",
        }
    }

    /// Whether every change is seen, however fast one follows the other, because the target waits.
    pub fn is_exact(self) -> bool {
        matches!(self, Means::DebugRegister | Means::Breakpoint)
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Means {
    type Err = UnknownMeans;

    fn from_str(name: &str) -> Result<Means, UnknownMeans> {
        Means::ALL
            .into_iter()
            .find(|means| means.as_str() == name)
            .ok_or_else(|| UnknownMeans(name.to_owned()))
    }
}

/// A name that no means has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of perf-breakpoint, uprobe, debug-register, breakpoint and polling")]
pub struct UnknownMeans(String);

/// Means that the system did not grant.
#[derive(Debug, thiserror::Error)]
#[error("{means}: {reason}")]
pub struct Refused {
    /// Which.
    pub means: Means,
    /// What the system said.
    pub reason: std::io::Error,
}

/// How to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchOptions {
    /// The means that are tried, one after the other, until one is granted. Whoever must not miss
    /// a change names [`Means::DebugRegister`], and knows what it can do to the target.
    pub means: Vec<Means>,
    /// How often the lists are read when [`Means::Polling`] is what is left.
    pub interval: Duration,
    /// Where changes are noticed: by each of the means the first of these places that the loader
    /// has and the system grants. None: what costs the target least by those means, which is the
    /// function by [`Means::PerfBreakpoint`], and the probes by all others.
    pub sites: Vec<Site>,
}

impl Default for WatchOptions {
    /// [`Means::HARMLESS`]; a look every 20 ms where there is nothing better; where it
    /// costs least.
    fn default() -> WatchOptions {
        WatchOptions {
            means: Means::HARMLESS.to_vec(),
            interval: Duration::from_millis(20),
            sites: Vec::new(),
        }
    }
}

/// Where the target is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: u64,
    /// The bytes there.
    pub(crate) text: [u8; 8],
    /// What is mapped there.
    pub(crate) mapping: Option<Mapping>,
}
