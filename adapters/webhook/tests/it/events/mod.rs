//! Events to deliver, and sinks that may reach this machine.

use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, Key, LoggedEvent, Offset, Outcome, Partition, Timestamp};
use laneway_ports::{Attempted, Delivery, Sink};
use laneway_webhook::{EgressPolicy, WebhookConfig, WebhookSink};
use std::sync::Arc;

/// An HMAC secret.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Another.
pub(crate) const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A plain event with the offset 41 in partition 3.
pub(crate) fn event(id: &str) -> Event {
    Event {
        key: Some(Key::new("order-7").unwrap()),
        ..Event::new(
            EventId::new(id).unwrap(),
            EventType::new("order.paid").unwrap(),
            Bytes::from_static(b"{ \"total\" : 12.50 }"),
        )
    }
}

/// The event as the log would hand it out, at its first attempt.
pub(crate) fn attempted(event: Event) -> Attempted {
    let logged = LoggedEvent {
        partition: Partition(3),
        offset: Offset(41),
        accepted_at: Timestamp::from_millis(1_700_000_000_250),
        event,
    };
    Attempted { event: Arc::new(logged), attempt: 1, redrive: false, replay: None, fresh: false }
}

/// A configuration that may connect to this machine.
pub(crate) fn config(url: impl Into<String>) -> WebhookConfig {
    let egress = EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap()]);
    WebhookConfig { egress, ..WebhookConfig::new(url) }
}

/// Delivers one event.
pub(crate) async fn deliver(sink: &WebhookSink, event: Event) -> Outcome {
    let mut outcomes = sink.deliver(&Delivery::of(vec![attempted(event)])).await.outcomes;
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

/// The reason of a retry; anything else fails the test.
pub(crate) fn retry_reason(outcome: Outcome) -> String {
    match outcome {
        Outcome::Retry { reason, .. } => reason,
        other => panic!("{other:?} is not a retry"),
    }
}

/// Says that every name is this machine.
pub(crate) struct ThisMachine;

#[async_trait::async_trait]
impl laneway_webhook::Resolve for ThisMachine {
    async fn resolve(&self, _: &str, port: u16) -> std::io::Result<Vec<std::net::SocketAddr>> {
        Ok(vec![([127, 0, 0, 1], port).into()])
    }
}
