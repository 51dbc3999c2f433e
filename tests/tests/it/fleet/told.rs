//! Several workers tell operational events: a chat hears once what all of them see.

use super::scene::redis;
use laneway_tests::client::Client;
use laneway_tests::fleet::Fleet;
use laneway_tests::receiver::{Behaviour, Receiver, Record};
use laneway_tests::server::{Half, webhook};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 4;
const WORKERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);
/// Enough that every partition has some.
const KEYS: usize = 40;

/// What a chat was told under ids that begin so, by these. (A delivery may come twice, as any.)
fn told(record: &Record, begin: &str) -> BTreeMap<String, Value> {
    let of = record.deliveries.iter().filter(|delivery| delivery.id.starts_with(begin));
    of.map(|delivery| (delivery.id.clone(), serde_json::from_slice(&delivery.body).expect("JSON"))).collect()
}

async fn until(chat: &Receiver, begin: &str) {
    chat.until(begin, |record| record.deliveries.iter().any(|delivery| delivery.id.starts_with(begin))).await;
}

/// Has something done that all workers have to know. Until the others have noticed that one was killed it is refused,
/// though those that answered have done it: if they were all that had it to do, nothing is left to do afterwards.
async fn operate(client: &Client, path: &str, body: &str) {
    let deadline = Instant::now() + PATIENCE;
    let mut done_in_part = false;
    loop {
        let answer = client.post(path, body.to_owned()).await.expect("an answer");
        let said = answer.text();
        match answer.status {
            200 => return,
            409 if done_in_part && said.contains("there is nothing to resume") => return,
            409 if Instant::now() < deadline => done_in_part |= said.contains("a part of it was done"),
            other => panic!("{path}: {other} {said}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_workers_see_is_told_once_and_what_each_has_stored_once_each() {
    let redis = redis().await;
    let (chat, gone) =
        (Receiver::start(Behaviour::healthy(), 1).await, Receiver::start(Behaviour::answering(410), 2).await);
    let destinations = [
        webhook("chat", &chat.url(), "types = [\"laneway.*\"]"),
        webhook("gone", &gone.url(), "types = [\"t\"]\nfrom = \"beginning\""),
    ];
    let fleet = Fleet::new(&redis.url(), PARTITIONS, "", &destinations.join("\n"));
    let ingests = fleet.start(Half::Ingest, 1).await;
    let mut workers = fleet.start(Half::Worker, WORKERS).await;
    let client = ingests[0].client();
    let events: Vec<Value> = (0..KEYS).map(|key| json!({"type": "t", "key": format!("k{key}")})).collect();
    client.accepted_all(&events).await;
    until(&chat, "paused/").await;
    // Whoever takes over what the killed worker had finds the pause in the store.
    workers[0].kill();
    gone.behave(Behaviour::healthy());
    operate(&client, "/v1/destinations/gone/resume", "{}").await;
    until(&chat, "resumed/").await;
    client.settled("gone").await;
    // What comes last is told last.
    operate(&client, "/v1/destinations/gone/pause", r#"{"reason":"the end"}"#).await;
    chat.until("the last pause", |record| {
        told(record, "destination/").values().any(|said| said["reason"] == "the end")
    })
    .await;
    // Each worker stores a pause of its own, and tells it once; what all see of the registry is told once.
    let record = chat.record();
    for begin in ["paused/", "resumed/"] {
        let said = told(&record, begin);
        assert!((1..=WORKERS).contains(&said.len()), "{begin}: {said:#?}");
    }
    let ends = told(&record, "destination/").into_values().filter(|said| said["reason"] == "the end").count();
    assert_eq!(ends, 1, "{:#?}", told(&record, "destination/"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a kind").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_redis_loses_are_told() {
    let mut redis = redis().await;
    let chat = Receiver::start(Behaviour::healthy(), 1).await;
    let chats = webhook("chat", &chat.url(), "types = [\"laneway.*\"]");
    let fleet = Fleet::new(&redis.url(), 1, "", &chats);
    let mut ingests = fleet.start(Half::Ingest, 1).await;
    let workers = fleet.start(Half::Worker, 2).await;
    let client = ingests[0].client();
    let send = async |id: &str| client.accepted(&json!({"id": id, "type": "t", "key": "k"})).await;
    send("kept").await;
    let backup = tempfile::tempdir().expect("a folder");
    redis.kill();
    copy(redis.folder(), backup.path());
    redis.restart().await.unwrap_or_else(|e| panic!("{e}"));
    ingests[0].become_ready().await;
    for id in ["lost-1", "lost-2"] {
        send(id).await;
    }
    // Somebody puts a backup of Redis back that does not have them.
    redis.kill();
    fs::remove_dir_all(redis.folder().join("appendonlydir")).expect("it was there");
    copy(backup.path(), redis.folder());
    redis.restart().await.unwrap_or_else(|e| panic!("{e}"));
    ingests[0].become_ready().await;
    send("after").await;
    until(&chat, "lost/").await;
    let said: Vec<Value> = told(&chat.record(), "lost/").into_values().collect();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!((&said[0]["lost"]["partition"], &said[0]["lost"]["count"]), (&json!(0), &json!(2)), "{said:#?}");
    assert!(said[0]["text"].as_str().is_some_and(|text| text.contains("send them again")), "{said:#?}");
    drop(workers);
}
