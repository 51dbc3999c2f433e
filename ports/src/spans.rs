//! Spans: what was done to an event, when, and under what, for whoever looks at traces.

use laneway_domain::{SpanId, TraceId, TraceParent};
use std::time::{SystemTime, UNIX_EPOCH};

/// What part a span has in an exchange between processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// None: it is work within the process.
    Internal,
    /// It answers a request.
    Server,
    /// It makes a request.
    Client,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanValue {
    /// A text.
    Text(Box<str>),
    /// A number.
    Number(i64),
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<u32> for SpanValue {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for SpanValue {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// Something that was done within a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace.
    pub trace: TraceId,
    /// Its own id.
    pub id: SpanId,
    /// What it was done for; `None` if the trace begins with it.
    pub parent: Option<SpanId>,
    /// What was done, from a small set of names.
    pub name: &'static str,
    /// Its part in an exchange.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since the Unix epoch.
    pub start: u64,
    /// When it ended, likewise; not before `start`.
    pub end: u64,
    /// What else is known of it.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// What went wrong, if something did.
    pub error: Option<Box<str>>,
}

/// Where spans go.
pub trait Spans: Send + Sync {
    /// Begins a trace for something that came without one: `None` unless this one is to be recorded. The parent of what
    /// it returns is the id of the span that begins the trace, which the caller records.
    fn begin(&self) -> Option<TraceParent>;

    /// An id for a span, as good as never given before.
    fn span_id(&self) -> SpanId;

    /// Takes a span.
    ///
    /// - Must neither block nor fail: what cannot be taken is dropped, and counted.
    fn record(&self, span: Span);
}

/// Now, in nanoseconds since the Unix epoch, as spans count.
#[must_use]
pub fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
