//! A clock that was wrong for a while.

use super::{InDirectory, P, event, lease, settled};
use laneway_domain::{NewEvent, Offset, Timestamp};
use laneway_ports::contract::Subject;
use laneway_ports::{EventLog, LogRecord, ProgressStore};
use std::sync::atomic::Ordering;
use std::time::Duration;

const DAY: u64 = 86_400_000;
const A_DAY: Duration = Duration::from_millis(DAY);
/// By how much the clock was ahead.
const AHEAD: u64 = 90 * DAY;
/// More than one trim removes, and more ids than one group forgets.
const MANY: u64 = 700;

impl InDirectory {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    /// Whatever is done meanwhile, the clock is ahead.
    async fn while_ahead<T>(&self, meanwhile: impl Future<Output = T>) -> T {
        self.clock.fetch_add(AHEAD, Ordering::SeqCst);
        let done = meanwhile.await;
        self.clock.fetch_sub(AHEAD, Ordering::SeqCst);
        done
    }

    async fn append(&self, name: &str, count: u64, id_given: bool) {
        let event = |n| NewEvent { id_given, ..event(&format!("{name}{n}"), 10) };
        assert!(self.store().append((0..count).map(event).collect()).await.iter().all(Result::is_ok));
    }

    async fn accepted_at(&self, offset: u64) -> Timestamp {
        match &self.store().read(P, Offset(offset), 1, 1).await.unwrap().records[0] {
            LogRecord::Event(event) => event.accepted_at,
            LogRecord::Corrupt { reason, .. } => panic!("{reason}"),
        }
    }

    async fn settle_all(&self) {
        let end = self.store().bounds(P).await.unwrap().end;
        self.store().commit(&lease(self.store()).await, &settled(end.0)).await.unwrap();
    }

    /// What a worker that keeps settled events for a day trims.
    async fn trim(&self) -> usize {
        self.store().trim(P, self.now().before(A_DAY), 300).await.unwrap()
    }

    fn ids(&self) -> u64 {
        self.sqlite3().query_row("SELECT count(*) FROM given_id", [], |row| row.get(0)).unwrap()
    }
}

#[tokio::test]
async fn one_reading_of_a_clock_that_is_ahead_does_not_last() {
    let store = InDirectory::new(1, |_| ());
    store.while_ahead(store.append("ahead", 1, false)).await;
    store.append("right", 1, false).await;
    assert_eq!(store.accepted_at(0).await, store.now().after(Duration::from_millis(AHEAD)));
    assert_eq!(store.accepted_at(1).await, store.now());
    // As far as clocks differ at any time, time only goes forward.
    let before = store.now();
    store.clock.fetch_sub(30_000, Ordering::SeqCst);
    store.append("late", 1, false).await;
    assert_eq!(store.accepted_at(2).await, before);
}

#[tokio::test]
async fn events_that_were_accepted_with_a_time_to_come_do_not_hold_the_trim() {
    let store = InDirectory::new(1, |_| ());
    store.append("before", 1, false).await;
    store.while_ahead(store.append("ahead", MANY, false)).await;
    store.append("after", 1, false).await;
    store.settle_all().await;
    assert_eq!(store.trim().await, 0, "all are young");
    store.pass(A_DAY * 2).await;
    store.append("young", 1, false).await;
    store.while_ahead(store.append("ahead-again", 1, false)).await;
    store.settle_all().await;
    assert_eq!([store.trim().await, store.trim().await, store.trim().await, store.trim().await], [300, 300, 102, 0]);
    assert_eq!(store.store().bounds(P).await.unwrap().start, Offset(MANY + 2), "the young one is there");
}

/// One call of a writer lets others in between, however large the events are.
#[tokio::test]
async fn a_trim_takes_no_more_bytes_at_once_than_the_writer_has_time_for() {
    let store = InDirectory::new(1, |_| ());
    super::append_all(store.store(), super::events(20, 1 << 20)).await;
    super::append_all(store.store(), vec![event("large", 20 << 20), event("small", 10)]).await;
    store.settle_all().await;
    let trim = |most| store.store().change(move |tx| crate::writer::trim(tx, P, Timestamp::MAX, most));
    assert_eq!(trim(3).await.unwrap(), (3, true));
    assert_eq!(trim(1000).await.unwrap(), (8, true));
    assert_eq!(trim(1000).await.unwrap(), (8, true));
    assert_eq!(trim(1000).await.unwrap(), (1, true), "the large one comes next");
    assert_eq!(trim(1000).await.unwrap(), (1, true), "the large one");
    assert_eq!(trim(1000).await.unwrap(), (1, false));
    super::append_all(store.store(), super::events(20, 1 << 20)).await;
    store.settle_all().await;
    assert_eq!(store.store().trim(P, Timestamp::MAX, 1000).await.unwrap(), 20, "one after the other");
}

/// The clock of whoever trims may be the one that is wrong.
#[tokio::test]
async fn a_clock_that_is_behind_trims_nothing() {
    let store = InDirectory::new(1, |_| ());
    store.append("right", 10, false).await;
    store.settle_all().await;
    store.clock.fetch_sub(AHEAD, Ordering::SeqCst);
    assert_eq!(store.trim().await, 0);
    store.append("behind", 1, false).await;
    store.settle_all().await;
    assert_eq!(store.trim().await, 0);
    store.clock.fetch_add(AHEAD, Ordering::SeqCst);
    assert_eq!(store.trim().await, 0);
}

#[tokio::test]
async fn ids_that_were_given_at_a_time_to_come_are_forgotten() {
    let store = InDirectory::new(1, |options| options.duplicate_window = A_DAY);
    store.while_ahead(store.append("ahead", MANY, true)).await;
    store.append("after", 1, true).await;
    assert_eq!(store.ids(), MANY + 1);
    // Until their window is over, they are duplicates.
    let again = store.store().append(vec![NewEvent { id_given: true, ..event("ahead7", 10) }]).await;
    assert!(again[0].as_ref().unwrap().duplicate);
    store.pass(A_DAY * 2).await;
    for n in 0..3 {
        store.append(&format!("young{n}-"), 1, true).await;
    }
    assert_eq!(store.ids(), 3);
}
