//! The actions that the state machine asks for, performed.

use std::time::{Duration, Instant};

use crash_guard::Fault;

use super::{Arrival, Plugin, Retry};
use crate::contract::{FailureCode, Operation};
use crate::event::{Cause, Event, Failure, Refusal, RefusalKind};
use crate::machine::{Action, Answer, Outcome};
use crate::neighbour::NotCopied;
use crate::roll;
use crate::stage::{Identity, Stage, Staged};
use crate::state::{self, StateReport};
use crate::sys;
use crate::version::{Digest, Loading, Unready, Version};

/// How soon a build is looked at again that is being written.
const WRITING: Duration = Duration::from_millis(5);
/// How far that grows while the build stays as it is; from then on it is said that it is waited
/// for.
const PATIENCE: Duration = Duration::from_millis(640);
/// How soon a build is looked at again that misses something; each look copies the build.
const MISSING: Duration = Duration::from_secs(1);

/// How soon a build is loaded whose turn had come when the version before it failed to make room: it
/// may fail so again.
const POSTPONED: Duration = Duration::from_secs(1);

/// The address that stands for the default action of a signal, as a range.
const DEFAULT: std::ops::Range<usize> = 0..1;

impl Plugin {
    /// Does what the machine says until the request is finished.
    pub(super) fn perform(&mut self, mut action: Action) -> Outcome {
        loop {
            let answer = match action {
                Action::Finish(outcome) => {
                    self.ready = self.running().map(|version| version.entering(Operation::Step));
                    return outcome;
                }
                Action::Prepare { version } => self.prepare(version),
                Action::Call { version, operation } => self.call(version, operation),
                Action::Carry { from, to } => self.carry(from, to),
                Action::Revert { to, afresh } => self.revert(to, afresh),
                Action::Retire { version, cause } => self.retire(version, cause),
            };
            action = self.machine.answer(answer);
            // Only now: a callback may panic, and the machine must know what has been done.
            self.tell_all();
        }
    }

    fn prepare(&mut self, number: u32) -> Answer {
        self.preparing_since = Instant::now();
        let spare = self.spare_copy.take();
        let result = match self.prepare_version(number, spare) {
            Err(Unready::NoPlace(reason, _)) if self.move_copies(&reason) => {
                self.prepare_version(number, None)
            }
            result => result,
        };
        let before = self.retry.take();
        let answer = match result {
            Ok(version) => {
                self.seen = Some(version.identity());
                if self.options.watch_dependencies {
                    self.neighbours.note(&self.path, version.needed());
                }
                self.versions.push(version);
                Answer::Prepared
            }
            Err(Unready::BeingWritten) => {
                self.seen = None;
                Answer::NotReady
            }
            Err(Unready::Incomplete(reason, identity)) => {
                let same = before.filter(|_| self.seen == Some(identity));
                let after = same.map_or(WRITING, |before| (before.after * 2).min(PATIENCE));
                self.seen = Some(identity);
                self.retry_after(after);
                if after == PATIENCE {
                    self.refuse(Refusal { version: number, kind: RefusalKind::Incomplete, reason });
                }
                Answer::NotReady
            }
            Err(Unready::NoPlace(reason, identity)) => {
                let kind = RefusalKind::Staging;
                self.turn_away(before, Refusal { version: number, kind, reason }, identity)
            }
            Err(Unready::Refused(kind, reason, identity)) => {
                self.turn_away(before, Refusal { version: number, kind, reason }, identity)
            }
            Err(Unready::Faulted(failure, identity, digest, remains)) => {
                self.seen = Some(identity);
                self.remember_bad(digest);
                self.fail(*failure);
                if let Some(remains) = remains {
                    self.give_up(*remains);
                }
                Answer::Broken
            }
        };
        let writing = self.seen.is_none().then_some(WRITING);
        self.notice.look_after(self.retry.map(|retry| retry.after).or(writing));
        answer
    }

    fn prepare_version(&mut self, number: u32, spare: Option<Staged>) -> Result<Version, Unready> {
        if self.options.watch_dependencies {
            self.neighbours.note_the_hosts();
            let copied = self.neighbours.refresh(&self.stage, number);
            if let (Err(NotCopied { reason, no_place }), Some(identity)) =
                (copied, self.identity_now())
            {
                return Err(match no_place {
                    true => Unready::NoPlace(reason, Some(identity)),
                    false => Unready::Incomplete(reason, identity),
                });
            }
        }
        let loading = Loading {
            source: &self.path,
            number,
            options: &self.options,
            stage: &self.stage,
            caller: &self.caller,
            known_bad: &self.known_bad,
            neighbours: &self.neighbours,
        };
        let running = self.machine.current().and_then(|number| self.find(number));
        Version::prepare(&loading, spare, |new| {
            running.and_then(|running| state::refusal(&self.options, running.state(), new))
        })
    }

    /// Makes the copies beside the library from now on, unless they are made there already or the
    /// host has said where.
    fn move_copies(&mut self, reason: &str) -> bool {
        if self.options.temporary.is_some() {
            return false;
        }
        let Ok(stage) = Stage::beside(&self.path) else { return false };
        if stage.root() == self.stage.root() {
            return false;
        }
        let directory = stage.root().to_owned();
        self.stage = stage;
        self.tell(Event::CopiesMoved { directory, reason: reason.to_owned() });
        true
    }

    /// A build cannot be loaded.
    fn turn_away(
        &mut self,
        before: Option<Retry>,
        refusal: Refusal,
        identity: Option<Identity>,
    ) -> Answer {
        let identity = identity.or_else(|| self.identity_now());
        if before.is_none() || self.seen != identity {
            self.refused = None;
        }
        self.seen = identity;
        // What it misses may appear, or the disk get room; until then it is the same refusal.
        if matches!(refusal.kind, RefusalKind::Loader | RefusalKind::Staging) {
            self.retry_after(MISSING);
        }
        self.refuse(refusal);
        Answer::NotReady
    }

    pub(super) fn remember_bad(&mut self, digest: Option<Digest>) {
        if let Some(digest) = digest
            && !self.known_bad.contains(&digest)
        {
            self.known_bad.push(digest);
        }
    }

    /// The build that is on disk was turned away for no fault of its own.
    pub(super) fn postpone(&mut self) {
        self.retry = Some(Retry { after: POSTPONED, since: Instant::now(), eager: false });
        self.notice.look_after(Some(POSTPONED));
    }

    fn retry_after(&mut self, after: Duration) {
        self.retry = Some(Retry { after, since: Instant::now(), eager: true });
    }

    /// Tells a refusal, unless it is the one that was told last.
    fn refuse(&mut self, refusal: Refusal) {
        self.context.failure = match refusal.kind {
            RefusalKind::State => FailureCode::STATE_INVALIDATED,
            _ => FailureCode::BAD_IMAGE,
        };
        if self.refused.as_ref() != Some(&refusal) {
            self.tell(Event::Refused(refusal.clone()));
            self.refused = Some(refusal);
        }
    }

    fn identity_now(&self) -> Option<Identity> {
        std::fs::metadata(&self.path).ok().map(|metadata| sys::identity(&metadata))
    }

    fn call(&mut self, number: u32, operation: Operation) -> Answer {
        if operation == Operation::Unload {
            self.tell(Event::BeforeUnload { version: number });
            self.tell_all();
        }
        self.context.version = number;
        self.context.next_version = self.machine.next();
        let Some(at) = self.versions.iter().position(|version| version.number() == number) else {
            return Answer::Faulted;
        };
        let result = self.versions[at].entering(operation).run(&mut self.context);
        // A guest that resets the handlers of faults to the default, perhaps in a constructor,
        // disarms the guard.
        self.installed.verify_and_repair(DEFAULT);
        let answer = self.called(number, operation, result);
        if matches!(answer, Answer::Returned(value) if value >= 0) {
            self.worked(number, operation);
        }
        answer
    }

    fn worked(&mut self, number: u32, operation: Operation) {
        match operation {
            Operation::Load => {
                let took = self.preparing_since.elapsed();
                self.context.failure = FailureCode::NONE;
                let arrival = self.arrival.take();
                let modules_verified = arrival.as_ref().and_then(|_| self.verify_modules());
                match arrival {
                    Some(Arrival::First) => {
                        self.tell(Event::Loaded { version: number, took, modules_verified });
                    }
                    Some(Arrival::From(from, state)) => {
                        let version = number;
                        self.tell(Event::Reloaded { version, from, took, state, modules_verified });
                    }
                    // It was here before, and its return has been told.
                    None => {}
                }
            }
            Operation::Step => {
                self.steps += 1;
                self.context.last_working_version = number;
            }
            Operation::Unload | Operation::Close => {}
        }
    }

    /// Whether the loader has what is believed to be loaded.
    fn verify_modules(&self) -> Option<bool> {
        let verified = roll::has_each_once(self.versions.iter().map(Version::range));
        debug_assert_ne!(
            verified,
            Some(false),
            "the loader's list lacks a version, or has it twice"
        );
        verified
    }

    /// Takes note of how a call went.
    pub(super) fn called(
        &mut self,
        number: u32,
        operation: Operation,
        result: Result<i32, Box<Fault>>,
    ) -> Answer {
        self.called = Some(number);
        let (answer, cause) = match result {
            Ok(value) if value >= 0 => return Answer::Returned(value),
            Ok(value) => (Answer::Returned(value), Cause::Returned(value)),
            Err(fault) => (Answer::Faulted, Cause::Fault(fault)),
        };
        let place = match (&cause, self.find(number)) {
            (Cause::Fault(fault), Some(version)) => version.place_of(fault),
            _ => None,
        };
        self.arrival = None;
        self.fail(Failure { version: number, during: operation.into(), cause, place });
        answer
    }

    fn fail(&mut self, failure: Failure) {
        let code = failure.code();
        self.failed = Some(code);
        self.context.failure = code;
        self.tell(Event::Fault(failure));
    }

    fn carry(&mut self, from: Option<u32>, to: u32) -> Answer {
        let Some(to) = self.versions.iter().position(|version| version.number() == to) else {
            return Answer::Done;
        };
        let from = from.and_then(|from| self.versions.iter().position(|v| v.number() == from));
        let Some(from) = from else {
            self.arrival = Some(Arrival::First);
            return Answer::Done;
        };
        let number = self.versions[from].number();
        let report = self.transfer(from, to);
        self.arrival = Some(Arrival::From(number, report));
        Answer::Done
    }

    /// Carries the state of one version into another, both by their places.
    fn transfer(&mut self, from: usize, to: usize) -> StateReport {
        let target = &self.versions[to];
        let others = others(&self.versions, &self.lingering, target);
        let exits = sys::take_exits(target.range());
        let mut carried = state::carry(
            &self.options,
            &self.versions[from],
            target,
            &others,
            &mut self.spare,
            |place| target.destroy_fresh(&exits, place),
        );
        sys::return_exits(exits);
        carried.reach.merge(self.relink_userdata(to));
        self.versions[from].gave_away(carried.sources);
        self.versions[to].received(carried.targets);
        self.versions[to].set_reach(carried.reach);
        self.versions[to].set_renewed(carried.renewed);
        carried.report
    }

    fn revert(&mut self, number: u32, afresh: bool) -> Answer {
        let from = self.called.unwrap_or(number);
        self.context.version = number;
        self.arrival = None;
        let place = |number| self.versions.iter().position(|version| version.number() == number);
        let (left, to) = (place(from), place(number));
        if let Some((left, to)) = left.zip(to).filter(|_| afresh) {
            self.transfer(left, to);
            self.versions.iter_mut().for_each(Version::lets_go);
            self.versions[to].takes_back();
        } else if let Some(to) = to {
            let target = &self.versions[to];
            let others = others(&self.versions, &self.lingering, target);
            let mut reach = state::relink(target, &others, self.options.search_limit);
            reach.merge(self.relink_userdata(to));
            // What they share is destroyed once, by the one that has it last.
            self.versions.iter_mut().for_each(Version::lets_go);
            self.versions[to].takes_back();
            self.versions[to].set_reach(reach);
        }
        self.tell(Event::RolledBack { version: number, from });
        Answer::Done
    }

    /// The guest may have left a pointer to something of its own in the context.
    fn relink_userdata(&self, to: usize) -> state::Reach {
        let target = &self.versions[to];
        let others = others(&self.versions, &self.lingering, target);
        let start = (&raw const self.context.userdata).addr();
        let range = start..start + size_of::<usize>();
        state::relink_word(target, &others, range, "userdata", self.options.search_limit)
    }
}

fn others<'a>(
    versions: &'a [Version],
    lingering: &'a [Version],
    target: &Version,
) -> Vec<&'a Version> {
    let number = target.number();
    versions.iter().chain(lingering).filter(|version| version.number() != number).collect()
}
