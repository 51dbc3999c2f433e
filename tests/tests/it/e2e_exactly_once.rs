//! The example's receiver behind the real binary: the sender is killed again and again, answers get
//! lost, and every event has its effect exactly once, in its key's order.

#[allow(dead_code, reason = "its main function is not called")]
#[path = "../../../adapters/webhook/examples/receiver.rs"]
pub(crate) mod receiver;

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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const KEYS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// Loses one request in ten before the receiver, and one answer in five behind it.
async fn unreliable(requests: Arc<AtomicUsize>, request: Request, next: Next) -> Response {
    requests.fetch_add(1, Ordering::Relaxed);
    let fate = rand::random_range(0..10);
    if fate == 0 {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let answer = next.run(request).await;
    if fate <= 2 { StatusCode::INTERNAL_SERVER_ERROR.into_response() } else { answer }
}

/// Starts the receiver; its URL, and how many requests it got.
async fn start(database: &Path) -> (String, Arc<AtomicUsize>) {
    let verifier = Verifier::new([OTHER, SECRET]).expect("good secrets");
    let service = receiver::receiver(verifier, Connection::open(database).expect("a database")).expect("its tables");
    let requests = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&requests);
    let service = service.layer(from_fn(move |request, next| unreliable(Arc::clone(&counting), request, next)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}/hook", listener.local_addr().expect("it listens"));
    tokio::spawn(async move { axum::serve(listener, service).await });
    (url, requests)
}

/// The data of a key's effects, in the order in which they were had.
fn effects(database: &Connection, key: usize) -> Vec<usize> {
    let sql = "SELECT CAST(body AS TEXT) FROM effect WHERE key = ?1 ORDER BY number";
    let mut statement = database.prepare(sql).expect("a query");
    let rows = statement.query_map([format!("key:k{key}")], |row| row.get::<_, String>(0)).expect("rows");
    rows.map(|row| row.expect("a text").parse().expect("a number")).collect()
}

async fn until_effects(database: &Connection, wanted: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let had: usize = database.query_row("SELECT count(*) FROM effect", [], |row| row.get(0)).expect("a count");
        if had >= wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{had} of {wanted} effects after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_has_one_effect_through_kills_and_lost_answers() {
    let (events, kills) = (effort::scaled(1_000, 20_000), effort::scaled(4, 40));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("receiver.db");
    let (url, requests) = start(&path).await;
    let database = Connection::open(&path).expect("a database");
    database.busy_timeout(Duration::from_secs(10)).expect("a timeout can be set");
    let lines = format!(
        "secrets = [\"{SECRET}\"]\nbreaker = false\nretry = {{ initial = \"20ms\", factor = 1, limit = \"1h\" }}"
    );
    let installation = Installation::new(&Settings::destinations(&[webhook("main", &url, &lines)]));
    let mut server = installation.start().await;
    let event = |n: usize| json!({"id": format!("e{n}"), "type": "t", "key": format!("k{}", n % KEYS), "data": n});
    let all: Vec<Value> = (0..events).map(event).collect();
    server.client().accepted_all(&all).await;
    for kill in 1..=kills {
        until_effects(&database, events * kill / (kills + 2)).await;
        server.kill();
        server = installation.start().await;
    }
    server.client().settled("main").await;
    server.stop();
    for key in 0..KEYS {
        assert_eq!(effects(&database, key), (key..events).step_by(KEYS).collect::<Vec<_>>(), "key {key}");
    }
    let requests = requests.load(Ordering::Relaxed);
    assert!(requests > events + events / 5, "{requests} requests: too little was lost");
    let rows: usize = database.query_row("SELECT count(*) FROM last_seen", [], |row| row.get(0)).expect("a count");
    assert_eq!(rows, KEYS, "one number per key is all that is remembered");
}
