//! Replays: a destination goes back, and from there on everything that it wants is delivered again, in
//! order. Its progress goes back with it, so that a replay survives whatever progress survives.

use super::Dispatcher;
use crate::lane::DestinationIndex;
use crate::{DestinationName, Notice, Offset, Partition, Timestamp};
use std::collections::BTreeMap;

impl Dispatcher {
    /// Goes back in each of these partitions, of those that are worked on here. `false` if there is none,
    /// or the destination is not configured.
    pub(super) fn replay(
        &mut self,
        name: &DestinationName,
        from: &BTreeMap<Partition, Offset>,
        now: Timestamp,
    ) -> bool {
        let Some(index) = self.names.get(name).copied().filter(|index| self.configured.contains(index)) else {
            return false;
        };
        let mut acted = false;
        for (&partition, &from) in from {
            if self.partitions.contains_key(&partition) {
                acted = true;
                self.replay_in(partition, index, from, now);
            }
        }
        acted
    }

    fn replay_in(&mut self, partition: Partition, index: DestinationIndex, from: Offset, now: Timestamp) {
        let Some(owned) = self.partitions.get(&partition) else { return };
        let (looked_up_to, ahead) = match owned.lane(index) {
            Some(lane) => (lane.looked_up_to(owned.head), lane.has_ahead()),
            None => (owned.head, false),
        };
        if from >= looked_up_to && !ahead {
            return; // Nothing from there on was delivered yet.
        }
        // A lane that begins anew, from where the old one would have gone on, but for what is not settled any more.
        self.remove_lane(partition, index, now);
        let destination = self.destination(index).name.clone();
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        let Some(before) = owned.unconfigured.remove(&destination) else { return };
        let after = before.gone_back(from, owned.scanned);
        let change = owned.committing.prepared.lanes.entry(destination.clone()).or_default();
        change.position = Some(after.position);
        for key in before.behind.into_keys() {
            let record = after.behind.get(&key).cloned();
            change.behind.insert(key, record);
        }
        owned.unconfigured.insert(destination.clone(), after);
        self.add_lane(partition, index, now);
        self.notices.push_back(Notice::Replay { destination, partition, from });
        self.serve_lane(partition, index, now);
        self.read_head(partition);
    }
}
