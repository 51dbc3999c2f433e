//! Whether a partition is in the state that it says it is in.

use super::OwnedPartition;
use crate::dispatcher::shared::Shared;
use crate::partition::Partition;

impl OwnedPartition {
    /// See [`crate::Dispatcher::check`].
    pub(in crate::dispatcher) fn check(&self, partition: Partition, shared: &Shared) {
        assert_eq!(self.partition, partition);
        assert!(!self.released, "a partition that was let go of is forgotten");
        let attempts = shared.attempts.values();
        let own = attempts.filter(|a| a.partition == partition && a.incarnation == self.incarnation).count();
        assert_eq!(self.attempts, own, "attempts of partition {partition} in flight");
        self.lanes.check(shared.destinations.configured().count());
        for lane in self.lanes.all() {
            lane.check();
            if lane.queued_at_gate {
                let waiting = &shared.destinations.gate(lane.destination).waiting;
                assert!(
                    waiting.contains(&partition),
                    "a lane of partition {partition} waits at a gate, and is not there"
                );
            }
        }
    }
}
