//! Backup and restore of a fleet's Redis with the real binaries, before a receiver that remembers one number per key.

use super::scene::{PARTITIONS, redis};
use laneway_tests::client::Client;
use laneway_tests::fleet::Fleet;
use laneway_tests::receiver::{Behaviour, Receiver, Record};
use laneway_tests::server::{Half, Installation, webhook};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const KEYS: usize = 8;
const EVENTS: usize = 40;
/// What the receiver takes nothing of at first.
const BLOCKED: &str = "k3";

fn event(name: &str, n: usize) -> Value {
    json!({"id": format!("{name}-{n}"), "type": "t", "key": format!("k{}", n % KEYS), "data": n})
}

fn events(name: &str) -> Vec<Value> {
    (0..EVENTS).map(|n| event(name, n)).collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn succeeds(at: &Installation, arguments: &[&str]) -> String {
    let output = at.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

fn fails(at: &Installation, arguments: &[&str]) -> String {
    let output = at.run(arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded: {}", text(&output));
    text(&output)
}

/// The events that had an effect at a receiver that drops whatever has no larger number than the key's last.
fn effects(record: &Record) -> BTreeMap<String, u32> {
    let mut last: BTreeMap<&str, (u32, u64)> = BTreeMap::new();
    let mut effects = BTreeMap::new();
    for delivery in record.deliveries.iter().filter(|delivery| delivery.taken) {
        let key = delivery.key.as_deref().expect("every event has a key");
        if last.get(key).is_none_or(|last| delivery.sequence > *last) {
            last.insert(key, delivery.sequence);
            *effects.entry(delivery.id.clone()).or_default() += 1;
        }
    }
    effects
}

/// Sends events until it is told to stop; says which had their 202.
async fn go_on_sending(client: Client, stop: Arc<AtomicBool>) -> Vec<Value> {
    let mut sent = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let event = event("during", sent.len());
        client.accepted(&event).await;
        sent.push(event);
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn after_two_restores_of_one_backup_a_receiver_takes_every_new_event_once_and_lacks_none() {
    let first = redis().await;
    let receiver = Receiver::start(Behaviour::poisoned(&[BLOCKED]), 1).await;
    let lines = "from = \"beginning\"\nretry = { initial = \"100ms\", limit = \"1h\" }";
    let destination = webhook("main", &receiver.url(), lines);
    let fleet = Fleet::new(&first.url(), PARTITIONS, "", &destination);
    let operator = fleet.berth(Half::Both, "operator").installation;
    let mut ingests = fleet.start(Half::Ingest, 1).await;
    let mut workers = fleet.start(Half::Worker, 2).await;
    let client = ingests[0].client();
    client.accepted_all(&events("before")).await;
    let taken = EVENTS - EVENTS / KEYS;
    receiver.taken(taken).await;
    client.until("main", "blocked", |status| status["blocked_keys"] == 1).await;

    let stop = Arc::new(AtomicBool::new(false));
    let sending = tokio::spawn(go_on_sending(client.clone(), stop.clone()));
    receiver.taken(taken + 5).await;
    let copy = operator.folder().join("copy.backup");
    let file = copy.to_str().expect("a path in UTF-8").to_owned();
    let (operator, made) = tokio::task::spawn_blocking({
        let file = file.clone();
        move || {
            let made = succeeds(&operator, &["backup", &file]);
            (operator, made)
        }
    })
    .await
    .expect("it ends");
    assert!(made.contains(&format!("events in {PARTITIONS} partitions")) && made.contains("store.key"), "{made}");
    assert!(fails(&operator, &["backup", &file]).contains("is there already"));
    let during_backup = receiver.record().taken.len();
    receiver.taken(during_backup + 5).await;
    stop.store(true, Ordering::SeqCst);
    let during = sending.await.expect("it ends");
    client.accepted_all(&events("lost")).await;
    let there = fails(&operator, &["restore", &file]);
    assert!(there.contains("there is a store at") && there.contains("empty Redis"), "{there}");
    ingests.iter_mut().chain(&mut workers).for_each(|berth| berth.kill());
    drop(first);

    // A second time: nothing that the first restore has given out comes again.
    receiver.behave(Behaviour::healthy());
    let mut redises = Vec::new();
    for name in ["new", "newer"] {
        let redis = redis().await;
        let fleet = Fleet::new(&redis.url(), PARTITIONS, "", &destination);
        let operator = fleet.berth(Half::Both, "operator").installation;
        let others = Fleet::new(&redis.url(), PARTITIONS + 1, "", &destination);
        let wrong = others.berth(Half::Both, "operator").installation;
        assert!(fails(&wrong, &["restore", &file]).contains(&format!("set store.partitions = {PARTITIONS}")));
        assert!(fails(&operator, &["restore", &file, "--replace"]).contains("empty"));
        let restored = succeeds(&operator, &["restore", &file]);
        for said in ["is as it was at", "new events begin at offset"] {
            assert!(restored.contains(said), "{restored}");
        }
        assert!(succeeds(&operator, &["check"]).contains(&format!("events in {PARTITIONS} partitions")));
        let mut ingests = fleet.start(Half::Ingest, 1).await;
        let mut workers = fleet.start(Half::Worker, 2).await;
        let client = ingests[0].client();
        // Producers do not know what was lost, and send all of it again, and then more.
        for again in [&events("before"), &during, &events("lost"), &events(name)] {
            client.accepted_all(again).await;
        }
        let of = |record: &Record| record.taken.keys().filter(|id| id.starts_with(&format!("{name}-"))).count();
        receiver.until("all of the new ones", |record| of(record) == EVENTS).await;
        let status = client.settled("main").await;
        assert_eq!((&status["pending"], &status["blocked_keys"]), (&json!(0), &json!(0)), "{status}");
        ingests.iter_mut().chain(&mut workers).for_each(|berth| berth.stop());
        redises.push(redis);
    }
    let record = receiver.record();
    assert_eq!(record.broken, Vec::<String>::new());
    let effects = effects(&record);
    for name in ["before", "new", "newer"] {
        for n in 0..EVENTS {
            // What the backup held is known by its id and its number; what is new has a number of its own.
            assert_eq!(effects.get(&format!("{name}-{n}")), Some(&1), "{name}-{n}");
        }
    }
    let later = during.iter().map(|event| event["id"].as_str().expect("an id").to_owned());
    for id in later.chain((0..EVENTS).map(|n| format!("lost-{n}"))) {
        assert!(effects.contains_key(&id), "{id} is lost");
    }
}
