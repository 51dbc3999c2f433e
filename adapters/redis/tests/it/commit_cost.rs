//! What commits cost Redis: printed, not asserted (`cargo test -p laneway-redis commit_cost -- --nocapture`).

use crate::support::{new_store, open, server};
use laneway_domain::{
    Backoff, Behind, Commit, DestinationName, Failure, Key, LaneChange, LaneKey, Offset, Partition, Position, Timestamp,
};
use laneway_ports::{EventLog, Lease, ProgressStore, WorkerId};
use laneway_redis::RedisStore;
use laneway_servers::redis::RedisServer;
use std::time::Duration;

const P: Partition = Partition(0);
/// What a commit at full load settles, by default.
const SETTLED: u64 = 512;
const COMMITS: u64 = 200;

fn name(n: u64) -> DestinationName {
    DestinationName::new(&format!("destination-{n}")).unwrap()
}

/// `keys` keys fall behind (and have failed) in every other commit, and catch up in the others.
fn behind(commit: u64, keys: u64) -> Commit {
    let failure = Failure::new(Timestamp::from_millis(1_700_000_000_000), "answered 500 Internal Server Error");
    let retry = Backoff::note(None, failure);
    let entry = |n| {
        let behind = Behind { offset: Offset(n % SETTLED), retry: Some(retry.clone()) };
        (LaneKey::Key(Key::new(&format!("customer-{n}")).unwrap()), commit.is_multiple_of(2).then_some(behind))
    };
    let change = LaneChange { behind: (0..keys).map(entry).collect(), ..LaneChange::default() };
    Commit { scanned: Some(Offset(commit)), lanes: [(name(0), change)].into(), ..Commit::default() }
}

fn lanes(commit: u64, count: u64) -> Commit {
    let change = LaneChange { position: Some(Position::At(Offset(commit))), ..LaneChange::default() };
    let lanes = (0..count).map(|n| (name(n), change.clone())).collect();
    Commit { scanned: Some(Offset(commit)), lanes, ..Commit::default() }
}

async fn measure(what: &str, server: &RedisServer, store: &RedisStore, lease: &Lease, commit: impl Fn(u64) -> Commit) {
    server.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
    for n in 1..=COMMITS {
        store.commit(lease, &commit(n)).await.unwrap();
    }
    let stats = server.command(&["INFO", "commandstats"]).await.unwrap().text();
    let of_calls = stats.split("cmdstat_fcall:").nth(1).unwrap();
    let number = |field: &str| -> f64 {
        let rest = of_calls.split(&format!("{field}=")).nth(1).unwrap();
        rest.split([',', '\r']).next().unwrap().parse().unwrap()
    };
    assert!(number("calls") >= 200.0, "{stats}");
    let each = number("usec_per_call");
    println!("{what:60} {each:8.1} µs a commit, {:.3} µs an event", each / 512.0);
}

#[tokio::test]
async fn a_commit_costs_redis_about_that_much() {
    let server = server().await;
    let store = open(&new_store(&server.url(), 1)).await;
    let events = (0..SETTLED).map(|n| crate::support::event(&format!("e{n}"), "k")).collect();
    assert!(store.append(events).await.iter().all(Result::is_ok));
    let lease = store.claim(P, &WorkerId("w".into()), Duration::from_secs(3600)).await.unwrap().unwrap();
    store.read(P, Offset::ZERO, 512, usize::MAX).await.unwrap();
    let only = |n| Commit { scanned: Some(Offset(n)), ..Commit::default() };
    measure("the default position", &server, &store, &lease, only).await;
    measure("and 10 lanes with positions of their own", &server, &store, &lease, |n| lanes(n, 10)).await;
    measure("and 10 keys that fail or catch up", &server, &store, &lease, |n| behind(n, 10)).await;
    measure("and 512 keys that fail or catch up", &server, &store, &lease, |n| behind(n, 512)).await;
}
