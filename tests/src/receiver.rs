//! Webhook receivers inside the test, which record every delivery and can misbehave.

use crate::ports;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// How long something that is to arrive may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a receiver does with a delivery that it has read and recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Behaviour {
    /// How likely it answers 500, from 0 to 1.
    pub failing: f64,
    /// Keys whose every delivery it answers with 500.
    pub poisoned: BTreeSet<String>,
    /// How long it takes to answer.
    pub delay: Duration,
    /// Whether it never answers.
    pub hanging: bool,
    /// The keys that `delay` and `hanging` are for; all if it is empty.
    pub troubled: BTreeSet<String>,
    /// What it answers instead of 200 when all is well; 0 for 200.
    pub answer: u16,
}

impl Behaviour {
    /// Every delivery is answered with 200 at once.
    #[must_use]
    pub fn healthy() -> Self {
        Self::default()
    }

    /// A delivery fails with this probability.
    #[must_use]
    pub fn failing(probability: f64) -> Self {
        Self { failing: probability, ..Self::default() }
    }

    /// Deliveries of these keys always fail.
    #[must_use]
    pub fn poisoned(keys: &[&str]) -> Self {
        Self { poisoned: keys.iter().map(|&k| k.to_owned()).collect(), ..Self::default() }
    }

    /// No delivery is ever answered.
    #[must_use]
    pub fn hanging() -> Self {
        Self { hanging: true, ..Self::default() }
    }

    /// Every delivery is answered with this status.
    #[must_use]
    pub fn answering(status: u16) -> Self {
        Self { answer: status, ..Self::default() }
    }

    /// Every delivery takes this long.
    #[must_use]
    pub fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// The delay and the hanging are only for this key.
    #[must_use]
    pub fn only(mut self, key: &str) -> Self {
        self.troubled.insert(key.to_owned());
        self
    }

    fn troubles(&self, key: Option<&str>) -> bool {
        self.troubled.is_empty() || key.is_some_and(|key| self.troubled.contains(key))
    }
}

/// One delivery, as it came in.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// When its last byte was read.
    pub at: Instant,
    /// `webhook-id`.
    pub id: String,
    /// `laneway-sequence`: partition and offset.
    pub sequence: (u32, u64),
    /// `ce-partitionkey`, decoded.
    pub key: Option<String>,
    /// `laneway-attempt`.
    pub attempt: u32,
    /// `traceparent`, if there was one.
    pub traceparent: Option<String>,
    /// The content type.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
    /// Whether it was answered with success (or would have been, had the connection lasted).
    pub taken: bool,
}

/// All that a receiver has seen.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The deliveries, in the order in which they came in.
    pub deliveries: Vec<Delivery>,
    /// How often each event was taken.
    pub taken: BTreeMap<String, u32>,
    /// What could not be understood.
    pub broken: Vec<String>,
}

#[derive(Debug)]
struct State {
    behaviour: Mutex<Behaviour>,
    random: Mutex<StdRng>,
    record: Mutex<Record>,
    changed: Notify,
}

/// A receiver on a port of its own.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Receiver {
    /// Starts one. `seed` decides which deliveries fail at random.
    pub async fn start(behaviour: Behaviour, seed: u64) -> Self {
        let made = Self::down(behaviour, seed);
        made.up().await;
        made
    }

    /// One whose port is closed until [`Receiver::up`].
    #[must_use]
    pub fn down(behaviour: Behaviour, seed: u64) -> Self {
        let state = State {
            behaviour: Mutex::new(behaviour),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            record: Mutex::default(),
            changed: Notify::new(),
        };
        Self { address: ports::free(), state: Arc::new(state), task: Mutex::new(None) }
    }

    /// Opens the port.
    ///
    /// # Panics
    /// If somebody else has it.
    pub async fn up(&self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is free");
        let task = tokio::spawn(accept(listener, Arc::clone(&self.state)));
        *self.task.lock().unwrap() = Some(task);
    }

    /// Closes the port and all connections.
    pub async fn close(&self) {
        let task = self.task.lock().unwrap().take();
        if let Some(task) = task {
            task.abort();
            task.await.ok();
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// From now on it behaves like this.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    /// How many deliveries it has seen.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.state.record.lock().unwrap().deliveries.len()
    }

    /// A copy of all that it has seen.
    #[must_use]
    pub fn record(&self) -> Record {
        self.state.record.lock().unwrap().clone()
    }

    /// Waits until what it has seen is as wanted. `wanted` is asked after each delivery, so it
    /// should not look at all of them.
    ///
    /// # Panics
    /// If that does not come about in three minutes.
    pub async fn until(&self, what: &str, mut wanted: impl FnMut(&Record) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let changed = self.state.changed.notified();
            if wanted(&self.state.record.lock().unwrap()) {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, changed).await.is_err() {
                let record = self.state.record.lock().unwrap();
                let (seen, taken) = (record.deliveries.len(), record.taken.len());
                panic!("not {what} after {PATIENCE:?}: {seen} deliveries seen, {taken} different events taken");
            }
        }
    }

    /// Waits until it has taken this many different events.
    pub async fn taken(&self, events: usize) {
        self.until(&format!("{events} events taken"), |record| record.taken.len() >= events).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap().take() {
            task.abort();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&state)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    stream.set_nodelay(true).ok();
    let service = service_fn(move |request| take(request, Arc::clone(&state)));
    // A connection that breaks is the other side's doing: a kill -9, or a timeout.
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn take(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(answer(StatusCode::BAD_REQUEST)) };
    let behaviour = state.behaviour.lock().unwrap().clone();
    let key = head.headers.get("ce-partitionkey").map(|key| decoded(&String::from_utf8_lossy(key.as_bytes())));
    let troubled = behaviour.troubles(key.as_deref());
    let hangs = behaviour.hanging && troubled;
    if !behaviour.delay.is_zero() && troubled {
        tokio::time::sleep(behaviour.delay).await;
    }
    let fails = behaviour.failing > 0.0 && state.random.lock().unwrap().random_bool(behaviour.failing);
    let taken = record(&state, &head.headers, body.to_bytes(), |key| {
        !hangs
            && !fails
            && matches!(behaviour.answer, 0 | 200..=299)
            && !key.is_some_and(|k| behaviour.poisoned.contains(k))
    });
    state.changed.notify_waiters();
    if hangs {
        std::future::pending::<()>().await;
    }
    Ok(answer(match behaviour.answer {
        _ if fails => StatusCode::INTERNAL_SERVER_ERROR,
        0 if taken => StatusCode::OK,
        0 => StatusCode::INTERNAL_SERVER_ERROR,
        other => StatusCode::from_u16(other).expect("a status code"),
    }))
}

fn answer(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

fn record(state: &State, headers: &http::HeaderMap, body: Bytes, takes: impl Fn(Option<&str>) -> bool) -> bool {
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut record = state.record.lock().unwrap();
    let key = text("ce-partitionkey").map(|key| decoded(&key));
    let sequence = text("laneway-sequence").as_deref().and_then(numbers);
    let attempt = text("laneway-attempt").and_then(|n| n.parse().ok());
    let (Some(id), Some(sequence), Some(attempt)) = (text("webhook-id"), sequence, attempt) else {
        record.broken.push(format!("{headers:?}"));
        return true;
    };
    let taken = takes(key.as_deref());
    if taken {
        *record.taken.entry(id.clone()).or_default() += 1;
    }
    let content_type = text("content-type").unwrap_or_default();
    let traceparent = text("traceparent");
    let at = Instant::now();
    record.deliveries.push(Delivery { at, id, sequence, key, attempt, traceparent, content_type, body, taken });
    taken
}

/// `<partition>-<offset>`.
fn numbers(sequence: &str) -> Option<(u32, u64)> {
    let (partition, offset) = sequence.split_once(|c: char| !c.is_ascii_digit())?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

/// A header value of the CloudEvents HTTP binding (section 3.1.3.2): percent-encoded UTF-8.
fn decoded(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = value.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex.filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests;
