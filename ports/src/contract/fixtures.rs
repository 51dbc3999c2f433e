//! Events, commits and small sequences of numbers for the checks.

use super::Subject;
use crate::{Appended, EventLog, Lease, LogRecord, ProgressStore, Store, StoreError, WorkerId};
use bytes::Bytes;
use laneway_domain::{
    Backoff, Commit, DestinationName, Event, EventId, EventType, Failure, GivenUp, Key, LaneChange, LaneKey,
    LoggedEvent, NewEvent, Offset, Partition, Position, Timestamp,
};
use std::sync::Arc;
use std::time::Duration;

/// A lease that no check outlives by accident.
pub(super) const LONG: Duration = Duration::from_secs(3600);

/// An event without a key, whose id was not given.
pub(super) fn event(id: &str) -> NewEvent {
    let event = Event::new(
        EventId::new(id).unwrap(),
        EventType::new("order.paid").unwrap(),
        Bytes::copy_from_slice(format!("{{\"id\":\"{id}\"}}").as_bytes()),
    );
    NewEvent { event, id_given: false }
}

/// The same with a key.
pub(super) fn keyed(id: &str, key: &str) -> NewEvent {
    let mut new = event(id);
    new.event.key = Some(Key::new(key).unwrap());
    new
}

/// The same with an id that its producer gave.
pub(super) fn given(id: &str, key: &str) -> NewEvent {
    NewEvent { id_given: true, ..keyed(id, key) }
}

/// A key of that partition.
pub(super) fn key_in(partition: Partition, partitions: u32) -> String {
    let candidates = (0..100_000).map(|n| format!("key-{n}"));
    candidates.into_iter().find(|key| Partition::of(key, partitions) == partition).unwrap()
}

pub(super) fn destination(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

pub(super) fn worker(name: &str) -> WorkerId {
    WorkerId(name.into())
}

/// Appends, and says where each event went.
pub(super) async fn append(store: &impl EventLog, events: Vec<NewEvent>) -> Vec<Appended> {
    let count = events.len();
    let results: Vec<Appended> = store.append(events).await.into_iter().map(|result| result.unwrap()).collect();
    assert_eq!(results.len(), count, "one result per event");
    results
}

/// A store with one partition that holds `count` events `e0`, `e1`, … of the keys `k0` to `k3`.
pub(super) async fn filled<S: Subject>(count: usize) -> S {
    let subject = S::create(1).await;
    let events = (0..count).map(|n| keyed(&format!("e{n}"), &format!("k{}", n % 4))).collect();
    append(subject.store(), events).await;
    subject
}

/// All events that the partition holds, read by chunks of `max_events`.
pub(super) async fn read_all(store: &impl EventLog, partition: Partition, max_events: usize) -> Vec<Arc<LoggedEvent>> {
    let mut from = Offset::ZERO;
    let mut events = Vec::new();
    while from < store.bounds(partition).await.unwrap().end {
        let chunk = store.read(partition, from, max_events, usize::MAX).await.unwrap();
        assert!(chunk.next > from, "reading stands still at {from}");
        events.extend(chunk.records.into_iter().map(whole));
        from = chunk.next;
    }
    events
}

/// The event of a record that must be one.
pub(super) fn whole(record: LogRecord) -> Arc<LoggedEvent> {
    match record {
        LogRecord::Event(event) => event,
        LogRecord::Corrupt { offset, reason } => panic!("the record at {offset} is corrupt: {reason}"),
    }
}

/// The only partition's lease.
pub(super) async fn lease(store: &impl ProgressStore) -> Lease {
    store.claim(Partition(0), &worker("w"), LONG).await.unwrap().expect("nobody has the lease")
}

/// A commit that moves one lane.
pub(super) fn moved(name: &str, scanned: u64, position: Position) -> Commit {
    let change = LaneChange { position: Some(position), ..LaneChange::default() };
    Commit { scanned: Some(Offset(scanned)), lanes: [(destination(name), change)].into(), ..Commit::default() }
}

pub(super) fn failure(at: u64, reason: &str) -> Failure {
    Failure::new(Timestamp::from_millis(at), reason)
}

/// An event given up after one failure.
pub(super) fn given_up(name: &str, offset: u64, key: LaneKey) -> GivenUp {
    GivenUp {
        destination: destination(name),
        offset: Offset(offset),
        key,
        at: Timestamp::from_millis(1_700_000_000_000 + offset),
        reason: "gone past the limit · über".into(),
        retry: Backoff::note(None, failure(1_700_000_000_000, "answered 500")),
    }
}

/// A commit that makes a dead letter of each of the events.
pub(super) fn gives_up(name: &str, offsets: &[u64]) -> Commit {
    let dead = |&offset| given_up(name, offset, LaneKey::Event(Offset(offset)));
    Commit { dead_letters: offsets.iter().map(dead).collect(), ..Commit::default() }
}

/// Everything that can be seen of a partition and of all dead letters, to show that nothing changed.
pub(super) async fn seen(store: &impl Store) -> String {
    let progress = store.load(Partition(0)).await.unwrap();
    let bounds = store.bounds(Partition(0)).await.unwrap();
    let query = crate::DeadLetterQuery { most: 1000, ..crate::DeadLetterQuery::default() };
    let history = store.history_size(Partition(0)).await.unwrap();
    format!("{progress:?} {bounds:?} {history:?} {:?}", store.list(&query).await.unwrap())
}

pub(super) fn assert_refused<T: std::fmt::Debug>(result: &Result<T, StoreError>, why: &str) {
    assert!(matches!(result, Err(StoreError::Refused { .. })), "{why}: {result:?}");
}

/// A small generator of numbers (SplitMix64): one seed, one sequence.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    /// True once in `n`.
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
