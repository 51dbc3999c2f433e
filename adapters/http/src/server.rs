//! Accepting connections, and letting go of them.

use crate::limits::{HTTP2_STREAMS, Limits};
use crate::listen::{Listen, Peek};
use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
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
/// knowledge). With [`Limits::connections`] open, further ones wait in the listener's queue.
pub async fn serve(listener: impl Listen, router: Router, limits: Limits, shutdown: impl Future<Output = ()>) -> Ended {
    let places = Arc::new(Semaphore::new(limits.connections));
    let (stop, stopping) = watch::channel(false);
    let host = Arc::new(Host { router, limits });
    let mut open = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = open.join_next() => noted(ended),
            (stream, place) = accept(&listener, &places) => {
                open.spawn(host.clone().connection(stream, place, stopping.clone()));
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let finished = timeout(host.limits.grace, async {
        while let Some(ended) = open.join_next().await {
            noted(ended);
        }
    });
    let cut_off = if finished.await.is_ok() { 0 } else { open.len() };
    if cut_off > 0 {
        tracing::warn!(cut_off, grace = ?host.limits.grace, "requests did not finish within the grace");
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
async fn accept<L: Listen>(listener: &L, places: &Arc<Semaphore>) -> (L::Stream, Option<OwnedSemaphorePermit>) {
    // Only a closed semaphore gives none, and nobody closes this one.
    let place = places.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok(stream) => return (stream, place),
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
    limits: Limits,
}

impl Host {
    async fn connection(
        self: Arc<Self>,
        mut stream: impl Peek,
        _place: Option<OwnedSemaphorePermit>,
        mut stopping: watch::Receiver<bool>,
    ) {
        // Answers are small and complete: waiting for more to send with them only delays them.
        if let Err(error) = stream.set_nodelay() {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let first = tokio::select! {
            first = timeout(self.limits.header_timeout, speaks_http2(&mut stream)) => first,
            () = stopped(&mut stopping) => return,
        };
        let service = TowerToHyperService::new(self.router.clone());
        match first {
            Ok(Ok(false)) => drive(self.http1().serve_connection(TokioIo::new(stream), service), stopping).await,
            Ok(Ok(true)) => drive(self.http2().serve_connection(TokioIo::new(stream), service), stopping).await,
            Ok(Err(error)) => tracing::debug!(%error, "a connection ended before its first request"),
            Err(_) => tracing::debug!("a connection sent nothing in time"),
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // Who has sent a request and closes that way may still want the answer.
            .half_close(true)
            .header_read_timeout(self.limits.header_timeout)
            .max_header_size(self.limits.header_bytes)
            .max_buf_size(self.limits.header_bytes.max(LEAST_BUFFER));
        builder
    }

    fn http2(&self) -> http2::Builder<TokioExecutor> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS)
            .max_header_list_size(u32::try_from(self.limits.header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(self.limits.header_timeout);
        builder
    }
}

/// Whether the connection begins as HTTP/2 does. What it looks at is still there to be read.
async fn speaks_http2(stream: &mut impl Peek) -> io::Result<bool> {
    let mut begin = [0; HTTP2_BEGINS.len()];
    // A client that knows HTTP/2 sends its preface in one piece; less than that is HTTP/1.
    let length = stream.peek(&mut begin).await?;
    Ok(begin[..length] == *HTTP2_BEGINS)
}

/// Runs a connection to its end; once `stopping`, to the end of what it is doing.
async fn drive<C>(connection: C, mut stopping: watch::Receiver<bool>)
where
    C: GracefulConnection,
    C::Error: std::fmt::Display,
{
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
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
