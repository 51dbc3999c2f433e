//! A Redis that is away, and one that is full.

use super::scene::{PARTITIONS, Producers, Receivers, redis};
use laneway_tests::client::Client;
use laneway_tests::effort;
use laneway_tests::fleet::Fleet;
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Half, webhook};
use serde_json::json;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);

/// Waits until `/readyz` answers so, and returns what it says.
async fn readiness(client: &Client, status: u16) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client.get("/readyz").await.expect("it stays up");
        if answer.status == status {
            return answer.text();
        }
        assert!(Instant::now() < deadline, "/readyz still says {} {}", answer.status, answer.text());
        tokio::time::sleep(GLANCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_halves_outlast_a_redis_that_is_away() {
    let away = Duration::from_secs(effort::scaled(8, 60) as u64);
    let (mut redis, receivers) = (redis().await, Receivers::start().await);
    let fleet = Fleet::new(&redis.url(), PARTITIONS, "", &receivers.destinations());
    let ingests = fleet.start(Half::Ingest, 1).await;
    let workers = fleet.start(Half::Worker, 2).await;
    let mut producers = Producers::start(&ingests, 4_000, 5);
    producers.at(1_000).await;
    redis.kill();
    let said = [readiness(&ingests[0].client(), 503).await, readiness(&workers[0].client(), 503).await];
    assert!(said.iter().all(|text| text.contains("Redis")), "{said:?}");
    let answer = ingests[0].client().post("/v1/events", r#"{"type":"t","key":"k","data":1}"#).await.expect("an answer");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(!answer.header("retry-after").is_empty(), "{:?}", answer.headers);
    tokio::time::sleep(away).await;
    redis.restart().await.unwrap_or_else(|e| panic!("{e}"));
    for berth in ingests.iter().chain(&workers) {
        readiness(&berth.client(), 200).await;
    }
    let sent = producers.finish().await;
    // A lease that ran out meanwhile is a worker lost.
    receivers.check(&fleet, &sent, u64::from(PARTITIONS) * super::scene::REPEATED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_is_drained_by_delivery_and_then_takes_events_again() {
    let redis = redis().await;
    let receiver = Receiver::down(Behaviour::healthy(), 1);
    let lines = "from = \"beginning\"\nretry = { initial = \"50ms\", factor = 1.0, limit = \"1h\", jitter = 0 }\n\
                 breaker = { failures = 10 }";
    let fleet = Fleet::new(&redis.url(), 2, "retain = \"0s\"", &webhook("main", &receiver.url(), lines));
    let ingests = fleet.start(Half::Ingest, 1).await;
    let _workers = fleet.start(Half::Worker, 1).await;
    let used = redis.command(&["INFO", "memory"]).await.expect("an answer").text();
    let used: u64 = used.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok()).unwrap();
    redis.command(&["CONFIG", "SET", "maxmemory", &(used + (4 << 20)).to_string()]).await.expect("an answer");
    let client = ingests[0].client();
    let (mut accepted, mut refused) = (0_usize, None);
    for n in 0..20_000 {
        let event =
            json!({"id": format!("full-{n}"), "type": "t", "key": format!("k{}", n % 50), "data": "x".repeat(1000)});
        let answer = client.post("/v1/events", event.to_string()).await.expect("an answer");
        match answer.status {
            202 => accepted += 1,
            _ => {
                refused = Some(answer);
                break;
            }
        }
    }
    let refused = refused.expect("4 MiB are full after less than 20 MB");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!refused.header("retry-after").is_empty() && refused.text().contains("maxmemory"), "{}", refused.text());
    println!("full after {accepted} events: {}", refused.text());
    receiver.up().await;
    receiver.taken(accepted).await;
    let deadline = Instant::now() + PATIENCE;
    while client.post("/v1/events", r#"{"id":"again","type":"t","key":"k","data":1}"#).await.expect("an answer").status
        != 202
    {
        assert!(Instant::now() < deadline, "it does not recover");
        tokio::time::sleep(GLANCE).await;
    }
    receiver.taken(accepted + 1).await;
}
