//! A worker process: it can be killed, told to stop, and made to stand still for a while without
//! noticing (SIGSTOP, a long pause of the machine).

use super::happenings::{CLOCK_AHEAD, CLOCK_BEHIND};
use super::plan::Plan;
use super::sink::SimulatedSink;
use super::trace::{By, Recorder};
use super::watched::Watched;
use crate::seeded::Chance;
use crate::seeded::TroubledStore;
use async_trait::async_trait;
use laneway_app::telemetry::destinations::DestinationMetrics;
use laneway_app::worker::{Clock, Handle, Worker};
use laneway_domain::{DestinationChanges, DestinationName, Partition, Timestamp};
use laneway_memory::{Disk, MemoryStore, Sabotage, Settings};
use laneway_ports::{Delivery, DeliveryReport, KeptHistory, Sink, Stores, WorkerId};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How wrong a clock can be.
const HOUR_MS: u64 = 3_600_000;

/// Longer than clocks are wrong: the oracle learns from the history what was given up.
const HISTORY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// A worker renews its leases, if nothing else, this often; unless it stands still.
const WRITES_WITHIN: Duration = Duration::from_secs(2);
/// The longest time between the decision on an attempt and its begin.
const BEGINS_WITHIN_MS: u64 = 20;

/// The id of a process' worker.
pub(super) fn id(number: usize) -> WorkerId {
    WorkerId(format!("w{number}"))
}

/// A running process.
pub(super) struct Process {
    pub(super) number: usize,
    pub(super) store: Arc<MemoryStore>,
    pub(super) troubles: Arc<TroubledStore>,
    pub(super) worker: Handle,
    /// The destination that its configuration lacks.
    pub(super) lacks: Option<DestinationName>,
    working: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    stillness: Arc<Stillness>,
}

impl Process {
    pub(super) fn start(
        number: usize,
        trace: &Recorder,
        plan: &Plan,
        sabotage: Option<Sabotage>,
        sinks: &BTreeMap<DestinationName, Arc<SimulatedSink>>,
        lacks: Option<DestinationName>,
        chance: &mut Chance,
    ) -> Self {
        let disk = trace.disk();
        let destinations = plan.destinations.iter().filter(|destination| Some(&destination.name) != lacks.as_ref());
        let troubles =
            Arc::new(TroubledStore::new(chance.fork(1000 + number as u64), plan.store_troubles, trace.trace().tally()));
        let settings = Settings { faults: Some(troubles.clone()), sabotage, ..Settings::default() };
        let store = Arc::new(MemoryStore::open(disk.clone(), settings));
        let shows = if plan.clock_jumps {
            let hour_behind = disk.now().as_millis() - HOUR_MS;
            let shows = Timestamp::from_millis(hour_behind + chance.below(2 * HOUR_MS));
            trace.count(if shows < disk.now() { CLOCK_BEHIND } else { CLOCK_AHEAD });
            shows
        } else {
            disk.now()
        };
        let clock = Clock::starting_at(shows);
        let stillness = Arc::<Stillness>::default();
        let naps = chance.fork(2000 + number as u64);
        let sink = |sink: &Arc<SimulatedSink>| -> Arc<dyn Sink> {
            let (disk, stillness) = (disk.clone(), stillness.clone());
            Arc::new(WatchedSink { number, sink: sink.clone(), disk, stillness, chance: Mutex::new(naps.clone()) })
        };
        let watched = Arc::new(Watched { store: store.clone(), tally: trace.trace().tally() });
        let (worker, working, upkeep) = Worker {
            id: id(number),
            stores: Stores { progress: watched, ..Stores::of(store.clone()) },
            sinks: sinks.iter().map(|(name, to)| (name.clone(), sink(to))).collect(),
            destinations: DestinationChanges::present(destinations.cloned().collect()),
            settings: plan.settings.clone(),
            clock,
            seed: chance.next(),
            retain: plan.retain,
            operational: laneway_domain::OperationalSettings::default(),
            told: Vec::new(),
            spans: None,
            history: KeptHistory { max_age: HISTORY_KEPT, max_bytes: 1 << 20 },
            metrics: DestinationMetrics::new().expect("their names are right"),
        }
        .start();
        let working = tokio::spawn(unless_frozen(working, stillness.clone()));
        let upkeep = tokio::spawn(unless_frozen(upkeep, stillness.clone()));
        Self { number, store, troubles, worker, lacks, working, upkeep, stillness }
    }

    /// Makes it stand still, or go on.
    pub(super) fn freeze(&self, frozen: bool) {
        self.stillness.set(frozen);
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.stillness.is(true)
    }

    /// Waits for a moment in which a write of it waits to be durable. Between two writes there is a
    /// long time, and a crash would hardly ever come across one by chance.
    pub(super) async fn until_it_writes(&self) {
        let begun = Instant::now();
        while self.store.waiting() == 0 && begun.elapsed() < WRITES_WITHIN {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends it without warning. Of its writes that wait, the first `keep` happen all the same.
    pub(super) fn kill(&self, keep: usize) {
        self.working.abort();
        self.upkeep.abort();
        self.store.crash(keep);
    }

    /// From here on nothing is trimmed.
    pub(super) fn stop_upkeep(&self) {
        self.upkeep.abort();
    }

    /// Tells it to finish what it does and end.
    pub(super) async fn stop(&self) {
        self.upkeep.abort();
        self.worker.stop().await;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.working.is_finished()
    }

    /// Waits until it has ended.
    pub(super) async fn ended(self) -> bool {
        self.working.await.is_ok()
    }
}

/// Whether a process stands still. Not tokio's `watch`, which wakes its receivers in a random order:
/// the seed decides that too.
#[derive(Default)]
struct Stillness {
    frozen: AtomicBool,
    /// How many times it began to stand still.
    times: AtomicUsize,
    changed: Notify,
}

impl Stillness {
    fn set(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::SeqCst);
        self.times.fetch_add(usize::from(frozen), Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    fn is(&self, frozen: bool) -> bool {
        self.frozen.load(Ordering::SeqCst) == frozen
    }

    async fn becomes(&self, frozen: bool) {
        loop {
            // Made before the look: it hears of what changes after it.
            let changed = self.changed.notified();
            if self.is(frozen) {
                return;
            }
            changed.await;
        }
    }
}

/// Does `work`, but for the times in which it is frozen.
async fn unless_frozen<T>(work: impl Future<Output = T>, stillness: Arc<Stillness>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            () = stillness.becomes(true) => {}
            done = &mut work => return done,
        }
        stillness.becomes(false).await;
    }
}

/// A process' way to a destination.
struct WatchedSink {
    number: usize,
    sink: Arc<SimulatedSink>,
    disk: Arc<Disk>,
    stillness: Arc<Stillness>,
    chance: Mutex<Chance>,
}

impl WatchedSink {
    /// The epoch of the process' lease, or of one that a failover ended and it has not heard of.
    fn epoch(&self, partition: Partition) -> Option<u64> {
        let worker = id(self.number);
        let lease = self.disk.lease(partition).filter(|lease| lease.worker == worker);
        Some(lease.or_else(|| self.disk.lost_lease(partition, &worker))?.epoch)
    }

    /// What passes between the decision on an attempt and its begin: mostly nothing.
    fn nap(&self) -> Duration {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_millis(if chance.one_in(4) { chance.below(BEGINS_WITHIN_MS) } else { 0 })
    }
}

#[async_trait]
impl Sink for WatchedSink {
    async fn deliver(&self, delivery: &Delivery) -> DeliveryReport {
        let partition = delivery.events[0].event.partition;
        let (decided, stands_still) = (self.epoch(partition), self.stillness.is(true));
        let times = self.stillness.times.load(Ordering::SeqCst);
        let attempt = async {
            let nap = self.nap();
            if !nap.is_zero() {
                sleep(nap).await;
            }
            let late = stands_still || self.stillness.times.load(Ordering::SeqCst) != times;
            // One that is not late must begin under the lease that it was decided on with.
            let epoch = if late { decided } else { self.epoch(partition).and(decided) };
            let replay = delivery.events.first().and_then(|attempted| attempted.replay);
            self.sink.take(delivery, By { process: self.number, epoch, late, replay }).await
        };
        unless_frozen(attempt, self.stillness.clone()).await.into()
    }
}
