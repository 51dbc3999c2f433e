//! Replays: a destination goes back, and from there on everything that it wants is delivered again, in
//! order. Its progress goes back with it, so that a replay survives whatever progress survives.

use super::OwnedPartition;
use crate::destination::DestinationIndex;
use crate::dispatcher::shared::Shared;
use crate::io::Notice;
use crate::partition::Offset;

impl OwnedPartition {
    /// Goes back to `from`, if anything from there on was settled.
    pub(in crate::dispatcher) fn replay(&mut self, index: DestinationIndex, from: Offset, shared: &mut Shared) {
        if self.joining.contains(&index) {
            return; // It wants nothing here yet.
        }
        let (looked_up_to, ahead) = match self.lanes.get(index) {
            Some(lane) => (lane.looked_up_to(self.head), lane.has_ahead()),
            None => (self.head, false),
        };
        if from >= looked_up_to && !ahead {
            return; // Nothing from there on was delivered yet.
        }
        // A lane that begins anew, from where the old one would have gone on, but for what is not settled any more.
        self.remove_lane(index, shared);
        let destination = shared.destinations.get(index).name.clone();
        let before = self.unconfigured.remove(&destination);
        let before = before.unwrap_or_else(|| panic!("the progress of {destination} stays when its lane is removed"));
        let mut after = before.gone_back(from, self.commits.scanned);
        after.expiry.went_back(looked_up_to, shared.now);
        let change = self.commits.prepare(&destination);
        change.position = Some(after.position);
        change.expiry = Some(after.expiry);
        for key in before.behind.into_keys() {
            let record = after.behind.get(&key).cloned();
            change.behind.insert(key, record);
        }
        self.unconfigured.insert(destination.clone(), after);
        self.add_lane(index, self.end, shared);
        self.keep_judging(index, shared);
        shared.notice(Notice::Replay { destination, partition: self.partition, from });
        self.serve_lane(index.into(), shared);
        self.read_head(shared);
        self.shared_reader_may_have_gone(shared);
    }
}
