//! The gate of one destination: how many attempts may be in flight, how fast, and whether at all.
//! It stands before the lanes of all partitions, because a destination's limits count per worker
//! process.

use crate::breaker::Breaker;
use crate::bucket::{Allowance, TokenBucket};
use crate::destination::{Destination, Rate};
use crate::partition::Partition;
use crate::progress::Pause;
use crate::recent::Recent;
use crate::shares::GroupIndex;
use crate::time::Timestamp;
use crate::way::Way;
use std::collections::VecDeque;
use std::num::NonZeroU64;

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

/// How much of what waits a destination's lanes read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appetite {
    /// As much as there is room for.
    Full,
    /// It is down: as much as they need to have something to probe it with. Of thousands that are down for days each would
    /// else read the whole log through, only to remember what fits.
    ToProbe,
    /// It is paused: nothing.
    None,
}

/// A destination's limits and breaker, and the lanes that wait to pass.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) destination: Destination,
    /// Whose it is.
    pub(crate) group: GroupIndex,
    pub(crate) breaker: Breaker,
    /// Whether the receiver answered the last attempt that said anything of it; not if none has yet.
    pub(crate) answers: bool,
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
    pub(crate) fn new(destination: Destination, group: GroupIndex) -> Self {
        Self {
            group,
            breaker: Breaker::new(destination.breaker),
            answers: false,
            bucket: destination.rate.map(bucket),
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
            self.answers = false;
        }
        if destination.rate != self.destination.rate {
            self.bucket = destination.rate.map(bucket);
        }
        self.destination = destination;
    }

    /// In whose share the places of its attempts count.
    pub(crate) const fn sharing(&self) -> GroupIndex {
        self.group.part(self.answers)
    }

    pub(crate) const fn is_paused(&self) -> bool {
        self.destination.paused.is_some() || self.pause.is_some()
    }

    /// How much of what waits its lanes read now.
    pub(crate) const fn appetite(&self) -> Appetite {
        if self.is_paused() {
            Appetite::None
        } else if self.breaker.is_open() {
            Appetite::ToProbe
        } else {
            Appetite::Full
        }
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
        match self.bucket.as_mut().and_then(|bucket| bucket.next(1, now)) {
            Some(at) => Admission::At(at),
            None => Admission::Now,
        }
    }

    /// An attempt starts. Returns whether it is the breaker's probe.
    pub(crate) fn started(&mut self, now: Timestamp) -> bool {
        self.in_flight += 1;
        if let Some(bucket) = &mut self.bucket {
            bucket.take(1, now);
        }
        self.breaker.started(now)
    }
}

/// With bursts of one second's worth.
fn bucket(rate: Rate) -> TokenBucket {
    let a_second = NonZeroU64::from(rate.per_second);
    TokenBucket::new(Allowance::per_second(a_second, a_second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::DestinationName;
    use crate::lane_key::LaneKey;
    use crate::partition::Offset;
    use crate::retry::RetryPolicy;

    #[test]
    fn resuming_says_whether_anything_was_stopped() {
        let mut gate = Gate::new(Destination::new(DestinationName::new("a").unwrap()), GroupIndex(0));
        assert!(!gate.resume());
        gate.pause = Some(Pause { since: Timestamp::ZERO, reason: "410 Gone".into() });
        assert!(gate.resume() && !gate.is_paused());
        for n in 0..10 {
            let key = LaneKey::Event(Offset(n));
            let keys = [(Partition(0), &key)];
            gate.breaker.failed(keys, false, None, &RetryPolicy::default(), Timestamp::ZERO, 0);
        }
        assert_eq!(gate.appetite(), Appetite::ToProbe);
        assert!(gate.resume());
        assert_eq!(gate.appetite(), Appetite::Full);
        assert!(!gate.resume());
    }
}
