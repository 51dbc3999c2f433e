//! A seeded simulation: the real worker over the memory store, with paused time. One seed is one
//! run: which events come when, how each attempt ends and how long it takes, when the store fails or
//! is slow, and when the process dies and what of its writes reached the disk.
//!
//! Everything that happens goes into a trace; the oracle judges the trace against the guarantees.
//! The same seed gives the same trace.

mod chance;
mod oracle;
mod plan;
mod sink;
mod trace;

pub use oracle::Violation;
pub use trace::Trace;

use chance::Chance;
use laneway_app::worker::{Clock, Handle, Upkeep, Worker};
use laneway_domain::{DeadLetter, DestinationName, Event, EventId, EventType, Key, NewEvent, Partition, StatusReport};
use laneway_memory::{Disk, MemoryStore, Sabotage, Settings};
use laneway_ports::{
    DeadLetterQuery, DeadLetters as _, EventLog as _, MAX_DEAD_LETTER_PAGE, Operations as _, ProgressStore as _,
    Selection, Sink, WorkerId,
};
use oracle::Oracle;
use plan::{Plan, TroubledStore};
use sink::SimulatedSink;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How much virtual time everything may take to settle once nothing goes wrong any more. Longer than
/// the longest retry (20 s), pause and lease together.
const SETTLE_WITHIN: Duration = Duration::from_secs(600);

/// What a run has come to.
pub struct Outcome {
    /// Everything that happened.
    pub trace: Trace,
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// Events accepted, attempts made, crashes survived.
    pub size: String,
}

/// Runs one seed. `sabotage` breaks a promise of the store on purpose.
///
/// # Panics
/// If the runtime cannot be made.
#[must_use]
pub fn run(seed: u64, sabotage: Option<Sabotage>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O can be made").block_on(Simulation::new(seed, sabotage).run())
}

struct Simulation {
    chance: Chance,
    plan: Plan,
    disk: Arc<Disk>,
    sabotage: Option<Sabotage>,
    trace: Trace,
    sinks: BTreeMap<DestinationName, Arc<SimulatedSink>>,
    oracle: Oracle,
    sent: u64,
    crashes: usize,
}

/// A running process.
struct Process {
    store: Arc<MemoryStore>,
    troubles: Arc<TroubledStore>,
    worker: Handle,
    tasks: JoinSet<()>,
}

impl Simulation {
    fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Plan::draw(&mut chance);
        let disk = Disk::new(plan.partitions);
        let trace = Trace::new(disk.clone());
        let sink = |(n, destination): (usize, &laneway_domain::Destination)| {
            let sink =
                SimulatedSink::new(destination.clone(), plan.health[n].clone(), chance.fork(n as u64), trace.clone());
            (destination.name.clone(), Arc::new(sink))
        };
        let sinks = plan.destinations.iter().enumerate().map(sink).collect();
        let oracle = Oracle::new(plan.destinations.clone());
        Self { chance, plan, disk, sabotage, trace, sinks, oracle, sent: 0, crashes: 0 }
    }

    async fn run(mut self) -> Outcome {
        for life in 0..=self.plan.crashes {
            let mut process = self.start(life);
            for _ in 0..self.plan.steps_a_life {
                self.step(&process).await;
            }
            if life < self.plan.crashes {
                self.crash(&mut process);
            } else {
                self.finish(process).await;
            }
        }
        let violations = self.oracle.judge(&self.trace);
        let size = format!("{} events, {} lines of trace, {} crashes", self.sent, self.trace.len(), self.crashes);
        Outcome { trace: self.trace, violations, size }
    }

    fn start(&mut self, life: usize) -> Process {
        let troubles = Arc::new(TroubledStore::new(self.chance.fork(1000 + life as u64), self.plan.store_troubles));
        let settings = Settings { faults: Some(troubles.clone()), sabotage: self.sabotage, ..Settings::default() };
        let store = Arc::new(MemoryStore::open(self.disk.clone(), settings));
        let clock = Clock::starting_at(self.disk.now());
        let sinks = self.sinks.iter().map(|(name, sink)| (name.clone(), sink.clone() as Arc<dyn Sink>)).collect();
        let (worker, working) = Worker {
            id: WorkerId(format!("life-{life}")),
            log: store.clone(),
            progress: store.clone(),
            dead_letters: store.clone(),
            workers: store.clone(),
            destinations: self.plan.destinations.clone(),
            sinks,
            settings: self.plan.settings.clone(),
            clock,
            seed: self.chance.next(),
        }
        .start();
        let upkeep = Upkeep {
            log: store.clone(),
            dead_letters: store.clone(),
            workers: store.clone(),
            worker: worker.clone(),
            clock,
            retain: self.plan.retain,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(working);
        tasks.spawn(upkeep.run());
        self.trace.line(format!("life {life} begins"));
        Process { store, troubles, worker, tasks }
    }

    /// Something happens, and a little time passes.
    async fn step(&mut self, process: &Process) {
        match self.chance.below(10) {
            0..=6 => self.append(process).await,
            7 if self.chance.one_in(3) => self.retry_dead_letters(process).await,
            _ => {}
        }
        let pause = if self.chance.one_in(20) { 4000 } else { 40 };
        sleep(Duration::from_millis(self.chance.below(pause))).await;
    }

    async fn append(&mut self, process: &Process) {
        let count = 1 + self.chance.below(5);
        let events: Vec<NewEvent> = (0..count).map(|_| self.event()).collect();
        let ids: Vec<EventId> = events.iter().map(|new| new.event.id.clone()).collect();
        for new in &events {
            self.oracle.sent(&new.event);
        }
        for (id, result) in ids.into_iter().zip(process.store.append(events.clone()).await) {
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
            for (new, result) in events.iter().zip(process.store.append(events.clone()).await) {
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
            id: EventId::new(&format!("e{}", self.sent)).expect("short and plain"),
            event_type: EventType::new(if self.chance.one_in(3) { "other" } else { "order.paid" })
                .expect("short and plain"),
            key: (key > 0).then(|| Key::new(&format!("k{key}")).expect("short and plain")),
            source: None,
            subject: None,
            time: None,
            content_type: "text/plain".into(),
            attributes: BTreeMap::new(),
            data: vec![7; usize::try_from(self.chance.below(300)).unwrap_or(0)].into(),
        };
        NewEvent { event, id_given: true }
    }

    async fn retry_dead_letters(&mut self, process: &Process) {
        let letters = all_dead_letters(&process.store).await;
        for letter in &letters {
            // Only what the oracle knows of: once delivered, they are gone from here.
            let selection = Selection {
                destination: Some(letter.given_up.destination.clone()),
                event_id: Some(letter.event_id.clone()),
                ..Selection::default()
            };
            let asked = process.store.retry(&selection).await.is_ok();
            self.trace.line(format!("{} is to be retried: {asked}", letter.event_id));
        }
        self.oracle.dead_letters(letters);
    }

    fn crash(&mut self, process: &mut Process) {
        let waiting = self.disk.waiting();
        let keep = usize::try_from(self.chance.below(waiting as u64 + 1)).unwrap_or(0);
        process.tasks.abort_all();
        process.store.crash(keep);
        self.crashes += 1;
        self.trace.line(format!("crash, {keep} of {waiting} writes reached the disk"));
    }

    /// From here on nothing goes wrong. Everything must come to its end, and the process too.
    async fn finish(&mut self, mut process: Process) {
        process.troubles.heal();
        for sink in self.sinks.values() {
            sink.heal();
        }
        let mut waited = Duration::ZERO;
        while !self.is_settled(&process).await {
            if waited >= SETTLE_WITHIN {
                let status = process.worker.status().await;
                self.oracle.stuck(&format!("{status:?}"));
                break;
            }
            sleep(Duration::from_secs(1)).await;
            waited += Duration::from_secs(1);
        }
        // One interval more, so that the last progress is committed.
        sleep(Duration::from_secs(1)).await;
        process.worker.stop().await;
        let worked = process.tasks.join_next().await;
        self.trace.line(format!("the worker ended: {}", worked.is_some()));
        process.tasks.abort_all();
        let letters = all_dead_letters(&process.store).await;
        self.oracle.at_the_end(&letters);
        self.oracle.dead_letters(letters);
        for partition in (0..self.plan.partitions).map(Partition) {
            if let Ok(progress) = process.store.load(partition).await
                && let Ok(bounds) = process.store.bounds(partition).await
            {
                self.oracle.progress(partition, &progress, bounds.end);
            }
        }
    }

    async fn is_settled(&self, process: &Process) -> bool {
        let Some(status) = process.worker.status().await else { return false };
        let all = status.partitions.len() == self.plan.partitions as usize;
        let settled = |status: &StatusReport| status.destinations.iter().all(|d| d.pending == 0 && d.in_flight == 0);
        // Retries that were asked for belong to what must come to its end.
        let letters = all_dead_letters(&process.store).await;
        all && settled(&status) && letters.iter().all(|letter| !letter.retry_requested)
    }
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
