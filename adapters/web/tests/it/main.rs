//! The console in front of the whole HTTP interface, over the reference store and its registry of tokens.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dead_letters;
mod forms;
mod headers;
mod hostile;
mod large;
mod live;
mod overview;
mod roles;
mod send;
mod sessions;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use laneway_domain::{Command, DestinationName, DestinationStatus, StatusReport, Timestamp};
use laneway_http::{Api, Hosts, Limits, Role, Roles, Token, Tokens, router};
use laneway_memory::{Disk, MemoryStore, Settings};
use laneway_ports::{EventLog, Operator, Stores, WorkerControl};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tower::ServiceExt as _;

/// A token for everything, and one for each role.
const BOSS: &str = "a-token-for-everything";
const READER: &str = "a-token-that-reads";
const PUBLISHER: &str = "a-token-that-publishes";
const OPERATOR: &str = "a-token-that-reads-and-operates";

/// A worker that says what a test wants it to say, and notes what it is told.
#[derive(Default)]
pub(crate) struct Worker {
    report: Mutex<StatusReport>,
    told: Mutex<Vec<Command>>,
    asked: Mutex<usize>,
}

#[async_trait]
impl WorkerControl for Worker {
    async fn status(&self) -> Option<StatusReport> {
        *self.asked.lock().unwrap() += 1;
        Some(self.report.lock().unwrap().clone())
    }

    async fn command(&self, command: Command) -> Result<bool, String> {
        self.told.lock().unwrap().push(command);
        Ok(true)
    }

    fn target(&self, destination: &DestinationName) -> Option<String> {
        Some(format!("https://{destination}.example/hooks"))
    }

    async fn not_ready(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A server with a console.
pub(crate) struct Server {
    router: Router,
    tokens: Tokens,
    worker: Arc<Worker>,
    store: Arc<MemoryStore>,
    stop: watch::Sender<bool>,
}

/// What a browser got.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What stands in the value of a hidden field.
    fn field(&self, name: &str) -> String {
        let from = format!("name=\"{name}\" value=\"");
        let at = self.text.find(&from).unwrap_or_else(|| panic!("no field {name} in {}", self.text)) + from.len();
        self.text[at..].split('"').next().unwrap().to_owned()
    }
}

pub(crate) fn named(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

fn token(secret: &str, name: &str, roles: &[Role]) -> Token {
    Token::new(secret).unwrap().named(name, Roles::of(roles.iter().copied()))
}

pub(crate) fn tokens() -> Vec<Token> {
    vec![
        token(BOSS, "boss", &Role::ALL),
        token(READER, "reader", &[Role::Read]),
        token(PUBLISHER, "publisher", &[Role::Publish]),
        token(OPERATOR, "operator", &[Role::Read, Role::Operate]),
    ]
}

impl Server {
    /// One that asks nobody for a token.
    pub(crate) fn open() -> Self {
        Self::with(Vec::new())
    }

    pub(crate) fn with(tokens: Vec<Token>) -> Self {
        Self::of(tokens, true)
    }

    /// A worker that takes no events in.
    pub(crate) fn that_only_delivers() -> Self {
        Self::of(Vec::new(), false)
    }

    fn of(tokens: Vec<Token>, takes_events: bool) -> Self {
        let store = Arc::new(MemoryStore::open(Disk::new(4), Settings::default()));
        let worker = Arc::new(Worker::default());
        let tokens = Tokens::of(tokens);
        let api = Api {
            log: takes_events.then(|| store.clone() as Arc<dyn EventLog>),
            dead_letters: store.clone(),
            lookup: None,
            operations: Some(Arc::new(Operator::new(worker.clone(), Stores::of(store.clone())))),
            destinations: None,
            token_admin: None,
            tenant_admin: None,
            tenant_door: None,
            metrics: Arc::new(String::new),
            spans: None,
            limits: Limits::default().into(),
            tokens: tokens.clone(),
            tenants: laneway_http::CurrentActBounds::default(),
            hosts: Hosts::default(),
        };
        let (stop, stopping) = watch::channel(false);
        let (router, _) = laneway_web::with_console(router(api.clone()), api, stopping);
        Self { router, tokens, worker, store, stop }
    }

    /// The worker says this from now on.
    pub(crate) fn tells(&self, destinations: Vec<DestinationStatus>) {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let at = Timestamp::from_millis(now.try_into().unwrap());
        *self.worker.report.lock().unwrap() = StatusReport { at, destinations, ..StatusReport::default() };
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Page {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Page { status: parts.status, headers: parts.headers, text }
    }
}

/// A browser: it keeps the cookie that it was told, and sends it again.
pub(crate) struct Browser<'a> {
    server: &'a Server,
    cookie: Mutex<Option<String>>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(server: &'a Server) -> Self {
        Self { server, cookie: Mutex::default() }
    }

    /// One that has signed in.
    pub(crate) async fn signed_in(server: &'a Server, token: &str) -> Self {
        let browser = Self::new(server);
        let page = browser.get("/console/sign-in").await;
        let answer = browser.post("/console/sign-in", &[("csrf", &page.field("csrf")), ("token", token)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        browser
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost:8080");
        if let Some(cookie) = &*self.cookie.lock().unwrap() {
            request = request.header(header::COOKIE, cookie);
        }
        request
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Page {
        let page = self.server.send(request).await;
        if let Some(set) = page.headers.get(header::SET_COOKIE) {
            *self.cookie.lock().unwrap() = Some(set.to_str().unwrap().split(';').next().unwrap().to_owned());
        }
        page
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.send(self.request(Method::GET, path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let body = form(fields);
        let request = self.request(Method::POST, path).header("origin", "http://localhost:8080");
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// A form of a page that was got before.
    pub(crate) async fn submit(&self, page: &Page, path: &str, fields: &[(&str, &str)]) -> Page {
        let proof = page.field("csrf");
        let all: Vec<(&str, &str)> = [("csrf", &*proof)].into_iter().chain(fields.iter().copied()).collect();
        self.post(path, &all).await
    }
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
