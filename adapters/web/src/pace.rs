//! How long the last attempts took, and how many of them failed. Nothing here knows of pages.

use laneway_domain::Timestamp;

/// In how many parts the time between the first attempt and now is cut.
const PARTS: usize = 30;

/// An attempt, as far as its pace is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paced {
    pub(crate) at: Timestamp,
    /// How long it took, in microseconds.
    pub(crate) took_us: u64,
    pub(crate) failed: bool,
}

/// What the last attempts were like, the oldest part first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pace {
    /// When the first of them ended.
    pub(crate) since: Timestamp,
    pub(crate) attempts: usize,
    pub(crate) failed: usize,
    /// Half of them took no longer, in microseconds; of each part, and of all.
    pub(crate) median: (Vec<Option<f64>>, u64),
    /// 95 of 100 took no longer.
    pub(crate) most: (Vec<Option<f64>>, u64),
    /// How many failed in each part.
    pub(crate) failures: Vec<Option<f64>>,
}

/// The number that so many of a hundred are not above (the nearest rank); 0 of nothing.
fn percentile(sorted: &[u64], hundredths: usize) -> u64 {
    let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[allow(clippy::cast_precision_loss, reason = "it is drawn 50 pixels high")]
fn drawn(number: u64) -> f64 {
    number as f64
}

impl Pace {
    /// Of these attempts, in whatever order they are. `None` of none.
    pub(crate) fn of(attempts: &[Paced], now: Timestamp) -> Option<Self> {
        let since = attempts.iter().map(|attempt| attempt.at).min()?;
        let span = now.since(since).as_millis().max(1);
        let mut parts: Vec<Vec<Paced>> = vec![Vec::new(); PARTS];
        for attempt in attempts {
            // What is told to have ended after now, by another clock, is of now.
            let along = attempt.at.since(since).as_millis() * PARTS as u128 / span;
            parts[usize::try_from(along).unwrap_or(PARTS).min(PARTS - 1)].push(*attempt);
        }
        let sorted = |part: &[Paced]| {
            let mut took: Vec<u64> = part.iter().map(|attempt| attempt.took_us).collect();
            took.sort_unstable();
            took
        };
        let each = |hundredths| -> Vec<Option<f64>> {
            let of = |part: &Vec<Paced>| (!part.is_empty()).then(|| drawn(percentile(&sorted(part), hundredths)));
            parts.iter().map(of).collect()
        };
        let failed_of = |part: &[Paced]| part.iter().filter(|attempt| attempt.failed).count();
        let all = sorted(attempts);
        Some(Self {
            since,
            attempts: attempts.len(),
            failed: failed_of(attempts),
            median: (each(50), percentile(&all, 50)),
            most: (each(95), percentile(&all, 95)),
            failures: parts.iter().map(|part| Some(drawn(failed_of(part) as u64))).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paced(at: u64, took_us: u64, failed: bool) -> Paced {
        Paced { at: Timestamp::from_millis(at), took_us, failed }
    }

    #[test]
    fn percentiles_are_numbers_that_were_there() {
        let sorted: Vec<u64> = (1..=100).collect();
        assert_eq!((percentile(&sorted, 50), percentile(&sorted, 95), percentile(&sorted, 100)), (50, 95, 100));
        assert_eq!((percentile(&[7], 50), percentile(&[7], 95), percentile(&[], 50)), (7, 7, 0));
    }

    #[test]
    fn each_attempt_counts_in_the_part_of_the_time_in_which_it_ended() {
        let now = Timestamp::from_millis(3_000);
        let attempts = [paced(2_950, 30, false), paced(0, 10, false), paced(40, 20, true), paced(3_500, 40, true)];
        let pace = Pace::of(&attempts, now).unwrap();
        assert_eq!((pace.since, pace.attempts, pace.failed), (Timestamp::ZERO, 4, 2));
        assert_eq!((pace.median.1, pace.most.1), (20, 40));
        assert_eq!((pace.median.0[0], pace.median.0[1], pace.median.0[29]), (Some(10.0), None, Some(30.0)));
        assert_eq!(
            (pace.most.0[0], pace.failures[0], pace.failures[1], pace.failures[29]),
            (Some(20.0), Some(1.0), Some(0.0), Some(1.0))
        );
        assert_eq!(Pace::of(&[], now), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(attempts in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 1..50), now: u64) {
            let attempts: Vec<Paced> = attempts.into_iter().map(|(at, took, failed)| paced(at, took, failed)).collect();
            let pace = Pace::of(&attempts, Timestamp::from_millis(now)).unwrap();
            let failed: f64 = pace.failures.iter().flatten().sum();
            prop_assert_eq!(failed as usize, attempts.iter().filter(|attempt| attempt.failed).count());
            prop_assert!(pace.median.1 <= pace.most.1);
            prop_assert_eq!(pace.median.0.len(), PARTS);
        }
    }
}
