//! The host that Laneway runs on: the real server, router, worker and webhook sinks. Its disk
//! survives a crash, and nothing else does.

use super::happenings::{CRASH, CRASH_LOSES};
use super::plan::Plan;
use super::story::{Place, Story, What};
use super::wire::{Door, Scissors, SimulatedTcp};
use super::{PORT, SECRET, url};
use crate::seeded::{Chance, TroubledStore};
use async_trait::async_trait;
use futures_util::FutureExt as _;
use laneway_app::telemetry::destinations::DestinationMetrics;
use laneway_app::worker::{Clock, Handle, Worker, command_all};
use laneway_domain::{Command, DestinationChanges, Outcome, Partition, PartitionProgress, StatusReport};
use laneway_http::{Api, Limits, router, serve};
use laneway_memory::{Disk, MemoryStore, Sabotage, Settings};
use laneway_ports::{
    Delivery, DeliveryReport, KeptHistory, Operator, ProgressStore as _, Sink, Stores, WorkerControl, WorkerId,
};
use laneway_webhook::{EgressPolicy, HttpVersion, Secret, SystemResolver, WebhookConfig, WebhookSink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use turmoil::net::TcpListener;

/// What the lives of Laneway share.
pub(super) struct Machine {
    pub(super) plan: Arc<Plan>,
    pub(super) disk: Arc<Disk>,
    pub(super) story: Story,
    pub(super) scissors: Arc<Scissors>,
    pub(super) sabotage: Option<Sabotage>,
    state: Mutex<State>,
    healed: AtomicBool,
}

struct State {
    chance: Chance,
    lives: Vec<Life>,
}

/// One process, from its start to its crash.
struct Life {
    store: Arc<MemoryStore>,
    troubles: Arc<TroubledStore>,
    /// What it found settled when it began.
    found: Vec<PartitionProgress>,
}

impl Machine {
    pub(super) fn new(
        plan: Arc<Plan>,
        disk: Arc<Disk>,
        story: Story,
        scissors: Arc<Scissors>,
        sabotage: Option<Sabotage>,
        chance: Chance,
    ) -> Self {
        let state = Mutex::new(State { chance, lives: Vec::new() });
        Self { plan, disk, story, scissors, sabotage, state, healed: AtomicBool::new(false) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What each life found settled when it began, by partition.
    pub(super) fn found(&self) -> Vec<Vec<PartitionProgress>> {
        self.with(|state| state.lives.iter().map(|life| life.found.clone()).collect())
    }

    /// The store fails no more, now and in later lives.
    pub(super) fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
        self.with(|state| state.lives.iter().for_each(|life| life.troubles.heal()));
    }

    /// Whether a write of the process waits to be durable.
    pub(super) fn writes(&self) -> bool {
        self.with(|state| state.lives.last().is_some_and(|life| life.store.waiting() > 0))
    }

    /// The process dies. Chance says which of its writes that wait reach the disk.
    pub(super) fn lose_the_process(&self) {
        let text = self.with(|state| {
            let life = state.lives.last()?;
            let waiting = life.store.waiting();
            let keep = usize::try_from(state.chance.below(waiting as u64 + 1)).unwrap_or(0);
            life.store.crash(keep);
            self.story.count(if keep < waiting { CRASH_LOSES } else { CRASH });
            Some(format!("laneway crashes, {keep} of {waiting} writes reach the disk"))
        });
        self.story.text(text.unwrap_or_else(|| "laneway crashes before it began".to_owned()));
    }

    /// A new process has the disk.
    fn begin(&self) -> (usize, Arc<MemoryStore>, u64) {
        let found = progress(&self.disk, self.plan.partitions);
        self.with(|state| {
            let number = state.lives.len();
            let chance = state.chance.fork(number as u64);
            let troubles = Arc::new(TroubledStore::new(chance, self.plan.store_troubles, self.story.trace().tally()));
            if self.healed.load(Ordering::SeqCst) {
                troubles.heal();
            }
            let settings = Settings { faults: Some(troubles.clone()), sabotage: self.sabotage, ..Settings::default() };
            let store = Arc::new(MemoryStore::open(self.disk.clone(), settings));
            state.lives.push(Life { store: store.clone(), troubles, found });
            (number, store, state.chance.next())
        })
    }

    /// Runs a process until it is dropped.
    pub(super) async fn live(self: Arc<Self>) -> turmoil::Result {
        let (life, store, seed) = self.begin();
        self.story.happened(What::Started(life));
        let clock = Clock::starting_at(self.disk.now());
        let sinks = (0..self.plan.destinations.len()).map(|to| {
            let sink: Arc<dyn Sink> = Arc::new(self.watched_sink(life, to));
            (self.plan.destinations[to].name.clone(), sink)
        });
        let (worker, working, upkeep) = Worker {
            id: WorkerId(format!("life-{life}")),
            stores: Stores::of(store.clone()),
            sinks: sinks.collect(),
            destinations: DestinationChanges::present(self.plan.destinations.clone()),
            settings: self.plan.settings.clone(),
            clock,
            seed,
            // The oracle reads the whole log in the end.
            retain: Duration::from_secs(24 * 3600),
            operational: laneway_domain::OperationalSettings::default(),
            told: Vec::new(),
            spans: None,
            history: KeptHistory { max_age: Duration::from_secs(3600), max_bytes: 1 << 20 },
            metrics: DestinationMetrics::new().expect("their names are right"),
        }
        .start();
        tokio::spawn(working);
        tokio::spawn(upkeep);
        let limits = Limits {
            header_timeout: Duration::from_secs(3),
            body_timeout: Duration::from_secs(3),
            ..Limits::default()
        };
        let operations = Everyone { worker, store: store.clone(), partitions: self.plan.partitions };
        let api = Api {
            log: Some(store.clone()),
            dead_letters: store.clone(),
            lookup: None,
            operations: Some(Arc::new(Operator::new(Arc::new(operations), Stores::of(store)))),
            destinations: None,
            token_admin: None,
            tenant_admin: None,
            tenant_door: None,
            metrics: Arc::new(String::new),
            spans: None,
            limits: limits.clone().into(),
            tokens: laneway_http::Tokens::default(),
            tenants: laneway_http::CurrentActBounds::default(),
            hosts: laneway_http::Hosts::new([super::LANEWAY]).expect("a host's name"),
        };
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        let door = Door { listener, scissors: self.scissors.clone() };
        serve(door, router(api), limits, std::future::pending()).await;
        Ok(())
    }

    fn watched_sink(&self, life: usize, to: usize) -> WatchedSink {
        let config = WebhookConfig {
            secrets: vec![Secret::new(SECRET)],
            timeout: self.plan.timeout,
            reject: vec![super::plan::REJECTED],
            batch: self.plan.destinations[to].batch.max_events > 1,
            http: if self.plan.http2[to] { HttpVersion::Http2 } else { HttpVersion::Auto },
            // The simulated network has private addresses.
            egress: EgressPolicy::allowing(["192.168.0.0/16".parse().expect("a range")]),
            ..WebhookConfig::new(url(to))
        };
        let scissors = if to == super::plan::STEADY { super::wire::none() } else { self.scissors.clone() };
        let sink = WebhookSink::with_dial(config, Arc::new(SystemResolver), SimulatedTcp(scissors));
        let sink = sink.expect("the settings are good").with_clock(clock);
        WatchedSink { life, to, sink, story: self.story.clone() }
    }
}

/// The simulation's time. Not the system's: HTTP/2 packs headers, so that one second's digits take more bytes than
/// another's, and a connection that is cut after so many would carry more or less of them.
fn clock() -> SystemTime {
    UNIX_EPOCH + turmoil::sim_elapsed().unwrap_or_default()
}

/// The worker, and whoever else may have a partition: the worker of a life before has them until its leases end.
struct Everyone {
    worker: Handle,
    store: Arc<MemoryStore>,
    partitions: u32,
}

#[async_trait]
impl WorkerControl for Everyone {
    async fn status(&self) -> Option<StatusReport> {
        self.worker.status().await
    }

    fn own_worker(&self) -> Option<&WorkerId> {
        self.worker.own_worker()
    }

    async fn command(&self, command: Command) -> Result<bool, String> {
        command_all(&*self.store, self.partitions, Some(&self.worker), command).await
    }

    async fn not_ready(&self) -> Vec<String> {
        self.worker.not_ready().await
    }
}

/// Stored progress, by partition.
pub(super) fn progress(disk: &Arc<Disk>, partitions: u32) -> Vec<PartitionProgress> {
    let store = MemoryStore::open(disk.clone(), Settings::default());
    let load = |partition| store.load(Partition(partition)).now_or_never().and_then(Result::ok).unwrap_or_default();
    (0..partitions).map(load).collect()
}

/// The webhook sink, and a line of the story for what goes out and what comes back.
struct WatchedSink {
    life: usize,
    to: usize,
    sink: WebhookSink<SimulatedTcp>,
    story: Story,
}

#[async_trait]
impl Sink for WatchedSink {
    async fn deliver(&self, delivery: &Delivery) -> DeliveryReport {
        let (life, to) = (self.life, self.to);
        let places = delivery.events.iter().map(|attempted| {
            let event = &attempted.event;
            ((event.partition.0, event.offset.0), attempted.attempt)
        });
        let events: Vec<(Place, u32)> = places.collect();
        self.story.happened(What::Began { life, to, events: events.clone() });
        let report = self.sink.deliver(delivery).await;
        let outcomes = &report.outcomes;
        // Of a batch that was refused each event is tried alone.
        let alone = events.len() == 1;
        let settled = |outcome: &Outcome| match outcome {
            Outcome::Delivered => true,
            Outcome::Rejected { .. } => alone,
            _ => false,
        };
        let outcome = match outcomes.first() {
            Some(first @ (Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Gone { reason })) => {
                format!("{}: {reason}", first.label())
            }
            first => first.map_or("nothing", Outcome::label).to_owned(),
        };
        let events = events.iter().zip(outcomes).map(|((place, _), outcome)| (*place, settled(outcome))).collect();
        self.story.happened(What::Heard { life, to, events, outcome });
        report
    }
}
