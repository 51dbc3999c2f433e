//! Opening, and being refused.

use super::{InDirectory, P, append_all, event, events};
use crate::settled::SETTLED_BELOW;
use crate::{Options, SqliteStore, check};
use laneway_ports::contract::Subject;
use laneway_ports::{EventLog, StoreError};
use std::time::Duration;

fn refusal(options: Options) -> String {
    match SqliteStore::open(options) {
        Err(StoreError::Refused { what }) => what,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_second_process_is_kept_out_and_told_who_is_in() {
    let subject = InDirectory::new(1, |_| ());
    let what = refusal(subject.options);
    assert!(what.contains(&format!("in use by process {}", std::process::id())), "{what}");
    assert!(what.contains("laneway.db"), "{what}");
}

/// Whatever name a store is opened by, it is one store.
#[tokio::test]
async fn a_symbolic_link_is_the_store_that_it_leads_to() {
    let mut subject = InDirectory::new(1, |_| ());
    append_all(subject.store(), events(5, 10)).await;
    let other = tempfile::tempdir().unwrap();
    let link = other.path().join("link.db");
    std::os::unix::fs::symlink(subject.path(), other.path().join("first.db")).unwrap();
    std::os::unix::fs::symlink("first.db", &link).unwrap();
    let through_link = Options { path: link.clone(), ..subject.options.clone() };
    let what = refusal(through_link.clone());
    assert!(what.contains("laneway.db is in use by process"), "{what}");
    assert_eq!(check(&link).unwrap().events, 5);
    assert_eq!(crate::free(&link).unwrap().reserve, crate::RESERVE_BYTES);
    subject.store = None;
    let store = SqliteStore::open(through_link).unwrap();
    append_all(&store, events(5, 10)).await;
    assert_eq!(store.bounds(P).await.unwrap().end.0, 10);
    assert!(refusal(subject.options.clone()).contains("laneway.db is in use by process"));
    drop(store);
    let names = std::fs::read_dir(other.path()).unwrap().count();
    assert_eq!(names, 2, "nothing lies beside the link");
    // One that leads to nothing yet makes the store where it leads to.
    std::os::unix::fs::symlink(subject.directory.path().join("new.db"), other.path().join("new.db")).unwrap();
    drop(SqliteStore::open(Options::new(other.path().join("new.db"), 1)).unwrap());
    assert!(subject.directory.path().join("new.db").is_file());
}

#[test]
fn another_number_of_partitions_is_refused_with_the_reason() {
    let subject = InDirectory::new(4, |_| ());
    let options = Options { partitions: 8, ..subject.options.clone() };
    drop(subject.store);
    let what = refusal(options);
    assert!(what.contains("4 partitions") && what.contains("partitions = 8") && what.contains("fixed"), "{what}");
}

#[test]
fn a_store_of_a_newer_version_is_refused_by_the_release_that_it_needs() {
    for (changes, needs) in [
        ("UPDATE meta SET value = '0.9.3' WHERE name = 'needs_release'", "needs Laneway 0.9.3 or later"),
        ("DELETE FROM meta WHERE name = 'needs_release'", "needs a newer Laneway"),
    ] {
        let mut subject = InDirectory::new(1, |_| ());
        subject.store = None;
        let conn = subject.sqlite3();
        conn.execute_batch(&format!("UPDATE meta SET value = '99' WHERE name = 'schema'; {changes}")).unwrap();
        drop(conn);
        let before = std::fs::read(subject.path()).unwrap();
        let checked = check(&subject.path()).unwrap_err().to_string();
        let what = refusal(subject.options.clone());
        for what in [what, checked] {
            assert!(what.contains(needs) && what.contains("schema 99") && what.contains("knows up to 8"), "{what}");
        }
        assert_eq!(std::fs::read(subject.path()).unwrap(), before);
    }
}

#[test]
fn a_trim_looks_at_no_lane_that_shares_the_default_also_in_a_store_of_before_there_was_an_index_for_that() {
    let mut subject = InDirectory::new(1, |_| ());
    subject.store = None;
    subject.sqlite3().execute("DROP INDEX lane_apart", []).unwrap();
    drop(SqliteStore::open(subject.options.clone()).unwrap());
    let conn = subject.sqlite3();
    let sql = format!("EXPLAIN QUERY PLAN {SETTLED_BELOW}");
    let mut stmt = conn.prepare(&sql).unwrap();
    let steps: Vec<String> =
        stmt.query_map((0, i64::MAX), |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
    let of_lanes: Vec<_> = steps.iter().filter(|step| step.contains("lane")).collect();
    assert!(of_lanes.iter().any(|step| step.contains("lane_apart (partition=?")), "{steps:?}");
    assert!(of_lanes.iter().all(|step| step.contains("SEARCH")), "{steps:?}");
}

#[test]
fn a_schema_that_was_never_released_is_refused() {
    let mut subject = InDirectory::new(1, |_| ());
    subject.store = None;
    subject.sqlite3().execute("UPDATE meta SET value = '1' WHERE name = 'schema'", []).unwrap();
    assert!(refusal(subject.options).contains("schema 1, which no release has written"));
}

#[test]
fn a_database_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.db");
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE meta (name TEXT)").unwrap();
    drop(conn);
    let before = std::fs::read(&path).unwrap();
    assert!(refusal(Options::new(&path, 1)).contains("not a Laneway store"));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("text.db");
    std::fs::write(&path, "this is not a database, but a text that is long enough to be taken for a header".repeat(20))
        .unwrap();
    assert!(refusal(Options::new(&path, 1)).contains("text.db"));
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let what = refusal(Options::new("/nowhere/at/all/laneway.db", 1));
    assert!(what.contains("/nowhere/at/all"), "{what}");
}

/// SQLite removes a log without its database; in this one are events that were acknowledged.
#[tokio::test]
async fn a_log_without_its_database_is_refused_and_left_alone() {
    for empty in [false, true] {
        let mut subject = InDirectory::new(1, |_| ());
        append_all(subject.store(), events(100, 100)).await;
        let [log, aside, kept] = ["laneway.db-wal", "aside.db", "kept"].map(|name| subject.directory.path().join(name));
        std::fs::copy(&log, &kept).unwrap();
        std::fs::copy(subject.path(), &aside).unwrap();
        subject.store = None;
        std::fs::remove_file(subject.path()).unwrap();
        if empty {
            std::fs::write(subject.path(), "").unwrap();
        }
        std::fs::copy(&kept, &log).unwrap();
        let copied = crate::backup(&subject.path(), &kept.with_extension("db"), &subject.options.clock, |_| ());
        let [copied, checked] =
            [copied.unwrap_err(), check(&subject.path()).unwrap_err()].map(|error| error.to_string());
        for what in [refusal(subject.options.clone()), copied, checked] {
            assert!(what.contains("laneway.db is missing or empty") && what.contains("laneway.db-wal"), "{what}");
        }
        assert_eq!(std::fs::read(&log).unwrap(), std::fs::read(&kept).unwrap());
        // With its database it is what it was.
        std::fs::rename(&aside, subject.path()).unwrap();
        let store = SqliteStore::open(subject.options.clone()).unwrap();
        assert_eq!(store.bounds(P).await.unwrap().end.0, 100);
    }
}

#[test]
fn no_partition_and_too_many_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for partitions in [0, 1025] {
        assert!(refusal(Options::new(directory.path().join("x.db"), partitions)).contains("1 to 1024"));
    }
}

#[tokio::test]
async fn as_many_partitions_as_there_may_be_work() {
    let subject = InDirectory::new(1024, |_| ());
    append_all(subject.store(), events(3000, 10)).await;
    let subject = subject.reopen().await;
    let mut count = 0;
    for partition in 0..1024 {
        count += subject.store().bounds(laneway_domain::Partition(partition)).await.unwrap().end.0;
    }
    assert_eq!(count, 3000);
}

#[tokio::test]
async fn an_operator_can_read_the_tables_while_the_store_is_open() {
    let subject = InDirectory::new(2, |_| ());
    append_all(subject.store(), events(10, 5)).await;
    let conn = subject.sqlite3();
    let sql = "SELECT count(*) FROM events WHERE type = 't' AND CAST(data AS TEXT) = 'xxxxx'";
    let count: i64 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 10);
}

#[tokio::test]
async fn an_id_is_forgotten_when_its_window_is_over() {
    let subject = InDirectory::new(1, |options| options.duplicate_window = Duration::from_secs(60));
    append_all(subject.store(), (0..600).map(|n| given(&format!("old{n}"))).collect()).await;
    subject.pass(Duration::from_secs(59)).await;
    assert!(subject.store().append(vec![given("old7")]).await[0].as_ref().unwrap().duplicate);
    subject.pass(Duration::from_secs(2)).await;
    assert!(!subject.store().append(vec![given("old7")]).await[0].as_ref().unwrap().duplicate);
    assert!(subject.store().append(vec![given("old7")]).await[0].as_ref().unwrap().duplicate);
    for n in 0..3 {
        append_all(subject.store(), vec![given(&format!("new{n}"))]).await;
    }
    let kept: i64 = subject.sqlite3().query_row("SELECT count(*) FROM given_id", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 4, "old ids stay in the table");
}

fn given(id: &str) -> laneway_domain::NewEvent {
    laneway_domain::NewEvent { id_given: true, ..event(id, 1) }
}

#[tokio::test]
async fn a_whole_store_has_no_findings() {
    let subject = InDirectory::new(3, |_| ());
    append_all(subject.store(), events(100, 50)).await;
    let report = check(&subject.path()).unwrap();
    assert_eq!((report.partitions, report.events, report.findings), (3, 100, Vec::new()));
    assert_eq!(subject.store().health(), Ok(()));
    assert!(subject.store().bounds(P).await.is_ok());
}
