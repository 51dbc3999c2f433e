//! How many things have happened lately, in three numbers whatever their rate.

use crate::time::Timestamp;
use std::time::Duration;

/// How long "lately" is: long enough for a steady number, short enough to follow a drain.
pub const RECENTLY: Duration = Duration::from_secs(10);

/// Counts over a window that slides. Of the window before the present one it takes the share that has not slid out
/// yet, as if what happened there had been spread evenly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recent {
    began: Timestamp,
    current: u64,
    before: u64,
}

impl Recent {
    /// So many more have happened.
    pub(crate) fn add(&mut self, count: u64, now: Timestamp) {
        self.advance(now);
        self.current = self.current.saturating_add(count);
    }

    /// About how many have happened within [`RECENTLY`] before `now`.
    pub(crate) fn count(&self, now: Timestamp) -> u64 {
        let mut at_now = self.clone();
        at_now.advance(now);
        let (past, window) = (now.since(at_now.began).as_millis(), RECENTLY.as_millis());
        let still = u128::from(at_now.before) * window.saturating_sub(past) / window;
        at_now.current.saturating_add(u64::try_from(still).unwrap_or(u64::MAX))
    }

    fn advance(&mut self, now: Timestamp) {
        let past = now.since(self.began);
        if past < RECENTLY {
            return;
        }
        self.before = if past < RECENTLY * 2 { self.current } else { 0 };
        let began = if past < RECENTLY * 2 { self.began.after(RECENTLY) } else { now };
        (self.began, self.current) = (began, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_steady_rate_is_counted_exactly_and_a_stop_is_seen_within_two_windows() {
        let mut recent = Recent::default();
        let mut now = Timestamp::from_millis(1_000_000);
        for _ in 0..1000 {
            recent.add(5, now);
            now = now.after(Duration::from_millis(100));
        }
        assert!((495..=505).contains(&recent.count(now)), "{}", recent.count(now));
        assert_eq!(recent.count(now.after(RECENTLY * 2)), 0);
        assert_eq!(Recent::default().count(now), 0);
    }

    #[test]
    fn what_is_in_the_window_before_slides_out_evenly_and_is_gone_after_it() {
        let start = Timestamp::from_millis(1_000_000);
        let at = |millis: u64| start.after(Duration::from_millis(millis));
        for (added, asked_at, expected) in [
            (&[(100, 0)][..], 9_999, 100),
            (&[(100, 0)], 10_000, 100),
            (&[(100, 0)], 12_500, 75),
            (&[(100, 0)], 19_999, 0),
            (&[(100, 0)], 20_000, 0),
            // A window ends with its last millisecond: what comes after it is of the next.
            (&[(100, 0), (40, 10_000)], 12_500, 75 + 40),
            // The windows follow each other, whenever it was that something happened in them.
            (&[(100, 0), (40, 12_500)], 12_500, 75 + 40),
            (&[(100, 0), (40, 12_500)], 25_000, 20),
            // After a pause the next begins with what ends it.
            (&[(100, 0), (60, 20_000)], 30_000, 60),
            (&[(100, 0), (60, 25_000)], 34_999, 60),
        ] {
            let mut recent = Recent::default();
            for (count, millis) in added {
                recent.add(*count, at(*millis));
            }
            assert_eq!(recent.count(at(asked_at)), expected, "{added:?} at {asked_at}");
        }
    }

    proptest! {
        #[test]
        fn it_never_counts_what_is_two_windows_old_nor_misses_the_present(
            steps in prop::collection::vec((0_u64..4_000, 0_u64..50), 1..200),
        ) {
            let mut recent = Recent::default();
            let mut now = Timestamp::from_millis(1_000_000);
            let mut all = Vec::new();
            for (wait, count) in steps {
                now = now.after(Duration::from_millis(wait));
                recent.add(count, now);
                all.push((now, count));
                let within = |window: Duration| -> u64 {
                    all.iter().filter(|(at, _)| now.since(*at) < window).map(|(_, count)| count).sum()
                };
                prop_assert!(recent.count(now) <= within(RECENTLY * 2));
                prop_assert!(recent.count(now) >= count);
            }
        }
    }
}
