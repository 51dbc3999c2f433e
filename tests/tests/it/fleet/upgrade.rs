//! A rolling upgrade under load: the processes of the release before are replaced one by one by those of this one, some
//! of them with `kill -9`.
//!
//! `LANEWAY_OLD_BIN` names the binary `laneway` of the release before, with `ingest` and `worker` beside it;
//! `tests/upgrade` builds it from a commit. Without it the processes are replaced by ones of the same release: what a
//! rolling restart must not lose either.

use super::scene::{PARTITIONS, Producers, REPEATED, Receivers, redis};
use laneway_servers::redis::RedisSettings;
use laneway_servers::redis_cluster::RedisCluster;
use laneway_tests::effort;
use laneway_tests::fleet::{Berth, Fleet};
use laneway_tests::server::Half;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::path::PathBuf;
use std::time::Duration;

const INGESTS: usize = 2;
const WORKERS: usize = 3;

/// The binary of the release before, if there is one to try.
fn old_release() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("LANEWAY_OLD_BIN").filter(|path| !path.is_empty())?);
    assert!(path.is_file(), "LANEWAY_OLD_BIN: there is no {}", path.display());
    Some(path)
}

/// Whether a process ends by `kill -9` or, as an operator would have it, by SIGTERM.
async fn replace(berth: &mut Berth, by: Option<PathBuf>, killed: bool) {
    if killed {
        berth.kill()
    } else {
        berth.stop()
    }
    berth.installation.use_release(by);
    berth.start().await;
}

/// Upgrades all processes over the store at `url` while events flow, and checks that nothing was lost and nothing came
/// out of order.
async fn upgrade(url: &str, store: &str, seed: u64) {
    let count = effort::scaled(6_000, 60_000);
    let mut random = StdRng::seed_from_u64(seed);
    let receivers = Receivers::start().await;
    let fleet = Fleet::new(url, PARTITIONS, store, &receivers.destinations());
    let mut berths: Vec<Berth> = Vec::new();
    for (half, n) in
        [(Half::Ingest, INGESTS), (Half::Worker, WORKERS)].iter().flat_map(|(h, n)| (0..*n).map(|n| (*h, n)))
    {
        let mut berth = fleet.berth(half, &format!("{half:?}-{n}").to_lowercase());
        berth.installation.use_release(old_release());
        berth.start().await;
        berths.push(berth);
    }
    let mut producers = Producers::start(&berths[..INGESTS], count, seed);
    let mut order: Vec<usize> = (0..berths.len()).collect();
    order.shuffle(&mut random);
    println!("seed {seed}: {count} events; replaced in the order {order:?} of {INGESTS} ingests and {WORKERS} workers");
    let (steps, mut kills) = (order.len() * 2, 0);
    for (n, one) in order.iter().copied().enumerate() {
        producers.at(count * 8 / 10 * (2 * n + 1) / steps).await;
        let killed = n % 2 == 0;
        replace(&mut berths[one], None, killed).await;
        kills += usize::from(killed);
        // Both releases are there, until the last was replaced: one of either crashes, and comes back as it was.
        producers.at(count * 8 / 10 * (2 * n + 2) / steps).await;
        tokio::time::sleep(Duration::from_micros(random.random_range(0..30_000))).await;
        let crashed = random.random_range(0..berths.len());
        let still_old = !order[..=n].contains(&crashed);
        replace(&mut berths[crashed], old_release().filter(|_| still_old), true).await;
        kills += 1;
    }
    let status = berths[0].client().get("/v1/status").await.expect("an answer").text();
    let sent = producers.finish().await;
    receivers.check(&fleet, &sent, kills as u64 * u64::from(PARTITIONS) * REPEATED).await;
    println!("{kills} kills, {} replaced", order.len());
    let status: serde_json::Value = serde_json::from_str(&status).expect("the status is JSON");
    let there = status["processes"].as_array().cloned().unwrap_or_default();
    let all_of = |role: &str| there.iter().filter(|process| process["role"] == role).count();
    // Those that were killed a moment ago may be there for some seconds yet.
    assert!(all_of("ingest") >= INGESTS && all_of("worker") >= WORKERS, "{status:#}");
    berths.iter_mut().for_each(Berth::stop);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_replaced_one_by_one_over_a_server_and_nothing_is_lost_or_out_of_order() {
    for round in 0..effort::scaled(1, 3) as u64 {
        let redis = redis().await;
        upgrade(&redis.url(), "", u64::from(rand::random::<u32>()) + round).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_replaced_one_by_one_over_a_cluster_and_nothing_is_lost_or_out_of_order() {
    if !effort::long() && old_release().is_none() {
        // What differs from the test above is the register's slot, which the adapter's tests have.
        return effort::skipped("a rolling upgrade over a Cluster: tests/upgrade --from COMMIT does it");
    }
    let cluster = RedisCluster::start(3, 3, RedisSettings::default()).await.unwrap_or_else(|e| panic!("{e}"));
    upgrade(&cluster.url(), "replicas = 1", u64::from(rand::random::<u32>())).await;
}
