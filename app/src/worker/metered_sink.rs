//! A destination's sink, with what is measured and told of it.

use super::Clock;
use super::traced::TracedAttempts;
use crate::telemetry::destinations::{Attempts, DestinationMetrics};
use futures_util::FutureExt as _;
use laneway_domain::{Attempted, Cause, DestinationName, Met, Outcome};
use laneway_ports::{Delivery, DeliveryReport, Sink, Spans};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The way out to one destination.
pub(super) struct MeteredSink {
    name: DestinationName,
    sink: Arc<dyn Sink>,
    attempts: Attempts,
    traced: Option<TracedAttempts>,
}

impl MeteredSink {
    pub(super) fn new(
        name: DestinationName,
        sink: Arc<dyn Sink>,
        metrics: &DestinationMetrics,
        spans: Option<Arc<dyn Spans>>,
    ) -> Self {
        let traced = spans.map(|spans| TracedAttempts::new(spans, name.clone()));
        Self { sink, attempts: metrics.attempts_of(&name), name, traced }
    }

    /// Performs an attempt. Whatever the sink does, there is an outcome per event. Beside them what else it met.
    pub(super) async fn deliver(&self, mut delivery: Delivery, clock: Clock) -> (Vec<Outcome>, Met) {
        let started = Instant::now();
        let recorded = self.traced.as_ref().and_then(|traced| Some((traced, traced.begin(&mut delivery.events)?)));
        let report = AssertUnwindSafe(self.sink.deliver(&delivery)).catch_unwind().await;
        let report = report.unwrap_or_else(|_| vec![broken("the sink panicked; please report this")].into());
        let DeliveryReport { mut outcomes, answers } = report;
        outcomes.resize_with(delivery.events.len(), || broken("the sink gave no outcome for this event"));
        let took = started.elapsed();
        if let Some((traced, attempt)) = recorded {
            traced.end(&attempt, &delivery.events, &outcomes);
        }
        self.attempts.seconds.observe(took.as_secs_f64());
        let now = clock.now();
        let [delivered, retry, rejected, gone, not_tried] = &self.attempts.outcomes;
        for (attempted, outcome) in delivery.events.iter().zip(&outcomes) {
            self.tell(attempted, outcome, took);
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
        (outcomes, Met { took, answers })
    }

    /// Where a line for every attempt is wanted.
    fn tell(&self, attempted: &Attempted, outcome: &Outcome, took: Duration) {
        let event = &attempted.event.event;
        let error = match outcome {
            Outcome::Delivered | Outcome::NotTried => None,
            Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Gone { reason } => {
                Some(reason.as_str())
            }
        };
        tracing::debug!(
            event_id = %event.id, destination = %self.name,
            trace_id = event.traceparent.map(|trace| display(trace.trace_id())),
            attempt = attempted.attempt, outcome = outcome.label(), took = ?took, error,
            "an attempt ended"
        );
    }
}

fn broken(reason: &str) -> Outcome {
    Outcome::retry(Cause::Broken, reason.to_owned())
}
