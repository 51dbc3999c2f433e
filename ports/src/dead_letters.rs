//! Dead letters, for operators and for the worker that retries them.

use crate::StoreError;
use async_trait::async_trait;
use laneway_domain::{DeadLetter, DestinationName, EventId, Key, LoggedEvent, Offset, Partition, Redrive};

/// The most dead letters of one page.
pub const MAX_DEAD_LETTER_PAGE: usize = 1000;

/// Which dead letters are meant. All conditions must hold; none means all of the destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only those of this destination; required for a change, so that nothing is swept by accident.
    pub destination: Option<DestinationName>,
    /// Only those of this key.
    pub key: Option<Key>,
    /// Only that of this event.
    pub event_id: Option<EventId>,
}

/// A page of dead letters, in the order of partition, offset, destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterQuery {
    /// Which.
    pub selection: Selection,
    /// Only those after this one (the last of the page before).
    pub after: Option<(Partition, Offset, DestinationName)>,
    /// How many at most, up to [`MAX_DEAD_LETTER_PAGE`].
    pub most: usize,
}

/// How many dead letters a destination has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterCount {
    /// The destination.
    pub destination: DestinationName,
    /// Its dead letters in all partitions.
    pub count: u64,
}

/// The dead letters of all partitions. They are added by [`crate::ProgressStore::commit`].
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// A page of dead letters.
    async fn list(&self, query: &DeadLetterQuery) -> Result<Vec<DeadLetter>, StoreError>;

    /// How many there are, per destination that has any, in order of name.
    async fn counts(&self) -> Result<Vec<DeadLetterCount>, StoreError>;

    /// The event of a dead letter: the copy, which is there also when the log has trimmed it.
    async fn event(
        &self,
        partition: Partition,
        offset: Offset,
        destination: &DestinationName,
    ) -> Result<Option<LoggedEvent>, StoreError>;

    /// Asks that the selected ones be attempted once more. Durable when it resolves; the worker
    /// that has the partition finds them in [`DeadLetters::retry_requested`]. Returns how many.
    /// Refused without a destination.
    async fn retry(&self, selection: &Selection) -> Result<u64, StoreError>;

    /// Removes the selected ones for good. Returns how many. Refused without a destination.
    async fn discard(&self, selection: &Selection) -> Result<u64, StoreError>;

    /// The dead letters of the partition that someone wants retried, by ascending offset, at most
    /// `most`. They stay until a commit says how the retry ended.
    async fn retry_requested(&self, partition: Partition, most: usize) -> Result<Vec<Redrive>, StoreError>;
}
