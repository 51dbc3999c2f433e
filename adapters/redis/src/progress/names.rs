//! The names of what a partition's progress and dead letters are kept in; `lua/progress.lua` and
//! `lua/dead.lua` say what is in each.

use crate::keys::Keys;
use crate::numbers::Numbers;
use laneway_domain::{DestinationName, Offset, Partition};

/// The keys of one partition.
pub(crate) struct Names<'k> {
    keys: &'k Keys,
    partition: Partition,
}

impl<'k> Names<'k> {
    pub(crate) fn new(keys: &'k Keys, partition: Partition) -> Self {
        Self { keys, partition }
    }

    /// What offsets are in Redis.
    pub(crate) fn numbers(&self) -> &'k Numbers {
        self.keys.numbers()
    }

    /// An offset as Redis has it.
    pub(crate) fn stored(&self, offset: Offset) -> Offset {
        self.numbers().stored(offset)
    }

    pub(crate) fn log(&self) -> String {
        self.keys.log(self.partition)
    }

    pub(crate) const fn partition(&self) -> Partition {
        self.partition
    }

    pub(crate) fn lease(&self) -> String {
        self.keys.lease(self.partition)
    }

    pub(crate) fn progress(&self) -> String {
        self.keys.progress(self.partition)
    }

    /// Lanes that hold the trim by themselves: what `settled_below` looks at.
    pub(crate) fn lowest(&self) -> String {
        self.keys.lowest(self.partition)
    }

    pub(crate) fn cuts(&self) -> String {
        self.keys.cuts(self.partition)
    }

    pub(crate) fn history(&self) -> [String; 2] {
        self.keys.history(self.partition)
    }

    pub(crate) fn quarantine(&self) -> String {
        self.keys.of(self.partition, "quarantine")
    }

    /// The keys behind of a lane. (A destination's name has no colon, so that none of these names
    /// is that of another.)
    pub(crate) fn behind(&self, destination: &DestinationName) -> String {
        self.keys.behind(self.partition, destination)
    }

    /// The retry states of those of them that have failed.
    pub(crate) fn retry(&self, destination: &DestinationName) -> String {
        self.behind(destination) + ":retry"
    }

    /// The destinations that have replays, or had.
    pub(crate) fn replaying(&self) -> String {
        self.keys.of(self.partition, "replays")
    }

    /// A destination's replays: what they are, their keys behind, and the retry states of these.
    pub(crate) fn replays(&self, destination: &DestinationName) -> [String; 3] {
        let own = format!("{}:{destination}", self.replaying());
        [own.clone(), format!("{own}:behind"), format!("{own}:retry")]
    }

    /// What of destinations has expired, and from when on their waiting counts.
    pub(crate) fn expiry(&self) -> String {
        self.keys.of(self.partition, "expiry")
    }

    pub(crate) fn dead(&self) -> String {
        self.keys.dead(self.partition)
    }

    pub(crate) fn dead_order(&self) -> String {
        self.dead() + ":order"
    }

    pub(crate) fn dead_events(&self) -> String {
        self.dead() + ":events"
    }

    pub(crate) fn dead_requested(&self) -> String {
        self.dead() + ":requested"
    }

    pub(crate) fn dead_counts(&self) -> String {
        self.dead() + ":counts"
    }

    pub(crate) fn dead_of(&self, destination: &DestinationName) -> String {
        format!("{}:of:{destination}", self.dead())
    }

    /// As `dead_keys` in `lua/dead.lua` takes them.
    pub(crate) fn all_dead(&self) -> [String; 5] {
        [self.dead(), self.dead_events(), self.dead_order(), self.dead_requested(), self.dead_counts()]
    }
}
