//! The metrics of destinations. They come and go with them: the recorder of the `metrics` crate keeps a series for as
//! long as the process runs, so these have a registry of their own.

use super::metrics::{
    BLOCKED_KEYS, BREAKER_OPEN, CAUGHT_UP_IN, DEAD_LETTERS, DELIVERIES, DELIVERY_SECONDS, END_TO_END_SECONDS,
    EXPIRED_EVENTS, IN_FLIGHT, KEYS_BEHIND, LATENCY_BUCKETS, OLDEST_EVENT, PAUSED, PENDING_EVENTS, help,
};
use laneway_domain::{BreakerStatus, DestinationName, DestinationStatus, Need, StatusReport, Timestamp};
use laneway_ports::DeadLetterCount;
#[cfg(target_os = "linux")]
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const DESTINATION: &str = "destination";
const OUTCOME: &str = "outcome";
/// The outcomes of an attempt, as the label says them.
const OUTCOMES: [&str; 5] = ["delivered", "retry", "rejected", "gone", "not-tried"];
/// The gauges, in the order of [`Gauges::set`].
const GAUGES: [&str; 10] = [
    PENDING_EVENTS,
    IN_FLIGHT,
    BLOCKED_KEYS,
    KEYS_BEHIND,
    BREAKER_OPEN,
    PAUSED,
    DEAD_LETTERS,
    EXPIRED_EVENTS,
    OLDEST_EVENT,
    CAUGHT_UP_IN,
];

/// How many destinations have series of their own. Each has some 60, and a page of 30,000 (3 MB) is as much as
/// Prometheus likes to take every few seconds; the others are one, [`OTHERS`].
const MAX_LABELLED: usize = 500;
/// The label of those that have no series of their own. No destination can be called so.
const OTHERS: &str = "(others)";

/// The metrics of all destinations that this process knows of.
///
/// Of more than 500, those that need a person most have gauges of their own, and counters those that were there
/// first: a counter that moved to another label would fall. What is not told of one by one is told of all others
/// together.
#[derive(Clone)]
pub struct DestinationMetrics(Arc<Families>);

struct Families {
    registry: Registry,
    deliveries: IntCounterVec,
    seconds: HistogramVec,
    end_to_end: HistogramVec,
    gauges: [GaugeVec; GAUGES.len()],
    most: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    destinations: HashMap<DestinationName, Entry>,
    /// How many of them have counters of their own.
    counted: usize,
    /// How many have been forgotten so far.
    forgotten: u64,
}

#[derive(Default)]
struct Entry {
    /// Whether there is a sink that counts. Without one the destination is known by a status only.
    delivers: bool,
    /// Whether its attempts have counters of their own.
    counted: bool,
    /// Its gauges, if it has its own.
    gauges: Option<[Gauge; GAUGES.len()]>,
}

/// What is counted of one destination's attempts, or of those of several.
pub struct Attempts {
    /// By outcome: delivered, retry, rejected, gone, not tried.
    pub outcomes: [IntCounter; OUTCOMES.len()],
    /// How long they take.
    pub seconds: Histogram,
    /// From acceptance to delivery.
    pub end_to_end: Histogram,
}

/// How many had been forgotten when a status was asked for: what has left since is not brought back by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf(u64);

impl DestinationMetrics {
    /// None yet.
    ///
    /// # Errors
    /// If a name or a bucket is wrong, which a test rules out.
    pub fn new() -> Result<Self, String> {
        Self::of_at_most(MAX_LABELLED)
    }

    fn of_at_most(most: usize) -> Result<Self, String> {
        Families::new(most).map(|families| Self(Arc::new(families))).map_err(|error| error.to_string())
    }

    /// Begins to count a destination's attempts, or goes on.
    #[must_use]
    pub fn attempts_of(&self, name: &DestinationName) -> Attempts {
        let families = &*self.0;
        let mut known = families.lock();
        let Known { destinations, counted, .. } = &mut *known;
        let entry = destinations.entry(name.clone()).or_default();
        entry.delivers = true;
        if !entry.counted && *counted < families.most {
            (entry.counted, *counted) = (true, *counted + 1);
        }
        families.attempts(if entry.counted { name.as_str() } else { OTHERS })
    }

    /// The destination is delivered to no longer. What waits for it is told for as long as a status has it.
    pub fn left(&self, name: &DestinationName) {
        if let Some(entry) = self.0.lock().destinations.get_mut(name) {
            entry.delivers = false;
        }
    }

    /// The destination is gone. Attempts that are under way count no more.
    pub fn forget(&self, name: &DestinationName) {
        let mut known = self.0.lock();
        if let Some(entry) = known.destinations.remove(name) {
            known.forgotten += 1;
            known.counted -= usize::from(entry.counted);
            self.0.remove(name, &entry);
        }
    }

    /// To be taken before a status is asked for that [`set`](Self::set) is given.
    #[must_use]
    pub fn as_of(&self) -> AsOf {
        AsOf(self.0.lock().forgotten)
    }

    /// Sets the gauges, and forgets what is neither in the status nor delivered to.
    pub fn set(&self, as_of: AsOf, report: &StatusReport, dead_letters: &[DeadLetterCount]) {
        let dead: HashMap<&DestinationName, u64> =
            dead_letters.iter().map(|count| (&count.destination, count.count)).collect();
        let dead = |name: &DestinationName| dead.get(name).copied().unwrap_or_default();
        let families = &*self.0;
        let in_trouble = in_most_trouble(report, dead, families.most);
        let mut known = families.lock();
        let may_add = AsOf(known.forgotten) == as_of;
        let mut others: Option<[f64; GAUGES.len()]> = None;
        for (at, destination) in report.destinations.iter().enumerate() {
            let name = &destination.name;
            if may_add && !known.destinations.contains_key(name) {
                known.destinations.insert(name.clone(), Entry::default());
            }
            // What is not known has left since the status was asked for.
            let Some(entry) = known.destinations.get_mut(name) else { continue };
            let values = values(report.at, destination, dead(name));
            if in_trouble.as_ref().is_none_or(|shown| shown.contains(&at)) {
                let gauges = entry.gauges.get_or_insert_with(|| families.gauges_of(name.as_str()));
                gauges.iter().zip(values).for_each(|(gauge, value)| gauge.set(value));
            } else {
                if entry.gauges.take().is_some() {
                    families.remove_gauges(name.as_str());
                }
                others = Some(others.map_or(values, |others| together(others, values)));
            }
        }
        match others {
            Some(values) => {
                families.gauges_of(OTHERS).iter().zip(values).for_each(|(gauge, value)| gauge.set(value));
            }
            None => families.remove_gauges(OTHERS),
        }
        if known.destinations.values().all(|entry| entry.delivers) {
            return; // All of them stay.
        }
        let names: BTreeSet<&DestinationName> = report.destinations.iter().map(|known| &known.name).collect();
        let Known { destinations, counted, .. } = &mut *known;
        destinations.retain(|name, entry| {
            let stays = entry.delivers || names.contains(name);
            if !stays {
                *counted -= usize::from(entry.counted);
                families.remove(name, entry);
            }
            stays
        });
    }

    /// The metrics, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.0.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics of destinations could not be written; please report this");
            String::new()
        })
    }
}

/// Which of the destinations need a person most, by their place in the report; `None` if there are no more than `most`.
fn in_most_trouble(
    report: &StatusReport,
    dead: impl Fn(&DestinationName) -> u64,
    most: usize,
) -> Option<HashSet<usize>> {
    if report.destinations.len() <= most {
        return None;
    }
    let trouble = |at: usize| {
        let status = &report.destinations[at];
        let need = Need::of(status, dead(&status.name), report.at);
        // Of those that stay, the same ones are told of every time.
        (need, Reverse(status.lag(report.at)), Reverse(status.pending), at)
    };
    let mut all: Vec<_> = (0..report.destinations.len()).map(trouble).collect();
    all.select_nth_unstable(most);
    Some(all[..most].iter().map(|(.., at)| *at).collect())
}

/// The values of a destination's gauges.
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn values(now: Timestamp, status: &DestinationStatus, dead: u64) -> [f64; GAUGES.len()] {
    let flag = |on: bool| f64::from(u8::from(on));
    [
        status.pending as f64,
        status.in_flight as f64,
        status.blocked_keys as f64,
        status.keys_behind as f64,
        flag(status.breaker != BreakerStatus::Closed),
        flag(status.paused.is_some()),
        dead as f64,
        status.expired as f64,
        age(now, status),
        caught_up_in(status),
    ]
}

/// The values of two destinations together: how many, and of ages the worst.
fn together(one: [f64; GAUGES.len()], other: [f64; GAUGES.len()]) -> [f64; GAUGES.len()] {
    std::array::from_fn(|at| match GAUGES[at] {
        OLDEST_EVENT | CAUGHT_UP_IN => one[at].max(other[at]),
        _ => one[at] + other[at],
    })
}

/// Seconds since the oldest event that waits was accepted; not a number if it was not found out.
fn age(now: Timestamp, status: &DestinationStatus) -> f64 {
    match status.oldest_accepted_at {
        _ if status.pending == 0 => 0.0,
        Some(accepted_at) => now.since(accepted_at).as_secs_f64(),
        None => f64::NAN,
    }
}

/// Seconds until nothing waits any more; infinite if that does not come, not a number while it is not known.
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn caught_up_in(status: &DestinationStatus) -> f64 {
    match (status.caught_up_in_seconds, status.pending_change_per_minute) {
        _ if status.pending == 0 => 0.0,
        (Some(seconds), _) => seconds as f64,
        (None, Some(_)) => f64::INFINITY,
        (None, None) => f64::NAN,
    }
}

impl Families {
    fn new(most: usize) -> Result<Self, Error> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let deliveries = IntCounterVec::new(Opts::new(DELIVERIES, help(DELIVERIES)), &[DESTINATION, OUTCOME])?;
        registry.register(Box::new(deliveries.clone()))?;
        let latency = |name: &str| {
            let options = HistogramOpts::new(name, help(name)).buckets(LATENCY_BUCKETS.to_vec());
            let family = HistogramVec::new(options, &[DESTINATION])?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, Error>(family)
        };
        let (seconds, end_to_end) = (latency(DELIVERY_SECONDS)?, latency(END_TO_END_SECONDS)?);
        let mut gauges = Vec::new();
        for name in GAUGES {
            let family = GaugeVec::new(Opts::new(name, help(name)), &[DESTINATION])?;
            registry.register(Box::new(family.clone()))?;
            gauges.push(family);
        }
        let Ok(gauges) = gauges.try_into() else { unreachable!("one was made for each name") };
        Ok(Self { registry, deliveries, seconds, end_to_end, gauges, most, known: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempts(&self, label: &str) -> Attempts {
        Attempts {
            outcomes: OUTCOMES.map(|outcome| self.deliveries.with_label_values(&[label, outcome])),
            seconds: self.seconds.with_label_values(&[label]),
            end_to_end: self.end_to_end.with_label_values(&[label]),
        }
    }

    fn gauges_of(&self, label: &str) -> [Gauge; GAUGES.len()] {
        std::array::from_fn(|at| self.gauges[at].with_label_values(&[label]))
    }

    /// What was not there is no error.
    fn remove_gauges(&self, label: &str) {
        for family in &self.gauges {
            let _ = family.remove_label_values(&[label]);
        }
    }

    /// What was not there, since nothing was counted of it, is no error.
    fn remove(&self, name: &DestinationName, entry: &Entry) {
        let label = &[name.as_str()];
        if entry.counted {
            for outcome in OUTCOMES {
                let _ = self.deliveries.remove_label_values(&[name.as_str(), outcome]);
            }
            let _ = self.seconds.remove_label_values(label);
            let _ = self.end_to_end.remove_label_values(label);
        }
        self.remove_gauges(name.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DestinationName {
        DestinationName::new(text).unwrap()
    }

    fn status(text: &str, pending: u64) -> DestinationStatus {
        DestinationStatus { pending, ..DestinationStatus::idle(name(text), true) }
    }

    fn report(destinations: &[DestinationStatus]) -> StatusReport {
        StatusReport {
            at: Timestamp::from_millis(9_000),
            destinations: destinations.to_vec(),
            ..StatusReport::default()
        }
    }

    /// The lines that name a destination.
    fn series(metrics: &DestinationMetrics, text: &str) -> usize {
        let label = format!("destination=\"{text}\"");
        metrics.render().lines().filter(|line| line.contains(&label)).count()
    }

    #[test]
    fn what_is_counted_and_set_is_on_the_page() {
        let metrics = DestinationMetrics::new().unwrap();
        let attempts = metrics.attempts_of(&name("a"));
        attempts.outcomes[0].inc();
        attempts.seconds.observe(0.0007);
        let dead = [DeadLetterCount { destination: name("a"), count: 2 }];
        metrics.set(metrics.as_of(), &report(&[status("a", 7)]), &dead);
        let page = metrics.render();
        for line in [
            "# TYPE laneway_deliveries_total counter",
            "laneway_deliveries_total{destination=\"a\",outcome=\"delivered\"} 1",
            "laneway_deliveries_total{destination=\"a\",outcome=\"not-tried\"} 0",
            "# TYPE laneway_delivery_seconds histogram",
            "laneway_delivery_seconds_bucket{destination=\"a\",le=\"0.0005\"} 0",
            "laneway_delivery_seconds_bucket{destination=\"a\",le=\"0.001\"} 1",
            "laneway_delivery_seconds_bucket{destination=\"a\",le=\"+Inf\"} 1",
            "laneway_pending_events{destination=\"a\"} 7",
            "laneway_dead_letters{destination=\"a\"} 2",
            "laneway_oldest_event_age_seconds{destination=\"a\"} NaN",
            "laneway_caught_up_in_seconds{destination=\"a\"} NaN",
            "# HELP laneway_pending_events Events not settled yet; label destination.",
        ] {
            assert!(page.lines().any(|known| known == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn a_destination_that_is_gone_leaves_no_series() {
        let metrics = DestinationMetrics::new().unwrap();
        let held = metrics.attempts_of(&name("a"));
        let before = metrics.as_of();
        metrics.set(before, &report(&[status("a", 1)]), &[]);
        assert!(series(&metrics, "a") > 40);
        metrics.forget(&name("a"));
        held.outcomes[0].inc();
        assert_eq!(series(&metrics, "a"), 0);
        // A status that was asked for before does not bring it back; a new one of another destination does come.
        metrics.set(before, &report(&[status("a", 1)]), &[]);
        assert_eq!(series(&metrics, "a"), 0);
        metrics.set(metrics.as_of(), &report(&[status("b", 1)]), &[]);
        assert_eq!(series(&metrics, "b"), GAUGES.len());
        // Made again, it counts from nothing.
        metrics.attempts_of(&name("a")).outcomes[0].inc();
        assert!(metrics.render().contains("laneway_deliveries_total{destination=\"a\",outcome=\"delivered\"} 1"));
    }

    #[test]
    fn one_that_left_is_told_of_for_as_long_as_a_status_has_it() {
        let metrics = DestinationMetrics::new().unwrap();
        let _ = metrics.attempts_of(&name("a"));
        metrics.left(&name("a"));
        metrics.set(metrics.as_of(), &report(&[status("a", 1), status("b", 1)]), &[]);
        assert!(series(&metrics, "a") > 40 && series(&metrics, "b") > 0);
        metrics.set(metrics.as_of(), &report(&[]), &[]);
        assert_eq!((series(&metrics, "a"), series(&metrics, "b")), (0, 0));
        // One that is delivered to may not be in a status yet.
        let _ = metrics.attempts_of(&name("c"));
        metrics.set(metrics.as_of(), &report(&[]), &[]);
        assert!(series(&metrics, "c") > 0);
    }

    #[test]
    fn a_lag_is_told_in_seconds() {
        let metrics = DestinationMetrics::new().unwrap();
        let waiting = |name: &str, change: i64, seconds: Option<u64>| DestinationStatus {
            oldest_accepted_at: Some(Timestamp::from_millis(1_500)),
            pending_change_per_minute: Some(change),
            caught_up_in_seconds: seconds,
            ..status(name, 5)
        };
        let all = [waiting("falls", -60, Some(5)), waiting("grows", 3, None), status("idle", 0)];
        metrics.set(metrics.as_of(), &report(&all), &[]);
        let page = metrics.render();
        for line in [
            "laneway_oldest_event_age_seconds{destination=\"falls\"} 7.5",
            "laneway_oldest_event_age_seconds{destination=\"idle\"} 0",
            "laneway_caught_up_in_seconds{destination=\"falls\"} 5",
            "laneway_caught_up_in_seconds{destination=\"grows\"} inf",
            "laneway_caught_up_in_seconds{destination=\"idle\"} 0",
        ] {
            assert!(page.lines().any(|known| known == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn of_very_many_those_in_most_trouble_have_gauges_of_their_own_and_the_others_are_one() {
        let metrics = DestinationMetrics::of_at_most(2).unwrap();
        for name in ["a", "b", "c", "d"] {
            let attempts = metrics.attempts_of(&self::name(name));
            attempts.outcomes[0].inc();
        }
        let open = BreakerStatus::Open { since: Timestamp::ZERO, next_probe: Timestamp::ZERO };
        let mut all = vec![status("a", 1), status("b", 2), status("c", 4), status("d", 8)];
        let has = |lines: &[&str]| {
            let page = metrics.render();
            for line in lines {
                assert!(page.lines().any(|known| known == *line), "{line} is not in\n{page}");
            }
        };
        metrics.set(metrics.as_of(), &report(&all), &[]);
        has(&[
            "laneway_pending_events{destination=\"(others)\"} 3",
            "laneway_pending_events{destination=\"c\"} 4",
            "laneway_pending_events{destination=\"d\"} 8",
            // Counters stay where they began.
            "laneway_deliveries_total{destination=\"a\",outcome=\"delivered\"} 1",
            "laneway_deliveries_total{destination=\"b\",outcome=\"delivered\"} 1",
            "laneway_deliveries_total{destination=\"(others)\",outcome=\"delivered\"} 2",
        ]);
        all[0].breaker = open;
        metrics.set(metrics.as_of(), &report(&all), &[]);
        has(&[
            "laneway_pending_events{destination=\"(others)\"} 6",
            "laneway_breaker_open{destination=\"a\"} 1",
            "laneway_breaker_open{destination=\"(others)\"} 0",
        ]);
        assert!(!metrics.render().contains("laneway_pending_events{destination=\"c\"}"), "it is one of the others now");
        // When there are few again, nobody is one of the others, and whoever is new has counters.
        metrics.forget(&name("a"));
        metrics.forget(&name("b"));
        metrics.set(metrics.as_of(), &report(&all[2..]), &[]);
        assert!(!metrics.render().contains("laneway_pending_events{destination=\"(others)\"}"));
        metrics.attempts_of(&name("e")).outcomes[0].inc();
        has(&["laneway_deliveries_total{destination=\"e\",outcome=\"delivered\"} 1"]);
    }
}
