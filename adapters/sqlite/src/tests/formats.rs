//! Files as earlier code has written them (`tests/formats`): opened as they are, and gone on with.

#[allow(dead_code, reason = "the part that writes such files is not used here")]
#[path = "../../examples/sqlite_formats.rs"]
mod written;

use super::{append_all, event};
use crate::{SqliteStore, check};
use laneway_domain::{NewEvent, Partition};
use laneway_ports::{EventLog, ProgressStore, WorkerId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tempfile::TempDir;

/// A minute after the last event of those files.
const LATER: u64 = 1_700_000_000_000 + 108_000;

/// A folder for each schema that there ever was.
fn folders() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/formats");
    let mut found: Vec<PathBuf> = std::fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("sqlite-"));
    found.sort();
    assert!(!found.is_empty());
    found
}

/// A copy of each of the files: nobody writes to the files themselves.
fn copies() -> Vec<(String, PathBuf, TempDir)> {
    let mut copies = Vec::new();
    for folder in folders() {
        for name in ["closed.db", "killed.db"] {
            let directory = TempDir::new().unwrap();
            let path = directory.path().join(name);
            std::fs::copy(folder.join(name), &path).unwrap();
            let log = format!("{name}-wal");
            if folder.join(&log).exists() {
                std::fs::copy(folder.join(&log), directory.path().join(&log)).unwrap();
            }
            copies.push((format!("{}/{name}", folder.display()), path, directory));
        }
    }
    copies
}

fn opened(path: &Path) -> SqliteStore {
    SqliteStore::open(written::options(path, &Arc::new(AtomicU64::new(LATER)))).unwrap()
}

#[tokio::test]
async fn what_earlier_code_has_written_is_read_as_it_was() {
    for (name, path, _directory) in copies() {
        let folder = Path::new(&name).parent().unwrap();
        let expected: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("content.json")).unwrap()).unwrap();
        // Again after a restart: what was changed on opening is read as well.
        for _ in 0..2 {
            let found = written::content(&opened(&path)).await.unwrap();
            assert_eq!(found, expected, "{name}");
        }
    }
}

#[tokio::test]
async fn a_check_finds_in_an_earlier_file_what_was_damaged_and_no_more() {
    for (name, path, _directory) in copies() {
        for opened_before in [false, true] {
            let report = check(&path).unwrap();
            assert_eq!((report.partitions, report.events), (2, 40), "{name}, opened: {opened_before}");
            assert_eq!(report.findings.len(), 4, "{name}, opened: {opened_before}: {:?}", report.findings);
            drop(opened(&path));
        }
    }
}

#[tokio::test]
async fn an_earlier_file_goes_on_behind_its_last_event_and_knows_its_ids() {
    for (name, path, _directory) in copies() {
        let store = opened(&path);
        let before: Vec<u64> = ends(&store).await;
        let again = NewEvent { id_given: true, ..event("evt_0", 1) };
        let duplicate = store.append(vec![again]).await.remove(0).unwrap();
        // Its id alone is what it was remembered by: it has no key and no source.
        assert!(duplicate.duplicate, "{name}");
        append_all(&store, (0..20).map(|n| event(&format!("new-{n}"), 10)).collect()).await;
        let after = ends(&store).await;
        assert_eq!(after.iter().sum::<u64>(), before.iter().sum::<u64>() + 20, "{name}");
        for (index, end) in (0..).zip(before) {
            let chunk = store.read(Partition(index), laneway_domain::Offset(end), 100, usize::MAX).await.unwrap();
            assert_eq!(chunk.records.first().unwrap().offset().0, end, "{name}");
        }
        let lease = store.claim(Partition(0), &WorkerId("next".into()), Duration::from_secs(9)).await.unwrap().unwrap();
        assert_eq!(lease.epoch, 2, "{name}");
    }
}

async fn ends(store: &SqliteStore) -> Vec<u64> {
    let mut ends = Vec::new();
    for partition in (0..store.partitions()).map(Partition) {
        ends.push(store.bounds(partition).await.unwrap().end.0);
    }
    ends
}
