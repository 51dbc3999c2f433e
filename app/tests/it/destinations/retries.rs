//! Dead letters that are to be attempted once more.

use super::*;
use bytes::Bytes;
use laneway_domain::{
    Backoff, Commit, Event, EventId, EventType, Failure, GivenUp, LaneChange, LaneKey, NewEvent, Offset, Partition,
    Position,
};
use laneway_ports::Selection;

/// More than are looked up in one round.
const LETTERS: u64 = 2_500;
const P: Partition = Partition(0);

/// A disk on which `held` has that many dead letters, and `other` one behind them, all of which are to be retried.
async fn buried() -> Arc<Disk> {
    let disk = Disk::new(1);
    let stores = Stores::of(Arc::new(MemoryStore::open(disk.clone(), Settings::default())));
    let event = |n: u64| {
        let event = Event::new(EventId::new(&format!("e{n}")).unwrap(), EventType::new("t").unwrap(), Bytes::new());
        NewEvent { event, id_given: true }
    };
    stores.log.append((0..=LETTERS).map(event).collect()).await;
    let lease = stores.progress.claim(P, &WorkerId("before".into()), Duration::from_secs(60)).await.unwrap().unwrap();
    let letter = |n: u64| GivenUp {
        destination: name(if n < LETTERS { "held" } else { "other" }),
        offset: Offset(n),
        key: LaneKey::Event(Offset(n)),
        at: disk.now(),
        reason: "too often".into(),
        retry: Backoff::note(None, Failure::new(disk.now(), "answered 500")),
    };
    let settled = LaneChange { position: Some(Position::Shared), ..LaneChange::default() };
    let commit = Commit {
        scanned: Some(Offset(LETTERS + 1)),
        lanes: ["held", "other"].map(|of| (name(of), settled.clone())).into(),
        dead_letters: (0..=LETTERS).map(letter).collect(),
        ..Commit::default()
    };
    stores.progress.commit(&lease, &commit).await.unwrap();
    stores.progress.release(&lease).await.unwrap();
    for (of, count) in [("held", LETTERS), ("other", 1)] {
        assert_eq!(stores.dead_letters.retry(&Selection::of(name(of))).await.unwrap(), count);
    }
    disk
}

/// Whether it comes to that, in an hour.
async fn until_left(process: &Process, of: &str, count: u64) -> bool {
    let come = async {
        while process.stores.dead_letters.count(&Selection::of(name(of))).await.unwrap() != count {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3600), come).await.is_ok()
}

/// What one destination cannot take now, because it is paused or has left the configuration, stands before nobody else.
#[tokio::test(start_paused = true)]
async fn those_that_one_destination_cannot_take_hold_up_no_others() {
    let held = "[[destination]]\nname = 'held'\nurl = 'console:'\n";
    for held_now in [&format!("{held}paused = true\n"), ""] {
        let disk = buried().await;
        let with = async |held: &str| {
            let file = of_file(&format!("{held}[[destination]]\nname = 'other'\nurl = 'console:'"));
            Process::with(Setup { file, disk: Some(disk.clone()), ..Setup::default() }).await
        };
        let process = with(held_now).await;
        assert!(until_left(&process, "other", 0).await, "the one behind them is not attempted: {held_now:?}");
        assert_eq!(process.stores.dead_letters.count(&Selection::of(name("held"))).await.unwrap(), LETTERS);
        drop(process);
        let process = with(held).await;
        assert!(until_left(&process, "held", 0).await, "those that waited are all attempted when they can be");
    }
}
