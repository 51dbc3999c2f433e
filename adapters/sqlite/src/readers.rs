//! Readers: connections of their own, so that no read ever waits for the writer, or it for them.

use crate::failure;
use crate::schema::open_reader;
use laneway_ports::StoreError;
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// How many reads may be under way at once. Each has a thread and a connection; who keeps up reads
/// from memory, so that these are for those who catch up, and for operators.
const MAX_READERS: usize = 4;
/// How many statements each connection keeps prepared.
const STATEMENTS: usize = 64;

/// Why a read failed.
#[derive(Debug)]
pub(crate) enum ReadFailed {
    Sql(rusqlite::Error),
    Told(StoreError),
}

impl From<rusqlite::Error> for ReadFailed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for ReadFailed {
    fn from(error: StoreError) -> Self {
        Self::Told(error)
    }
}

impl ReadFailed {
    /// Why this row cannot be read, if that is all that is wrong: then others can be.
    pub(crate) fn of_row(self, table: &str, row: impl std::fmt::Display) -> Result<StoreError, Self> {
        match self {
            Self::Told(error) => Ok(error),
            Self::Sql(error) if failure::is_of_a_value(&error) => Ok(failure::unreadable(table, row, error)),
            failed @ Self::Sql(_) => Err(failed),
        }
    }
}

/// The connections that only read.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, idle: Mutex::default(), permits: Arc::new(Semaphore::new(MAX_READERS)) })
    }

    /// Runs `read` on a thread for blocking work, with a connection of its own.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, ReadFailed> + Send + 'static,
    ) -> Result<T, StoreError> {
        let stopping = || StoreError::retry_later("the store is closing");
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| stopping())?;
        let this = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let result = this.with_connection(read);
            drop(permit);
            result
        });
        reading.await.map_err(|_| stopping())?
    }

    fn with_connection<T>(&self, read: impl FnOnce(&Connection) -> Result<T, ReadFailed>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let opened = idle.map_or_else(|| open_reader(&self.path), Ok);
        let conn = opened.map_err(|error| failure::of_read(&error, &self.path))?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        match read(&conn) {
            // A connection that failed is not used again.
            Err(ReadFailed::Sql(error)) => Err(failure::of_read(&error, &self.path)),
            result => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
                result.map_err(|failed| match failed {
                    ReadFailed::Told(error) => error,
                    ReadFailed::Sql(error) => failure::of_read(&error, &self.path),
                })
            }
        }
    }
}
