//! The process that traces the target for the watcher, and puts it back when the watcher is gone.
//!
//! It is a copy of a process that may have had threads, in the middle of anything. So nothing here
//! allocates, takes a lock, or panics, and it ends by `_exit` alone.

#![allow(unsafe_code, reason = "runs on bare system calls")]
#![allow(clippy::arithmetic_side_effects, reason = "the figures are the kernel's and small")]

use libc::{c_int, pid_t};

use super::ptrace::Breakpoint;
use super::ptrace_message::{MOST_PLACES, Message, Spots};
use super::ptrace_own::{Heard, SOCKET, WATCHER, hear, now, reaping, say, settle};
use super::ptrace_registers::{Passed, errno, is_behind_trap, is_of_register, pass, set_registers};
use super::ptrace_target::{Memory, has_ended, is_thread_of, is_trap_pending, request};

/// A thread of the target.
#[derive(Clone, Copy, Default)]
pub(super) struct Thread {
    /// 0: none.
    pub(super) id: pid_t,
    pub(super) state: State,
    /// Which of the armings it has.
    pub(super) armed: u32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Runs,
    /// Stopped until the watcher lets it go on, or until this time; `true`: at an instruction that
    /// it still has to run.
    Held(i64, bool),
}

/// As many threads as a target may have.
pub(super) const THREADS: usize = 4096;

/// Keeps the target until the watcher is gone.
pub(super) fn keep(
    socket: c_int,
    watcher: c_int,
    target: pid_t,
    breakpoint: Breakpoint,
    threads: &mut [Thread],
) -> ! {
    /// Ends the process even if something here should unwind after all.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            // SAFETY: ends the process without running anything of it.
            unsafe { libc::_exit(1) }
        }
    }
    let _end = End;
    let signals = settle(socket, watcher);
    let mut keeper = Keeper {
        target,
        breakpoint,
        threads,
        used: 0,
        spots: Spots::default(),
        arming: 0,
        armings: 0,
        memory: Memory::NONE,
        is_acknowledged: true,
        is_leaving: false,
        is_another_program: false,
        is_late: false,
        unsaid: 0,
    };
    reaping(target, || keeper.attach());
    keeper.serve(signals);
    // SAFETY: as above; the descriptors go with the process.
    unsafe { libc::_exit(0) }
}

pub(super) struct Keeper<'a> {
    pub(super) target: pid_t,
    pub(super) breakpoint: Breakpoint,
    /// Those up to `used` may hold one.
    threads: &'a mut [Thread],
    pub(super) used: usize,
    /// Where threads are to stop.
    pub(super) spots: Spots,
    /// Which of the armings that is; 0: they are to stop nowhere.
    pub(super) arming: u32,
    pub(super) armings: u32,
    pub(super) memory: Memory,
    /// Whether the watcher knows that every thread is armed.
    pub(super) is_acknowledged: bool,
    pub(super) is_leaving: bool,
    /// Whether the target runs another program than the watcher may have in mind.
    pub(super) is_another_program: bool,
    /// Whether the watcher did not answer in time; until it does, no thread waits for it.
    pub(super) is_late: bool,
    /// What the watcher still has to be told, once there is room for it; 0: nothing.
    unsaid: u64,
}

impl Keeper<'_> {
    /// Until nothing is left to keep.
    fn serve(&mut self, signals: c_int) {
        self.reap(signals);
        while self.known().iter().any(|it| it.id != 0) {
            let interest = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            // Once it is known that the watcher is gone, its descriptors would be ready for ever.
            let asked = if self.is_leaving { -1 } else { 0 };
            let mut ready =
                [interest(SOCKET | asked), interest(WATCHER | asked), interest(signals)];
            ready[0].events |= if self.owes() { libc::POLLOUT } else { 0 };
            // SAFETY: three entries, as many as are said.
            unsafe { libc::poll(ready.as_mut_ptr(), 3, self.patience()) };
            let [socket, watcher, _] = ready;
            if socket.revents & !libc::POLLOUT != 0 {
                // An address is one of the program that ran when it was sent.
                self.reap(signals);
                self.listen();
            }
            if watcher.revents != 0 {
                self.leave();
            }
            self.reap(signals);
            self.lose_patience();
            self.acknowledge();
            self.say_the_rest();
            if self.is_leaving {
                self.forget();
            }
        }
    }

    /// What the watcher says.
    fn listen(&mut self) {
        loop {
            match hear() {
                Heard::Nothing => return,
                Heard::TheEnd => return self.leave(),
                Heard::Message(it) if it.kind == Message::ARM => self.arm(it.spots),
                Heard::Message(it) if it.kind == Message::GO => {
                    self.is_late = false;
                    self.go_on(|thread| thread.id as u64 == it.value);
                }
                Heard::Message(_) => {}
            }
        }
    }

    /// What has become of the threads.
    fn reap(&mut self, signals: c_int) {
        let mut information = [0u8; size_of::<libc::signalfd_siginfo>()];
        // SAFETY: reads at most as many bytes as the array has. One signal stands for any number
        // of stops, and all of them are looked for.
        unsafe { libc::read(signals, information.as_mut_ptr().cast(), information.len()) };
        loop {
            let mut status = 0;
            // SAFETY: the kernel writes the status into a local.
            let id = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::WNOHANG) };
            if id == -1 && errno() == libc::ECHILD {
                // Nothing is left: it may be another program, run by a thread that was not traced.
                self.restore_text();
                self.used = 0;
            }
            if id <= 0 {
                return;
            }
            if !libc::WIFSTOPPED(status) {
                self.remove(id);
                if id == self.target {
                    self.used = 0;
                    say(Message::EXIT, 0);
                }
                continue;
            }
            self.stopped(id, libc::WSTOPSIG(status), status >> 16);
        }
    }

    fn stopped(&mut self, id: pid_t, signal: c_int, event: c_int) {
        if !self.known().iter().any(|it| it.id == id) {
            if !is_thread_of(self.target, id) {
                return self.release_child(id);
            }
            if !self.add(id) {
                return self.one_too_many(id);
            }
        }
        match event {
            libc::PTRACE_EVENT_EXEC => self.exec(id),
            // Of the breakpoint, or the target's own business.
            0 => {
                if signal == libc::SIGTRAP && self.hit(id) {
                    return;
                }
                self.resume(id, signal, false);
            }
            libc::PTRACE_EVENT_STOP => {
                let is_group_stop = signal != libc::SIGTRAP;
                self.resume(id, 0, is_group_stop);
            }
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                self.expect_child(id);
                self.resume(id, 0, false);
            }
            _ => self.resume(id, 0, false),
        }
    }

    /// A thread that a SIGTRAP has stopped, if that was the breakpoint.
    fn hit(&mut self, id: pid_t) -> bool {
        let is_here = |address| address != 0 && is_behind_trap(id, address);
        let must_step = match self.breakpoint {
            Breakpoint::Register if is_of_register(id) => false,
            Breakpoint::Register => return false,
            Breakpoint::Instruction => {
                let Some(spot) = self.spots.iter().find(|it| is_here(it.address)) else {
                    return false;
                };
                match pass(id, spot.address, &spot.text) {
                    Ok(passed) => passed == Passed::AtInstruction,
                    Err(_) => return false,
                }
            }
        };
        if self.is_leaving {
            self.resume(id, 0, false);
            return true;
        }
        let is_said = self.tell(Message::HIT, id);
        if let Some(thread) = self.thread(id) {
            thread.state = State::Held(now() + PATIENCE, must_step);
        }
        if !is_said {
            self.go_on(|it| it.id == id);
        }
        true
    }

    /// Whether it was told that a thread waits; nobody may be there to hear it.
    fn tell(&mut self, kind: u64, id: pid_t) -> bool {
        if !self.is_late && say(kind, id as u64) {
            return true;
        }
        self.owe(if kind == Message::EXEC { kind } else { Message::LATE });
        false
    }

    pub(super) fn owe(&mut self, kind: u64) {
        if self.unsaid != Message::EXEC {
            self.unsaid = kind;
        }
    }

    /// What there was no room for, or nobody to hear it.
    fn say_the_rest(&mut self) {
        if self.owes() && say(self.unsaid, self.target as u64) {
            self.unsaid = 0;
        }
    }

    fn owes(&self) -> bool {
        self.unsaid != 0 && !self.is_late
    }

    fn exec(&mut self, id: pid_t) {
        // Of all threads only this one is left, under the process's number.
        self.used = 0;
        self.add(id);
        self.stop_nowhere();
        self.is_acknowledged = true;
        self.is_another_program = true;
        self.memory = Memory::of(self.target);
        if self.is_leaving || !self.tell(Message::EXEC, id) {
            return self.resume(id, 0, false);
        }
        if let Some(thread) = self.thread(id) {
            thread.state = State::Held(now() + PATIENCE, false);
        }
    }

    /// Lets threads go on that wait for it.
    fn go_on(&mut self, which: impl Fn(&Thread) -> bool) {
        for at in 0..self.used {
            let Some(thread) = self.known_mut().get_mut(at) else { continue };
            let State::Held(_, must_step) = thread.state else { continue };
            if !which(thread) {
                continue;
            }
            thread.state = State::Runs;
            let id = thread.id;
            if must_step && !self.is_leaving {
                self.step(id);
            } else {
                self.resume(id, 0, false);
            }
        }
    }

    /// Has a thread run the instruction that the breakpoint stands on.
    ///
    /// Other threads may run past it meanwhile; but loaders call the function under their lock.
    fn step(&mut self, id: pid_t) {
        self.restore_text();
        let mut status = 0;
        let mut signal = 0;
        if request(libc::PTRACE_SINGLESTEP, id, 0).is_ok() {
            // SAFETY: the kernel writes the status into a local.
            let waited = unsafe { libc::waitpid(id, &mut status, libc::__WALL) };
            if waited != id || !libc::WIFSTOPPED(status) {
                self.remove(id);
                return;
            }
            // Whatever else stopped it, the step is repeated by running into the breakpoint again.
            let is_step = libc::WSTOPSIG(status) == libc::SIGTRAP;
            signal = if is_step || status >> 16 != 0 { 0 } else { libc::WSTOPSIG(status) };
        }
        self.write_traps();
        self.resume(id, signal, false);
    }

    /// Lets a stopped thread run, or stay in the stop of its whole group.
    fn resume(&mut self, id: pid_t, signal: c_int, is_group_stop: bool) {
        if self.is_leaving {
            return self.release(id, signal);
        }
        self.set(id);
        // An error here means that the thread has been killed.
        let _ = if is_group_stop {
            request(libc::PTRACE_LISTEN, id, 0)
        } else {
            request(libc::PTRACE_CONT, id, signal as usize)
        };
    }

    /// Begins to leave: every thread is let go as soon as it has been stopped.
    pub(super) fn leave(&mut self) {
        if self.is_leaving {
            return;
        }
        self.is_leaving = true;
        self.is_acknowledged = true;
        self.restore_text();
        self.go_on(|_| true);
        let target = self.target;
        for thread in self.known_mut() {
            // One that cannot be stopped any more has ended.
            let is_gone = thread.id != 0
                && (has_ended(target, thread.id)
                    || request(libc::PTRACE_INTERRUPT, thread.id, 0) == Err(libc::ESRCH));
            if is_gone {
                *thread = Thread::default();
            }
        }
    }

    /// Detaches from a stopped thread as if it had never been traced.
    fn release(&mut self, id: pid_t, signal: c_int) {
        if self.breakpoint == Breakpoint::Register {
            let _ = set_registers(id, &NOWHERE);
        }
        // A SIGTRAP of the breakpoint that has not been delivered yet would kill it: it is waited
        // for and taken away.
        if is_trap_pending(id) {
            let _ = request(libc::PTRACE_CONT, id, signal as usize);
            return;
        }
        let _ = request(libc::PTRACE_DETACH, id, signal as usize);
        self.remove(id);
    }

    pub(super) fn refuse(&self, error: c_int) {
        say(Message::REFUSED, error as u64);
    }

    pub(super) fn add(&mut self, id: pid_t) -> bool {
        let free = self.known().iter().position(|it| it.id == 0).unwrap_or(self.used);
        let Some(place) = self.threads.get_mut(free) else { return false };
        *place = Thread { id, ..Thread::default() };
        self.used = self.used.max(free + 1);
        true
    }

    pub(super) fn thread(&mut self, id: pid_t) -> Option<&mut Thread> {
        self.known_mut().iter_mut().find(|it| it.id == id)
    }

    pub(super) fn known(&self) -> &[Thread] {
        self.threads.get(..self.used).unwrap_or_default()
    }

    pub(super) fn known_mut(&mut self) -> &mut [Thread] {
        self.threads.get_mut(..self.used).unwrap_or_default()
    }

    fn remove(&mut self, id: pid_t) {
        if let Some(thread) = self.thread(id) {
            *thread = Thread::default();
        }
    }

    /// Milliseconds until a held thread goes on by itself; -1: none is held.
    fn patience(&self) -> c_int {
        let until = self.known().iter().filter_map(|it| match it.state {
            State::Held(until, _) => Some(until),
            _ => None,
        });
        // Nothing tells that a thread that was let go already has taken another one's place.
        let never = if self.is_leaving { 20 } else { -1 };
        until.min().map_or(never, |until| (until - now()).clamp(0, PATIENCE) as c_int)
    }

    fn lose_patience(&mut self) {
        let now = now();
        let is_late = |it: &Thread| matches!(it.state, State::Held(until, _) if until <= now);
        if self.known().iter().any(is_late) {
            self.go_on(is_late);
            self.owe(Message::LATE);
            self.is_late = true;
        }
    }
}

/// No place.
pub(super) const NOWHERE: [u64; MOST_PLACES] = [0; MOST_PLACES];

/// How long a thread waits for a watcher that does not answer.
const PATIENCE: i64 = 1000;
