//! When a file is looked at although nothing was noticed.

use std::time::{Duration, Instant};

/// How many looks can be afforded just now.
///
/// The system's notification of a change comes some time after the change. A host that has just
/// written the build, and one that runs on a machine with much else to do, gets the new build with
/// the very next call as long as each call looks at the file. A look costs a hundred times what the
/// call does, so it is rationed: there is one for each [`PAUSE`] that passes, and up to [`MOST`]
/// are saved. A host that calls less often than that always looks; one that calls all the time
/// relies on the notification, and the looks cost it next to nothing.
#[derive(Debug)]
pub(crate) struct Looks {
    left: u32,
    /// How many steps the plugin has made when the clock is asked again. Steps are counted anyway, so
    /// that a call which does not look has nothing to write down here.
    due: u64,
    last: Instant,
}

const PAUSE: Duration = Duration::from_micros(200);
const MOST: u32 = 1000;
/// How many steps may go by between two questions to the clock, while there are no looks left.
const STEPS: u64 = 512;

impl Looks {
    pub(crate) fn new() -> Self {
        Self { left: MOST, due: 0, last: Instant::now() }
    }

    /// Whether there is a look left, which then is taken. `steps`: how many the plugin has made.
    #[inline]
    pub(crate) fn take(&mut self, steps: u64) -> bool {
        steps >= self.due && self.take_slowly(steps)
    }

    #[cold]
    fn take_slowly(&mut self, steps: u64) -> bool {
        self.earn(self.last.elapsed());
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        self.due = if some { steps } else { steps.saturating_add(STEPS) };
        some
    }

    /// Something failed, and may go on failing without a step being made: the clock is asked with the
    /// next call.
    pub(crate) fn hurry(&mut self) {
        self.due = 0;
    }

    fn earn(&mut self, passed: Duration) {
        if passed < PAUSE {
            return;
        }
        let earned = passed.as_micros() / PAUSE.as_micros();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.last += PAUSE.saturating_mul(earned);
        self.left = self.left.saturating_add(earned).min(MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_earned_by_time_and_saved_up_to_a_limit() {
        let mut looks = Looks::new();
        looks.left = 0;
        looks.earn(PAUSE / 2);
        assert_eq!(looks.left, 0);
        looks.earn(PAUSE * 3);
        assert_eq!(looks.left, 3);
        looks.earn(PAUSE * MOST * 2);
        assert_eq!(looks.left, MOST);
    }

    #[test]
    fn a_failure_asks_the_clock_again_although_no_step_is_made() {
        let mut looks = Looks::new();
        looks.left = 0;
        looks.last = Instant::now();
        assert!(!looks.take(5));
        looks.last -= PAUSE;
        assert!(!looks.take(6), "the clock is not asked yet");
        looks.hurry();
        assert!(looks.take(6));
    }

    #[test]
    fn a_host_that_calls_all_the_time_seldom_looks() {
        let mut looks = Looks::new();
        let start = Instant::now();
        let calls = 1_000_000;
        let taken = (0..calls).filter(|&steps| looks.take(steps)).count() as u128;
        let earned = start.elapsed().as_micros() / PAUSE.as_micros();
        assert!(taken <= u128::from(MOST) + earned + 1, "{taken} looks, {earned} earned");
    }
}
