//! Which lane of a destination is meant: the one for what is new, or that of a replay.

use crate::destination::DestinationIndex;

/// A way of events to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// Of those that it has not settled yet.
    Live,
    /// Of those that are delivered once more, by the id of the lane that does so.
    Replay(u64),
}

/// Where a lane is in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneAt {
    pub(crate) destination: DestinationIndex,
    pub(crate) way: Way,
}

impl From<DestinationIndex> for LaneAt {
    /// The lane of what is new.
    fn from(destination: DestinationIndex) -> Self {
        Self { destination, way: Way::Live }
    }
}
