//! The spans of one request with events: the request itself, and under it what the store did.
//!
//! Whether they are recorded is the caller's word: the flag in the `traceparent` of the request or, where it has none,
//! of each event. Events of several traces in one request give each trace a span of its own. What is recorded becomes
//! the parent of whatever is done to the event later.

use crate::batch::traceparent;
use http::{HeaderMap, StatusCode};
use laneway_domain::{EventId, NewEvent, SpanId, TraceParent};
use laneway_ports::{Appended, Span, SpanKind, SpanValue, Spans, StoreError, unix_nanos};
use std::collections::BTreeMap;

/// The request, and the store's part in it.
const INGEST: &str = "ingest";
const APPEND: &str = "append";

/// One request that may be recorded.
pub(crate) struct Traced<'a> {
    spans: &'a dyn Spans,
    path: &'a str,
    started: u64,
    /// The trace of the request itself.
    of_request: Option<TraceParent>,
    shares: Vec<Share>,
}

/// What of a request belongs to one trace.
struct Share {
    /// What the request is under; `None` if the trace begins with it.
    above: Option<SpanId>,
    /// The trace, with the request as the parent.
    own: TraceParent,
    events: u32,
    /// The id of its first event.
    first: EventId,
}

impl<'a> Traced<'a> {
    pub(crate) fn begin(spans: &'a dyn Spans, path: &'a str, headers: &HeaderMap) -> Self {
        Self { spans, path, started: unix_nanos(), of_request: traceparent(headers), shares: Vec::new() }
    }

    /// The events were read. Those that are recorded come under the request from now on.
    pub(crate) fn read(&mut self, events: &mut [NewEvent]) {
        // Where one trace ends up in `shares`; those that are not recorded have no place.
        let mut places: BTreeMap<Option<[u8; TraceParent::BYTES]>, Option<usize>> = BTreeMap::new();
        for NewEvent { event, .. } in events {
            let (spans, shares) = (self.spans, &mut self.shares);
            let place = places.entry(event.traceparent.map(TraceParent::to_bytes)).or_insert_with(|| {
                let (above, own) = match event.traceparent {
                    Some(trace) if trace.is_sampled() => (Some(trace.parent_id()), trace.under(spans.span_id())?),
                    Some(_) => return None,
                    None => (None, spans.begin()?),
                };
                shares.push(Share { above, own, events: 0, first: event.id.clone() });
                Some(shares.len() - 1)
            });
            if let Some(share) = place.and_then(|place| shares.get_mut(place)) {
                share.events += 1;
                event.traceparent = Some(share.own);
            }
        }
    }

    /// The store has answered what it was asked at `from`.
    pub(crate) fn appended(&self, from: u64, results: &[Result<Appended, StoreError>]) {
        let error = results.iter().find_map(|result| result.as_ref().err());
        let end = unix_nanos();
        for share in &self.shares {
            self.spans.record(Span {
                trace: share.own.trace_id(),
                id: self.spans.span_id(),
                parent: Some(share.own.parent_id()),
                name: APPEND,
                kind: SpanKind::Internal,
                start: from,
                end,
                attributes: vec![("laneway.events", share.events.into())],
                error: error.map(|error| error.to_string().into()),
            });
        }
    }

    /// The request was answered.
    pub(crate) fn answered(self, status: StatusCode, problem: Option<&str>) {
        let end = unix_nanos();
        let attributes = || {
            vec![
                ("http.request.method", SpanValue::from("POST")),
                ("url.path", self.path.into()),
                ("http.response.status_code", u32::from(status.as_u16()).into()),
            ]
        };
        // That the caller was wrong is no error of the server's (OpenTelemetry's conventions for HTTP).
        let error = problem.filter(|_| status.is_server_error());
        let span = |own: TraceParent, parent: Option<SpanId>, attributes| Span {
            trace: own.trace_id(),
            id: own.parent_id(),
            parent,
            name: INGEST,
            kind: SpanKind::Server,
            start: self.started,
            end,
            attributes,
            error: error.map(Into::into),
        };
        for share in &self.shares {
            let mut attributes = attributes();
            attributes.push(("laneway.events", share.events.into()));
            attributes.push(("laneway.event.id", share.first.as_str().into()));
            self.spans.record(span(share.own, share.above, attributes));
        }
        // It was refused before its events were known.
        let refused = self.of_request.filter(|trace| self.shares.is_empty() && problem.is_some() && trace.is_sampled());
        if let Some(own) = refused.and_then(|trace| trace.under(self.spans.span_id())) {
            self.spans.record(span(own, refused.map(TraceParent::parent_id), attributes()));
        }
    }
}
