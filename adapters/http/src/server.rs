//! Accepting connections, and letting go of them.

use crate::crowd::{Activity, Crowd, InFlight, Patience, Place};
use crate::limits::{CurrentLimits, HTTP2_STREAMS, Limits};
use crate::listen::{Listen, Peek};
use crate::problem::{Kind, Problem};
use crate::secured::{self, Begun, HTTPS};
use crate::sending::{Sending, Watched};
use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use http::{HeaderName, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use laneway_tls::{CurrentServer, Names};
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What every HTTP/2 connection begins with; no method of HTTP/1 begins like it.
const HTTP2_BEGINS: &[u8] = b"PRI";
/// How long accepting rests when the system has no files or memory left: long enough for some
/// connection to end, short enough not to be noticed for long.
const ACCEPT_REST: Duration = Duration::from_millis(250);
/// How often a silent HTTP/2 connection is asked whether it is still there.
const HTTP2_PING: Duration = Duration::from_secs(20);
/// The smallest buffer that hyper takes.
const LEAST_BUFFER: usize = 8 * 1024;

/// How a request came to whoever stands before the application.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// What the buffers of a connection take, so that sending it does not wait for whoever reads it.
const SHORT_ANSWER: u64 = 64 * 1024;
/// How long an answer that says that it is the last may take to be read, before the connection ends.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Connections that were closed in the middle of a request, because the grace was over.
    pub cut_off: usize,
}

/// Serves `router` on `listener` until `shutdown` resolves; then accepts nothing more, lets what
/// is under way finish within [`Limits::grace`], and returns.
///
/// HTTP/1.1 with keep-alive, and HTTP/2 without TLS for clients that know beforehand (h2c with prior
/// knowledge). With [`Limits::connections`] open, whoever comes displaces the longest idle connection of the peer that
/// holds most; where none is idle, health checks are answered, and everything else gets a 503.
pub async fn serve(
    listener: impl Listen,
    router: Router,
    limits: impl Into<CurrentLimits>,
    shutdown: impl Future<Output = ()>,
) -> Ended {
    serve_with(listener, router, limits, None, shutdown).await
}

/// The same; with `tls`, over TLS alone: whoever speaks plain HTTP is told so. HTTP/2 is agreed on by ALPN (RFC 7301).
pub async fn serve_with(
    listener: impl Listen,
    router: Router,
    limits: impl Into<CurrentLimits>,
    tls: Option<CurrentServer>,
    shutdown: impl Future<Output = ()>,
) -> Ended {
    let limits = limits.into();
    let crowd = Crowd::new(limits.now().connections);
    let (stop, stopping) = watch::channel(false);
    let host = Arc::new(Host { router, limits, tls });
    let mut open = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = open.join_next() => noted(ended),
            stream = accept(&listener, &crowd) => {
                let place = crowd.enter(stream.peer());
                open.spawn(host.clone().connection(stream, place, stopping.clone()));
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let grace = host.limits.now().grace;
    let finished = timeout(grace, async {
        while let Some(ended) = open.join_next().await {
            noted(ended);
        }
    });
    let cut_off = if finished.await.is_ok() { 0 } else { open.len() };
    if cut_off > 0 {
        tracing::warn!(cut_off, ?grace, "requests did not finish within the grace");
    }
    open.shutdown().await;
    Ended { cut_off }
}

/// A request that panicked took its connection with it, and nothing else.
fn noted(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended in a panic");
    }
}

/// The next connection, once there is a place for it. Nothing is lost when it is dropped.
async fn accept<L: Listen>(listener: &L, crowd: &Crowd) -> L::Stream {
    crowd.has_place().await;
    loop {
        match listener.accept().await {
            Ok(stream) => return stream,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted; is the limit of open files too low?");
                sleep(ACCEPT_REST).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// What all connections share.
struct Host {
    router: Router,
    limits: CurrentLimits,
    tls: Option<CurrentServer>,
}

impl Host {
    async fn connection(self: Arc<Self>, stream: impl Peek, place: Place, mut stopping: watch::Receiver<bool>) {
        // Answers are small and complete: waiting for more to send with them only delays them.
        if let Err(error) = stream.set_nodelay() {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let activity = place.activity().clone();
        let patience = Patience::of(&self.limits.now());
        let begun = tokio::select! {
            begun = self.begin(stream) => begun,
            () = activity.has_to_go(patience) => return tracing::debug!("a connection sent nothing in time"),
            () = stopped(&mut stopping) => return,
        };
        let instead = if place.is_for_health_only() { Instead::Full } else { Instead::Nothing };
        match begun {
            Ok(Begun::Plain { stream, is_http2 }) => {
                self.speak(stream, is_http2, instead, None, stopping, &activity).await
            }
            Ok(Begun::Secure { stream, is_http2, names }) => {
                self.speak(stream, is_http2, instead, Some(names), stopping, &activity).await;
            }
            Ok(Begun::NotTls { stream, is_http2 }) => {
                self.speak(stream, is_http2, Instead::NotTls, None, stopping, &activity).await;
            }
            Err(error) => tracing::debug!(%error, "a connection ended before its first request"),
        }
    }

    /// Finds out what is spoken on a connection, up to the end of TLS' handshake.
    async fn begin<S: Peek>(&self, mut stream: S) -> io::Result<Begun<S>> {
        match &self.tls {
            None => Ok(Begun::Plain { is_http2: speaks_http2(&mut stream).await?, stream }),
            Some(tls) if secured::speaks_tls(&mut stream).await? => secured::accept(stream, tls).await,
            Some(_) => Ok(Begun::NotTls { is_http2: speaks_http2(&mut stream).await?, stream }),
        }
    }

    /// Serves what comes over a connection, until it ends.
    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        is_http2: bool,
        instead: Instead,
        secure: Option<Arc<Names>>,
        stopping: watch::Receiver<bool>,
        activity: &Arc<Activity>,
    ) {
        let limits = self.limits.now();
        let patience = Patience::of(&limits);
        let io = TokioIo::new(Watched::new(stream, activity.clone()));
        let inner = TowerToHyperService::new(self.router.clone());
        let service = Counted { inner, activity: activity.clone(), instead, secure };
        if is_http2 {
            drive(http2(&limits).serve_connection(io, service), activity, patience, stopping).await;
        } else {
            drive(http1(&limits).serve_connection(io, service), activity, patience, stopping).await;
        }
    }
}

fn http1(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Who has sent a request and closes that way may still want the answer.
        .half_close(true)
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(LEAST_BUFFER));
    builder
}

fn http2(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(limits.header_timeout);
    builder
}

/// Whether the connection begins as HTTP/2 does. What it looks at is still there to be read.
async fn speaks_http2(stream: &mut impl Peek) -> io::Result<bool> {
    let mut begin = [0; HTTP2_BEGINS.len()];
    // A client that knows HTTP/2 sends its preface in one piece; less than that is HTTP/1.
    let length = stream.peek(&mut begin).await?;
    Ok(begin[..length] == *HTTP2_BEGINS)
}

/// The application, which tells when a request is under way.
struct Counted {
    inner: TowerToHyperService<Router>,
    activity: Arc<Activity>,
    instead: Instead,
    /// Over TLS: whom the client's certificate names.
    secure: Option<Arc<Names>>,
}

/// What is answered in place of the application.
#[derive(Clone, Copy)]
enum Instead {
    Nothing,
    /// All places are taken: health checks only.
    Full,
    /// The connection should have been one of TLS.
    NotTls,
}

impl Service<Request<Incoming>> for Counted {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: Request<Incoming>) -> Answering {
        let in_flight = self.activity.begin();
        let is_for_health = matches!(request.uri().path(), "/healthz" | "/readyz");
        if let Some(names) = &self.secure {
            // As a proxy says it that speaks TLS for a server, and in place of what the client says of itself.
            request.headers_mut().insert(FORWARDED_PROTO, HTTPS);
            request.extensions_mut().insert(names.clone());
        }
        let answer = match self.instead {
            Instead::Full if !is_for_health => Answer::Instead { answer: ready(Ok(full())) },
            Instead::NotTls => Answer::Instead { answer: ready(Ok(secured::not_tls())) },
            _ => Answer::Inner { answer: self.inner.call(request) },
        };
        Answering { answer, in_flight: Some(in_flight) }
    }
}

/// What is said where all places are taken and nobody is idle.
fn full() -> Response<Body> {
    let what = "all connections that this server takes are in use; try again soon";
    Problem::new(Kind::Overloaded, what).retry_after(Duration::from_secs(1)).closing().into_response()
}

pin_project! {
    /// An answer that is being made; until it is there, its connection is not idle.
    struct Answering {
        #[pin]
        answer: Answer,
        in_flight: Option<InFlight>,
    }
}

pin_project! {
    #[project = AnswerPinned]
    enum Answer {
        Inner { #[pin] answer: <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future },
        Instead { answer: Ready<Result<Response<Body>, Infallible>> },
    }
}

impl Future for Answering {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = match this.answer.project() {
            AnswerPinned::Inner { answer } => answer.poll(cx),
            AnswerPinned::Instead { answer } => Pin::new(answer).poll(cx),
        };
        // A short answer is on its way at once; while a long one is being sent, its connection is not idle.
        answered.map_ok(|answer| match this.in_flight.take() {
            Some(in_flight) if answer.body().size_hint().upper().is_none_or(|bytes| bytes > SHORT_ANSWER) => {
                answer.map(|body| Body::new(Sending::new(body, in_flight)))
            }
            _ => answer,
        })
    }
}

/// Runs a connection to its end: once `stopping`, to the end of what it is doing; once it has been idle for too long,
/// nobody takes what is sent, or it has to make room, no further.
async fn drive<C>(connection: C, activity: &Activity, patience: Patience, mut stopping: watch::Receiver<bool>)
where
    C: GracefulConnection,
    C::Error: std::fmt::Display,
{
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = activity.has_to_go(patience) => {
            // One of HTTP/2 says goodbye; nothing is under way that whoever is there would miss.
            connection.as_mut().graceful_shutdown();
            match timeout(LAST_WORD, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A sender that is gone stops just as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}
