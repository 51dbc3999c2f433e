//! The spans of deliveries, for events of a trace that is recorded: how long an event waited for its first attempt,
//! every attempt, and the commit of progress after the last one.

use laneway_domain::{
    AttemptId, Attempted, DestinationName, Event, LoggedEvent, Outcome, Partition, SpanId, TraceParent,
};
use laneway_ports::{Span, SpanKind, SpanValue, Spans, unix_nanos};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

const WAITING: &str = "waiting";
const ATTEMPT: &str = "attempt";
const COMMIT: &str = "commit";

/// Events whose first attempt is remembered. While a destination is down an attempt does not count, and the next one is
/// the first again; its wait has been told of then.
const MAX_REMEMBERED: usize = 4096;
const NANOS_OF_A_MILLI: u64 = 1_000_000;

/// The trace that an event belongs to, if it is recorded.
fn recorded(event: &LoggedEvent) -> Option<TraceParent> {
    event.event.traceparent.filter(|trace| trace.is_sampled())
}

fn about(event: &LoggedEvent, destination: &DestinationName) -> Vec<(&'static str, SpanValue)> {
    vec![
        ("laneway.event.id", event.event.id.as_str().into()),
        ("laneway.event.type", event.event.event_type.as_str().into()),
        ("laneway.destination", destination.as_str().into()),
        ("laneway.partition", event.partition.0.into()),
        ("laneway.offset", event.offset.0.into()),
    ]
}

/// Records the attempts at one destination.
pub(super) struct TracedAttempts {
    spans: Arc<dyn Spans>,
    destination: DestinationName,
    waited: Mutex<Waited>,
}

/// The events whose wait has been told of, the last ones.
#[derive(Default)]
struct Waited {
    known: BTreeSet<(Partition, laneway_domain::Offset)>,
    order: VecDeque<(Partition, laneway_domain::Offset)>,
}

impl Waited {
    /// Whether it is new.
    fn add(&mut self, event: &LoggedEvent) -> bool {
        let place = (event.partition, event.offset);
        if !self.known.insert(place) {
            return false;
        }
        self.order.push_back(place);
        if self.order.len() > MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// An attempt that is recorded: of each of its events the context that it came with, and the span of the attempt.
pub(super) struct TracedAttempt {
    started: u64,
    events: Vec<Option<(TraceParent, SpanId)>>,
}

impl TracedAttempts {
    pub(super) fn new(spans: Arc<dyn Spans>, destination: DestinationName) -> Self {
        Self { spans, destination, waited: Mutex::default() }
    }

    /// An attempt begins. What is recorded goes to the receiver with the attempt as its parent. `None` if nothing of it is.
    pub(super) fn begin(&self, attempted: &mut [Attempted]) -> Option<TracedAttempt> {
        if !attempted.iter().any(|attempted| recorded(&attempted.event).is_some()) {
            return None;
        }
        let started = unix_nanos();
        let events = attempted.iter_mut().map(|attempted| {
            let trace = recorded(&attempted.event)?;
            self.wait_ended(attempted, trace, started);
            let span = self.spans.span_id();
            let logged = &*attempted.event;
            let event = Event { traceparent: trace.under(span), ..logged.event.clone() };
            attempted.event = Arc::new(LoggedEvent { event, ..logged.clone() });
            Some((trace, span))
        });
        Some(TracedAttempt { started, events: events.collect() })
    }

    fn wait_ended(&self, attempted: &Attempted, trace: TraceParent, now: u64) {
        let first = attempted.attempt == 1 && !attempted.redrive;
        if !first || !self.waited.lock().unwrap_or_else(PoisonError::into_inner).add(&attempted.event) {
            return;
        }
        // The store's clock said when it was accepted; it may be ahead.
        let accepted = attempted.event.accepted_at.as_millis().saturating_mul(NANOS_OF_A_MILLI).min(now);
        self.spans.record(Span {
            trace: trace.trace_id(),
            id: self.spans.span_id(),
            parent: Some(trace.parent_id()),
            name: WAITING,
            kind: SpanKind::Internal,
            start: accepted,
            end: now,
            attributes: about(&attempted.event, &self.destination),
            error: None,
        });
    }

    /// The attempt has ended.
    pub(super) fn end(&self, attempt: &TracedAttempt, events: &[Attempted], outcomes: &[Outcome]) {
        let end = unix_nanos();
        for ((recorded, attempted), outcome) in attempt.events.iter().zip(events).zip(outcomes) {
            let Some((trace, id)) = recorded else { continue };
            let mut attributes = about(&attempted.event, &self.destination);
            attributes.push(("laneway.attempt", attempted.attempt.into()));
            attributes.push(("laneway.outcome", outcome.label().into()));
            let error = match outcome {
                Outcome::Delivered | Outcome::NotTried => None,
                Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Gone { reason } => {
                    Some(reason.as_str().into())
                }
            };
            self.spans.record(Span {
                trace: trace.trace_id(),
                id: *id,
                parent: Some(trace.parent_id()),
                name: ATTEMPT,
                kind: SpanKind::Client,
                start: attempt.started,
                end,
                attributes,
                error,
            });
        }
    }
}

/// An event that an attempt has settled, until the next commit is stored.
struct Settled {
    event: Arc<LoggedEvent>,
    destination: DestinationName,
}

/// Records the commits after which deliveries of recorded traces are not made again.
#[derive(Default)]
pub(super) struct TracedCommits {
    spans: Option<Arc<dyn Spans>>,
    /// The recorded events of attempts that are under way.
    under_way: HashMap<AttemptId, Vec<Settled>>,
    /// What has been delivered since the last commit was made.
    settled: BTreeMap<Partition, Vec<Settled>>,
    /// What goes with the commit that is being stored, and since when.
    committing: BTreeMap<Partition, (u64, Vec<Settled>)>,
}

impl TracedCommits {
    pub(super) fn new(spans: Option<Arc<dyn Spans>>) -> Self {
        Self { spans, ..Self::default() }
    }

    pub(super) fn attempt(&mut self, attempt: AttemptId, destination: &DestinationName, events: &[Attempted]) {
        if self.spans.is_none() {
            return;
        }
        let all = events.iter().filter(|attempted| recorded(&attempted.event).is_some());
        let all: Vec<Settled> =
            all.map(|attempted| Settled { event: attempted.event.clone(), destination: destination.clone() }).collect();
        if !all.is_empty() {
            self.under_way.insert(attempt, all);
        }
    }

    /// An attempt has ended, and the dispatcher is yet to hear of it. Only of one that has delivered everything it is
    /// certain that the next commit has it: a dead letter may have to wait for one more.
    pub(super) fn attempt_ended(&mut self, attempt: AttemptId, outcomes: &[Outcome]) {
        let Some(events) = self.under_way.remove(&attempt) else { return };
        if outcomes.iter().all(|outcome| *outcome == Outcome::Delivered) {
            for settled in events {
                self.settled.entry(settled.event.partition).or_default().push(settled);
            }
        }
    }

    /// A commit is made. One that failed before is made again, with what it had.
    pub(super) fn begin(&mut self, partition: Partition) {
        if let Some(settled) = self.settled.remove(&partition) {
            let (_, all) = self.committing.entry(partition).or_insert_with(|| (unix_nanos(), Vec::new()));
            all.extend(settled);
        }
    }

    /// It is stored.
    pub(super) fn stored(&mut self, partition: Partition) {
        let (Some(spans), Some((start, settled))) = (&self.spans, self.committing.remove(&partition)) else { return };
        let end = unix_nanos();
        for Settled { event, destination } in settled {
            let Some(trace) = recorded(&event) else { continue };
            spans.record(Span {
                trace: trace.trace_id(),
                id: spans.span_id(),
                parent: Some(trace.parent_id()),
                name: COMMIT,
                kind: SpanKind::Internal,
                start,
                end,
                attributes: about(&event, &destination),
                error: None,
            });
        }
    }

    /// The partition is not worked on any more.
    pub(super) fn lost(&mut self, partition: Partition) {
        self.settled.remove(&partition);
        self.committing.remove(&partition);
    }
}
