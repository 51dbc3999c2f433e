//! `kill -9` at random moments while events flow, with the real binary and the real store.

use laneway_tests::producer::{Sent, produce};
use laneway_tests::receiver::{Behaviour, Receiver, Record};
use laneway_tests::server::{Installation, Running, Settings, webhook};
use laneway_tests::store::{Store, Stored};
use laneway_tests::{checker, effort};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;

const PRODUCERS: usize = 16;
const KEYS_EACH: usize = 25;
/// Settlements after which a partition's progress is committed at the latest, by default.
const COMMIT_SETTLEMENTS: u64 = 512;
/// Attempts that a destination has in flight at most, by default.
const MAX_IN_FLIGHT: u64 = 64;
/// With `QUICK_RETRY`, an event's attempts: after the fourth the next delay would pass the limit.
const ATTEMPTS: u32 = 4;
const QUICK_RETRY: &str = r#"retry = { initial = "50ms", limit = "200ms" }"#;
const LONG_RETRY: &str = r#"retry = { initial = "20ms", limit = "60s" }"#;

struct Receivers {
    healthy: Receiver,
    failing: Receiver,
    poisoned: Receiver,
}

impl Receivers {
    async fn start(seed: u64) -> Self {
        Self {
            healthy: Receiver::start(Behaviour::healthy(), seed).await,
            failing: Receiver::start(Behaviour::failing(0.2), seed).await,
            poisoned: Receiver::start(Behaviour::poisoned(&["poison"]), seed).await,
        }
    }

    fn settings(&self) -> Settings {
        Settings::destinations(&[
            webhook("healthy", &self.healthy.url(), ""),
            webhook("failing", &self.failing.url(), LONG_RETRY),
            webhook("poisoned", &self.poisoned.url(), QUICK_RETRY),
        ])
        .store("partitions = 4")
    }
}

/// All producers; `progress` counts what they have done with.
async fn send_all(
    installation: &Installation,
    count: usize,
    poisoned: usize,
    seed: u64,
    progress: &watch::Sender<usize>,
) -> Vec<Sent> {
    let client = laneway_tests::client::Client::new(installation.address());
    let mut tasks = Vec::new();
    for p in 0..PRODUCERS {
        let keys: Vec<String> = (0..KEYS_EACH).map(|k| format!("key-{p}-{k}")).collect();
        let (client, progress) = (client.clone(), progress.clone());
        tasks.push(tokio::spawn(async move {
            produce(client, &format!("p{p}"), &keys, count / PRODUCERS, seed + p as u64, &progress).await
        }));
    }
    let progress = progress.clone();
    tasks.push(tokio::spawn(async move {
        produce(client, "poison", &["poison".to_owned()], poisoned, seed, &progress).await
    }));
    let mut sent = Vec::new();
    for task in tasks {
        sent.push(task.await.expect("a producer ends well"));
    }
    sent
}

/// Kills and restarts, each time when the producers have come to a random point.
async fn kill_at_random(
    installation: &Installation,
    mut server: Running,
    kills: usize,
    count: usize,
    seed: u64,
    mut progress: watch::Receiver<usize>,
) -> Running {
    let mut random = StdRng::seed_from_u64(seed);
    let mut points: Vec<usize> = (0..kills).map(|_| random.random_range(0..count * 9 / 10)).collect();
    points.sort_unstable();
    for point in points {
        progress.wait_for(|done| *done >= point).await.expect("the producers are not done");
        // Off the beat of the answers, so that every phase of a commit is hit.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..30_000))).await;
        server.kill();
        server = installation.start().await;
    }
    server
}

fn check_promises(sent: &[Sent], stored: &[Stored]) {
    let held: BTreeSet<&str> = stored.iter().map(|event| event.id.as_str()).collect();
    let lost: Vec<&String> = sent.iter().flat_map(|s| &s.accepted).filter(|id| !held.contains(id.as_str())).collect();
    assert!(lost.is_empty(), "{} events had their 202 and are not in the store: {lost:?}", lost.len());
    let known: BTreeSet<&str> =
        sent.iter().flat_map(|s| s.accepted.iter().chain(&s.unclear)).map(String::as_str).collect();
    assert!(held.is_subset(&known), "the store holds events that nobody sent");
    let accepted: usize = sent.iter().map(|s| s.accepted.len()).sum();
    let unclear: usize = sent.iter().map(|s| s.unclear.len()).sum();
    println!("{accepted} events accepted, {unclear} left unclear, {} in the store", stored.len());
}

fn check_receiver(name: &str, stored: &[Stored], record: &Record, dead: &BTreeSet<String>, kills: usize) {
    let found = checker::check(stored, record, dead, false);
    let bound = kills as u64 * (COMMIT_SETTLEMENTS + MAX_IN_FLIGHT);
    println!("{name}: {found}; {} dead letters; duplicates at most {bound}", dead.len());
    found.assert_clean(name);
    assert!(found.duplicates <= bound, "{name}: {} duplicates, bound {bound}", found.duplicates);
}

/// Every event of the poisoned key, and nothing else, is a dead letter, given up in order and not before the limit.
fn check_poisoned(stored: &[Stored], record: &Record, dead: &BTreeSet<String>) {
    let expected: Vec<&Stored> = stored.iter().filter(|event| event.key.as_deref() == Some("poison")).collect();
    assert_eq!(*dead, expected.iter().map(|event| event.id.clone()).collect());
    for pair in expected.windows(2) {
        let (before, after) = (&pair[0].id, &pair[1].id);
        let exhausted = record.deliveries.iter().position(|d| d.id == *before && d.attempt == ATTEMPTS);
        let begun = record.deliveries.iter().position(|d| d.id == *after);
        assert!(exhausted.is_some() && exhausted < begun, "{after} was begun before {before} was given up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_moments_loses_nothing_and_keeps_the_order() {
    let (count, kills, poisoned) = (effort::scaled(5_000, 100_000), effort::scaled(5, 50), effort::scaled(12, 60));
    let seed: u64 = rand::random();
    println!("seed {seed}: {count} events, {kills} kills");
    let receivers = Receivers::start(seed).await;
    let installation = Installation::new(&receivers.settings());
    let server = installation.start().await;
    let (progress, seen) = watch::channel(0);
    let (sent, server) = tokio::join!(
        send_all(&installation, count, poisoned, seed, &progress),
        kill_at_random(&installation, server, kills, count, seed, seen),
    );
    for destination in ["healthy", "failing", "poisoned"] {
        server.client().settled(destination).await;
    }
    server.stop();
    let store = Store::open(&installation.database());
    let stored = store.events();
    check_promises(&sent, &stored);
    for (name, receiver) in
        [("healthy", &receivers.healthy), ("failing", &receivers.failing), ("poisoned", &receivers.poisoned)]
    {
        let dead = store.dead_letters(name);
        assert!(name == "poisoned" || dead.is_empty(), "{name} has dead letters: {dead:?}");
        check_receiver(name, &stored, &receiver.record(), &dead, kills);
    }
    check_poisoned(&stored, &receivers.poisoned.record(), &store.dead_letters("poisoned"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_keys_retries_go_on_where_they_were() {
    let receiver = Receiver::start(Behaviour::poisoned(&["stuck"]), 1).await;
    let retry = r#"retry = { initial = "100ms", factor = 1.5, limit = "1h" }"#;
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &receiver.url(), retry)]));
    let mut server = installation.start().await;
    for n in 0..3 {
        let event = serde_json::json!({"id": format!("stuck-{n}"), "type": "t", "key": "stuck", "data": n});
        server.client().accepted(&event).await;
    }
    let (mut seen, mut since) = (1, None);
    for _ in 0..3 {
        let wanted = seen + 2;
        let enough = |s: &serde_json::Value| s["blocked"][0]["attempts"].as_u64() >= Some(wanted);
        let status = server.client().until("main", "attempted again", enough).await;
        let blocked = &status["blocked"][0];
        assert_eq!((&status["blocked_keys"], &blocked["key"]), (&1.into(), &"key:stuck".into()), "{status}");
        assert_eq!(*since.get_or_insert(blocked["since"].clone()), blocked["since"], "the first failure was forgotten");
        assert!(blocked["last_error"].as_str().is_some_and(|error| error.contains("500")), "{blocked}");
        seen = blocked["attempts"].as_u64().expect("a number");
        server.kill();
        server = installation.start().await;
        let status = server.client().until("main", "loaded", |s| s["blocked_keys"] == 1).await;
        // At most the failure that the last commit had not yet recorded may be repeated.
        assert!(status["blocked"][0]["attempts"].as_u64() >= Some(seen - 1), "{status} after {seen} attempts");
    }
    receiver.behave(Behaviour::healthy());
    server.client().settled("main").await;
    server.stop();
    let record = receiver.record();
    let attempts: Vec<u32> = record.deliveries.iter().filter(|d| d.id == "stuck-0").map(|d| d.attempt).collect();
    let repeated = attempts.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(attempts.is_sorted() && repeated <= 3, "attempts over three kills: {attempts:?}");
    let stored = Store::open(&installation.database()).events();
    checker::check(&stored, &record, &BTreeSet::new(), false).assert_clean("main");
}
