//! What becomes of a worker's attempts when its lease is lost.

use async_trait::async_trait;
use bytes::Bytes;
use laneway_app::telemetry::destinations::DestinationMetrics;
use laneway_app::worker::{Clock, Worker};
use laneway_domain::{
    Destination, DestinationChanges, DestinationName, Event, EventId, EventType, NewEvent, OperationalSettings,
    Outcome, Partition, StartFrom,
};
use laneway_memory::{Disk, MemoryStore, Settings};
use laneway_ports::{Delivery, DeliveryReport, KeptHistory, Sink, Stores, WorkerId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedSender};

const P: Partition = Partition(0);

/// An attempt that waits for a connection for as long as anybody lets it.
struct Waiting(UnboundedSender<&'static str>);

/// Says when an attempt is not made any more.
struct BrokenOff(UnboundedSender<&'static str>);

impl Drop for BrokenOff {
    fn drop(&mut self) {
        let _ = self.0.send("broken off");
    }
}

#[async_trait]
impl Sink for Waiting {
    async fn deliver(&self, delivery: &Delivery) -> DeliveryReport {
        let _waiting = BrokenOff(self.0.clone());
        let _ = self.0.send("waits");
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let _ = self.0.send("sent");
        vec![Outcome::Delivered; delivery.events.len()].into()
    }
}

/// Another worker has the partition, and makes the same attempt: this one would arrive behind what that one sends.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_connection_when_the_lease_is_lost_is_not_sent_any_more() {
    let elapsed = Arc::new(AtomicU64::new(0));
    let clock = elapsed.clone();
    let disk = Disk::with_clock(1, move || Duration::from_secs(clock.load(Ordering::SeqCst)));
    let stores = Stores::of(Arc::new(MemoryStore::open(disk.clone(), Settings::default())));
    let event = Event::new(EventId::new("e").unwrap(), EventType::new("t").unwrap(), Bytes::new());
    stores.log.append(vec![NewEvent { event, id_given: true }]).await.pop().unwrap().unwrap();

    let name = DestinationName::new("a").unwrap();
    let destination = Destination { from: StartFrom::Beginning, ..Destination::new(name.clone()) };
    let (tell, mut told) = mpsc::unbounded_channel();
    let sink: Arc<dyn Sink> = Arc::new(Waiting(tell));
    let (_handle, working, upkeep) = Worker {
        id: WorkerId("w".into()),
        stores: stores.clone(),
        destinations: DestinationChanges::present(vec![destination]),
        sinks: BTreeMap::from([(name, sink)]),
        settings: laneway_domain::Settings::default(),
        clock: Clock::starting_at(disk.now()),
        seed: 1,
        retain: Duration::from_secs(100_000),
        operational: OperationalSettings::default(),
        told: Vec::new(),
        spans: None,
        history: KeptHistory { max_age: Duration::from_secs(3600), max_bytes: 1 << 20 },
        metrics: DestinationMetrics::new().unwrap(),
    }
    .start();
    let tasks = [tokio::spawn(working), tokio::spawn(upkeep)];
    assert_eq!(told.recv().await, Some("waits"));

    // The store's clock goes on by more than a lease lasts.
    elapsed.fetch_add(60, Ordering::SeqCst);
    let taken = stores.progress.claim(P, &WorkerId("other".into()), Duration::from_secs(36_000)).await.unwrap();
    assert!(taken.is_some());
    assert_eq!(told.recv().await, Some("broken off"));
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}
