//! The half that takes spans.

use crate::collector::{Collector, Endpoint};
use crate::encode::Resource;
use crate::sending::{DROPPED, Sending};
use laneway_domain::{SpanId, TraceId, TraceParent};
use laneway_ports::{Span, Spans};
use metrics::{Counter, counter};
use tokio::sync::mpsc::{self, Sender};

/// The most spans that wait to be sent. One has some hundred bytes, and 2 KiB at most of what an event and an error
/// may say: 8 MiB. At 512 a request, that is what a collector takes in a second or two.
pub const MAX_QUEUED: usize = 4096;

/// What an exporter has to know.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// Where spans go.
    pub endpoint: Endpoint,
    /// The part of what comes without a trace that one is begun for: 0 for none, 1 for all.
    pub ratio: f64,
    /// Which process the spans are of: attributes of OpenTelemetry's resource, such as `service.name`.
    pub resource: Vec<(&'static str, String)>,
}

/// Takes spans, and never waits.
pub struct Exporter {
    queue: Sender<Span>,
    ratio: f64,
    queue_full: Counter,
}

/// The two halves. Install the recorder of the `metrics` crate before: the handles are made here.
///
/// # Errors
/// If TLS is wanted and cannot be had.
pub fn exporter(config: OtlpConfig) -> Result<(Exporter, Sending), String> {
    let (queue, waiting) = mpsc::channel(MAX_QUEUED);
    let resource: Resource = config.resource;
    let sending = Sending::new(Collector::new(config.endpoint)?, resource, waiting);
    let queue_full = counter!(DROPPED, "reason" => "queue-full");
    Ok((Exporter { queue, ratio: config.ratio, queue_full }, sending))
}

impl Spans for Exporter {
    fn begin(&self) -> Option<TraceParent> {
        // A ratio of 1 is all: what is drawn is below 1.
        if rand::random::<f64>() >= self.ratio {
            return None;
        }
        TraceParent::new(TraceId(rand::random()), self.span_id(), true)
    }

    fn span_id(&self) -> SpanId {
        SpanId(rand::random::<u64>().max(1).to_be_bytes())
    }

    fn record(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.queue_full.increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_begins_as_often_as_the_ratio_says() {
        let began = |ratio: f64| {
            let (queue, _waiting) = mpsc::channel(1);
            let exporter = Exporter { queue, ratio, queue_full: Counter::noop() };
            (0..10_000).filter(|_| exporter.begin().is_some_and(TraceParent::is_sampled)).count()
        };
        assert_eq!((began(0.0), began(1.0)), (0, 10_000));
        // Six standard deviations of 50 each: a chance of one in a billion.
        assert!((4_700..=5_300).contains(&began(0.5)));
    }
}
