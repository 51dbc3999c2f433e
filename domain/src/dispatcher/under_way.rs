//! What was asked of the world and has not been answered.

use crate::destination::DestinationIndex;
use crate::history::Sent;
use crate::io::AttemptId;
use crate::lane::Part;
use crate::lane_key::LaneKey;
use crate::partition::{Offset, Partition};
use crate::revision::Revision;
use crate::shares::GroupIndex;
use crate::way::LaneAt;
use std::collections::{BTreeMap, BTreeSet};

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) partition: Partition,
    pub(super) destination: DestinationIndex,
    /// The lane's [`crate::lane::Lane::id`], and its partition's incarnation.
    pub(super) lane: u64,
    pub(super) incarnation: u64,
    pub(super) parts: Vec<Part>,
    /// What is to be told of its events when it ends; empty if there is no history.
    pub(super) sent: Vec<Sent>,
    pub(super) probe: bool,
    /// Since when the destination has sent to where this one goes.
    pub(super) target_since: Revision,
    /// In whose share its place counts. Its destination may have begun to answer since, or no longer do so.
    pub(super) place: GroupIndex,
}

impl Attempt {
    /// The keys of its events, each once.
    pub(super) fn keys(&self) -> impl Iterator<Item = &LaneKey> {
        self.parts.iter().map(|part| &part.key)
    }
}

/// The attempts under way, also those of partitions that were lost since.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    by_id: BTreeMap<AttemptId, Attempt>,
    /// The same by the ownership of a partition, which an incarnation names, and the destination. Lanes come and go with
    /// what they have to do, and whoever makes one must not look at all that is in flight in the process.
    by_place: BTreeSet<(u64, DestinationIndex, AttemptId)>,
    /// How many were looked at for what is in flight at a place.
    #[cfg(test)]
    pub(super) looked_at: std::cell::Cell<usize>,
}

impl Attempts {
    pub(super) fn insert(&mut self, id: AttemptId, attempt: Attempt) {
        self.by_place.insert((attempt.incarnation, attempt.destination, id));
        self.by_id.insert(id, attempt);
    }

    pub(super) fn remove(&mut self, id: AttemptId) -> Option<Attempt> {
        let attempt = self.by_id.remove(&id)?;
        self.by_place.remove(&(attempt.incarnation, attempt.destination, id));
        Some(attempt)
    }

    pub(super) fn get(&self, id: AttemptId) -> Option<&Attempt> {
        self.by_id.get(&id)
    }

    /// Those at the destination that are in flight in this ownership of a partition.
    pub(super) fn at(
        &self,
        incarnation: u64,
        destination: DestinationIndex,
    ) -> impl Iterator<Item = (AttemptId, &Attempt)> {
        let place = |id| (incarnation, destination, AttemptId(id));
        self.by_place.range(place(0)..=place(u64::MAX)).filter_map(|(.., id)| {
            #[cfg(test)]
            self.looked_at.update(|count| count + 1);
            Some((*id, self.by_id.get(id)?))
        })
    }

    /// All that are in flight in this ownership of a partition.
    pub(super) fn of(&self, incarnation: u64) -> Vec<AttemptId> {
        let those = self.by_place.iter().filter(|(of, ..)| *of == incarnation);
        those.map(|(.., id)| *id).collect()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Attempt> {
        self.by_id.values()
    }

    /// See [`super::Dispatcher::check`].
    pub(super) fn check(&self) {
        let places = self.by_id.iter().map(|(id, attempt)| (attempt.incarnation, attempt.destination, *id));
        assert_eq!(self.by_place, places.collect(), "where attempts are in flight");
    }
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
    /// See [`crate::Output::Read`].
    pub(super) unhurried: bool,
    /// Whose turn it takes; nobody's if it is for all lanes of a partition.
    pub(super) group: Option<GroupIndex>,
    /// Whether it has one of the places that groups share.
    pub(super) has_place: bool,
}

/// What a read is for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// For all attached lanes.
    Head,
    /// Where the log ends, of a change of the destinations.
    End,
    /// For all lanes that are behind and wait for what comes from there on: of this group, whose turn it takes, and of
    /// whatever others. They read for themselves, or look for keys that are behind and not remembered.
    CatchUp(GroupIndex),
    /// For the lane of a replay.
    Replay(LaneAt),
    /// For a key whose turn it is.
    Fetch(LaneAt, LaneKey),
    /// The same, of a dead letter.
    DeadLetter(LaneAt, LaneKey),
}

impl Purpose {
    /// The destination whose lane asks; none if it is for more than one.
    pub(super) const fn destination(&self) -> Option<DestinationIndex> {
        match self {
            Self::Head | Self::End | Self::CatchUp(_) => None,
            Self::Replay(at) | Self::Fetch(at, _) | Self::DeadLetter(at, _) => Some(at.destination),
        }
    }
}
