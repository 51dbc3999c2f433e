//! The log that events are stored in.

use crate::StoreError;
use async_trait::async_trait;
use laneway_domain::{LoggedEvent, NewEvent, Offset, Partition, Timestamp};
use std::ops::Range;
use std::sync::Arc;

/// Where an event went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its partition.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
    /// Whether its id was known, so that this is where the *first* event of that id went and
    /// nothing was stored now.
    pub duplicate: bool,
}

/// What is at one offset.
#[derive(Clone, Debug)]
pub enum LogRecord {
    /// An event.
    Event(Arc<LoggedEvent>),
    /// Something that cannot be read as the event that was written.
    Corrupt {
        /// Where.
        offset: Offset,
        /// What is wrong with it.
        reason: String,
    },
}

impl LogRecord {
    /// The record's offset.
    #[must_use]
    pub fn offset(&self) -> Offset {
        match self {
            Self::Event(event) => event.offset,
            Self::Corrupt { offset, .. } => *offset,
        }
    }
}

/// A run of records.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The records, by ascending offset.
    pub records: Vec<LogRecord>,
    /// Where reading goes on: everything below that the log has was returned.
    pub next: Offset,
}

/// What part of a partition the log has.
///
/// ```text
///   0 ─── trimmed ─── start ─── readable ─── end ─── next append
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that is still there, or `end` if none is.
    pub start: Offset,
    /// The offset that the next event will get (or a larger one); all durable events are below.
    pub end: Offset,
}

/// A partitioned log of events.
///
/// An event's partition is [`Partition::of`] of [`laneway_domain::Event::ordered_by`].
#[async_trait]
pub trait EventLog: Send + Sync {
    /// How many partitions the store was made with. Never changes.
    fn partitions(&self) -> u32;

    /// Stores events, in this order per partition, and resolves when what it says is durable.
    /// Results are in the order of `events`, one each.
    ///
    /// - Must not say [`Appended`] before the event would survive a power cut; the same for the
    ///   original of a duplicate.
    /// - Must give the events of one partition rising offsets, in the order of the calls that
    ///   were accepted and of `events`. Where one event fails, later ones of the same call and
    ///   partition may still be stored: their producer learns from the results.
    /// - Must recognise an event whose id was given and that was stored in the same partition
    ///   within the duplicate window, also within one call, by [`NewEvent::remembered_as`] (the
    ///   same id from the same source), and answer with the first event's place. The same id from
    ///   another source, or in another partition (as it may be under another key), is another event.
    /// - Must answer at once with [`StoreError::RetryLater`] when its queue is full.
    /// - May be cancelled: then it is not known what was stored.
    async fn append(&self, events: Vec<NewEvent>) -> Vec<Result<Appended, StoreError>>;

    /// Reads from `from` on: at most `max_events`, and events of at most `max_bytes` together (by
    /// [`laneway_domain::Event::weight`]), but at least one if there is one.
    ///
    /// - Must return only durable events, every one exactly as it was appended, without a gap
    ///   other than what was trimmed or lost.
    /// - Must return a record that fails its check as [`LogRecord::Corrupt`], and go on behind it.
    /// - `from` below the log's start reads from the start; at its end, nothing.
    async fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Chunk, StoreError>;

    /// Waits until the partition's end is beyond `seen`, and returns it. Resolves at once if it is.
    async fn grown(&self, partition: Partition, seen: Offset) -> Result<Offset, StoreError>;

    /// What part of the partition is there.
    async fn bounds(&self, partition: Partition) -> Result<Bounds, StoreError>;

    /// The offsets of events that the store had acknowledged and has lost since, as far as it has noticed: a range for each
    /// loss, by ascending offset. What comes after one is of a later generation ([`Offset::generation`]).
    ///
    /// A store whose acknowledged writes cannot be lost answers with none, as this does.
    async fn losses(&self, partition: Partition) -> Result<Vec<Range<Offset>>, StoreError> {
        let _ = partition;
        Ok(Vec::new())
    }

    /// Where the event went that is remembered so ([`NewEvent::remembered_as`]) in each partition that knows it. Ids are
    /// remembered for the duplicate window, if their producer gave them.
    async fn remembered(&self, id: &str) -> Result<Vec<(Partition, Offset)>, StoreError>;

    /// Removes at most `most` of the oldest events that were accepted before `accepted_before`,
    /// and returns how many.
    ///
    /// - Must never remove an event at or above
    ///   [`laneway_domain::PartitionProgress::settled_below`] of the partition's durable
    ///   progress, checked in the same atomic step.
    /// - Must not reuse the offsets of what it removed, nor lower `end`.
    /// - Must not wait for the time of an event to come that was accepted by a clock that was ahead: it goes with the
    ///   next one whose time does not lie ahead ([`laneway_domain::Oldest`]), and never for that reason alone.
    /// - Must let go, in the same step, of the partition's cuts that no event needs any more
    ///   ([`laneway_domain::Cuts::trim`]).
    async fn trim(&self, partition: Partition, accepted_before: Timestamp, most: usize) -> Result<usize, StoreError>;
}

/// Where in a partition a moment is: the offset from which on everything was accepted at `since` or later, by the
/// clocks of those who took it in. Where these went back, or a record cannot be read, it is rather too early;
/// [`Timestamp::ZERO`] is the log's start. Reads about as many single events as the log's length has binary digits.
///
/// # Errors
/// Those of [`EventLog::bounds`] and [`EventLog::read`].
pub async fn accepted_since(log: &dyn EventLog, partition: Partition, since: Timestamp) -> Result<Offset, StoreError> {
    let Bounds { start: mut low, end: mut high } = log.bounds(partition).await?;
    if since == Timestamp::ZERO {
        return Ok(low);
    }
    while low < high {
        let middle = Offset(low.0 + (high.0 - low.0) / 2);
        match log.read(partition, middle, 1, 1).await?.records.first() {
            Some(LogRecord::Event(event)) if event.accepted_at < since => low = event.offset.next(),
            // Nothing from here on, too, as at the end of a generation.
            _ => high = middle,
        }
    }
    Ok(low)
}
