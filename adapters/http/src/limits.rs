//! How much one request, one connection and all of them together may take.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// The most bytes of one event as it is sent (the body of a single one, the element or line of a
/// batch): 256 KiB, what common event buses and function runtimes take.
pub const DEFAULT_EVENT_BYTES: usize = 256 * 1024;
/// The most events of one batch: one durable write each, so that a producer waits for one answer
/// no longer than a few writes take.
pub const DEFAULT_BATCH_EVENTS: usize = 1000;
/// The most bytes of one batch: 8 MiB.
pub const DEFAULT_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How deeply arrays and objects of `data` may be nested: far more than people write, and within
/// what the JSON parsers of receivers take (commonly 64 to 512).
pub const DEFAULT_JSON_DEPTH: u32 = 64;
/// The largest depth that can be set: one bit for each level, in a register.
pub const MAX_JSON_DEPTH: u32 = 128;
/// The most bytes of a request's line and headers: a CloudEvent in binary mode has up to 64
/// attributes there.
pub const DEFAULT_HEADER_BYTES: usize = 64 * 1024;
/// The most headers of a request. Not a setting: up to this many the HTTP parser keeps on its stack.
pub const MAX_HEADERS: usize = 100;
/// How long a connection may take to send a request's headers, and be idle between requests.
pub const DEFAULT_HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take to send its body, and how long whoever asked may take nothing of an answer. (How much is
/// taken shows only when a part of the system's buffers is free again: of 4 MiB, after more than 1 MiB.)
pub const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The most open connections: more than a fleet of producers with pools keeps open, and, with the
/// store and the deliveries beside it, within the usual limit of 1,024 open files.
pub const DEFAULT_CONNECTIONS: usize = 512;
/// The most bytes of request bodies held at once, over all connections: eight of the largest
/// batches. Beyond it new bodies are answered 503.
pub const DEFAULT_BUFFERED_BYTES: usize = 64 * 1024 * 1024;
/// How long requests that are under way at shutdown may take to finish.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// Requests that one HTTP/2 connection may have open.
pub(crate) const HTTP2_STREAMS: u32 = 128;

/// The bounds of the HTTP side. Every field has a default with its reason at the constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of one event as it is sent ([`DEFAULT_EVENT_BYTES`]). Beyond: 413.
    pub event_bytes: usize,
    /// The most events of one batch ([`DEFAULT_BATCH_EVENTS`]). Beyond: 413.
    pub batch_events: usize,
    /// The most bytes of one batch ([`DEFAULT_BATCH_BYTES`]). Beyond: 413.
    pub batch_bytes: usize,
    /// How deeply `data` may be nested ([`DEFAULT_JSON_DEPTH`]), at most [`MAX_JSON_DEPTH`].
    /// Beyond: 422.
    pub json_depth: u32,
    /// The most bytes of a request's line and headers ([`DEFAULT_HEADER_BYTES`]). Beyond: 431,
    /// and the connection is closed.
    pub header_bytes: usize,
    /// How long the headers of a request may take to come in, from the connection's start or the
    /// request before, and how long a connection may be idle ([`DEFAULT_HEADER_TIMEOUT`]). Then it is closed.
    pub header_timeout: Duration,
    /// How long a body may take to come in, from the end of its headers ([`DEFAULT_BODY_TIMEOUT`]). Then: 408. And how
    /// long nothing may be taken of an answer; then its connection is closed.
    pub body_timeout: Duration,
    /// The most open connections ([`DEFAULT_CONNECTIONS`]). Whoever comes then displaces the longest idle one of the
    /// peer that holds most. Where none is idle: 503, but for health checks.
    pub connections: usize,
    /// The most bytes of bodies held at once ([`DEFAULT_BUFFERED_BYTES`]). Beyond: 503.
    pub buffered_bytes: usize,
    /// How long requests that are under way at shutdown may take ([`DEFAULT_GRACE`]). Then their
    /// connections are closed.
    pub grace: Duration,
}

/// The limits of a running server, which can be replaced. A request and a connection keep those that held when they
/// began.
#[derive(Clone, Debug)]
pub struct CurrentLimits(Arc<RwLock<Arc<Limits>>>);

impl CurrentLimits {
    /// These limits from now on. Whether any of them is another one than before.
    ///
    /// All but [`Limits::connections`], which is what it was when the server began: the process' files are shared out
    /// between those and its own connections to receivers.
    pub fn replace(&self, limits: &Limits) -> bool {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let limits = Limits { connections: current.connections, ..limits.clone() };
        let differ = **current != limits;
        *current = Arc::new(limits);
        differ
    }

    /// Those that hold now.
    #[must_use]
    pub fn now(&self) -> Arc<Limits> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl From<Limits> for CurrentLimits {
    fn from(limits: Limits) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(limits))))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes: DEFAULT_EVENT_BYTES,
            batch_events: DEFAULT_BATCH_EVENTS,
            batch_bytes: DEFAULT_BATCH_BYTES,
            json_depth: DEFAULT_JSON_DEPTH,
            header_bytes: DEFAULT_HEADER_BYTES,
            header_timeout: DEFAULT_HEADER_TIMEOUT,
            body_timeout: DEFAULT_BODY_TIMEOUT,
            connections: DEFAULT_CONNECTIONS,
            buffered_bytes: DEFAULT_BUFFERED_BYTES,
            grace: DEFAULT_GRACE,
        }
    }
}
