//! What all who look see: one report of the workers, asked for at most once a second, whoever and how many look; and less
//! often where it costs much.

use laneway_domain::{
    DestinationName, DestinationStatus, Need, Partition, ProcessStatus, StatusReport, Tenant, Timestamp, WorkerStatus,
};
use laneway_ports::{DeadLetters, Operations, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How old what is shown may be.
const FRESH: Duration = Duration::from_secs(1);
/// How much older it may be than it took to be found out: with 80,000 destinations that is 50 ms of work, which is to
/// cost deliveries no more than 2 %.
const SHARE: u32 = 50;
/// How old it may be in any case.
const OLD: Duration = Duration::from_secs(5);

/// For how long something is shown that took so long to be found out.
fn fresh_for(took: Duration) -> Duration {
    took.saturating_mul(SHARE).clamp(FRESH, OLD)
}

/// One destination.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) status: DestinationStatus,
    pub(crate) dead_letters: u64,
    pub(crate) need: Need,
}

/// Sums over all destinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) pending: u64,
    pub(crate) in_flight: u64,
    pub(crate) delivered_recently: u64,
    pub(crate) failed_recently: u64,
    pub(crate) blocked_keys: u64,
    pub(crate) dead_letters: u64,
    /// The age of the oldest event that waits anywhere, as far as it is known.
    pub(crate) lag: Option<Duration>,
}

impl Totals {
    /// Adds what a destination is at, its dead letters aside.
    fn add(&mut self, status: &DestinationStatus, at: Timestamp) {
        self.pending = self.pending.saturating_add(status.pending);
        self.in_flight = self.in_flight.saturating_add(status.in_flight);
        self.delivered_recently = self.delivered_recently.saturating_add(status.delivered_recently);
        self.failed_recently = self.failed_recently.saturating_add(status.failed_recently);
        self.blocked_keys = self.blocked_keys.saturating_add(status.blocked_keys);
        self.lag = self.lag.max(status.lag(at));
    }
}

/// Everything at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) at: Timestamp,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) workers: Vec<WorkerStatus>,
    pub(crate) processes: Vec<ProcessStatus>,
    /// What is missing, and why.
    pub(crate) incomplete: Vec<String>,
    /// The destinations, what needs a person first.
    pub(crate) rows: Vec<Row>,
    pub(crate) totals: Totals,
    /// Dead letters of destinations that are not there any more.
    pub(crate) other_dead_letters: BTreeMap<DestinationName, u64>,
}

impl Snapshot {
    /// Puts a report and the dead letters of all destinations together.
    pub(crate) fn of(report: StatusReport, mut dead_letters: BTreeMap<DestinationName, u64>) -> Self {
        let at = report.at;
        let mut totals = Totals { dead_letters: dead_letters.values().sum(), ..Totals::default() };
        let mut rows = Vec::with_capacity(report.destinations.len());
        for status in report.destinations {
            let dead_letters = dead_letters.remove(&status.name).unwrap_or(0);
            totals.add(&status, at);
            let need = Need::of(&status, dead_letters, at);
            rows.push(Row { status, dead_letters, need });
        }
        rows.sort_by(|a, b| {
            let key = |row: &Row| row.need.urgency(&row.status, row.dead_letters, at);
            key(a).cmp(&key(b)).then_with(|| a.status.name.cmp(&b.status.name))
        });
        let StatusReport { partitions, workers, processes, incomplete, .. } = report;
        Self { at, partitions, workers, processes, incomplete, rows, totals, other_dead_letters: dead_letters }
    }

    /// What a tenant sees of it: its own destinations and their sums.
    pub(crate) fn of_tenant(&self, tenant: &Tenant) -> Self {
        let report = StatusReport::of_tenant(tenant, self.at, self.rows.iter().map(|row| &row.status));
        let left = self.rows.iter().map(|row| (&row.status.name, row.dead_letters));
        let all = left.chain(self.other_dead_letters.iter().map(|(name, count)| (name, *count)));
        let own = all.filter(|(name, count)| *count > 0 && name.is_of(Some(tenant)));
        Self::of(report, own.map(|(name, count)| (name.clone(), count)).collect())
    }

    /// One destination.
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.status.name.as_str() == name)
    }

    /// How many destinations need what.
    pub(crate) fn count(&self, need: Need) -> usize {
        // They are sorted by it.
        self.rows.partition_point(|row| row.need <= need) - self.rows.partition_point(|row| row.need < need)
    }
}

/// Why there is no snapshot.
#[derive(Debug)]
pub(crate) enum NoSnapshot {
    /// This process cannot ask workers.
    NoWorker,
    /// The worker is starting or stopping.
    NotReady,
    /// The dead letters cannot be counted.
    Store(StoreError),
}

/// Asks for snapshots, and hands the last one out while it is fresh.
pub(crate) struct Snapshots {
    operations: Option<Arc<dyn Operations>>,
    dead_letters: Arc<dyn DeadLetters>,
    /// How often something was changed here: what was asked for before shows too little.
    changes: AtomicU64,
    last: Mutex<Option<Last>>,
}

struct Last {
    asked: Instant,
    fresh_for: Duration,
    changes: u64,
    snapshot: Arc<Snapshot>,
}

impl Snapshots {
    pub(crate) fn new(operations: Option<Arc<dyn Operations>>, dead_letters: Arc<dyn DeadLetters>) -> Self {
        Self { operations, dead_letters, changes: AtomicU64::new(0), last: Mutex::default() }
    }

    /// Something was changed: whoever looks from now on sees it.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// What there is to see now.
    pub(crate) async fn now(&self) -> Result<Arc<Snapshot>, NoSnapshot> {
        let operations = self.operations.as_deref().ok_or(NoSnapshot::NoWorker)?;
        let changes = self.changes.load(Ordering::Relaxed);
        // Whoever comes while it is asked for waits for the same.
        let mut last = self.last.lock().await;
        if let Some(last) = &*last
            && last.asked.elapsed() < last.fresh_for
            && last.changes >= changes
        {
            return Ok(last.snapshot.clone());
        }
        let (asked, changes) = (Instant::now(), self.changes.load(Ordering::Relaxed));
        let report = operations.status().await.ok_or(NoSnapshot::NotReady)?;
        let counts = self.dead_letters.counts().await.map_err(NoSnapshot::Store)?;
        let counts = counts.into_iter().map(|count| (count.destination, count.count)).collect();
        let snapshot = Arc::new(Snapshot::of(report, counts));
        *last = Some(Last { asked, fresh_for: fresh_for(asked.elapsed()), changes, snapshot: snapshot.clone() });
        Ok(snapshot)
    }

    /// Where a destination sends to, without what may be secret.
    pub(crate) fn target(&self, name: &DestinationName) -> Option<String> {
        self.operations.as_deref()?.target(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DestinationName {
        DestinationName::new(text).unwrap()
    }

    fn report(destinations: Vec<DestinationStatus>) -> StatusReport {
        StatusReport { at: Timestamp::from_millis(1_000_000), destinations, ..StatusReport::default() }
    }

    fn waiting(text: &str, seconds: u64) -> DestinationStatus {
        let oldest = Timestamp::from_millis(1_000_000 - seconds * 1000);
        DestinationStatus { pending: 2, oldest_accepted_at: Some(oldest), ..DestinationStatus::idle(name(text), true) }
    }

    #[test]
    fn a_tenant_sees_its_own_destinations_and_their_sums() {
        let of = |text: &str, failed| DestinationStatus { failed_recently: failed, ..waiting(text, 9) };
        let mut report = report(vec![of("a:x", 1), of("a:y", 2), of("b:x", 4), of("a", 8)]);
        report.incomplete = vec!["partition 3 is nobody's".to_owned()];
        let dead = [("a:x", 1), ("b:x", 2), ("a:gone", 4), ("b:gone", 8)];
        let all = Snapshot::of(report, dead.map(|(text, count)| (name(text), count)).into());
        let own = all.of_tenant(&Tenant::new("a").unwrap());
        let names: Vec<_> = own.rows.iter().map(|row| row.status.name.as_str()).collect();
        // The one with a dead letter needs somebody.
        assert_eq!(names, ["a:x", "a:y"]);
        assert_eq!(own.totals, Totals { pending: 4, failed_recently: 3, dead_letters: 5, ..all.totals });
        assert_eq!(own.other_dead_letters, [(name("a:gone"), 4)].into());
        assert!(own.incomplete.is_empty() && own.workers.is_empty() && own.partitions.is_empty());
        assert!(own.processes.is_empty());
    }

    #[test]
    fn what_costs_much_is_asked_for_less_often() {
        for (millis, fresh) in [(0, 1_000), (20, 1_000), (50, 2_500), (100, 5_000), (60_000, 5_000)] {
            assert_eq!(fresh_for(Duration::from_millis(millis)), Duration::from_millis(fresh));
        }
    }

    #[test]
    fn what_needs_a_person_comes_first_and_what_is_as_pressing_by_age() {
        let gone = DestinationStatus { paused: Some("the receiver is gone".into()), ..waiting("z-gone", 0) };
        let blocked = DestinationStatus { blocked_keys: 3, ..waiting("m-blocked", 5) };
        let older = DestinationStatus { blocked_keys: 1, ..waiting("n-blocked", 50) };
        let idle = DestinationStatus::idle(name("a-idle"), true);
        let fails = DestinationStatus { failed_recently: 1, ..DestinationStatus::idle(name("k-fails"), true) };
        let fails_more =
            DestinationStatus { failed_recently: 5, ..DestinationStatus::idle(name("l-fails-more"), true) };
        let (late, dead) = (waiting("c-late", 90), waiting("d-dead", 0));
        let all = vec![idle, waiting("b-busy", 1), fails, fails_more, blocked, older, late, gone, dead];
        let dead = BTreeMap::from([(name("d-dead"), 4), (name("forgotten"), 7)]);
        let snapshot = Snapshot::of(report(all), dead);
        let order: Vec<&str> = snapshot.rows.iter().map(|row| row.status.name.as_str()).collect();
        let pressing = ["z-gone", "n-blocked", "m-blocked", "d-dead", "c-late"];
        assert_eq!(order, [&pressing[..], &["l-fails-more", "k-fails", "b-busy", "a-idle"]].concat());
        assert_eq!(
            (snapshot.count(Need::Blocked), snapshot.count(Need::Nothing), snapshot.count(Need::Left)),
            (2, 4, 0)
        );
        let Totals { pending, failed_recently, blocked_keys, dead_letters, lag, .. } = snapshot.totals;
        assert_eq!(failed_recently, 6);
        assert_eq!((pending, blocked_keys, dead_letters, lag), (12, 4, 11, Some(Duration::from_secs(90))));
        assert_eq!(snapshot.other_dead_letters, BTreeMap::from([(name("forgotten"), 7)]));
        assert_eq!(snapshot.row("d-dead").unwrap().dead_letters, 4);
        assert!(snapshot.row("d-dea").is_none());
    }
}
