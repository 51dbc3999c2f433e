//! The events that all runs use.

use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, Key, LoggedEvent, Offset, Partition, Timestamp};
use std::sync::Arc;

/// How many keys they have.
pub(crate) const KEYS: usize = 400;

/// About what a shop tells of a paid order.
pub(crate) const DATA: &str = concat!(
    r#"{"order":"A-1042","total":"129.90","currency":"EUR","customer":{"name":"Jane Doe","country":"NL"},"#,
    r#""lines":[{"sku":"TEA-1","quantity":2,"price":"24.95"},{"sku":"POT-7","quantity":1,"price":"80.00"}]}"#,
);
pub(crate) const SOURCE: &str = "/shop/orders";
pub(crate) const TIME: &str = "2026-01-31T12:00:00Z";

/// The id of the `n`th event: a UUID, as most ids are. All are of the same length.
pub(crate) fn id(n: usize) -> String {
    format!("0190a6f0-7c3e-7b42-9d11-{n:012x}")
}

/// Its key; that of neighbours differs.
pub(crate) fn key(n: usize) -> String {
    format!("order-{:05}", n * 7919 % KEYS)
}

/// The `n`th event, with everything that an event usually has.
pub(crate) fn event(n: usize) -> Event {
    let id = EventId::new(&id(n)).expect("an id");
    let event_type = EventType::new("order.paid").expect("a type");
    Event {
        key: Some(Key::new(&key(n)).expect("a key")),
        source: Some(SOURCE.into()),
        subject: Some("A-1042".into()),
        time: Some(TIME.into()),
        attributes: [("region".into(), "eu".into())].into(),
        ..Event::new(id, event_type, Bytes::from_static(DATA.as_bytes()))
    }
}

/// The same, in the log.
pub(crate) fn logged(n: usize, partition: Partition, offset: u64) -> Arc<LoggedEvent> {
    let accepted_at = Timestamp::from_millis(1_769_860_800_000);
    Arc::new(LoggedEvent { partition, offset: Offset(offset), accepted_at, event: event(n) })
}

/// Makes the events, and nothing of them: what runs with ready events are compared with.
pub(crate) fn run(events: usize) -> usize {
    (0..events).map(|n| logged(n, Partition(3), n as u64)).filter(|logged| logged.event.key.is_some()).count()
}
