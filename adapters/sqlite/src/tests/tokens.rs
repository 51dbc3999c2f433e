//! The tokens that are made over the HTTP interface, as far as they are this store's own.

use super::{InDirectory, REPLACE};
use crate::{RestoreOptions, SqliteStore, backup, check, restore};
use laneway_domain::{Revision, Role, Roles, Stamp, Timestamp, TokenBook, TokenDigest, TokenName};
use laneway_ports::contract::Subject;
use laneway_ports::{StoreError, TokenStore};
use std::sync::atomic::Ordering;

fn with(book: &TokenBook, name: &str, revision: Revision) -> TokenBook {
    let mut book = book.clone();
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&revision.0.to_le_bytes());
    let stamp = Stamp { revision, at: Timestamp::from_millis(revision.0 / 1000), by: "the token boss".into() };
    book.create(&TokenName::new(name).unwrap(), TokenDigest(digest), Roles::of([Role::Read]), &stamp).unwrap();
    book
}

async fn put(store: &SqliteStore, name: &str) -> TokenBook {
    let seen = store.tokens(Revision(1)).await.unwrap();
    let book = with(&seen.book.unwrap(), name, seen.revision.next(seen.clock));
    assert!(store.write_tokens(seen.revision, &book).await.unwrap());
    book
}

#[tokio::test]
async fn tokens_that_are_not_what_was_written_are_an_error_that_says_what_to_do() {
    for change in [
        "UPDATE token SET book = replace(book, 'read', 'admin')",
        "UPDATE token SET book = substr(book, 1, length(book) - 1)",
        "UPDATE token SET book = '2' || substr(book, 2)",
        "UPDATE token SET book = ''",
        "UPDATE token SET revision = revision + 1",
    ] {
        let subject = InDirectory::new(1, |_| ());
        let book = put(subject.store(), "a").await;
        assert_eq!(check(&subject.path()).unwrap().findings, Vec::<String>::new());
        subject.sqlite3().execute_batch(change).unwrap();
        let Err(StoreError::Refused { what }) = subject.store().tokens(Revision::ORIGIN).await else {
            panic!("{change}")
        };
        assert!(what.contains("of table token cannot be read") && what.contains("Restore a backup"), "{what}");
        let findings = check(&subject.path()).unwrap().findings;
        assert_eq!(findings.len(), 1, "{change}: {findings:?}");
        // What it says to do helps.
        let statement = what.split('`').nth(1).unwrap();
        subject.sqlite3().execute_batch(statement).unwrap();
        let seen = subject.store().tokens(book.revision()).await.unwrap();
        assert_eq!((seen.revision, seen.book), (Revision::ORIGIN, Some(TokenBook::default())), "{change}");
        put(subject.store(), "b").await;
    }
}

#[tokio::test]
async fn a_restore_revokes_the_tokens_unless_they_are_to_be_kept() {
    let mut subject = InDirectory::new(1, |_| ());
    // Of a year in which stores are put back.
    subject.clock.store(1_790_000_000_000, Ordering::SeqCst);
    let book = put(subject.store(), "a").await;
    let copy = subject.directory.path().join("copy.db");
    backup(&subject.path(), &copy, &subject.options.clock, |_| ()).unwrap();
    put(subject.store(), "later").await;
    subject.store = None;
    for keep_tokens in [true, false] {
        subject.store = None;
        // What is replaced is kept under the time.
        subject.clock.fetch_add(1000, Ordering::SeqCst);
        let options = RestoreOptions { keep_tokens, ..REPLACE };
        let made = restore(&copy, &subject.path(), options, &subject.options.clock, |_| ()).unwrap();
        subject.store = Some(SqliteStore::open(subject.options.clone()).unwrap());
        let restored = subject.store().tokens(Revision::ORIGIN).await.unwrap().book.unwrap();
        if keep_tokens {
            assert_eq!((made.revoked_tokens, &restored), (0, &book));
        } else {
            assert_eq!((made.revoked_tokens, restored.tokens().len()), (1, 0));
            let last = restored.changes(None).next().unwrap();
            assert_eq!((last.name.as_str(), &*last.by, &*last.what), ("a", "laneway restore", "revoked"));
        }
        put(subject.store(), "c").await;
    }
}

#[tokio::test]
async fn a_store_of_schema_5_has_no_tokens_and_takes_some() {
    let mut subject = InDirectory::new(1, |_| ());
    subject.store = None;
    let later = "DROP TABLE token; DROP TABLE replay; DROP TABLE replay_behind; DROP TABLE replay_number; DROP VIEW events; \
                 ALTER TABLE event_0 DROP COLUMN tenant; ALTER TABLE dead_letter DROP COLUMN tenant;";
    let schema = "UPDATE meta SET value = '5' WHERE name = 'schema'";
    subject.sqlite3().execute_batch(&format!("{later} {schema}")).unwrap();
    assert_eq!(check(&subject.path()).unwrap().findings, Vec::<String>::new());
    subject.store = Some(SqliteStore::open(subject.options.clone()).unwrap());
    let book = put(subject.store(), "a").await;
    assert_eq!(subject.store().tokens(Revision::ORIGIN).await.unwrap().book, Some(book));
}

#[tokio::test]
async fn a_write_of_tokens_in_a_group_that_was_not_stored_is_not_there() {
    let subject = InDirectory::new(1, |_| ());
    let store = subject.store();
    let book = put(store, "a").await;
    let next = with(&book, "b", book.revision().next(0));
    *store.shared.commit_fault.lock().unwrap() = Some(rusqlite::ffi::SQLITE_FULL);
    let result = store.write_tokens(book.revision(), &next).await;
    assert!(matches!(result, Err(StoreError::RetryLater { .. })), "{result:?}");
    assert_eq!(store.tokens(Revision::ORIGIN).await.unwrap().book.as_ref(), Some(&book));
    assert!(store.write_tokens(book.revision(), &next).await.unwrap());
}
