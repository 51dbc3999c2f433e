use super::*;
use laneway_domain::{BlockedKey, DestinationName, DestinationStatus, Offset, Timestamp};
use laneway_memory::{Call, Disk, Fault, Faults, MemoryStore, Settings};
use std::sync::Arc;

fn worker(name: &str) -> WorkerId {
    WorkerId(name.to_owned())
}

fn destination(n: usize, blocked: usize, error_bytes: usize) -> DestinationStatus {
    let key = |key: usize| BlockedKey {
        key: format!("key:k{key}"),
        partition: Partition(0),
        head: Offset(3),
        attempts: 1,
        since: Timestamp::ZERO,
        next_attempt: None,
        last_error: "x".repeat(error_bytes),
    };
    DestinationStatus {
        pending: 1,
        blocked_keys: blocked as u64,
        blocked: (0..blocked).map(key).collect(),
        ..DestinationStatus::idle(DestinationName::new(&format!("d{n}")).unwrap(), true)
    }
}

fn status(at: u64, partitions: &[u32], destinations: Vec<DestinationStatus>) -> StatusReport {
    let partitions = partitions.iter().copied().map(Partition).collect();
    StatusReport { at: Timestamp::from_millis(at), partitions, destinations, ..StatusReport::default() }
}

fn store(settings: Settings) -> MemoryStore {
    MemoryStore::open(Disk::new(4), settings)
}

#[test]
fn a_status_that_is_too_long_is_shortened_and_says_so() {
    let long = status(1, &[0], (0..1000).map(|n| destination(n, 100, 200)).collect());
    let text = encode(&long);
    assert!(text.len() <= MAX_REPORT_BYTES, "{} bytes", text.len());
    let read: StatusReport = serde_json::from_str(&text).unwrap();
    assert_eq!(read.destinations.len(), 1000);
    assert!(read.destinations.iter().all(|d| d.blocked_keys == 100 && !d.blocked.is_empty()));
    assert_eq!((read.incomplete.len(), read.lacks_numbers), (1, false), "{:?}", read.incomplete);
}

#[test]
fn of_more_destinations_than_fit_some_are_listed() {
    let long = status(1, &[0], (0..40_000).map(|n| destination(n, 0, 0)).collect());
    let text = encode(&long);
    assert!(text.len() <= MAX_REPORT_BYTES, "{} bytes", text.len());
    let read: StatusReport = serde_json::from_str(&text).unwrap();
    assert!(!read.destinations.is_empty());
    assert!(read.incomplete[0].contains("of its 40000 destinations"), "{:?}", read.incomplete);
    assert!(read.lacks_numbers);
}

#[tokio::test]
async fn every_process_sees_what_all_workers_say_and_its_own_is_the_newest() {
    let store = store(Settings::default());
    for (name, partitions) in [("a", &[0, 1][..]), ("b", &[2]), ("c", &[])] {
        store.announce(&worker(name), Duration::from_secs(60)).await.unwrap();
        if name != "c" {
            let report = status(1, partitions, vec![destination(0, 0, 0)]);
            LastReport::default().update(&store, &worker(name), report).await;
        }
    }
    let seen = status_of_all(&store, 4, None).await.unwrap();
    let who: Vec<_> = seen.workers.iter().map(|worker| (worker.worker.as_str(), worker.partitions.len())).collect();
    assert_eq!(who, [("a", 2), ("b", 1)]);
    assert_eq!(seen.destinations[0].pending, 2);
    assert_eq!(
        seen.incomplete,
        ["worker c has not reported its status yet", "partition 3 is worked on by no worker that has said so"]
    );
    let own = status(9, &[2, 3], vec![destination(0, 0, 0), destination(1, 0, 0)]);
    let seen = status_of_all(&store, 4, Some((worker("b"), own.clone()))).await.unwrap();
    assert_eq!((seen.at, seen.destinations.len()), (Timestamp::from_millis(9), 2));
    assert_eq!(
        (seen.incomplete.as_slice(), seen.lacks_numbers),
        (&["worker c has not reported its status yet".to_owned()][..], true)
    );
    // Its first report is on its way.
    let seen = status_of_all(&store, 4, Some((worker("c"), own))).await.unwrap();
    assert_eq!((seen.workers.len(), seen.incomplete.len(), seen.lacks_numbers), (3, 0, false));
}

struct NoRegister;

impl Faults for NoRegister {
    fn fault(&self, call: Call) -> Option<Fault> {
        (call == Call::Register).then_some(Fault::RetryLater)
    }
}

#[tokio::test]
async fn without_the_register_a_worker_tells_of_itself_and_that_more_is_missing() {
    let store = store(Settings { faults: Some(Arc::new(NoRegister)), ..Settings::default() });
    let own = status(9, &[0, 1, 2, 3], vec![]);
    let seen = status_of_all(&store, 4, Some((worker("a"), own))).await.unwrap();
    assert_eq!(seen.workers.len(), 1);
    assert!(seen.incomplete[0].starts_with("the other workers: ") && seen.lacks_numbers, "{:?}", seen.incomplete);
    assert!(status_of_all(&store, 4, None).await.is_err());
}

#[tokio::test]
async fn an_unchanged_status_is_left_again_only_now_and_then() {
    let store = store(Settings::default());
    store.announce(&worker("a"), Duration::from_secs(600)).await.unwrap();
    let mut last = LastReport::default();
    let mut written = Vec::new();
    for at in 0..14 {
        last.update(&store, &worker("a"), status(at, &[0], vec![])).await;
        let report = store.present().await.unwrap().remove(0).report;
        written.push(serde_json::from_str::<StatusReport>(&report).unwrap().at.as_millis());
    }
    assert_eq!(written, [0, 0, 0, 0, 0, 0, 6, 6, 6, 6, 6, 6, 12, 12]);
    last.update(&store, &worker("a"), status(99, &[0, 1], vec![])).await;
    assert!(store.present().await.unwrap()[0].report.contains("\"at\":99"), "what has changed is left at once");
}
