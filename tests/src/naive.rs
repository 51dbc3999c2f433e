//! The usual design, to compare Laneway with: one queue in a table, one thread per destination, the
//! position moved after each success, and backoff in the process. It is built with care, and where
//! there was a choice it has the faster one; what it lacks is what the design lacks.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The first wait after a failure; doubles each time, as Laneway's does.
const INITIAL: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(3600);
/// Events that a destination's thread reads at once.
const PAGE: u32 = 100;
/// How long one delivery may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long a thread waits for the queue to grow before it looks again.
const GLANCE: Duration = Duration::from_millis(100);

const TABLES: &str = "
CREATE TABLE queue (id INTEGER PRIMARY KEY, key TEXT, data BLOB NOT NULL);
CREATE TABLE position (destination TEXT PRIMARY KEY, id INTEGER NOT NULL);
";

struct Queue {
    database: Mutex<Connection>,
    last: Mutex<i64>,
    grown: Condvar,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    event_type: &'a str,
    #[serde(borrow)]
    key: Option<&'a str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn open(path: &Path, synchronous: &str) -> rusqlite::Result<Connection> {
    let database = Connection::open(path)?;
    database.busy_timeout(Duration::from_secs(10))?;
    let _: String = database.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    database.pragma_update(None, "synchronous", synchronous)?;
    Ok(database)
}

/// Takes events in at `/v1/events` and delivers each to every one of `destinations`, for ever. The
/// database must not be there yet.
///
/// # Errors
/// If the database cannot be made, or the address not listened on.
pub async fn serve(listen: SocketAddr, database: PathBuf, destinations: Vec<Uri>) -> io::Result<()> {
    // An accepted event is durable here too.
    let writer = open(&database, "FULL").map_err(io::Error::other)?;
    writer.execute_batch(TABLES).map_err(io::Error::other)?;
    let queue = Arc::new(Queue { database: Mutex::new(writer), last: Mutex::new(0), grown: Condvar::new() });
    for to in destinations {
        let (queue, database) = (Arc::clone(&queue), database.clone());
        std::thread::Builder::new().name(format!("to {to}")).spawn(move || {
            deliver(&queue, &database, &to).unwrap_or_else(|e| panic!("the thread of {to}: {e}"));
        })?;
    }
    let ready = get(|| async { "ready" });
    let app = Router::new().route("/v1/events", post(accept)).route("/readyz", ready).with_state(queue);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), app).await
}

async fn accept(State(queue): State<Arc<Queue>>, body: Bytes) -> (StatusCode, &'static str) {
    let stored = tokio::task::spawn_blocking(move || -> Result<(), StatusCode> {
        let event: Event<'_> = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
        if event.event_type.is_empty() {
            return Err(StatusCode::UNPROCESSABLE_ENTITY);
        }
        let database = queue.database.lock().expect("no insert panics");
        let insert = "INSERT INTO queue (key, data) VALUES (?1, ?2)";
        let done =
            database.prepare_cached(insert).and_then(|mut s| s.execute((event.key, event.data.get().as_bytes())));
        done.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        *queue.last.lock().expect("nothing panics with it") = database.last_insert_rowid();
        queue.grown.notify_all();
        Ok(())
    });
    match stored.await {
        Ok(Ok(())) => (StatusCode::ACCEPTED, r#"{"id":"","partition":0,"offset":0,"duplicate":false}"#),
        Ok(Err(status)) => (status, ""),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, ""),
    }
}

/// One destination's thread: the next event is tried until it succeeds.
fn deliver(queue: &Queue, database: &Path, to: &Uri) -> Result<(), Box<dyn std::error::Error>> {
    // A position that is lost with the power costs duplicates only.
    let database = open(database, "NORMAL")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let mut position = 0;
    database.execute("INSERT INTO position VALUES (?1, 0)", [to.to_string()])?;
    loop {
        wait(queue, position);
        let mut page = database.prepare_cached("SELECT id, key, data FROM queue WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        let rows = page.query_map((position, PAGE), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let rows: Vec<(i64, Option<String>, Vec<u8>)> = rows.collect::<Result<_, _>>()?;
        for (id, key, data) in rows {
            let (mut backoff, mut number) = (INITIAL, 1);
            let data = Bytes::from(data);
            while !runtime.block_on(attempt(&client, to, id, key.as_deref(), number, data.clone())) {
                std::thread::sleep(backoff);
                backoff = (backoff * 2).min(LONGEST);
                number += 1;
            }
            position = id;
            let update = "UPDATE position SET id = ?1 WHERE destination = ?2";
            database.prepare_cached(update)?.execute((position, to.to_string()))?;
        }
    }
}

/// Waits until there is an event behind `position`, or for a moment.
fn wait(queue: &Queue, position: i64) {
    let last = queue.last.lock().expect("nothing panics with it");
    if *last <= position {
        drop(queue.grown.wait_timeout(last, GLANCE).expect("nothing panics with it"));
    }
}

/// Whether the receiver took it.
async fn attempt(
    client: &Client<HttpConnector, Full<Bytes>>,
    to: &Uri,
    id: i64,
    key: Option<&str>,
    number: u32,
    data: Bytes,
) -> bool {
    // What Laneway's receivers look at.
    let mut request = Request::post(to)
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("laneway-sequence", format!("0-{id}"))
        .header("laneway-attempt", number);
    if let Some(key) = key {
        request = request.header("ce-partitionkey", key);
    }
    let Ok(request) = request.body(Full::new(data)) else { return false };
    let exchange = async {
        let response = client.request(request).await.ok()?;
        let taken = response.status().is_success();
        response.into_body().collect().await.ok()?;
        Some(taken)
    };
    tokio::time::timeout(TIMEOUT, exchange).await.ok().flatten() == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client as Caller;
    use crate::ports;
    use crate::receiver::{Behaviour, Receiver};

    #[tokio::test]
    async fn one_failing_event_blocks_all_behind_it() {
        let receiver = Receiver::start(Behaviour::poisoned(&["bad"]), 1).await;
        let folder = tempfile::tempdir().unwrap();
        let (listen, to) = (ports::free(), receiver.url().parse().unwrap());
        let server = tokio::spawn(serve(listen, folder.path().join("naive.db"), vec![to]));
        let caller = Caller::new(listen);
        while caller.get("/readyz").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for key in ["good", "bad", "other"] {
            let body = format!(r#"{{"type":"t","key":"{key}","data":"{key}"}}"#);
            let answer = caller.send(http::Method::POST, "/v1/events", &[], body).await.unwrap();
            assert_eq!(answer.status, 202);
        }
        // Two attempts of the bad one: by then the other would have come, had it not to wait.
        receiver.until("three deliveries", |record| record.deliveries.len() >= 3).await;
        let seen: Vec<(Option<String>, bool)> =
            receiver.record().deliveries.into_iter().map(|delivery| (delivery.key, delivery.taken)).collect();
        let (good, bad) = ((Some("good".to_owned()), true), (Some("bad".to_owned()), false));
        assert_eq!(seen, [good, bad.clone(), bad]);
        server.abort();
    }
}
