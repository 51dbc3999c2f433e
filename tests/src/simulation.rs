//! A seeded simulation: the real worker over the memory store, with paused time. One seed is one
//! run: which events come when, how each attempt ends and how long it takes, when the store fails or
//! is slow, and when a process dies and what of its writes reached the disk. In half of the seeds
//! several workers share the store: they come and go, stand still beyond their leases, and lose sight
//! of each other. In a third, partitions fail over to replicas that lag behind, as with Redis.
//!
//! Everything that happens goes into a trace; the oracle judges the trace against the guarantees.
//! The same seed gives the same trace, in any process.

mod chosen;
mod happenings;
mod oracle;
mod plan;
mod process;
mod replay;
mod sharing;
mod sink;
mod trace;
mod watched;

pub use trace::{By, Line, What};

use crate::seeded::{Chance, Outcome};
use happenings::{
    CRASH, CRASH_LOSES, CRASH_TEARS, DEAD_LETTER, FAILOVER, LOSSY_FAILOVER, REDRIVE, SENT_AGAIN, TRIMMED, WITHOUT,
};
use laneway_domain::{
    DeadLetter, DestinationName, Event, EventId, EventType, Key, NewEvent, Offset, Partition, ReplayState, Tenant,
};
use laneway_memory::{Disk, MemoryStore, Replica, Sabotage, Settings};
use laneway_ports::{
    DeadLetterQuery, DeadLetters as _, EventLog as _, MAX_DEAD_LETTER_PAGE, ProgressStore as _, Selection,
    WorkerControl as _,
};
use oracle::Oracle;
use plan::Plan;
use process::Process;
use sink::SimulatedSink;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use trace::Recorder;

/// How much virtual time everything may take to settle once nothing goes wrong any more. Longer than
/// the longest retry (20 s), pause and lease together.
const SETTLE_WITHIN: Duration = Duration::from_secs(600);

/// Runs one seed. `sabotage` breaks a promise of the store on purpose.
///
/// # Panics
/// If the runtime cannot be made.
#[must_use]
pub fn run(seed: u64, sabotage: Option<Sabotage>) -> Outcome<Line> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O can be made");
    // All of it inside: outside of the runtime, `Instant::now` is the machine's.
    runtime.block_on(async { Simulation::new(seed, sabotage).run().await })
}

struct Simulation {
    chance: Chance,
    plan: Plan,
    disk: Arc<Disk>,
    sabotage: Option<Sabotage>,
    trace: Recorder,
    sinks: BTreeMap<DestinationName, Arc<SimulatedSink>>,
    oracle: Oracle,
    sent: u64,
    crashes: usize,
    /// Those that run, and those that were told to stop and have not ended.
    processes: Vec<Process>,
    stopping: Vec<Process>,
    started: usize,
    /// Whether nothing goes wrong any more.
    healed: bool,
    /// The epochs of the leases once every worker had its share.
    at_rest: BTreeMap<Partition, u64>,
    /// How far the stored progress was seen to be.
    scanned: BTreeMap<Partition, Offset>,
    /// What the replicas have.
    replicas: BTreeMap<Partition, Replica>,
}

impl Simulation {
    fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Plan::draw(&mut chance);
        let disk = Disk::new(plan.partitions);
        let trace = Recorder::new(disk.clone());
        let sink = |(n, destination): (usize, &laneway_domain::Destination)| {
            let sink =
                SimulatedSink::new(destination.clone(), plan.health[n].clone(), chance.fork(n as u64), trace.clone());
            (destination.name.clone(), Arc::new(sink))
        };
        let sinks = plan.destinations.iter().enumerate().map(sink).collect();
        let oracle = Oracle::new(plan.destinations.clone());
        Self {
            chance,
            plan,
            disk,
            sabotage,
            trace,
            sinks,
            oracle,
            sent: 0,
            crashes: 0,
            processes: Vec::new(),
            stopping: Vec::new(),
            started: 0,
            healed: false,
            at_rest: BTreeMap::new(),
            scanned: BTreeMap::new(),
            replicas: BTreeMap::new(),
        }
    }

    async fn run(mut self) -> Outcome<Line> {
        for life in 0..=self.plan.crashes {
            while self.processes.len() < self.plan.workers {
                self.start().await;
            }
            for _ in 0..self.plan.steps_a_life {
                self.step().await;
                if self.plan.workers > 1 {
                    self.disturb().await;
                }
            }
            if life < self.plan.crashes {
                self.crash().await;
            }
        }
        self.finish().await;
        self.trace.count_attempts();
        let violations = self.oracle.judge(self.trace.trace());
        let size =
            format!("{} events, {} lines of trace, {} crashes", self.sent, self.trace.trace().len(), self.crashes);
        let trace = self.trace.trace().clone();
        Outcome { tally: trace.tally(), trace, violations, size }
    }

    async fn start(&mut self) {
        let number = self.started;
        self.started += 1;
        let lacks = self.left_out().await;
        if lacks.is_some() {
            self.trace.count(WITHOUT);
        }
        let without = lacks.as_ref().map(|name| format!(" without {name}")).unwrap_or_default();
        self.trace.line(format!("process {number} begins{without}"));
        let process =
            Process::start(number, &self.trace, &self.plan, self.sabotage, &self.sinks, lacks, &mut self.chance);
        self.processes.push(process);
    }

    /// A destination that was taken out of the configuration, for one life.
    async fn left_out(&mut self) -> Option<DestinationName> {
        if !self.plan.reconfigures || self.healed || self.chance.one_in(2) {
            return None;
        }
        // One that the store does not know yet would be a new one when it comes back, and begin with what is left.
        let store = MemoryStore::open(self.disk.clone(), Settings::default());
        for partition in (0..self.plan.partitions).map(Partition) {
            let known = store.load(partition).await.ok()?.lanes;
            if self.plan.destinations.iter().any(|destination| !known.contains_key(&destination.name)) {
                return None;
            }
        }
        let at = self.chance.below(self.plan.destinations.len() as u64);
        Some(self.plan.destinations[usize::try_from(at).unwrap_or(0)].name.clone())
    }

    /// Some process that runs.
    fn pick(&mut self) -> Option<usize> {
        let count = self.processes.len() as u64;
        (count > 0).then(|| usize::try_from(self.chance.below(count)).unwrap_or(0))
    }

    /// The store as some process has it open, or one that only takes events in.
    fn a_store(&mut self) -> Arc<MemoryStore> {
        match self.pick() {
            Some(at) => self.processes[at].store.clone(),
            None => Arc::new(MemoryStore::open(
                self.disk.clone(),
                Settings { sabotage: self.sabotage, ..Settings::default() },
            )),
        }
    }

    /// Something happens, and a little time passes.
    async fn step(&mut self) {
        match self.chance.below(10) {
            0..=6 => self.append().await,
            7 if self.chance.one_in(3) => self.retry_dead_letters().await,
            8 if self.chance.one_in(4) => self.replay().await,
            9 if self.chance.one_in(3) => self.choose().await,
            9 if self.chance.one_in(4) => self.cancel().await,
            _ => {}
        }
        if self.plan.fails_over {
            self.fail_over().await;
        }
        // Where several share the store, leases have to run out now and then.
        let rarely = if self.plan.workers > 1 { 8 } else { 20 };
        let pause = if self.chance.one_in(rarely) { 4000 } else { 40 };
        sleep(Duration::from_millis(self.chance.below(pause))).await;
        self.no_progress_went_back().await;
    }

    /// G8: a commit that comes late from a worker that has lost its lease would set progress back.
    async fn no_progress_went_back(&mut self) {
        let store = MemoryStore::open(self.disk.clone(), Settings::default());
        for partition in (0..self.plan.partitions).map(Partition) {
            let Ok(progress) = store.load(partition).await else { continue };
            let before = self.scanned.insert(partition, progress.scanned);
            if before.is_some_and(|before| before > progress.scanned) {
                let now = progress.scanned;
                self.oracle.broken(format!("partition {partition}: progress went back from {before:?} to {now}"));
            }
        }
    }

    /// Now and then a replica begins to lag behind, or becomes the primary.
    async fn fail_over(&mut self) {
        let partition = Partition(self.chance.below(u64::from(self.plan.partitions)) as u32);
        match self.chance.below(12) {
            0..=2 => {
                self.replicas.extend(self.disk.replica(partition).map(|replica| (partition, replica)));
            }
            3 => {
                let Some(replica) = self.replicas.remove(&partition) else { return };
                // Those that are lost with it have settled their events all the same.
                let letters = all_dead_letters(&MemoryStore::open(self.disk.clone(), Settings::default())).await;
                self.oracle.dead_letters(letters);
                self.learn_what_was_given_up().await;
                let offsets = self.disk.fail_over(replica);
                let lost = self.oracle.lost(partition, &offsets);
                self.scanned.remove(&partition);
                self.trace.count(if lost > 0 { LOSSY_FAILOVER } else { FAILOVER });
                self.trace.line(format!("partition {partition} fails over and loses {lost} events, {offsets:?}"));
            }
            _ => {}
        }
    }

    async fn append(&mut self) {
        let store = self.a_store();
        let count = 1 + self.chance.below(5);
        let events: Vec<NewEvent> = (0..count).map(|_| self.event()).collect();
        let ids: Vec<EventId> = events.iter().map(|new| new.event.id.clone()).collect();
        for new in &events {
            self.oracle.sent(&new.event);
        }
        for (id, result) in ids.into_iter().zip(store.append(events.clone()).await) {
            match result {
                Ok(appended) => {
                    self.trace.line(format!("accepted {id} at {}/{}", appended.partition, appended.offset));
                    self.oracle.accepted(&id, appended);
                }
                Err(error) => self.trace.line(format!("not accepted {id}: {error}")),
            }
        }
        if self.chance.one_in(10) {
            // The producer did not hear the answer, and sends the same again.
            self.trace.count(SENT_AGAIN);
            for (new, result) in events.iter().zip(store.append(events.clone()).await) {
                if let Ok(appended) = result {
                    self.oracle.accepted(&new.event.id, appended);
                }
            }
        }
    }

    fn event(&mut self) -> NewEvent {
        self.sent += 1;
        let key = self.chance.below(self.plan.keys + 1);
        let event = Event {
            // Every fourth is a tenant's, whose keys are called as those that no tenant has.
            tenant: self.sent.is_multiple_of(4).then(tenant),
            key: (key > 0).then(|| key_of(key)),
            content_type: "text/plain".into(),
            ..Event::new(
                EventId::new(&format!("e{}", self.sent)).expect("short and plain"),
                EventType::new(if self.chance.one_in(3) { "other" } else { "order.paid" }).expect("short and plain"),
                vec![7; usize::try_from(self.chance.below(300)).unwrap_or(0)].into(),
            )
        };
        NewEvent { event, id_given: true }
    }

    async fn retry_dead_letters(&mut self) {
        let store = self.a_store();
        let letters = all_dead_letters(&store).await;
        for letter in &letters {
            // Only what the oracle knows of: once delivered, they are gone from here.
            let selection = Selection {
                destination: Some(letter.given_up.destination.clone()),
                event_id: Some(letter.event_id.clone()),
                ..Selection::default()
            };
            let asked = store.retry(&selection).await.is_ok();
            if asked {
                self.trace.count(REDRIVE);
            }
            self.trace.line(format!("{} is to be retried: {asked}", letter.event_id));
        }
        self.oracle.dead_letters(letters);
    }

    async fn crash(&mut self) {
        let Some(at) = self.pick() else { return };
        let process = self.processes.swap_remove(at);
        if self.chance.one_in(2) {
            process.until_it_writes().await;
        }
        let waiting = process.store.waiting();
        let keep = usize::try_from(self.chance.below(waiting as u64 + 1)).unwrap_or(0);
        process.kill(keep);
        self.crashes += 1;
        self.trace.count(match keep {
            _ if waiting == 0 => CRASH,
            0 => CRASH_LOSES,
            _ => CRASH_TEARS,
        });
        self.trace.line(format!("process {} crashes, {keep} of {waiting} writes reach the disk", process.number));
    }

    /// From here on nothing goes wrong. Everything must come to its end, and the processes too.
    async fn finish(&mut self) {
        self.heal().await;
        self.everything_is_shared().await;
        let store = MemoryStore::open(self.disk.clone(), Settings::default());
        self.everything_settles(&store).await;
        self.nothing_has_moved();
        self.replay_at_the_end().await;
        self.everything_settles(&store).await;
        self.choose_at_the_end().await;
        self.everything_settles(&store).await;
        for process in &self.processes {
            process.stop().await;
        }
        for process in std::mem::take(&mut self.processes) {
            let number = process.number;
            self.trace.line(format!("process {number} has ended: {}", process.ended().await));
        }
        let letters = all_dead_letters(&store).await;
        if !letters.is_empty() {
            self.trace.count(DEAD_LETTER);
        }
        self.oracle.at_the_end(&letters);
        self.learn_what_was_given_up().await;
        self.oracle.dead_letters(letters);
        for partition in (0..self.plan.partitions).map(Partition) {
            if let Ok(progress) = store.load(partition).await
                && let Ok(bounds) = store.bounds(partition).await
            {
                self.oracle.progress(partition, &progress, bounds.end);
                if bounds.start > Offset::ZERO {
                    self.trace.count(TRIMMED);
                }
            }
        }
    }

    async fn everything_settles(&mut self, store: &MemoryStore) {
        let mut waited = Duration::ZERO;
        while !self.is_settled(store).await {
            if waited >= SETTLE_WITHIN {
                for process in &self.processes {
                    self.oracle.stuck(&format!("{}: {:?}", process.number, process.worker.status().await));
                }
                break;
            }
            sleep(Duration::from_secs(1)).await;
            waited += Duration::from_secs(1);
        }
        // One interval more, so that the last progress is committed.
        sleep(Duration::from_secs(1)).await;
    }

    async fn is_settled(&self, store: &MemoryStore) -> bool {
        let mut partitions = 0;
        for process in &self.processes {
            let Some(status) = process.worker.status().await else { return false };
            partitions += status.partitions.len();
            let replays =
                status.destinations.iter().any(|d| d.replays.iter().any(|of| of.state() != ReplayState::Done));
            if replays || status.destinations.iter().any(|d| d.pending > 0 || d.in_flight > 0) {
                return false;
            }
        }
        // Retries that were asked for belong to what must come to its end.
        let letters = all_dead_letters(store).await;
        partitions == self.plan.partitions as usize && letters.iter().all(|letter| !letter.retry_requested)
    }
}

fn key_of(number: u64) -> Key {
    Key::new(&format!("k{number}")).expect("short and plain")
}

fn tenant() -> Tenant {
    Tenant::new("acme").expect("short and plain")
}

async fn all_dead_letters(store: &MemoryStore) -> Vec<DeadLetter> {
    let query = DeadLetterQuery { most: MAX_DEAD_LETTER_PAGE, ..DeadLetterQuery::default() };
    // The store fails now and then, and the oracle must not miss any.
    loop {
        if let Ok(letters) = store.list(&query).await {
            return letters;
        }
    }
}
