//! How the keeper has every thread stop at the places that the watcher has named.

#![allow(clippy::arithmetic_side_effects, reason = "the figures are the kernel's and small")]

use libc::pid_t;

use super::ptrace::Breakpoint;
use super::ptrace_keeper::{Keeper, State, Thread};
use super::ptrace_message::{Message, Spots};
use super::ptrace_own::say;
use super::ptrace_registers::{TRAP, set_registers};
use super::ptrace_target::{has_ended, request};

impl Keeper<'_> {
    pub(super) fn stop_nowhere(&mut self) {
        self.spots = Spots::default();
        self.arming = 0;
    }

    /// Stops at other places.
    pub(super) fn arm(&mut self, spots: Spots) {
        self.is_late = false;
        self.restore_text();
        self.stop_nowhere();
        self.is_acknowledged = false;
        let is_text = self.breakpoint == Breakpoint::Instruction;
        if is_text && !self.memory.has_text_of(&spots) {
            if !self.is_another_program {
                self.refuse(libc::EIO);
                self.leave();
            }
            // Of the program before; the watcher has been told of the new one.
            return;
        }
        self.is_another_program = false;
        self.armings += 1;
        self.arming = self.armings;
        self.spots = spots;
        if is_text {
            let is_set = self.has_every_thread() && self.write_traps();
            let arming = self.arming;
            self.known_mut().iter_mut().for_each(|it| it.armed = arming);
            if !is_set {
                self.refuse(libc::EIO);
                self.leave();
            }
            return;
        }
        for at in 0..self.used {
            let Some(thread) = self.known().get(at).copied() else { continue };
            if thread.id == 0 || thread.armed == self.arming {
                continue;
            }
            if matches!(thread.state, State::Held(..)) {
                self.set(thread.id);
            } else {
                let _ = request(libc::PTRACE_INTERRUPT, thread.id, 0);
            }
        }
    }

    /// Arms a stopped thread.
    pub(super) fn set(&mut self, id: pid_t) {
        let (arming, breakpoint) = (self.arming, self.breakpoint);
        let addresses = self.spots.map(|it| it.address);
        let Some(thread) = self.thread(id) else { return };
        if thread.armed == arming || breakpoint == Breakpoint::Instruction {
            thread.armed = arming;
            return;
        }
        thread.armed = arming;
        if let Err(error) = set_registers(id, &addresses) {
            thread.armed = 0;
            if error != libc::ESRCH && !self.is_leaving {
                self.refuse(error);
                self.leave();
            }
        }
    }

    /// Says, once, that every thread will stop at the places.
    pub(super) fn acknowledge(&mut self) {
        let (arming, target) = (self.arming, self.target);
        let is_armed = |it: &Thread| it.id == 0 || it.armed == arming || has_ended(target, it.id);
        if !self.is_acknowledged && self.known().iter().all(is_armed) {
            self.is_acknowledged = true;
            if !say(Message::ARMED, 0) {
                self.owe(Message::LATE);
            }
        }
    }

    pub(super) fn restore_text(&mut self) {
        if self.breakpoint == Breakpoint::Instruction {
            self.memory.write_text_of(&self.spots);
        }
    }

    /// Whether every breakpoint was written.
    pub(super) fn write_traps(&self) -> bool {
        let mut spots = self.spots.iter().filter(|it| it.address != 0);
        spots.all(|it| self.memory.write(it.address, TRAP))
    }
}
