//! One request and its answer, within one deadline.

use crate::answer::{Answer, Judge};
use crate::connect::{ConnectError, Connector, Stream};
use crate::tls_error::tls_error_in_words;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use laneway_domain::Outcome;
use laneway_egress::{Dial, Placed};
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The most of an answer that is read. An answer that ends within it leaves its connection usable;
/// a longer one costs its connection.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The most bytes of an answer's head, so that endless headers end.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most headers of an answer.
const MAX_ANSWER_HEADERS: usize = 100;
/// The most interim answers (1xx) before the final one over HTTP/1. Nobody needs more than a few; a
/// receiver that sends them without end would cost a core until the deadline.
const MAX_INTERIM_ANSWERS: usize = 100;
/// How long an HTTP/2 connection with requests on it may be silent before it is asked for a sign of
/// life, and how long it then has for it: a third of the deadline each, within these bounds. So a
/// connection whose other end vanished costs the attempts on it, and is gone for the next.
const PING_BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
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
    client: Client<PooledConnector<D>, Full<Bytes>>,
    timeout: Duration,
    judge: Judge,
}

impl<D: Dial> Exchange<D> {
    pub(crate) fn new(connector: Connector<D>, options: &PoolOptions, timeout: Duration, judge: Judge) -> Self {
        let connector = PooledConnector(Arc::new(connector));
        let ping = (timeout / 3).clamp(PING_BOUNDS.0, PING_BOUNDS.1);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(options.max_idle)
            .pool_idle_timeout(options.idle_timeout)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_ANSWER_HEADERS)
            .http2_only(options.http2_only)
            .http2_keep_alive_interval(ping)
            .http2_keep_alive_timeout(ping)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_max_header_list_size(MAX_HEAD_BYTES as u32)
            .build(connector);
        Self { client, timeout, judge }
    }

    /// The deadline of an exchange that begins now.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Sends `request`, and says what came of it, at the `deadline` at the latest.
    pub(crate) async fn outcome(&self, mut request: Request<Full<Bytes>>, deadline: Instant) -> Outcome {
        let storm = watch_interim_answers(&mut request);
        let answer = timeout_at(deadline, self.client.request(request));
        let answer = tokio::select! {
            biased;
            answer = answer => answer,
            () = storm.notified() => {
                return retry(format!("more than {MAX_INTERIM_ANSWERS} interim answers (1xx) and no final one"));
            }
        };
        match answer {
            Ok(Ok(response)) => self.judged(response, deadline).await,
            Ok(Err(error)) => retry(describe(&error)),
            Err(_) => retry(format!("no answer within {:?}", self.timeout)),
        }
    }

    /// A success is one by its status: the receiver has said so, whatever becomes of the rest of
    /// its answer. The rest is read so that the connection can be used again.
    async fn judged(&self, response: Response<Incoming>, deadline: Instant) -> Outcome {
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            if !body.is_end_stream() {
                let _ = timeout_at(deadline, read(body, None)).await;
            }
            return Outcome::Delivered;
        }
        let mut kept = Vec::new();
        // Whatever was read by then is what the reason quotes.
        let _ = timeout_at(deadline, read(body, Some(&mut kept))).await;
        self.judge.outcome(&Answer { status: head.status, headers: head.headers, body: kept })
    }
}

/// What is notified when the answer to `request` has had too many interim ones before it. Giving
/// the request up then closes its connection.
fn watch_interim_answers(request: &mut Request<Full<Bytes>>) -> Arc<Notify> {
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

fn retry(reason: String) -> Outcome {
    Outcome::Retry { reason, not_before: None }
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
struct PooledConnector<D>(Arc<Connector<D>>);

impl<D> Clone for PooledConnector<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Dial> tower::Service<Uri> for PooledConnector<D> {
    type Response = TokioIo<Stream<Placed<D::Stream>>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    /// The URI is the one that the connector was made for.
    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = Arc::clone(&self.0);
        Box::pin(async move { connector.connect().await.map(TokioIo::new) })
    }
}

impl<S> Connection for Stream<S> {
    fn connected(&self) -> Connected {
        if self.chose_http2() { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}
