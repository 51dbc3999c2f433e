//! What was asked of the world and has not been answered.

use crate::destination::DestinationIndex;
use crate::lane::Part;
use crate::lane_key::LaneKey;
use crate::partition::{Offset, Partition};
use crate::revision::Revision;

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) partition: Partition,
    pub(super) destination: DestinationIndex,
    /// The lane's [`crate::lane::Lane::id`], and its partition's incarnation.
    pub(super) lane: u64,
    pub(super) incarnation: u64,
    pub(super) parts: Vec<Part>,
    pub(super) probe: bool,
    /// Since when the destination has sent to where this one goes.
    pub(super) target_since: Revision,
}

/// A read under way.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) partition: Partition,
    /// The ownership or the lane that asked; a later one of the same name must not get the answer.
    pub(super) asked_by: u64,
    pub(super) from: Offset,
    /// Where the log ended when it was asked. An answer with nothing says nothing of what came after.
    pub(super) end: Offset,
    pub(super) most: usize,
    pub(super) most_bytes: usize,
    pub(super) purpose: Purpose,
}

/// What a read is for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// For all attached lanes.
    Head,
    /// Where the log ends, of a change of the destinations.
    End,
    /// For a lane that reads for itself.
    Lane(DestinationIndex),
    /// For the keys of a lane that are behind and not remembered.
    Scan(DestinationIndex),
    /// For a key whose turn it is.
    Fetch(DestinationIndex, LaneKey),
    /// The same, of a dead letter.
    DeadLetter(DestinationIndex, LaneKey),
}
