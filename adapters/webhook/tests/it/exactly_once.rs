//! The sink and the example's receiver together: whatever answers get lost, every event has its
//! effect exactly once, and in its key's order.

#[allow(dead_code, reason = "its main function is not called")]
#[path = "../../examples/receiver.rs"]
mod receiver;

use crate::events::{OTHER_SECRET, SECRET, config, event, retry_reason};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::future::join_all;
use laneway_domain::receiver::Verifier;
use laneway_domain::{Event, Key, LoggedEvent, Offset, Outcome, Partition, Timestamp};
use laneway_ports::{Attempted, Delivery, Sink};
use laneway_webhook::{Secret, WebhookConfig, WebhookSink};
use rusqlite::Connection;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const KEYS: usize = 6;
const EVENTS: usize = 40;
/// Far above what the failures below can need.
const MOST_ATTEMPTS: usize = EVENTS * 100;

/// Numbers that look random and are the same in every run.
struct Chance(AtomicU64);

impl Chance {
    fn below(&self, end: u64) -> u64 {
        let mixed = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 31) % end
    }
}

/// Loses requests before the receiver and answers behind it.
async fn unreliable(chance: Arc<Chance>, request: Request, next: Next) -> Response {
    match chance.below(20) {
        0..=2 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        3..=6 => {
            next.run(request).await;
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        7 => {
            next.run(request).await;
            std::future::pending().await
        }
        _ => next.run(request).await,
    }
}

struct Started {
    address: SocketAddr,
    database: String,
    chance: Arc<Chance>,
}

async fn start(name: &str) -> (Started, Connection) {
    let database = format!("file:{name}?mode=memory&cache=shared");
    let keeping = Connection::open(&database).unwrap();
    let verifier = Verifier::new([OTHER_SECRET, SECRET]).unwrap();
    let chance = Arc::new(Chance(AtomicU64::new(1)));
    let drawing = Arc::clone(&chance);
    let service = receiver::receiver(verifier, Connection::open(&database).unwrap()).unwrap();
    let service = service.layer(from_fn(move |request, next| unreliable(Arc::clone(&drawing), request, next)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, service).await });
    (Started { address, database, chance }, keeping)
}

fn sink(address: SocketAddr, secret: &str) -> WebhookSink {
    let url = format!("http://{address}/hook");
    let timeout = Duration::from_millis(250);
    WebhookSink::new(WebhookConfig { timeout, secrets: vec![Secret::new(secret)], ..config(url) }).unwrap()
}

fn attempted(key: usize, number: usize) -> Attempted {
    let event = Event {
        key: Some(Key::new(&format!("key {key}")).unwrap()),
        data: Bytes::from(number.to_string()),
        ..event(&format!("evt-{key}-{number}"))
    };
    let event = LoggedEvent {
        partition: Partition(3),
        offset: Offset((number * KEYS + key) as u64),
        accepted_at: Timestamp::from_millis(1_700_000_000_250),
        event,
    };
    Attempted { event: Arc::new(event), attempt: 1, redrive: false, replay: None, fresh: false }
}

/// Delivers a key's events as the worker does, and now and then forgets some of its progress, as a
/// worker does that was killed.
async fn deliver_all(sink: &WebhookSink, key: usize, chance: &Chance) -> usize {
    let mut next = 0;
    for attempts in 0..MOST_ATTEMPTS {
        if next == EVENTS {
            return attempts;
        }
        match sink.deliver(&Delivery::of(vec![attempted(key, next)])).await.outcomes.as_slice() {
            [Outcome::Delivered] => next += 1,
            [Outcome::Retry { .. }] => {}
            other => panic!("{other:?}"),
        }
        if chance.below(12) == 0 {
            next -= usize::try_from(chance.below(4)).unwrap().min(next);
        }
    }
    panic!("key {key} has come to event {next} only");
}

fn effects(database: &Connection, key: usize) -> Vec<String> {
    let sql = "SELECT CAST(body AS TEXT) FROM effect WHERE key = ?1 ORDER BY number";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([format!("key:key%20{key}")], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn every_event_has_its_effect_once_and_in_order_whatever_answers_get_lost() {
    let (started, _keeping) = start("effects").await;
    let sink = sink(started.address, SECRET);
    let attempts = join_all((0..KEYS).map(|key| deliver_all(&sink, key, &started.chance))).await;
    assert!(attempts.iter().all(|count| *count > EVENTS + EVENTS / 4), "too little went wrong: {attempts:?}");
    let database = Connection::open(&started.database).unwrap();
    let expected: Vec<String> = (0..EVENTS).map(|number| number.to_string()).collect();
    for key in 0..KEYS {
        assert_eq!(effects(&database, key), expected, "key {key}");
    }
    let rows: usize = database.query_row("SELECT count(*) FROM last_seen", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, KEYS, "one number per key is all that is remembered");
}

#[tokio::test]
async fn what_a_stranger_signed_has_no_effect() {
    let (started, keeping) = start("strangers").await;
    let stranger = sink(started.address, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let mut refused = 0;
    for number in 0..20 {
        let outcomes = stranger.deliver(&Delivery::of(vec![attempted(0, number)])).await.outcomes;
        refused += usize::from(retry_reason(outcomes[0].clone()).contains("401"));
    }
    assert!(refused > 0);
    assert!(effects(&keeping, 0).is_empty());
}
