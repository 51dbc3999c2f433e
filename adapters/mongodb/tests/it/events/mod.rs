//! Events to deliver, sinks of a test's server, and what is in its collections.

use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, Key, LoggedEvent, Offset, Outcome, Partition, Timestamp};
use laneway_egress::EgressPolicy;
use laneway_mongodb::{Mode, MongoConfig, MongoSink};
use laneway_ports::{Attempted, Delivery, Sink};
use laneway_servers::mongodb::MongoServer;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use std::sync::Arc;
use std::time::Duration;

/// The collection of most tests.
pub(crate) const COLLECTION: &str = "events";
/// A deadline that no healthy server comes near.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// The driver looks at a server that failed twice a second, not every ten seconds.
pub(crate) const WATCHFUL: &str = "heartbeatFrequencyMS=500";

/// An event in partition 3 at `offset`; accepted later the larger the offset. The key `""` is none.
pub(crate) fn event(id: &str, key: &str, offset: u64) -> Attempted {
    let event = Event {
        key: (!key.is_empty()).then(|| Key::new(key).unwrap()),
        ..Event::new(
            EventId::new(id).unwrap(),
            EventType::new("order.paid").unwrap(),
            Bytes::from(format!("{{\"offset\":{offset}}}")),
        )
    };
    logged(event, offset)
}

pub(crate) fn logged(event: Event, offset: u64) -> Attempted {
    let accepted_at = Timestamp::from_millis(1_700_000_000_000 + offset);
    let event = LoggedEvent { partition: Partition(3), offset: Offset(offset), accepted_at, event };
    Attempted { event: Arc::new(event), attempt: 1, redrive: false, replay: None, fresh: false }
}

/// The same event with something changed.
pub(crate) fn with(attempted: &Attempted, change: impl FnOnce(&mut LoggedEvent)) -> Attempted {
    let mut event = (*attempted.event).clone();
    change(&mut event);
    Attempted { event: Arc::new(event), ..attempted.clone() }
}

/// An event whose data makes the document larger than MongoDB takes.
pub(crate) fn too_large(id: &str, key: &str, offset: u64) -> Attempted {
    with(&event(id, key, offset), |logged| {
        logged.event.content_type = "application/octet-stream".into();
        logged.event.data = vec![7; 16 << 20].into();
    })
}

pub(crate) fn sink_at(url: &str, mode: Mode, timeout: Duration) -> MongoSink {
    MongoSink::new(MongoConfig::parse(url, mode, timeout, &private()).unwrap()).unwrap()
}

/// Opens where a test's server may be: this machine, or the network that it is in.
pub(crate) fn private() -> EgressPolicy {
    let ranges = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    EgressPolicy::allowing(ranges.map(|range| range.parse().unwrap()))
}

pub(crate) fn sink(server: &MongoServer, mode: Mode) -> MongoSink {
    sink_at(&server.url(COLLECTION, WATCHFUL), mode, LONG)
}

pub(crate) async fn deliver(sink: &MongoSink, events: &[Attempted]) -> Vec<Outcome> {
    let outcomes = sink.deliver(&Delivery::of(events.to_vec())).await.outcomes;
    assert_eq!(outcomes.len(), events.len());
    outcomes
}

pub(crate) async fn collection(server: &MongoServer) -> Collection<Document> {
    server.database().await.unwrap().collection(COLLECTION)
}

/// All documents, by `_id`.
pub(crate) async fn documents(server: &MongoServer) -> Vec<Document> {
    let mut cursor = collection(server).await.find(doc! {}).sort(doc! { "_id": 1 }).await.unwrap();
    let mut found = Vec::new();
    while cursor.advance().await.unwrap() {
        found.push(cursor.deserialize_current().unwrap());
    }
    found
}

/// The ids and offsets of all documents, by `_id`.
pub(crate) async fn places(server: &MongoServer) -> Vec<(String, i64)> {
    let place =
        |document: &Document| (document.get_str("_id").unwrap().to_owned(), document.get_i64("offset").unwrap());
    documents(server).await.iter().map(place).collect()
}

/// The reason of a retry; anything else fails the test.
pub(crate) fn retry_reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retry { reason, .. } => reason,
        other => panic!("{other:?} is not a retry"),
    }
}

/// The reason of a rejection; anything else fails the test.
pub(crate) fn rejection(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Rejected { reason } => reason,
        other => panic!("{other:?} is not a rejection"),
    }
}
