//! A key is recovered and events are replayed behind the real binary: the sender is killed again and again, answers get
//! lost, and the example's receiver has every effect exactly once more, in its key's order, before anything new.

use crate::e2e_exactly_once::receiver;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use laneway_domain::receiver::Verifier;
use laneway_tests::effort;
use laneway_tests::server::{Installation, Settings, webhook};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const KEYS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(120);
/// The one that is not taken at first.
const POISONED: &str = "k0-5";

/// Loses one request in ten before the receiver, and one answer in ten behind it; and rejects one event for a while.
async fn unreliable(rejects: Arc<AtomicBool>, request: Request, next: Next) -> Response {
    let id = request.headers().get("webhook-id").and_then(|id| id.to_str().ok());
    if id == Some(POISONED) && rejects.load(Ordering::Relaxed) {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    let fate = rand::random_range(0..10);
    if fate == 0 {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let answer = next.run(request).await;
    if fate == 1 { StatusCode::INTERNAL_SERVER_ERROR.into_response() } else { answer }
}

/// Starts the receiver; its URL, and whether it rejects the one event.
async fn start(database: &Path) -> (String, Arc<AtomicBool>) {
    let verifier = Verifier::new([SECRET]).expect("a good secret");
    let service = receiver::receiver(verifier, Connection::open(database).expect("a database")).expect("its tables");
    let rejects = Arc::new(AtomicBool::new(true));
    let rejecting = Arc::clone(&rejects);
    let service = service.layer(from_fn(move |request, next| unreliable(Arc::clone(&rejecting), request, next)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}/hook", listener.local_addr().expect("it listens"));
    tokio::spawn(async move { axum::serve(listener, service).await });
    (url, rejects)
}

/// The data of a key's effects, in the order in which they were had.
fn effects(database: &Connection, key: usize) -> Vec<usize> {
    let sql = "SELECT CAST(body AS TEXT) FROM effect WHERE key = ?1 ORDER BY number";
    let mut statement = database.prepare(sql).expect("a query");
    let rows = statement.query_map([format!("key:k{key}")], |row| row.get::<_, String>(0)).expect("rows");
    rows.map(|row| row.expect("a text").parse().expect("a number")).collect()
}

async fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !wanted() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn said(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.run(arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "laneway {}: {}\n{out}{err}", arguments.join(" "), output.status);
    out.into_owned()
}

/// Where the replays of `main` are, by their ids.
fn replays(installation: &Installation) -> Vec<Value> {
    let listed = said(installation, &["replay", "list", "main", "--json"]);
    listed.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

fn event(key: usize, n: usize) -> Value {
    let event_type = if n.is_multiple_of(2) { "t.even" } else { "odd" };
    json!({"id": format!("k{key}-{n}"), "type": event_type, "key": format!("k{key}"), "data": n})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovered_key_and_a_replay_have_every_effect_once_more_through_kills_and_lost_answers() {
    let (events, kills) = (effort::scaled(60, 600), effort::scaled(3, 30));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("receiver.db");
    let (url, rejects) = start(&path).await;
    let database = Connection::open(&path).expect("a database");
    database.busy_timeout(Duration::from_secs(10)).expect("a timeout can be set");
    let lines = format!(
        "secrets = [\"{SECRET}\"]\nbreaker = false\nreject = [422]\nmax_in_flight = 4\n\
         retry = {{ initial = \"20ms\", factor = 1, limit = \"1h\" }}"
    );
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &url, &lines)]));
    let mut server = installation.start().await;
    let all: Vec<Value> = (0..events).flat_map(|n| (0..KEYS).map(move |key| event(key, n))).collect();
    server.client().accepted_all(&all).await;
    server.client().settled("main").await;
    let without: Vec<usize> = (0..events).filter(|n| *n != 5).collect();
    assert_eq!(effects(&database, 0), without, "one of its events is a dead letter");

    // The key comes back, and what is new of it waits.
    let expected = format!("{} events would be delivered to main again\n", events - 5);
    // What is settled is counted once that is stored.
    let counted = || said(&installation, &["keys", "recover", "main", "k0", "--dry-run"]);
    until("the count", || counted() == expected).await;
    rejects.store(false, Ordering::Relaxed);
    said(&installation, &["keys", "recover", "main", "k0", "--yes"]);
    server.client().accepted_all(&(events..events + 10).map(|n| event(0, n)).collect::<Vec<_>>()).await;
    for kill in 1..=kills {
        let some = without.len() + (events - 5) * kill / (kills + 2);
        until("a part of the recovery", || effects(&database, 0).len() >= some).await;
        server.kill();
        server = installation.start().await;
    }
    server.client().settled("main").await;
    until("the recovery", || replays(&installation).iter().all(|replay| replay["state"] == "done")).await;
    let recovered: Vec<usize> = without.iter().copied().chain(5..events + 10).collect();
    assert_eq!(effects(&database, 0), recovered, "the dead letter and everything after it, and then what is new");
    for key in 1..KEYS {
        assert_eq!(effects(&database, key), (0..events).collect::<Vec<_>>(), "key {key} notices nothing");
    }
    assert_eq!(said(&installation, &["dead-letters", "list", "--json"]), "", "it was taken back");

    // A replay of one type, to all keys, beside what is new.
    said(&installation, &["replay", "begin", "main", "--type", "t.*", "--id", "evens", "--yes"]);
    for kill in 1..=kills {
        let some = events + (events / 2) * kill / (kills + 2);
        until("a part of the replay", || effects(&database, 1).len() >= some).await;
        server.kill();
        server = installation.start().await;
    }
    until("the replay", || replays(&installation).iter().all(|replay| replay["state"] == "done")).await;
    server.client().settled("main").await;
    let shown = said(&installation, &["replay", "show", "main", "evens"]);
    assert!(shown.contains("100 % looked at") && shown.lines().all(|line| line.len() <= 80), "{shown}");
    said(&installation, &["replay", "end", "main", "evens", "--yes"]);
    assert!(replays(&installation).iter().all(|replay| replay["id"] != "evens"));
    server.stop();
    for key in 1..KEYS {
        let expected: Vec<usize> = (0..events).chain((0..events).step_by(2)).collect();
        assert_eq!(effects(&database, key), expected, "key {key}");
    }
}
