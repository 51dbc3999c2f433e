//! Processes that start before their Redis is there, or before it answers as it will: they wait, say why, and go on by
//! themselves.

use super::scene::PARTITIONS;
use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_tests::fleet::{Berth, Fleet};
use laneway_tests::server::{Half, tail};
use std::time::{Duration, Instant};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(20);

/// A process of each half, which wait because of `why`.
async fn waiting(fleet: &Fleet, why: &str) -> Vec<Berth> {
    let mut berths = Vec::new();
    for half in [Half::Ingest, Half::Worker] {
        let mut berth = fleet.berth(half, &format!("{half:?}"));
        berth.begin();
        berths.push(berth);
    }
    for berth in &mut berths {
        let deadline = Instant::now() + PATIENCE;
        while !berth.installation.stderr().contains(why) {
            let said = berth.installation.stderr();
            assert!(Instant::now() < deadline, "{:?} does not say {why:?}: {}", berth.half, tail(&said));
            assert!(!berth.has_ended(), "{:?} has ended: {}", berth.half, tail(&said));
            tokio::time::sleep(GLANCE).await;
        }
    }
    berths
}

async fn go_on(mut berths: Vec<Berth>) {
    for berth in &mut berths {
        berth.become_ready().await;
        berth.stop();
    }
}

fn fleet(server: &RedisServer) -> Fleet {
    Fleet::new(&server.url(), PARTITIONS, "", "")
}

async fn server(settings: RedisSettings) -> RedisServer {
    RedisServer::start(settings).await.unwrap_or_else(|e| panic!("{e}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_not_there_yet_is_waited_for() {
    let mut redis = server(RedisSettings::default()).await;
    redis.kill();
    let berths = waiting(&fleet(&redis), "Connection refused").await;
    redis.restart().await.unwrap_or_else(|e| panic!("{e}"));
    go_on(berths).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_can_be_told_to_stop() {
    let mut redis = server(RedisSettings::default()).await;
    redis.kill();
    for mut berth in waiting(&fleet(&redis), "Connection refused").await {
        berth.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_loads_its_data_is_waited_for() {
    let mut redis = server(RedisSettings::default()).await;
    for n in 0..20 {
        let keys: Vec<String> = (0..500).map(|k| format!("k{n}-{k}")).collect();
        let set: Vec<&str> = std::iter::once("MSET").chain(keys.iter().flat_map(|key| [key.as_str(), "v"])).collect();
        redis.command(&set).await.expect("Redis obeys");
    }
    redis.command(&["BGREWRITEAOF"]).await.expect("Redis obeys");
    while redis.command(&["INFO", "persistence"]).await.expect("Redis answers").field("aof_rewrite_in_progress")
        != Some("0".to_owned())
    {
        tokio::time::sleep(GLANCE).await;
    }
    // Microseconds for each of the 10,000 keys.
    redis.with_setting("key-load-delay", 200);
    redis.with_setting("loading-process-events-interval-bytes", 1024);
    redis.launch().unwrap_or_else(|e| panic!("{e}"));
    go_on(waiting(&fleet(&redis), "still loads its data").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_its_primary_is_waited_for() {
    let mut primary = server(RedisSettings::default()).await;
    let away = primary.address();
    primary.kill();
    let redis = server(RedisSettings::default()).await;
    redis.command(&["CONFIG", "SET", "replica-serve-stale-data", "no"]).await.expect("Redis obeys");
    let (host, port) = (away.ip().to_string(), away.port().to_string());
    redis.command(&["REPLICAOF", &host, &port]).await.expect("Redis obeys");
    let berths = waiting(&fleet(&redis), "is a replica whose primary is away").await;
    redis.command(&["REPLICAOF", "NO", "ONE"]).await.expect("Redis obeys");
    go_on(berths).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_down_is_waited_for() {
    let redis = server(RedisSettings::default().with("cluster-enabled", "yes")).await;
    let url = redis.url().replace("redis://", "redis-cluster://");
    let fleet = Fleet::new(&url, PARTITIONS, "", "");
    redis.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16000"]).await.expect("Redis obeys");
    let berths = waiting(&fleet, "is down, or a part of it").await;
    redis.command(&["CLUSTER", "ADDSLOTSRANGE", "16001", "16383"]).await.expect("Redis obeys");
    go_on(berths).await;
}
