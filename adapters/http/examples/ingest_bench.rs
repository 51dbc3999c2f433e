//! What taking events in costs, beside a bare axum endpoint, in one run and on one core:
//! `cargo run --release -p laneway-http --example ingest_bench`
//!
//! Clients and servers talk over pipes in memory on one thread, so that the time is CPU time. Both
//! sides of the comparison have the same clients, whose cost (measured too) is in both.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use async_trait::async_trait;
use axum::extract::{Json, State};
use axum::routing::post;
use axum::{Router, body::Body};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use laneway_domain::{Event, NewEvent, Offset, Partition, Timestamp};
use laneway_http::{Api, Limits, router};
use laneway_memory::{Disk, MemoryStore, Settings};
use laneway_ports::{Appended, Bounds, Chunk, EventLog, StoreError};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tower::ServiceExt;

const CONNECTIONS: usize = 64;
const REQUESTS: usize = 2_000;
const BATCH: usize = 500;
const ROUNDS: usize = 7;
const PIPE_BYTES: usize = 64 * 1024;

/// A log that forgets everything at once, so that only what is in front of it is measured.
struct Nowhere(AtomicU64);

#[async_trait]
impl EventLog for Nowhere {
    fn partitions(&self) -> u32 {
        8
    }

    async fn append(&self, events: Vec<NewEvent>) -> Vec<Result<Appended, StoreError>> {
        let place = |event: &NewEvent| {
            let partition = Partition::of(Event::ordered_by(&event.event), 8);
            Ok(Appended { partition, offset: Offset(self.0.fetch_add(1, Ordering::Relaxed)), duplicate: false })
        };
        events.iter().map(place).collect()
    }

    async fn read(&self, _: Partition, from: Offset, _: usize, _: usize) -> Result<Chunk, StoreError> {
        Ok(Chunk { records: Vec::new(), next: from })
    }

    async fn grown(&self, _: Partition, _: Offset) -> Result<Offset, StoreError> {
        std::future::pending().await
    }

    async fn bounds(&self, _: Partition) -> Result<Bounds, StoreError> {
        Ok(Bounds { start: Offset::ZERO, end: Offset::ZERO })
    }

    async fn remembered(&self, _: &str) -> Result<Vec<(Partition, Offset)>, StoreError> {
        Ok(Vec::new())
    }

    async fn trim(&self, _: Partition, _: Timestamp, _: usize) -> Result<usize, StoreError> {
        Ok(0)
    }
}

/// The bare endpoint: parses the same shape with serde, and answers the same.
#[derive(Deserialize)]
struct BareEvent {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    key: Option<String>,
    data: Box<RawValue>,
}

#[derive(Serialize)]
struct BareAnswer {
    id: String,
    partition: u32,
    offset: u64,
    duplicate: bool,
}

async fn bare(State(offset): State<Arc<AtomicU64>>, Json(event): Json<BareEvent>) -> (StatusCode, Json<BareAnswer>) {
    std::hint::black_box((&event.event_type, event.data.get()));
    let partition = Partition::of(event.key.as_deref().unwrap_or(&event.id), 8).0;
    let offset = offset.fetch_add(1, Ordering::Relaxed);
    (StatusCode::ACCEPTED, Json(BareAnswer { id: event.id, partition, offset, duplicate: false }))
}

/// The same with no types at all.
async fn untyped(Json(event): Json<serde_json::Value>) -> (StatusCode, Json<serde_json::Value>) {
    (
        StatusCode::ACCEPTED,
        Json(serde_json::json!({"id": event["id"], "partition": 0, "offset": 0, "duplicate": false})),
    )
}

fn event(n: usize) -> String {
    let front = format!(r#"{{"id":"evt_{n:08}","type":"order.paid","key":"order-{:05}","data":"#, n % 10_000);
    let filler = "x".repeat(512 - front.len() - r#"{"sum":1250,"currency":"EUR","lines":[1,2,3],"note":""}}"#.len());
    let whole = format!(r#"{front}{{"sum":1250,"currency":"EUR","lines":[1,2,3],"note":"{filler}"}}}}"#);
    assert_eq!(whole.len(), 512);
    whole
}

fn request(body: &str) -> Vec<u8> {
    let head = "POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nuser-agent: bench\r\naccept: */*\r\n\
                content-type: application/json\r\n";
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn client(mut stream: DuplexStream, number: usize) {
    let requests: Vec<Vec<u8>> = (0..16).map(|n| request(&event(number * 1000 + n))).collect();
    let mut answer = vec![0; 1024];
    for n in 0..REQUESTS {
        stream.write_all(&requests[n % requests.len()]).await.unwrap();
        let mut length = 0;
        while length == 0 || answer[length - 1] != b'}' {
            length += stream.read(&mut answer[length..]).await.unwrap();
        }
        assert!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&answer[..length]));
    }
}

/// Microseconds a request, with all connections at once. `as_served`: with the settings of `serve`.
async fn over_connections(router: &Router, as_served: bool) -> f64 {
    let started = Instant::now();
    let mut clients = Vec::new();
    for number in 0..CONNECTIONS {
        let (near, far) = duplex(PIPE_BYTES);
        let service = TowerToHyperService::new(router.clone());
        let mut builder = http1::Builder::new();
        if as_served {
            builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10)).max_buf_size(64 * 1024);
        } else {
            builder.header_read_timeout(None);
        }
        tokio::spawn(builder.serve_connection(TokioIo::new(far), service));
        clients.push(tokio::spawn(client(near, number)));
    }
    for client in clients {
        client.await.unwrap();
    }
    micros(started.elapsed(), CONNECTIONS * REQUESTS)
}

/// Microseconds a request without any HTTP around the router.
async fn in_process(router: &Router) -> f64 {
    let body = event(1);
    let started = Instant::now();
    for _ in 0..REQUESTS * 10 {
        let request = Request::post("/v1/events").header("content-type", "application/json");
        let request = request.header("content-length", "512").body(Body::from(body.clone())).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        std::hint::black_box(response.into_body().collect().await.unwrap().to_bytes());
    }
    micros(started.elapsed(), REQUESTS * 10)
}

/// Events a second in batches, the router and the answer included.
async fn batches(router: &Router, content_type: &str, body: String) -> f64 {
    let body = bytes::Bytes::from(body);
    let rounds = 400;
    let started = Instant::now();
    for _ in 0..rounds {
        let request = Request::post("/v1/events/batch").header("content-type", content_type);
        let response = router.clone().oneshot(request.body(Body::from(body.clone())).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        std::hint::black_box(response.into_body().collect().await.unwrap().to_bytes());
    }
    (rounds * BATCH) as f64 / started.elapsed().as_secs_f64()
}

fn micros(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_secs_f64() * 1e6 / count as f64
}

/// The least of several rounds: what it costs when nothing else runs.
fn least(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    let store = Arc::new(MemoryStore::open(Disk::new(1), Settings::default()));
    let laneway = router(Api {
        log: Some(Arc::new(Nowhere(AtomicU64::new(0)))),
        dead_letters: store,
        lookup: None,
        operations: None,
        destinations: None,
        token_admin: None,
        tenant_admin: None,
        tenant_door: None,
        metrics: Arc::new(String::new),
        spans: None,
        limits: Limits::default().into(),
        tokens: laneway_http::Tokens::default(),
        tenants: laneway_http::CurrentActBounds::default(),
        hosts: laneway_http::Hosts::default(),
    });
    let bare = Router::new().route("/v1/events", post(bare)).with_state(Arc::new(AtomicU64::new(0)));
    let untyped = Router::new().route("/v1/events", post(untyped));

    let names = ["bare, typed", "bare, Value", "laneway", "laneway, as served"];
    let mut connected = [const { Vec::new() }; 4];
    let mut direct = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (samples, (router, as_served)) in
            connected.iter_mut().zip([(&bare, false), (&untyped, false), (&laneway, false), (&laneway, true)])
        {
            samples.push(over_connections(router, as_served).await);
        }
        for (samples, router) in direct.iter_mut().zip([&bare, &untyped, &laneway]) {
            samples.push(in_process(router).await);
        }
        recorder.run_upkeep();
    }
    println!("one event of 512 bytes a request, {CONNECTIONS} connections in memory, least of {ROUNDS} rounds");
    let base = least(&connected[0]);
    for (name, samples) in names.iter().zip(&connected) {
        let least = least(samples);
        println!("  {name:<20} {least:6.2} µs/request   {:.2} × bare", least / base);
    }
    println!("the same straight into the router");
    let base = least(&direct[0]);
    for (name, samples) in names.iter().zip(&direct) {
        let least = least(samples);
        println!("  {name:<20} {least:6.2} µs/request   {:.2} × bare", least / base);
    }
    println!("batches of {BATCH}");
    let events: Vec<String> = (0..BATCH).map(event).collect();
    for (name, content_type, body) in [
        ("array", "application/json", format!("[{}]", events.join(","))),
        ("lines", "application/x-ndjson", events.join("\n")),
    ] {
        let mut most: f64 = 0.0;
        for _ in 0..ROUNDS {
            most = most.max(batches(&laneway, content_type, body.clone()).await);
        }
        println!("  {name:<20} {most:9.0} events/s");
    }
}
