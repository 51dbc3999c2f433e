//! Backups of stores in use, and what becomes of offsets when one is put in place.

use super::{InDirectory, P, REPLACE, append_all, event, events, lease, settled};
use crate::{Options, RestoreOptions, SqliteStore, backup, check, restore};
use laneway_domain::{NewEvent, Offset};
use laneway_ports::contract::Subject;
use laneway_ports::{EventLog, LogRecord, ProgressStore, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn file(subject: &InDirectory, name: &str) -> PathBuf {
    subject.directory.path().join(name)
}

fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    match result {
        Err(StoreError::Refused { what }) => what,
        other => panic!("not refused: {other:?}"),
    }
}

/// A store with a clock that restores can go by: the others' shows 2023.
fn store(partitions: u32) -> InDirectory {
    let subject = InDirectory::new(partitions, |options| options.tail_bytes = 0);
    subject.clock.store(1_790_000_000_000, Ordering::SeqCst);
    subject
}

/// Makes the store out of the backup, while no process has it open.
fn restored(mut subject: InDirectory, from: &Path) -> (InDirectory, crate::Restored) {
    subject.store = None;
    subject.clock.fetch_add(1000, Ordering::SeqCst);
    let made = restore(from, &subject.path(), REPLACE, &subject.options.clock, |_| ()).unwrap();
    subject.store = Some(SqliteStore::open(subject.options.clone()).unwrap());
    (subject, made)
}

async fn all(store: &SqliteStore) -> Vec<(u64, String)> {
    let (mut found, mut from) = (Vec::new(), Offset::ZERO);
    let end = store.bounds(P).await.unwrap().end;
    while from < end {
        let chunk = store.read(P, from, 3, usize::MAX).await.unwrap();
        assert!(chunk.next > from, "reading stands still at {from}");
        for record in &chunk.records {
            let LogRecord::Event(event) = record else { panic!("{record:?}") };
            found.push((event.offset.0, event.event.id.to_string()));
        }
        from = chunk.next;
    }
    found
}

#[tokio::test]
async fn a_backup_of_a_store_that_is_written_to_holds_all_that_was_acknowledged_before_it_began() {
    let subject = store(2);
    append_all(subject.store(), events(3000, 400)).await;
    let store = Arc::new(subject.store.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move {
            let mut written = 0_u64;
            while !stop.load(Ordering::SeqCst) {
                append_all(&store, events(20, 400)).await;
                written += 20;
            }
            written
        }
    });
    for n in 0..5 {
        let mut before = 0;
        for partition in [P, laneway_domain::Partition(1)] {
            before += store.bounds(partition).await.unwrap().end.0;
        }
        let to = subject.directory.path().join(format!("{n}.backup"));
        let (path, clock, copy) = (subject.options.path.clone(), subject.options.clock.clone(), to.clone());
        let making = tokio::task::spawn_blocking(move || backup(&path, &copy, &clock, |_| ()));
        let report = making.await.unwrap().unwrap();
        assert_eq!(report.findings, Vec::<String>::new());
        assert!(report.events >= before, "{} of {before}", report.events);
        assert!(!to.with_extension("backup-wal").exists());
    }
    stop.store(true, Ordering::SeqCst);
    assert!(writing.await.unwrap() > 0, "nothing was written meanwhile");
}

#[tokio::test]
async fn a_backup_is_not_opened_as_a_store_and_nothing_is_written_over() {
    let mut subject = store(1);
    append_all(subject.store(), events(5, 10)).await;
    let copy = file(&subject, "copy.db");
    backup(&subject.path(), &copy, &subject.options.clock, |_| ()).unwrap();
    assert_eq!(check(&copy).unwrap().events, 5);
    let what = refused(SqliteStore::open(Options::new(&copy, 1)));
    assert!(what.contains("is a backup") && what.contains("laneway restore"), "{what}");
    let before = std::fs::read(&copy).unwrap();
    let what = refused(backup(&subject.path(), &copy, &subject.options.clock, |_| ()));
    assert!(what.contains("is there already"), "{what}");
    let what = refused(restore(&copy, &subject.path(), REPLACE, &subject.options.clock, |_| ()));
    assert!(what.contains("in use by process"), "{what}");
    subject.store = None;
    let what = refused(restore(&copy, &subject.path(), RestoreOptions::default(), &subject.options.clock, |_| ()));
    assert!(what.contains("there is a store at"), "{what}");
    assert_eq!(std::fs::read(&copy).unwrap(), before);
    let names: Vec<_> = std::fs::read_dir(subject.directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("unfinished")), "{names:?}");
}

#[tokio::test]
async fn what_cannot_be_a_backup_is_refused_and_leaves_everything_as_it_was() {
    let mut subject = store(1);
    append_all(subject.store(), events(5, 10)).await;
    subject.store = None;
    let text = file(&subject, "text");
    std::fs::write(&text, "no database at all, but long enough to be taken for one ".repeat(40)).unwrap();
    let clock_of_1970 = crate::Clock::new(|| laneway_domain::Timestamp::from_millis(5));
    let good = file(&subject, "good.db");
    backup(&subject.path(), &good, &subject.options.clock, |_| ()).unwrap();
    let before = crate::Clock::new(|| laneway_domain::Timestamp::from_millis(1_789_999_999_999));
    for (from, clock, said) in [
        (&good, &before, "the backup was made at"),
        (&text, &subject.options.clock, "text"),
        (&file(&subject, "nowhere"), &subject.options.clock, "nowhere"),
        (&good, &clock_of_1970, "clock shows"),
    ] {
        let error = restore(from, &subject.path(), REPLACE, clock, |_| ()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let store = SqliteStore::open(subject.options.clone()).unwrap();
    append_all(&store, events(1, 10)).await;
    assert_eq!(all(&store).await.len(), 6);
}

#[tokio::test]
async fn no_offset_is_given_twice_over_restores_of_one_backup_and_reading_goes_over_the_leaps() {
    let subject = store(1);
    append_all(subject.store(), events(4, 10)).await;
    let held = lease(subject.store()).await;
    subject.store().commit(&held, &settled(3)).await.unwrap();
    let copy = file(&subject, "copy.db");
    backup(&subject.path(), &copy, &subject.options.clock, |_| ()).unwrap();
    // What is lost by going back, and what receivers remember.
    append_all(subject.store(), (0..3).map(|n| event(&format!("lost-{n}"), 10)).collect()).await;
    let mut given_out: Vec<u64> = all(subject.store()).await.into_iter().map(|(offset, _)| offset).collect();
    let mut subject = subject;
    for round in 0..3 {
        let (next, made) = restored(subject, &copy);
        subject = next;
        assert_eq!(made.backed_up_at.unwrap().as_millis(), 1_790_000_000_000);
        assert!(made.replaced.unwrap().exists());
        assert_eq!(all(subject.store()).await.len(), 4, "what the backup held, at its old offsets");
        assert_eq!(subject.store().load(P).await.unwrap().scanned, Offset(3));
        append_all(subject.store(), (0..5).map(|n| event(&format!("new-{round}-{n}"), 10)).collect()).await;
        let found = all(subject.store()).await;
        let new: Vec<u64> = found.iter().skip(4).map(|(offset, _)| *offset).collect();
        assert_eq!(new, (0..5).map(|n| made.goes_on_at.0 + n).collect::<Vec<_>>());
        assert!(new[0] > *given_out.iter().max().unwrap(), "round {round}: {new:?} after {given_out:?}");
        given_out.extend(new);
        assert_eq!(check(&subject.path()).unwrap().findings, Vec::<String>::new());
        // Everything goes on: progress over the leap, and the trim up to it.
        let held = lease(subject.store()).await;
        subject.store().commit(&held, &settled(made.goes_on_at.0 + 2)).await.unwrap();
        assert_eq!(subject.store().trim(P, laneway_domain::Timestamp::MAX, 100).await.unwrap(), 6);
        subject = subject.reopened_after(|_| ());
        assert_eq!(subject.store().bounds(P).await.unwrap().start.0, made.goes_on_at.0 + 2);
        assert_eq!(all(subject.store()).await.len(), 3);
    }
}

#[tokio::test]
async fn a_backup_of_a_restored_store_goes_on_above_it_also_when_nothing_came_between() {
    let subject = store(1);
    append_all(subject.store(), events(4, 10)).await;
    let first = file(&subject, "first.db");
    backup(&subject.path(), &first, &subject.options.clock, |_| ()).unwrap();
    let (subject, one) = restored(subject, &first);
    let second = file(&subject, "second.db");
    backup(&subject.path(), &second, &subject.options.clock, |_| ()).unwrap();
    let (subject, two) = restored(subject, &second);
    assert!(two.goes_on_at > one.goes_on_at);
    assert_eq!(subject.store().bounds(P).await.unwrap().end, two.goes_on_at);
    assert_eq!(all(subject.store()).await.len(), 4);
    append_all(subject.store(), events(1, 10)).await;
    assert_eq!(all(subject.store()).await.last().unwrap().0, two.goes_on_at.0);
}

#[tokio::test]
async fn a_clock_that_was_set_back_gives_no_offset_of_the_store_that_is_replaced() {
    let subject = store(1);
    append_all(subject.store(), events(2, 10)).await;
    let copy = file(&subject, "copy.db");
    backup(&subject.path(), &copy, &subject.options.clock, |_| ()).unwrap();
    subject.clock.fetch_add(7_200_000, Ordering::SeqCst);
    let (subject, ahead) = restored(subject, &copy);
    append_all(subject.store(), events(2, 10)).await;
    subject.clock.fetch_sub(3_600_000, Ordering::SeqCst);
    let (subject, behind) = restored(subject, &copy);
    assert!(behind.goes_on_at.0 > ahead.goes_on_at.0 + 2);
    append_all(subject.store(), events(2, 10)).await;
    assert_eq!(all(subject.store()).await.len(), 4);
}

#[tokio::test]
async fn damage_beside_a_leap_is_still_found_and_the_leap_is_no_damage() {
    let subject = store(1);
    append_all(subject.store(), events(4, 10)).await;
    let copy = file(&subject, "copy.db");
    backup(&subject.path(), &copy, &subject.options.clock, |_| ()).unwrap();
    let (subject, made) = restored(subject, &copy);
    append_all(subject.store(), events(4, 10)).await;
    let base = made.goes_on_at.0;
    for (gone, found) in [
        (vec![3], vec![(3, 4)]),
        (vec![3, base], vec![(3, 4), (base, base + 1)]),
        (vec![3, base, base + 3], vec![(3, 4), (base, base + 1), (base + 3, base + 4)]),
    ] {
        let list: Vec<String> = gone.iter().map(ToString::to_string).collect();
        let deleted = format!("DELETE FROM event_0 WHERE offset IN ({})", list.join(","));
        subject.sqlite3().execute_batch(&deleted).unwrap();
        let (mut corrupt, mut from) = (Vec::new(), Offset::ZERO);
        while from < Offset(base + 4) {
            let chunk = subject.store().read(P, from, 100, usize::MAX).await.unwrap();
            for record in chunk.records.iter().filter(|record| matches!(record, LogRecord::Corrupt { .. })) {
                corrupt.push(record.offset().0);
            }
            assert!(chunk.next > from);
            from = chunk.next;
        }
        assert_eq!(corrupt, found.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), "{gone:?}");
    }
}

#[tokio::test]
async fn an_id_of_the_backup_is_still_known_after_it_was_put_in_place() {
    let subject = store(1);
    append_all(subject.store(), vec![NewEvent { id_given: true, ..event("given", 1) }]).await;
    let copy = file(&subject, "copy.db");
    backup(&subject.path(), &copy, &subject.options.clock, |_| ()).unwrap();
    let (subject, _) = restored(subject, &copy);
    subject.pass(Duration::from_secs(1)).await;
    let again = subject.store().append(vec![NewEvent { id_given: true, ..event("given", 1) }]).await.remove(0).unwrap();
    assert!(again.duplicate && again.offset == Offset(0), "{again:?}");
}

/// A Laneway was killed, so that its log is there, and somebody has moved the damaged database away.
#[tokio::test]
async fn a_log_that_was_left_without_its_database_is_kept_and_not_put_over_the_backup() {
    for empty in [false, true] {
        let mut subject = store(1);
        append_all(subject.store(), events(3, 10)).await;
        let copy = file(&subject, "copy.db");
        backup(&subject.path(), &copy, &subject.options.clock, |_| ()).unwrap();
        append_all(subject.store(), (0..200).map(|n| event(&format!("later{n}"), 100)).collect()).await;
        let [log, kept] = ["laneway.db-wal", "kept"].map(|name| file(&subject, name));
        std::fs::copy(&log, &kept).unwrap();
        subject.store = None;
        std::fs::remove_file(subject.path()).unwrap();
        std::fs::copy(&kept, &log).unwrap();
        if empty {
            std::fs::write(subject.path(), "").unwrap();
        }
        let (subject, made) = restored(subject, &copy);
        let log = made.log_alone.unwrap();
        assert_eq!((made.replaced.is_some(), std::fs::read(log).unwrap()), (empty, std::fs::read(kept).unwrap()));
        let found: Vec<String> = all(subject.store()).await.into_iter().map(|(_, id)| id).collect();
        assert_eq!(found, ["e0", "e1", "e2"]);
        let generations = "SELECT count(*) FROM generation";
        assert_eq!(subject.sqlite3().query_row(generations, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
        append_all(subject.store(), events(1, 10)).await;
        assert_eq!(all(subject.store()).await.last().unwrap().0, made.goes_on_at.0);
        assert_eq!(check(&subject.path()).unwrap().findings, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_damaged_backup_is_put_in_place_only_if_it_is_said() {
    let mut subject = store(1);
    append_all(subject.store(), events(5, 10)).await;
    let copy = file(&subject, "copy.db");
    backup(&subject.path(), &copy, &subject.options.clock, |_| ()).unwrap();
    let conn = rusqlite::Connection::open(&copy).unwrap();
    conn.execute_batch("UPDATE event_0 SET data = X'00' WHERE offset = 3").unwrap();
    drop(conn);
    append_all(subject.store(), events(1, 10)).await;
    subject.store = None;
    let why = refused(restore(&copy, &subject.path(), REPLACE, &subject.options.clock, |_| ()));
    assert!(why.contains("copy.db is damaged") && why.contains("offset 3 of partition 0"), "{why}");
    assert!(why.contains("--damaged"), "{why}");
    let subject = subject.reopened_after(|_| ());
    assert_eq!(all(subject.store()).await.len(), 6, "everything is as it was");
    let mut subject = subject;
    subject.store = None;
    let damaged = RestoreOptions { damaged: true, ..REPLACE };
    let made = restore(&copy, &subject.path(), damaged, &subject.options.clock, |_| ()).unwrap();
    assert_eq!(made.findings.len(), 1, "{:?}", made.findings);
    assert_eq!(check(&subject.path()).unwrap().events, 4);
}

/// A process that was killed leaves a file, and in a container the next one has its number again.
#[tokio::test]
async fn what_an_interrupted_copy_has_left_is_removed_by_the_next_one_and_stands_in_nobodys_way() {
    let mut subject = store(1);
    append_all(subject.store(), events(5, 10)).await;
    let copy = file(&subject, "copy.db");
    let left = |of: &str, name: &str| {
        let path = file(&subject, &format!("{of}.{name}.unfinished"));
        std::fs::write(&path, "half a copy").unwrap();
        path
    };
    let by_number = left("copy.db", &std::process::id().to_string());
    let [of_backup, of_restore, of_another] =
        ["copy.db", "laneway.db", "other.db"].map(|of| left(of, "0123456789abcdef"));
    let [held, journal] = [left("copy.db", "fedcba9876543210"), left("copy.db", "0123456789abcdef")];
    let journal = {
        let mut name = journal.into_os_string();
        name.push("-journal");
        PathBuf::from(name)
    };
    std::fs::write(&journal, "of it").unwrap();
    let holding = std::fs::File::open(&held).unwrap();
    holding.try_lock().unwrap();
    backup(&subject.path(), &copy, &subject.options.clock, |_| ()).unwrap();
    assert_eq!([&of_backup, &journal, &of_restore, &of_another].map(|path| path.exists()), [false, false, true, true]);
    assert!(held.exists(), "somebody writes it");
    assert!(by_number.exists(), "an earlier release may write it");
    subject.store = None;
    restore(&copy, &subject.path(), REPLACE, &subject.options.clock, |_| ()).unwrap();
    assert!(!of_restore.exists());
}

#[tokio::test]
async fn no_backup_is_made_beside_the_log_of_another_database() {
    let subject = store(1);
    for ending in ["-wal", "-shm", "-journal"] {
        let other = file(&subject, &format!("copy.db{ending}"));
        std::fs::write(&other, "of another").unwrap();
        let why = refused(backup(&subject.path(), &file(&subject, "copy.db"), &subject.options.clock, |_| ()));
        assert!(why.contains(&format!("copy.db{ending} is there")), "{why}");
        std::fs::remove_file(other).unwrap();
    }
}

#[test]
fn what_is_no_backup_is_told_from_a_store_that_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let [letter, store] = ["letter.txt", "store.db"].map(|name| folder.path().join(name));
    std::fs::write(&letter, "dear operator,\nthis is a letter").unwrap();
    let why = refused(restore(&letter, &store, RestoreOptions::default(), &crate::Clock::system(), |_| ()));
    assert!(why.contains("is no backup that this store can be made from"), "{why}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1, "not even a lock is left");
}

#[test]
fn what_is_not_there_is_neither_copied_nor_made() {
    let folder = tempfile::tempdir().unwrap();
    let [nowhere, other] = ["nowhere.db", "other.db"].map(|name| folder.path().join(name));
    let clock = crate::Clock::system();
    let why = refused(backup(&nowhere, &other, &clock, |_| ()));
    assert!(why.starts_with(&format!("there is no store at {}", nowhere.display())), "{why}");
    let why = refused(restore(&nowhere, &other, RestoreOptions::default(), &clock, |_| ()));
    assert!(why.starts_with(&format!("there is no backup at {}", nowhere.display())), "{why}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "not even a lock is left");
}
