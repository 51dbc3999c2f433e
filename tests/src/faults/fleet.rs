//! Ingests and workers over one Redis, which faults are injected into: processes, Redis, and the way between.

use super::load::{Load, Sending};
use super::preload::Preload;
use super::proxy::Proxy;
use super::site::{DESTINATION, judge, panics};
use super::table::Row;
use crate::client::Client;
use crate::ports;
use crate::receiver::{Behaviour, Receiver};
use crate::server::{Installation, Running, webhook};
use crate::store::Stored;
use laneway_ports::{EventLog, LogRecord};
use laneway_redis::{RedisOptions, RedisStore};
use laneway_servers::redis::{RedisServer, RedisSettings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 8;
/// How long deliveries may take to come to their end after the last fault.
const PATIENCE: Duration = Duration::from_secs(60);
/// A stop that takes longer is worth a line.
const SLOW_STOP: Duration = Duration::from_secs(3);
/// A destination whose events are never given up while a test runs.
pub(super) const PATIENT: &str = r#"retry = { initial = "50ms", factor = 1.5, limit = "1h" }"#;

/// Which half of Laneway a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// `ingest`.
    Ingest,
    /// `worker`.
    Worker,
}

/// A process with a folder and an address of its own.
#[derive(Debug)]
pub struct Member {
    half: Half,
    /// Where it runs.
    pub installation: Installation,
    running: Option<Running>,
}

/// Two ingests, two workers, one Redis and one receiver.
#[derive(Debug)]
pub struct Fleet {
    /// The Redis.
    pub redis: RedisServer,
    /// What stands between Redis and all processes.
    pub way: Proxy,
    /// Takes everything.
    pub receiver: Receiver,
    /// What is preloaded into Redis from its next start on.
    pub preload: Preload,
    /// All processes: ingests, then workers.
    pub members: Vec<Member>,
    /// What chance decides.
    pub random: StdRng,
}

impl Member {
    fn new(half: Half, store: &str, receiver: &Receiver) -> Self {
        let installation = Installation::bare();
        let (own, other) = (installation.address(), ports::free());
        let (ingest, worker) = if half == Half::Ingest { (own, other) } else { (other, own) };
        let destination = webhook(DESTINATION, &receiver.url(), PATIENT);
        installation.write_config(&format!(
            "[server]\nlisten = \"{ingest}\"\n[worker]\nlisten = \"{worker}\"\n[store]\n{store}\npartitions = {PARTITIONS}\n\
             [egress]\nallow = [\"127.0.0.0/8\"]\n\n{destination}\n"
        ));
        Self { half, installation, running: None }
    }

    /// Starts it, and waits until it is ready.
    pub async fn start(&mut self) {
        // The binary beside `laneway`, of which the shell is told.
        let program = match self.half {
            Half::Ingest => "exec \"$(dirname \"$0\")/ingest\"",
            Half::Worker => "exec \"$(dirname \"$0\")/worker\"",
        };
        self.running = Some(self.installation.start_under(&["sh", "-c", program], &[]).await);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }

    /// SIGTERM, and waits for a good end.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        self.running.as_ref().expect("it runs").signal(name);
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.installation.address())
    }
}

impl Fleet {
    /// Starts Redis, and then all processes. `None` where there is no Redis.
    ///
    /// # Panics
    /// If Laneway does not start.
    pub async fn start(settings: RedisSettings, store: &str) -> Option<Self> {
        let redis = match RedisServer::start(settings).await {
            Ok(redis) => redis,
            Err(why) => {
                crate::effort::skipped(&format!("faults of Redis: {why}"));
                return None;
            }
        };
        let way = Proxy::before(redis.address()).await;
        let receiver = Receiver::start(Behaviour::healthy(), 1).await;
        let preload = Preload::new(redis.folder(), "appendonlydir/");
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let store = format!("url = \"redis://{}\"\n{store}", way.address());
        let halves = [Half::Ingest, Half::Ingest, Half::Worker, Half::Worker];
        let members = halves.into_iter().map(|half| Member::new(half, &store, &receiver)).collect();
        let mut fleet = Self { redis, way, receiver, preload, members, random: StdRng::seed_from_u64(seed) };
        fleet.restart_redis().await;
        for member in &mut fleet.members {
            member.start().await;
        }
        Some(fleet)
    }

    /// Starts Redis again with its data and what is preloaded.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart_redis(&mut self) {
        self.redis.with_environment(&self.preload.variables());
        self.redis.restart().await.expect("Redis starts again");
    }

    /// The addresses that events are sent to.
    #[must_use]
    pub fn ingests(&self) -> Vec<SocketAddr> {
        self.members.iter().filter(|m| m.half == Half::Ingest).map(|m| m.installation.address()).collect()
    }

    /// The places of one half in [`Fleet::members`].
    #[must_use]
    pub fn of(&self, half: Half) -> Vec<usize> {
        (0..self.members.len()).filter(|n| self.members[*n].half == half).collect()
    }

    /// Producers.
    pub fn load(&mut self) -> Load {
        Load::start(&self.ingests(), self.random.random())
    }

    /// Some events more, and then off the beat of their answers.
    pub async fn a_while(&mut self, load: &mut Load) {
        load.more(self.random.random_range(20..200)).await;
        tokio::time::sleep(Duration::from_micros(self.random.random_range(0..20_000))).await;
    }

    /// What the store holds.
    ///
    /// # Panics
    /// If it cannot be read.
    pub async fn stored(&self) -> Vec<Stored> {
        let options = RedisOptions {
            durability: laneway_redis::Durability::Relaxed,
            ..RedisOptions::new(self.redis.url(), PARTITIONS)
        };
        let store = RedisStore::connect(options).await.expect("the store opens");
        let mut stored = Vec::new();
        for partition in (0..PARTITIONS).map(laneway_domain::Partition) {
            let mut from = laneway_domain::Offset(0);
            loop {
                let chunk = store.read(partition, from, 1000, 16 << 20).await.expect("the log can be read");
                for record in &chunk.records {
                    let LogRecord::Event(event) = record else { panic!("a record cannot be read: {record:?}") };
                    stored.push(Stored {
                        partition: partition.0,
                        offset: event.offset.0,
                        id: event.event.id.as_str().to_owned(),
                        key: event.event.key.as_ref().map(|key| key.as_str().to_owned()),
                        data: event.event.data.clone(),
                    });
                }
                if chunk.records.is_empty() {
                    break;
                }
                from = chunk.next;
            }
        }
        stored
    }

    /// Waits until all was delivered, ends all processes, and compares what was promised with what
    /// the store holds and what the receiver has seen.
    pub async fn finish(mut self, fault: &str, injected: usize, sending: Sending) -> Row {
        let (stored, twice) = once(self.stored().await);
        until_taken(&stored, &self.receiver).await;
        for member in &mut self.members {
            let begun = Instant::now();
            // What stands between it and Redis goes on meanwhile, and may be a task of this very thread.
            tokio::task::block_in_place(|| member.stop());
            if begun.elapsed() > SLOW_STOP {
                println!("{:?} took {:?} to stop", member.half, begun.elapsed());
            }
        }
        let mut row = judge(&stored, &self.receiver.record(), &sending);
        row.wrong.extend(twice);
        row.wrong.extend(self.members.iter().flat_map(|member| panics(&member.installation)));
        Row { fault: fault.to_owned(), injected, ..row }
    }
}

/// Waits until the receiver has taken all of them, or long enough.
pub(super) async fn until_taken(stored: &[Stored], receiver: &Receiver) {
    let deadline = Instant::now() + PATIENCE;
    let missing = || {
        let record = receiver.record();
        stored.iter().any(|event| !record.taken.contains_key(&event.id))
    };
    while missing() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The events without those whose id is stored a second time, which is said.
pub(super) fn once(stored: Vec<Stored>) -> (Vec<Stored>, Vec<String>) {
    let mut places = BTreeMap::new();
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    for event in stored {
        let place = (event.partition, event.offset);
        match places.insert(event.id.clone(), place) {
            None => once.push(event),
            Some(first) => twice.push(format!("{} is stored twice, at {first:?} and {place:?}", event.id)),
        }
    }
    (once, twice)
}
