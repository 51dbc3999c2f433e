//! Attempts: through the gate, and back with their outcomes.

use super::Dispatcher;
use crate::gate::Admission;
use crate::lane::{DestinationIndex, Part};
use crate::timers::Timer;
use crate::{AttemptId, Effect, LaneKey, Notice, Outcome, Output, Partition, Pause, Timestamp};

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Attempt {
    partition: Partition,
    destination: DestinationIndex,
    /// The lane's [`crate::lane::Lane::id`], and its partition's incarnation.
    lane: u64,
    incarnation: u64,
    parts: Vec<Part>,
    probe: bool,
}

impl Dispatcher {
    /// Puts a lane that has events in hand into its destination's queue.
    pub(super) fn queue_at_gate(&mut self, partition: Partition, destination: DestinationIndex) {
        let lane = self.partitions.get_mut(&partition).and_then(|owned| owned.lane_mut(destination));
        let Some(lane) = lane.filter(|lane| lane.has_ready() && !lane.queued_at_gate) else { return };
        lane.queued_at_gate = true;
        self.gates[destination.0].waiting.push_back(partition);
        self.stirred.insert(destination);
    }

    /// Starts what the gate lets through.
    pub(super) fn pass_gate(&mut self, destination: DestinationIndex, now: Timestamp) {
        loop {
            let gate = &mut self.gates[destination.0];
            if gate.waiting.is_empty() {
                return;
            }
            match gate.admission(now) {
                Admission::Now => {}
                Admission::Later => return,
                Admission::At(at) => {
                    if gate.timer.is_none_or(|timer| timer > at) {
                        gate.timer = Some(at);
                        self.timers.set(at, Timer::Gate(destination));
                    }
                    return;
                }
            }
            if let Some(partition) = gate.waiting.pop_front() {
                self.start_attempt(partition, destination, now);
            }
        }
    }

    fn start_attempt(&mut self, partition: Partition, destination: DestinationIndex, now: Timestamp) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        let (incarnation, releasing) = (owned.incarnation, owned.releasing);
        let stalled = owned.uncommitted() >= self.settings.max_uncommitted || now >= owned.leased_until;
        let Some(lane) = owned.lane_mut(destination) else { return };
        lane.queued_at_gate = false;
        if releasing || lane.has_to_wait() {
            return;
        }
        if stalled {
            owned.stalled.insert(destination);
            return;
        }
        let Some((lane, mut cx)) = self.lane_cx(partition, destination, now) else { return };
        let (id, delivery) = (lane.id, lane.next_delivery(&mut cx));
        if let Some((parts, events)) = delivery {
            let attempt = AttemptId(self.next_id());
            let gate = &mut self.gates[destination.0];
            let probe = gate.started(now);
            let name = gate.destination.name.clone();
            self.attempts.insert(attempt, Attempt { partition, destination, lane: id, incarnation, parts, probe });
            self.outputs.push_back(Output::Attempt { attempt, destination: name, events });
            if let Some(owned) = self.partitions.get_mut(&partition) {
                owned.attempts += 1;
            }
            self.queue_at_gate(partition, destination);
        }
        self.read_for_lane(partition, destination, now);
        if let Some(owned) = self.partitions.get_mut(&partition)
            && owned.lane(destination).is_some_and(crate::lane::Lane::has_changed_keys)
        {
            owned.touch(destination);
            self.note_change(partition, now);
        }
    }

    pub(super) fn attempt_ended(&mut self, id: AttemptId, mut outcomes: Vec<Outcome>, now: Timestamp) {
        let Some(attempt) = self.attempts.remove(&id) else { return };
        let Attempt { partition, destination, ref parts, probe, .. } = attempt;
        outcomes.resize(parts.iter().map(|part| part.count).sum(), Outcome::NotTried);
        let gate = &mut self.gates[destination.0];
        gate.in_flight -= 1;
        self.stirred.insert(destination);
        let outage = self.judge(destination, partition, parts, &outcomes, probe, now);
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        if owned.incarnation != attempt.incarnation {
            return;
        }
        owned.attempts -= 1;
        let lane = owned.lane_mut(destination);
        if lane.as_ref().is_some_and(|lane| lane.id == attempt.lane) {
            self.with_lane(partition, destination, now, |lane, cx| {
                let mut rest = outcomes.as_slice();
                for part in parts {
                    let (of_part, others) = rest.split_at(part.count);
                    lane.ended(part, of_part, outage, cx);
                    rest = others;
                }
            });
        } else if let Some(lane) = lane {
            lane.former_ended();
            self.queue_at_gate(partition, destination);
        }
        self.finish_release(partition, now);
    }

    /// How many attempts of former lanes of the same destination and partition are in flight.
    pub(super) fn in_flight_of_former(&self, partition: Partition, destination: DestinationIndex) -> usize {
        let Some(incarnation) = self.partitions.get(&partition).map(|owned| owned.incarnation) else { return 0 };
        let former = |attempt: &&Attempt| {
            attempt.partition == partition && attempt.destination == destination && attempt.incarnation == incarnation
        };
        self.attempts.values().filter(former).count()
    }

    /// What an attempt's outcomes say of the destination. Returns whether its failure is an outage,
    /// which spends no retries.
    fn judge(
        &mut self,
        destination: DestinationIndex,
        partition: Partition,
        parts: &[Part],
        outcomes: &[Outcome],
        probe: bool,
        now: Timestamp,
    ) -> bool {
        let gate = &mut self.gates[destination.0];
        let alive = |outcome: &Outcome| matches!(outcome, Outcome::Delivered | Outcome::Rejected { .. });
        if outcomes.iter().any(alive) {
            if gate.breaker.is_open() {
                self.notices.push_back(Notice::BreakerClosed { destination: gate.destination.name.clone() });
            }
            gate.breaker.succeeded();
        }
        if let Some(reason) = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Gone { reason } => Some(reason.clone()),
            _ => None,
        }) {
            gate.breaker.abandoned();
            self.pause(destination, partition, &reason, now);
            return false;
        }
        if outcomes.iter().any(alive) {
            return false;
        }
        let Some(reason) = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Retry { reason, .. } => Some(reason.clone()),
            _ => None,
        }) else {
            if probe {
                gate.breaker.abandoned();
            }
            return false;
        };
        let keys: Vec<&LaneKey> = parts.iter().map(|part| &part.key).collect();
        self.count_failure(destination, partition, &keys, probe, reason, now)
    }

    fn count_failure(
        &mut self,
        destination: DestinationIndex,
        partition: Partition,
        keys: &[&LaneKey],
        probe: bool,
        reason: String,
        now: Timestamp,
    ) -> bool {
        let gate = &mut self.gates[destination.0];
        let random = self.random.next();
        match gate.breaker.failed(keys.iter().copied(), probe, &gate.destination.retry, now, random) {
            Effect::None => false,
            Effect::Outage => true,
            Effect::Opened => {
                let next_probe = gate.breaker.next_probe().unwrap_or(now);
                let destination = gate.destination.name.clone();
                self.notices.push_back(Notice::BreakerOpened { destination, reason, next_probe });
                false
            }
            Effect::Exhausted => {
                let reason = format!("it was down for as long as breaker.limit allows; the last error: {reason}");
                self.pause(destination, partition, &reason, now);
                true
            }
        }
    }

    /// Pauses a destination, and records it in the lane that has met the reason.
    fn pause(&mut self, destination: DestinationIndex, partition: Partition, reason: &str, now: Timestamp) {
        // Of one that has left the configuration, an answer that comes late says nothing: its lane is gone, and
        // a record without a position of its own would go along with the others, past what it never got.
        let configured = self.configured.contains(&destination);
        let gate = &mut self.gates[destination.0];
        if gate.pause.is_some() || !configured {
            return;
        }
        let pause = Pause { since: now, reason: reason.into() };
        gate.pause = Some(pause.clone());
        let name = gate.destination.name.clone();
        self.notices.push_back(Notice::Paused { destination: name, reason: reason.into() });
        self.make_lane(partition, destination);
        self.with_lane(partition, destination, now, |lane, _| lane.set_paused(Some(pause)));
    }
}
