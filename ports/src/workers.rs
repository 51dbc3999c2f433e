//! The worker processes that share a store.

mod register;

pub use register::Register;

use crate::{StoreError, WorkerId};
use async_trait::async_trait;
use std::time::Duration;

/// The most bytes of one worker's report: room for the status of some ten thousand destinations.
pub const MAX_REPORT_BYTES: usize = 4 << 20;

/// The most bytes of a message to a worker, and of an answer: a command has a name and a key of a
/// few hundred bytes, an answer the numbers of at most some thousand partitions.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// The most messages that wait for one worker. It takes them several times a second; operators' tools
/// send a few.
pub const MAX_WAITING_MESSAGES: usize = 100;

/// How long a message waits to be taken, by the store's clock. Whoever waits longer for the answer
/// knows that what was not taken will not be done later either.
pub const MESSAGE_KEPT: Duration = Duration::from_secs(3);

/// How long the answers to a question are kept after the last of them, by the store's clock.
pub const ANSWERS_KEPT: Duration = Duration::from_secs(10);

/// The most bytes of a question's name: room for 128 bits in hexadecimal digits, twice.
pub const MAX_QUESTION_BYTES: usize = 64;

/// A worker process that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Which.
    pub worker: WorkerId,
    /// What it said last by [`Workers::report`]; empty if nothing yet.
    pub report: String,
}

/// The register of the workers that share a store: who is there, what each says of itself, and what
/// others tell it.
///
/// Nothing that is safe to do depends on it (that is what leases are for): only how evenly the
/// partitions are spread, and what an operator sees. It may forget everything, as long as the next
/// [`Workers::announce`] puts a worker back, and lose messages: whoever needs to know that one has
/// arrived asks for an answer.
#[async_trait]
pub trait Workers: Send + Sync {
    /// Whether several processes can have the store open at once. Where they cannot, nobody reads what a worker
    /// [reports](Workers::report), and it need not.
    fn is_shared(&self) -> bool;

    /// Says that `worker` is there until `ttl` from now by the store's clock, and returns the ids of
    /// all that are there, itself included, in ascending order.
    async fn announce(&self, worker: &WorkerId, ttl: Duration) -> Result<Vec<WorkerId>, StoreError>;

    /// Leaves what `worker` wants others to know of it, instead of what it left before.
    ///
    /// - Must be seen by [`Workers::present`] only for as long as the worker is announced.
    /// - Must refuse more than [`MAX_REPORT_BYTES`].
    async fn report(&self, worker: &WorkerId, report: String) -> Result<(), StoreError>;

    /// Says that `worker` is gone: the others need not wait until its time has run out.
    async fn leave(&self, worker: &WorkerId) -> Result<(), StoreError>;

    /// The workers that are there, with their reports, in ascending order of their ids.
    async fn present(&self) -> Result<Vec<Present>, StoreError>;

    /// Leaves a message for the worker `to`. `false` if it is not there: then nothing is left.
    ///
    /// - Must refuse more than [`MAX_MESSAGE_BYTES`].
    /// - Must not keep more than [`MAX_WAITING_MESSAGES`] for one worker: one more is for later.
    /// - Must not be taken later than [`MESSAGE_KEPT`] from now, nor after [`Workers::leave`].
    async fn tell(&self, to: &WorkerId, message: String) -> Result<bool, StoreError>;

    /// Takes the messages that were left for `worker`, in the order in which they came. Each is given
    /// out at most once; one whose answer is lost on the way is lost.
    async fn inbox(&self, worker: &WorkerId) -> Result<Vec<String>, StoreError>;

    /// Leaves what `worker` answers to a question, instead of what it has answered before. Whoever asks
    /// names the question, so that nobody else's has its name.
    ///
    /// - Must keep the answers for [`ANSWERS_KEPT`] after the last of them, and not much longer.
    /// - Must refuse an answer of more than [`MAX_MESSAGE_BYTES`], and a name of more than
    ///   [`MAX_QUESTION_BYTES`].
    async fn answer(&self, question: &str, worker: &WorkerId, answer: String) -> Result<(), StoreError>;

    /// The answers to a question so far, in ascending order of the workers' ids.
    async fn answers(&self, question: &str) -> Result<Vec<(WorkerId, String)>, StoreError>;
}

/// Refuses a `message` that is too large to be left for others.
///
/// # Errors
/// If it has more than [`MAX_MESSAGE_BYTES`].
pub fn check_message(message: &str) -> Result<(), StoreError> {
    let bytes = message.len();
    let what =
        || format!("a message of {bytes} bytes between workers is more than the {MAX_MESSAGE_BYTES} that are kept");
    if bytes > MAX_MESSAGE_BYTES { Err(StoreError::refused(what())) } else { Ok(()) }
}

/// Refuses an answer that is too large, and one to a question whose name is too long.
///
/// # Errors
/// If the answer has more than [`MAX_MESSAGE_BYTES`], or the name more than [`MAX_QUESTION_BYTES`].
pub fn check_answer(question: &str, answer: &str) -> Result<(), StoreError> {
    if question.len() > MAX_QUESTION_BYTES {
        let bytes = question.len();
        return Err(StoreError::refused(format!(
            "the name of a question has {bytes} bytes, more than the {MAX_QUESTION_BYTES} that are kept"
        )));
    }
    check_message(answer)
}

/// What is said of a worker for whom [`MAX_WAITING_MESSAGES`] wait.
#[must_use]
pub fn inbox_full(worker: &WorkerId) -> StoreError {
    StoreError::retry_later(format!(
        "worker {worker} has not taken the last {MAX_WAITING_MESSAGES} messages; try again in a few seconds"
    ))
}
