//! What every [`EventLog::trim`] must and must not do.

use super::Subject;
use super::fixtures::{append, destination, filled, given, keyed, lease, moved, whole};
use crate::{Appended, Bounds, EventLog, ProgressStore};
use laneway_domain::{
    Behind, Commit, Cut, Cuts, LaneChange, LaneKey, Offset, Partition, Position, Revision, Timestamp,
};
use std::time::Duration;

const P: Partition = Partition(0);

async fn trim_all<S: Subject>(subject: &S) -> usize {
    subject.store().trim(P, Timestamp::MAX, 1000).await.unwrap()
}

async fn bounds<S: Subject>(subject: &S) -> (u64, u64) {
    let Bounds { start, end } = subject.store().bounds(P).await.unwrap();
    (start.0, end.0)
}

async fn commit<S: Subject>(subject: &S, commit: &Commit) {
    let lease = lease(subject.store()).await;
    subject.store().commit(&lease, commit).await.unwrap();
}

/// Without a lane nobody has settled anything.
pub async fn nothing_is_trimmed_before_a_destination_was_seen<S: Subject>() {
    let subject = filled::<S>(5).await;
    assert_eq!(trim_all(&subject).await, 0);
    commit(&subject, &Commit { scanned: Some(Offset(5)), ..Commit::default() }).await;
    assert_eq!(trim_all(&subject).await, 0);
    assert_eq!(bounds(&subject).await, (0, 5));
}

/// Must never remove an event at or above what is settled.
pub async fn nothing_above_what_is_settled_is_trimmed<S: Subject>() {
    let subject = filled::<S>(10).await;
    commit(&subject, &moved("a", 6, Position::Shared)).await;
    assert_eq!(trim_all(&subject).await, 6);
    assert_eq!(bounds(&subject).await, (6, 10));
    assert_eq!(trim_all(&subject).await, 0);
}

/// The events of a key that is behind are not settled, wherever its lane stands.
pub async fn a_key_that_is_behind_holds_the_trim<S: Subject>() {
    let subject = filled::<S>(10).await;
    let behind = |at: Option<u64>| at.map(|offset| Behind { offset: Offset(offset), retry: None });
    let with = |at| Commit {
        lanes: [(
            destination("a"),
            LaneChange { behind: [(LaneKey::All, behind(at))].into(), ..LaneChange::default() },
        )]
        .into(),
        scanned: Some(Offset(9)),
        ..Commit::default()
    };
    commit(&subject, &with(Some(3))).await;
    assert_eq!(trim_all(&subject).await, 3);
    commit(&subject, &with(None)).await;
    assert_eq!(trim_all(&subject).await, 6);
    assert_eq!(bounds(&subject).await, (9, 10));
}

/// A lane with a position of its own holds the trim for all.
pub async fn the_slowest_destination_holds_the_trim<S: Subject>() {
    let subject = filled::<S>(10).await;
    commit(&subject, &moved("fast", 10, Position::Shared)).await;
    commit(&subject, &moved("slow", 10, Position::At(Offset(2)))).await;
    assert_eq!(trim_all(&subject).await, 2);
    subject.store().forget(&destination("slow")).await.unwrap();
    assert_eq!(trim_all(&subject).await, 8);
    assert_eq!(bounds(&subject).await, (10, 10));
}

/// Only events accepted before the given moment are removed.
pub async fn a_young_event_is_not_trimmed<S: Subject>() {
    let subject = filled::<S>(4).await;
    commit(&subject, &moved("a", 4, Position::Shared)).await;
    subject.pass(Duration::from_secs(10)).await;
    append(subject.store(), vec![keyed("young", "k")]).await;
    commit(&subject, &moved("a", 5, Position::Shared)).await;
    let young = whole(subject.store().read(P, Offset(4), 1, 1).await.unwrap().records[0].clone());
    assert_eq!(subject.store().trim(P, Timestamp::ZERO, 100).await.unwrap(), 0);
    assert_eq!(subject.store().trim(P, young.accepted_at, 100).await.unwrap(), 4);
    assert_eq!(bounds(&subject).await, (4, 5));
}

/// At most `most`, the oldest first.
pub async fn a_trim_keeps_to_its_number_of_events<S: Subject>() {
    let subject = filled::<S>(10).await;
    commit(&subject, &moved("a", 10, Position::Shared)).await;
    assert_eq!(subject.store().trim(P, Timestamp::MAX, 3).await.unwrap(), 3);
    assert_eq!(bounds(&subject).await, (3, 10));
    assert_eq!(subject.store().trim(P, Timestamp::MAX, 0).await.unwrap(), 0);
}

/// Must not reuse the offsets of what it removed, nor lower `end`: also when all was removed, and
/// the store opened again.
pub async fn trimmed_offsets_are_not_used_again<S: Subject>() {
    let subject = filled::<S>(10).await;
    commit(&subject, &moved("a", 10, Position::Shared)).await;
    assert_eq!(trim_all(&subject).await, 10);
    assert_eq!(bounds(&subject).await, (10, 10));
    let subject = subject.reopen().await;
    assert_eq!(bounds(&subject).await, (10, 10));
    assert_eq!(append(subject.store(), vec![keyed("x", "k")]).await[0].offset, Offset(10));
    let subject = subject.reopen().await;
    assert_eq!(bounds(&subject).await, (10, 11));
}

/// The memory of ids is not that of events.
pub async fn a_given_id_is_remembered_after_its_event_was_trimmed<S: Subject>() {
    let subject = S::create(1).await;
    append(subject.store(), vec![given("a", "k")]).await;
    commit(&subject, &moved("a", 1, Position::Shared)).await;
    assert_eq!(trim_all(&subject).await, 1);
    let again = append(subject.store(), vec![given("a", "k")]).await;
    assert_eq!(again, [Appended { partition: P, offset: Offset(0), duplicate: true }]);
}

/// `from` below the log's start reads from the start.
pub async fn a_read_below_the_start_begins_at_the_start<S: Subject>() {
    let subject = filled::<S>(10).await;
    commit(&subject, &moved("a", 4, Position::Shared)).await;
    trim_all(&subject).await;
    let chunk = subject.store().read(P, Offset(0), 2, usize::MAX).await.unwrap();
    assert_eq!((chunk.records[0].offset(), chunk.records.len(), chunk.next), (Offset(4), 2, Offset(6)));
    let subject = subject.reopen().await;
    let chunk = subject.store().read(P, Offset(1), 1, usize::MAX).await.unwrap();
    assert_eq!((chunk.records[0].offset(), chunk.next), (Offset(4), Offset(5)));
}

/// Each event is judged as it was before the trim.
pub async fn a_trim_lets_go_of_cuts_that_no_event_needs<S: Subject>() {
    let subject = filled::<S>(10).await;
    let cuts: Vec<Cut> =
        [(11, 1), (12, 3), (13, 7), (14, 10)].map(|(r, at)| Cut { revision: Revision(r), at: Offset(at) }).into();
    for cut in &cuts {
        commit(&subject, &Commit { cut: Some(*cut), ..moved("a", 10, Position::Shared) }).await;
    }
    // How many events go, and which cut is then the first that is needed.
    for (most, first) in [(0, 0), (2, 0), (1, 1), (1, 1), (2, 1), (1, 2), (2, 2), (1, 3)] {
        assert_eq!(subject.store().trim(P, Timestamp::MAX, most).await.unwrap(), most);
        assert_eq!(subject.store().cuts(P).await.unwrap(), Cuts::of(cuts[first..].to_vec()));
    }
    assert_eq!(bounds(&subject).await, (10, 10));
    let subject = subject.reopen().await;
    assert_eq!(subject.store().load(P).await.unwrap().cuts, Cuts::of(vec![cuts[3]]));
    assert_eq!(subject.store().taken(&[P]).await.unwrap(), [Some(cuts[3])]);
}
