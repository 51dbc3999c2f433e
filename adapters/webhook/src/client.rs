//! Exchanges by a client with connections of its own: over HTTP/2, where many requests share one.

use crate::connect::{ConnectError, Connector, Stream};
use crate::hand_over::{HandOver, Place, WatchedBody};
use crate::http1::Io;
use crate::limits::{MAX_HEAD_BYTES, MAX_INTERIM_ANSWERS, PoolOptions, Until};
use crate::wire::{Watched, Wire};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection, capture_connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use laneway_domain::REST_OF_ANSWER;
use laneway_egress::Dial;
use laneway_ports::Delivery;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until, timeout};

/// How long an HTTP/2 connection with requests on it may be silent before it is asked for a sign of
/// life, and how long it then has for it: a third of the deadline each, within these bounds. So a
/// connection whose other end vanished costs the attempts on it, and is gone for the next.
const PING_BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How much one HTTP/2 answer may send ahead of our reading, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;

/// What an exchange comes to, as far as the answer's head.
pub(crate) enum ByClient {
    Answer(Response<Incoming>, Option<Place>),
    /// `had_connection`: it was to go over a connection that was there.
    Failed {
        error: Error,
        place: Option<Place>,
        had_connection: bool,
    },
    /// The connection had made way for another one before it got the request. Nothing was sent.
    GaveWay,
    /// Too many interim answers, and no final one.
    Storm,
    /// The final status has come in. The rest of the head has not, in the time that it had.
    StatusAlone(StatusCode, Place),
    /// A connection was there, and took no further request in the time that one may wait for a stream.
    Queued,
    /// Nothing of the request was sent by the time that it no longer might be.
    LeaveEnded,
    /// The deadline has passed. `place`: where the request went, if it was sent.
    Late(Option<Place>),
}

/// The client of one destination.
///
/// It sends a request again by itself in one case only: when a reused connection turned out to be closed before any of
/// the request was handed to it. That is no second attempt, since nothing was sent.
pub(crate) struct SharedClient<D: Dial> {
    client: Client<PooledConnector<D>, WatchedBody>,
    /// Makes a new connection for each request.
    fresh: Client<PooledConnector<D>, WatchedBody>,
    ready: Ready<D>,
}

/// A connection that is there already, for the client to take as its next.
type Ready<D> = Arc<Mutex<Option<Io<D>>>>;

impl<D: Dial> SharedClient<D> {
    pub(crate) fn new(connector: Arc<Connector<D>>, options: &PoolOptions, timeout: Duration) -> Self {
        let ready: Ready<D> = Arc::default();
        let connector = PooledConnector { connector, http2_only: options.http2_only, ready: Arc::clone(&ready) };
        let ping = (timeout / 3).clamp(PING_BOUNDS.0, PING_BOUNDS.1);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(options.max_idle)
            .pool_idle_timeout(options.idle_timeout)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .http2_only(options.http2_only)
            .http2_keep_alive_interval(ping)
            .http2_keep_alive_timeout(ping)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_max_header_list_size(MAX_HEAD_BYTES as u32);
        let client = builder.build(connector.clone());
        let fresh = builder.pool_max_idle_per_host(0).build(connector);
        Self { client, fresh, ready }
    }

    /// The next connection that it needs is this one.
    pub(crate) fn take_over(&self, io: Io<D>) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(io);
    }

    /// Sends `request`, and waits for the answer's head until the deadline. It may wait for `patience` for a stream.
    /// `fresh`: over a connection that was never used before.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        fresh: bool,
        patience: Duration,
        until: Until<'_>,
    ) -> ByClient {
        let (mut request, hand_over, mut connection) = watched(request);
        let storm = watch_interim_answers(&mut request);
        let client = if fresh { &self.fresh } else { &self.client };
        tokio::select! {
            biased;
            () = leave_ended(&hand_over, until.delivery) => ByClient::LeaveEnded,
            answer = client.request(request) => match answer {
                Ok(answer) => ByClient::Answer(answer, hand_over.answered()),
                Err(_) if hand_over.gave_way() => ByClient::GaveWay,
                Err(error) => {
                    let had_connection = connection.connection_metadata().is_some();
                    ByClient::Failed { error, place: hand_over.place(), had_connection }
                }
            },
            () = storm.notified() => ByClient::Storm,
            (status, place) = last_word(&hand_over) => ByClient::StatusAlone(status, place),
            () = not_handed_over(&mut connection, &hand_over, patience) => ByClient::Queued,
            () = sleep_until(until.deadline) => ByClient::Late(hand_over.place()),
        }
    }
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

/// Ends when a request has had its connection for `patience`, and that has not taken it: it waits for a stream.
/// Never ends while the connection is still being made, which has a deadline of its own.
async fn not_handed_over(connection: &mut CaptureConnection, hand_over: &HandOver, patience: Duration) {
    let has_one = connection.wait_for_connection_metadata().await.is_some();
    if !has_one || timeout(patience, hand_over.happened()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Ends when nothing of a request was handed over by the time that it may no longer be sent. Whoever waits for it then
/// drops the request, which takes it out of whatever it waits in.
async fn leave_ended(hand_over: &HandOver, delivery: &Delivery) {
    delivery.leave_ended().await;
    if hand_over.place().is_some() {
        std::future::pending::<()>().await;
    }
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

/// The connector as the pool wants it. It ends by itself, because the pool finishes connections in
/// the background whose request went another way.
struct PooledConnector<D: Dial> {
    connector: Arc<Connector<D>>,
    http2_only: bool,
    ready: Ready<D>,
}

impl<D: Dial> Clone for PooledConnector<D> {
    fn clone(&self) -> Self {
        let (connector, ready) = (Arc::clone(&self.connector), Arc::clone(&self.ready));
        Self { connector, http2_only: self.http2_only, ready }
    }
}

impl<D: Dial> tower::Service<Uri> for PooledConnector<D> {
    type Response = Io<D>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    /// The URI is the one that the connector was made for.
    fn call(&mut self, _: Uri) -> Self::Future {
        let (connector, http2_only) = (Arc::clone(&self.connector), self.http2_only);
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            if let Some(ready) = ready {
                return Ok(ready);
            }
            let stream = connector.connect().await?;
            let http1 = !http2_only && !stream.chose_http2();
            let usage = stream.usage().clone();
            Ok(TokioIo::new(Watched::new(stream, http1, usage)))
        })
    }
}

impl<S> Connection for Watched<Stream<S>> {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra::<Arc<Wire>>(Arc::clone(&self.wire));
        if self.stream.chose_http2() { connected.negotiated_h2() } else { connected }
    }
}
