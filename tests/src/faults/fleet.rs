//! Ingests and workers over one Redis, which faults are injected into: processes, Redis, and the way between.

use super::load::{Load, Sending};
use super::preload::Preload;
use super::proxy::Proxy;
use super::site::{DESTINATION, judge, panics};
use super::table::Row;
use crate::client::Client;
use crate::fleet::{Berth, Fleet};
use crate::receiver::{Behaviour, Receiver};
use crate::server::{Half, webhook};
use crate::store::Stored;
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

/// Two ingests, two workers, one Redis and one receiver.
#[derive(Debug)]
pub struct RedisFleet {
    fleet: Fleet,
    /// The Redis.
    pub redis: RedisServer,
    /// What stands between Redis and all processes.
    pub way: Proxy,
    /// Takes everything.
    pub receiver: Receiver,
    /// What is preloaded into Redis from its next start on.
    pub preload: Preload,
    /// All processes: ingests, then workers.
    pub members: Vec<Berth>,
    /// What chance decides.
    pub random: StdRng,
}

impl RedisFleet {
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
        let destination = webhook(DESTINATION, &receiver.url(), PATIENT);
        let fleet = Fleet::new(&format!("redis://{}", way.address()), PARTITIONS, store, &destination);
        let random = StdRng::seed_from_u64(seed);
        let mut started = Self { fleet, redis, way, receiver, preload, members: Vec::new(), random };
        started.restart_redis().await;
        for half in [Half::Ingest, Half::Worker] {
            started.members.extend(started.fleet.start(half, 2).await);
        }
        Some(started)
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

    /// Waits until every ingest tells of `what` in `/readyz`, or no longer.
    ///
    /// # Panics
    /// If that does not come about.
    pub async fn ingests_tell(&self, what: &str, told: bool) {
        for ingest in self.of(Half::Ingest) {
            until_told(&self.members[ingest].client(), what, told).await;
        }
    }

    /// The places of one half in [`RedisFleet::members`].
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
    pub async fn stored(&self) -> Vec<Stored> {
        self.fleet.events().await
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

/// Waits until `/readyz` names `what`, or does not name it any more.
///
/// # Panics
/// If that does not come about.
pub(super) async fn until_told(client: &Client, what: &str, told: bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client.get("/readyz").await.map(|answer| answer.text());
        if answer.as_ref().is_ok_and(|text| text.contains(what) == told) {
            return;
        }
        assert!(Instant::now() < deadline, "/readyz should tell of {what:?}: {told}; it says {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
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
