//! How much of the lists has to be read.

/// What has been noticed of the loader's work since the lists were read.
///
/// A loader calls its function twice for each change, when it begins and when it is done, and
/// passes a probe once, when it is done. A target that waits there is read at each call. One that
/// goes on may have done more since than the calls that were noticed tell, and between two looks it
/// may have put one file where another was, which leaves the lists as they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Calls since the last look.
    calls: u32,
    /// Whether nothing but reading everything will do.
    is_unsure: bool,
}

impl Ledger {
    /// The loader's function ran so often; the target goes on.
    pub(super) fn ran(&mut self, times: u32) {
        self.calls = self.calls.saturating_add(times);
    }

    /// Whether the loader is so busy that noticing each call costs the target more than reading
    /// everything once it is less so.
    pub(super) fn is_flooded(&self) -> bool {
        self.calls > FLOOD
    }

    /// Something may have been missed.
    pub(super) fn missed(&mut self) {
        self.is_unsure = true;
    }

    /// Whether it is not worth while to look only at what is new.
    pub(super) fn is_unsure(&self) -> bool {
        self.is_unsure
    }

    /// Whether what a look at the ends of the lists has shown is all that there is: the calls were
    /// no more than one change has, the last of which may still be to come.
    ///
    /// New modules explain no more calls than those: some of them may be of a module that went
    /// while another came in its place.
    pub(super) fn is_explained(&mut self, calls_of_a_change: u32) -> bool {
        let is_explained = self.calls <= calls_of_a_change;
        if is_explained {
            self.calls = 0;
        }
        is_explained
    }

    /// Everything was read.
    pub(super) fn settled(&mut self) {
        *self = Ledger::default();
    }
}

/// Calls between two looks.
const FLOOD: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_change_is_seen_by_what_it_added_or_took() {
        for calls_of_a_change in [1, 2] {
            for calls in 0..=calls_of_a_change {
                let mut ledger = Ledger::default();
                ledger.ran(calls);
                assert!(ledger.is_explained(calls_of_a_change));
                assert_eq!(ledger, Ledger::default());
            }
        }
    }

    #[test]
    fn two_changes_may_be_a_removal_and_a_load_in_its_place_whatever_else_came() {
        let mut ledger = Ledger::default();
        ledger.ran(2);
        assert!(!ledger.is_explained(1));
        ledger.ran(1);
        assert!(!ledger.is_explained(2));
        ledger.ran(200);
        assert!(!ledger.is_explained(2));
        ledger.settled();
        assert!(ledger.is_explained(2));
    }

    #[test]
    fn what_may_have_been_missed_stays_so_until_everything_was_read() {
        let mut ledger = Ledger::default();
        ledger.missed();
        assert!(ledger.is_explained(2) && ledger.is_unsure());
        ledger.settled();
        assert!(!ledger.is_unsure());
    }
}
