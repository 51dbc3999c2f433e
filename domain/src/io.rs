//! What goes into the dispatcher and what comes out of it.

use crate::deleted_tenants::DeletedTenants;
use crate::destination::{Destination, DestinationName};
use crate::event::LoggedEvent;
use crate::history::Met;
use crate::lane_key::LaneKey;
use crate::outcome::Outcome;
use crate::partition::{Offset, Partition};
use crate::progress::{Commit, GivenUp, PartitionProgress, Quarantined, Redrive};
use crate::replay::ReplayId;
use crate::retry::NextAttempt;
use crate::revision::Revision;
use crate::status::Command;
use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Names a read, so that its result finds its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub(crate) u64);

/// Names an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub(crate) u64);

/// Names a command, so that its answer finds its way back. Whoever gives commands numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// An event to deliver.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// The event.
    pub event: Arc<LoggedEvent>,
    /// Which attempt at this event this is, from 1. (Attempts during an outage of the destination
    /// do not count, nor do those that a crash made forgotten.)
    pub attempt: u32,
    /// Whether it is delivered once more because someone asked for it: a dead letter that is retried, or an event that is
    /// replayed. Later events of its key may have been delivered before.
    pub redrive: bool,
    /// If a replay delivers it: the replay's number. Per key it rises from one replay to the next, so that a receiver
    /// can tell a replay from a repetition. Then `redrive` is `true`, too.
    pub replay: Option<u64>,
    /// Whether it has to go over a connection that was never used before: the attempt before met one that
    /// was closed meanwhile ([`crate::Cause::StaleConnection`]).
    pub fresh: bool,
}

/// What has changed about the destinations. Whatever is not named here stays as it is.
#[derive(Clone, Debug, Default)]
pub struct DestinationChanges {
    /// The last revision that is known now.
    pub revision: Revision,
    /// Destinations that were made or changed.
    pub present: Vec<Destination>,
    /// Destinations that the configuration no longer names. Their progress is kept.
    pub left: Vec<DestinationName>,
    /// Destinations that are gone, with all that waits for them.
    pub deleted: Vec<DestinationName>,
}

impl DestinationChanges {
    /// These destinations are there, of a process that knows of no revisions.
    #[must_use]
    pub fn present(destinations: Vec<Destination>) -> Self {
        Self { present: destinations, ..Self::default() }
    }
}

/// What happens in the world.
#[derive(Clone, Debug)]
pub enum Input {
    /// Destinations have come, changed or gone.
    Destinations(DestinationChanges),
    /// All tenants that were deleted and whose events may be in the log: nobody gets those from now on.
    DeletedTenants(DeletedTenants),
    /// This process owns the partition, and this is its progress.
    Claimed {
        /// The partition.
        partition: Partition,
        /// As the store has it.
        progress: PartitionProgress,
        /// Destinations that have progress there and were deleted.
        gone: BTreeSet<DestinationName>,
        /// What the log has.
        log: Range<Offset>,
        /// No attempt starts from then on, unless the lease is renewed before.
        until: Timestamp,
    },
    /// The partition's lease was prolonged.
    LeaseRenewed {
        /// The partition.
        partition: Partition,
        /// No attempt starts from then on.
        until: Timestamp,
    },
    /// This process no longer owns the partition. What is in flight there may still end.
    LeaseLost(Partition),
    /// The log has grown to this end.
    Grew {
        /// The partition.
        partition: Partition,
        /// Its end.
        end: Offset,
    },
    /// The log now begins there: what was below is gone.
    Trimmed {
        /// The partition.
        partition: Partition,
        /// Its first offset.
        start: Offset,
    },
    /// A read has ended.
    Read {
        /// Which.
        read: ReadId,
        /// The events, by ascending offset.
        events: Vec<Arc<LoggedEvent>>,
        /// Records among them that cannot be read.
        corrupt: Vec<Quarantined>,
        /// Everything that the log has below was read.
        next: Offset,
    },
    /// Where the log of a partition ends, asked of the store after [`Output::ReadEnd`].
    EndRead {
        /// Which read.
        read: ReadId,
        /// The end.
        end: Offset,
    },
    /// A read has failed; it will be asked for again.
    ReadFailed(ReadId),
    /// The copy of a dead letter's event; `None` if there is none any more.
    DeadLetterRead {
        /// Which read.
        read: ReadId,
        /// The event.
        event: Option<Arc<LoggedEvent>>,
    },
    /// The copy of a dead letter's event is damaged, and asking again would not help.
    DeadLetterUnreadable {
        /// Which read.
        read: ReadId,
        /// What is wrong with it, for people.
        why: Box<str>,
    },
    /// Someone wants these dead letters attempted once more. Telling twice changes nothing.
    Redrive {
        /// The partition.
        partition: Partition,
        /// Which.
        requests: Vec<Redrive>,
    },
    /// An attempt has ended, with one outcome per event.
    AttemptEnded {
        /// Which.
        attempt: AttemptId,
        /// Missing ones count as not tried.
        outcomes: Vec<Outcome>,
        /// What else it met, for the history.
        met: Met,
    },
    /// The partition's commit is durable.
    Committed(Partition),
    /// The partition's commit was not stored, or nobody knows. It will be sent again, the same.
    CommitFailed(Partition),
    /// An operator wants something; answered with [`Output::CommandDone`].
    Command {
        /// Names it, by whoever gives it.
        id: CommandId,
        /// What is wanted.
        command: Command,
    },
    /// Start nothing more in this partition, commit, and say when it can be released.
    Release(Partition),
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Read from the log and answer with [`Input::Read`] or [`Input::ReadFailed`].
    Read {
        /// Names it.
        read: ReadId,
        /// The partition.
        partition: Partition,
        /// From here on.
        from: Offset,
        /// At most so many records.
        most: usize,
        /// Of at most so many bytes, but at least one record.
        most_bytes: usize,
        /// Whether nothing new waits for it: a replay goes through a log that may be long. Such reads are to take little
        /// of what the others need.
        unhurried: bool,
    },
    /// Read the copy of a dead letter's event and answer with [`Input::DeadLetterRead`] or
    /// [`Input::ReadFailed`].
    ReadDeadLetter {
        /// Names it.
        read: ReadId,
        /// The partition.
        partition: Partition,
        /// The event's offset.
        offset: Offset,
        /// Whose dead letter it is.
        destination: DestinationName,
    },
    /// Ask the store where the partition's log ends, and answer with [`Input::EndRead`] or [`Input::ReadFailed`]. What was
    /// heard of it before does not count: every event that was acknowledged by now is to be below.
    ReadEnd {
        /// Names it.
        read: ReadId,
        /// The partition.
        partition: Partition,
    },
    /// Hand these events to the destination's sink, and answer with [`Input::AttemptEnded`].
    Attempt {
        /// Names it.
        attempt: AttemptId,
        /// The destination.
        destination: DestinationName,
        /// The events; those of one key stand in their order.
        events: Vec<Attempted>,
    },
    /// Break these attempts off, and answer each with [`Input::AttemptEnded`] all the same: with [`Outcome::NotTried`]
    /// of each event. Their partition is lost. Nothing that comes of them can be stored, and the next owner makes them
    /// again; what has not been sent by now would arrive behind what that one sends.
    Abandon {
        /// Which.
        attempts: Vec<AttemptId>,
    },
    /// Store this, and answer with [`Input::Committed`], [`Input::CommitFailed`] or [`Input::LeaseLost`].
    Commit {
        /// The partition.
        partition: Partition,
        /// What to store. Shared, because it is sent again if it fails.
        commit: Arc<Commit>,
    },
    /// The partition is at rest after [`Input::Release`], and all of it is committed. It is
    /// forgotten here.
    Released(Partition),
    /// A command was carried out.
    CommandDone {
        /// Which.
        id: CommandId,
        /// Whether there was something to do it to.
        acted: bool,
    },
    /// Something that people should know.
    Notice(Notice),
}

/// Something that people should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A key's event has failed for the first time; what is behind it waits.
    KeyBlocked {
        /// The destination.
        destination: DestinationName,
        /// The partition.
        partition: Partition,
        /// The key.
        key: LaneKey,
        /// What went wrong.
        reason: Box<str>,
        /// When it is tried again.
        next_attempt: NextAttempt,
        /// The event that has failed. `None` if its data is not in memory: that of a later one in a slow batch.
        event: Option<Arc<LoggedEvent>>,
    },
    /// An event was given up.
    GivenUp {
        /// The partition.
        partition: Partition,
        /// The event. `None` if its data is not in memory: that of a key that an operator skips, and of a later one in
        /// a slow batch.
        event: Option<Arc<LoggedEvent>>,
        /// What, why, and after how many attempts.
        given_up: GivenUp,
        /// Whether its key is held, and the event not made a dead letter.
        held: bool,
    },
    /// A dead letter was attempted once more, because someone asked for it, or could not be.
    Redriven {
        /// The destination.
        destination: DestinationName,
        /// The partition.
        partition: Partition,
        /// Its event. `None` if its copy is damaged.
        event: Option<Arc<LoggedEvent>>,
        /// What went wrong; `None` if it was delivered.
        failed: Option<Box<str>>,
    },
    /// A destination's failures count as an outage now.
    BreakerOpened {
        /// The destination.
        destination: DestinationName,
        /// What went wrong last.
        reason: String,
        /// When the first probe goes.
        next_probe: Timestamp,
    },
    /// An attempt got through again.
    BreakerClosed {
        /// The destination.
        destination: DestinationName,
    },
    /// Laneway paused a destination; its events wait.
    Paused {
        /// The destination.
        destination: DestinationName,
        /// Why.
        reason: String,
    },
    /// A lane has as many keys behind as it may: it looks at no further events until some catch up.
    TooManyBehind {
        /// The destination.
        destination: DestinationName,
        /// The partition.
        partition: Partition,
        /// How many.
        keys: usize,
    },
    /// A record of the log cannot be read; it is kept aside, and no destination gets it.
    Quarantined {
        /// The partition.
        partition: Partition,
        /// Which, and what is wrong with it.
        record: Quarantined,
    },
    /// An event that a key waited for is no longer in the log.
    EventMissing {
        /// The destination.
        destination: DestinationName,
        /// The partition.
        partition: Partition,
        /// Which.
        offset: Offset,
    },
    /// A destination goes back, because an operator wants a replay.
    Replay {
        /// The destination.
        destination: DestinationName,
        /// The partition.
        partition: Partition,
        /// What it wants from here on is delivered again.
        from: Offset,
    },
    /// Events are delivered once more, because an operator wants that.
    ReplayBegins {
        /// The destination.
        destination: DestinationName,
        /// The partition.
        partition: Partition,
        /// What the replay is called.
        replay: ReplayId,
    },
    /// Events had waited for as long as they may, and are settled without being delivered. It is stored.
    Expired {
        /// The destination.
        destination: DestinationName,
        /// The partition.
        partition: Partition,
        /// How many.
        count: u64,
        /// The last of them, as far as the lane has come.
        last: Offset,
    },
    /// A destination that is not in the configuration holds progress here, and with it the trim.
    Unconfigured {
        /// The destination.
        destination: DestinationName,
        /// The partition.
        partition: Partition,
        /// How many offsets wait for it, wanted or not.
        waiting: u64,
    },
}
