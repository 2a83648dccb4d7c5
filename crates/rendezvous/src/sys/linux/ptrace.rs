//! Events of another process by stopping it at a breakpoint, through a process that keeps it.
//!
//! A breakpoint, be it an instruction in the text or a debug register, stays in the target when
//! its tracer is killed, and the target dies of it the next time it loads something: the kernel
//! takes neither away. So the tracer is not the watcher but a process made for nothing else, the
//! keeper. It holds the watcher by a socket and a descriptor of its process; when the watcher
//! ends, in whatever way, it puts everything back, detaches and ends. When the keeper itself is
//! killed, the watcher starts another one, which takes over what the first has left.

#![allow(unsafe_code, reason = "clone(2) of a process that must not allocate")]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::ptrace_keeper::{self, Thread};
use super::ptrace_message::{Message, SIZE, Spot, Spots};
use crate::watch::Place;

/// The process that traces the target.
pub(crate) struct Keeper {
    socket: OwnedFd,
    process: libc::pid_t,
    /// What came while something else was waited for.
    waiting: VecDeque<Stop>,
}

/// What kind of breakpoint stops the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breakpoint {
    /// A debug register of each thread; nothing of the target's memory is changed.
    Register,
    /// An instruction in the text.
    Instruction,
}

/// What the keeper tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A thread is stopped at the breakpoint until it is told to go on.
    At { thread: i32 },
    /// The process runs another program, and its only thread is stopped until it is told to go on.
    Exec { thread: i32 },
    /// Every thread will stop at the places that were asked for last.
    Armed,
    /// A thread went on without having been told to.
    Late,
    /// The process has ended.
    Exit,
    /// The keeper itself has ended.
    Abandoned,
}

impl Keeper {
    /// Attaches to every thread of a process.
    ///
    /// # Errors
    ///
    /// What the kernel says to the keeper's attempt, or to the attempt of making a keeper.
    pub(crate) fn attach(pid: u32, breakpoint: Breakpoint) -> io::Result<Self> {
        let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
        let (socket, theirs) = socket_pair()?;
        // SAFETY: `getpid` takes nothing.
        let watcher = process_descriptor(unsafe { libc::getpid() })?;
        // What the keeper needs is allocated here, for it must not allocate.
        let mut threads = vec![Thread::default(); ptrace_keeper::THREADS];
        // SAFETY: without flags this is `fork` that does not notify when the child ends. The child
        // gets a copy of everything, calls only what is safe after `fork` in a process with
        // threads, and never comes back.
        let process = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
        match process {
            0 => ptrace_keeper::keep(
                theirs.as_raw_fd(),
                watcher.as_raw_fd(),
                pid,
                breakpoint,
                &mut threads,
            ),
            -1 => Err(io::Error::last_os_error()),
            process => {
                drop(theirs);
                let mut keeper =
                    Self { socket, process: process as libc::pid_t, waiting: VecDeque::new() };
                keeper.expect(Message::ATTACHED)?;
                Ok(keeper)
            }
        }
    }

    /// Has every thread stop at these places; takes the place of earlier ones.
    ///
    /// It waits until that is so, but not for ever: the kernel does not stop a thread that waits
    /// for the child of its `vfork`. Then [`Stop::Armed`] comes when it is so.
    ///
    /// # Errors
    ///
    /// More places than a processor has registers for, and what the kernel says.
    pub(crate) fn arm(&mut self, places: &[Place]) -> io::Result<()> {
        let mut spots = Spots::default();
        if places.len() > spots.len() {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        if places.is_empty() {
            return Ok(());
        }
        for (spot, place) in spots.iter_mut().zip(places) {
            *spot = Spot { address: place.address, text: place.text };
        }
        self.send(Message { spots, ..Message::new(Message::ARM, 0) })?;
        let began = Instant::now();
        while let Some(left) = PATIENCE.checked_sub(began.elapsed()) {
            let mut ready =
                libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry, as is said.
            unsafe { libc::poll(&mut ready, 1, left.as_millis() as i32) };
            match self.next()? {
                Some(Stop::Armed) => break,
                Some(stop @ (Stop::Exit | Stop::Abandoned)) => {
                    self.waiting.push_back(stop);
                    break;
                }
                stop => self.waiting.extend(stop),
            }
        }
        Ok(())
    }

    /// Lets a thread go on.
    pub(crate) fn go_on(&mut self, thread: i32) -> io::Result<()> {
        self.send(Message::new(Message::GO, thread as u64))
    }

    /// The next thing that has happened, if something has.
    pub(crate) fn take(&mut self) -> io::Result<Option<Stop>> {
        match self.waiting.pop_front() {
            None => self.next(),
            stop => Ok(stop),
        }
    }

    fn next(&self) -> io::Result<Option<Stop>> {
        match self.receive(libc::MSG_DONTWAIT) {
            Ok(message) => Ok(Some(self.stop(message)?)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(Stop::Abandoned)),
            Err(error) => Err(error),
        }
    }

    /// The descriptor that is ready to read when something has happened.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn stop(&self, message: Message) -> io::Result<Stop> {
        let thread = message.value as i32;
        match message.kind {
            Message::HIT => Ok(Stop::At { thread }),
            Message::EXEC => Ok(Stop::Exec { thread }),
            Message::ARMED => Ok(Stop::Armed),
            Message::LATE => Ok(Stop::Late),
            Message::EXIT => Ok(Stop::Exit),
            Message::REFUSED => Err(io::Error::from_raw_os_error(thread)),
            kind => Err(io::Error::other(format!("the keeper says {kind}"))),
        }
    }

    /// Waits for the answer that every attempt has.
    fn expect(&mut self, kind: u64) -> io::Result<()> {
        let message = self.receive(0)?;
        if message.kind == kind { Ok(()) } else { self.stop(message).map(drop) }
    }

    fn send(&self, message: Message) -> io::Result<()> {
        let bytes = message.to_bytes();
        // SAFETY: the kernel reads as many bytes as the array has.
        let sent = unsafe {
            libc::send(self.socket.as_raw_fd(), bytes.as_ptr().cast(), SIZE, libc::MSG_NOSIGNAL)
        };
        match sent {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    fn receive(&self, flags: i32) -> io::Result<Message> {
        let mut bytes = [0; SIZE];
        loop {
            // SAFETY: the kernel writes at most as many bytes as the array has.
            let received = unsafe {
                libc::recv(self.socket.as_raw_fd(), bytes.as_mut_ptr().cast(), SIZE, flags)
            };
            match received {
                -1 => {
                    let error = io::Error::last_os_error();
                    match error.raw_os_error() {
                        Some(libc::EINTR) => {}
                        Some(libc::ECONNRESET) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        _ => return Err(error),
                    }
                }
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => return Ok(Message::from_bytes(&bytes)),
            }
        }
    }
}

impl Drop for Keeper {
    /// Returns when the target is as it was before.
    fn drop(&mut self) {
        // SAFETY: on descriptors and a process that are this value's own; `shutdown` makes the
        // keeper detach and end.
        unsafe {
            libc::shutdown(self.socket.as_raw_fd(), libc::SHUT_RDWR);
            while libc::waitpid(self.process, std::ptr::null_mut(), libc::__WCLONE) == -1
                && *libc::__errno_location() == libc::EINTR
            {}
        }
    }
}

/// How long a breakpoint is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Both ends of a connection that keeps messages apart and says when the other end is gone.
fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: the kernel writes two descriptors into the array.
    let failed = unsafe {
        libc::socketpair(
            libc::AF_UNIX,
            libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC,
            0,
            ends.as_mut_ptr(),
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both were opened just now and belong to nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// A descriptor that is ready to read when the process has ended.
pub(crate) fn process_descriptor(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: `pidfd_open` takes two numbers.
    match unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: a descriptor that the kernel has just opened is nobody else's.
        opened => Ok(unsafe { OwnedFd::from_raw_fd(opened as i32) }),
    }
}
