//! The gate of one destination: how many attempts may be in flight, how fast, and whether at all.
//! It stands before the lanes of all partitions, because a destination's limits count per worker
//! process.

use crate::breaker::Breaker;
use crate::destination::{Destination, Rate};
use crate::partition::Partition;
use crate::progress::Pause;
use crate::recent::Recent;
use crate::time::Timestamp;
use crate::way::Way;
use std::collections::VecDeque;
use std::time::Duration;

/// Whether an attempt may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Now.
    Now,
    /// At that moment, if nothing changes.
    At(Timestamp),
    /// When something changes: an attempt ends, or the operator resumes the destination.
    Later,
}

/// A destination's limits and breaker, and the lanes that wait to pass.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) destination: Destination,
    pub(crate) breaker: Breaker,
    /// Why Laneway itself has paused the destination.
    pub(crate) pause: Option<Pause>,
    pub(crate) in_flight: u32,
    /// Deliveries, as an operator wants to see their rate.
    pub(crate) delivered: Recent,
    /// Attempts that failed, likewise: one of each event that was tried.
    pub(crate) failed: Recent,
    /// Lanes that have events in hand, each once; served in turn.
    pub(crate) waiting: VecDeque<(Partition, Way)>,
    /// The timer that is set for this gate.
    pub(crate) timer: Option<Timestamp>,
    bucket: Option<TokenBucket>,
}

impl Gate {
    pub(crate) fn new(destination: Destination) -> Self {
        Self {
            breaker: Breaker::new(destination.breaker),
            bucket: destination.rate.map(TokenBucket::new),
            destination,
            pause: None,
            in_flight: 0,
            delivered: Recent::default(),
            failed: Recent::default(),
            waiting: VecDeque::new(),
            timer: None,
        }
    }

    /// Takes over a changed configuration; what is in flight stays counted.
    pub(crate) fn reconfigure(&mut self, destination: Destination) {
        self.breaker.set_policy(destination.breaker);
        if destination.target_since != self.destination.target_since {
            self.resume();
        }
        if destination.rate != self.destination.rate {
            self.bucket = destination.rate.map(TokenBucket::new);
        }
        self.destination = destination;
    }

    pub(crate) const fn is_paused(&self) -> bool {
        self.destination.paused.is_some() || self.pause.is_some()
    }

    /// Ends a pause that Laneway has made, and closes the breaker. Whether there was anything to end.
    pub(crate) fn resume(&mut self) -> bool {
        let was_stopped = self.pause.take().is_some() || self.breaker.is_open();
        self.breaker.succeeded();
        was_stopped
    }

    pub(crate) fn admission(&mut self, now: Timestamp) -> Admission {
        if self.is_paused() || self.in_flight >= self.destination.max_in_flight.get() {
            return Admission::Later;
        }
        if !self.breaker.admits(now) {
            return self.breaker.next_probe().map_or(Admission::Later, Admission::At);
        }
        match self.bucket.as_mut().and_then(|bucket| bucket.next(now)) {
            Some(at) => Admission::At(at),
            None => Admission::Now,
        }
    }

    /// An attempt starts. Returns whether it is the breaker's probe.
    pub(crate) fn started(&mut self, now: Timestamp) -> bool {
        self.in_flight += 1;
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now);
        }
        self.breaker.started(now)
    }
}

/// A token bucket with bursts of one second's worth.
#[derive(Debug)]
struct TokenBucket {
    rate: Rate,
    /// In thousandths of a token, so that a millisecond adds exactly `per_second` of them.
    level: u64,
    filled_at: Option<Timestamp>,
}

impl TokenBucket {
    const TOKEN: u64 = 1000;

    fn new(rate: Rate) -> Self {
        Self { rate, level: Self::capacity(rate), filled_at: None }
    }

    fn capacity(rate: Rate) -> u64 {
        u64::from(rate.per_second.get()) * Self::TOKEN
    }

    fn fill(&mut self, now: Timestamp) {
        let since = self.filled_at.map_or(Duration::ZERO, |at| now.since(at));
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let added = millis.saturating_mul(u64::from(self.rate.per_second.get()));
        self.level = self.level.saturating_add(added).min(Self::capacity(self.rate));
        self.filled_at = Some(now);
    }

    /// When there is a token, if there is none now.
    fn next(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.fill(now);
        let missing = Self::TOKEN.checked_sub(self.level).filter(|missing| *missing > 0)?;
        Some(now.after(Duration::from_millis(missing.div_ceil(u64::from(self.rate.per_second.get())))))
    }

    fn take(&mut self, now: Timestamp) {
        self.fill(now);
        self.level = self.level.saturating_sub(Self::TOKEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    proptest! {
        #[test]
        fn a_rate_is_never_exceeded_over_any_second_but_the_first_burst(per_second in 1_u32..500, gaps in prop::collection::vec(0_u64..400, 1..300)) {
            let mut bucket = TokenBucket::new(Rate { per_second: NonZeroU32::new(per_second).unwrap() });
            let mut now = Timestamp::from_millis(1_000_000);
            let start = now;
            let mut taken = 0_u64;
            for gap in gaps {
                now = now.after(Duration::from_millis(gap));
                match bucket.next(now) {
                    None => {
                        bucket.take(now);
                        taken += 1;
                    }
                    Some(at) => {
                        prop_assert!(at > now);
                        prop_assert_eq!(bucket.next(at), None);
                        now = at;
                    }
                }
                let elapsed = u64::try_from(now.since(start).as_millis()).unwrap();
                prop_assert!(taken <= u64::from(per_second) + elapsed * u64::from(per_second) / 1000 + 1);
            }
        }
    }

    /// Takes tokens until there is none.
    fn burst(bucket: &mut TokenBucket, now: Timestamp) -> u32 {
        let mut taken = 0;
        while bucket.next(now).is_none() {
            bucket.take(now);
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_burst_is_one_seconds_worth_at_first_and_however_long_nothing_came() {
        let mut bucket = TokenBucket::new(Rate { per_second: NonZeroU32::new(7).unwrap() });
        let now = Timestamp::from_millis(1_000_000);
        assert_eq!(burst(&mut bucket, now), 7);
        assert_eq!(burst(&mut bucket, now.after(Duration::from_millis(500))), 3);
        assert_eq!(burst(&mut bucket, now.after(Duration::from_secs(3_600))), 7);
    }
}
