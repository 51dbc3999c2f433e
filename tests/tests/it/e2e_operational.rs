//! An operator is told: Laneway's own events go through its log to a webhook that plays a chat, and to nobody else.

use laneway_tests::client::Client;
use laneway_tests::receiver::{Behaviour, Receiver, Record};
use laneway_tests::server::{Installation, Settings, webhook};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SOON: &str = "[operational_events]\nbreaker_after = \"200ms\"\nkey_blocked_after = \"1s\"";
const RETRY: &str = r#"retry = { initial = "20ms", factor = 1, jitter = 0, limit = "1h" }"#;

/// What a chat was told: the ids, each with what the last of them said.
fn told(record: &Record) -> BTreeMap<String, Value> {
    let said = |body: &[u8]| serde_json::from_slice(body).unwrap();
    record.deliveries.iter().map(|delivery| (delivery.id.clone(), said(&delivery.body))).collect()
}

/// Those whose id begins so, of that destination.
fn of(record: &Record, begin: &str, destination: &str) -> Vec<Value> {
    let all = told(record).into_iter().filter(|(id, said)| id.starts_with(begin) && said["destination"] == destination);
    all.map(|(_, said)| said).collect()
}

async fn until(chat: &Receiver, begin: &str, destination: &str) -> Value {
    chat.until(&format!("{begin} of {destination}"), |record| !of(record, begin, destination).is_empty()).await;
    of(&chat.record(), begin, destination).remove(0)
}

async fn operate(client: &Client, path: &str, body: &str) {
    let answer = client.post(path, body.to_owned()).await.unwrap();
    assert!(matches!(answer.status, 200 | 202), "{path}: {} {}", answer.status, answer.text());
}

/// An event of each of some keys for one destination.
async fn send(client: &Client, destination: &str, keys: usize) {
    let event = |key: usize| json!({"type": format!("{destination}.done"), "key": format!("{destination}-{key}")});
    client.accepted_all(&(0..keys).map(event).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_told_of_what_becomes_of_destinations_once_and_nobody_else_is() {
    let chat = Receiver::start(Behaviour::healthy(), 1).await;
    let everything = Receiver::start(Behaviour::healthy(), 2).await;
    let mut receivers = BTreeMap::new();
    for (name, answer) in [("blocked", 500), ("down", 500), ("gone", 410), ("rejecting", 422), ("quiet", 200)] {
        receivers.insert(name, Receiver::start(Behaviour::answering(answer), 3).await);
    }
    let mut tables = vec![
        SOON.to_owned(),
        webhook("chat", &chat.url(), "types = [\"laneway.*\"]"),
        webhook("everything", &everything.url(), "types = [\"*\"]"),
        webhook("unfiltered", &everything.url(), ""),
    ];
    for (name, receiver) in &receivers {
        let lines = format!("types = [\"{name}.*\"]\nreject = [422]\n{RETRY}");
        tables.push(webhook(name, &receiver.url(), &lines));
    }
    let installation = Installation::new(&Settings::destinations(&tables).store("partitions = 2"));
    let server = installation.start().await;
    let client = server.client();

    // A destination that is gone, is resumed once it works, and one that an operator pauses.
    send(&client, "gone", 1).await;
    let paused = until(&chat, "paused/", "gone").await;
    assert!(paused["text"].as_str().unwrap().contains("410") && paused["since"].is_u64(), "{paused}");
    receivers["gone"].behave(Behaviour::healthy());
    operate(&client, "/v1/destinations/gone/resume", "{}").await;
    until(&chat, "resumed/", "gone").await;
    operate(&client, "/v1/destinations/quiet/pause", r#"{"reason":"a window"}"#).await;
    chat.until("the operator's pause", |record| {
        of(record, "destination/", "quiet").iter().any(|said| said["reason"] == "a window")
    })
    .await;

    // A dead letter, at once; what follows is counted for a minute.
    client.accepted_all(&[json!({"id": "bad", "type": "rejecting.done", "key": "r"})]).await;
    let letter = until(&chat, "dead-letter/", "rejecting").await;
    let said = (&letter["count"], &letter["event"]["id"], &letter["event"]["type"], &letter["key"]);
    assert_eq!(said, (&json!(1), &json!("bad"), &json!("rejecting.done"), &json!("key:r")), "{letter}");
    send(&client, "rejecting", 5).await;

    // An outage, and its end; a key that fails by itself.
    send(&client, "blocked", 1).await;
    send(&client, "down", 30).await;
    let opened = until(&chat, "breaker-opened/", "down").await;
    assert!(opened["text"].as_str().unwrap().contains("500") && opened["worker"].is_string(), "{opened}");
    receivers["down"].behave(Behaviour::healthy());
    until(&chat, "breaker-closed/", "down").await;
    let blocked = until(&chat, "key-blocked/", "blocked").await;
    assert_eq!((&blocked["key"], &blocked["blocked_keys"]), (&json!("key:blocked-0"), &json!(1)), "{blocked}");
    assert_eq!(blocked["event"]["type"], "blocked.done");

    // A crash tells nothing again, and what is told later comes after it.
    server.kill();
    let server = installation.start().await;
    let client = server.client();
    operate(&client, "/v1/destinations/quiet/resume", "{}").await;
    chat.until("the end of the operator's pause", |record| of(record, "destination/", "quiet").len() >= 3).await;
    let record = chat.record();
    for (begin, destination, count) in [
        ("paused/", "gone", 1),
        ("resumed/", "gone", 1),
        ("dead-letter/", "rejecting", 1),
        ("breaker-opened/", "down", 1),
        ("breaker-closed/", "down", 1),
        ("key-blocked/", "blocked", 1),
        // Made, paused, resumed.
        ("destination/", "quiet", 3),
        ("destination/", "gone", 1),
    ] {
        assert_eq!(of(&record, begin, destination).len(), count, "{begin} of {destination}: {:#?}", told(&record));
    }

    // Nobody who did not ask has seen any, and a producer cannot send one.
    let refused = client.post("/v1/events", r#"{"type":"laneway.destination.paused"}"#).await.unwrap();
    assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some("/type")));
    for destination in ["everything", "unfiltered"] {
        client.settled(destination).await;
    }
    let own = |id: &&String| told(&record).contains_key(*id);
    assert_eq!(everything.record().taken.keys().filter(own).collect::<Vec<_>>(), Vec::<&String>::new());
    server.stop();
}
