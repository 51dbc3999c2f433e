//! Ingests and workers over a Redis Cluster, or behind a Sentinel, whose nodes faults are injected into.

use super::fleet::{PATIENT, once, until_taken, until_told};
use super::load::{Load, Sending};
use super::site::{DESTINATION, judge, panics};
use super::table::Row;
use crate::fleet::{Berth, Fleet};
use crate::receiver::{Behaviour, Receiver};
use crate::server::{Half, webhook};
use laneway_servers::redis::RedisSettings;
use laneway_servers::redis_cluster::{RedisCluster, slot_of};
use laneway_servers::redis_sentinel::RedisSentinel;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

const PARTITIONS: u32 = 8;
/// Primaries, and as many replicas.
const PRIMARIES: usize = 3;
/// A slot of each third of the Cluster's: the primaries take turns.
const SLOTS: [u16; PRIMARIES] = [1_000, 7_000, 13_000];

/// Two ingests, two workers and one receiver over a Cluster of six nodes, or a Sentinel with two servers. Each event is
/// at a replica before it is acknowledged.
#[derive(Debug)]
pub struct Replicated<S> {
    /// The nodes.
    pub servers: S,
    /// What chance decides.
    pub random: StdRng,
    fleet: Fleet,
    receiver: Receiver,
    ingests: Vec<Berth>,
    workers: Vec<Berth>,
}

/// Over a Cluster.
pub type ClusterFleet = Replicated<RedisCluster>;
/// Over a Sentinel.
pub type SentinelFleet = Replicated<RedisSentinel>;

impl ClusterFleet {
    /// Starts all of it. `None` where there is no Redis.
    ///
    /// # Panics
    /// If Laneway does not start.
    pub async fn start() -> Option<Self> {
        let cluster = there(RedisCluster::start(PRIMARIES, PRIMARIES, RedisSettings::default()).await)?;
        let url = cluster.url();
        Some(Self::over(cluster, &url).await)
    }

    /// A slot for the nth fault, and the node that is its primary.
    ///
    /// # Panics
    /// If nobody knows.
    pub async fn primary(&self, n: usize) -> (u16, usize) {
        let slot = SLOTS[n % SLOTS.len()];
        (slot, self.servers.primary_of(slot).await.expect("the Cluster knows"))
    }

    /// A slot in which there is something of the store.
    pub fn used_slot(&mut self) -> u16 {
        let all = (0..PARTITIONS).map(|partition| format!("laneway:{partition}"));
        let all: Vec<String> = all.chain(["laneway", "laneway:registry"].map(str::to_owned)).collect();
        slot_of(all.choose(&mut self.random).map_or("laneway", String::as_str))
    }

    /// Waits until each primary has its replica again, and something new is delivered.
    ///
    /// # Panics
    /// If that does not come about.
    pub async fn at_rest(&self) {
        self.servers.wait_replicated(PRIMARIES).await.expect("the Cluster comes to rest");
        self.delivering().await;
    }
}

impl SentinelFleet {
    /// Starts all of it. `None` where there is no Redis.
    ///
    /// # Panics
    /// If Laneway does not start.
    pub async fn start() -> Option<Self> {
        let sentinel = there(RedisSentinel::start(RedisSettings::default()).await)?;
        let url = sentinel.url();
        Some(Self::over(sentinel, &url).await)
    }

    /// Waits until the primary has its replica again, and something new is delivered.
    ///
    /// # Panics
    /// If that does not come about.
    pub async fn at_rest(&self) {
        self.servers.wait_replicated().await.expect("the replica follows");
        self.delivering().await;
    }
}

fn there<S>(started: Result<S, String>) -> Option<S> {
    started.map_err(|why| crate::effort::skipped(&format!("faults of Redis with replicas: {why}"))).ok()
}

impl<S> Replicated<S> {
    async fn over(servers: S, url: &str) -> Self {
        let receiver = Receiver::start(Behaviour::healthy(), 1).await;
        let destination = webhook(DESTINATION, &receiver.url(), PATIENT);
        let fleet = Fleet::new(url, PARTITIONS, "replicas = 1", &destination);
        let (ingests, workers) = (fleet.start(Half::Ingest, 2).await, fleet.start(Half::Worker, 2).await);
        let seed: u64 = rand::random();
        println!("seed {seed}");
        Self { servers, random: StdRng::seed_from_u64(seed), fleet, receiver, ingests, workers }
    }

    /// Producers.
    pub fn load(&mut self) -> Load {
        let ingests: Vec<_> = self.ingests.iter().map(|berth| berth.installation.address()).collect();
        Load::start(&ingests, self.random.random())
    }

    /// Some events more, and then off the beat of their answers.
    pub async fn a_while(&mut self, load: &mut Load) {
        load.more(self.random.random_range(20..200)).await;
        tokio::time::sleep(Duration::from_micros(self.random.random_range(0..20_000))).await;
    }

    /// Waits until something new is delivered.
    ///
    /// # Panics
    /// If that does not come about.
    pub async fn delivering(&self) {
        let before = self.receiver.record().taken.len();
        self.receiver.until("something new is delivered", |record| record.taken.len() > before).await;
    }

    /// Waits until every ingest tells of `what` in `/readyz`, or no longer.
    ///
    /// # Panics
    /// If that does not come about.
    pub async fn ingests_tell(&self, what: &str, told: bool) {
        for ingest in &self.ingests {
            until_told(&ingest.client(), what, told).await;
        }
    }

    /// Waits until all was delivered, ends all processes, and compares what was promised with what
    /// the store holds and what the receiver has seen.
    pub async fn finish(mut self, fault: &str, injected: usize, sending: Sending) -> Row {
        let (stored, twice) = once(self.fleet.events().await);
        until_taken(&stored, &self.receiver).await;
        let berths = || self.ingests.iter().chain(&self.workers);
        let said: Vec<String> = berths().flat_map(|berth| panics(&berth.installation)).collect();
        self.ingests.iter_mut().chain(&mut self.workers).for_each(Berth::stop);
        let mut row = judge(&stored, &self.receiver.record(), &sending);
        row.wrong.extend(twice.into_iter().chain(said));
        Row { fault: fault.to_owned(), injected, ..row }
    }
}
