//! A destination's sink, with what is measured of it.

use super::Clock;
use crate::telemetry::destinations::{Attempts, DestinationMetrics};
use futures_util::FutureExt as _;
use laneway_domain::{Attempted, Cause, DestinationName, Outcome};
use laneway_ports::{Delivery, Sink};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::time::Instant;

/// The way out to one destination.
pub(super) struct MeteredSink {
    sink: Arc<dyn Sink>,
    attempts: Attempts,
}

impl MeteredSink {
    pub(super) fn new(name: &DestinationName, sink: Arc<dyn Sink>, metrics: &DestinationMetrics) -> Self {
        Self { sink, attempts: metrics.attempts_of(name) }
    }

    /// Performs an attempt. Whatever the sink does, there is an outcome per event.
    pub(super) async fn deliver(&self, events: Vec<Attempted>, clock: Clock) -> Vec<Outcome> {
        let started = Instant::now();
        let delivery = Delivery { events };
        let outcomes = AssertUnwindSafe(self.sink.deliver(&delivery)).catch_unwind().await;
        let mut outcomes = outcomes.unwrap_or_else(|_| vec![broken("the sink panicked; please report this")]);
        outcomes.resize_with(delivery.events.len(), || broken("the sink gave no outcome for this event"));
        self.attempts.seconds.observe(started.elapsed().as_secs_f64());
        let now = clock.now();
        let [delivered, retry, rejected, gone, not_tried] = &self.attempts.outcomes;
        for (attempted, outcome) in delivery.events.iter().zip(&outcomes) {
            match outcome {
                Outcome::Delivered => {
                    delivered.inc();
                    self.attempts.end_to_end.observe(now.since(attempted.event.accepted_at).as_secs_f64());
                }
                Outcome::Retry { .. } => retry.inc(),
                Outcome::Rejected { .. } => rejected.inc(),
                Outcome::Gone { .. } => gone.inc(),
                Outcome::NotTried => not_tried.inc(),
            }
        }
        outcomes
    }
}

fn broken(reason: &str) -> Outcome {
    Outcome::retry(Cause::Broken, reason.to_owned())
}
