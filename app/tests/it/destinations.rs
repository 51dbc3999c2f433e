//! Destinations that change while events flow: the HTTP interface, the service behind it, and a worker that follows,
//! over the reference store.

mod answers;
mod lost;
mod mistakes;
mod retries;
mod secrets;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use laneway_app::config::{Config, DestinationConfig};
use laneway_app::registry::{Destinations, Follower, KEY_BYTES, Keyring, Reader, Targets, all, apply};
use laneway_app::telemetry::destinations::DestinationMetrics;
use laneway_app::worker::{Clock, Handle, Worker};
use laneway_domain::{DestinationName, Revision};
use laneway_egress::EgressPolicy;
use laneway_http::{Api, Hosts, Limits, Role, Roles, Token, router};
use laneway_memory::{Disk, MemoryStore, Settings};
use laneway_ports::{KeptHistory, Operator, Stores, WorkerControl, WorkerId};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

const PARTITIONS: u32 = 4;
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// What a process is made with.
struct Setup {
    file: Vec<Arc<DestinationConfig>>,
    key: Option<u8>,
    works: bool,
    /// Whether workers work elsewhere, where none works here.
    elsewhere: bool,
    patience: Duration,
    egress: EgressPolicy,
    /// What is open to tenants.
    egress_of_tenants: Vec<ipnet::IpNet>,
    tokens: Vec<Token>,
    /// Where it keeps everything; `None`: on a disk of its own.
    disk: Option<Arc<Disk>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            file: Vec::new(),
            key: Some(7),
            works: true,
            elsewhere: false,
            patience: Duration::from_secs(10),
            egress: EgressPolicy::default(),
            egress_of_tenants: Vec::new(),
            tokens: Vec::new(),
            disk: None,
        }
    }
}

/// A process: its HTTP interface, and its worker if it has one.
struct Process {
    router: Router,
    stores: Stores,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Workers of which there is none.
struct Nobody;

#[async_trait::async_trait]
impl WorkerControl for Nobody {
    async fn status(&self) -> Option<laneway_domain::StatusReport> {
        None
    }
    async fn command(&self, _: laneway_domain::Command) -> Result<bool, String> {
        Err("there is no worker".to_owned())
    }
    async fn not_ready(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Workers of another process, which have not told of anything yet.
pub(crate) struct Elsewhere;

#[async_trait::async_trait]
impl WorkerControl for Elsewhere {
    async fn status(&self) -> Option<laneway_domain::StatusReport> {
        Some(laneway_domain::StatusReport::default())
    }
    async fn command(&self, _: laneway_domain::Command) -> Result<bool, String> {
        Ok(false)
    }
    async fn not_ready(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Process {
    async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    async fn with(setup: Setup) -> Self {
        let disk = setup.disk.unwrap_or_else(|| Disk::new(PARTITIONS));
        let stores = Stores::of(Arc::new(MemoryStore::open(disk.clone(), Settings::default())));
        let keys = setup.key.map_or_else(Keyring::none, |byte| Keyring::of(&[[byte; KEY_BYTES]]).unwrap());
        let reader = Reader::new(setup.egress, Arc::new(keys), setup.file.clone());
        let reader = Arc::new(reader.opening_to_tenants(setup.egress_of_tenants));
        let file: BTreeMap<_, _> = setup.file.iter().map(|known| (known.destination.name.clone(), known)).collect();
        apply(&stores, "laneway.toml", &file).await.unwrap();
        let mut tasks = Vec::new();
        let workers: Arc<dyn WorkerControl> = if setup.works {
            let clock = Clock::starting_at(disk.now());
            Arc::new(work(&stores, &reader, clock, &mut tasks).await)
        } else if setup.elsewhere {
            Arc::new(Elsewhere)
        } else {
            Arc::new(Nobody)
        };
        let service = Destinations::new(stores.clone(), workers.clone(), reader).patient_for(setup.patience);
        let api = Api {
            log: Some(stores.log.clone()),
            dead_letters: stores.dead_letters.clone(),
            lookup: None,
            operations: Some(Arc::new(Operator::new(workers, stores.clone()))),
            destinations: Some(Arc::new(service)),
            token_admin: None,
            tenant_admin: None,
            tenant_door: None,
            metrics: Arc::new(String::new),
            spans: None,
            limits: Limits::default().into(),
            tokens: setup.tokens.into(),
            tenants: laneway_http::CurrentActBounds::default(),
            hosts: Hosts::default(),
        };
        Self { router: router(api), stores, tasks }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let json = if body.is_empty() { Json::Null } else { serde_json::from_slice(&body).unwrap() };
        Answer { status: parts.status, headers: parts.headers, json }
    }

    async fn put(&self, name: &str, settings: &Json) -> Answer {
        self.send("PUT", &format!("/v1/destinations/{name}"), &[], settings.to_string()).await
    }

    async fn patch(&self, name: &str, settings: &Json) -> Answer {
        self.send("PATCH", &format!("/v1/destinations/{name}"), &[], settings.to_string()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    async fn post(&self, path: &str, body: &Json) -> Answer {
        self.send("POST", path, &[], body.to_string()).await
    }

    async fn delete(&self, name: &str) -> Answer {
        self.send("DELETE", &format!("/v1/destinations/{name}"), &[], "").await
    }

    /// The settings of a destination as they are shown.
    async fn settings(&self, name: &str) -> Json {
        self.get(&format!("/v1/destinations/{name}")).await.is(200).json["settings"].clone()
    }

    async fn last(&self) -> Revision {
        self.stores.registry.head().await.unwrap().last
    }

    /// All that the registry keeps, as text.
    async fn kept(&self) -> String {
        format!("{:?}", self.stores.registry.changed_since(Revision::ORIGIN).await.unwrap().records)
    }
}

async fn work(stores: &Stores, reader: &Arc<Reader>, clock: Clock, tasks: &mut Vec<JoinHandle<()>>) -> Handle {
    let targets = Arc::new(Targets::default());
    let (mut begun, heard) = all(&*stores.registry, reader, &targets).await.unwrap();
    let (handle, working, upkeep) = Worker {
        id: WorkerId("w".into()),
        stores: stores.clone(),
        destinations: std::mem::take(&mut begun.destinations),
        sinks: std::mem::take(&mut begun.sinks),
        settings: laneway_domain::Settings::default(),
        clock,
        seed: 1,
        retain: Duration::from_secs(100_000),
        operational: laneway_domain::OperationalSettings::default(),
        told: Vec::new(),
        spans: None,
        history: KeptHistory { max_age: Duration::from_secs(3600), max_bytes: 1 << 20 },
        metrics: DestinationMetrics::new().unwrap(),
    }
    .start();
    let follower = Follower::new(stores.registry.clone(), reader.clone(), targets, handle.clone(), heard);
    tasks.extend([tokio::spawn(working), tokio::spawn(upkeep), tokio::spawn(follower.run())]);
    handle
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    json: Json,
}

impl Answer {
    #[track_caller]
    fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    /// The problem that it must be.
    #[track_caller]
    fn problem(self, status: u16, kind: &str) -> Json {
        let answer = self.is(status);
        assert_eq!(answer.json["type"], format!("urn:laneway:problem:{kind}"), "{answer:?}");
        assert_eq!(
            (&answer.json["status"], &answer.headers["content-type"]),
            (&json!(status), &"application/problem+json".parse().unwrap())
        );
        answer.json
    }

    fn revision(&self) -> u64 {
        self.json["revision"].as_u64().unwrap()
    }

    fn tag(&self) -> String {
        self.headers["etag"].to_str().unwrap().to_owned()
    }
}

fn of_file(text: &str) -> Vec<Arc<DestinationConfig>> {
    Config::from_toml(text).unwrap().destinations
}

fn name(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

fn console() -> Json {
    json!({ "url": "console:" })
}
