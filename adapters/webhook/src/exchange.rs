//! One request and its answer, within one deadline.

use crate::answer::{Answer, Judge};
use crate::connect::{ConnectError, Connector, Stream};
use crate::wire::{HandOver, Place, Watched, WatchedBody, Wire};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use laneway_domain::{Answered, Cause, End, Outcome, REST_OF_ANSWER};
use laneway_egress::{Dial, Placed, gave_way};
use laneway_ports::{TestReport, TestedAnswer, is_shortage};
use laneway_tls::tls_error_in_words;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// The most of an answer that is read. An answer that ends within it leaves its connection usable;
/// a longer one costs its connection.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The most bytes of an answer's head, so that endless headers end.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most headers of an answer that are read. Of one with more the status still stands.
const MAX_ANSWER_HEADERS: usize = 100;
/// The most interim answers (1xx) before the final one over HTTP/1. Nobody needs more than a few; a
/// receiver that sends them without end would cost a core until the deadline.
const MAX_INTERIM_ANSWERS: usize = 100;
/// How long an HTTP/2 connection with requests on it may be silent before it is asked for a sign of
/// life, and how long it then has for it: a third of the deadline each, within these bounds. So a
/// connection whose other end vanished costs the attempts on it, and is gone for the next.
const PING_BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// Which part of an exchange's time a request may wait for a stream: beyond it, what is left for the receiver
/// would be too little to call it slow.
const MAX_QUEUED: u32 = 2;
/// How much one HTTP/2 answer may send ahead of our reading, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;

/// What is asked of the pool.
pub(crate) struct PoolOptions {
    pub(crate) http2_only: bool,
    pub(crate) max_idle: usize,
    pub(crate) idle_timeout: Duration,
}

/// Makes the exchanges of one destination, over connections of its own.
///
/// The pool sends a request again by itself in one case only: when a reused connection turned out
/// to be closed before any of the request was handed to it. That is no second attempt, since
/// nothing was sent. Once a request may have been written, whatever happens is an outcome.
pub(crate) struct Exchange<D> {
    client: Client<PooledConnector<D>, WatchedBody>,
    /// Makes a new connection for each request.
    fresh: Client<PooledConnector<D>, WatchedBody>,
    connector: PooledConnector<D>,
    timeout: Duration,
    judge: Judge,
}

impl<D: Dial> Exchange<D> {
    pub(crate) fn new(connector: Connector<D>, options: &PoolOptions, timeout: Duration, judge: Judge) -> Self {
        let connector = PooledConnector { connector: Arc::new(connector), http2_only: options.http2_only };
        let ping = (timeout / 3).clamp(PING_BOUNDS.0, PING_BOUNDS.1);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(options.max_idle)
            .pool_idle_timeout(options.idle_timeout)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_ANSWER_HEADERS)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .http2_only(options.http2_only)
            .http2_keep_alive_interval(ping)
            .http2_keep_alive_timeout(ping)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_max_header_list_size(MAX_HEAD_BYTES as u32);
        let client = builder.build(connector.clone());
        let fresh = builder.pool_max_idle_per_host(0).build(connector.clone());
        Self { client, fresh, connector, timeout, judge }
    }

    /// What judges the answers, and knows what nobody is to see.
    pub(crate) const fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The deadline of an exchange that begins now.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Sends `request`, and says what came of it, at the `deadline` at the latest. `fresh`: over a connection
    /// that was never used before. Beside it what the receiver answered, for the history.
    pub(crate) async fn outcome(
        &self,
        request: Request<Full<Bytes>>,
        fresh: bool,
        deadline: Instant,
    ) -> (Outcome, Answered) {
        let seen = Seen(Mutex::default());
        let outcome = self.witnessed(request, fresh, deadline, &seen).await;
        (outcome, seen.0.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, over a connection of its own, with the answer as people may see it.
    pub(crate) async fn tested(&self, request: Request<Full<Bytes>>, deadline: Instant) -> TestReport {
        let noted = Noted(Mutex::default());
        let outcome = self.witnessed(request, true, deadline, &noted).await;
        TestReport { outcome, answer: noted.0.into_inner().unwrap_or_else(PoisonError::into_inner) }
    }

    async fn witnessed<W: Witness>(
        &self,
        request: Request<Full<Bytes>>,
        fresh: bool,
        deadline: Instant,
        witness: &W,
    ) -> Outcome {
        let (mut request, hand_over, mut connection) = watched(request);
        let storm = watch_interim_answers(&mut request);
        let patience = self.timeout / MAX_QUEUED;
        let client = if fresh { &self.fresh } else { &self.client };
        tokio::select! {
            biased;
            answer = client.request(request) => match answer {
                Ok(response) => self.judged(response, hand_over.place(), deadline, witness).await,
                Err(error) => self.failed(&error, hand_over.place(), connection.connection_metadata().is_some(), witness),
            },
            () = storm.notified() => {
                retry(Cause::Unanswered, format!("more than {MAX_INTERIM_ANSWERS} interim answers (1xx) and no final one"))
            }
            (status, place) = last_word(&hand_over) => self.status_alone(status, &place, witness),
            () = not_handed_over(&mut connection, &hand_over, patience) => {
                retry(Cause::Queued, format!("the receiver's connection took no further request within {patience:?}"))
            }
            () = sleep_until(deadline) => match status_at(hand_over.place()) {
                Some((status, place)) => self.status_alone(status, &place, witness),
                None if hand_over.place().is_none() => self.never_sent(),
                None => retry(Cause::Unanswered, format!("no answer within {:?}", self.timeout)),
            }
        }
    }

    /// No connection took the request in all the time that it had.
    fn never_sent(&self) -> Outcome {
        let why = format!("no connection within {:?}", self.timeout);
        // Where every place is taken, that is our own bound's doing.
        let crowded = self.connector.connector.route.is_crowded();
        retry(if crowded { Cause::Shortage } else { Cause::NotConnected }, why)
    }

    /// A success is one by its status: the receiver has said so, whatever becomes of the rest of
    /// its answer. The rest is read so that the connection can be used again, for a short time.
    async fn judged<W: Witness>(
        &self,
        response: Response<Incoming>,
        place: Option<Place>,
        deadline: Instant,
        witness: &W,
    ) -> Outcome {
        let (head, body) = response.into_parts();
        let until = deadline.min(Instant::now() + End::Delivered.meaning().rest);
        if head.version == http::Version::HTTP_2
            && let Some(place) = &place
        {
            place.wire.answered_http2();
        }
        let mut kept = Vec::new();
        if head.status.is_success() {
            if !body.is_end_stream() {
                let _ = timeout_at(until, read(body, W::KEEPS.then_some(&mut kept))).await;
            }
            witness.saw(&self.judge, || Answer { status: head.status, headers: HeaderMap::new(), body: kept });
            return match place {
                Some(place) if head.version != http::Version::HTTP_2 => confirmed(head.status, &place).await,
                _ => Outcome::Delivered,
            };
        }
        // Whatever was read by then is what the reason quotes.
        let _ = timeout_at(until, read(body, Some(&mut kept))).await;
        let answer = Answer { status: head.status, headers: head.headers, body: kept };
        let outcome = self.judge.outcome(&answer);
        witness.saw(&self.judge, || answer);
        outcome
    }

    /// What a final status means of whose answer nothing else can be used.
    fn status_alone<W: Witness>(&self, status: StatusCode, place: &Place, witness: &W) -> Outcome {
        witness.saw(&self.judge, || Answer { status, headers: HeaderMap::new(), body: Vec::new() });
        if !status.is_success() {
            return self.judge.outcome(&Answer { status, headers: HeaderMap::new(), body: Vec::new() });
        }
        if place.wire.sent_whole(place.number) { Outcome::Delivered } else { too_early(status) }
    }

    /// What an exchange means that the client could not bring to its end. `had_connection`: it was to go over a
    /// connection that was there.
    fn failed<W: Witness>(
        &self,
        error: &(dyn Error + 'static),
        place: Option<Place>,
        had_connection: bool,
        witness: &W,
    ) -> Outcome {
        if had_connection && place.is_none() && cause(error, false) == Cause::Unanswered {
            // It was still waiting for its turn or its stream: nothing of it was sent.
            return retry(Cause::Queued, describe(error));
        }
        if let Some((status, place)) = status_at(place.clone()) {
            return self.status_alone(status, &place, witness);
        }
        let stale = place.is_some_and(|place| place.wire.went_stale(place.number));
        retry(cause(error, stale), describe(error))
    }
}

/// Somebody who wants to know of the answer more than what it means.
trait Witness: Sync {
    /// Whether the body of a success is looked at too.
    const KEEPS: bool;

    fn saw(&self, judge: &Judge, answer: impl FnOnce() -> Answer);
}

/// Notes what the history tells of an event's delivery.
struct Seen(Mutex<Answered>);

impl Witness for Seen {
    const KEEPS: bool = false;

    fn saw(&self, judge: &Judge, answer: impl FnOnce() -> Answer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = judge.told(&answer());
    }
}

/// Notes what a tester is shown.
struct Noted(Mutex<Option<TestedAnswer>>);

impl Witness for Noted {
    const KEEPS: bool = true;

    fn saw(&self, judge: &Judge, answer: impl FnOnce() -> Answer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(judge.shown(&answer()));
    }
}

/// Which end of an attempt an error of the client is.
fn cause(error: &(dyn Error + 'static), stale: bool) -> Cause {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(connect) = error.downcast_ref::<ConnectError>() {
            return if connect.is_shortage() { Cause::Shortage } else { Cause::NotConnected };
        }
        // A connection that gave way to another one did so for want of places, before anything was sent.
        if error.downcast_ref::<io::Error>().is_some_and(|error| is_shortage(error) || gave_way(error)) {
            return Cause::Shortage;
        }
        if let Some(h2) = error.downcast_ref::<h2::Error>() {
            let refused = h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            // Only streams above the last one that it names fail by a GOAWAY; the others go on.
            if h2.is_remote() && (refused || h2.is_go_away()) {
                return Cause::Unprocessed;
            }
        }
        next = error.source();
    }
    if stale { Cause::StaleConnection } else { Cause::Unanswered }
}

/// The request with what tells how far it is.
fn watched(request: Request<Full<Bytes>>) -> (Request<WatchedBody>, Arc<HandOver>, CaptureConnection) {
    let hand_over = Arc::new(HandOver::default());
    let (head, body) = request.into_parts();
    let mut request = Request::from_parts(head, ());
    let connection = capture_connection(&mut request);
    let body = WatchedBody { body, hand_over: Arc::clone(&hand_over), connection: connection.clone() };
    (request.map(|()| body), hand_over, connection)
}

/// The final status of an answer whose rest does not come in time. Never ends if there is none.
async fn last_word(hand_over: &HandOver) -> (StatusCode, Place) {
    let place = hand_over.happened().await;
    let status = place.wire.until(|wire| wire.status(place.number)).await;
    sleep(REST_OF_ANSWER).await;
    (status, place)
}

fn status_at(place: Option<Place>) -> Option<(StatusCode, Place)> {
    let place = place?;
    Some((place.wire.status(place.number)?, place))
}

/// Ends when a request has had its connection for `patience`, and that has not taken it: it waits for a stream.
/// Never ends while the connection is still being made, which has a deadline of its own.
async fn not_handed_over(connection: &mut CaptureConnection, hand_over: &HandOver, patience: Duration) {
    let has_one = connection.wait_for_connection_metadata().await.is_some();
    if !has_one || timeout(patience, hand_over.happened()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// A 2xx confirms what was sent whole. One that comes before has a moment for the rest to follow.
async fn confirmed(status: StatusCode, place: &Place) -> Outcome {
    let whole = place.wire.until(|wire| wire.sent_whole(place.number).then_some(()));
    match timeout(REST_OF_ANSWER, whole).await {
        Ok(()) => Outcome::Delivered,
        Err(_) => too_early(status),
    }
}

fn too_early(status: StatusCode) -> Outcome {
    retry(Cause::Unanswered, format!("the receiver answered {status} before it had the whole request"))
}

/// What is notified when the answer to `request` has had too many interim ones before it. Giving
/// the request up then closes its connection.
fn watch_interim_answers(request: &mut Request<WatchedBody>) -> Arc<Notify> {
    let storm = Arc::new(Notify::new());
    let (notify, count) = (Arc::clone(&storm), AtomicUsize::new(0));
    hyper::ext::on_informational(request, move |_| {
        if count.fetch_add(1, Ordering::Relaxed) == MAX_INTERIM_ANSWERS {
            notify.notify_one();
        }
    });
    storm
}

/// Reads `body` to its end or to the bound.
async fn read(mut body: Incoming, mut kept: Option<&mut Vec<u8>>) {
    if body.size_hint().lower() > MAX_ANSWER_BYTES as u64 && kept.is_none() {
        return;
    }
    let mut count = 0;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        let room = MAX_ANSWER_BYTES - count;
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
        count += data.len();
        if count > MAX_ANSWER_BYTES {
            return;
        }
    }
}

fn retry(cause: Cause, reason: String) -> Outcome {
    Outcome::retry(cause, reason)
}

/// The error as a person needs it: where a connection could not be made, why; otherwise what
/// hyper says, cause by cause. None of it contains anything of the request.
fn describe(error: &(dyn Error + 'static)) -> String {
    const FAILED: &str = "the connection failed before an answer came";
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(connect) = error.downcast_ref::<ConnectError>() {
            return connect.to_string();
        }
        if let Some(why) = error.downcast_ref::<io::Error>().and_then(|error| tls_error_in_words(error)) {
            return format!("{FAILED}: {why}");
        }
        texts.push(error.to_string());
        next = error.source();
    }
    format!("{FAILED}: {}", texts.join(": "))
}

/// The connector as the pool wants it. It ends by itself, because the pool finishes connections in
/// the background whose request went another way.
struct PooledConnector<D> {
    connector: Arc<Connector<D>>,
    http2_only: bool,
}

impl<D> Clone for PooledConnector<D> {
    fn clone(&self) -> Self {
        Self { connector: Arc::clone(&self.connector), http2_only: self.http2_only }
    }
}

impl<D: Dial> tower::Service<Uri> for PooledConnector<D> {
    type Response = TokioIo<Watched<Stream<Placed<D::Stream>>>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    /// The URI is the one that the connector was made for.
    fn call(&mut self, _: Uri) -> Self::Future {
        let (connector, http2_only) = (Arc::clone(&self.connector), self.http2_only);
        Box::pin(async move {
            let stream = connector.connect().await?;
            let http1 = !http2_only && !stream.chose_http2();
            Ok(TokioIo::new(Watched { stream, wire: Wire::new(!http1), http1 }))
        })
    }
}

impl<S> Connection for Watched<Stream<S>> {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra::<Arc<Wire>>(Arc::clone(&self.wire));
        if self.stream.chose_http2() { connected.negotiated_h2() } else { connected }
    }
}
