//! Operators' commands through a process that has not what they are about: two workers over one store.

use async_trait::async_trait;
use laneway_app::telemetry::destinations::DestinationMetrics;
use laneway_app::worker::{ANSWERED_WITHIN, Clock, Handle, Worker, command_all};
use laneway_domain::{
    Cause, Command, Destination, DestinationChanges, DestinationName, Event, EventId, EventType, Key, LaneKey,
    NewEvent, Outcome, Partition, RetryPolicy, StartFrom,
};
use laneway_memory::{Disk, MemoryStore, Settings};
use laneway_ports::{
    Delivery, DeliveryReport, EventLog, KeptHistory, ProgressStore as _, Sink, StoreError, Stores, WorkerControl as _,
    WorkerId, Workers,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const PARTITIONS: u32 = 4;
const KEY: &str = "order-7";
/// Long enough that nothing is attempted again by itself while a test runs.
const NEVER: Duration = Duration::from_secs(100_000);

/// Where nothing is taken until it is `open`, by whichever worker it comes.
#[derive(Default)]
struct Gate {
    open: AtomicBool,
    /// It says that nothing is to be sent there any more: then the destination is paused.
    gone: AtomicBool,
    delivered: AtomicUsize,
}

#[async_trait]
impl Sink for Gate {
    async fn deliver(&self, delivery: &Delivery) -> DeliveryReport {
        let one = |_| {
            if self.open.load(Ordering::SeqCst) {
                self.delivered.fetch_add(1, Ordering::SeqCst);
                return Outcome::Delivered;
            }
            if self.gone.load(Ordering::SeqCst) {
                return Outcome::Gone { reason: "gone".to_owned() };
            }
            Outcome::retry(Cause::Refused, "closed".to_owned())
        };
        delivery.events.iter().map(one).collect::<Vec<_>>().into()
    }
}

struct Process {
    worker: Handle,
    tasks: [JoinHandle<()>; 2],
}

impl Process {
    /// Ends it without warning.
    fn kill(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    /// It works, but hears nothing of what others tell it.
    fn deafen(&self) {
        self.tasks[1].abort();
    }
}

struct Scene {
    disk: Arc<Disk>,
    store: Arc<MemoryStore>,
    gate: Arc<Gate>,
}

fn name() -> DestinationName {
    DestinationName::new("billing").unwrap()
}

fn key(key: &str) -> LaneKey {
    LaneKey::Key(Key::new(key).unwrap())
}

fn retry(at: &str) -> Command {
    Command::RetryKey { destination: name(), key: key(at).into() }
}

impl Scene {
    fn new() -> Self {
        let disk = Disk::new(PARTITIONS);
        let store = Arc::new(MemoryStore::open(disk.clone(), Settings::default()));
        Self { disk, store, gate: Arc::new(Gate::default()) }
    }

    fn start(&self, id: &str) -> Process {
        let store = Arc::new(MemoryStore::open(self.disk.clone(), Settings::default()));
        let retry = RetryPolicy { initial: NEVER, limit: NEVER * 4, total: None, ..RetryPolicy::default() };
        let destination = Destination { from: StartFrom::Beginning, retry, breaker: None, ..Destination::new(name()) };
        let clock = Clock::starting_at(self.disk.now());
        let (worker, working, upkeep) = Worker {
            id: WorkerId(id.to_owned()),
            stores: Stores::of(store),
            destinations: DestinationChanges::present(vec![destination]),
            sinks: BTreeMap::from([(name(), self.gate.clone() as Arc<dyn Sink>)]),
            settings: laneway_domain::Settings::default(),
            clock,
            seed: 1,
            retain: NEVER,
            operational: laneway_domain::OperationalSettings::default(),
            told: Vec::new(),
            spans: None,
            history: KeptHistory { max_age: Duration::from_secs(3600), max_bytes: 1 << 20 },
            metrics: DestinationMetrics::new().unwrap(),
        }
        .start();
        Process { worker, tasks: [tokio::spawn(working), tokio::spawn(upkeep)] }
    }

    /// Two workers that share the partitions, and an event that neither gets through: the worker that
    /// has its key, and the other.
    async fn blocked(&self) -> (Process, Process) {
        let (a, b) = self.two().await;
        let partition = self.append("e1", KEY).await;
        let has = a.worker.status().await.unwrap().partitions.contains(&partition);
        let (its, other) = if has { (a, b) } else { (b, a) };
        until(async || its.worker.status().await.unwrap().destinations[0].blocked_keys == 1).await;
        (its, other)
    }

    /// Two workers that share the partitions.
    async fn two(&self) -> (Process, Process) {
        let (a, b) = (self.start("a"), self.start("b"));
        for process in [&a, &b] {
            until(async || {
                let status = process.worker.status().await.unwrap();
                status.partitions.len() == PARTITIONS as usize / 2 && process.worker.not_ready().await.is_empty()
            })
            .await;
        }
        (a, b)
    }

    async fn append(&self, id: &str, key: &str) -> Partition {
        let event = Event {
            key: Some(Key::new(key).unwrap()),
            content_type: "text/plain".into(),
            ..Event::new(EventId::new(id).unwrap(), EventType::new("t").unwrap(), vec![7].into())
        };
        let appended: Vec<Result<_, StoreError>> = self.store.append(vec![NewEvent { event, id_given: true }]).await;
        let partition = appended[0].as_ref().unwrap().partition;
        assert_eq!(partition, Partition::of(key, PARTITIONS));
        partition
    }

    async fn command(&self, own: Option<&Handle>, command: Command) -> Result<bool, String> {
        command_all(&*self.store as &dyn Workers, PARTITIONS, own, command).await
    }

    async fn delivered(&self, count: usize) {
        until(async || self.gate.delivered.load(Ordering::SeqCst) == count).await;
    }
}

/// Waits, in the test's own time, which passes when nothing else is to be done.
async fn until(mut wanted: impl AsyncFnMut() -> bool) {
    for _ in 0..2000 {
        if wanted().await {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come about");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_retried_through_a_worker_that_does_not_have_it() {
    let scene = Scene::new();
    let (_its, other) = scene.blocked().await;
    scene.gate.open.store(true, Ordering::SeqCst);
    assert_eq!(scene.command(Some(&other.worker), retry(KEY)).await, Ok(true));
    scene.delivered(1).await;
    assert_eq!(scene.command(Some(&other.worker), retry(KEY)).await, Ok(false), "the key is behind no more");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_skipped_through_a_process_that_only_takes_events_in() {
    let scene = Scene::new();
    let (its, _other) = scene.blocked().await;
    let skip = Command::SkipKey { destination: name(), key: key(KEY).into() };
    assert_eq!(scene.command(None, skip).await, Ok(true));
    until(async || its.worker.status().await.unwrap().destinations[0].blocked_keys == 0).await;
    assert_eq!(scene.gate.delivered.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn what_no_worker_knows_is_said_to_be_nothing() {
    let scene = Scene::new();
    let (_its, other) = scene.blocked().await;
    for own in [Some(&other.worker), None] {
        for command in [
            retry("another"),
            Command::RetryKey { destination: name(), key: LaneKey::All.into() },
            Command::Resume { destination: name() },
            Command::Forget { destination: name() },
        ] {
            assert_eq!(scene.command(own, command.clone()).await, Ok(false), "{command:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_worker_that_has_the_key_asks_nobody() {
    let scene = Scene::new();
    let (its, other) = scene.blocked().await;
    other.deafen();
    scene.gate.open.store(true, Ordering::SeqCst);
    let asked = Instant::now();
    assert_eq!(scene.command(Some(&its.worker), retry(KEY)).await, Ok(true));
    assert_eq!(asked.elapsed(), Duration::ZERO);
    scene.delivered(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_answer_is_named_and_does_nothing_later() {
    let scene = Scene::new();
    let (its, other) = scene.blocked().await;
    its.deafen();
    scene.gate.open.store(true, Ordering::SeqCst);
    let asked = Instant::now();
    let why = scene.command(Some(&other.worker), retry(KEY)).await.unwrap_err();
    assert!(why.contains(&format!("worker {} has not answered", its.worker.id())), "{why}");
    assert!(asked.elapsed() <= ANSWERED_WITHIN, "{:?}", asked.elapsed());
    assert!(scene.store.inbox(its.worker.id()).await.unwrap().is_empty(), "it would be taken when it is too late");
    assert_eq!(scene.gate.delivered.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_a_worker_that_died_can_be_retried_once_another_has_it() {
    let scene = Scene::new();
    let (its, other) = scene.blocked().await;
    // Before it dies: what only it knows is gone with it.
    until(async || {
        let progress = scene.store.load(Partition::of(KEY, PARTITIONS)).await.unwrap();
        progress.lanes.get(&name()).is_some_and(|lane| lane.behind.values().any(|behind| behind.retry.is_some()))
    })
    .await;
    its.kill();
    scene.gate.open.store(true, Ordering::SeqCst);
    let why = scene.command(Some(&other.worker), retry(KEY)).await.unwrap_err();
    assert!(why.contains("try again in a few seconds"), "{why}");
    until(async || scene.command(Some(&other.worker), retry(KEY)).await == Ok(true)).await;
    scene.delivered(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_status_counts_what_was_accepted_before_it_was_asked_for() {
    let scene = Scene::new();
    let process = scene.start("a");
    until(async || process.worker.status().await.unwrap().partitions.len() == PARTITIONS as usize).await;
    for n in 1..=50 {
        scene.append(&format!("e{n}"), &format!("k{n}")).await;
        assert_eq!(process.worker.status().await.unwrap().destinations[0].pending, n);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_worker_it_is_said_what_to_do() {
    let why = Scene::new().command(None, retry(KEY)).await.unwrap_err();
    assert!(why.contains("start one"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_two_workers_have_made_ends_in_both() {
    let scene = Scene::new();
    scene.gate.gone.store(true, Ordering::SeqCst);
    let (a, b) = scene.two().await;
    for n in 0..16 {
        scene.append(&format!("e{n}"), &format!("k{n}")).await;
    }
    for process in [&a, &b] {
        until(async || process.worker.status().await.unwrap().destinations[0].paused.is_some()).await;
    }
    scene.gate.open.store(true, Ordering::SeqCst);
    assert_eq!(scene.command(Some(&b.worker), Command::Resume { destination: name() }).await, Ok(true));
    scene.delivered(16).await;
    b.deafen();
    let why = scene.command(None, Command::Resume { destination: name() }).await.unwrap_err();
    assert!(why.contains("worker b has not answered"), "{why}");
}
