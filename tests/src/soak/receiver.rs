//! The soak's receivers, which write every request down in the ledger.

use super::book::Book;
use super::ledger::{Answer, Arrival};
use crate::hostile::Certificate;
use crate::ports;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use laneway_domain::Timestamp;
use laneway_domain::receiver::Verifier;
use serde::Deserialize;
use std::convert::Infallible;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What the picky receiver rejects an event with.
pub const REJECTION: u16 = 422;
/// Of so many events, the picky one rejects one: each is a line in the log.
const REJECTED_OF: u64 = 200;
/// How long the moody one stays as it is: longer than its breaker needs to open and to close.
const MOOD: Duration = Duration::from_secs(15);
/// Of so many moods one is to hang, and two are to fail.
const MOODS: u64 = 8;
/// While it fails, it fails so many attempts of ten.
const FAILED_OF_TEN: u64 = 4;

/// How a receiver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// It takes everything.
    Steady,
    /// It fails or hangs at times.
    Moody,
    /// It rejects some events for good, until they are retried.
    Picky,
}

/// What an event of the soak says.
#[derive(Deserialize)]
struct Data {
    n: u64,
    at: u64,
}

struct Shared {
    name: &'static str,
    nature: Nature,
    book: Arc<Book>,
    /// What the keys of this ledger begin with.
    keys: String,
    seed: u64,
    began: Instant,
    calm: AtomicBool,
    verifier: Mutex<Verifier>,
    /// What it speaks TLS with, and the number of that certificate.
    acceptor: watch::Sender<(u64, Option<TlsAcceptor>)>,
    /// The number of the certificate that the last request came over.
    seen: watch::Sender<u64>,
}

/// What all receivers of a piece have in common.
#[derive(Clone)]
pub struct Setting {
    /// Where they write down what comes.
    pub book: Arc<Book>,
    /// What the keys in that ledger begin with.
    pub keys: String,
    /// Decides what the moody one does when.
    pub seed: u64,
    /// What requests are signed with.
    pub secrets: Vec<String>,
}

/// A receiver on a port of its own. Ended when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What a receiver verifies with these secrets.
fn verifier(secrets: &[String]) -> Verifier {
    Verifier::new(secrets).expect("the soak makes good secrets")
}

impl Receiver {
    /// Starts one, which speaks TLS if it has a certificate.
    ///
    /// # Panics
    /// If its port cannot be listened on.
    pub async fn start(
        name: &'static str,
        nature: Nature,
        setting: Setting,
        certificate: Option<&Certificate>,
    ) -> Self {
        let address = ports::free();
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let Setting { book, keys, seed, secrets } = setting;
        let shared = Arc::new(Shared {
            name,
            nature,
            book,
            keys,
            seed,
            began: Instant::now(),
            calm: AtomicBool::new(false),
            verifier: Mutex::new(verifier(&secrets)),
            acceptor: watch::Sender::new((1, certificate.map(Certificate::acceptor))),
            seen: watch::Sender::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.shared.acceptor.borrow().1.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/hook", self.address)
    }

    /// While it is calm, also a moody one takes everything.
    pub fn set_calm(&self, calm: bool) {
        self.shared.calm.store(calm, Ordering::Relaxed);
    }

    /// From now on only what one of these secrets signed is good.
    pub fn trust(&self, secrets: &[String]) {
        *self.shared.verifier.lock().unwrap() = verifier(secrets);
    }

    /// From now on it shows another certificate. Connections that stand end after the request that they are at.
    pub fn show(&self, certificate: &Certificate) {
        self.shared.acceptor.send_modify(|(number, acceptor)| {
            *number += 1;
            *acceptor = Some(certificate.acceptor());
        });
    }

    /// Waits until a request came over the certificate that it shows now.
    ///
    /// # Panics
    /// Never while it stands.
    pub async fn shown(&self) {
        let number = self.shared.acceptor.borrow().0;
        let mut seen = self.shared.seen.subscribe();
        seen.wait_for(|seen| *seen >= number).await.expect("the receiver is there");
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    stream.set_nodelay(true).ok();
    let (number, acceptor) = shared.acceptor.borrow().clone();
    match acceptor {
        Some(acceptor) => {
            // A handshake that fails is the other side's doing: it may have been killed.
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, number, shared).await;
            }
        }
        None => serve(stream, number, shared).await,
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, number: u64, shared: Arc<Shared>) {
    let mut renewed = shared.acceptor.subscribe();
    let service = service_fn(|request| take(request, number, &shared));
    let mut http = hyper::server::conn::http1::Builder::new();
    let mut served = std::pin::pin!(http.keep_alive(true).serve_connection(TokioIo::new(stream), service));
    // A connection that breaks is the other side's doing: a kill -9, or a timeout.
    tokio::select! {
        _ = served.as_mut() => return,
        _ = renewed.wait_for(|(current, _)| *current > number) => served.as_mut().graceful_shutdown(),
    }
    served.await.ok();
}

async fn take(request: Request<Incoming>, number: u64, shared: &Shared) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(answer(StatusCode::BAD_REQUEST)) };
    let body = body.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let verified = shared.verifier.lock().unwrap().verify(header, &body, Timestamp::ZERO.after(now));
    if let Err(why) = verified {
        shared.book.violation(format!("{}: a request is not signed as it should be: {why}", shared.name));
        return Ok(answer(StatusCode::UNAUTHORIZED));
    }
    let arrival = laneway_domain::receiver::Arrival::of_headers(header);
    let (Ok(arrival), Ok(data)) = (arrival, serde_json::from_slice::<Data>(&body)) else {
        shared.book.violation(format!("{}: a request is none of the soak's: {:?}", shared.name, head.headers));
        return Ok(answer(StatusCode::BAD_REQUEST));
    };
    shared.seen.send_if_modified(|seen| std::mem::replace(seen, number.max(*seen)) < number);
    let key = arrival.key.as_deref().unwrap_or_default();
    if !key.starts_with(&shared.keys) {
        // What a piece that was killed has left in the store. No ledger knows of it.
        return Ok(answer(StatusCode::NO_CONTENT));
    }
    let event = Arrival { key, number: data.n, offset: arrival.sequence.number(), redrive: arrival.redrive };
    let (judged, hangs) = shared.judge(&event);
    let measured = (shared.nature == Nature::Steady).then_some(data.at);
    shared.book.arrive(shared.name, event, judged, measured);
    if hangs {
        std::future::pending::<()>().await;
    }
    Ok(answer(match judged {
        Answer::Takes => StatusCode::NO_CONTENT,
        Answer::Rejects => StatusCode::UNPROCESSABLE_ENTITY,
        Answer::Fails => StatusCode::INTERNAL_SERVER_ERROR,
    }))
}

fn answer(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

/// A number that these decide.
fn chance(of: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(of)
}

impl Shared {
    /// What it does with an event, and whether it never answers.
    fn judge(&self, event: &Arrival<'_>) -> (Answer, bool) {
        match self.nature {
            Nature::Steady => (Answer::Takes, false),
            // What it rejects, it rejects each time, so that a repetition changes nothing.
            Nature::Picky if !event.redrive && chance((event.key, event.number)).is_multiple_of(REJECTED_OF) => {
                (Answer::Rejects, false)
            }
            Nature::Picky => (Answer::Takes, false),
            Nature::Moody if self.calm.load(Ordering::Relaxed) => (Answer::Takes, false),
            Nature::Moody => {
                let elapsed = self.began.elapsed().as_micros();
                match chance((self.seed, elapsed / MOOD.as_micros())) % MOODS {
                    0 => (Answer::Fails, true),
                    1 | 2 if chance((self.seed, elapsed)) % 10 < FAILED_OF_TEN => (Answer::Fails, false),
                    _ => (Answer::Takes, false),
                }
            }
        }
    }
}
