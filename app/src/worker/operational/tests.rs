//! What is appended when, over the reference store.

use super::*;
use async_trait::async_trait;
use laneway_domain::{DestinationName, Filter, MAX_WAITING_OPERATIONAL, OperationalSettings, TypePattern};
use laneway_memory::{Disk, MemoryStore, Settings};
use laneway_ports::{Appended, Bounds, Chunk};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::sleep;

const PARTITIONS: u32 = 4;

/// A log of which the node with one partition is away.
struct PartlyAway {
    log: MemoryStore,
    away: Partition,
    is_away: AtomicBool,
}

#[async_trait]
impl EventLog for PartlyAway {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    async fn append(&self, events: Vec<NewEvent>) -> Vec<Result<Appended, StoreError>> {
        let is_its = |new: &NewEvent| Partition::of(new.event.ordered_by(), PARTITIONS) == self.away;
        if self.is_away.load(Ordering::SeqCst) && events.iter().any(is_its) {
            return events.iter().map(|_| Err(StoreError::retry_later("its node is away"))).collect();
        }
        self.log.append(events).await
    }

    async fn read(&self, of: Partition, from: Offset, events: usize, bytes: usize) -> Result<Chunk, StoreError> {
        self.log.read(of, from, events, bytes).await
    }

    async fn grown(&self, partition: Partition, seen: Offset) -> Result<Offset, StoreError> {
        self.log.grown(partition, seen).await
    }

    async fn bounds(&self, partition: Partition) -> Result<Bounds, StoreError> {
        self.log.bounds(partition).await
    }

    async fn remembered(&self, id: &str) -> Result<Vec<(Partition, Offset)>, StoreError> {
        self.log.remembered(id).await
    }

    async fn trim(&self, partition: Partition, before: Timestamp, most: usize) -> Result<usize, StoreError> {
        self.log.trim(partition, before, most).await
    }
}

fn name(nth: usize) -> DestinationName {
    DestinationName::new(&format!("d{nth}")).unwrap()
}

/// Told of a destination when its breaker opens, at once.
fn opens(teller: &Teller, nth: usize) {
    teller.notice(&Notice::BreakerOpened {
        destination: name(nth),
        reason: "HTTP 503".into(),
        next_probe: Timestamp::MAX,
    });
}

/// The destinations that were told of, by partition in their order.
async fn told(log: &PartlyAway) -> Vec<String> {
    let mut all = Vec::new();
    for partition in (0..PARTITIONS).map(Partition) {
        let chunk = log.read(partition, Offset::ZERO, usize::MAX, usize::MAX).await.unwrap();
        all.extend(chunk.records.iter().filter_map(|record| match record {
            LogRecord::Event(event) => Some(event.event.key.as_ref()?.to_string()),
            LogRecord::Corrupt { .. } => None,
        }));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_takes_nothing_stops_none_of_the_others() {
    let of = |nth: usize| Partition::of(name(nth).as_str(), PARTITIONS);
    let away = of(0);
    let log = Arc::new(PartlyAway {
        log: MemoryStore::open(Disk::new(PARTITIONS), Settings::default()),
        away,
        is_away: AtomicBool::new(true),
    });
    let settings = OperationalSettings { breaker_after: Duration::ZERO, ..OperationalSettings::default() };
    let teller = Teller::new(Operational::new(settings, "w"), Clock::system());
    let filter = Filter { types: vec![TypePattern::new("laneway.*").unwrap()], ..Filter::default() };
    teller.hear(|machine, _| machine.destination(&DestinationName::new("pager").unwrap(), Some(&filter)));
    let appender = Appender::new(teller.clone(), log.clone());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(appender.beside(async {
        let _ = stopped.await;
    }));
    // The first one is of the partition that is away.
    let names = 0..12;
    for nth in names.clone() {
        opens(&teller, nth);
    }
    sleep(Duration::from_secs(5)).await;
    let mut others: Vec<String> =
        names.clone().filter(|nth| of(*nth) != away).map(|nth| name(nth).to_string()).collect();
    let mut found = told(&log).await;
    found.sort();
    others.sort();
    assert!(!others.is_empty());
    assert_eq!(found, others);
    // It comes back: what waited comes in its order, and once.
    log.is_away.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(60)).await;
    // They were told at the same moment, by their names.
    let mut late: Vec<String> = names.filter(|nth| of(*nth) == away).map(|nth| name(nth).to_string()).collect();
    late.sort();
    let found = told(&log).await;
    assert_eq!(found.iter().filter(|name| late.contains(name)).cloned().collect::<Vec<_>>(), late);
    assert_eq!(found.len(), late.len() + others.len());
    // What waits at the end is not lost, if the store takes it in time.
    log.is_away.store(true, Ordering::SeqCst);
    opens(&teller, usize::MAX);
    for nth in (100..).filter(|nth| of(*nth) == away).take(3) {
        opens(&teller, nth);
    }
    sleep(Duration::from_millis(600)).await;
    log.is_away.store(false, Ordering::SeqCst);
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(told(&log).await.len(), late.len() + others.len() + 4);
}

#[test]
fn what_waits_is_bounded_and_a_partition_that_takes_events_takes_them_all_the_same() {
    let (now, mut fronts) = (Instant::now(), Fronts::default());
    let event = |id: usize| OperationalEvent {
        id: id.to_string(),
        event_type: "laneway.test",
        at: Timestamp::ZERO,
        facts: laneway_domain::Facts::default(),
    };
    assert!((0..MAX_WAITING_OPERATIONAL).all(|nth| fronts.push(Partition(0), event(nth), now)));
    fronts.failed(Partition(0), now);
    assert!(!fronts.push(Partition(0), event(0), now), "there is no more room");
    assert!(fronts.push(Partition(1), event(7), now));
    assert_eq!(fronts.due(now).map(|(partition, event)| (partition, event.id)), Some((Partition(1), "7".into())));
    fronts.done(Partition(1), now);
    assert_eq!(fronts.due(now), None);
    let later = fronts.next().unwrap();
    assert_eq!(fronts.due(later).map(|(_, event)| event.id), Some("0".into()));
    fronts.done(Partition(0), later);
    assert_eq!(fronts.due(later).map(|(_, event)| event.id), Some("1".into()), "in their order");
    assert!(fronts.push(Partition(0), event(0), later), "there is room again");
}
