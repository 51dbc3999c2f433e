//! How what waits for each destination has changed over the last minutes, and when it will have caught up.

use crate::destination::DestinationName;
use crate::partition::Partition;
use crate::status::StatusReport;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a window is: what is told is the change over one to two of them, long enough for a retry here and there not
/// to count, and short enough to follow an outage's end.
const WINDOW: Duration = Duration::from_secs(60);
/// After how long something can be said at all.
const FIRST: Duration = Duration::from_secs(10);

/// What waited at a moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Timestamp,
    pending: u64,
}

/// What waited when this window began, and when the one before did.
#[derive(Clone, Copy, Debug)]
struct Windows {
    current: Sample,
    before: Option<Sample>,
}

/// Follows how much waits. Of a destination that nothing waits for nothing is remembered.
#[derive(Debug, Default)]
pub struct Lags {
    partitions: Vec<Partition>,
    windows: BTreeMap<DestinationName, Windows>,
}

impl Lags {
    /// Takes a report of one worker in, as one is made every few seconds.
    pub fn note(&mut self, report: &StatusReport) {
        if self.partitions != report.partitions {
            // Partitions that come or go bring and take what waits in them.
            self.windows.clear();
            self.partitions.clone_from(&report.partitions);
        }
        let mut windows = std::mem::take(&mut self.windows);
        for destination in report.destinations.iter().filter(|destination| destination.pending > 0) {
            let sample = Sample { at: report.at, pending: destination.pending };
            let now = match windows.remove(&destination.name) {
                Some(known) if report.at.since(known.current.at) < WINDOW => known,
                Some(known) => Windows { current: sample, before: Some(known.current) },
                None => Windows { current: sample, before: None },
            };
            self.windows.insert(destination.name.clone(), now);
        }
    }

    /// Adds to a report of the same worker how what waits has changed.
    pub fn tell(&self, report: &mut StatusReport) {
        if self.partitions != report.partitions {
            return;
        }
        for destination in report.destinations.iter_mut().filter(|destination| destination.pending > 0) {
            let Some(windows) = self.windows.get(&destination.name) else { continue };
            let since = windows.before.unwrap_or(windows.current);
            let past = report.at.since(since.at);
            if past >= FIRST {
                let change = i128::from(destination.pending) - i128::from(since.pending);
                let millis = i128::try_from(past.as_millis()).unwrap_or(i128::MAX);
                // Rounded down, so that what falls slowly falls, and what grows is not told to stand still.
                let a_minute = (change * 60_000).div_euclid(millis);
                destination.set_pending_change(i64::try_from(a_minute).unwrap_or(i64::MAX));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::DestinationStatus;
    use proptest::prelude::*;

    fn report(at: u64, pending: u64) -> StatusReport {
        let name = DestinationName::new("billing").unwrap();
        let destination = DestinationStatus { pending, ..DestinationStatus::idle(name, true) };
        let at = Timestamp::from_millis(1_000_000 + at);
        StatusReport { at, partitions: vec![Partition(0)], destinations: vec![destination], ..StatusReport::default() }
    }

    /// What is told of a destination for which so much waits at these moments, of the last one.
    fn told(samples: &[(u64, u64)]) -> (Option<i64>, Option<u64>) {
        let mut lags = Lags::default();
        for (at, pending) in samples {
            lags.note(&report(*at, *pending));
        }
        let (at, pending) = *samples.last().unwrap();
        let mut last = report(at, pending);
        lags.tell(&mut last);
        let destination = &last.destinations[0];
        (destination.pending_change_per_minute, destination.caught_up_in_seconds)
    }

    #[test]
    fn what_falls_has_an_end_and_what_grows_or_stands_still_has_none() {
        let steady = |from: i64, by: i64| -> Vec<(u64, u64)> {
            (0..40).map(|n| (n * 5_000, u64::try_from(from + by * i64::try_from(n).unwrap()).unwrap())).collect()
        };
        // 100 fewer every 5 s: 1,200 a minute, and 6,100 are left.
        assert_eq!(told(&steady(10_000, -100)), (Some(-1200), Some(305)));
        assert_eq!(told(&steady(1_000, 7)), (Some(84), None));
        assert_eq!(told(&steady(1_000, 0)), (Some(0), None));
        assert_eq!(told(&[(0, 1_000), (5_000, 10)]), (None, None), "too early to tell");
        assert_eq!(told(&[(0, 1_000), (60_000, 0)]), (None, None), "nothing waits");
        // One by one, for hours.
        assert_eq!(told(&[(0, 1_000), (59_999, 999)]), (Some(-2), Some(29_970)));
    }

    #[test]
    fn a_window_ends_after_a_minute() {
        assert_eq!(told(&[(0, 1_000), (60_000, 400), (120_000, 100)]), (Some(-300), Some(20)));
    }

    #[test]
    fn where_nothing_waits_nothing_is_remembered_and_nothing_told() {
        assert_eq!(told(&[(0, 0), (15_000, 100)]), (None, None), "it began to wait just now");
        let mut lags = Lags::default();
        lags.note(&report(0, 1_000));
        let mut emptied = report(20_000, 0);
        lags.tell(&mut emptied);
        assert_eq!(emptied.destinations[0].pending_change_per_minute, None);
    }

    #[test]
    fn a_partition_that_comes_or_goes_is_no_trend() {
        let mut lags = Lags::default();
        lags.note(&report(0, 1_000));
        lags.note(&report(30_000, 900));
        let mut more = report(35_000, 5_000);
        more.partitions.push(Partition(1));
        lags.tell(&mut more);
        assert_eq!(more.destinations[0].pending_change_per_minute, None);
        lags.note(&more);
        let mut later = StatusReport { partitions: more.partitions, ..report(50_000, 4_000) };
        lags.tell(&mut later);
        assert_eq!(later.destinations[0].pending_change_per_minute, Some(-4_000));
    }

    proptest! {
        /// Whatever happened longer ago than two windows, a steady rate since then is told as it is.
        #[test]
        fn a_steady_rate_is_told_as_it_is(
            before in prop::collection::vec((1_000_u64..20_000, 1_u64..1_000_000), 0..20),
            step in 1_000_u64..10_000, by in 1_u64..1_000,
        ) {
            let mut samples = Vec::new();
            let mut now = 0;
            for (wait, pending) in before {
                now += wait;
                samples.push((now, pending));
            }
            let steps = 130_000 / step + 2;
            for n in 0..steps {
                now += step;
                samples.push((now, 2_000_000 - n * by));
            }
            let (a_minute, seconds) = told(&samples);
            let expected = -i64::try_from(by * 60_000 / step).unwrap();
            prop_assert!(a_minute.is_some_and(|told| (told - expected).abs() <= 2), "{:?} {}", a_minute, expected);
            let left = 2_000_000 - (steps - 1) * by;
            let exact = left * step / by / 1000;
            // A rate of whole events a minute is up to one of them away from the real one.
            let slack = exact / 10 + exact / (by * 60_000 / step).max(1) + 1;
            prop_assert!(seconds.is_some_and(|told| told.abs_diff(exact) <= slack), "{:?} {}", seconds, exact);
        }
    }
}
