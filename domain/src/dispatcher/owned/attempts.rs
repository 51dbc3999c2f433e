//! Attempts of a partition: they start when a gate lets them, and their outcomes go to their lane.

use super::OwnedPartition;
use crate::destination::DestinationIndex;
use crate::dispatcher::shared::Shared;
use crate::dispatcher::under_way::Attempt;
use crate::io::{AttemptId, Output};
use crate::outcome::Outcome;
use crate::progress::Pause;

impl OwnedPartition {
    /// The destination's gate lets this partition's lane pass.
    pub(in crate::dispatcher) fn start_attempt(&mut self, index: DestinationIndex, shared: &mut Shared) {
        // The lane that stood in the queue may have gone since, with its destination.
        let Some(lane) = self.lanes.get_mut(index) else { return };
        lane.queued_at_gate = false;
        if self.releasing || lane.has_to_wait() {
            return;
        }
        if self.commits.unstored() >= shared.settings.max_uncommitted || shared.now >= self.leased_until {
            self.lanes.stall(index);
            return;
        }
        let (lane, mut cx) = self.known_lane(index, shared);
        let (id, delivery) = (lane.id, lane.next_delivery(&mut cx));
        if let Some((parts, events)) = delivery {
            let attempt = AttemptId(shared.next_id());
            let gate = shared.destinations.gate_mut(index);
            let probe = gate.started(shared.now);
            let destination = gate.destination.name.clone();
            let target_since = gate.destination.target_since;
            let (partition, incarnation) = (self.partition, self.incarnation);
            let started = Attempt { partition, destination: index, lane: id, incarnation, parts, probe, target_since };
            shared.attempts.insert(attempt, started);
            shared.output(Output::Attempt { attempt, destination, events });
            self.attempts += 1;
            self.queue_at_gate(index, shared);
        }
        self.read_for_lane(index, shared);
        if self.lanes.known_mut(index).has_changed_keys() {
            self.lanes.touch(index);
            self.note_change(shared);
        }
    }

    /// Whether the end of an attempt that may make a dead letter has to wait for the commit that is on its way: the
    /// next one has enough of them.
    pub(in crate::dispatcher) fn has_to_wait(&self, attempt: &Attempt, shared: &Shared) -> bool {
        self.incarnation == attempt.incarnation && self.commits.has_enough_letters(&shared.settings)
    }

    /// An attempt of this partition has ended. `outage`: its failure is the destination's, and spends
    /// no retry.
    pub(in crate::dispatcher) fn attempt_ended(
        &mut self,
        attempt: &Attempt,
        outcomes: &[Outcome],
        outage: bool,
        shared: &mut Shared,
    ) {
        if self.incarnation != attempt.incarnation {
            return; // Of an earlier ownership: whatever came of it may be known to others already.
        }
        self.attempts -= 1;
        let index = attempt.destination;
        match self.lanes.get_mut(index) {
            // The destination has left, and what was in flight counts for nothing.
            None => {}
            Some(lane) if lane.id != attempt.lane => {
                lane.predecessor_ended();
                self.queue_at_gate(index, shared);
            }
            Some(_) => {
                self.with_lane(index, shared, |lane, cx| {
                    let mut rest = outcomes;
                    for part in &attempt.parts {
                        let (of_part, others) = rest.split_at(part.count);
                        lane.ended(part, of_part, outage, cx);
                        rest = others;
                    }
                });
            }
        }
        self.finish_release(shared);
    }

    /// Records why Laneway has paused a destination, in the lane that has met the reason.
    pub(in crate::dispatcher) fn pause(&mut self, index: DestinationIndex, pause: Pause, shared: &mut Shared) {
        if !self.has_joined(index) {
            return; // The attempt is of before a store lost its cut. It is recorded when the destination joins again.
        }
        self.make_lane(index, shared);
        self.with_lane(index, shared, |lane, _| lane.set_paused(Some(pause)));
    }
}
