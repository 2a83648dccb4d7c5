//! How a version goes: proven to be needed by nobody, destroyed, unmapped, verified.

use super::Plugin;
use crate::event::{Cause, During, Event, Failure, Memory};
use crate::machine::{Answer, Retirement};
use crate::sys;
use crate::version::Version;

impl Plugin {
    pub(super) fn retire(&mut self, number: u32, cause: Retirement) -> Answer {
        let Some(at) = self.versions.iter().position(|version| version.number() == number) else {
            return Answer::Done;
        };
        let mut version = self.versions.remove(at);
        if cause == Retirement::Failed {
            self.remember_bad(version.digest());
            // Nothing of it is trusted, its destructors least of all.
            version.distrust();
        }
        if cause == Retirement::Unused {
            self.postpone();
        }
        let last = cause == Retirement::Closed && self.versions.is_empty();
        self.release(version, cause == Retirement::Closed, last);
        // Whatever held the others may be gone by now.
        for version in std::mem::take(&mut self.lingering) {
            self.release(version, cause == Retirement::Closed, last);
        }
        Answer::Done
    }

    /// A version that never came to run: nothing of it is trusted.
    pub(super) fn give_up(&mut self, mut version: Version) {
        version.distrust();
        self.release(version, false, false);
        // A build that is refused leaves no file.
        self.spare_copy = None;
    }

    /// Unmaps a version if nothing needs it, or keeps it for later; `last` says that there is no
    /// later.
    fn release(&mut self, mut version: Version, closing: bool, last: bool) {
        // Its handlers of faults go back to the guard in any case.
        self.installed.verify_and_repair(version.range().clone());
        match self.needed(&version, closing) {
            None => {
                let number = version.number();
                for fault in version.destruct() {
                    let place = version.place_of(&fault);
                    let cause = Cause::Fault(Box::new(fault));
                    let during = During::Destructor;
                    self.tell(Event::Fault(Failure { version: number, during, cause, place }));
                }
                if !closing {
                    self.spare = version.salvage().or(self.spare.take());
                }
                let (memory, copy) = version.unmap(&self.caller, &self.installed);
                self.spare_copy = copy.filter(|_| !closing);
                self.tell(Event::Retired { version: number, memory });
            }
            Some(memory) => {
                if version.is_news(&memory) {
                    self.tell(Event::Retired { version: version.number(), memory });
                }
                if last {
                    version.leave_mapped();
                } else {
                    self.lingering.push(version);
                }
            }
        }
    }

    /// Why a version cannot be unmapped.
    fn needed(&self, version: &Version, closing: bool) -> Option<Memory> {
        let number = version.number();
        for keeper in self.versions.iter().filter(|_| !closing) {
            let reach = keeper.reach();
            if reach.needs.contains(&number) {
                let words = reach.untranslated.iter().filter(|word| word.version == number);
                return Some(Memory::Referenced { by: words.map(ToString::to_string).collect() });
            }
            if !reach.complete {
                return Some(Memory::NotSearched);
            }
        }
        if let Some(signal) = sys::handled_signal(version.range()) {
            return Some(Memory::SignalHandler { signal });
        }
        if sys::threads_have_exits(version.range()) {
            return Some(Memory::ThreadLocals);
        }
        sys::thread_inside(version.range()).map(|thread| Memory::ThreadInside { thread })
    }
}
