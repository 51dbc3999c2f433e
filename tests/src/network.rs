//! A seeded simulation of the network: producers, Laneway and receivers are hosts of their own, with
//! a simulated TCP between them. On Laneway's host run the real server, router, worker and webhook
//! sinks, over the memory store, whose disk survives a crash. A seed chooses how long messages take,
//! which are held back, who is cut off from Laneway and for how long, who crashes and comes back, which
//! connections are cut in the middle of what they carry, and how receivers misbehave.
//!
//! Everything that happens goes into a story; the oracle judges it, and what is left in the store,
//! against the guarantees. The same seed gives the same story.

mod happenings;
mod laneway;
mod operator;
mod oracle;
mod plan;
mod producer;
mod receiver;
mod story;
#[cfg(test)]
mod tests;
mod troubles;
mod wire;

pub use story::{Got, Moment, Place, What};

use crate::seeded::{Chance, Outcome};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use laneway::Machine;
use laneway_domain::{LoggedEvent, Partition};
use laneway_memory::{Disk, MemoryStore, Sabotage, Settings};
use laneway_ports::{
    DeadLetterQuery, DeadLetters as _, EventLog as _, LogRecord, MAX_DEAD_LETTER_PAGE, ProgressStore as _,
};
use operator::{End, Operator};
use oracle::Remains;
use plan::{Plan, TURN};
use producer::Producer;
use receiver::Receiver;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use story::{STEP, Story, Time};
use troubles::Troubles;
use wire::Scissors;

/// The name of Laneway's host.
const LANEWAY: &str = "laneway";
/// The name of an operator's host.
const OPERATOR: &str = "operator";
/// The port that everybody listens on.
const PORT: u16 = 80;
/// What deliveries are signed with.
const SECRET: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";
/// How much time everything may take to settle once nothing goes wrong any more. Longer than leases,
/// time-outs and the longest retry (3 s, and as much after it for each key that waits) together.
const SETTLE_WITHIN: Duration = Duration::from_secs(120);

/// Laneway renews its leases, if nothing else, this often; unless it is down.
const WRITES_WITHIN: Duration = Duration::from_secs(2);

fn id_of(key: usize, n: usize) -> String {
    format!("k{key}-{n}")
}

/// An event's data, from its id.
fn data_of(id: &str) -> Bytes {
    let padding = "x".repeat(id.bytes().map(usize::from).sum::<usize>() % 200);
    format!(r#"{{"id":"{id}","padding":"{padding}"}}"#).into()
}

fn name((partition, offset): Place) -> String {
    format!("{partition}/{offset}")
}

fn receiver_name(number: usize) -> String {
    format!("r{number}")
}

fn producer_name(number: usize) -> String {
    format!("p{number}")
}

/// Where a receiver listens. Addresses are given in the order in which hosts are first named, and
/// receivers are first.
fn url(receiver: usize) -> String {
    format!("http://192.168.0.{}:{PORT}/hook", receiver + 1)
}

/// Runs one seed. `sabotage` breaks a promise of the store on purpose.
///
/// # Panics
/// If the simulated network fails by itself.
#[must_use]
pub fn run(seed: u64, sabotage: Option<Sabotage>) -> Outcome<Moment> {
    // Simulations of one process would take each other's numbers of tasks.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    tasks_begin_evenly();
    Simulation::new(seed, sabotage).run()
}

/// A runtime that ends drops its tasks in an order that depends on their numbers modulo a small power of
/// two, and the numbers go on from one runtime of the process to the next. Here they begin alike, so
/// that a crash closes connections in the same order every time.
fn tasks_begin_evenly() {
    /// Whatever the power is, it is less.
    const EVEN: u64 = 64;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime without I/O can be made");
    while runtime.spawn(async {}).id().to_string().parse().is_ok_and(|number: u64| !number.is_multiple_of(EVEN)) {}
}

struct Simulation {
    sim: turmoil::Sim<'static>,
    chance: Chance,
    plan: Arc<Plan>,
    time: Time,
    story: Story,
    disk: Arc<Disk>,
    machine: Arc<Machine>,
    receivers: Vec<Arc<Receiver>>,
    /// Keys whose events are not all accepted yet.
    left: Arc<AtomicUsize>,
    end: Arc<End>,
}

impl Simulation {
    fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Arc::new(Plan::draw(&mut chance));
        let time = Time::default();
        let story = Story::new(time.clone());
        let of_disk = time.clone();
        let disk = Disk::with_clock(plan.partitions, move || of_disk.now());
        let scissors = Scissors::new(chance.fork(1), plan.cuts, story.trace().tally());
        let machine = Machine::new(plan.clone(), disk.clone(), story.clone(), scissors, sabotage, chance.fork(2));
        let receiver = |number: usize| {
            let fork = chance.fork(100 + number as u64);
            Arc::new(Receiver::new(number, plan.moods[number].clone(), story.clone(), fork))
        };
        let mut simulation = Self {
            sim: network(seed, &plan),
            receivers: (0..plan.destinations.len()).map(receiver).collect(),
            left: Arc::new(AtomicUsize::new(plan.keys)),
            end: Arc::default(),
            machine: Arc::new(machine),
            chance,
            plan,
            time,
            story,
            disk,
        };
        simulation.settle_hosts();
        simulation.settle_operator();
        simulation
    }

    fn settle_hosts(&mut self) {
        for (number, receiver) in self.receivers.iter().cloned().enumerate() {
            self.sim.host(receiver_name(number), move || receiver.clone().live());
        }
        let machine = self.machine.clone();
        self.sim.host(LANEWAY, move || machine.clone().live());
        for number in 0..self.plan.producers {
            let of_host = (0..self.plan.keys).filter(|key| key % self.plan.producers == number);
            let producers: Vec<Producer> = of_host
                .map(|key| Producer {
                    key,
                    plan: self.plan.clone(),
                    chance: self.chance.fork(200 + key as u64),
                    story: self.story.clone(),
                    left: self.left.clone(),
                })
                .collect();
            self.sim.client(producer_name(number), async move {
                join_all(producers.into_iter().map(Producer::produce)).await;
                Ok(())
            });
        }
    }

    fn settle_operator(&mut self) {
        let operator = Operator {
            plan: self.plan.clone(),
            chance: self.chance.fork(300),
            story: self.story.clone(),
            disk: self.disk.clone(),
            end: self.end.clone(),
        };
        self.sim.client(OPERATOR, async move {
            operator.operate().await;
            Ok(())
        });
    }

    fn run(mut self) -> Outcome<Moment> {
        let settled = self.play();
        let remains = self.remains();
        let lines = self.story.trace().lines();
        let mut violations = oracle::judge(&self.plan, &lines, &remains);
        if !settled {
            violations.push(format!("it does not come to an end within {SETTLE_WITHIN:?}"));
        }
        let (events, lives) = (remains.log.len(), remains.found.len());
        let attempts = lines.iter().filter(|(_, what)| matches!(what, What::Began { .. })).count();
        let dead = remains.dead.len();
        let tally = self.story.trace().tally();
        happenings::count(&tally, &lines);
        tally.add(happenings::DEAD_LETTER, u64::from(dead > 0));
        let size = format!("{events} events, {attempts} attempts, {lives} lives, {dead} dead letters");
        Outcome { trace: self.story.trace().clone(), violations, tally, size }
    }

    /// Everything that the seed chose, and then peace. Returns whether all came to its end.
    fn play(&mut self) -> bool {
        let mut troubles = Troubles::new(&self.plan);
        for _ in 0..self.plan.turns {
            let pause = Duration::from_millis(self.chance.below(2 * TURN));
            self.pass(pause);
            if self.chance.one_in(2) {
                self.pass_until_laneway_writes();
            }
            troubles.turn(&mut self.sim, &mut self.chance, &self.machine, &self.story);
        }
        troubles.end(&mut self.sim, &self.machine, &self.story);
        self.heal();
        self.settle() && self.settle_again()
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let until = self.sim.elapsed() + time;
        while self.sim.elapsed() < until {
            self.time.step_begins(self.sim.elapsed());
            self.sim.step().expect("no host ends with an error");
        }
        self.time.step_begins(self.sim.elapsed());
    }

    /// Lets time pass until a write of Laneway waits to be durable: between two of them there is a long
    /// time, and a crash would hardly ever come across one by chance.
    fn pass_until_laneway_writes(&mut self) {
        let begun = self.sim.elapsed();
        while !self.machine.writes() && self.sim.elapsed() - begun < WRITES_WITHIN {
            self.pass(STEP);
        }
    }

    /// From here on nothing goes wrong.
    fn heal(&self) {
        self.machine.heal();
        self.machine.scissors.put_away();
        self.receivers.iter().for_each(|receiver| receiver.heal());
        self.story.text("all is healed");
    }

    fn settle(&mut self) -> bool {
        let begun = self.sim.elapsed();
        while self.sim.elapsed() - begun < SETTLE_WITHIN {
            self.pass(Duration::from_millis(500));
            if self.left.load(Ordering::SeqCst) == 0 && self.is_settled() {
                return true;
            }
        }
        false
    }

    /// The same once more, after a replay.
    fn settle_again(&mut self) -> bool {
        self.story.text("all is settled");
        self.end.comes();
        let begun = self.sim.elapsed();
        while !self.end.is_taken() && self.sim.elapsed() - begun < SETTLE_WITHIN {
            self.pass(STEP);
        }
        self.settle()
    }

    /// Whether the store says so.
    fn is_settled(&self) -> bool {
        let store = MemoryStore::open(self.disk.clone(), Settings::default());
        (0..self.plan.partitions).map(Partition).all(|partition| {
            let progress = store.load(partition).now_or_never().and_then(Result::ok);
            let bounds = store.bounds(partition).now_or_never().and_then(Result::ok);
            progress.zip(bounds).is_some_and(|(progress, bounds)| progress.settled_below() == bounds.end)
        })
    }

    fn remains(&self) -> Remains {
        let store = MemoryStore::open(self.disk.clone(), Settings::default());
        let query = DeadLetterQuery { most: MAX_DEAD_LETTER_PAGE, ..DeadLetterQuery::default() };
        let dead = store.list(&query).now_or_never().and_then(Result::ok).unwrap_or_default();
        let read = |partition| store.read(Partition(partition), laneway_domain::Offset::ZERO, 10_000, usize::MAX);
        let chunks = (0..self.plan.partitions).filter_map(|partition| read(partition).now_or_never()?.ok());
        let log: Vec<LoggedEvent> = chunks
            .flat_map(|chunk| chunk.records)
            .filter_map(|record| match record {
                LogRecord::Event(event) => Some(event.as_ref().clone()),
                LogRecord::Corrupt { .. } => None,
            })
            .collect();
        let progress = laneway::progress(&self.disk, self.plan.partitions);
        Remains { log, dead, progress, found: self.machine.found() }
    }
}

fn network(seed: u64, plan: &Plan) -> turmoil::Sim<'static> {
    turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(STEP)
        .simulation_duration(Duration::from_secs(3600))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(plan.latency)
        .tcp_capacity(1024)
        .build()
}
