//! How much of the lists has to be read.

/// What has been noticed of the loader's work since the lists were read.
///
/// A loader calls its function twice for each change: when it begins, and when it is done. A
/// target that waits in it is read at each call. One that goes on may have done more since than
/// the calls that were noticed tell, and between two looks it may have put one file where another
/// was, which leaves the lists as they were.
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

    /// So many new modules were found; whether they explain all calls, the last of which may
    /// still be to come.
    pub(super) fn explained_by(&mut self, added: usize) -> bool {
        let added = u32::try_from(added).unwrap_or(u32::MAX);
        let is_explained = self.calls <= added.max(1).saturating_mul(2);
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
    fn one_change_is_explained_by_what_it_did_and_by_nothing() {
        for added in 0..3 {
            let mut ledger = Ledger::default();
            ledger.ran(2);
            assert!(ledger.explained_by(added));
            assert_eq!(ledger, Ledger::default());
        }
    }

    #[test]
    fn two_changes_with_one_new_module_may_be_a_removal_and_a_load_in_its_place() {
        let mut ledger = Ledger::default();
        ledger.ran(2);
        ledger.ran(2);
        assert!(!ledger.explained_by(1));
        ledger.settled();
        assert!(ledger.explained_by(0));
    }

    #[test]
    fn a_load_each_explains_any_number_of_changes() {
        let mut ledger = Ledger::default();
        ledger.ran(200);
        assert!(ledger.explained_by(100));
    }

    #[test]
    fn what_may_have_been_missed_stays_so_until_everything_was_read() {
        let mut ledger = Ledger::default();
        ledger.missed();
        assert!(ledger.explained_by(1) && ledger.is_unsure());
        ledger.settled();
        assert!(!ledger.is_unsure());
    }
}
