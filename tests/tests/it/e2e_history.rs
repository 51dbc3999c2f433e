//! What happened, asked as the person on call would: one command for each question, and every answer held against what
//! the receiver saw.

use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_tests::client::Client;
use laneway_tests::receiver::{Behaviour, Receiver};
use laneway_tests::server::{Installation, Running, Settings, webhook};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const RETRY: &str = r#"retry = { initial = "200ms", factor = 1, jitter = 0, limit = "1h" }"#;

/// What a command says.
fn said(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn send(client: &Client, id: &str, key: &str) {
    client.accepted(&json!({"id": id, "type": "order.paid", "key": key, "data": {"order": id}})).await;
}

/// Asks until the answer is as wanted: history and progress are stored a moment after a delivery.
async fn until(client: &Client, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1000 {
        let answer = client.get(path).await.unwrap();
        if answer.status == 200 && wanted(&answer.json()) {
            return answer.json();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{path} never became {what}: {}", client.get(path).await.unwrap().text());
}

fn state(found: &Value) -> &str {
    found["items"][0]["destinations"][0]["state"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_says_where_an_event_is_and_why() {
    let receiver = Receiver::start(Behaviour::poisoned(&["stuck"]), 1).await;
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &receiver.url(), RETRY)]));
    let server = installation.start().await;
    let client = server.client();
    for (id, key) in [("evt_1", "free"), ("batch", "free"), ("evt_2", "stuck"), ("evt_3", "stuck")] {
        send(&client, id, key).await;
    }
    until(&client, "/v1/events/evt_1", "delivered", |found| state(found) == "delivered").await;
    until(&client, "/v1/events/evt_2", "blocked", |found| state(found) == "blocked").await;

    // An event may be called like the path that events are posted to.
    until(&client, "/v1/events/batch", "delivered", |found| state(found) == "delivered").await;
    let why = said(&installation, &["why", "main", "evt_1"]);
    assert!(why.contains("main: DELIVERED") && why.contains("delivered with 200 in"), "{why}");
    let why = said(&installation, &["why", "main", "evt_2"]);
    assert!(why.contains("main: BLOCKED") && why.contains("failed with 500") && why.contains("next attempt"), "{why}");
    let why = said(&installation, &["why", "main", "evt_3"]);
    assert!(why.contains("main: WAITING") && why.contains("waits for the event evt_2"), "{why}");
    let listed = said(&installation, &["events", "list", "--key", "stuck", "--since", "1h", "--json"]);
    let ids: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
    assert_eq!(ids, ["evt_3", "evt_2"]);
    let failed = said(&installation, &["attempts", "--destination", "main", "--outcome", "failed", "--json"]);
    let failed: Vec<Value> = failed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(failed.iter().all(|attempt| attempt["event_id"] == "evt_2" && attempt["status"] == 500), "{failed:?}");
    assert!(failed.iter().all(|attempt| attempt["answer"]["headers"].is_string()), "{failed:?}");

    // It is given up by an operator, discarded, and what waited goes on.
    said(&installation, &["keys", "skip", "main", "stuck"]);
    until(&client, "/v1/events/evt_2", "a dead letter", |found| state(found) == "dead-letter").await;
    receiver.behave(Behaviour::healthy());
    until(&client, "/v1/events/evt_3", "delivered", |found| state(found) == "delivered").await;
    said(&installation, &["dead-letters", "discard", "--destination", "main", "--yes"]);
    let why = said(&installation, &["why", "main", "evt_2"]);
    assert!(why.contains("main: DISCARDED") && why.contains("skipped"), "{why}");
    server.stop();
}

/// Everything that the history tells of a destination, page by page, by event.
async fn told(client: &Client) -> BTreeMap<String, Vec<Value>> {
    let (mut all, mut after) = (BTreeMap::<String, Vec<Value>>::new(), String::new());
    loop {
        let answer = client.get(&format!("/v1/attempts?destination=main&limit=97{after}")).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = answer.json();
        assert_eq!(page["incomplete"], json!([]));
        for attempt in page["items"].as_array().unwrap() {
            all.entry(attempt["event_id"].as_str().unwrap().to_owned()).or_default().push(attempt.clone());
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

/// Each event that the receiver took is told as delivered, and none more often than it was attempted. After a crash the
/// end of the history may be lost, with the progress that was made with it: then the event was delivered once more.
async fn check(client: &Client, receiver: &Receiver, events: usize) {
    let mut all = told(client).await;
    // The last commit may be on its way.
    let delivered = |attempts: &Vec<Value>| attempts.iter().any(|attempt| attempt["then"] == "delivered");
    for _ in 0..500 {
        if all.len() == events && all.values().all(delivered) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        all = told(client).await;
    }
    assert_eq!(all.len(), events, "what is settled is told");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for delivery in receiver.record().deliveries {
        *seen.entry(delivery.id).or_default() += 1;
    }
    for (id, attempts) in &all {
        let delivered = attempts.iter().filter(|attempt| attempt["then"] == "delivered").count();
        assert!(delivered >= 1, "{id}: {attempts:?}");
        assert!(attempts.len() <= seen[id], "{id} was attempted {} times: {attempts:?}", seen[id]);
    }
}

async fn crashes(installation: &Installation, store: &str, receiver: &Receiver, events: usize) {
    let begin = async || installation.start_under(&[], &[("LANEWAY_STORE__URL", store)]).await;
    let mut server: Running = begin().await;
    for start in (0..events).step_by(events / 4) {
        let event = |n: usize| json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % 40), "data": n});
        let events: Vec<Value> = (start..start + events / 4).map(event).collect();
        server.client().accepted_all(&events).await;
        receiver.taken(start + events.len() / 2).await;
        server.kill();
        server = begin().await;
    }
    receiver.taken(events).await;
    let client = server.client();
    client.settled("main").await;
    until(&client, &format!("/v1/events/e{}", events - 1), "delivered", |found| state(found) == "delivered").await;
    check(&client, receiver, events).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_never_contradicts_what_the_receiver_saw_through_crashes() {
    let receiver = Receiver::start(Behaviour::failing(0.1), 3).await;
    let settings = Settings::destinations(&[webhook("main", &receiver.url(), RETRY)]);
    crashes(&Installation::new(&settings), "sqlite:laneway.db", &receiver, 800).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_on_redis() {
    let redis = RedisServer::start(RedisSettings::default()).await.unwrap_or_else(|e| panic!("{e}"));
    let receiver = Receiver::start(Behaviour::failing(0.1), 3).await;
    let settings = Settings::destinations(&[webhook("main", &receiver.url(), RETRY)]);
    crashes(&Installation::new(&settings), &redis.url(), &receiver, 800).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_kept_within_its_bounds_and_can_be_switched_off() {
    let receiver = Receiver::start(Behaviour::healthy(), 1).await;
    let destination = webhook("main", &receiver.url(), "");
    let bounded = "[history]\nmax_bytes = \"1MiB\"".to_owned();
    let installation = Installation::new(&Settings::destinations(&[bounded, destination.clone()]));
    let server = installation.start().await;
    let client = server.client();
    let long = "x".repeat(200);
    for start in (0..20_000).step_by(500) {
        let event = |n: usize| json!({"id": format!("{long}-{n}"), "type": "t", "key": format!("k{n}"), "data": n});
        client.accepted_all(&(start..start + 500).map(event).collect::<Vec<_>>()).await;
    }
    receiver.taken(20_000).await;
    client.settled("main").await;
    let store = rusqlite::Connection::open(installation.database()).unwrap();
    let bytes = || store.query_row("SELECT sum(size) FROM history", [], |row| row.get::<_, i64>(0)).unwrap();
    let sums = || store.query_row("SELECT sum(bytes) FROM history_size", [], |row| row.get::<_, i64>(0)).unwrap();
    let mut rounds = 0;
    while bytes() > 1 << 20 {
        rounds += 1;
        assert!(rounds < 1000, "{} bytes are kept", bytes());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(bytes() > 1 << 18, "no more goes than has to: {} are left", bytes());
    assert_eq!(bytes(), sums());
    server.stop();

    installation.configure(&Settings::destinations(&["[history]\nenabled = false".to_owned(), destination]));
    let before = bytes();
    let server = installation.start().await;
    let client = server.client();
    send(&client, "untold", "k").await;
    receiver.taken(20_001).await;
    client.settled("main").await;
    until(&client, "/v1/events/untold", "settled", |found| state(found) == "settled").await;
    assert!(bytes() <= before, "nothing is told");
    server.stop();
}
