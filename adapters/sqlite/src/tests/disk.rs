//! Disks that are full, that fail, and that are cut off.

use super::{InDirectory, P, append_all, event, events, holding, lease, settled};
use crate::SqliteStore;
use laneway_domain::{Offset, Timestamp};
use laneway_ports::contract::Subject;
use laneway_ports::{CommitError, EventLog, LogRecord, ProgressStore, StoreError};
use rusqlite::ffi;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn is_retry_later<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::RetryLater { .. }))
}

#[tokio::test]
async fn a_full_store_says_so_and_takes_events_again_when_there_is_room() {
    let subject = InDirectory::new(1, |options| options.max_bytes = Some(1 << 20));
    let store = subject.store();
    let mut stored = 0;
    let full = loop {
        assert!(stored < 10_000, "the store never becomes full");
        let results = store.append(events(10, 1000)).await;
        match results.iter().find(|result| result.is_err()) {
            Some(_) => break results,
            None => stored += 10,
        }
    };
    assert!(full.iter().all(is_retry_later), "{full:?}");
    assert!(full[0].as_ref().unwrap_err().to_string().contains("laneway.db"));
    assert!(store.health().unwrap_err().contains("full"));
    assert_eq!(store.bounds(P).await.unwrap().end, Offset(stored));
    // Progress can still be made, so that room can be.
    let held = lease(store).await;
    store.commit(&held, &settled(stored)).await.unwrap();
    assert_eq!(store.trim(P, Timestamp::MAX, 100).await.unwrap(), 100);
    append_all(store, events(10, 1000)).await;
    assert_eq!(store.health(), Ok(()));
    assert_eq!(store.bounds(P).await.unwrap().end, Offset(stored + 10));
    store.limit_size(None).await.unwrap();
    append_all(store, events(1000, 1000)).await;
}

fn fail_next_commit(store: &SqliteStore, code: i32) {
    *store.shared.commit_fault.lock().unwrap() = Some(code);
}

#[tokio::test]
async fn a_group_that_was_not_committed_leaves_nothing() {
    let subject = InDirectory::new(1, |_| ());
    append_all(subject.store(), events(3, 10)).await;
    fail_next_commit(subject.store(), ffi::SQLITE_BUSY);
    let given = laneway_domain::NewEvent { id_given: true, ..event("given", 10) };
    let results = subject.store().append(vec![given.clone(), event("x", 10)]).await;
    assert!(results.iter().all(is_retry_later), "{results:?}");
    let placed = subject.store().append(vec![given]).await[0].clone().unwrap();
    assert_eq!((placed.offset, placed.duplicate), (Offset(3), false));
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_accepted_and_nothing_is_called_a_success() {
    for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC, ffi::SQLITE_IOERR_TRUNCATE] {
        let subject = InDirectory::new(1, |_| ());
        let store = subject.store();
        append_all(store, events(3, 10)).await;
        let held = lease(store).await;
        fail_next_commit(store, code);
        let waiting = store.grown(P, Offset(3));
        let (unclear, waiting) = tokio::join!(store.append(events(2, 10)), waiting);
        assert!(unclear.iter().all(|result| matches!(result, Err(StoreError::Unknown { .. }))), "{unclear:?}");
        assert!(is_retry_later(&waiting));
        let after = store.append(events(1, 10)).await;
        assert!(is_retry_later(&after[0]));
        assert!(after[0].as_ref().unwrap_err().to_string().contains("restart"));
        assert!(is_retry_later(&store.read(P, Offset(0), 1, 1).await));
        let commit = store.commit(&held, &settled(1)).await;
        assert!(matches!(commit, Err(CommitError::Store(StoreError::RetryLater { .. }))), "{commit:?}");
        assert!(store.health().unwrap_err().contains("check the disk"));
        let subject = subject.reopen().await;
        assert!(subject.store().bounds(P).await.unwrap().end >= Offset(3));
        append_all(subject.store(), events(1, 10)).await;
    }
}

#[tokio::test]
async fn a_full_queue_is_answered_at_once() {
    let subject = InDirectory::new(1, |options| options.queue_events = 10);
    let store = subject.store();
    let (holding, has_begun, go_on) = holding(store);
    let meanwhile = async {
        has_begun.await.unwrap();
        let mut waiting = Box::pin(store.append(events(10, 10)));
        assert!(polled_once(&mut waiting).is_none());
        let refused = store.append(events(1, 10)).await;
        assert!(refused[0].as_ref().unwrap_err().to_string().contains("cannot keep up"), "{refused:?}");
        go_on.send(()).unwrap();
        waiting.await
    };
    let (held, stored) = tokio::join!(holding, meanwhile);
    held.unwrap();
    assert!(stored.iter().all(Result::is_ok));
    // One call with more than the queue may hold is taken when nothing else waits.
    append_all(store, events(11, 10)).await;
}

/// Polls once.
fn polled_once<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T> + ?Sized>>) -> Option<T> {
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

/// The ids of all events in a store.
async fn ids(subject: &InDirectory) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let end = subject.store().bounds(P).await.unwrap().end;
    let mut from = Offset(0);
    while from < end {
        let chunk = subject.store().read(P, from, 1000, usize::MAX).await.unwrap();
        for record in chunk.records {
            let LogRecord::Event(event) = record else { panic!("{record:?}") };
            ids.insert(event.event.id.to_string());
        }
        from = chunk.next;
    }
    ids
}

/// Appends `calls` times ten events from each of four tasks, noting each that was acknowledged.
async fn load(store: &SqliteStore, phase: &str, calls: usize, acknowledged: &Mutex<BTreeSet<String>>) {
    let task = |task: usize| async move {
        for call in 0..calls {
            let new: Vec<_> = (0..10).map(|n| event(&format!("{phase}-{task}-{call}-{n}"), 300)).collect();
            let sent: Vec<String> = new.iter().map(|new| new.event.id.to_string()).collect();
            let results = store.append(new).await;
            assert!(results.iter().all(Result::is_ok));
            acknowledged.lock().unwrap().extend(sent);
        }
    };
    tokio::join!(task(0), task(1), task(2), task(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_files_taken_under_load_holds_every_acknowledged_event() {
    let acknowledged = Mutex::default();
    // First with checkpoints all the time, so that the copy has a database with events in it …
    let subject = InDirectory::new(1, |options| options.checkpoint_bytes = 64 << 10);
    load(subject.store(), "first", 100, &acknowledged).await;
    // … then with none, because the files can be copied one after the other only while none of
    // them is rewritten.
    let mut subject = subject;
    subject.options.checkpoint_bytes = 1 << 40;
    let subject = subject.reopen().await;
    let copy = InDirectory::new(1, |_| ());
    let copying = async {
        tokio::task::yield_now().await;
        while acknowledged.lock().unwrap().len() < 6000 {
            subject.store().grown(P, subject.store().bounds(P).await.unwrap().end).await.unwrap();
        }
        let expected = acknowledged.lock().unwrap().clone();
        let copy = copy.reopened_after(|copy| {
            for end in ["db", "db-wal"] {
                let from = subject.directory.path().join(format!("laneway.{end}"));
                std::fs::copy(from, copy.directory.path().join(format!("laneway.{end}"))).unwrap();
            }
        });
        (expected, copy)
    };
    let ((expected, copy), ()) = tokio::join!(copying, load(subject.store(), "second", 200, &acknowledged));
    let found = ids(&copy).await;
    let lost: Vec<&String> = expected.difference(&found).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), expected.len());
    append_all(copy.store(), events(3, 10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_stays_bounded_under_load() {
    let threshold = 512 << 10;
    let subject = InDirectory::new(1, |options| options.checkpoint_bytes = threshold);
    let wal = subject.directory.path().join("laneway.db-wal");
    let mut largest = 0;
    for round in 0..20 {
        load(subject.store(), &format!("{round}"), 25, &Mutex::default()).await;
        largest = largest.max(std::fs::metadata(&wal).unwrap().len());
    }
    let written = std::fs::metadata(subject.path()).unwrap().len();
    assert!(written > 5 * threshold, "only {written} bytes have come into the database");
    assert!(largest <= 10 * threshold, "the log has grown to {largest} bytes");
}

#[tokio::test]
async fn a_reader_that_stays_holds_neither_appends_nor_the_log_for_ever() {
    let subject = InDirectory::new(1, |options| options.checkpoint_bytes = 64 << 10);
    let outside = subject.sqlite3();
    outside.execute_batch("BEGIN; SELECT count(*) FROM event_0").unwrap();
    load(subject.store(), "while", 40, &Mutex::default()).await;
    let log = || std::fs::metadata(subject.directory.path().join("laneway.db-wal")).unwrap().len();
    let before = log();
    assert!(subject.store().shared.log_is_held.load(Ordering::SeqCst), "the store knows who holds the log");
    outside.execute_batch("COMMIT").unwrap();
    load(subject.store(), "after", 100, &Mutex::default()).await;
    assert!(log() <= before + (1 << 20));
    assert_eq!(ids(&subject).await.len(), 5600);
}

/// However long the log has grown for somebody else's sake, it shrinks when they are gone, with hardly anything written.
#[tokio::test]
async fn the_room_that_a_long_read_took_goes_back_to_the_disk() {
    let threshold = 64 << 10;
    let subject = InDirectory::new(1, |options| options.checkpoint_bytes = threshold);
    let outside = subject.sqlite3();
    outside.execute_batch("BEGIN; SELECT count(*) FROM event_0").unwrap();
    load(subject.store(), "while", 40, &Mutex::default()).await;
    let log = || std::fs::metadata(subject.directory.path().join("laneway.db-wal")).unwrap().len();
    assert!(log() > 10 * threshold, "the log has not grown: {}", log());
    outside.execute_batch("COMMIT").unwrap();
    // The thread looks every two seconds, and the writer finishes with its next group.
    let shrinks = async {
        while log() > threshold {
            append_all(subject.store(), events(1, 10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), shrinks).await.expect("the log shrinks");
    assert!(!subject.store().shared.log_is_held.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_store_whose_files_are_taken_away_acknowledges_nothing_more() {
    for end in ["db", "db-wal"] {
        let subject = InDirectory::new(1, |_| ());
        append_all(subject.store(), events(3, 10)).await;
        let file = subject.directory.path().join(format!("laneway.{end}"));
        std::fs::rename(&file, file.with_extension("aside")).unwrap();
        // Growth is what wakes whoever waits when the store fails.
        let failed = tokio::time::timeout(Duration::from_secs(60), subject.store().grown(P, Offset(3))).await;
        assert!(is_retry_later(&failed.expect("it is noticed")));
        let refused = subject.store().append(events(1, 10)).await;
        assert!(is_retry_later(&refused[0]), "{refused:?}");
        let why = subject.store().health().unwrap_err();
        assert!(why.contains(&format!("laneway.{end} was removed")), "{why}");
    }
}

/// A write that fails for want of room, however the system calls that: the store goes on by itself.
#[tokio::test]
async fn a_write_that_fails_is_not_the_end_of_the_store() {
    for (code, told) in
        [(ffi::SQLITE_FULL, "later"), (ffi::SQLITE_IOERR_WRITE, "unknown"), (ffi::SQLITE_IOERR, "unknown")]
    {
        let subject = InDirectory::new(1, |_| ());
        let store = subject.store();
        append_all(store, events(3, 10)).await;
        fail_next_commit(store, code);
        let results = store.append(events(2, 10)).await;
        let unknown = |result: &Result<_, StoreError>| matches!(result, Err(StoreError::Unknown { .. }));
        assert!(results.iter().all(|result| if told == "later" { is_retry_later(result) } else { unknown(result) }));
        let held = lease(store).await;
        store.commit(&held, &settled(3)).await.expect("what makes room goes on");
        assert!(is_retry_later(&store.append(events(1, 10)).await[0]), "new events wait until it was looked");
        assert!(store.health().unwrap_err().contains("laneway.db"));
        assert_eq!(store.trim(P, Timestamp::MAX, 100).await.unwrap(), 3);
        // That there is room is known before anybody brings events: a balancer sends none to a store that is full.
        store.commit(&held, &settled(3)).await.unwrap();
        assert_eq!(store.health(), Ok(()));
        append_all(store, events(1, 10)).await;
    }
}
