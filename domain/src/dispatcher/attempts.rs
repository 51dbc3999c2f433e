//! What the end of an attempt says of its destination. What it says of the events is their lane's affair.

use super::Dispatcher;
use super::shared::Shared;
use super::under_way::Attempt;
use crate::breaker::Effect;
use crate::destination::DestinationIndex;
use crate::end::Cause;
use crate::history::{Met, Sent};
use crate::io::{AttemptId, Notice};
use crate::lane::Ends;
use crate::lane_key::LaneKey;
use crate::outcome::{Outcome, first_cause};
use crate::partition::Partition;
use crate::progress::Pause;
use std::time::Duration;

/// What an attempt's outcomes say of the destination.
#[derive(Default)]
struct Verdict {
    /// Its failure is an outage, which spends no retries.
    outage: bool,
    /// Why it is paused from now on.
    pause: Option<Pause>,
}

impl Dispatcher {
    pub(super) fn attempt_ended(&mut self, id: AttemptId, mut outcomes: Vec<Outcome>, met: Met) {
        // An attempt that has ended before.
        let Some(mut attempt) = self.shared.attempts.remove(id) else { return };
        let (partition, destination) = (attempt.partition, attempt.destination);
        // Of most attempts everything was delivered.
        let may_bury = outcomes.iter().any(|outcome| *outcome != Outcome::Delivered);
        if self.shared.end_waits(partition, id) || may_bury && self.has_to_wait(&attempt) {
            // Until then it is in flight. The first that is said of it counts.
            self.shared.attempts.insert(id, attempt);
            self.shared.waiting_ends.entry(partition).or_default().entry(id).or_insert((outcomes, met));
            return;
        }
        outcomes.resize(attempt.parts.iter().map(|part| part.count).sum(), Outcome::NotTried);
        let statuses = if may_bury { met.statuses(outcomes.len()) } else { Vec::new() };
        Sent::met(&mut attempt.sent, met);
        let delivered = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Delivered)).count();
        let not_tried = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::NotTried)).count();
        let now = self.shared.now;
        let gate = self.shared.destinations.gate_mut(destination);
        gate.in_flight -= 1;
        self.shared.attempt_places.give_back(attempt.place);
        gate.delivered.add(delivered as u64, now);
        gate.failed.add((outcomes.len() - delivered - not_tried) as u64, now);
        self.shared.to_admit.insert(destination);
        let Verdict { outage, pause } = self.shared.judge(&attempt, &outcomes);
        let ends = Ends { outcomes: &outcomes, statuses: &statuses, outage };
        self.within(partition, |owned, shared| {
            let is_paused = pause.is_some();
            if let Some(pause) = pause {
                owned.pause(destination, pause, shared);
            }
            owned.attempt_ended(id, &attempt, ends, shared);
            if is_paused {
                owned.serve_destination(destination, shared);
            }
        });
        self.shared.destinations.forget_if_gone(destination);
    }

    fn has_to_wait(&self, attempt: &Attempt) -> bool {
        let owned = self.partitions.get(&attempt.partition);
        owned.is_some_and(|owned| owned.has_to_wait(attempt, &self.shared))
    }

    /// Attempts of the partition whose ends had to wait end now, as far as that has become possible.
    pub(super) fn end_waiting(&mut self, partition: Partition) {
        let Some(waiting) = self.shared.waiting_ends.remove(&partition) else { return };
        for (id, (outcomes, met)) in waiting {
            self.attempt_ended(id, outcomes, met);
        }
    }
}

impl Shared {
    fn judge(&mut self, attempt: &Attempt, outcomes: &[Outcome]) -> Verdict {
        let gate = self.destinations.gate_mut(attempt.destination);
        if gate.destination.target_since != attempt.target_since {
            // It sends to another place now, and this says nothing of that.
            return Verdict::default();
        }
        let alive = |outcome: &Outcome| outcome.end().meaning().alive;
        let is_alive = outcomes.iter().any(alive);
        if is_alive {
            if gate.breaker.is_open() {
                self.notices.push_back(Notice::BreakerClosed { destination: gate.destination.name.clone() });
            }
            gate.breaker.succeeded();
            gate.answers = true;
        }
        if let Some(reason) = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Gone { reason } => Some(reason.clone()),
            _ => None,
        }) {
            gate.breaker.abandoned();
            return Verdict { outage: false, pause: self.pause(attempt.destination, &reason) };
        }
        if is_alive {
            return Verdict::default();
        }
        let Some(reason) = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Retry { reason, .. } => Some(reason.clone()),
            _ => None,
        }) else {
            if attempt.probe {
                gate.breaker.abandoned();
            }
            return Verdict::default();
        };
        let counted = counted(attempt, outcomes);
        if counted.is_empty() {
            // It says nothing of the destination. A probe that came to nothing is not repeated without a pause.
            if attempt.probe {
                gate.breaker.postponed(self.now.after(gate.destination.retry.initial));
            }
            return Verdict::default();
        }
        let asked = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Retry { not_before, .. } => *not_before,
            _ => None,
        });
        self.count_failure(attempt, counted, asked.max(), reason)
    }

    fn count_failure(
        &mut self,
        attempt: &Attempt,
        keys: Vec<&LaneKey>,
        asked: Option<Duration>,
        reason: String,
    ) -> Verdict {
        let (now, random) = (self.now, self.random.next());
        let gate = self.destinations.gate_mut(attempt.destination);
        gate.answers = false;
        let keys = keys.into_iter().map(|key| (attempt.partition, key));
        match gate.breaker.failed(keys, attempt.probe, asked, &gate.destination.retry, now, random) {
            Effect::None => Verdict::default(),
            Effect::Outage => Verdict { outage: true, pause: None },
            Effect::Opened => {
                let next_probe = gate.breaker.next_probe().unwrap_or(now);
                let destination = gate.destination.name.clone();
                self.notice(Notice::BreakerOpened { destination, reason, next_probe });
                Verdict::default()
            }
            Effect::Exhausted => {
                let reason = format!("it was down for as long as breaker.limit allows; the last error: {reason}");
                Verdict { outage: true, pause: self.pause(attempt.destination, &reason) }
            }
        }
    }

    /// Pauses a destination, unless it is paused already. Returns what is to be recorded.
    fn pause(&mut self, destination: DestinationIndex, reason: &str) -> Option<Pause> {
        // Of one that has left the configuration, an answer that comes late says nothing: its lane is gone, and
        // a record without a position of its own would go along with the others, past what it never got.
        let configured = self.destinations.is_present(destination);
        let gate = self.destinations.gate_mut(destination);
        if gate.pause.is_some() || !configured {
            return None;
        }
        let pause = Pause { since: self.now, reason: reason.into() };
        gate.pause = Some(pause.clone());
        let destination = gate.destination.name.clone();
        self.notice(Notice::Paused { destination, reason: reason.into() });
        Some(pause)
    }
}

/// The keys of an attempt whose failure counts for the destination, by the table of ends.
fn counted<'a>(attempt: &'a Attempt, outcomes: &[Outcome]) -> Vec<&'a LaneKey> {
    let (mut counted, mut rest) = (Vec::new(), outcomes);
    for part in &attempt.parts {
        let (of_part, others) = rest.split_at(part.count);
        rest = others;
        let counts = |(nth, cause): (usize, Cause)| !part.is_free(nth, cause) && cause.meaning().counts_for_destination;
        if first_cause(of_part).is_some_and(counts) {
            counted.push(&part.key);
        }
    }
    counted
}
