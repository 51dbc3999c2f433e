//! Attempts of a partition: they start when a gate lets them, and their outcomes go to their lane.

use super::OwnedPartition;
use crate::destination::DestinationIndex;
use crate::dispatcher::shared::Shared;
use crate::dispatcher::under_way::Attempt;
use crate::history::{Fate, Sent};
use crate::io::{AttemptId, Attempted, Output};
use crate::lane::Ends;
use crate::outcome::Outcome;
use crate::progress::Pause;
use crate::way::{LaneAt, Way};

impl OwnedPartition {
    /// The destination's gate lets a lane of this partition pass.
    pub(in crate::dispatcher) fn start_attempt(&mut self, at: LaneAt, shared: &mut Shared) {
        let index = at.destination;
        // The lane that stood in the queue may have gone since, with its destination or its replay.
        let Some(lane) = self.find_lane_mut(at) else { return };
        lane.queued_at_gate = false;
        if lane.has_to_wait() || self.releasing {
            return;
        }
        if self.commits.unstored() >= shared.settings.max_uncommitted || shared.now >= self.leased_until {
            match at.way {
                Way::Live => self.lanes.stall(index),
                Way::Replay(_) => self.replays.stall(at),
            }
            return;
        }
        let (lane, mut cx) = self.known_lane(at, shared);
        let (id, delivery) = (lane.id, lane.next_delivery(&mut cx));
        if let Some((parts, events)) = delivery {
            let attempt = AttemptId(shared.next_id());
            let gate = shared.destinations.gate_mut(index);
            let (probe, place) = (gate.started(shared.now), gate.sharing());
            let destination = gate.destination.name.clone();
            let target_since = gate.destination.target_since;
            let (partition, incarnation) = (self.partition, self.incarnation);
            let told = shared.settings.history && gate.destination.is_kept;
            let sent =
                |events: &[Attempted]| events.iter().map(|of| Sent::new(&of.event, of.attempt, of.redrive)).collect();
            let sent = if told { sent(&events) } else { Vec::new() };
            let started = Attempt {
                partition,
                destination: index,
                lane: id,
                incarnation,
                parts,
                sent,
                probe,
                target_since,
                place,
            };
            for other in self.lanes_but(index, Some(at)) {
                if let Some(lane) = self.find_lane_mut(other) {
                    lane.begun_elsewhere(started.keys());
                }
            }
            shared.attempts.insert(attempt, started);
            shared.attempt_places.take(place);
            shared.output(Output::Attempt { attempt, destination, events });
            self.attempts += 1;
            self.queue_at_gate(at, shared);
        }
        self.read_for_lane(at, shared);
        if self.find_lane_mut(at).is_some_and(|lane| lane.has_changed_keys()) {
            self.touch(at);
            self.note_change(shared);
        }
    }

    /// Whether the end of an attempt that may make a dead letter has to wait for the commit that is on its way: the
    /// next one has enough of them.
    pub(in crate::dispatcher) fn has_to_wait(&self, attempt: &Attempt, shared: &Shared) -> bool {
        self.incarnation == attempt.incarnation && self.commits.has_enough_letters(&shared.settings)
    }

    /// An attempt of this partition has ended.
    pub(in crate::dispatcher) fn attempt_ended(
        &mut self,
        id: AttemptId,
        attempt: &Attempt,
        ends: Ends<'_>,
        shared: &mut Shared,
    ) {
        if self.incarnation != attempt.incarnation {
            return; // Of an earlier ownership: whatever came of it may be known to others already.
        }
        self.attempts -= 1;
        let index = attempt.destination;
        // Where its lane is no more, what was in flight counts for nothing.
        let at = self.lane_with_id(index, attempt.lane);
        if let Some(at) = at {
            self.with_lane(at, shared, |lane, cx| {
                let (mut rest, mut rest_sent) = (ends, attempt.sent.as_slice());
                for part in &attempt.parts {
                    let (of_part, others) = rest.split_at(part.count);
                    let (sent, others_sent) = rest_sent.split_at(part.count.min(rest_sent.len()));
                    lane.ended(part, of_part, sent, cx);
                    (rest, rest_sent) = (others, others_sent);
                }
            });
        } else if self.lanes.get(index).is_some() {
            self.tell_uncounted(attempt, ends.outcomes, shared);
        }
        for other in self.lanes_but(index, at) {
            self.with_lane(other, shared, |lane, cx| lane.ended_elsewhere(id, attempt.keys(), cx));
        }
        if self.replays.any_touched() {
            // A replay may have waited for this one only, and there be no lane that it is of.
            self.note_change(shared);
        }
        self.finish_release(shared);
    }

    /// What a lane before this one has begun is told, and counts for nothing.
    fn tell_uncounted(&mut self, attempt: &Attempt, outcomes: &[Outcome], shared: &mut Shared) {
        let destination = shared.destinations.get(attempt.destination);
        for (sent, outcome) in attempt.sent.iter().zip(outcomes) {
            if let Some(told) = sent.told(destination, shared.now, outcome, Fate::Waits) {
                self.commits.uncommitted.to_tell.tell(told);
            }
        }
        self.note_change(shared);
    }

    /// Records why Laneway has paused a destination, in the lane that has met the reason. Whoever calls this sees to the
    /// lane's needs after: a commit that is made at once is to have all that came of the attempt.
    pub(in crate::dispatcher) fn pause(&mut self, index: DestinationIndex, pause: Pause, shared: &mut Shared) {
        if !self.has_joined(index) {
            return; // The attempt is of before a store lost its cut. It is recorded when the destination joins again.
        }
        self.make_lane(index, shared);
        let lane = self.lanes.get_mut(index).unwrap_or_else(|| panic!("the lane was made a moment ago"));
        lane.set_paused(Some(pause));
        self.lanes.touch(index);
    }

    /// Records that the destination is not paused any more. Whether anything is under way here.
    pub(in crate::dispatcher) fn resume(&mut self, index: DestinationIndex, shared: &mut Shared) -> bool {
        let acted = self.with_lane(index.into(), shared, |lane, _| lane.set_paused(None)).is_some();
        for replay in self.lanes_but(index, Some(index.into())) {
            self.serve_lane(replay, shared);
        }
        acted
    }
}
