//! Says what happens: log lines for people, counters for machines.

use crate::telemetry::metrics as names;
use laneway_domain::{EventId, LoggedEvent, Notice, TraceId};
use metrics::{Counter, counter};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::field::{DisplayValue, display};

/// Lines a second about single events and keys. When a destination fails for thousands of keys, a
/// few lines tell as much; the rest is counted.
const LINES_A_SECOND: u32 = 20;

/// Writes notices.
pub(super) struct Reporter {
    second: Instant,
    lines: u32,
    left_out: u64,
    quarantined: Counter,
}

impl Reporter {
    pub(super) fn new() -> Self {
        Self { second: Instant::now(), lines: 0, left_out: 0, quarantined: counter!(names::QUARANTINED) }
    }

    /// Whether one more line may be written in this second.
    fn may_write(&mut self) -> bool {
        if self.second.elapsed() >= Duration::from_secs(1) {
            if self.left_out > 0 {
                tracing::warn!(
                    lines = self.left_out,
                    "further messages of this kind were left out; see laneway status"
                );
            }
            (self.second, self.lines, self.left_out) = (Instant::now(), 0, 0);
        }
        self.lines += 1;
        let may = self.lines <= LINES_A_SECOND;
        self.left_out += u64::from(!may);
        may
    }

    pub(super) fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::KeyBlocked { .. }
            | Notice::GivenUp { .. }
            | Notice::Redriven { .. }
            | Notice::EventMissing { .. }
            | Notice::Expired { .. } => {
                if self.may_write() {
                    about_event(notice);
                }
            }
            Notice::BreakerOpened { destination, reason, .. } => tracing::warn!(
                %destination, error = %reason,
                "the destination is down: its events wait without using up retries, and one probe at a time is sent"
            ),
            Notice::BreakerClosed { destination } => tracing::info!(%destination, "the destination answers again"),
            Notice::Paused { destination, reason } => tracing::error!(
                %destination, %reason,
                "the destination is paused and its events wait; once it works again, run: laneway destinations resume {destination}"
            ),
            Notice::Replay { destination, partition, from } => tracing::info!(
                %destination, partition = partition.0, offset = from.0,
                "a replay begins: everything that the destination subscribes to from this offset on is delivered again"
            ),
            Notice::ReplayBegins { destination, partition, replay } => tracing::info!(
                %destination, partition = partition.0, %replay, "a replay begins: events are delivered again"
            ),
            Notice::TooManyBehind { destination, partition, keys } => tracing::warn!(
                %destination, partition = partition.0, keys,
                "too many keys are behind (worker.keys_behind): no further events are read until some of them catch up"
            ),
            Notice::Quarantined { partition, record } => {
                self.quarantined.increment(1);
                tracing::error!(
                    partition = partition.0, offset = record.offset.0, reason = %record.reason,
                    "a record of the log cannot be read; it is set aside and no destination gets it"
                );
            }
            // Upkeep warns of it, once for all partitions.
            Notice::Unconfigured { destination, partition, waiting } => tracing::debug!(
                %destination, partition = partition.0, waiting, "not in the configuration, but it has progress here"
            ),
        }
    }
}

/// The event's id, as a log line has it.
fn id_of(event: &Option<Arc<LoggedEvent>>) -> Option<DisplayValue<&EventId>> {
    event.as_ref().map(|event| display(&event.event.id))
}

/// The id of the trace that the event belongs to, as a log line has it.
fn trace_of(event: &Option<Arc<LoggedEvent>>) -> Option<DisplayValue<TraceId>> {
    event.as_ref().and_then(|event| event.event.traceparent).map(|trace| display(trace.trace_id()))
}

/// A line about one event or key.
fn about_event(notice: &Notice) {
    match notice {
        Notice::KeyBlocked { destination, partition, key, reason, event, .. } => tracing::info!(
            event_id = id_of(event), %destination, trace_id = trace_of(event),
            partition = partition.0, %key, error = %reason,
            "an attempt failed; the key waits for the next one"
        ),
        Notice::GivenUp { partition, event, given_up, held } => tracing::warn!(
            event_id = id_of(event), destination = %given_up.destination, trace_id = trace_of(event),
            partition = partition.0, offset = given_up.offset.0,
            key = %given_up.key, attempts = given_up.retry.attempts, reason = %given_up.reason,
            "{}", if *held { "an event was given up; its key is held" } else { "an event was given up; it is a dead letter now" }
        ),
        Notice::Redriven { destination, partition, event, failed: None } => tracing::info!(
            event_id = id_of(event), %destination, trace_id = trace_of(event), partition = partition.0,
            "a dead letter was delivered"
        ),
        Notice::Redriven { destination, partition, event, failed: Some(error) } => tracing::warn!(
            event_id = id_of(event), %destination, trace_id = trace_of(event), partition = partition.0, %error,
            "the retry of a dead letter has failed; it is kept"
        ),
        Notice::EventMissing { destination, partition, offset } => tracing::error!(
            %destination, partition = partition.0, offset = offset.0,
            "an event that waited for this destination is no longer in the log"
        ),
        Notice::Expired { destination, partition, count, last } => tracing::warn!(
            %destination, partition = partition.0, count, offset = last.0,
            "events had waited for as long as max_age allows: they expired, and are not delivered"
        ),
        _ => {}
    }
}
