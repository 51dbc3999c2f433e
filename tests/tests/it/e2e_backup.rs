//! Backup and restore with the real binary, before a receiver that remembers one number per key.

use laneway_tests::receiver::{Behaviour, Receiver, Record};
use laneway_tests::server::{Installation, Settings, webhook};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;

const KEYS: usize = 8;
const EVENTS: usize = 40;

fn events(name: &str) -> Vec<Value> {
    let event = |n| json!({"id": format!("{name}-{n}"), "type": "t", "key": format!("k{}", n % KEYS), "data": n});
    (0..EVENTS).map(event).collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
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

#[tokio::test(flavor = "multi_thread")]
async fn after_two_restores_of_one_backup_a_receiver_takes_every_new_event_once() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let settings = Settings::destinations(&[webhook("main", &receiver.url(), "")]).store("partitions = 4");
    let installation = Installation::new(&settings);
    let mut server = installation.start().await;
    server.client().accepted_all(&events("before")).await;
    receiver.taken(EVENTS).await;
    server.client().settled("main").await;

    let made = installation.run(&["backup", "copy.db"]);
    assert!(made.status.success() && text(&made).contains("copy.db: 40 events in 4 partitions"), "{}", text(&made));
    let again = installation.run(&["backup", "copy.db"]);
    assert!(!again.status.success() && text(&again).contains("is there already"), "{}", text(&again));
    let while_it_runs = installation.run(&["restore", "copy.db", "--replace"]);
    assert!(!while_it_runs.status.success() && text(&while_it_runs).contains("in use by process"));

    let mut sent: BTreeSet<String> = (0..EVENTS).map(|n| format!("before-{n}")).collect();
    for (round, name) in ["lost", "new", "newer"].into_iter().enumerate() {
        if round > 0 {
            server.stop();
            let careless = installation.run(&["restore", "copy.db"]);
            assert!(!careless.status.success() && text(&careless).contains("there is a store"), "{}", text(&careless));
            let restored = installation.run(&["restore", "copy.db", "--replace"]);
            assert!(restored.status.success(), "{}", text(&restored));
            for said in ["is as it was at", "new events begin at offset", "the store that was there before is now"] {
                assert!(text(&restored).contains(said), "{}", text(&restored));
            }
            let check = installation.run(&["check"]);
            assert!(text(&check).contains("40 events in 4 partitions, all sound"), "{}", text(&check));
            server = installation.start().await;
        }
        server.client().accepted_all(&events(name)).await;
        sent.extend((0..EVENTS).map(|n| format!("{name}-{n}")));
        receiver.taken(EVENTS * (round + 2)).await;
        let status = server.client().settled("main").await;
        assert_eq!(status["pending"], 0, "{status}");
    }
    server.stop();
    let record = receiver.record();
    assert_eq!(record.broken, Vec::<String>::new());
    assert_eq!(effects(&record), sent.into_iter().map(|id| (id, 1)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn laneway_does_not_run_on_a_backup_and_says_what_to_do() {
    let installation = Installation::new(&Settings::default());
    let server = installation.start().await;
    server.client().accepted_all(&events("a")).await;
    let made = installation.run(&["backup", "copy.db"]);
    assert!(made.status.success(), "{}", text(&made));
    server.stop();
    std::fs::copy(installation.folder().join("copy.db"), installation.database()).expect("a copy");
    let started = installation.run(&["serve"]);
    assert!(!started.status.success(), "it serves from a backup");
    assert!(text(&started).contains("is a backup") && text(&started).contains("laneway restore"), "{}", text(&started));
}
