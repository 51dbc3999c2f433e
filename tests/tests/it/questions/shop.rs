//! A receiver that keeps each request whole, and answers what it is told to.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long something that is to arrive may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request that came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) at: SystemTime,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What it was answered with.
    pub(super) status: u16,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn id(&self) -> &str {
        self.header("webhook-id")
    }
}

/// What it answers: to every event, or to those of a key.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    body: String,
    /// How many times; then it is as if it had never been told to.
    times: usize,
}

#[derive(Debug, Default)]
struct Inner {
    requests: Vec<Request>,
    /// By key; `""`: of all others.
    answers: BTreeMap<String, Answer>,
    delay: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Shop {
    url: String,
    inner: Arc<(Mutex<Inner>, Notify)>,
}

impl Shop {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}/hook", listener.local_addr().expect("it listens"));
        let shop = Self { url, inner: Arc::default() };
        let router = Router::new().fallback(take).with_state(shop.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        shop
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it answers events of this key (`""`: all others) so.
    pub(super) fn answer(&self, key: &str, status: u16, body: &str) {
        self.answer_times(key, status, body, usize::MAX);
    }

    /// The same for the next so many of them.
    pub(super) fn answer_times(&self, key: &str, status: u16, body: &str, times: usize) {
        self.lock().answers.insert(key.to_owned(), Answer { status, body: body.to_owned(), times });
    }

    /// It takes everything again, and at once.
    pub(super) fn mend(&self) {
        let mut inner = self.lock();
        inner.answers.clear();
        inner.delay = Duration::ZERO;
    }

    /// Each answer takes so long.
    pub(super) fn slow(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// The requests with the event of this id.
    pub(super) fn of(&self, id: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.id() == id).collect()
    }

    /// The ids of what it has taken, in order.
    pub(super) fn taken(&self) -> Vec<String> {
        let taken = self.requests().into_iter().filter(|request| request.status == 200);
        taken.map(|request| request.id().to_owned()).collect()
    }

    /// Waits until what it has seen is as wanted.
    pub(super) async fn until(&self, what: &str, mut wanted: impl FnMut(&[Request]) -> bool) {
        let waiting = async {
            loop {
                let came = self.inner.1.notified();
                let seen = self.requests();
                if wanted(&seen) {
                    return;
                }
                came.await;
            }
        };
        let waited = timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "not {what} within {PATIENCE:?}, but {:#?}", self.requests());
    }
}

async fn take(State(shop): State<Shop>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let delay = shop.lock().delay;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let key = headers.get("ce-partitionkey").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    let answer = {
        let mut inner = shop.lock();
        let told = if inner.answers.contains_key(&key) { key } else { String::new() };
        let answer = inner.answers.get_mut(&told).filter(|answer| answer.times > 0).map(|answer| {
            answer.times -= 1;
            answer.clone()
        });
        let answer = answer.unwrap_or(Answer { status: 200, body: String::new(), times: 0 });
        inner.requests.push(Request { at: SystemTime::now(), uri, headers, body, status: answer.status });
        answer
    };
    shop.inner.1.notify_waiters();
    let status = StatusCode::from_u16(answer.status).expect("a status");
    (status, [("content-type", "application/json"), ("x-request-id", "req-77")], answer.body).into_response()
}
