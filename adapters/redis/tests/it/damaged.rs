//! Dead letters whose names somebody has written by hand, or that are not whole. (The contract damages what is in them.)

use crate::support::append;
use crate::support::subject::Single;
use laneway_domain::{
    Backoff, Commit, DestinationName, Failure, GivenUp, LaneKey, Offset, Partition, PartitionProgress, Redrive,
    Timestamp,
};
use laneway_ports::contract::Subject;
use laneway_ports::{DeadLetterCount, DeadLetterQuery, DeadLetters, ProgressStore, Selection, StoreError, WorkerId};
use laneway_servers::redis::Reply;
use std::time::Duration;

const P: Partition = Partition(0);
/// No offset; no text; an offset that is written in another way; no name of a destination.
const NAMES: [&[u8]; 4] = [b"x", b"0000000000000002:a\xFF", b"2:a", b"0000000000000002:NO NAME"];

fn a() -> DestinationName {
    DestinationName::new("a").unwrap()
}

/// Dead letters of `a` at 0 and 3.
async fn two_letters() -> Single {
    let subject = Single::create(1).await;
    for id in ["e0", "e1", "e2", "e3"] {
        append(subject.store(), id).await.unwrap();
    }
    let given_up = |offset| GivenUp {
        destination: a(),
        offset,
        key: LaneKey::Event(offset),
        at: Timestamp::from_millis(7),
        reason: "a test".into(),
        retry: Backoff::note(None, Failure::new(Timestamp::from_millis(7), "answered 500")),
    };
    let lease = subject.store().claim(P, &WorkerId("w".into()), Duration::from_secs(60)).await.unwrap().unwrap();
    let commit = Commit { dead_letters: [0, 3].map(Offset).map(given_up).into(), ..Commit::default() };
    subject.store().commit(&lease, &commit).await.unwrap();
    subject
}

fn offsets(requests: &[Redrive]) -> Vec<u64> {
    requests.iter().map(|request| request.offset.0).collect()
}

#[tokio::test]
async fn names_that_are_none_keep_nobody_from_listing_retrying_and_discarding_the_others() {
    let subject = two_letters().await;
    for name in NAMES {
        subject.ask("HSET", P, "dead", &[name, b"e\nk\nall\n{}"]).await;
        subject.ask("ZADD", P, "dead:order", &[b"0", name]).await;
        subject.ask("ZADD", P, "dead:of:a", &[b"0", name]).await;
    }
    subject.ask("HSET", P, "dead:counts", &[b"NO NAME", b"1"]).await;
    subject.ask("HSET", P, "dead:counts", &[b"b", b"many"]).await;
    let store = subject.store();
    assert_eq!(store.counts().await.unwrap(), [DeadLetterCount { destination: a(), count: 2 }]);
    let (mut met, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(&DeadLetterQuery { after, most: 1, ..DeadLetterQuery::default() }).await.unwrap();
        let Some(last) = page.last() else { break };
        met.push(last.given_up.offset.0);
        after = Some((last.partition, last.given_up.offset, last.given_up.destination.clone()));
    }
    assert_eq!(met, [0, 3]);
    assert_eq!(store.retry(&Selection::of(a())).await.unwrap(), 6);
    let PartitionProgress { redrives, .. } = store.load(P).await.unwrap();
    assert_eq!(offsets(&redrives), [0, 3]);
    for _ in 0..2 {
        assert_eq!(offsets(&store.retry_requested(P, None, 10).await.unwrap()), [0, 3]);
    }
    assert_eq!(subject.ask("ZCARD", P, "dead:requested", &[]).await, Reply::Number(2), "the others cannot be retried");
    assert_eq!(store.discard(&Selection::of(a())).await.unwrap(), 6);
    assert_eq!(subject.ask("EXISTS", P, "dead", &[]).await, Reply::Number(0));
}

#[tokio::test]
async fn a_copy_that_is_missing_is_told_from_a_dead_letter_that_is() {
    let subject = two_letters().await;
    subject.ask("HDEL", P, "dead:events", &[b"0000000000000000:a"]).await;
    let store = subject.store();
    let missing = store.event(P, Offset(0), &a()).await;
    assert!(matches!(missing, Err(StoreError::Refused { .. })), "{missing:?}");
    assert_eq!(store.event(P, Offset(1), &a()).await.unwrap(), None);
    assert!(store.event(P, Offset(3), &a()).await.unwrap().is_some());
}
