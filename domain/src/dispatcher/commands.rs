//! What an operator wants.

use super::Dispatcher;
use super::owned::OwnedPartition;
use super::shared::Shared;
use crate::destination::DestinationName;
use crate::io::{CommandId, Output};
use crate::partition::{Offset, Partition};
use crate::replay::{ReplayId, ReplayOrder};
use crate::status::{Command, KeyAt};
use std::collections::BTreeMap;

impl Dispatcher {
    /// Carries out a command, and says whether there was something to do it to.
    pub(super) fn command(&mut self, id: CommandId, command: &Command) {
        let acted = match command {
            Command::RetryKey { destination, key } => self.retry_key(destination, key),
            Command::SkipKey { destination, key } => self.skip_key(destination, key),
            Command::Resume { destination } => self.resume(destination),
            Command::Forget { destination } => self.forget(destination),
            Command::Replay { destination, from } => self.replay(destination, from),
            Command::BeginReplay { destination, replay, order } => self.begin_replay(destination, replay, order),
            Command::CancelReplay { destination, replay } => self.cancel_replay(destination, replay),
        };
        self.shared.output(Output::CommandDone { id, acted });
    }

    /// Whether any partition had something to do.
    fn in_any(&mut self, mut act: impl FnMut(&mut OwnedPartition, &mut Shared) -> bool) -> bool {
        let mut acted = false;
        for owned in self.partitions.values_mut() {
            acted |= act(owned, &mut self.shared);
        }
        acted
    }

    /// Whether the key was blocked somewhere.
    fn retry_key(&mut self, destination: &DestinationName, at: &KeyAt) -> bool {
        // Operators may name what was never configured.
        let Some(index) = self.shared.destinations.named(destination) else { return false };
        self.in_partitions_of(at, |owned, shared| {
            owned.with_lanes_of(index, shared, |lane, cx| {
                lane.is_blocked(&at.key, at.head) && lane.retry_now(&at.key, cx)
            })
        })
    }

    /// Gives one event up. Whether there was one.
    fn skip_key(&mut self, destination: &DestinationName, at: &KeyAt) -> bool {
        // Operators may name what was never configured.
        let Some(index) = self.shared.destinations.named(destination) else { return false };
        let mut skipped = false;
        self.in_partitions_of(at, |owned, shared| {
            owned.with_lanes_of(index, shared, |lane, cx| {
                // The live lane comes first. Another one of it is another event.
                skipped = skipped || (lane.is_blocked(&at.key, at.head) && lane.skip(&at.key, cx));
                skipped
            })
        })
    }

    /// Whether a partition that it may be in had something to do.
    fn in_partitions_of(&mut self, at: &KeyAt, act: impl FnMut(&mut OwnedPartition, &mut Shared) -> bool) -> bool {
        let Some(partition) = at.partition else { return self.in_any(act) };
        let (mut act, shared) = (act, &mut self.shared);
        self.partitions.get_mut(&partition).is_some_and(|owned| act(owned, shared))
    }

    /// Lets go of a destination that is not configured.
    fn forget(&mut self, name: &DestinationName) -> bool {
        self.in_any(|owned, _| owned.forget(name))
    }

    /// Ends a pause that Laneway has made.
    fn resume(&mut self, name: &DestinationName) -> bool {
        // Operators may name what was never configured.
        let Some(index) = self.shared.destinations.named(name) else { return false };
        let was_stopped = self.shared.destinations.gate_mut(index).resume();
        self.shared.to_admit.insert(index);
        self.in_any(|owned, shared| owned.resume(index, shared));
        was_stopped
    }

    /// Goes back in each of these partitions, of those that are worked on here. `false` if there is none,
    /// or the destination is not configured.
    fn replay(&mut self, name: &DestinationName, from: &BTreeMap<Partition, Offset>) -> bool {
        let Some(index) = self.shared.destinations.named(name) else { return false };
        let mut acted = false;
        for (partition, from) in from {
            // The others are other workers' to go back in.
            let Some(owned) = self.partitions.get_mut(partition) else { continue };
            owned.replay(index, *from, &mut self.shared);
            acted = true;
        }
        acted
    }

    /// Begins in each of these partitions, of those that are worked on here. `false` if one of them cannot, or the
    /// destination is not configured.
    fn begin_replay(&mut self, name: &DestinationName, replay: &ReplayId, order: &ReplayOrder) -> bool {
        let Some(index) = self.shared.destinations.named(name) else { return false };
        let mut begun = true;
        for owned in self.partitions.values_mut() {
            begun &= owned.begin_replay(index, replay, order, &mut self.shared);
        }
        begun
    }

    /// Ends it wherever it is. `false` if it is nowhere here.
    fn cancel_replay(&mut self, name: &DestinationName, replay: &ReplayId) -> bool {
        let Some(index) = self.shared.destinations.named(name) else { return false };
        self.in_any(|owned, shared| owned.cancel_replay(index, replay, shared))
    }
}
