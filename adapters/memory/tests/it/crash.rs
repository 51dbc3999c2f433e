//! What a crash takes, what it leaves, and that each sabotage is noticed by the contract.

use async_trait::async_trait;
use bytes::Bytes;
use laneway_domain::{Event, EventId, EventType, NewEvent, Offset, Partition};
use laneway_memory::{Call, Disk, Fault, Faults, MemoryStore, Sabotage, Settings};
use laneway_ports::contract::{Subject, event_log, progress_store, trim};
use laneway_ports::{EventLog, StoreError};
use std::sync::Arc;
use std::time::Duration;

const P: Partition = Partition(0);

fn events(count: usize) -> Vec<NewEvent> {
    let event = |n| Event {
        content_type: "text/plain".into(),
        ..Event::new(EventId::new(&format!("e{n}")).unwrap(), EventType::new("t").unwrap(), Bytes::new())
    };
    (0..count).map(|n| NewEvent { event: event(n), id_given: true }).collect()
}

struct Slow;

impl Faults for Slow {
    fn sync_delay(&self) -> Duration {
        Duration::from_millis(10)
    }
}

fn with(faults: impl Faults + 'static) -> Settings {
    Settings { faults: Some(Arc::new(faults)), ..Settings::default() }
}

/// Begins to append `count` events, crashes after `after`, keeping `keep` writes; returns what the
/// next store finds, and what the producer was told.
async fn crash(count: usize, after: Duration, keep: usize) -> (u64, Vec<bool>) {
    let disk = Disk::new(1);
    let store = Arc::new(MemoryStore::open(disk.clone(), with(Slow)));
    let appending = tokio::spawn({
        let store = store.clone();
        async move { store.append(events(count)).await }
    });
    tokio::time::sleep(after).await;
    store.crash(keep);
    let told = appending.await.unwrap().iter().map(Result::is_ok).collect();
    let end = MemoryStore::open(disk, Settings::default()).bounds(P).await.unwrap().end;
    (end.0, told)
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_the_sync_loses_what_was_not_acknowledged() {
    assert_eq!(crash(3, Duration::from_millis(5), 0).await, (0, vec![false; 3]));
}

#[tokio::test(start_paused = true)]
async fn a_crash_can_tear_an_append_and_nobody_is_told() {
    assert_eq!(crash(3, Duration::from_millis(5), 2).await, (2, vec![false; 3]));
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_the_sync_loses_nothing() {
    assert_eq!(crash(3, Duration::from_millis(15), 0).await, (3, vec![true; 3]));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_growth_learns_of_the_crash() {
    let store = Arc::new(MemoryStore::open(Disk::new(1), Settings::default()));
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.grown(P, Offset(0)).await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    store.crash(0);
    assert!(matches!(waiting.await.unwrap(), Err(StoreError::Unknown { .. })));
}

struct Failing(Fault);

impl Faults for Failing {
    fn fault(&self, call: Call) -> Option<Fault> {
        matches!(call, Call::Append { .. }).then_some(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn an_injected_fault_does_what_it_says_and_its_answer_is_never_yes() {
    let cases = [
        (Fault::No, 0),
        (Fault::RetryLater, 0),
        (Fault::Unknown { happened: false }, 0),
        (Fault::Unknown { happened: true }, 2),
    ];
    for (fault, stored) in cases {
        let store = MemoryStore::open(Disk::new(1), with(Failing(fault)));
        assert!(store.append(events(2)).await.iter().all(Result::is_err), "{fault:?}");
        assert_eq!(store.bounds(P).await.unwrap().end, Offset(stored), "{fault:?}");
    }
}

/// A store that is broken in one way, as the contract sees it.
struct Broken<const N: usize>(MemoryStore);

const ALL: [Sabotage; 5] =
    [Sabotage::NoSync, Sabotage::TrimAnything, Sabotage::NoFence, Sabotage::NoDedupe, Sabotage::ForgetBehind];

#[async_trait]
impl<const N: usize> Subject for Broken<N> {
    type Store = MemoryStore;

    async fn create(partitions: u32) -> Self {
        let settings = Settings { sabotage: Some(ALL[N]), ..Settings::default() };
        Self(MemoryStore::open(Disk::new(partitions), settings))
    }

    fn store(&self) -> &MemoryStore {
        &self.0
    }

    async fn reopen(self) -> Self {
        self.0.crash(0);
        let settings = Settings { sabotage: Some(ALL[N]), ..Settings::default() };
        Self(MemoryStore::open(self.0.disk().clone(), settings))
    }

    async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "left")]
async fn the_contract_notices_a_store_that_does_not_sync() {
    event_log::what_was_acknowledged_is_there_after_a_reopen::<Broken<0>>().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "left")]
async fn the_contract_notices_a_store_that_trims_anything() {
    trim::a_key_that_is_behind_holds_the_trim::<Broken<1>>().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "not fenced")]
async fn the_contract_notices_a_store_that_does_not_fence() {
    progress_store::a_stale_lease_commits_nothing::<Broken<2>>().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "left")]
async fn the_contract_notices_a_store_that_forgets_ids() {
    event_log::a_given_id_sent_again_is_answered_with_the_first_place::<Broken<3>>().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "left")]
async fn the_contract_notices_a_store_that_forgets_the_keys_behind() {
    progress_store::a_commit_is_there_after_a_reopen::<Broken<4>>().await;
}
