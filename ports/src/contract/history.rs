//! What every [`HistoryStore`] must and must not do.

use super::Subject;
use super::fixtures::{LONG, destination, lease, moved, worker};
use crate::{
    HistoryBounds, HistoryPlace, HistoryRange, HistoryRecord, HistoryStore, MAX_HISTORY_PAGE, ProgressStore, Store,
};
use laneway_domain::{
    Answer, Commit, Ended, EventId, Fate, History, Key, Offset, Partition, Position, Revision, Timestamp, Told,
};
use std::time::Duration;

/// One test per check of [`crate::contract::history`].
#[macro_export]
macro_rules! history_contract {
    ($subject:ty, #[$test:meta]) => {
        $crate::contract_tests! { history, history_contract, $subject, #[$test],
            what_commits_tell_is_read_as_it_was_the_latest_first
            the_same_commit_again_tells_nothing_more
            a_commit_that_is_refused_tells_nothing
            pages_follow_one_another
            partitions_have_histories_of_their_own
            the_commits_of_another_lease_stand_beside_those_of_the_first
            what_is_older_than_the_bounds_goes_in_steps
            what_is_more_than_the_bounds_goes_the_oldest_first
            history_survives_a_crash
            a_history_of_many_answers_is_kept_whole
        }
    };
}

const P: Partition = Partition(0);
const NO_BOUNDS: HistoryBounds = HistoryBounds { since: Timestamp::ZERO, max_bytes: u64::MAX };

fn at(number: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + number)
}

/// What the commit of that number tells of events at these offsets: one delivered, the next failed, and so on.
pub(super) fn told(number: u64, offsets: &[u64]) -> History {
    let one = |&offset: &u64| {
        let failed = offset % 2 == 1;
        Told {
            destination: destination(if offset % 3 == 0 { "a" } else { "b" }),
            born: Revision(offset % 3),
            offset: Offset(offset),
            id: Some(EventId::new(&format!("e{offset} ü")).unwrap()),
            key: (offset % 4 < 2).then(|| Key::new(&format!("k{offset}")).unwrap()),
            attempt: 1,
            redrive: offset % 5 == 4,
            at: at(number),
            took: Duration::from_micros(offset * 17),
            ended: if failed { Ended::Failed } else { Ended::Delivered },
            fate: if failed { Fate::Retried } else { Fate::Delivered },
            status: Some(if failed { 503 } else { 200 }),
            reason: failed.then(|| "the receiver answered 503 · über".into()),
            answer: failed.then(|| Box::new(Answer { headers: "retry-after: 5\n".into(), body: "busy\0".into() })),
            request: failed.then(|| "POST https://shop.example/hook\n".into()),
        }
    };
    History { number, at: at(number), told: offsets.iter().map(one).collect(), untold: number % 2 }
}

fn tells(number: u64) -> Commit {
    let history = told(number, &[number, number + 1, number + 2]);
    Commit { history: Some(history.into()), ..moved("a", 0, Position::Shared) }
}

async fn all(store: &impl Store) -> Vec<HistoryRecord> {
    let records = store.history(P, HistoryRange::Latest, MAX_HISTORY_PAGE).await.unwrap();
    assert!(records.is_sorted_by(|a, b| a.place > b.place), "the latest come first: {records:?}");
    let size = store.history_size(P).await.unwrap();
    assert_eq!((size.records, size.bytes == 0), (records.len() as u64, records.is_empty()));
    records
}

async fn numbers(store: &impl Store) -> Vec<u64> {
    all(store).await.into_iter().map(|record| record.place.number).collect()
}

/// What was told comes back: every field, in its order.
pub async fn what_commits_tell_is_read_as_it_was_the_latest_first<S: Subject>() {
    let subject = S::create(1).await;
    let store = subject.store();
    assert_eq!(all(store).await, []);
    let lease = lease(store).await;
    for number in 1..=3 {
        store.commit(&lease, &tells(number)).await.unwrap();
    }
    // A commit that tells nothing adds nothing.
    store.commit(&lease, &moved("b", 0, Position::Shared)).await.unwrap();
    let expected = [3, 2, 1].map(|number| HistoryRecord {
        place: HistoryPlace { at: at(number), epoch: lease.epoch, number },
        told: Ok(told(number, &[number, number + 1, number + 2])),
    });
    assert_eq!(all(store).await, expected);
}

/// The same commit again changes nothing, also when it comes after later ones.
pub async fn the_same_commit_again_tells_nothing_more<S: Subject>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let lease = lease(store).await;
    for number in [1, 1, 2, 1, 2] {
        store.commit(&lease, &tells(number)).await.unwrap();
    }
    assert_eq!(numbers(store).await, [2, 1]);
}

/// History is stored with its commit, or not at all.
pub async fn a_commit_that_is_refused_tells_nothing<S: Subject>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let old = lease(store).await;
    let new = lease(store).await;
    assert!(store.commit(&old, &tells(1)).await.is_err());
    let beyond = Commit { scanned: Some(Offset(9)), ..tells(2) };
    assert!(store.commit(&new, &beyond).await.is_err());
    assert_eq!(all(store).await, []);
}

/// Records before a place, at most so many.
pub async fn pages_follow_one_another<S: Subject>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let lease = lease(store).await;
    for number in 1..=7 {
        store.commit(&lease, &tells(number)).await.unwrap();
    }
    let (mut range, mut pages) = (HistoryRange::Latest, Vec::new());
    loop {
        let page = store.history(P, range, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        range = HistoryRange::Before(last.place);
        pages.push(page.iter().map(|record| record.place.number).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
    let place = |number| HistoryPlace { at: at(number), epoch: lease.epoch, number };
    for (after, expected) in [(HistoryPlace::default(), [1, 2, 3].as_slice()), (place(4), &[5, 6, 7]), (place(6), &[7])]
    {
        let page = store.history(P, HistoryRange::After(after), 3).await.unwrap();
        assert_eq!(page.iter().map(|record| record.place.number).collect::<Vec<_>>(), expected);
    }
    assert_eq!(store.history(P, HistoryRange::After(place(7)), 3).await.unwrap(), []);
    assert_eq!(store.history(P, HistoryRange::Latest, 0).await.unwrap(), []);
}

/// Each partition has its own.
pub async fn partitions_have_histories_of_their_own<S: Subject>() {
    let subject = S::create(2).await;
    let store = subject.store();
    let other = store.claim(Partition(1), &worker("w"), LONG).await.unwrap().unwrap();
    store.commit(&other, &tells(1)).await.unwrap();
    assert_eq!(all(store).await, []);
    assert_eq!(store.history(Partition(1), HistoryRange::Latest, 9).await.unwrap().len(), 1);
    assert_eq!(store.trim_history(P, HistoryBounds { since: Timestamp::MAX, max_bytes: 0 }, 9).await.unwrap(), 0);
    assert_eq!(store.history_size(Partition(1)).await.unwrap().records, 1);
}

/// Numbers begin anew with each lease, and two commits may be made at the same moment.
pub async fn the_commits_of_another_lease_stand_beside_those_of_the_first<S: Subject>() {
    let subject = S::create(1).await;
    let store = subject.store();
    for _ in 0..2 {
        let lease = lease(store).await;
        store.commit(&lease, &tells(1)).await.unwrap();
    }
    assert_eq!(numbers(store).await, [1, 1]);
}

/// By age, at most so many at a time.
pub async fn what_is_older_than_the_bounds_goes_in_steps<S: Subject>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let lease = lease(store).await;
    for number in 1..=5 {
        store.commit(&lease, &tells(number)).await.unwrap();
    }
    assert_eq!(store.trim_history(P, NO_BOUNDS, 9).await.unwrap(), 0);
    let bounds = HistoryBounds { since: at(4), ..NO_BOUNDS };
    assert_eq!(store.trim_history(P, bounds, 2).await.unwrap(), 2);
    assert_eq!(store.trim_history(P, bounds, 2).await.unwrap(), 1);
    assert_eq!(store.trim_history(P, bounds, 2).await.unwrap(), 0);
    assert_eq!(numbers(store).await, [5, 4]);
}

/// By bytes, until there are no more than there may be.
pub async fn what_is_more_than_the_bounds_goes_the_oldest_first<S: Subject>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let lease = lease(store).await;
    for number in 1..=5 {
        store.commit(&lease, &tells(number)).await.unwrap();
    }
    let before = store.history_size(P).await.unwrap();
    assert_eq!(before.records, 5);
    let bounds = HistoryBounds { max_bytes: before.bytes - 1, ..NO_BOUNDS };
    assert_eq!(store.trim_history(P, bounds, 9).await.unwrap(), 1);
    let after = store.history_size(P).await.unwrap();
    assert!(after.bytes < before.bytes);
    assert_eq!(store.trim_history(P, HistoryBounds { max_bytes: 0, ..NO_BOUNDS }, 3).await.unwrap(), 3);
    assert_eq!(numbers(store).await, [5]);
    assert_eq!(store.trim_history(P, HistoryBounds { max_bytes: 0, ..NO_BOUNDS }, 3).await.unwrap(), 1);
    assert_eq!(all(store).await, []);
}

/// It is as durable as the commit.
pub async fn history_survives_a_crash<S: Subject>() {
    let subject = S::create(1).await;
    let lease = lease(subject.store()).await;
    subject.store().commit(&lease, &tells(1)).await.unwrap();
    let subject = subject.reopen().await;
    assert_eq!(numbers(subject.store()).await, [1]);
    let size = subject.store().history_size(P).await.unwrap();
    let bounds = HistoryBounds { max_bytes: size.bytes, ..NO_BOUNDS };
    assert_eq!(subject.store().trim_history(P, bounds, 9).await.unwrap(), 0, "its bytes are counted right");
}

/// As large as a commit's history may become.
pub async fn a_history_of_many_answers_is_kept_whole<S: Subject>() {
    let subject = S::create(1).await;
    let store = subject.store();
    let lease = lease(store).await;
    let mut large = told(1, &(0..2000).collect::<Vec<_>>());
    for told in large.told.iter_mut().take(60) {
        told.reason = Some("x".repeat(1000).into());
    }
    store.commit(&lease, &Commit { history: Some(large.clone().into()), ..Commit::default() }).await.unwrap();
    let records = all(store).await;
    assert_eq!(records.into_iter().map(|record| record.told).collect::<Vec<_>>(), [Ok(large)]);
}
