//! The decisions of a reload, as a pure state machine.
//!
//! The machine knows nothing of files, memory or clocks. It is given a [`Request`] or the
//! [`Answer`] to the action it asked for, and says which [`Action`] comes next, until
//! [`Action::Finish`]. The driver (`plugin.rs`) performs one action at a time, so that whatever
//! happens in between, the machine always knows which version may be called.
//!
//! An answer that does not fit the action under way, and a request before the last one has
//! finished, change nothing: the machine repeats the action it waits for.

use std::collections::VecDeque;

use crate::builder::Retreat;
use crate::contract::Operation;

/// What the host wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Run the guest once; `news`: the build on disk is another than the last one looked at.
    Step { news: bool },
    /// Go back to a version of the history.
    RollBack { to: u32 },
    /// Close the plugin.
    Close,
}

/// How an action went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// To `Prepare`: the new image is mapped and constructed, the running version untouched.
    Prepared,
    /// To `Prepare`: there is nothing that can be loaded, or not yet.
    NotReady,
    /// To `Prepare`: the new image faulted before it was ready; its number is spent.
    Broken,
    /// To `Call`: the guest returned.
    Returned(i32),
    /// To `Call`: the guest faulted.
    Faulted,
    /// To `Carry`, `Revert` and `Retire`.
    Done,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Check, stage and load the build on disk as this version.
    Prepare { version: u32 },
    /// Call the guest.
    Call { version: u32, operation: Operation },
    /// Carry the state of one version into another that has not run yet.
    Carry { from: Option<u32>, to: u32 },
    /// Make a version that was left ready to run again; its own memory holds its state, or is given
    /// that of the version called last, if it is to start `afresh`: it failed when it was left.
    Revert { to: u32, afresh: bool },
    /// The version is needed no longer.
    Retire { version: u32, cause: Retirement },
    /// The request is finished.
    Finish(Outcome),
}

/// Why a version is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retirement {
    /// It worked and is now older than the history reaches.
    Evicted,
    /// It failed; nothing of it is trusted.
    Failed,
    /// It was ready and has not run: the version before it failed to make room. Its build is still
    /// to be loaded.
    Unused,
    /// The plugin is closed.
    Closed,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The guest ran and returned this.
    Ran(i32),
    /// A version failed; another may take over with the next step.
    Failed,
    /// No version can run.
    Idle,
    /// The asked version runs again.
    RolledBack,
    /// There is no such version to go back to.
    Unknown,
    /// Everything is unloaded.
    Closed,
}

/// The state of one plugin.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    phase: Phase,
    /// The version that runs, or will after `Load`.
    current: Option<u32>,
    /// Versions that worked and were unloaded, oldest first; each still holds its state.
    history: VecDeque<u32>,
    /// How many versions the history keeps.
    depth: usize,
    retreat: Retreat,
    /// Versions that ran and failed, oldest first, of which [`Retreat::Previous`] may need one.
    failed: VecDeque<u32>,
    /// The current version was gone back to.
    returned: bool,
    next: u32,
    /// The current version was unloaded or has not been loaded: it wants `Load` before `Step`.
    wants_load: bool,
    retiring: VecDeque<(u32, Retirement)>,
    awaited: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Preparing,
    /// The current version is told to unload; this one, mapped and constructed, takes over.
    Unloading {
        candidate: u32,
    },
    Carrying {
        candidate: u32,
        failed: bool,
    },
    Loading {
        candidate: u32,
        failed: bool,
    },
    Resuming,
    Stepping,
    /// The current version is told to unload in favour of one of the history.
    Leaving {
        to: u32,
    },
    Reverting {
        then: Then,
    },
    Returning,
    Closing,
    /// The last retirements before this outcome.
    Finishing(Outcome),
    /// Retirements before the current version is stepped.
    Settling,
    Closed,
}

/// What follows when a version has been made ready again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The step failed; the version is loaded with the next one.
    Fail,
    /// It was asked for; it is loaded at once.
    Load,
}

impl Machine {
    /// A plugin with nothing loaded that keeps `depth` versions to go back to.
    pub(crate) fn new(depth: usize, retreat: Retreat) -> Self {
        Self {
            phase: Phase::Idle,
            current: None,
            history: VecDeque::new(),
            depth,
            retreat,
            failed: VecDeque::new(),
            returned: false,
            next: 1,
            wants_load: false,
            retiring: VecDeque::new(),
            awaited: Action::Finish(Outcome::Idle),
        }
    }

    /// The version that runs, or that runs again with the next step.
    pub(crate) fn current(&self) -> Option<u32> {
        self.current
    }

    /// The version that can be stepped at once.
    #[inline]
    pub(crate) fn running(&self) -> Option<u32> {
        self.current.filter(|_| self.phase == Phase::Idle && !self.wants_load)
    }

    /// The versions that can be gone back to, oldest first.
    pub(crate) fn history(&self) -> impl Iterator<Item = u32> + '_ {
        self.history.iter().copied()
    }

    /// The number the next build gets.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Takes a request; the machine must be between requests.
    pub(crate) fn begin(&mut self, request: Request) -> Action {
        let action = match (self.phase, request) {
            (Phase::Idle, Request::Step { news: true }) => {
                self.phase = Phase::Preparing;
                Action::Prepare { version: self.next }
            }
            (Phase::Idle, Request::Step { news: false }) => self.run_current(),
            (Phase::Idle, Request::RollBack { to }) => self.leave_for(to),
            (Phase::Idle, Request::Close) => match self.running() {
                Some(version) => {
                    self.phase = Phase::Closing;
                    Action::Call { version, operation: Operation::Close }
                }
                None => self.close(),
            },
            (Phase::Closed, _) => Action::Finish(Outcome::Closed),
            _ => return self.awaited,
        };
        self.await_action(action)
    }

    /// Takes the answer to the action under way.
    pub(crate) fn answer(&mut self, answer: Answer) -> Action {
        let Some(action) = self.next_action(answer) else { return self.awaited };
        self.await_action(action)
    }

    fn await_action(&mut self, action: Action) -> Action {
        self.awaited = action;
        action
    }

    fn next_action(&mut self, answer: Answer) -> Option<Action> {
        use Answer::{Broken, Done, Faulted, NotReady, Prepared, Returned};
        let worked = matches!(answer, Returned(value) if value >= 0);
        let called = matches!(answer, Returned(_) | Faulted);
        Some(match (self.phase, answer) {
            (Phase::Preparing, NotReady) => self.run_current(),
            (Phase::Preparing, Broken) => {
                self.next = self.next.saturating_add(1);
                if self.current.is_some() {
                    self.run_current()
                } else {
                    self.finish(Outcome::Failed)
                }
            }
            (Phase::Preparing, Prepared) => {
                let candidate = self.next;
                self.next = self.next.saturating_add(1);
                match self.loaded() {
                    Some(version) => {
                        self.phase = Phase::Unloading { candidate };
                        Action::Call { version, operation: Operation::Unload }
                    }
                    None => self.carry(candidate, false),
                }
            }
            (Phase::Unloading { candidate }, Faulted) if self.retreats_from_unload() => {
                self.retiring.push_back((candidate, Retirement::Unused));
                self.fail()
            }
            (Phase::Unloading { candidate }, _) if called => self.carry(candidate, !worked),
            (Phase::Carrying { candidate, failed }, Done) => {
                self.phase = Phase::Loading { candidate, failed };
                Action::Call { version: candidate, operation: Operation::Load }
            }
            (Phase::Loading { candidate, failed }, _) if called => {
                self.returned = false;
                if let Some(old) = self.current.replace(candidate) {
                    match (failed, worked) {
                        (true, _) => self.retiring.push_back((old, Retirement::Failed)),
                        (false, true) => self.remember(old),
                        // However short the history, this one is gone back to.
                        (false, false) => self.history.push_back(old),
                    }
                }
                if worked { self.settle() } else { self.fail() }
            }
            (Phase::Resuming, _) if called => {
                if worked {
                    self.settle()
                } else {
                    self.fail()
                }
            }
            (Phase::Stepping, Returned(value)) if value >= 0 => self.finish(Outcome::Ran(value)),
            // The guest said no, nothing is broken, and there is nothing to go back to: it stays.
            (Phase::Stepping, Returned(_)) if self.history.is_empty() => {
                self.finish(Outcome::Failed)
            }
            (Phase::Stepping, _) if called => self.fail(),
            (Phase::Leaving { to }, _) if called => self.leave(to, worked),
            (Phase::Reverting { then: Then::Fail }, Done) => self.finish(Outcome::Failed),
            (Phase::Reverting { then: Then::Load }, Done) => match self.current {
                Some(version) => {
                    self.phase = Phase::Returning;
                    Action::Call { version, operation: Operation::Load }
                }
                None => self.finish(Outcome::Idle),
            },
            (Phase::Returning, _) if called => {
                if worked {
                    self.wants_load = false;
                    self.finish(Outcome::RolledBack)
                } else {
                    self.fail()
                }
            }
            (Phase::Closing, _) if called => self.close(),
            (Phase::Finishing(outcome), Done) => self.finish(outcome),
            (Phase::Settling, Done) => self.settle(),
            _ => return None,
        })
    }

    /// The current version, if it was loaded and not unloaded since.
    fn loaded(&self) -> Option<u32> {
        self.current.filter(|_| !self.wants_load)
    }

    /// Steps the current version, or loads it first if it was left before.
    fn run_current(&mut self) -> Action {
        match self.current {
            None => self.finish(Outcome::Idle),
            Some(version) if self.wants_load => {
                self.phase = Phase::Resuming;
                Action::Call { version, operation: Operation::Load }
            }
            Some(version) => {
                self.phase = Phase::Stepping;
                Action::Call { version, operation: Operation::Step }
            }
        }
    }

    fn carry(&mut self, candidate: u32, failed: bool) -> Action {
        self.phase = Phase::Carrying { candidate, failed };
        Action::Carry { from: self.current, to: candidate }
    }

    /// The current version is loaded: versions beyond the history go, then it is stepped.
    fn settle(&mut self) -> Action {
        self.wants_load = false;
        self.phase = Phase::Settling;
        self.retire_next().unwrap_or_else(|| self.run_current())
    }

    /// The current version failed: the last one that worked takes over.
    fn fail(&mut self) -> Action {
        let ran = matches!(self.phase, Phase::Stepping | Phase::Unloading { .. });
        let to = self.predecessor();
        if let Some(failed) = self.current.take() {
            if ran && self.retreat == Retreat::Previous {
                self.failed.push_back(failed);
                if self.failed.len() > self.depth {
                    let oldest = self.failed.pop_front();
                    self.retiring.extend(oldest.map(|oldest| (oldest, Retirement::Failed)));
                }
            } else {
                self.retiring.push_back((failed, Retirement::Failed));
            }
        }
        match to {
            Some((to, afresh)) => self.revert(to, afresh, Then::Fail),
            None => self.finish(Outcome::Failed),
        }
    }

    /// What is gone back to when the current version fails, taken from where it is kept.
    /// Says whether it had failed.
    fn predecessor(&mut self) -> Option<(u32, bool)> {
        let Some(previous) = self.previous() else {
            return Some((self.history.pop_back()?, false));
        };
        self.history.retain(|&version| version != previous);
        let failed = self.failed.contains(&previous);
        self.failed.retain(|&version| version != previous);
        Some((previous, failed))
    }

    /// The next lower number, where that is how a version is gone back from.
    fn previous(&self) -> Option<u32> {
        let current =
            self.current.filter(|_| self.returned && self.retreat == Retreat::Previous)?;
        let kept = self.history.iter().chain(&self.failed).copied();
        kept.filter(|&version| version < current).max()
    }

    /// Whether a version that faults when it is to make room is left for one before it.
    fn retreats_from_unload(&self) -> bool {
        self.retreat == Retreat::Previous && (self.previous().is_some() || !self.history.is_empty())
    }

    fn revert(&mut self, to: u32, afresh: bool, then: Then) -> Action {
        self.current = Some(to);
        self.returned = true;
        self.wants_load = true;
        self.phase = Phase::Reverting { then };
        Action::Revert { to, afresh }
    }

    fn leave_for(&mut self, to: u32) -> Action {
        if !self.history.contains(&to) {
            return self.finish(Outcome::Unknown);
        }
        match self.loaded() {
            Some(version) => {
                self.phase = Phase::Leaving { to };
                Action::Call { version, operation: Operation::Unload }
            }
            None => self.leave(to, true),
        }
    }

    fn leave(&mut self, to: u32, worked: bool) -> Action {
        self.history.retain(|&version| version != to);
        if let Some(left) = self.current.take() {
            if worked {
                self.remember(left);
            } else {
                self.retiring.push_back((left, Retirement::Failed));
            }
        }
        self.revert(to, false, Then::Load)
    }

    fn remember(&mut self, version: u32) {
        self.history.push_back(version);
        while self.history.len() > self.depth {
            if let Some(evicted) = self.history.pop_front() {
                self.retiring.push_back((evicted, Retirement::Evicted));
            }
        }
    }

    fn close(&mut self) -> Action {
        let failed = self.failed.drain(..);
        self.retiring.extend(failed.map(|version| (version, Retirement::Failed)));
        let kept = self.history.drain(..).chain(self.current.take());
        self.retiring.extend(kept.map(|version| (version, Retirement::Closed)));
        self.finish(Outcome::Closed)
    }

    fn finish(&mut self, outcome: Outcome) -> Action {
        self.phase = Phase::Finishing(outcome);
        self.retire_next().unwrap_or_else(|| {
            self.phase = if outcome == Outcome::Closed { Phase::Closed } else { Phase::Idle };
            Action::Finish(outcome)
        })
    }

    fn retire_next(&mut self) -> Option<Action> {
        self.retiring.pop_front().map(|(version, cause)| Action::Retire { version, cause })
    }
}

#[cfg(test)]
mod tests;
