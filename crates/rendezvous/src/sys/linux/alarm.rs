//! One descriptor that is ready when the modules of a process may have changed, whatever the means
//! by which that is noticed.

#![allow(unsafe_code, reason = "epoll(7) and timerfd_create(2)")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use super::maps::file_paths;
use super::perf::{Counted, Counters};
use super::ptrace::{Breakpoint, Keeper, Stop, process_descriptor};
use super::ptrace_registers::IS_TRAP_OF_32_BITS;
use crate::layout::Layout;
use crate::startup::Startup;
use crate::sys::Ring;
use crate::watch::{Means, Place, Watch};

/// What rings when something may have changed.
pub(crate) struct Alarm {
    pid: u32,
    /// Everything below is in it.
    ready: OwnedFd,
    process: OwnedFd,
    timer: OwnedFd,
    bell: Bell,
}

enum Bell {
    /// Only the timer.
    None,
    Counters(Box<Counters>),
    Keeper {
        keeper: Keeper,
        breakpoint: Breakpoint,
        /// Where the target is to stop.
        places: Vec<Place>,
        /// The thread that waits to be let go.
        stopped: Option<i32>,
    },
}

impl Alarm {
    pub(crate) fn new(pid: u32) -> io::Result<Self> {
        let number = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
        let process = process_descriptor(number).map_err(|error| match leader(pid) {
            Some(leader) if leader != pid => {
                let text = format!("{pid} is a thread of process {leader}");
                io::Error::new(io::ErrorKind::InvalidInput, text)
            }
            _ => error,
        })?;
        // SAFETY: both take numbers and open a descriptor that is nobody else's.
        let (ready, timer) = unsafe {
            (
                opened(libc::epoll_create1(libc::EPOLL_CLOEXEC))?,
                opened(libc::timerfd_create(
                    libc::CLOCK_MONOTONIC,
                    libc::TFD_CLOEXEC | libc::TFD_NONBLOCK,
                ))?,
            )
        };
        let alarm = Self { pid, ready, process, timer, bell: Bell::None };
        alarm.add(alarm.process.as_fd())?;
        alarm.add(alarm.timer.as_fd())?;
        Ok(alarm)
    }

    /// Rings from now on when the target gets to one of some places, or, without any, only when it
    /// runs another program or ends.
    ///
    /// # Errors
    ///
    /// What the system says against these means.
    pub(crate) fn watch(&mut self, means: Means, places: &[Place]) -> io::Result<()> {
        let breakpoint = match means {
            Means::PerfBreakpoint => {
                let counted = places.iter().map(|it| Counted::Instruction(it.address));
                return self.count(&counted.collect::<Vec<_>>());
            }
            Means::Uprobe => {
                let counted = places.iter().map(|it| self.probe(it));
                return self.count(&counted.collect::<io::Result<Vec<_>>>()?);
            }
            Means::DebugRegister => Breakpoint::Register,
            Means::Breakpoint => {
                self.may_trap()?;
                Breakpoint::Instruction
            }
            Means::Polling => {
                self.bell = Bell::None;
                return Ok(());
            }
        };
        if let Bell::Keeper { keeper, breakpoint: same, places: at, .. } = &mut self.bell
            && *same == breakpoint
        {
            *at = places.to_vec();
            let armed = keeper.arm(places);
            if armed.is_err() {
                // It has nothing left to keep.
                self.bell = Bell::None;
            }
            return armed;
        }
        self.keep(breakpoint, places)
    }

    /// A program of 32 bits may have other instructions than this one.
    fn may_trap(&self) -> io::Result<()> {
        let auxv = std::fs::read(format!("/proc/{}/auxv", self.pid))?;
        let startup = Startup::from_auxv(&auxv);
        let is_small = startup.is_some_and(|it| it.layout.class != Layout::NATIVE.class);
        if is_small && !IS_TRAP_OF_32_BITS {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "it has other instructions"));
        }
        Ok(())
    }

    fn probe(&self, place: &Place) -> io::Result<Counted> {
        let probe = place.mapping.as_ref().and_then(|mapping| {
            let within = place.address.checked_sub(mapping.range.start)?;
            let offset = within.checked_add(mapping.offset)?;
            let file = file_paths(self.pid, mapping).next()?.into_os_string().into_vec();
            Some(Counted::Probe { file, offset })
        });
        probe.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "the file that is mapped there is nowhere")
        })
    }

    fn count(&mut self, counted: &[Counted]) -> io::Result<()> {
        let mut counters = Counters::new(self.pid, counted);
        if counters.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOSPC)) {
            // The registers may be in use for the places from before.
            self.bell = Bell::None;
            counters = Counters::new(self.pid, counted);
        }
        let counters = counters?;
        for descriptor in counters.descriptors() {
            self.add(descriptor)?;
        }
        self.bell = Bell::Counters(Box::new(counters));
        Ok(())
    }

    fn keep(&mut self, breakpoint: Breakpoint, places: &[Place]) -> io::Result<()> {
        // Two cannot trace the same process.
        self.bell = Bell::None;
        let mut keeper = Keeper::attach(self.pid, breakpoint)?;
        keeper.arm(places)?;
        self.add(keeper.descriptor())?;
        self.bell = Bell::Keeper { keeper, breakpoint, places: places.to_vec(), stopped: None };
        Ok(())
    }

    /// Rings every so often besides; zero: no more.
    pub(crate) fn tick(&self, every: Duration) -> io::Result<()> {
        let time = libc::timespec {
            tv_sec: every.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: every.subsec_nanos().into(),
        };
        let period = libc::itimerspec { it_interval: time, it_value: time };
        // SAFETY: the kernel reads the period from a local.
        let failed = unsafe {
            libc::timerfd_settime(self.timer.as_raw_fd(), 0, &period, std::ptr::null_mut())
        };
        if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// What has rung, if something has. A target that is stopped stays so until
    /// [`let_go`](Self::let_go).
    pub(crate) fn take(&mut self) -> io::Result<Option<Ring>> {
        let ring = match &mut self.bell {
            Bell::None => None,
            Bell::Counters(counters) => {
                let noticed = counters.take()?;
                match noticed {
                    _ if noticed.exec => Some(Ring::Exec),
                    _ if noticed.lost => Some(Ring::Unsure),
                    _ if noticed.times > 0 => Some(Ring::Ran(noticed.times)),
                    _ => None,
                }
            }
            Bell::Keeper { keeper, breakpoint, places, stopped } => match keeper.take()? {
                Some(Stop::At { thread }) => {
                    *stopped = Some(thread);
                    Some(Ring::Stopped)
                }
                Some(Stop::Exec { thread }) => {
                    *stopped = Some(thread);
                    places.clear();
                    Some(Ring::Exec)
                }
                Some(Stop::Armed | Stop::Late) => Some(Ring::Unsure),
                Some(Stop::Exit) => Some(Ring::Exit),
                Some(Stop::Abandoned) if ended(&self.process)? => Some(Ring::Exit),
                Some(Stop::Abandoned) => {
                    let (breakpoint, places) = (*breakpoint, std::mem::take(places));
                    self.keep(breakpoint, &places)?;
                    Some(Ring::Unsure)
                }
                None => None,
            },
        };
        if ring.is_some() {
            return Ok(ring);
        }
        if ended(&self.process)? {
            return Ok(Some(Ring::Exit));
        }
        let mut times = [0u8; 8];
        // SAFETY: the kernel writes at most as many bytes as the array has.
        let read = unsafe { libc::read(self.timer.as_raw_fd(), times.as_mut_ptr().cast(), 8) };
        Ok((read == 8).then_some(Ring::Time))
    }

    /// Has counters count nothing for a while; everything else is as it was.
    pub(crate) fn mute(&self, is_mute: bool) -> io::Result<()> {
        match &self.bell {
            Bell::Counters(counters) => counters.switch(!is_mute),
            _ => Ok(()),
        }
    }

    /// Lets the target go on if it is stopped.
    pub(crate) fn let_go(&mut self) -> io::Result<()> {
        if let Bell::Keeper { keeper, stopped, .. } = &mut self.bell
            && let Some(thread) = stopped.take()
        {
            match keeper.go_on(thread) {
                // The next look says that it is gone.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                done => return done,
            }
        }
        Ok(())
    }

    /// Waits until [`take`](Self::take) may give something.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: the kernel writes at most one event into a local.
        match unsafe { libc::epoll_wait(self.ready.as_raw_fd(), &mut event, 1, -1) } {
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                error => Err(error),
            },
            _ => Ok(()),
        }
    }

    fn add(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: both descriptors are open, and the kernel reads the event from a local.
        let failed = unsafe {
            libc::epoll_ctl(
                self.ready.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                descriptor.as_raw_fd(),
                &mut event,
            )
        };
        if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// The process that a thread is of.
fn leader(thread: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok())
}

/// # Safety
///
/// The number is -1, or that of a descriptor that has just been opened.
unsafe fn opened(descriptor: i32) -> io::Result<OwnedFd> {
    match descriptor {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the caller promises that it is nobody else's.
        descriptor => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
    }
}

/// Whether a process has ended.
fn ended(process: &OwnedFd) -> io::Result<bool> {
    let mut ready = libc::pollfd { fd: process.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, as is said.
    match unsafe { libc::poll(&mut ready, 1, 0) } {
        -1 => Err(io::Error::last_os_error()),
        count => Ok(count > 0),
    }
}

impl AsFd for Watch {
    /// Ready to read when [`Watch::next_ready`] may have an event.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.alarm.ready.as_fd()
    }
}
