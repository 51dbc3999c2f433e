//! The registry of destinations, as far as it is this store's own.

use super::{InDirectory, P, REPLACE, append_all, events, lease, settled};
use crate::{SqliteStore, backup, check, restore};
use laneway_domain::{
    Commit, Cut, DestinationName, Filters, Offset, Origin, Registered, Revision, Standing, Timestamp,
};
use laneway_ports::contract::{Subject, registry};
use laneway_ports::{EventLog, JournalEntry, ProgressStore, Registry, RegistryWrite, StoreError};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn record(name: &str, revision: Revision) -> Registered {
    Registered {
        name: DestinationName::new(name).unwrap(),
        born: revision,
        revision,
        origin: Origin::Api,
        standing: Standing::Present,
        paused: None,
        settings: "{\"url\":\"https://h/\"}".into(),
        filters: Filters::default(),
        target_since: revision,
        is_first: false,
        takes_over: false,
    }
}

fn write(last: Revision, revision: Revision, names: &[&str]) -> RegistryWrite {
    let said = |name: &&str| JournalEntry {
        name: DestinationName::new(name).unwrap(),
        revision,
        at: Timestamp::from_millis(revision.0 / 1000),
        by: "test".into(),
        what: "url".into(),
    };
    RegistryWrite {
        last,
        revision,
        records: names.iter().map(|name| record(name, revision)).collect(),
        journal: names.iter().map(said).collect(),
    }
}

async fn put(store: &SqliteStore, names: &[&str]) -> Revision {
    let head = store.head().await.unwrap();
    assert!(store.write(&write(head.last, head.next(), names)).await.unwrap());
    head.next()
}

async fn names(store: &SqliteStore) -> Vec<String> {
    store.page("", 100).await.unwrap().records.iter().map(|record| record.name.to_string()).collect()
}

#[tokio::test]
async fn a_hundred_thousand_destinations_are_written_and_read_in_pages() {
    registry::as_many_destinations::<InDirectory>(100_000).await;
}

#[tokio::test]
async fn a_row_of_the_registry_that_is_not_what_was_written_is_an_error_that_names_it() {
    for change in [
        "UPDATE destination SET record = replace(record, 'https', 'httpx') WHERE name = 'b'",
        "UPDATE destination SET revision = revision + 1 WHERE name = 'b'",
        "UPDATE destination SET deleted = 1 WHERE name = 'b'",
        "UPDATE destination SET name = 'b2' WHERE name = 'b'",
        "UPDATE destination SET crc = 0 WHERE name = 'b'",
    ] {
        let subject = InDirectory::new(1, |_| ());
        put(subject.store(), &["a", "b", "c"]).await;
        assert_eq!(check(&subject.path()).unwrap().findings, Vec::<String>::new());
        subject.sqlite3().execute_batch(change).unwrap();
        let Err(StoreError::Refused { what }) = subject.store().changed_since(Revision::ORIGIN).await else {
            panic!("{change}")
        };
        assert!(what.contains("table destination") && what.contains("of \"b"), "{what}");
        let findings = check(&subject.path()).unwrap().findings;
        assert_eq!(findings.len(), 1, "{change}: {findings:?}");
        // Others are not concerned, and it can be mended by making it anew.
        let others = ["a", "c"].map(|name| DestinationName::new(name).unwrap());
        assert_eq!(subject.store().records(&others).await.unwrap().len(), 2, "{change}");
    }
}

#[tokio::test]
async fn a_last_revision_that_went_back_is_found_and_no_revision_is_given_twice() {
    let subject = InDirectory::new(1, |_| ());
    let last = put(subject.store(), &["a"]).await;
    let subject = subject.reopened_after(|subject| {
        subject.sqlite3().execute_batch("UPDATE registry SET last = 5").unwrap();
        let findings = check(&subject.path()).unwrap().findings;
        assert!(findings.len() == 1 && findings[0].contains("says that its last one is 5"), "{findings:?}");
    });
    assert_eq!(subject.store().head().await.unwrap().last, last);
    assert!(put(subject.store(), &["b"]).await > last);
    assert_eq!(check(&subject.path()).unwrap().findings, Vec::<String>::new());
}

#[tokio::test]
async fn a_clock_that_was_set_back_gives_no_revision_twice() {
    let subject = InDirectory::new(1, |_| ());
    let first = put(subject.store(), &["a"]).await;
    subject.clock.fetch_sub(3_600_000, Ordering::SeqCst);
    assert_eq!(put(subject.store(), &["a"]).await, Revision(first.0 + 1));
    subject.clock.fetch_add(7_200_000, Ordering::SeqCst);
    assert_eq!(put(subject.store(), &["a"]).await.0, subject.clock.load(Ordering::SeqCst) * 1000);
}

/// Whoever asked for it went away: it is stored all the same, and those who wait learn of it.
#[tokio::test]
async fn a_write_that_nobody_waits_for_any_more_wakes_those_who_wait() {
    let subject = InDirectory::new(1, |_| ());
    let store = subject.store();
    let head = store.head().await.unwrap();
    let write = write(head.last, head.next(), &["a"]);
    {
        let mut writing = pin!(store.write(&write));
        let polled = writing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending | Poll::Ready(Ok(true))));
    }
    assert_eq!(store.wait(head.last, Duration::from_secs(60)).await.unwrap(), head.next());
    assert_eq!(names(store).await, ["a"]);
}

#[tokio::test]
async fn a_write_of_a_group_that_was_not_stored_is_not_there_and_its_revision_is_free() {
    let subject = InDirectory::new(1, |_| ());
    let store = subject.store();
    let first = put(store, &["a"]).await;
    *store.shared.commit_fault.lock().unwrap() = Some(rusqlite::ffi::SQLITE_FULL);
    let second = write(first, Revision(first.0 + 1), &["b"]);
    let result = store.write(&second).await;
    assert!(matches!(result, Err(StoreError::RetryLater { .. })), "{result:?}");
    assert_eq!(store.head().await.unwrap().last, first);
    assert_eq!(names(store).await, ["a"]);
    assert!(store.write(&second).await.unwrap());
    assert_eq!(store.head().await.unwrap().last, second.revision);
}

#[tokio::test]
async fn a_backup_holds_the_registry_and_a_restore_gives_no_revision_of_the_replaced_store_again() {
    let mut subject = InDirectory::new(1, |_| ());
    // Of a year in which offsets of restores are given out.
    subject.clock.store(1_790_000_000_000, Ordering::SeqCst);
    append_all(subject.store(), events(4, 10)).await;
    let backed_up = put(subject.store(), &["a", "b"]).await;
    let held = lease(subject.store()).await;
    let cut = |revision, at| Commit { cut: Some(Cut { revision, at: Offset(at) }), ..settled(4) };
    subject.store().commit(&held, &cut(Revision(backed_up.0 - 5), 2)).await.unwrap();
    subject.store().commit(&held, &cut(backed_up, 4)).await.unwrap();
    let cuts = subject.store().cuts(P).await.unwrap();
    let copy = subject.directory.path().join("copy.db");
    let report = backup(&subject.path(), &copy, &subject.options.clock, |_| ()).unwrap();
    assert_eq!(report.findings, Vec::<String>::new());
    subject.clock.fetch_add(7_200_000, Ordering::SeqCst);
    let lost = put(subject.store(), &["lost"]).await;
    // Set back, so that the clock alone would give it again.
    subject.clock.fetch_sub(3_600_000, Ordering::SeqCst);
    subject.store = None;
    let made = restore(&copy, &subject.path(), REPLACE, &subject.options.clock, |_| ()).unwrap();
    subject.store = Some(SqliteStore::open(subject.options.clone()).unwrap());
    let store = subject.store();
    assert_eq!(names(store).await, ["a", "b"]);
    assert_eq!(store.journal(&DestinationName::new("a").unwrap(), None, 10).await.unwrap().len(), 1);
    assert_eq!(store.head().await.unwrap().last, lost);
    assert!(put(store, &["c"]).await > lost);
    // What comes is behind the last cut, over the leap of the offsets.
    assert_eq!(store.load(P).await.unwrap().cuts, cuts);
    assert_eq!(cuts.revision_at(Offset(3)), Revision(backed_up.0 - 5));
    assert_eq!(cuts.revision_at(made.goes_on_at), backed_up);
    append_all(store, events(2, 10)).await;
    let held = lease(store).await;
    let next = Cut { revision: lost, at: Offset(made.goes_on_at.0 + 1) };
    store.commit(&held, &Commit { cut: Some(next), ..settled(made.goes_on_at.0 + 1) }).await.unwrap();
    // A trim goes over the leap too.
    assert_eq!(store.trim(P, Timestamp::MAX, 100).await.unwrap(), 5);
    assert_eq!(store.cuts(P).await.unwrap().iter().collect::<Vec<_>>(), [next]);
    assert_eq!(check(&subject.path()).unwrap().findings, Vec::<String>::new());
}
