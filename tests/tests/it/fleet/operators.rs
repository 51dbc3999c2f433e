//! What operators tell one process and another must do.

use super::scene::{PARTITIONS, redis};
use laneway_tests::fleet::Fleet;
use laneway_tests::receiver::{Behaviour, Receiver, Record};
use laneway_tests::server::{Half, tail, webhook};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_retried_and_skipped_through_an_ingest() {
    let redis = redis().await;
    let receiver = Receiver::start(Behaviour::poisoned(&["order-7", "order-8"]), 1).await;
    // Nothing is attempted again by itself while the test runs.
    let lines = "from = \"beginning\"\nretry = { initial = \"1h\", limit = \"4h\" }";
    let fleet = Fleet::new(&redis.url(), PARTITIONS, "", &webhook("main", &receiver.url(), lines));
    let ingests = fleet.start(Half::Ingest, 1).await;
    let _workers = fleet.start(Half::Worker, 2).await;
    let client = ingests[0].client();
    for key in ["order-7", "order-8"] {
        client.accepted(&json!({"id": format!("e-{key}"), "type": "t", "key": key})).await;
    }
    client.until("main", "blocked", |status| status["blocked_keys"] == 2).await;
    receiver.behave(Behaviour::healthy());
    let operator = fleet.berth(Half::Both, "operator").installation;
    let url = format!("http://{}", ingests[0].installation.address());
    let run = |arguments: &[&str]| {
        let output = operator.run_with(arguments, &[("LANEWAY_URL", &url)]);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (done, said) = run(&["keys", "skip", "main", "order-8"]);
    assert!(done, "{said}");
    let (done, said) = run(&["keys", "retry", "main", "order-7"]);
    assert!(done, "{said}\n{}", tail(&ingests[0].installation.stderr()));
    receiver.taken(1).await;
    client.settled("main").await;
    assert_eq!(fleet.dead_letters("main").await, ["e-order-8".to_owned()].into());
    assert_eq!(receiver.record().taken.len(), 1);
    let (done, said) = run(&["keys", "retry", "main", "order-7"]);
    assert!(!done && said.contains("main is not blocked at key:order-7"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_of_all_workers_and_goes_on_after_a_hand_over() {
    const EVENTS: u32 = 400;
    let redis = redis().await;
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let destination = webhook("main", &receiver.url(), "from = \"beginning\"");
    let fleet = Fleet::new(&redis.url(), PARTITIONS, "", &destination);
    let ingests = fleet.start(Half::Ingest, 1).await;
    let mut workers = fleet.start(Half::Worker, 2).await;
    let client = ingests[0].client();
    let event = |n: u32| json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % 10), "data": n});
    client.accepted_all(&(0..EVENTS).map(event).collect::<Vec<_>>()).await;
    // Not by the status, which is some time old: what was never delivered comes once.
    receiver.taken(EVENTS as usize).await;

    // Slow enough that the hand-over comes in the middle.
    receiver.behave(Behaviour::slow(Duration::from_millis(20)));
    let answer = client.post("/v1/destinations/main/replay", r#"{"since":"beginning"}"#).await.expect("an answer");
    assert_eq!((answer.status, &answer.json()["done"]), (200, &true.into()), "{}", answer.text());
    let again = |r: &Record| r.taken.values().filter(|times| **times == 2).count();
    receiver.until("some of it again", |r| again(r) >= 20).await;
    workers[0].stop();
    receiver.until("all of it again", |r| again(r) == EVENTS as usize).await;
    client.settled("main").await;
    let record = receiver.record();
    assert!(record.taken.values().all(|times| *times == 2), "a hand-over repeats nothing");
    let mut last = BTreeMap::new();
    for delivery in record.deliveries.iter().skip(EVENTS as usize) {
        let before = last.insert(delivery.key.clone(), delivery.sequence);
        assert!(
            before.is_none_or(|before| before < delivery.sequence),
            "{:?} came after {before:?}",
            delivery.sequence
        );
    }
}
