//! `kill -9` of ingests, workers and Redis.

use super::scene::{PARTITIONS, Producers, REPEATED, Receivers, TAKE_OVER, leases, mark_of, redis, taken_over};
use laneway_servers::redis::RedisServer;
use laneway_tests::effort;
use laneway_tests::fleet::{Berth, Fleet};
use laneway_tests::server::Half;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// One of each in turn, at a random point.
async fn kill_something(
    n: usize,
    random: &mut StdRng,
    redis: &mut RedisServer,
    ingests: &mut [Berth],
    workers: &mut [Berth],
) -> Duration {
    match n % 3 {
        0 => {
            let worker = &mut workers[random.random_range(0..3)];
            let (before, gone) = (leases(redis).await, mark_of(worker));
            worker.kill();
            let took = taken_over(redis, &before, &gone).await;
            worker.start().await;
            return took;
        }
        1 => {
            let ingest = &mut ingests[random.random_range(0..2)];
            ingest.kill();
            ingest.start().await;
        }
        _ => {
            redis.kill();
            redis.restart().await.unwrap_or_else(|e| panic!("{e}"));
        }
    }
    Duration::ZERO
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_ingests_workers_and_redis_lose_nothing_and_keep_the_order() {
    let (count, kills) = (effort::scaled(8_000, 200_000), effort::scaled(6, 60));
    let seed: u64 = rand::random();
    println!("seed {seed}: {count} events, {kills} kills");
    let mut random = StdRng::seed_from_u64(seed);
    let (mut redis, receivers) = (redis().await, Receivers::start().await);
    let fleet = Fleet::new(&redis.url(), PARTITIONS, "", &receivers.destinations());
    let mut ingests = fleet.start(Half::Ingest, 2).await;
    let mut workers = fleet.start(Half::Worker, 3).await;
    let mut producers = Producers::start(&ingests, count, seed);
    let mut longest = Duration::ZERO;
    for n in 0..kills {
        producers.at(count * 9 / 10 * n / kills).await;
        tokio::time::sleep(Duration::from_micros(random.random_range(0..30_000))).await;
        longest = longest.max(kill_something(n, &mut random, &mut redis, &mut ingests, &mut workers).await);
    }
    let sent = producers.finish().await;
    // Of each killed worker's partitions, and of a Redis that was away for less than a lease nothing.
    receivers.check(&fleet, &sent, kills as u64 * u64::from(PARTITIONS) * REPEATED).await;
    println!("the longest take-over: {longest:?}");
    // In the short form the machine may be busy with other tests: `taken_over` allows for that.
    assert!(!effort::long() || longest <= TAKE_OVER, "{longest:?}");
    workers.iter_mut().chain(&mut ingests).for_each(Berth::stop);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_hands_over_at_once_and_repeats_nothing() {
    let (redis, receivers) = (redis().await, Receivers::start().await);
    let fleet = Fleet::new(&redis.url(), PARTITIONS, "", &receivers.destinations());
    let ingests = fleet.start(Half::Ingest, 1).await;
    let mut workers = fleet.start(Half::Worker, 2).await;
    let mut producers = Producers::start(&ingests, 4_000, 7);
    for n in 1..4 {
        producers.at(n * 1_000).await;
        let worker = &mut workers[n % 2];
        let (before, gone) = (leases(&redis).await, mark_of(worker));
        worker.stop();
        let took = taken_over(&redis, &before, &gone).await;
        println!("handed over in {took:?}");
        workers[n % 2].start().await;
    }
    let sent = producers.finish().await;
    receivers.check(&fleet, &sent, 0).await;
}

/// How long a process may take to say what it does, on a busy machine; and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(20);

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(GLANCE).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
}

/// After a power cut everything starts at once, in any order.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_before_redis_waits_for_it_and_can_be_stopped_meanwhile() {
    let mut redis = redis().await;
    redis.kill();
    let fleet = Fleet::new(&redis.url(), PARTITIONS, "", "");
    let begun = |half, name| {
        let mut berth = fleet.berth(half, name);
        berth.begin();
        berth
    };
    let (ingest, worker) = (begun(Half::Ingest, "ingest"), begun(Half::Worker, "worker"));
    let mut stopped = begun(Half::Worker, "stopped");
    for berth in [&ingest, &worker, &stopped] {
        until("it says that it waits", async || berth.installation.stderr().contains("is waited for")).await;
    }
    stopped.stop();
    redis.restart().await.unwrap_or_else(|e| panic!("{e}"));
    for berth in [&ingest, &worker] {
        let client = berth.client();
        until("it is ready", async || client.get("/readyz").await.is_ok_and(|answer| answer.status == 200)).await;
    }
}
