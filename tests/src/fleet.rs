//! Ingests and workers, each the real binary, over one Redis.

use crate::client::Client;
use crate::server::{Half, Installation, Running};
use crate::store::Stored;
use laneway_domain::{DestinationName, Offset, Partition};
use laneway_ports::{DeadLetterQuery, DeadLetters as _, EventLog as _, LogRecord, MAX_DEAD_LETTER_PAGE, Selection};
use laneway_redis::{Durability, RedisOptions, RedisStore};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Events read at a time.
const CHUNK: usize = 1000;
/// Bytes read at a time.
const CHUNK_BYTES: usize = 8 << 20;

/// Processes that share a store.
#[derive(Debug)]
pub struct Fleet {
    folder: TempDir,
    url: String,
    partitions: u32,
    store: String,
    rest: String,
}

/// A place for a process: it is started there as often as it is killed.
#[derive(Debug)]
pub struct Berth {
    /// What is started there.
    pub half: Half,
    /// Its configuration, output and address.
    pub installation: Installation,
    running: Option<Running>,
}

impl Fleet {
    /// Processes that use the store at `url`. `store` are further lines of `[store]`, `rest` the destinations.
    #[must_use]
    pub fn new(url: &str, partitions: u32, store: &str, rest: &str) -> Self {
        Self {
            folder: tempfile::Builder::new().prefix("laneway-fleet-").tempdir().expect("a temporary folder"),
            url: url.to_owned(),
            partitions,
            store: store.to_owned(),
            rest: rest.to_owned(),
        }
    }

    /// A place for a process, which has a name of its own. Nothing is started.
    #[must_use]
    pub fn berth(&self, half: Half, name: &str) -> Berth {
        let folder: PathBuf = self.folder.path().join(name);
        fs::create_dir(&folder).expect("a folder can be made");
        let store = format!("url = \"{}\"\npartitions = {}\n{}", self.url, self.partitions, self.store);
        let installation = Installation::member(&folder, half, &store, &self.rest);
        Berth { half, installation, running: None }
    }

    /// Starts several of one kind, named by their number, and waits until all are ready.
    pub async fn start(&self, half: Half, count: usize) -> Vec<Berth> {
        let mut berths = Vec::new();
        for n in 0..count {
            let mut berth = self.berth(half, &format!("{half:?}-{n}").to_lowercase());
            berth.start().await;
            berths.push(berth);
        }
        berths
    }

    /// The store, as another process has it.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub async fn store(&self) -> RedisStore {
        // Whoever only looks asks nothing of Redis' settings: some tests have weakened them on purpose.
        let options =
            RedisOptions { durability: Durability::Relaxed, ..RedisOptions::new(self.url.clone(), self.partitions) };
        RedisStore::connect(options).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// All events of the store, by partition and offset.
    ///
    /// # Panics
    /// If one cannot be read.
    pub async fn events(&self) -> Vec<Stored> {
        let store = self.store().await;
        let mut events = Vec::new();
        for partition in (0..self.partitions).map(Partition) {
            let mut from = Offset::ZERO;
            loop {
                let chunk = store.read(partition, from, CHUNK, CHUNK_BYTES).await.unwrap_or_else(|e| panic!("{e}"));
                if chunk.records.is_empty() {
                    break;
                }
                events.extend(chunk.records.iter().map(|record| stored(partition, record)));
                from = chunk.next;
            }
        }
        events
    }

    /// The ids of a destination's dead letters.
    ///
    /// # Panics
    /// If they cannot be read.
    pub async fn dead_letters(&self, destination: &str) -> BTreeSet<String> {
        let store = self.store().await;
        let selection = Selection { destination: DestinationName::new(destination).ok(), ..Selection::default() };
        let mut query = DeadLetterQuery { selection, after: None, most: MAX_DEAD_LETTER_PAGE };
        let mut ids = BTreeSet::new();
        loop {
            let page = store.list(&query).await.unwrap_or_else(|e| panic!("{e}"));
            let Some(last) = page.last() else { return ids };
            query.after = Some((last.partition, last.given_up.offset, last.given_up.destination.clone()));
            ids.extend(page.iter().map(|letter| letter.event_id.to_string()));
        }
    }
}

fn stored(partition: Partition, record: &LogRecord) -> Stored {
    match record {
        LogRecord::Event(logged) => Stored {
            partition: partition.0,
            offset: logged.offset.0,
            id: logged.event.id.to_string(),
            key: logged.event.key.as_ref().map(ToString::to_string),
            data: logged.event.data.clone(),
        },
        LogRecord::Corrupt { offset, reason } => panic!("{partition}/{offset}: {reason}"),
    }
}

impl Berth {
    /// Starts the process and waits until it is ready.
    pub async fn start(&mut self) {
        self.running = Some(self.installation.start().await);
    }

    /// Starts the process, without waiting for anything.
    pub fn begin(&mut self) {
        self.running = Some(self.installation.begin());
    }

    /// Waits until the process that was begun is ready.
    ///
    /// # Panics
    /// If it does not become that, or was not begun.
    pub async fn become_ready(&mut self) {
        let running = self.running.as_mut().expect("it runs");
        running.ready().await.unwrap_or_else(|why| panic!("{:?} {why}", self.half));
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.running.as_mut().is_none_or(Running::ended)
    }

    /// The process.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    /// A client of its address, whether it runs or not.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.installation.address())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }

    /// Sends the process a signal.
    ///
    /// # Panics
    /// If it does not run.
    pub fn signal(&self, name: &str) {
        self.running().signal(name);
    }

    /// SIGTERM, and waits for its good end.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}
