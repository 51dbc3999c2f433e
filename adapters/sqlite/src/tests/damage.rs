//! Rows and pages that are not what was written.

use super::{InDirectory, P, append_all, events, lease, settled};
use crate::check;
use laneway_domain::{Commit, Offset, Quarantined, Timestamp};
use laneway_ports::contract::Subject;
use laneway_ports::{
    DeadLetterQuery, DeadLetters, EventLog, HistoryBounds, HistorySize, HistoryStore, LogRecord, ProgressStore,
    StoreError,
};
use std::os::unix::fs::FileExt;

async fn records(subject: &InDirectory) -> Vec<LogRecord> {
    let (mut records, mut from) = (Vec::new(), Offset(0));
    while from < subject.store().bounds(P).await.unwrap().end {
        let chunk = subject.store().read(P, from, 10_000, usize::MAX).await.unwrap();
        assert!(chunk.next > from, "reading stands still at {from}");
        (records, from) = ([records, chunk.records].concat(), chunk.next);
    }
    records
}

fn corrupt_offsets(records: &[LogRecord]) -> Vec<u64> {
    let corrupt = |record: &&LogRecord| matches!(record, LogRecord::Corrupt { .. });
    records.iter().filter(corrupt).map(|record| record.offset().0).collect()
}

async fn damaged_by(sql: &str) -> InDirectory {
    let subject = InDirectory::new(1, |_| ());
    append_all(subject.store(), events(10, 100)).await;
    subject.reopened_after(|subject| {
        subject.sqlite3().execute_batch(sql).unwrap();
    })
}

#[tokio::test]
async fn a_changed_row_is_corrupt_and_the_rest_goes_on() {
    let changes = [
        "data = X'00'",
        "id = 'other'",
        "key = 'k'",
        "source = ''",
        "attributes = '{\"a\":\"b\"}'",
        "attributes = '{'",
        "accepted_at = accepted_at + 1",
        "accepted_at = -1",
        "crc = 0",
        "type = ''",
        "content_type = 'text/plai'",
    ];
    for change in changes {
        let subject = damaged_by(&format!("UPDATE event_0 SET {change} WHERE offset = 4")).await;
        let records = records(&subject).await;
        assert_eq!((records.len(), corrupt_offsets(&records)), (10, vec![4]), "{change}");
        let report = check(&subject.path()).unwrap();
        assert_eq!((report.events, report.findings.len()), (9, 1), "{change}: {:?}", report.findings);
        assert!(report.findings[0].contains("offset 4 of partition 0"), "{:?}", report.findings);
    }
}

#[tokio::test]
async fn a_row_moved_to_another_place_is_corrupt_and_missing_where_it_was() {
    let subject = damaged_by("UPDATE event_0 SET offset = 100 WHERE offset = 9").await;
    assert_eq!(corrupt_offsets(&records(&subject).await), [9, 100]);
}

#[tokio::test]
async fn rows_that_are_missing_are_reported_once_for_each_run() {
    let subject = damaged_by("DELETE FROM event_0 WHERE offset IN (2, 3, 4, 7)").await;
    let records = records(&subject).await;
    assert_eq!((records.len(), corrupt_offsets(&records)), (8, vec![2, 7]));
    let LogRecord::Corrupt { reason, .. } = &records[2] else { panic!("{:?}", records[2]) };
    assert!(reason.contains("the rows up to 4 are missing"), "{reason}");
    assert_eq!(check(&subject.path()).unwrap().findings.len(), 2);
}

#[tokio::test]
async fn what_was_trimmed_is_not_missing() {
    let subject =
        damaged_by("DELETE FROM event_0 WHERE offset < 4; UPDATE partition SET trimmed = 4, digest = NULL").await;
    assert_eq!(check(&subject.path()).unwrap().findings, Vec::<String>::new());
}

/// Whatever names an event that is gone: its offset is given to no other, and it is told.
#[tokio::test]
async fn no_offset_is_given_again_although_the_last_rows_are_missing() {
    let names = [
        "UPDATE partition SET scanned = 10, digest = NULL",
        "INSERT INTO lane VALUES (0, 'b', 10, NULL, NULL, 0); UPDATE partition SET digest = NULL",
        "INSERT INTO cut VALUES (0, 10, 3); UPDATE partition SET digest = NULL",
        "INSERT INTO given_id (partition, id, offset, accepted_at) VALUES (0, 'e9', 9, 1)",
        "INSERT INTO quarantine VALUES (0, 9, 'r', NULL)",
        "INSERT INTO dead_letter (partition, offset, destination, lane_key, reason, at, retry, id, type, content_type, \
         data, accepted_at, crc) SELECT 0, offset, 'a', 'all', 'r', 1, '{\"attempts\":1,\"first_failure\":1,\
         \"next_attempt\":\"Never\",\"history\":[]}', id, type, content_type, data, accepted_at, crc FROM event_0 \
         WHERE offset = 9",
    ];
    for named in names {
        let gone = "DELETE FROM event_0 WHERE offset > 6";
        let subject = damaged_by(&format!("{named}; {gone}")).await;
        let found = check(&subject.path()).unwrap().findings;
        let told = |line: &String| line.contains("offset 7 of partition 0") && line.contains("up to 9 are missing");
        assert!(found.iter().any(told), "{named}: {found:?}");
        append_all(subject.store(), events(1, 10)).await;
        assert_eq!(corrupt_offsets(&records(&subject).await), [7], "{named}");
        assert_eq!(subject.store().bounds(P).await.unwrap().end, Offset(11), "{named}");
    }
    // Without any of that, nothing says that they were there.
    let subject = damaged_by("DELETE FROM event_0 WHERE offset > 6").await;
    assert_eq!(subject.store().bounds(P).await.unwrap().end, Offset(7));
}

#[tokio::test]
async fn progress_that_is_not_what_was_stored_moves_no_offset() {
    let subject = InDirectory::new(1, |_| ());
    append_all(subject.store(), events(10, 100)).await;
    let held = lease(subject.store()).await;
    subject.store().commit(&held, &settled(4)).await.unwrap();
    let subject = subject.reopened_after(|subject| {
        subject.sqlite3().execute_batch("UPDATE partition SET scanned = scanned + (1 << 40)").unwrap();
    });
    assert_eq!(subject.store().bounds(P).await.unwrap().end, Offset(10));
}

/// An index that lacks an entry, as one is whose page was not written: a trim would go by it.
#[tokio::test]
async fn an_index_that_is_not_of_its_table_is_found_and_progress_is_not_believed() {
    let [lane, behind] = ["lane", "behind"];
    let indexes = [(lane, "lane_apart", "lane SET scanned = 9"), (behind, "behind_by_offset", "behind SET offset = 9")];
    for (table, index, change) in indexes {
        let subject = InDirectory::new(1, |_| ());
        append_all(subject.store(), events(10, 100)).await;
        let held = lease(subject.store()).await;
        let key = laneway_domain::LaneKey::parse("key:k").unwrap();
        let behind = laneway_domain::Behind { offset: Offset(2), retry: None };
        let position = Some(laneway_domain::Position::At(Offset(3)));
        let change_of_lane =
            laneway_domain::LaneChange { position, behind: [(key, Some(behind))].into(), ..Default::default() };
        let mut commit = settled(10);
        commit.lanes.insert(laneway_domain::DestinationName::new("main").unwrap(), change_of_lane);
        subject.store().commit(&held, &commit).await.unwrap();
        if table == lane {
            subject.sqlite3().execute_batch("DELETE FROM behind; UPDATE partition SET digest = NULL").unwrap();
        }
        let subject = subject.reopened_after(|subject| {
            // The index is kept up to date with what is taken back without it.
            let conn = subject.sqlite3();
            let root = |conn: &rusqlite::Connection| -> u32 {
                conn.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [index], |row| row.get(0)).unwrap()
            };
            let page = root(&conn);
            let read = |page: u32| {
                conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
                let mut bytes = vec![0; 4096];
                let file = std::fs::File::open(subject.path()).unwrap();
                file.read_exact_at(&mut bytes, (u64::from(page) - 1) * 4096).unwrap();
                bytes
            };
            let before = format!("CREATE TEMP TABLE kept AS SELECT * FROM {table}; UPDATE {change}");
            conn.execute_batch(&before).unwrap();
            let wrong = read(page);
            let back = format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM temp.kept");
            conn.execute_batch(&back).unwrap();
            drop(read(page));
            drop(conn);
            let file = std::fs::File::options().write(true).open(subject.path()).unwrap();
            file.write_all_at(&wrong, (u64::from(page) - 1) * 4096).unwrap();
        });
        let Err(StoreError::Refused { what }) = subject.store().load(P).await else { panic!("{index}") };
        assert!(what.contains("REINDEX"), "{what}");
        let found = check(&subject.path()).unwrap().findings;
        assert!(found.iter().any(|line| line.contains(index)), "{found:?}");
        let subject = subject.reopened_after(|subject| subject.sqlite3().execute_batch("REINDEX").unwrap());
        subject.store().load(P).await.unwrap();
        assert_eq!(check(&subject.path()).unwrap().findings, Vec::<String>::new());
    }
}

#[tokio::test]
async fn counts_of_history_that_cannot_be_hold_no_trim() {
    let subject = damaged_by(
        "INSERT INTO history_size VALUES (0, -1, -5);
         INSERT INTO history (partition, at, epoch, number, size, told)
         VALUES (0, 1, 1, 1, -7, X''), (0, 2, 1, 2, 9, X'')",
    )
    .await;
    assert_eq!(subject.store().history_size(P).await.unwrap(), HistorySize { records: 0, bytes: 0 });
    let bounds = HistoryBounds { since: Timestamp::from_millis(2), max_bytes: 10 };
    assert_eq!(subject.store().trim_history(P, bounds, 10).await.unwrap(), 1);
    assert_eq!(subject.store().history_size(P).await.unwrap(), HistorySize { records: 0, bytes: 0 });
}

#[tokio::test]
async fn a_quarantined_record_keeps_its_bytes() {
    let subject = damaged_by("UPDATE event_0 SET data = X'4142' WHERE offset = 4").await;
    let quarantined = vec![Quarantined { offset: Offset(4), reason: "checksum".into() }];
    let held = lease(subject.store()).await;
    subject.store().commit(&held, &Commit { quarantined, ..settled(10) }).await.unwrap();
    let kept: (i64, String, Vec<u8>) = subject
        .sqlite3()
        .query_row("SELECT offset, reason, data FROM quarantine", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    assert_eq!(kept, (4, "checksum".into(), b"AB".to_vec()));
}

#[tokio::test]
async fn a_damaged_page_hides_only_its_own_events() {
    let subject = InDirectory::new(1, |options| options.tail_bytes = 0);
    append_all(subject.store(), events(300, 500)).await;
    let subject = subject.reopened_after(|subject| {
        let conn = subject.sqlite3();
        conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let sql =
            "SELECT pageno FROM dbstat WHERE name = 'event_0' AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 5";
        let page: u64 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        drop(conn);
        let file = std::fs::File::options().write(true).open(subject.path()).unwrap();
        file.write_all_at(&[0xFF; 4096], (page - 1) * 4096).unwrap();
    });
    let mut found = Vec::new();
    let mut from = Offset(0);
    while from < Offset(300) {
        let chunk = subject.store().read(P, from, 64, usize::MAX).await.unwrap();
        assert!(chunk.next > from);
        from = chunk.next;
        found.extend(chunk.records);
    }
    let corrupt = corrupt_offsets(&found);
    assert_eq!(found.len(), 300);
    assert!((1..=10).contains(&corrupt.len()), "{corrupt:?}");
    assert!(!check(&subject.path()).unwrap().findings.is_empty());
    append_all(subject.store(), events(5, 10)).await;
}

#[tokio::test]
async fn an_unreadable_row_of_progress_is_an_error_that_names_it() {
    let cases = [
        ("INSERT INTO behind VALUES (0, 'a', 'what is this', 1, NULL)", "behind"),
        ("INSERT INTO behind VALUES (0, 'a', 'all', 1, '{\"attempts\":')", "key all"),
        ("INSERT INTO lane VALUES (0, 'NOT A NAME', NULL, NULL, NULL, 0)", "lane"),
    ];
    for (sql, named) in cases {
        let subject = InDirectory::new(1, |_| ());
        append_all(subject.store(), events(3, 10)).await;
        let held = lease(subject.store()).await;
        subject.store().commit(&held, &settled(1)).await.unwrap();
        subject.sqlite3().execute_batch(sql).unwrap();
        let result = subject.store().load(P).await;
        assert!(matches!(&result, Err(StoreError::Refused { what }) if what.contains(named)), "{result:?}");
        append_all(subject.store(), events(1, 10)).await;
    }
}

#[tokio::test]
async fn an_unreadable_dead_letter_is_left_out_and_found_by_a_check() {
    let subject = damaged_by(
        "INSERT INTO dead_letter (partition, offset, destination, lane_key, reason, at, retry, id, type, content_type, \
         data, accepted_at, crc) VALUES (0, 1, 'a', 'all', 'r', 1, 'nonsense', 'e', 't', 'c', X'', 1, 1)",
    )
    .await;
    let query = DeadLetterQuery { most: 10, ..DeadLetterQuery::default() };
    assert_eq!(subject.store().list(&query).await.unwrap(), []);
    assert_eq!(subject.store().counts().await.unwrap()[0].count, 1);
    let findings = check(&subject.path()).unwrap().findings;
    assert!(findings.iter().any(|finding| finding.contains("row 1 of table dead_letter")), "{findings:?}");
}

#[tokio::test]
async fn progress_that_is_not_what_was_stored_is_refused_until_somebody_vouches_for_it() {
    let changes = [
        "UPDATE partition SET scanned = scanned + 1",
        "UPDATE partition SET trimmed = 3",
        "UPDATE lane SET destination = 'b' WHERE destination = 'a'",
        "UPDATE lane SET scanned = 7",
        "DELETE FROM lane WHERE destination = 'a'",
        "UPDATE behind SET offset = 5",
        "UPDATE behind SET key = 'key:other'",
        "DELETE FROM behind",
        "UPDATE lane SET born = 6 WHERE destination = 'main'",
        "UPDATE lane SET born = 6 WHERE destination = 'a'",
        "UPDATE cut SET revision = 8",
        "UPDATE cut SET at = 4",
        "DELETE FROM cut",
    ];
    for change in changes {
        let subject = InDirectory::new(1, |_| ());
        append_all(subject.store(), events(10, 100)).await;
        let held = lease(subject.store()).await;
        let key = laneway_domain::LaneKey::parse("key:k").unwrap();
        let behind = laneway_domain::Behind { offset: Offset(2), retry: None };
        let born = Some(laneway_domain::Revision(5));
        let lane = laneway_domain::LaneChange { born, behind: [(key, Some(behind))].into(), ..Default::default() };
        let name = laneway_domain::DestinationName::new("main").unwrap();
        let mut commit = settled(4);
        commit.lanes.insert(name, lane);
        commit.cut = Some(laneway_domain::Cut { revision: laneway_domain::Revision(7), at: Offset(3) });
        subject.store().commit(&held, &commit).await.unwrap();
        assert!(subject.store().load(P).await.is_ok(), "{change}");
        subject.sqlite3().execute_batch(change).unwrap();
        let Err(StoreError::Refused { what }) = subject.store().load(P).await else { panic!("{change}") };
        assert!(what.contains("checksum over the progress") && what.contains("digest = NULL"), "{what}");
        assert_eq!(check(&subject.path()).unwrap().findings.len(), 1, "{change}");
        subject.sqlite3().execute_batch("UPDATE partition SET digest = NULL").unwrap();
        assert!(subject.store().load(P).await.is_ok(), "{change}: somebody has vouched for it");
    }
}
