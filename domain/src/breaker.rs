//! The breaker: tells an outage of the destination from events that fail by themselves.

use crate::lane_key::LaneKey;
use crate::partition::Partition;
use crate::retry::RetryPolicy;
use crate::retry::jittered;
use crate::time::Timestamp;
use std::time::Duration;

/// Different keys that must have failed before failures count as an outage: one poisoned key, or
/// two, run into their own retry limits instead. What is ordered by itself or as a whole lane is another
/// key in each partition.
pub const MIN_FAILING_KEYS: usize = 3;

/// When failures of a destination count as an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row, with no success between, that open the breaker.
    pub failures: u32,
    /// How long it may stay open before the destination is paused.
    pub limit: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures: 10, limit: Duration::from_secs(72 * 3600) }
    }
}

/// What the breaker lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing until `next_probe`, then one attempt at a time.
    Open {
        /// Since when.
        since: Timestamp,
        /// When the next probe may go.
        next_probe: Timestamp,
        /// Probes that failed so far.
        probes: u32,
        /// Whether a probe is under way.
        probing: bool,
    },
}

/// What a failure did to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: the failure is the event's own.
    None,
    /// It is an outage of the destination, and the event's retries are not spent by it.
    Outage,
    /// This failure opened the breaker. (The event's retry was spent: until now it looked like its own.)
    Opened,
    /// The outage has lasted for the limit: the destination is to be paused.
    Exhausted,
}

/// One destination's breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: Option<BreakerPolicy>,
    state: BreakerState,
    in_a_row: u32,
    /// The first few different keys of the failures in a row.
    keys: Vec<(Partition, LaneKey)>,
    /// Until when the destination asked to be left alone, in the failures in a row (Retry-After). It holds for
    /// the probes of an open breaker, and never stops other keys while the breaker is closed.
    asked_until: Timestamp,
}

impl Breaker {
    /// A closed breaker; without a policy it stays closed.
    #[must_use]
    pub const fn new(policy: Option<BreakerPolicy>) -> Self {
        Self { policy, state: BreakerState::Closed, in_a_row: 0, keys: Vec::new(), asked_until: Timestamp::ZERO }
    }

    /// What it lets through now.
    #[must_use]
    pub const fn state(&self) -> &BreakerState {
        &self.state
    }

    /// Takes over a changed policy. Without one the breaker closes.
    pub fn set_policy(&mut self, policy: Option<BreakerPolicy>) {
        self.policy = policy;
        if policy.is_none() {
            self.succeeded();
        }
    }

    /// Whether an attempt may start now.
    #[must_use]
    pub fn admits(&self, now: Timestamp) -> bool {
        match self.state {
            BreakerState::Closed => true,
            BreakerState::Open { next_probe, probing, .. } => !probing && now >= next_probe,
        }
    }

    /// Whether it is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, BreakerState::Open { .. })
    }

    /// When it will admit an attempt, if it does not now and no answer is awaited.
    #[must_use]
    pub const fn next_probe(&self) -> Option<Timestamp> {
        match self.state {
            BreakerState::Open { next_probe, probing: false, .. } => Some(next_probe),
            _ => None,
        }
    }

    /// An attempt starts. Returns whether it is a probe.
    ///
    /// # Panics
    /// If the breaker does not admit it.
    pub fn started(&mut self, now: Timestamp) -> bool {
        assert!(self.admits(now), "an attempt started although the breaker is open");
        match &mut self.state {
            BreakerState::Closed => false,
            BreakerState::Open { probing, .. } => {
                *probing = true;
                true
            }
        }
    }

    /// An attempt got through: the destination is there.
    pub fn succeeded(&mut self) {
        self.state = BreakerState::Closed;
        self.in_a_row = 0;
        self.keys.clear();
        self.asked_until = Timestamp::ZERO;
    }

    /// An attempt at events of `keys`, each of a partition, failed in a way that may be the destination's fault. `probe`
    /// is what [`Breaker::started`] said of it; `asked` is how long the destination asked to be left alone, and
    /// is honoured up to the retry limit, as for events; `random` spreads the probes of many workers.
    pub fn failed<'a>(
        &mut self,
        keys: impl IntoIterator<Item = (Partition, &'a LaneKey)>,
        probe: bool,
        asked: Option<Duration>,
        retry: &RetryPolicy,
        now: Timestamp,
        random: u64,
    ) -> Effect {
        let Some(policy) = self.policy else { return Effect::None };
        if let Some(asked) = asked {
            self.asked_until = self.asked_until.max(now.after(asked.min(retry.limit)));
        }
        let asked_until = self.asked_until;
        let delay = |probes| jittered(retry.endless_delay(probes), retry.jitter, random);
        match &mut self.state {
            // One that was in flight when the breaker opened: part of the same outage.
            BreakerState::Open { next_probe, .. } if !probe => {
                *next_probe = (*next_probe).max(asked_until);
                Effect::Outage
            }
            BreakerState::Open { since, next_probe, probes, probing } => {
                *probes = probes.saturating_add(1);
                *probing = false;
                *next_probe = now.after(delay(*probes)).max(asked_until);
                if now.since(*since) >= policy.limit { Effect::Exhausted } else { Effect::Outage }
            }
            BreakerState::Closed => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                for (partition, key) in keys {
                    let is_known = self.keys.iter().any(|known| known.0 == partition && known.1 == *key);
                    if self.keys.len() < MIN_FAILING_KEYS && !is_known {
                        self.keys.push((partition, key.clone()));
                    }
                }
                if self.in_a_row < policy.failures || self.keys.len() < MIN_FAILING_KEYS {
                    return Effect::None;
                }
                let next_probe = now.after(delay(1)).max(asked_until);
                self.state = BreakerState::Open { since: now, next_probe, probes: 0, probing: false };
                Effect::Opened
            }
        }
    }

    /// A probe ended without saying anything about the destination, and the next may go at `at`.
    pub fn postponed(&mut self, at: Timestamp) {
        if let BreakerState::Open { next_probe, .. } = &mut self.state {
            *next_probe = (*next_probe).max(at);
        }
        self.abandoned();
    }

    /// A probe ended without saying anything about the destination.
    pub const fn abandoned(&mut self) {
        if let BreakerState::Open { probing, .. } = &mut self.state {
            *probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offset;
    use proptest::prelude::*;

    const P: Partition = Partition(0);

    fn key(n: u64) -> LaneKey {
        LaneKey::Event(Offset(n))
    }

    fn opened(now: Timestamp) -> Breaker {
        let mut breaker = Breaker::new(Some(BreakerPolicy::default()));
        for n in 0..10 {
            breaker.failed([(P, &key(n))], false, None, &RetryPolicy::default(), now, 0);
        }
        assert!(breaker.is_open());
        breaker
    }

    #[test]
    fn a_changed_policy_holds_from_the_next_failure_on() {
        let now = Timestamp::from_millis(1);
        let mut breaker = opened(now);
        breaker.set_policy(None);
        assert!(!breaker.is_open(), "without a policy it is closed");
        let fail =
            |breaker: &mut Breaker, n| breaker.failed([(P, &key(n))], false, None, &RetryPolicy::default(), now, 0);
        for n in 0..100 {
            assert_eq!(fail(&mut breaker, n), Effect::None, "and stays so");
        }
        breaker.set_policy(Some(BreakerPolicy { failures: 4, ..BreakerPolicy::default() }));
        let effects: Vec<Effect> = (0..4).map(|n| fail(&mut breaker, n)).collect();
        assert_eq!(effects, [Effect::None, Effect::None, Effect::None, Effect::Opened]);
        breaker.set_policy(Some(BreakerPolicy::default()));
        assert!(breaker.is_open(), "another policy is no answer of the destination");
    }

    #[test]
    fn a_lone_poisoned_event_never_opens_it() {
        let mut breaker = Breaker::new(Some(BreakerPolicy::default()));
        for n in 0..1000 {
            let effect = breaker.failed([(P, &key(n % 2))], false, None, &RetryPolicy::default(), Timestamp::ZERO, n);
            assert_eq!(effect, Effect::None);
        }
    }

    #[test]
    fn keys_that_only_their_partitions_tell_apart_are_different_ones() {
        for key in [LaneKey::All, key(7)] {
            for partitions in 1..=4 {
                let mut breaker = Breaker::new(Some(BreakerPolicy::default()));
                for n in 0..40 {
                    let keys = [(Partition(n % partitions), &key)];
                    breaker.failed(keys, false, None, &RetryPolicy::default(), Timestamp::ZERO, 0);
                }
                assert_eq!(breaker.is_open(), partitions >= 3, "{key} of {partitions} partitions");
            }
        }
    }

    #[test]
    fn one_success_between_starts_the_count_again() {
        let mut breaker = Breaker::new(Some(BreakerPolicy::default()));
        for n in 0..100 {
            if n % 9 == 8 {
                breaker.succeeded();
            }
            breaker.failed([(P, &key(n))], false, None, &RetryPolicy::default(), Timestamp::ZERO, n);
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn an_open_breaker_lets_one_probe_through_at_a_time() {
        let mut now = Timestamp::from_millis(1);
        let mut breaker = opened(now);
        assert!(!breaker.admits(now));
        now = breaker.next_probe().unwrap();
        assert!(breaker.started(now));
        assert!(!breaker.admits(now));
        assert_eq!(breaker.failed([(P, &key(1))], true, None, &RetryPolicy::default(), now, 0), Effect::Outage);
        assert!(breaker.next_probe().unwrap() > now);
        now = breaker.next_probe().unwrap();
        breaker.started(now);
        breaker.succeeded();
        assert!(breaker.admits(now));
    }

    #[test]
    fn one_that_was_in_flight_when_it_opened_neither_ends_a_probe_nor_puts_it_off() {
        let now = Timestamp::from_millis(1);
        let mut breaker = opened(now);
        let probe = breaker.next_probe().unwrap();
        let late = |breaker: &mut Breaker| {
            let at = now.after(Duration::from_secs(1));
            breaker.failed([(P, &key(3))], false, None, &RetryPolicy::default(), at, 0)
        };
        assert_eq!(late(&mut breaker), Effect::Outage);
        assert_eq!(breaker.next_probe(), Some(probe));
        breaker.started(probe);
        assert_eq!(late(&mut breaker), Effect::Outage);
        assert_eq!(breaker.next_probe(), None, "the probe's answer is awaited still");
    }

    #[test]
    fn no_more_keys_are_remembered_than_are_needed() {
        let mut breaker = Breaker::new(Some(BreakerPolicy { failures: 100, ..BreakerPolicy::default() }));
        for n in 0..50 {
            breaker.failed([(P, &key(n))], false, None, &RetryPolicy::default(), Timestamp::ZERO, 0);
        }
        assert_eq!(breaker.keys.len(), MIN_FAILING_KEYS);
    }

    /// Otherwise one probe whose worker could not send it would be the last one.
    #[test]
    fn a_probe_that_says_nothing_makes_room_for_the_next() {
        let mut breaker = opened(Timestamp::from_millis(1));
        let probe = breaker.next_probe().unwrap();
        breaker.started(probe);
        assert_eq!(breaker.next_probe(), None, "its answer is awaited");
        breaker.abandoned();
        assert_eq!(breaker.next_probe(), Some(probe), "as soon as before");
        breaker.started(probe);
        let later = probe.after(Duration::from_secs(5));
        breaker.postponed(later);
        assert_eq!(breaker.next_probe(), Some(later));
        breaker.started(later);
        breaker.postponed(probe);
        assert_eq!(breaker.next_probe(), Some(later), "never earlier than somebody else was told");
    }

    #[test]
    fn a_probe_waits_as_long_as_the_destination_asked_up_to_the_retry_limit() {
        let retry = RetryPolicy::default();
        let (now, asked) = (Timestamp::from_millis(1), Some(Duration::from_secs(8)));
        let mut breaker = Breaker::new(Some(BreakerPolicy::default()));
        for n in 0..10 {
            assert!(breaker.admits(now), "it never stops other keys while it is closed");
            breaker.failed([(P, &key(n))], false, if n == 4 { asked } else { None }, &retry, now, 0);
        }
        assert_eq!(breaker.next_probe(), Some(now.after(Duration::from_secs(8))));
        // One that was in flight asks for more, and a probe for more than is granted.
        breaker.failed([(P, &key(1))], false, Some(Duration::from_secs(20)), &retry, now, 0);
        let probe = now.after(Duration::from_secs(20));
        assert_eq!(breaker.next_probe(), Some(probe));
        breaker.started(probe);
        breaker.failed([(P, &key(1))], true, Some(Duration::from_secs(1 << 20)), &retry, probe, 0);
        assert_eq!(breaker.next_probe(), Some(probe.after(retry.limit)));
        // A success makes it forget.
        breaker.succeeded();
        for n in 0..10 {
            breaker.failed([(P, &key(n))], false, None, &retry, probe, 0);
        }
        assert!(breaker.next_probe().unwrap() < probe.after(Duration::from_secs(2)));
    }

    /// How long an event is tried is no reason to look for its destination less often.
    #[test]
    fn probes_go_on_at_their_pace_when_the_retries_of_an_event_would_have_ended() {
        let every = Duration::from_secs(10);
        let retry =
            RetryPolicy { initial: every, factor: 1.0, total: Some(3 * every), jitter: 0.0, ..RetryPolicy::default() };
        let mut now = Timestamp::from_millis(1);
        let mut breaker = Breaker::new(Some(BreakerPolicy::default()));
        for n in 0..10 {
            breaker.failed([(P, &key(n))], false, None, &retry, now, 0);
        }
        for probe in 0..20 {
            assert_eq!(breaker.next_probe(), Some(now.after(every)), "probe {probe}");
            now = now.after(every);
            breaker.started(now);
            breaker.failed([(P, &key(1))], true, None, &retry, now, 0);
        }
    }

    #[test]
    fn an_outage_as_long_as_the_limit_exhausts_it() {
        let mut now = Timestamp::from_millis(1);
        let mut breaker = opened(now);
        let mut last = Effect::None;
        while last != Effect::Exhausted {
            assert!(now.since(Timestamp::ZERO) < Duration::from_secs(80 * 3600));
            now = breaker.next_probe().unwrap();
            breaker.started(now);
            last = breaker.failed([(P, &key(1))], true, None, &RetryPolicy::default(), now, 7);
        }
        assert!(now.since(Timestamp::ZERO) >= Duration::from_secs(72 * 3600));
    }

    proptest! {
        #[test]
        fn it_opens_exactly_at_the_count_from_three_keys(keys in prop::collection::vec(0_u64..6, 1..40), failures in 1_u32..15) {
            let policy = BreakerPolicy { failures, ..BreakerPolicy::default() };
            let mut breaker = Breaker::new(Some(policy));
            for (n, k) in keys.iter().enumerate() {
                breaker.failed([(P, &key(*k))], false, None, &RetryPolicy::default(), Timestamp::ZERO, 0);
                let mut distinct = keys[..=n].to_vec();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(breaker.is_open(), n + 1 >= failures as usize && distinct.len() >= MIN_FAILING_KEYS);
                if breaker.is_open() {
                    break;
                }
            }
        }
    }
}
