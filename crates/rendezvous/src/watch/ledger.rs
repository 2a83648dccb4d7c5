//! How much of the lists has to be read.

use crate::list::State;

/// What has been noticed of the loader's work since the lists were read.
///
/// A loader calls its function twice for each change: when it begins, and when it is done. What is
/// loaded goes to the ends of the lists, so that reading what is behind their last known nodes
/// tells it all. What is unloaded can be anywhere, and takes a whole reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Calls that are not accounted for yet; below zero if a change was read before its calls were
    /// noticed.
    calls: i64,
    /// Whether nothing but a whole reading will do.
    is_unsure: bool,
}

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// What is behind the ends of the lists.
    Ends,
    /// All of it.
    Whole,
}

impl Ledger {
    /// The loader's function ran so often; the target goes on.
    pub(super) fn ran(&mut self, times: u32) {
        self.calls = self.calls.saturating_add(times.into());
    }

    /// The target is stopped in the function, with its lists in these states.
    pub(super) fn stopped(&mut self, states: impl IntoIterator<Item = State>) {
        self.is_unsure |=
            states.into_iter().any(|state| !matches!(state, State::Consistent | State::Add));
    }

    /// Something may have been missed.
    pub(super) fn missed(&mut self) {
        self.is_unsure = true;
    }

    /// What to read first, now that the lists are at rest.
    pub(super) fn need(&self) -> Need {
        if self.is_unsure || self.calls > CALLS { Need::Whole } else { Need::Ends }
    }

    /// So many modules were found behind the ends; whether that is all that has happened.
    pub(super) fn found(&mut self, added: usize) -> bool {
        if added == 0 {
            // Calls without a module to show for it: something went.
            return self.calls <= 0;
        }
        self.calls = self.calls.saturating_sub(CALLS).min(0);
        true
    }

    /// Everything was read.
    pub(super) fn settled(&mut self) {
        *self = Ledger::default();
    }

    /// Whether a module may have gone and another have come in its place, at the same addresses.
    pub(super) fn may_hide_a_change(&self) -> bool {
        self.is_unsure || self.calls > CALLS
    }
}

/// How often the loader calls its function for one change.
const CALLS: i64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_found_at_the_ends() {
        let mut ledger = Ledger::default();
        ledger.ran(2);
        assert_eq!(ledger.need(), Need::Ends);
        assert!(ledger.found(3));
        assert_eq!(ledger, Ledger::default());
    }

    #[test]
    fn a_load_that_was_read_before_its_second_call_was_noticed_takes_no_second_reading() {
        let mut ledger = Ledger::default();
        ledger.ran(1);
        assert!(ledger.found(1));
        ledger.ran(1);
        assert_eq!(ledger.need(), Need::Ends);
        assert!(ledger.found(0));
    }

    #[test]
    fn calls_without_a_new_module_and_more_than_one_change_at_once_take_a_whole_reading() {
        let mut ledger = Ledger::default();
        ledger.ran(2);
        assert!(!ledger.found(0));
        ledger.settled();
        ledger.ran(4);
        assert_eq!(ledger.need(), Need::Whole);
    }

    #[test]
    fn a_removal_that_a_load_hid_is_found_with_the_calls_of_the_load() {
        // The calls of a removal were noticed, and what was read was a load that came after it.
        let mut ledger = Ledger::default();
        ledger.ran(2);
        assert!(ledger.found(1));
        ledger.ran(2);
        assert!(!ledger.found(0));
    }

    #[test]
    fn a_target_that_stops_tells_what_it_does() {
        let mut ledger = Ledger::default();
        ledger.stopped([State::Consistent, State::Add]);
        ledger.stopped([State::Consistent, State::Consistent]);
        assert_eq!(ledger.need(), Need::Ends);
        assert!(ledger.found(0));
        ledger.stopped([State::Delete]);
        assert_eq!(ledger.need(), Need::Whole);
    }
}
