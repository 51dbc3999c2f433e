//! The contract, and what is this store's own.

mod around_damage;
mod clock;
mod damage;
mod disk;
mod formats;
mod fuzz;
mod open;
mod reading;
mod registry;
mod restore;
mod tokens;

use crate::{Clock, Options, RestoreOptions, SqliteStore};
use async_trait::async_trait;
use bytes::Bytes;
use laneway_domain::{
    Commit, DestinationName, Event, EventId, EventType, LaneChange, NewEvent, Offset, Partition, Position, Timestamp,
};
use laneway_ports::contract::{Damage, Subject};
use laneway_ports::{CommitError, EventLog, Lease, ProgressStore, WorkerId};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot::{self, Receiver};

const P: Partition = Partition(0);
/// A restore that takes the place of a store.
const REPLACE: RestoreOptions = RestoreOptions { replace: true, keep_tokens: false, damaged: false };

/// A store in a directory of its own, with a clock that goes when it is told to.
struct InDirectory {
    directory: TempDir,
    options: Options,
    clock: Arc<AtomicU64>,
    store: Option<SqliteStore>,
}

impl InDirectory {
    fn new(partitions: u32, change: impl FnOnce(&mut Options)) -> Self {
        let directory = TempDir::new().unwrap();
        let clock = Arc::new(AtomicU64::new(1_700_000_000_000));
        let mut options = Options::new(directory.path().join("laneway.db"), partitions);
        options.clock = Clock::new({
            let clock = clock.clone();
            move || Timestamp::from_millis(clock.load(Ordering::SeqCst))
        });
        change(&mut options);
        let store = Some(SqliteStore::open(options.clone()).unwrap());
        Self { directory, options, clock, store }
    }

    fn path(&self) -> PathBuf {
        self.options.path.clone()
    }

    /// Closes the store, lets `meanwhile` at its files, and opens it again.
    fn reopened_after(mut self, meanwhile: impl FnOnce(&Self)) -> Self {
        self.store = None;
        meanwhile(&self);
        self.store = Some(SqliteStore::open(self.options.clone()).unwrap());
        self
    }

    fn sqlite3(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

#[async_trait]
impl Subject for InDirectory {
    type Store = SqliteStore;

    async fn create(partitions: u32) -> Self {
        Self::new(partitions, |_| ())
    }

    fn store(&self) -> &SqliteStore {
        self.store.as_ref().unwrap()
    }

    async fn reopen(self) -> Self {
        self.reopened_after(|_| ())
    }

    async fn pass(&self, time: Duration) {
        self.clock.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    async fn damage(&self, partition: Partition, offset: Offset, of: &DestinationName, damage: Damage) -> bool {
        let change = match damage {
            Damage::Order => "lane_key = 'none'",
            Damage::Id => "id = ''",
            Damage::History => "retry = '{'",
            Damage::Text => "lane_key = CAST(X'616CFF' AS TEXT)",
            Damage::Copy => "data = CAST(data || 'x' AS BLOB)",
            Damage::End => "lane_key = '', retry = '', reason = '', id = ''",
        };
        let sql = format!("UPDATE dead_letter SET {change} WHERE partition = ?1 AND offset = ?2 AND destination = ?3");
        self.sqlite3().execute(&sql, (partition.0, offset.0, of.as_str())).unwrap() == 1
    }
}

laneway_ports::event_log_contract!(InDirectory, #[tokio::test]);
laneway_ports::progress_store_contract!(InDirectory, #[tokio::test]);
laneway_ports::dead_letters_contract!(InDirectory, #[tokio::test]);
laneway_ports::history_contract!(InDirectory, #[tokio::test]);
laneway_ports::extent_contract!(InDirectory, #[tokio::test]);
laneway_ports::workers_contract!(InDirectory, #[tokio::test]);
laneway_ports::registry_contract!(InDirectory, #[tokio::test]);
laneway_ports::tokens_contract!(InDirectory, #[tokio::test]);
laneway_ports::tenants_contract!(InDirectory, #[tokio::test]);

/// The same, where nothing is kept in memory, so that every read is from disk.
struct WithoutTail(InDirectory);

#[async_trait]
impl Subject for WithoutTail {
    type Store = SqliteStore;

    async fn create(partitions: u32) -> Self {
        Self(InDirectory::new(partitions, |options| options.tail_bytes = 0))
    }

    fn store(&self) -> &SqliteStore {
        self.0.store()
    }

    async fn reopen(self) -> Self {
        Self(self.0.reopen().await)
    }

    async fn pass(&self, time: Duration) {
        self.0.pass(time).await;
    }
}

mod without_tail {
    use super::WithoutTail;

    laneway_ports::event_log_contract!(WithoutTail, #[tokio::test]);
}

fn event(id: &str, bytes: usize) -> NewEvent {
    let event = Event {
        content_type: "text/plain".into(),
        ..Event::new(EventId::new(id).unwrap(), EventType::new("t").unwrap(), Bytes::from(vec![b'x'; bytes]))
    };
    NewEvent { event, id_given: false }
}

fn events(count: usize, bytes: usize) -> Vec<NewEvent> {
    (0..count).map(|n| event(&format!("e{n}"), bytes)).collect()
}

async fn append_all(store: &SqliteStore, events: Vec<NewEvent>) {
    for result in store.append(events).await {
        result.unwrap();
    }
}

async fn lease(store: &SqliteStore) -> Lease {
    store.claim(P, &WorkerId("w".into()), Duration::from_secs(3600)).await.unwrap().unwrap()
}

/// Everything below `scanned` is settled.
fn settled(scanned: u64) -> Commit {
    let change = LaneChange { position: Some(Position::Shared), ..LaneChange::default() };
    let name = DestinationName::new("a").unwrap();
    Commit { scanned: Some(Offset(scanned)), lanes: [(name, change)].into(), ..Commit::default() }
}

/// A change that keeps the writer from everything else until it gets a word: the change, when it has begun, and the
/// word.
fn holding(store: &SqliteStore) -> (impl Future<Output = Result<(), CommitError>>, Receiver<()>, Sender<()>) {
    let (begun, has_begun) = oneshot::channel();
    let (go_on, word) = mpsc::channel();
    let mut begun = Some(begun);
    let change = store.change(move |_| {
        begun.take().unwrap().send(()).unwrap();
        word.recv().unwrap();
        Ok(())
    });
    (change, has_begun, go_on)
}
