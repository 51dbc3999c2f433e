//! The store: who asks for what.

use crate::bounds::bounds;
use crate::checkpoint;
use crate::dead_letters;
use crate::events::{self, Limits};
use crate::failure::Failed;
use crate::files::{Files, resolved, sync_directory_of};
use crate::lock::Lock;
use crate::options::{Clock, Options};
use crate::progress;
use crate::queue::{NotTaken, Queue};
use crate::readers::Readers;
use crate::registry;
use crate::request::{Asked, Request, Tx};
use crate::room::{Reserve, Room};
use crate::row::moment;
use crate::schema;
use crate::shared::Shared;
use crate::writer::{self, DeadChange};
use laneway_domain::{Offset, Revision, Timestamp};
use laneway_ports::{Bounds, CommitError, Register, Selection, StoreError, StoreHealth};
use rusqlite::Connection;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// How many dead letters one transaction changes, so that a change of a million of them lets
/// others in between.
const DEAD_LETTERS_AT_ONCE: usize = 500;

/// The embedded store. Dropping it stores what waits, and closes it.
pub struct SqliteStore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) register: Mutex<Register>,
    pub(crate) clock: Clock,
    threads: Vec<JoinHandle<()>>,
    /// Last, so that the next process finds everything closed.
    _lock: Lock,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store, and makes it if there is none. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if another process has it open, it was made with another number of
    /// partitions or by a newer Laneway, it is no Laneway store, or it cannot be opened; the text
    /// says which, and what to do.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let options = Options { path: resolved(&options.path), ..options };
        let lock = Lock::acquire(&options.path)?;
        let reserve = Reserve::of(&options.path);
        // On a full disk not even an existing store can be opened: SQLite has to make an index of its log.
        let (opened, short) = match open_database(&options) {
            Err(_) if reserve.release() > 0 => (open_database(&options), true),
            opened => (opened, false),
        };
        // It was something else than room: what was in reserve stays there.
        let (conn, bounds, last) = opened.inspect_err(|_| {
            if short {
                drop(reserve.take())
            }
        })?;
        let room = Room::of(&options.path, short);
        let shared = Arc::new(Shared::new(options.path.clone(), options.tail_bytes, &bounds, last));
        let queue = Arc::new(Queue::new(options.queue_events, options.queue_bytes));
        let readers = Readers::new(options.path.clone());
        let clock = options.clock.clone();
        let (nudge, nudged) = checkpoint::channel(options.checkpoint_bytes);
        let files = Files::of(&options.path).map_err(|error| {
            StoreError::refused(format!("cannot look at the store {}: {error}", options.path.display()))
        })?;
        let threads = vec![
            spawn("laneway-writer", {
                let (shared, queue) = (shared.clone(), queue.clone());
                move || writer::run(&conn, room, &options, &shared, &queue, &nudge)
            })?,
            spawn("laneway-checkpoint", {
                let shared = shared.clone();
                move || checkpoint::run(&shared, &nudged, &files)
            })?,
        ];
        Ok(Self { shared, queue, readers, register: Mutex::default(), clock, threads, _lock: lock })
    }

    /// What keeps the store from taking events, for people.
    ///
    /// # Errors
    /// If the last write failed because of the disk, or the store has failed for good.
    pub fn health(&self) -> Result<(), String> {
        self.shared.health()
    }

    /// Sets [`Options::max_bytes`] anew.
    ///
    /// # Errors
    /// If the store is closing or has failed.
    pub async fn limit_size(&self, max_bytes: Option<u64>) -> Result<(), StoreError> {
        self.change(move |tx| Ok(schema::limit_size(tx.conn, max_bytes)?)).await.map_err(into_store_error)
    }

    /// Has the writer make a change, and resolves when it is durable.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        make: impl FnMut(&mut Tx<'_>) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, CommitError> {
        self.shared.usable()?;
        let (asked, answered) = Asked::new(make);
        self.ask(Request::Change(Box::new(asked)))?;
        answered.await.unwrap_or_else(|_| Err(lost().into()))
    }

    pub(crate) fn ask(&self, request: Request) -> Result<(), StoreError> {
        self.queue.push(request).map_err(|why| match why {
            NotTaken::Full => StoreError::retry_later(format!(
                "the write queue of {} is full: the disk cannot keep up",
                self.shared.path.display()
            )),
            NotTaken::Closed => StoreError::retry_later("the store is closing"),
        })
    }

    pub(crate) async fn read_from_disk(
        &self,
        partition: laneway_domain::Partition,
        from: Offset,
        end: Offset,
        limits: Limits,
    ) -> Result<laneway_ports::Chunk, StoreError> {
        self.readers.read(move |conn| events::read(conn, partition, from, end, limits)).await
    }

    pub(crate) async fn load_progress(
        &self,
        partition: laneway_domain::Partition,
    ) -> Result<laneway_domain::PartitionProgress, StoreError> {
        self.readers.read(move |conn| progress::load(conn, partition)).await
    }

    /// Changes the selected dead letters chunk by chunk: found by a reader, changed by the writer.
    pub(crate) async fn change_dead(&self, change: DeadChange, selection: &Selection) -> Result<u64, StoreError> {
        if selection.destination.is_none() {
            return Err(StoreError::refused("name the destination whose dead letters you mean"));
        }
        let (mut after, mut changed) = (0, 0);
        loop {
            let selection = selection.clone();
            let find = move |conn: &Connection| dead_letters::numbers(conn, &selection, after, DEAD_LETTERS_AT_ONCE);
            let (numbers, last) = self.readers.read(find).await?;
            let done = self.change(move |tx| writer::change_dead(tx, change, &numbers)).await;
            changed += done.map_err(|error| match into_store_error(error) {
                // Some are changed and some are not.
                StoreError::RetryLater { what, .. } | StoreError::Refused { what } if changed > 0 => {
                    StoreError::unknown(format!("{what}. {changed} dead letters were changed, the others were not"))
                }
                error => error,
            })?;
            let Some(last) = last else { return Ok(changed) };
            after = last;
        }
    }

    /// Nobody can retry these dead letters: without their requests they are told of once, and never stand before others.
    pub(crate) async fn withdraw_requests(&self, of: Vec<(i64, StoreError)>) -> Result<(), StoreError> {
        let (numbers, why): (Vec<i64>, Vec<StoreError>) = of.into_iter().unzip();
        let withdraw = self.change(move |tx| writer::change_dead(tx, DeadChange::Withdraw, &numbers)).await;
        withdraw.map_err(into_store_error)?;
        for error in why {
            tracing::warn!(%error, "a dead letter cannot be retried, and is kept as it is");
        }
        Ok(())
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(path = %self.shared.path.display(), "a thread of the store has panicked");
            }
        }
    }
}

/// An answer that nobody gave: the writer is gone.
pub(crate) fn lost() -> StoreError {
    StoreError::unknown("the store's writer has ended")
}

/// The error of a call that no lease fences.
pub(crate) fn into_store_error(error: CommitError) -> StoreError {
    match error {
        CommitError::Store(error) => error,
        fenced @ CommitError::Fenced { .. } => StoreError::refused(fenced.to_string()),
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|error| StoreError::refused(format!("cannot start a thread: {error}")))
}

fn open_database(options: &Options) -> Result<(Connection, Vec<Bounds>, Revision), StoreError> {
    let conn = schema::open_writer(options)?;
    sync_directory_of(&options.path)?;
    let cannot = |error: rusqlite::Error| schema::cannot_open(&options.path, &error);
    let bounds = begin(&conn, options.partitions, options.clock.now()).map_err(cannot)?;
    let last = registry::begin(&conn).map_err(cannot)?;
    Ok((conn, bounds, last))
}

/// Ends the leases of whoever had the store before (it was this process alone, says the lock), and
/// finds where each partition begins and ends.
pub(crate) fn begin(conn: &Connection, partitions: u32, now: Timestamp) -> rusqlite::Result<Vec<Bounds>> {
    // Whoever still has one has died.
    let told = "INSERT INTO tenure (partition, epoch, worker, until, handed_over)
                SELECT partition, epoch, worker, min(leased_until, ?1), 0 FROM partition WHERE worker IS NOT NULL
                ON CONFLICT (partition, epoch) DO UPDATE SET until = excluded.until, handed_over = 0";
    conn.execute(told, [moment(now)])?;
    conn.execute("UPDATE partition SET worker = NULL WHERE worker IS NOT NULL", [])?;
    bounds(conn, partitions)
}

/// Sends an append to the writer and waits for its answer.
pub(crate) async fn append(
    store: &SqliteStore,
    events: Vec<laneway_domain::NewEvent>,
) -> Vec<Result<laneway_ports::Appended, StoreError>> {
    let count = events.len();
    if count == 0 {
        return Vec::new();
    }
    let weight = events.iter().map(|new| new.event.weight()).sum();
    let (answer, answered) = oneshot::channel();
    let asked = store.shared.usable().and_then(|()| store.ask(Request::Append { events, weight, answer }));
    match asked {
        Ok(()) => answered.await.unwrap_or_else(|_| vec![Err(lost()); count]),
        Err(error) => vec![Err(error); count],
    }
}

impl StoreHealth for SqliteStore {
    fn health(&self) -> Result<(), String> {
        Self::health(self)
    }
}
