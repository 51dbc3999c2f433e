//! A commit without an answer: it is not known whether it happened, and sending it again is right
//! either way.

use crate::support::wire::{Answers, Wire};
use crate::support::{new_store, open, server};
use laneway_domain::{
    Backoff, Behind, Commit, DestinationName, Failure, GivenUp, LaneChange, LaneKey, Offset, Partition, Pause,
    Position, Redriven, Timestamp,
};
use laneway_ports::{
    CommitError, DeadLetterQuery, DeadLetters, EventLog, Lease, ProgressStore, Selection, StoreError, WorkerId,
};
use laneway_redis::{RedisOptions, RedisStore};
use std::time::Duration;

const P: Partition = Partition(0);
const LONG: Duration = Duration::from_secs(3600);

fn name() -> DestinationName {
    DestinationName::new("a").unwrap()
}

fn failure(at: u64) -> Failure {
    Failure::new(Timestamp::from_millis(at), "answered 500")
}

fn given_up(offset: u64) -> GivenUp {
    GivenUp {
        destination: name(),
        offset: Offset(offset),
        key: LaneKey::Event(Offset(offset)),
        at: Timestamp::from_millis(7),
        reason: "gone past the limit".into(),
        retry: Backoff::note(None, failure(7)),
    }
}

/// A commit that changes everything there is: also a dead letter that is retried, and fails again.
fn everything() -> Commit {
    let change = LaneChange {
        position: Some(Position::At(Offset(2))),
        paused: Some(Some(Pause { since: Timestamp::from_millis(7), reason: "gone".into() })),
        behind: [(LaneKey::All, Some(Behind { offset: Offset(1), retry: Some(Backoff::note(None, failure(8))) }))]
            .into(),
        ..LaneChange::default()
    };
    Commit {
        scanned: Some(Offset(3)),
        lanes: [(name(), change)].into(),
        dead_letters: vec![given_up(2)],
        redriven: vec![Redriven { destination: name(), offset: Offset(0), failed: Some(failure(9)) }],
        quarantined: Vec::new(),
        ..Commit::default()
    }
}

async fn seen(store: &RedisStore) -> String {
    let query = DeadLetterQuery { most: 100, ..DeadLetterQuery::default() };
    format!("{:?} {:?}", store.load(P).await.unwrap(), store.list(&query).await.unwrap())
}

/// Three events, and a dead letter that is to be retried.
async fn prepared(store: &RedisStore) -> Lease {
    store.append((0..3).map(|n| crate::support::event(&format!("e{n}"), "k")).collect()).await;
    let lease = store.claim(P, &WorkerId("w".into()), LONG).await.unwrap().unwrap();
    store.commit(&lease, &Commit { dead_letters: vec![given_up(0)], ..Commit::default() }).await.unwrap();
    store.retry(&Selection { destination: Some(name()), ..Selection::default() }).await.unwrap();
    lease
}

/// What is there after a commit that was not cut off.
async fn expected(url: &str) -> String {
    let store = open(&new_store(url, 1)).await;
    let lease = prepared(&store).await;
    store.commit(&lease, &everything()).await.unwrap();
    seen(&store).await
}

/// Sends a commit again until there is an answer.
async fn commit_in_the_end(store: &RedisStore, lease: &Lease) {
    for _ in 0..600 {
        match store.commit(lease, &everything()).await {
            Ok(()) => return,
            Err(CommitError::Store(StoreError::RetryLater { .. })) => {
                // The client connects again by itself, and says only by working that it has.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("the connection does not come back");
}

async fn cut_off(answers: Answers, happens: bool) {
    let server = server().await;
    let expected = expected(&server.url()).await;
    let wire = Wire::to(server.address()).await;
    let options = new_store(&server.url(), 1);
    let direct = open(&options).await;
    let through_wire = open(&RedisOptions { url: wire.url(), ..options }).await;
    let lease = prepared(&through_wire).await;
    let before = seen(&direct).await;

    // What the commit reads before it is written must get through.
    wire.cut_at("laneway_commit_cleared", answers);
    let commit = through_wire.commit(&lease, &everything()).await;
    assert!(matches!(commit, Err(CommitError::Store(StoreError::Unknown { .. }))), "{commit:?}");
    assert_eq!(seen(&direct).await == expected, happens);
    assert_eq!(seen(&direct).await == before, !happens);
    commit_in_the_end(&through_wire, &lease).await;
    assert_eq!(seen(&direct).await, expected);
    through_wire.commit(&lease, &everything()).await.unwrap();
    assert_eq!(seen(&direct).await, expected);
}

/// All that is written then may be written again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_opened_although_an_answer_to_its_opening_is_lost() {
    let server = server().await;
    for answers in [Answers::Lost, Answers::NeverAsked] {
        let wire = Wire::to(server.address()).await;
        wire.cut_at("laneway_attend", answers);
        let options = RedisOptions { url: wire.url(), ..new_store(&server.url(), 1) };
        let store = open(&options).await;
        wire.was_cut().await;
        prepared(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_unknown_and_may_be_sent_again() {
    cut_off(Answers::Lost, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_lost_on_its_way_is_unknown_and_may_be_sent_again() {
    cut_off(Answers::NeverAsked, false).await;
}
