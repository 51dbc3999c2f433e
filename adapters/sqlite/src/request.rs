//! What is asked of the writer: events to append, and changes of anything else.

use crate::failure::Failed;
use laneway_domain::{NewEvent, Offset, Revision, Timestamp};
use laneway_ports::{Appended, CommitError, StoreError};
use rusqlite::{Connection, Params};
use tokio::sync::oneshot;

/// The answer to an append.
pub(crate) type Placed = Vec<Result<Appended, StoreError>>;

/// Something to write.
pub(crate) enum Request {
    /// Events.
    Append { events: Vec<NewEvent>, weight: usize, answer: oneshot::Sender<Placed> },
    /// A change of anything else.
    Change(Box<dyn Change>),
}

impl Request {
    /// Its events and their weight.
    pub(crate) fn size(&self) -> (usize, usize) {
        match self {
            Self::Append { events, weight, .. } => (events.len(), *weight),
            Self::Change(_) => (0, 0),
        }
    }
}

/// A transaction, as a change sees it.
pub(crate) struct Tx<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) now: Timestamp,
    /// The next offset of each partition, with those that this group has used.
    pub(crate) ends: &'a [u64],
    /// Where partitions begin once this group is stored.
    pub(crate) starts: &'a mut Vec<(usize, Offset)>,
    /// The registry's last revision once this group is stored, if it raises it.
    pub(crate) registry: &'a mut Option<Revision>,
    /// The change has met damage in a transaction that was undone, and is made once more, alone. It looks with this
    /// connection at what may be damaged: in a transaction that meets damage nothing more can be written.
    pub(crate) aside: Option<&'a Connection>,
    /// Bytes that go to the write-ahead log beside [`crate::checkpoint::CHANGE_BYTES`], about.
    pub(crate) written: &'a mut u64,
}

impl Tx<'_> {
    /// Executes a statement, which is prepared once, and returns how many rows it changed.
    pub(crate) fn run(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.conn.prepare_cached(sql)?.execute(params)
    }
}

/// A change of something other than the log's end.
pub(crate) trait Change: Send {
    /// Makes the change, and remembers its result. After an error, what it changed is undone. It is made anew where the
    /// transaction was undone because of another one.
    fn make(&mut self, tx: &mut Tx<'_>) -> Result<(), Failed>;
    /// Its result is this error.
    fn told(&mut self, error: CommitError);
    /// Tells whoever asked: the result or, if the group was not stored, that.
    fn answer(self: Box<Self>, group: Result<(), StoreError>);
}

/// A [`Change`] made of a function.
pub(crate) struct Asked<T, F> {
    make: F,
    result: Option<Result<T, CommitError>>,
    answer: oneshot::Sender<Result<T, CommitError>>,
}

impl<T, F> Asked<T, F> {
    pub(crate) fn new(make: F) -> (Self, oneshot::Receiver<Result<T, CommitError>>) {
        let (answer, answered) = oneshot::channel();
        (Self { make, result: None, answer }, answered)
    }
}

impl<T: Send, F: FnMut(&mut Tx<'_>) -> Result<T, Failed> + Send> Change for Asked<T, F> {
    fn make(&mut self, tx: &mut Tx<'_>) -> Result<(), Failed> {
        self.result = Some(Ok((self.make)(tx)?));
        Ok(())
    }

    fn told(&mut self, error: CommitError) {
        self.result = Some(Err(error));
    }

    fn answer(self: Box<Self>, group: Result<(), StoreError>) {
        let result = match (group, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::unknown("the change was not made").into()),
            (Err(error), _) => Err(error.into()),
        };
        // Nobody is there when the call was cancelled.
        let _ = self.answer.send(result);
    }
}
