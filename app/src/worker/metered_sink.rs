//! A destination's sink, with what is measured of it.

use super::Clock;
use crate::telemetry::metrics as names;
use futures_util::FutureExt as _;
use laneway_domain::{Attempted, Cause, DestinationName, Outcome};
use laneway_ports::{Delivery, Sink};
use metrics::{Counter, Histogram, counter, histogram};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::time::Instant;

/// The way out to one destination.
pub(super) struct MeteredSink {
    sink: Arc<dyn Sink>,
    delivered: Counter,
    retry: Counter,
    rejected: Counter,
    gone: Counter,
    not_tried: Counter,
    seconds: Histogram,
    end_to_end: Histogram,
}

impl MeteredSink {
    pub(super) fn new(name: &DestinationName, sink: Arc<dyn Sink>) -> Self {
        let label = name.to_string();
        let outcome =
            |outcome: &'static str| counter!(names::DELIVERIES, "destination" => label.clone(), "outcome" => outcome);
        Self {
            sink,
            delivered: outcome("delivered"),
            retry: outcome("retry"),
            rejected: outcome("rejected"),
            gone: outcome("gone"),
            not_tried: outcome("not-tried"),
            seconds: histogram!(names::DELIVERY_SECONDS, "destination" => label.clone()),
            end_to_end: histogram!(names::END_TO_END_SECONDS, "destination" => label),
        }
    }

    /// Performs an attempt. Whatever the sink does, there is an outcome per event.
    pub(super) async fn deliver(&self, events: Vec<Attempted>, clock: Clock) -> Vec<Outcome> {
        let started = Instant::now();
        let delivery = Delivery { events };
        let outcomes = AssertUnwindSafe(self.sink.deliver(&delivery)).catch_unwind().await;
        let mut outcomes = outcomes.unwrap_or_else(|_| vec![broken("the sink panicked; please report this")]);
        outcomes.resize_with(delivery.events.len(), || broken("the sink gave no outcome for this event"));
        self.seconds.record(started.elapsed().as_secs_f64());
        let now = clock.now();
        for (attempted, outcome) in delivery.events.iter().zip(&outcomes) {
            match outcome {
                Outcome::Delivered => {
                    self.delivered.increment(1);
                    self.end_to_end.record(now.since(attempted.event.accepted_at).as_secs_f64());
                }
                Outcome::Retry { .. } => self.retry.increment(1),
                Outcome::Rejected { .. } => self.rejected.increment(1),
                Outcome::Gone { .. } => self.gone.increment(1),
                Outcome::NotTried => self.not_tried.increment(1),
            }
        }
        outcomes
    }
}

fn broken(reason: &str) -> Outcome {
    Outcome::retry(Cause::Broken, reason.to_owned())
}
