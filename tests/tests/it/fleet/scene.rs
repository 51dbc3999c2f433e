//! What the tests have in common: a Redis, a receiver, processes, producers, and what is checked in the end.

use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_tests::checker;
use laneway_tests::fleet::{Berth, Fleet};
use laneway_tests::producer::{Sent, produce};
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::webhook;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) const PARTITIONS: u32 = 8;
/// How long a partition may be without a worker (issue 3), and how much longer it may be on a machine
/// that does other things at the same time. The measured time is printed.
pub(crate) const TAKE_OVER: Duration = Duration::from_secs(7);
const SLACK: Duration = Duration::from_secs(8);
/// Settlements and attempts that one partition may repeat after a kill, by default.
pub(crate) const REPEATED: u64 = 512 + 64;
const PRODUCERS: usize = 16;
const KEYS_EACH: usize = 25;
const GLANCE: Duration = Duration::from_millis(20);

pub(crate) async fn redis() -> RedisServer {
    RedisServer::start(RedisSettings::default()).await.unwrap_or_else(|e| panic!("{e}"))
}

/// A healthy receiver, and one that fails a tenth of the attempts.
pub(crate) struct Receivers {
    pub(crate) healthy: Receiver,
    pub(crate) failing: Receiver,
}

impl Receivers {
    pub(crate) async fn start() -> Self {
        Self {
            healthy: Receiver::start(Behaviour::healthy(), 1).await,
            failing: Receiver::start(Behaviour::failing(0.1), 2).await,
        }
    }

    pub(crate) fn destinations(&self) -> String {
        let retry = "from = \"beginning\"\nretry = { initial = \"20ms\", limit = \"60s\" }";
        [
            webhook("healthy", &self.healthy.url(), "from = \"beginning\""),
            webhook("failing", &self.failing.url(), retry),
        ]
        .join("\n")
    }

    /// Waits for all of the store's events, and checks the guarantees.
    pub(crate) async fn check(&self, fleet: &Fleet, sent: &[Sent], duplicates: u64) {
        let stored = fleet.events().await;
        let held: BTreeSet<&str> = stored.iter().map(|event| event.id.as_str()).collect();
        let accepted: Vec<&String> = sent.iter().flat_map(|s| &s.accepted).collect();
        let lost: Vec<&&String> = accepted.iter().filter(|id| !held.contains(id.as_str())).collect();
        assert!(lost.is_empty(), "{} events had their 202 and are not in the store: {lost:?}", lost.len());
        println!("{} events accepted, {} in the store", accepted.len(), stored.len());
        for (name, receiver) in [("healthy", &self.healthy), ("failing", &self.failing)] {
            receiver.taken(stored.len()).await;
            let dead = fleet.dead_letters(name).await;
            assert!(dead.is_empty(), "{name} has dead letters: {dead:?}");
            let found = checker::check(&stored, &receiver.record(), &dead, false);
            println!("{name}: {found}; duplicates at most {duplicates}");
            found.assert_clean(name);
            assert!(found.duplicates <= duplicates, "{name}: {} duplicates", found.duplicates);
        }
    }
}

/// Producers, each at one of the ingests.
pub(crate) struct Producers {
    tasks: Vec<JoinHandle<Sent>>,
    pub(crate) progress: watch::Receiver<usize>,
}

impl Producers {
    pub(crate) fn start(ingests: &[Berth], count: usize, seed: u64) -> Self {
        let (sender, progress) = watch::channel(0);
        let one = |p: usize| {
            let keys: Vec<String> = (0..KEYS_EACH).map(|k| format!("key-{p}-{k}")).collect();
            let (client, sender) = (ingests[p % ingests.len()].client(), sender.clone());
            tokio::spawn(async move {
                produce(client, &format!("p{p}"), &keys, count / PRODUCERS, seed + p as u64, &sender).await
            })
        };
        Self { tasks: (0..PRODUCERS).map(one).collect(), progress }
    }

    /// Waits until this many events are done with.
    pub(crate) async fn at(&mut self, point: usize) {
        self.progress.wait_for(|done| *done >= point).await.expect("the producers are not done");
    }

    pub(crate) async fn finish(self) -> Vec<Sent> {
        let mut sent = Vec::new();
        for task in self.tasks {
            sent.push(task.await.expect("a producer ends well"));
        }
        sent
    }
}

/// Who has each partition, by the store: worker and epoch. `None`: nobody.
pub(crate) async fn leases(redis: &RedisServer) -> Vec<Option<(String, u64)>> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let key = format!("{{laneway:{partition}}}:lease");
        let lease = redis.command(&["HMGET", &key, "worker", "epoch"]).await;
        all.push(lease.ok().and_then(|lease| match lease.items() {
            [worker, epoch] => Some((worker.text(), epoch.text().parse().ok()?)),
            _ => None,
        }));
    }
    all
}

/// Waits until every partition that `before` says was somebody's of `gone` is somebody else's, and
/// returns how long that took.
pub(crate) async fn taken_over(redis: &RedisServer, before: &[Option<(String, u64)>], gone: &str) -> Duration {
    let started = Instant::now();
    let some = before.iter().flatten().any(|(worker, _)| worker.contains(gone));
    assert!(some, "{gone} has no partition to be taken over: {before:?}");
    loop {
        let now = leases(redis).await;
        let theirs = |lease: &Option<(String, u64)>| lease.as_ref().is_some_and(|(worker, _)| worker.contains(gone));
        let left = before.iter().zip(&now).filter(|(was, is)| theirs(was) && (is.is_none() || theirs(is))).count();
        if left == 0 {
            return started.elapsed();
        }
        assert!(started.elapsed() < TAKE_OVER + SLACK, "{left} partitions of {gone} are still nobody's: {now:?}");
        tokio::time::sleep(GLANCE).await;
    }
}

/// Something of a worker's id that no other has: host, process and a random number.
pub(crate) fn mark_of(worker: &Berth) -> String {
    format!("-{}-", worker.running().pid())
}
