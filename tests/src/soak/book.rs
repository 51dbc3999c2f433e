//! The ledger that producers and receivers write in at the same time, and what is measured beside it.

use super::ledger::{Answer, Arrival, Ledger, Reported};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// While nothing arrives for so long, what has not arrived counts as lost. It is longer than any lease, any failover
/// and any delay between attempts.
const PATIENCE: Duration = Duration::from_secs(120);
/// Digits of a latency that are kept, and the longest that is told from longer ones, in microseconds.
const DIGITS: u8 = 2;
const LONGEST: u64 = 3_600_000_000;

/// What was measured since it was last asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latencies {
    /// The 99th percentile, in milliseconds.
    pub p99: f64,
    /// The worst, in milliseconds.
    pub worst: f64,
}

struct Inner {
    ledger: Ledger,
    recent: Histogram<u64>,
    /// The worst latency since a trouble began, in microseconds.
    of_trouble: u64,
}

/// The ledger, shared.
pub struct Book {
    inner: Mutex<Inner>,
    changed: Notify,
}

/// Microseconds since the epoch, by this machine's clock.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

impl Book {
    /// A book with this ledger.
    #[must_use]
    pub fn new(ledger: Ledger) -> Self {
        let recent = Histogram::new_with_max(LONGEST, DIGITS).expect("so many digits can be kept");
        Self { inner: Mutex::new(Inner { ledger, recent, of_trouble: 0 }), changed: Notify::new() }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock().unwrap())
    }

    /// A copy of the ledger.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.with(|inner| inner.ledger.clone())
    }

    /// How many events had their 202.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.with(|inner| inner.ledger.total())
    }

    /// How often something was that must not be.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.with(|inner| inner.ledger.violations)
    }

    /// The number of the last event of a key that had its 202.
    #[must_use]
    pub fn last_acknowledged(&self, key: &str) -> u64 {
        self.with(|inner| inner.ledger.last_acknowledged(key))
    }

    /// An event had its 202.
    pub fn acknowledge(&self, key: &str, number: u64) {
        self.with(|inner| inner.ledger.acknowledge(key, number));
        self.changed.notify_waiters();
    }

    /// Something that must not be.
    pub fn violation(&self, what: String) {
        self.with(|inner| inner.ledger.violation(what));
        self.changed.notify_waiters();
    }

    /// A request has come to a destination. `sent_at` is when its producer first sent the event, if that is measured
    /// here.
    pub fn arrive(&self, destination: &str, arrival: Arrival<'_>, answer: Answer, sent_at: Option<u64>) {
        self.with(|inner| {
            let first = inner.ledger.arrive(destination, arrival, answer);
            if let Some(sent_at) = sent_at.filter(|_| first) {
                let micros = now().saturating_sub(sent_at).max(1);
                inner.recent.saturating_record(micros);
                inner.of_trouble = inner.of_trouble.max(micros);
            }
        });
        self.changed.notify_waiters();
    }

    /// Begins to measure anew for a trouble.
    pub fn trouble_begins(&self) {
        self.with(|inner| inner.of_trouble = 0);
    }

    /// The worst latency since a trouble began, in milliseconds.
    #[must_use]
    pub fn worst_of_trouble(&self) -> f64 {
        self.with(|inner| milliseconds(inner.of_trouble))
    }

    /// The latencies since this was last asked.
    pub fn latencies(&self) -> Latencies {
        self.with(|inner| {
            let (p99, worst) = (inner.recent.value_at_quantile(0.99), inner.recent.max());
            inner.recent.reset();
            Latencies { p99: milliseconds(p99), worst: milliseconds(worst) }
        })
    }

    /// Waits until this is so, as long as anything happens.
    async fn until(&self, is_so: impl Fn(&Ledger) -> bool) -> bool {
        loop {
            let changed = self.changed.notified();
            if self.with(|inner| is_so(&inner.ledger)) {
                return true;
            }
            if timeout_at(Instant::now() + PATIENCE, changed).await.is_err() {
                return self.with(|inner| is_so(&inner.ledger));
            }
        }
    }

    /// Waits until every destination has had everything, or something is wrong, or nothing comes any more.
    pub async fn all_arrived(&self) {
        self.until(|ledger| ledger.violations > 0 || ledger.all_arrived()).await;
    }

    /// Waits until so many events had their 202, or until nothing happens any more.
    pub async fn acknowledged(&self, total: u64) -> bool {
        self.until(|ledger| ledger.total() >= total).await
    }

    /// Waits until no dead letter is left at this destination, or until nothing happens any more.
    pub async fn no_dead_letters(&self, destination: &str) -> bool {
        self.until(|ledger| ledger.figures(destination).dead == 0).await
    }

    /// Compares the ledger with what Laneway says.
    pub fn balance(&self, reported: &BTreeMap<String, Reported>) {
        self.with(|inner| inner.ledger.balance(reported));
    }
}
