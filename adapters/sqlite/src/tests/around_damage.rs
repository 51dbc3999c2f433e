//! Going on beside a page that is damaged.

use super::{InDirectory, P, append_all, event, events, holding, lease, settled};
use crate::check;
use laneway_domain::{
    DestinationName, GivenUp, LaneKey, NewEvent, NextAttempt, Offset, Quarantined, RetryState, Timestamp,
};
use laneway_ports::contract::Subject;
use laneway_ports::{CommitError, EventLog, ProgressStore, StoreError};
use std::os::unix::fs::FileExt;
use std::task::{Context, Waker};
use std::time::Duration;

const AT: Timestamp = Timestamp::from_millis(5);

/// Makes the head of a leaf unreadable: that of `name` (a table or an index) with so many before it.
fn damage(subject: &InDirectory, name: &str, leaf: u64) {
    let conn = subject.sqlite3();
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let sql = "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET ?2";
    let page: u64 = conn.query_row(sql, (name, leaf), |row| row.get(0)).unwrap();
    drop(conn);
    let file = std::fs::File::options().write(true).open(subject.path()).unwrap();
    file.write_all_at(&[0xFF; 8], (page - 1) * 4096).unwrap();
}

/// A store whose events are all settled, with a damaged page of them.
async fn damaged(count: usize, leaf: u64) -> InDirectory {
    let subject = InDirectory::new(1, |options| options.tail_bytes = 0);
    append_all(subject.store(), events(count, 500)).await;
    subject.store().commit(&lease(subject.store()).await, &settled(count as u64)).await.unwrap();
    subject.reopened_after(|subject| damage(subject, "event_0", leaf))
}

async fn goes_on(subject: &InDirectory) {
    let end = subject.store().bounds(P).await.unwrap().end.0;
    append_all(subject.store(), events(3, 10)).await;
    subject.store().commit(&lease(subject.store()).await, &settled(end + 2)).await.unwrap();
    assert_eq!(subject.store().load(P).await.unwrap().scanned, Offset(end + 2));
    assert_eq!(subject.store().health(), Ok(()));
}

#[tokio::test]
async fn a_trim_removes_what_is_before_the_damage_and_rests_then() {
    for (leaf, some) in [(100, true), (0, false)] {
        let subject = damaged(1000, leaf).await;
        let trimmed = subject.store().trim(P, Timestamp::MAX, 1000).await.unwrap() as u64;
        assert_eq!((200..800).contains(&trimmed), some, "{trimmed}");
        assert_eq!(subject.store().bounds(P).await.unwrap().start, Offset(trimmed));
        assert_eq!(subject.store().trim(P, Timestamp::MAX, 1000).await.unwrap(), 0);
        goes_on(&subject).await;
        assert!(!check(&subject.path()).unwrap().findings.is_empty());
        goes_on(&subject.reopen().await).await;
    }
}

#[tokio::test]
async fn what_is_in_a_group_with_a_request_that_meets_damage_is_stored_without_it() {
    let subject = damaged(300, 5).await;
    let store = subject.store();
    let held = lease(store).await;
    let given = |id: &str| NewEvent { id_given: true, ..event(id, 10) };
    // Meanwhile the others gather.
    let (holding, has_begun, go_on) = holding(store);
    let meanwhile = async {
        has_begun.await.unwrap();
        let mut first = Box::pin(store.append(vec![given("a"), event("b", 10), given("a"), given("c")]));
        let mut bad = Box::pin(store.change(|tx| Ok(tx.run("DELETE FROM event_0", [])?)));
        let mut commit = settled(301);
        commit.quarantined = vec![Quarantined { offset: Offset(38), reason: "unreadable".into() }];
        let mut commit = Box::pin(store.commit(&held, &commit));
        let mut second = Box::pin(store.append(vec![given("c"), event("d", 10)]));
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(bad.as_mut().poll(&mut context).is_pending());
        assert!(commit.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        go_on.send(()).unwrap();
        tokio::join!(first, bad, commit, second)
    };
    let (held, (first, bad, commit, second)) = tokio::join!(holding, meanwhile);
    held.unwrap();
    let placed: Vec<(u64, bool)> =
        first.into_iter().chain(second).map(|placed| placed.map(|it| (it.offset.0, it.duplicate)).unwrap()).collect();
    assert_eq!(placed, [(300, false), (301, false), (300, true), (302, false), (302, true), (303, false)]);
    let told = matches!(&bad, Err(CommitError::Store(StoreError::RetryLater { what, .. })) if what.contains("damaged"));
    assert!(told, "{bad:?}");
    commit.unwrap();
    let chunk = store.read(P, Offset(300), 10, usize::MAX).await.unwrap();
    assert_eq!((chunk.records.len(), chunk.next), (4, Offset(304)));
    goes_on(&subject).await;
}

/// A record that cannot be read is kept aside by the very commit that goes over it.
#[tokio::test]
async fn a_commit_goes_over_events_that_are_on_a_damaged_page() {
    let subject = damaged(300, 5).await;
    let held = lease(subject.store()).await;
    let mut commit = settled(300);
    let given_up = |offset| GivenUp {
        destination: DestinationName::new("a").unwrap(),
        offset: Offset(offset),
        key: LaneKey::parse("all").unwrap(),
        at: AT,
        reason: "rejected".into(),
        retry: RetryState { attempts: 1, first_failure: AT, next_attempt: NextAttempt::At(AT), history: Vec::new() },
    };
    let damaged: Vec<u64> = {
        let read = subject.store().read(P, Offset(0), 300, usize::MAX).await.unwrap();
        let corrupt = |record: &laneway_ports::LogRecord| match record {
            laneway_ports::LogRecord::Corrupt { offset, .. } => Some(offset.0),
            laneway_ports::LogRecord::Event(_) => None,
        };
        read.records.iter().filter_map(corrupt).collect()
    };
    assert!(damaged.len() > 1, "{damaged:?}");
    commit.quarantined = vec![Quarantined { offset: Offset(damaged[0]), reason: "unreadable".into() }];
    commit.dead_letters = vec![given_up(2), given_up(damaged[1])];
    subject.store().commit(&held, &commit).await.unwrap();
    let conn = subject.sqlite3();
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM quarantine WHERE data IS NULL"), 2);
    assert_eq!(count("SELECT offset FROM dead_letter"), 2);
    goes_on(&subject).await;
}

#[tokio::test]
async fn nobody_fails_because_old_ids_cannot_be_forgotten() {
    for damaged in ["sqlite_autoindex_given_id_1", "given_id"] {
        let subject = InDirectory::new(1, |options| options.duplicate_window = Duration::from_secs(60));
        let given = |n| NewEvent { id_given: true, ..event(&format!("given-{n}"), 10) };
        append_all(subject.store(), (0..600).map(given).collect()).await;
        let subject = subject.reopened_after(|subject| damage(subject, damaged, 1));
        subject.pass(Duration::from_secs(120)).await;
        for _ in 0..3 {
            goes_on(&subject).await;
            subject.pass(Duration::from_secs(2)).await;
        }
        // Whichever of the two is whole.
        let read = if damaged == "given_id" { "INDEXED BY sqlite_autoindex_given_id_1" } else { "NOT INDEXED" };
        let sql = format!("SELECT count(*) FROM given_id {read} WHERE partition = 0");
        let ids: u64 = subject.sqlite3().query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(ids, 600, "none is half forgotten");
    }
}
