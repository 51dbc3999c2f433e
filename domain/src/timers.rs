//! All timers of a dispatcher in one table whose first entry is the next wake-up.

use crate::destination::DestinationIndex;
use crate::io::ReadId;
use crate::lane_key::LaneKey;
use crate::partition::Partition;
use crate::time::Timestamp;
use crate::way::LaneAt;
use std::collections::BTreeSet;

/// What is to be looked at when a moment has come. A timer that is no longer needed is not
/// removed: whoever is woken looks at its own state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A destination's probe or next token.
    Gate(DestinationIndex),
    /// A partition's commit.
    Commit(Partition),
    /// A commit that failed is to be sent again.
    Recommit(Partition),
    /// A read that failed is to be made again.
    Reread(ReadId),
    /// Reads that have had a place for long.
    Reads,
    /// Something in a lane.
    Lane(Partition, LaneAt, LaneTimer),
}

/// What is to be looked at in a lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LaneTimer {
    /// The oldest attempt on track.
    Straggler,
    /// A batch that waits for more.
    Linger,
    /// A key whose backoff ends.
    Key(LaneKey),
    /// What waits for longest may have waited for too long.
    Age,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Timestamp, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Timestamp, timer: Timer) {
        self.0.insert((at, timer));
    }

    /// The first timer whose moment has come.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<Timer> {
        if self.0.first().is_some_and(|(at, _)| *at <= now) { self.0.pop_first().map(|(_, timer)| timer) } else { None }
    }

    /// How many there are, those included that nobody needs any more.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }
}
