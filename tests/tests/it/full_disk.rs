//! The embedded store on a disk that is full and stays so.

use bytes::Bytes;
use laneway_domain::{
    Commit, DestinationName, Event, EventId, EventType, LaneChange, NewEvent, Offset, Partition, Position, Timestamp,
};
use laneway_ports::{EventLog, ProgressStore, WorkerId};
use laneway_sqlite::{Options, SqliteStore};
use laneway_tests::effort;
use laneway_tests::volume::Volume;
use std::fmt::Display;
use std::path::Path;
use std::time::{Duration, Instant};

const P: Partition = Partition(0);
/// How often something may be told that there is no room: each time the store gives some of its reserve.
const TRIES: usize = 20;
/// The disk: as much as the store keeps in reserve, and nearly as much for its log.
const DISK_MEBIBYTES: u32 = 15;
/// How long the store may take to see that a trim has made room.
const PATIENCE: Duration = Duration::from_secs(60);

fn numbered(n: u64) -> NewEvent {
    let (id, kind) = (EventId::new(&format!("e{n}")).unwrap(), EventType::new("t").unwrap());
    NewEvent { event: Event::new(id, kind, Bytes::from(vec![b'x'; 4000])), id_given: false }
}

/// Everything below `scanned` is settled.
fn settled(scanned: u64) -> Commit {
    let change = LaneChange { position: Some(Position::Shared), ..LaneChange::default() };
    let name = DestinationName::new("a").unwrap();
    Commit { scanned: Some(Offset(scanned)), lanes: [(name, change)].into(), ..Commit::default() }
}

/// Appends events until there is no room for more, and says how many there are. Somebody reads all the while, so that
/// nothing of the log is in the database; and each group has many, so that nearly all of it is new there.
async fn append_until_refused(store: &SqliteStore, path: &Path) -> u64 {
    let reader = rusqlite::Connection::open(path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM event_0").unwrap();
    let mut stored = 0;
    while store.append((stored..stored + 50).map(numbered).collect()).await.iter().all(Result::is_ok) {
        stored += 50;
    }
    assert!(stored > 500, "there was no room from the beginning");
    stored
}

/// What `attempt` comes to at last; it must within [`TRIES`].
async fn at_last<T, E: Display>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let mut told = String::new();
    for _ in 0..TRIES {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => told = error.to_string(),
        }
    }
    panic!("{what} finds no room: {told}");
}

/// The write-ahead log begins anew only when all of it is in the database. On a full disk it must not take the room that
/// this needs, however much is written before anything can be trimmed.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_up_neither_progress_nor_trims_however_much_is_written() {
    let volume = match Volume::mount(DISK_MEBIBYTES) {
        Ok(volume) => volume,
        Err(why) => return effort::skipped(&format!("no file system can be mounted here: {why}")),
    };
    let path = volume.path().join("laneway.db");
    let bytes = |end: &str| std::fs::metadata(path.with_extension(end)).map_or(0, |file| file.len());
    let store = SqliteStore::open(Options::new(path.clone(), 1)).unwrap();
    let stored = append_until_refused(&store, &path).await;
    let _rest = volume.fill();
    let worker = WorkerId("w".into());
    let claim = async || store.claim(P, &worker, Duration::from_secs(3600)).await;
    let lease = at_last("a lease", claim).await.unwrap();
    // Each writes some pages: together several times what is in reserve.
    for n in 1..=4000 {
        let commit = settled(stored * n / 4000);
        at_last("a commit", async || store.commit(&lease, &commit).await).await;
    }
    let (log, reserve) = (bytes("db-wal"), bytes("db.reserve"));
    assert!(reserve >= log, "the log has {log} bytes, and only {reserve} are in reserve for writing it back");
    let trimmed = at_last("a trim", async || store.trim(P, Timestamp::MAX, 1000).await).await;
    assert!(trimmed >= 500, "{trimmed} events were trimmed");
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = &store.append(vec![numbered(stored)]).await[0] {
        assert!(Instant::now() < deadline, "{error}, with {} bytes in reserve", bytes("db.reserve"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(store);
    SqliteStore::open(Options::new(path, 1)).unwrap();
}
