//! The metrics of destinations. They come and go with them: the recorder of the `metrics` crate keeps a series for as
//! long as the process runs, so these have a registry of their own.

use super::metrics::{
    BLOCKED_KEYS, BREAKER_OPEN, CAUGHT_UP_IN, DEAD_LETTERS, DELIVERIES, DELIVERY_SECONDS, END_TO_END_SECONDS,
    EXPIRED_EVENTS, IN_FLIGHT, KEYS_BEHIND, LATENCY_BUCKETS, OLDEST_EVENT, PAUSED, PENDING_EVENTS, help,
};
use laneway_domain::{BreakerStatus, DestinationName, DestinationStatus, StatusReport, Timestamp};
use laneway_ports::DeadLetterCount;
use prometheus::{
    Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};
use std::collections::{BTreeSet, HashMap};
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

/// The metrics of all destinations that this process knows of.
#[derive(Clone)]
pub struct DestinationMetrics(Arc<Families>);

struct Families {
    registry: Registry,
    deliveries: IntCounterVec,
    seconds: HistogramVec,
    end_to_end: HistogramVec,
    gauges: [GaugeVec; GAUGES.len()],
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    destinations: HashMap<DestinationName, Entry>,
    /// How many have been forgotten so far.
    forgotten: u64,
}

struct Entry {
    /// Whether there is a sink that counts. Without one the destination is known by a status only.
    delivers: bool,
    gauges: [Gauge; GAUGES.len()],
}

/// What is counted of one destination's attempts.
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
        Families::new().map(|families| Self(Arc::new(families))).map_err(|error| error.to_string())
    }

    /// Begins to count a destination's attempts, or goes on.
    #[must_use]
    pub fn attempts_of(&self, name: &DestinationName) -> Attempts {
        let families = &*self.0;
        let mut known = families.lock();
        known.destinations.entry(name.clone()).or_insert_with(|| families.entry(name)).delivers = true;
        let label = &[name.as_str()];
        Attempts {
            outcomes: OUTCOMES.map(|outcome| families.deliveries.with_label_values(&[name.as_str(), outcome])),
            seconds: families.seconds.with_label_values(label),
            end_to_end: families.end_to_end.with_label_values(label),
        }
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
        if known.destinations.remove(name).is_some() {
            known.forgotten += 1;
            self.0.remove(name);
        }
    }

    /// To be taken before a status is asked for that [`set`](Self::set) is given.
    #[must_use]
    pub fn as_of(&self) -> AsOf {
        AsOf(self.0.lock().forgotten)
    }

    /// Sets the gauges, and forgets what is neither in the status nor delivered to.
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub fn set(&self, as_of: AsOf, report: &StatusReport, dead_letters: &[DeadLetterCount]) {
        let status = &report.destinations;
        let dead: HashMap<&DestinationName, u64> =
            dead_letters.iter().map(|count| (&count.destination, count.count)).collect();
        let families = &*self.0;
        let mut known = families.lock();
        let may_add = AsOf(known.forgotten) == as_of;
        for destination in status {
            let name = &destination.name;
            if may_add && !known.destinations.contains_key(name) {
                known.destinations.insert(name.clone(), families.entry(name));
            }
            // What is not known has left since the status was asked for.
            let Some(entry) = known.destinations.get(name) else { continue };
            let flag = |on: bool| f64::from(u8::from(on));
            let values = [
                destination.pending as f64,
                destination.in_flight as f64,
                destination.blocked_keys as f64,
                destination.keys_behind as f64,
                flag(destination.breaker != BreakerStatus::Closed),
                flag(destination.paused.is_some()),
                dead.get(name).map_or(0.0, |count| *count as f64),
                destination.expired as f64,
                age(report.at, destination),
                caught_up_in(destination),
            ];
            entry.gauges.iter().zip(values).for_each(|(gauge, value)| gauge.set(value));
        }
        if known.destinations.values().all(|entry| entry.delivers) {
            return; // All of them stay.
        }
        let names: BTreeSet<&DestinationName> = status.iter().map(|destination| &destination.name).collect();
        known.destinations.retain(|name, entry| {
            let stays = entry.delivers || names.contains(name);
            if !stays {
                families.remove(name);
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
    fn new() -> Result<Self, Error> {
        let registry = Registry::new();
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
        Ok(Self { registry, deliveries, seconds, end_to_end, gauges, known: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, name: &DestinationName) -> Entry {
        let gauges = std::array::from_fn(|at| self.gauges[at].with_label_values(&[name.as_str()]));
        Entry { delivers: false, gauges }
    }

    /// What was not there, since nothing was counted of it, is no error.
    fn remove(&self, name: &DestinationName) {
        let label = &[name.as_str()];
        for outcome in OUTCOMES {
            let _ = self.deliveries.remove_label_values(&[name.as_str(), outcome]);
        }
        let _ = self.seconds.remove_label_values(label);
        let _ = self.end_to_end.remove_label_values(label);
        for family in &self.gauges {
            let _ = family.remove_label_values(label);
        }
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
}
