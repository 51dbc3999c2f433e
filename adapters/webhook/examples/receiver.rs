//! A whole receiver: it verifies each delivery, and has each effect exactly once with one number
//! per key (three, once it was replayed), whatever is delivered again.
//!
//! ```sh
//! RECEIVER_SECRETS="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" cargo run -p laneway-webhook --example receiver
//! ```
//!
//! Its effect is a row of the table `effect`. Two secrets, with a space between, are a rotation.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use laneway_domain::Timestamp;
use laneway_domain::receiver::{Arrival, LastReplayed, LastSeen, Verifier};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// All that it takes to drop duplicates is `last_seen`: a row per key.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS last_seen (key TEXT PRIMARY KEY, number INTEGER, replay INTEGER, replayed INTEGER) STRICT;
    CREATE TABLE IF NOT EXISTS effect (number INTEGER PRIMARY KEY, key TEXT NOT NULL, body BLOB NOT NULL) STRICT;";

struct Receiver {
    verifier: Verifier,
    database: Mutex<Connection>,
}

/// The receiver as a service, at `/hook`.
pub(crate) fn receiver(verifier: Verifier, database: Connection) -> rusqlite::Result<Router> {
    database.execute_batch(SCHEMA)?;
    let receiver = Receiver { verifier, database: Mutex::new(database) };
    Ok(Router::new().route("/hook", post(hook)).with_state(Arc::new(receiver)))
}

async fn hook(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if receiver.verifier.verify(header, &body, Timestamp::ZERO.after(now)).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(arrival) = Arrival::of_headers(header) else { return StatusCode::BAD_REQUEST };
    match tokio::task::spawn_blocking(move || receiver.take(&arrival, &body)).await {
        // Also when it was here before: then the answer to that got lost.
        Ok(Ok(())) => StatusCode::NO_CONTENT,
        // Nothing has happened, or nobody knows. It comes again, and later events of its key wait.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Receiver {
    /// The effect and the number in one transaction: both happen, or neither does.
    fn take(&self, arrival: &Arrival, body: &[u8]) -> rusqlite::Result<()> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let key = arrival.remembered_as();
        let select = "SELECT number, replay, replayed FROM last_seen WHERE key = ?1";
        let mut last = transaction.query_row(select, [&key], last_seen).optional()?.unwrap_or_default();
        if last.is_new(arrival.sequence, arrival.occasion()) {
            let (replay, replayed) = last.replayed().map(|last| (last.replay, last.number)).unzip();
            let row = (&key, last.number(), replay, replayed);
            transaction.execute("INSERT OR REPLACE INTO last_seen VALUES (?1, ?2, ?3, ?4)", row)?;
            effect(&transaction, &key, body)?;
        }
        transaction.commit()
    }
}

/// What is remembered of a key.
fn last_seen(row: &Row<'_>) -> rusqlite::Result<LastSeen> {
    let replayed: (Option<u64>, Option<u64>) = (row.get(1)?, row.get(2)?);
    let replayed = replayed.0.zip(replayed.1).map(|(replay, number)| LastReplayed { replay, number });
    Ok(LastSeen::stored(row.get(0)?, replayed))
}

/// What this receiver is for.
fn effect(transaction: &Transaction<'_>, key: &str, body: &[u8]) -> rusqlite::Result<()> {
    transaction.execute("INSERT INTO effect (key, body) VALUES (?1, ?2)", (key, body)).map(drop)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secrets = std::env::var("RECEIVER_SECRETS").map_err(|_| "set RECEIVER_SECRETS to a whsec_ secret")?;
    let receiver = receiver(Verifier::new(secrets.split_whitespace())?, Connection::open("receiver.db")?)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:9000").await?;
    println!("listening on http://{}/hook", listener.local_addr()?);
    Ok(axum::serve(listener, receiver).await?)
}
