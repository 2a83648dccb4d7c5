//! How the keeper gets hold of every thread of the target, and of what they start.

#![allow(unsafe_code, reason = "runs on bare system calls")]
#![allow(clippy::arithmetic_side_effects, reason = "the figures are the kernel's and small")]

use libc::pid_t;

use super::ptrace::Breakpoint;
use super::ptrace_keeper::{Keeper, NOWHERE, Thread};
use super::ptrace_message::Message;
use super::ptrace_own::say;
use super::ptrace_registers::set_registers;
use super::ptrace_target::{
    Memory, each_thread, has_ended, is_thread_of, is_traced, request, shares_memory,
};

impl Keeper<'_> {
    /// Attaches to every thread; none is stopped by that.
    ///
    /// Meanwhile a thread that is not attached to yet may start others, or run another program and
    /// so take the place of one that is. So it is done when every thread is seen to be traced, and
    /// none was new: from then on the kernel attaches to those to come.
    pub(super) fn attach(&mut self) {
        for _ in 0..PASSES {
            let failure = self.attach_to_new();
            if failure != 0 {
                return self.refuse(failure);
            }
            if self.known().iter().all(|it| it.id == 0) {
                return self.refuse(libc::ESRCH);
            }
            // Opened before the last look at the threads, so that it is this program's.
            self.memory = Memory::of(self.target);
            if self.has_every_thread() {
                say(Message::ATTACHED, 0);
                return;
            }
        }
        self.refuse(libc::EAGAIN);
    }

    /// Attaches to the threads that are not traced; the kernel's error, or 0.
    fn attach_to_new(&mut self) -> i32 {
        let mut failure = 0;
        let target = self.target;
        let options = self.options();
        each_thread(target, &mut |id| {
            let is_known = self.known().iter().any(|it| it.id == id);
            match request(libc::PTRACE_SEIZE, id, options) {
                // Another one under the number of a known one ran another program.
                Ok(()) if is_known || self.add(id) => {}
                Ok(()) => failure = libc::E2BIG,
                Err(libc::ESRCH) => {}
                // The kernel has attached to it when it was started, or this has before.
                Err(_) if is_known || is_traced(id) => {
                    if !is_known && !self.add(id) {
                        failure = libc::E2BIG;
                    }
                }
                // A leader that has ended before its threads cannot be attached to.
                Err(_) if has_ended(target, id) => {}
                Err(error) => failure = error,
            }
        });
        failure
    }

    /// Whether every thread that runs is traced from here.
    pub(super) fn has_every_thread(&self) -> bool {
        let target = self.target;
        let mut has_every = true;
        // A second look finds what has come behind the first.
        for _ in 0..2 {
            each_thread(target, &mut |id| has_every &= is_traced(id) || has_ended(target, id));
        }
        has_every
    }

    /// Forgets the threads that are not traced any more.
    pub(super) fn forget(&mut self) {
        for thread in self.known_mut() {
            if thread.id != 0 && !is_traced(thread.id) {
                *thread = Thread::default();
            }
        }
    }

    fn options(&self) -> usize {
        let always = libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEEXEC;
        let options = match self.breakpoint {
            // A child process has no debug register armed.
            Breakpoint::Register => always,
            // It has a copy of the text.
            Breakpoint::Instruction => always | libc::PTRACE_O_TRACEFORK,
        };
        options as usize
    }

    /// A thread is stopped because it has started a thread or a child process, which the kernel
    /// has attached to: it is not let out of sight before it has been let go.
    pub(super) fn expect_child(&mut self, id: pid_t) {
        let mut child = 0 as libc::c_ulong;
        // SAFETY: GETEVENTMSG writes one `unsigned long` into a local.
        let told =
            unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG as _, id, 0usize, &raw mut child) };
        let child = child as pid_t;
        // One that stopped before its parent has been let go already.
        if told != 0 || !is_traced(child) {
            return;
        }
        if is_thread_of(self.target, child) {
            if !self.known().iter().any(|it| it.id == child) {
                self.add(child);
            }
            return;
        }
        let mut status = 0;
        // SAFETY: the kernel writes the status into a local. A child that is new stops before it
        // does anything.
        let waited = unsafe { libc::waitpid(child, &mut status, libc::__WALL) };
        if waited == child && libc::WIFSTOPPED(status) {
            self.release_child(child);
        }
    }

    /// A thread that cannot be kept track of runs without being watched.
    pub(super) fn one_too_many(&mut self, id: pid_t) {
        if self.breakpoint == Breakpoint::Instruction && !self.is_leaving {
            // It would die of the breakpoint.
            self.refuse(libc::E2BIG);
            self.leave();
        }
        let _ = set_registers(id, &NOWHERE);
        let _ = request(libc::PTRACE_DETACH, id, 0);
    }

    /// Lets go of a child process, which has the text of its parent.
    pub(super) fn release_child(&self, id: pid_t) {
        if self.breakpoint == Breakpoint::Instruction && !shares_memory(self.target, id) {
            Memory::of(id).write_text_of(&self.spots);
        }
        let _ = request(libc::PTRACE_DETACH, id, 0);
    }
}

/// How often a target is tried whose threads do not hold still.
const PASSES: usize = 1000;
