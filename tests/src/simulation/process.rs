//! A worker process: it can be killed, told to stop, and made to stand still for a while without
//! noticing (SIGSTOP, a long pause of the machine).

use super::chance::Chance;
use super::plan::{Plan, TroubledStore};
use super::sink::SimulatedSink;
use super::trace::By;
use async_trait::async_trait;
use laneway_app::worker::{Clock, Handle, Upkeep, Worker};
use laneway_domain::{DestinationName, Outcome, Timestamp};
use laneway_memory::{Disk, MemoryStore, Sabotage, Settings};
use laneway_ports::{Delivery, Sink, WorkerId};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How wrong a clock can be.
const HOUR_MS: u64 = 3_600_000;

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
    frozen: watch::Sender<bool>,
}

impl Process {
    pub(super) fn start(
        number: usize,
        disk: &Arc<Disk>,
        plan: &Plan,
        sabotage: Option<Sabotage>,
        sinks: &BTreeMap<DestinationName, Arc<SimulatedSink>>,
        lacks: Option<DestinationName>,
        chance: &mut Chance,
    ) -> Self {
        let destinations = plan.destinations.iter().filter(|destination| Some(&destination.name) != lacks.as_ref());
        let troubles = Arc::new(TroubledStore::new(chance.fork(1000 + number as u64), plan.store_troubles));
        let settings = Settings { faults: Some(troubles.clone()), sabotage, ..Settings::default() };
        let store = Arc::new(MemoryStore::open(disk.clone(), settings));
        let shows = if plan.clock_jumps {
            let hour_behind = disk.now().as_millis() - HOUR_MS;
            Timestamp::from_millis(hour_behind + chance.below(2 * HOUR_MS))
        } else {
            disk.now()
        };
        let clock = Clock::starting_at(shows);
        let (frozen, freezing) = watch::channel(false);
        let sink = |sink: &Arc<SimulatedSink>| -> Arc<dyn Sink> {
            Arc::new(WayOut { number, sink: sink.clone(), disk: disk.clone(), frozen: freezing.clone() })
        };
        let (worker, working) = Worker {
            id: id(number),
            log: store.clone(),
            progress: store.clone(),
            dead_letters: store.clone(),
            workers: store.clone(),
            sinks: sinks.iter().map(|(name, to)| (name.clone(), sink(to))).collect(),
            destinations: destinations.cloned().collect(),
            settings: plan.settings.clone(),
            clock,
            seed: chance.next(),
        }
        .start();
        let upkeep = Upkeep {
            log: store.clone(),
            dead_letters: store.clone(),
            workers: store.clone(),
            worker: worker.clone(),
            clock,
            retain: plan.retain,
        };
        let working = tokio::spawn(unless_frozen(working, freezing.clone()));
        let upkeep = tokio::spawn(unless_frozen(upkeep.run(), freezing));
        Self { number, store, troubles, worker, lacks, working, upkeep, frozen }
    }

    /// Makes it stand still, or go on.
    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    pub(super) fn is_frozen(&self) -> bool {
        *self.frozen.borrow()
    }

    /// Ends it without warning. Of its writes that wait, the first `keep` happen all the same.
    pub(super) fn kill(&self, keep: usize) {
        self.working.abort();
        self.upkeep.abort();
        self.store.crash(keep);
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

/// Does `work`, but for the times in which it is frozen.
async fn unless_frozen<T>(work: impl Future<Output = T>, mut frozen: watch::Receiver<bool>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            Ok(_) = frozen.wait_for(|frozen| *frozen) => {}
            done = &mut work => return done,
        }
        if frozen.wait_for(|frozen| !*frozen).await.is_err() {
            return work.await;
        }
    }
}

/// A process' way to a destination.
struct WayOut {
    number: usize,
    sink: Arc<SimulatedSink>,
    disk: Arc<Disk>,
    frozen: watch::Receiver<bool>,
}

#[async_trait]
impl Sink for WayOut {
    async fn deliver(&self, delivery: &Delivery) -> Vec<Outcome> {
        let mut frozen = self.frozen.clone();
        let late = *frozen.borrow_and_update();
        let attempt = async {
            let partition = delivery.events[0].event.partition;
            let worker = id(self.number);
            let lease = self.disk.lease(partition).filter(|lease| lease.worker == worker);
            let lease = lease.or_else(|| self.disk.lost_lease(partition, &worker));
            let by = By { process: self.number, epoch: lease.map(|lease| lease.epoch), late };
            self.sink.take(delivery, by).await
        };
        unless_frozen(attempt, frozen).await
    }
}
