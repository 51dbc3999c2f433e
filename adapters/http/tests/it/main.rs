//! The whole HTTP side over the reference store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod batches;
mod cloudevents;
mod crowd;
mod door;
mod drain;
mod fuzz;
mod limits;
mod metrics;
mod operator;
mod properties;
mod requests;
mod roles;
mod shutdown;
mod slow_readers;
mod store_errors;
mod tenants;
mod tls;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use laneway_domain::{Command, Event, Offset, Partition, StatusReport};
use laneway_http::{Api, Hosts, Limits, Token, router, wire};
use laneway_memory::{Disk, Faults, MemoryStore, Settings};
use laneway_ports::{EventLog, LogRecord, Operations, Operator, Stores, WorkerControl};
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex};
use tower::ServiceExt;

const PARTITIONS: u32 = 4;
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const CLOUDEVENT: &str = "application/cloudevents+json";
const CLOUDEVENTS: &str = "application/cloudevents-batch+json";

/// A worker that says what a test wants it to say, and notes what it is told.
#[derive(Default)]
struct Worker {
    report: Mutex<Option<StatusReport>>,
    not_ready: Mutex<Vec<String>>,
    told: Mutex<Vec<Command>>,
    answer: Mutex<Option<Result<bool, String>>>,
}

#[async_trait]
impl WorkerControl for Worker {
    async fn status(&self) -> Option<StatusReport> {
        self.report.lock().unwrap().clone()
    }

    async fn command(&self, command: Command) -> Result<bool, String> {
        self.told.lock().unwrap().push(command);
        self.answer.lock().unwrap().clone().unwrap_or(Ok(true))
    }

    async fn not_ready(&self) -> Vec<String> {
        self.not_ready.lock().unwrap().clone()
    }
}

/// What an operator can do with these workers.
fn operations(workers: Arc<impl WorkerControl + 'static>, store: &Arc<MemoryStore>) -> Arc<dyn Operations> {
    Arc::new(Operator::new(workers, Stores::of(store.clone())))
}

struct Server {
    router: Router,
    store: Arc<MemoryStore>,
    worker: Arc<Worker>,
}

/// What a server can be made with.
#[derive(Default)]
struct Setup {
    limits: Limits,
    tokens: Vec<Token>,
    hosts: Hosts,
    faults: Option<Arc<dyn Faults>>,
    no_worker: bool,
    no_ingest: bool,
}

impl Server {
    fn new() -> Self {
        Self::with(Setup::default())
    }

    fn with(setup: Setup) -> Self {
        let settings = Settings { faults: setup.faults, ..Settings::default() };
        let store = Arc::new(MemoryStore::open(Disk::new(PARTITIONS), settings));
        let worker = Arc::new(Worker::default());
        let api = Api {
            log: (!setup.no_ingest).then(|| store.clone() as Arc<dyn EventLog>),
            dead_letters: store.clone(),
            lookup: None,
            operations: (!setup.no_worker).then(|| operations(worker.clone(), &store)),
            destinations: None,
            token_admin: None,
            tenant_admin: None,
            tenant_door: None,
            metrics: Arc::new(|| "laneway_up 1\n".into()),
            spans: None,
            limits: setup.limits.into(),
            tokens: setup.tokens.into(),
            tenants: laneway_http::CurrentActBounds::default(),
            hosts: setup.hosts,
        };
        Self { router: router(api), store, worker }
    }

    async fn send(&self, mut request: Request<Body>) -> Answer {
        let host = http::HeaderValue::from_static("localhost");
        request.headers_mut().entry(http::header::HOST).or_insert(host);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        self.send(post(path, content_type, body)).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// All events of the store, by partition and offset.
    async fn stored(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for partition in (0..PARTITIONS).map(Partition) {
            let chunk = self.store.read(partition, Offset::ZERO, usize::MAX, usize::MAX).await.unwrap();
            events.extend(chunk.records.iter().map(|record| match record {
                LogRecord::Event(logged) => logged.event.clone(),
                LogRecord::Corrupt { reason, .. } => panic!("{reason}"),
            }));
        }
        events
    }

    /// The only event of the store.
    async fn only(&self) -> Event {
        let mut events = self.stored().await;
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }
}

fn post(path: &str, content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", content_type).body(body.into()).unwrap()
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    #[track_caller]
    fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    #[track_caller]
    fn accepted(&self) -> wire::Accepted {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/json");
        self.read()
    }

    #[track_caller]
    fn batch(&self) -> Vec<wire::Accepted> {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{self:?}");
        self.read::<wire::AcceptedBatch>().events
    }

    /// The problem that it must be, of that status and kind.
    #[track_caller]
    fn problem(&self, status: u16, kind: &str) -> wire::Problem {
        let problem: wire::Problem = self.read();
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!((self.status.as_u16(), problem.status), (status, status), "{self:?}");
        assert_eq!(problem.type_uri, format!("urn:laneway:problem:{kind}"), "{self:?}");
        assert!(!problem.detail.is_empty() && !problem.title.is_empty());
        problem
    }

    /// A 422 about that field.
    #[track_caller]
    fn invalid(&self, field: &str) -> wire::Problem {
        let problem = self.problem(422, "invalid");
        assert_eq!(problem.field.as_deref(), Some(field), "{self:?}");
        problem
    }
}
