//! What the end of an attempt does to its keys.

use super::key_queue::Known;
use super::{Context, Lane, LaneTimer, Part};
use crate::{Backoff, Failure, GivenUp, LaneKey, Notice, OnGiveUp, Outcome, Redriven, RetryState, Timestamp, Verdict};

impl Lane {
    /// An attempt at a key's first events has ended. `outage`: its failure is the destination's, and
    /// spends no retry.
    pub(crate) fn ended(&mut self, part: &Part, outcomes: &[Outcome], outage: bool, cx: &mut Context<'_>) {
        let Some(queue) = self.keys.get_mut(&part.key) else { return };
        assert!(queue.in_flight.take().is_some(), "an attempt at {} ended twice", part.key);
        if part.redrive {
            self.redrive_ended(&part.key, outcomes.first(), cx);
        } else {
            for outcome in outcomes {
                match outcome {
                    Outcome::Delivered => self.settle_first(&part.key, cx),
                    Outcome::Retry { reason, not_before } if !outage => {
                        self.failed(&part.key, Failure::new(cx.now, reason), *not_before, cx);
                        break;
                    }
                    Outcome::Rejected { reason } => {
                        let before = self.take_retry(&part.key);
                        let state = Backoff::note(before, Failure::new(cx.now, reason));
                        self.give_up(&part.key, state, "rejected by the destination", cx);
                        break;
                    }
                    Outcome::Retry { .. } | Outcome::Gone { .. } | Outcome::NotTried => break,
                }
            }
        }
        self.schedule(&part.key, cx);
    }

    fn take_retry(&mut self, key: &LaneKey) -> Option<RetryState> {
        self.keys.get_mut(key)?.behind.as_mut()?.retry.take()
    }

    fn failed(
        &mut self,
        key: &LaneKey,
        failure: Failure,
        not_before: Option<std::time::Duration>,
        cx: &mut Context<'_>,
    ) {
        let before = self.take_retry(key);
        let first = before.is_none();
        match Backoff::failed(&cx.destination.retry, before, failure, not_before, cx.random.next()) {
            Verdict::Retry(state) => {
                if first {
                    let (destination, reason) = (cx.destination.name.clone(), state.last_error().into());
                    let next_attempt = state.next_attempt;
                    let key = key.clone();
                    cx.notices.push_back(Notice::KeyBlocked {
                        destination,
                        partition: self.partition,
                        key,
                        reason,
                        next_attempt,
                    });
                }
                self.block(key, state, cx);
            }
            Verdict::GiveUp(state) => self.give_up(key, state, "the next delay would pass the retry limit", cx),
        }
    }

    /// Keeps the key's first event for another attempt, or held.
    fn block(&mut self, key: &LaneKey, state: RetryState, cx: &mut Context<'_>) {
        let Some(queue) = self.keys.get_mut(key) else { return };
        if queue.behind.is_none() {
            self.fall_behind(key, cx);
        }
        self.changed.insert(key.clone());
        if state.next_attempt < Timestamp::MAX {
            cx.timers.set(state.next_attempt, self.timer(LaneTimer::Key(key.clone())));
        }
        let Some(queue) = self.keys.get_mut(key) else { return };
        // Until the next attempt nothing but offsets is kept in memory.
        for entry in &mut queue.entries {
            if let Some(event) = entry.event.take() {
                self.bytes -= event.event.weight();
            }
        }
        if let Some(behind) = &mut queue.behind {
            behind.retry = Some(state);
        }
    }

    fn give_up(&mut self, key: &LaneKey, retry: RetryState, why: &str, cx: &mut Context<'_>) {
        let Some(first) = self.keys.get(key).and_then(|queue| queue.entries.front()) else { return };
        let given_up = GivenUp {
            destination: cx.destination.name.clone(),
            offset: first.offset,
            key: key.clone(),
            at: cx.now,
            reason: format!("{why}: {}", retry.last_error()).into(),
            retry,
        };
        let held = cx.destination.on_give_up == OnGiveUp::Hold;
        cx.notices.push_back(Notice::GivenUp { partition: self.partition, given_up: given_up.clone(), held });
        if held {
            self.block(key, given_up.retry, cx);
        } else {
            self.bury(key, given_up, cx);
        }
    }

    /// Makes the key's first event a dead letter. It is settled when that is stored.
    fn bury(&mut self, key: &LaneKey, given_up: GivenUp, cx: &mut Context<'_>) {
        if let Some(queue) = self.keys.get_mut(key) {
            queue.unsaved += 1;
        }
        cx.tally.dead_letters.push(given_up);
        cx.tally.unsaved.push((self.destination, key.clone()));
        self.settle_first(key, cx);
    }

    /// The key's first event is settled.
    pub(super) fn settle_first(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        let Some(queue) = self.keys.get_mut(key) else { return };
        let Some(entry) = queue.entries.pop_front() else { return };
        if let Some(event) = entry.event {
            self.bytes -= event.event.weight();
        }
        cx.tally.settled += 1;
        if let Some(behind) = &mut queue.behind {
            cx.memory.waiting -= 1;
            behind.settled_below = entry.offset.next();
            behind.retry = None;
            let low = cx.settings.waiting_per_key / 8;
            if behind.known != Known::All && queue.entries.len() <= low {
                self.hungry.insert(key.clone());
            }
            self.changed.insert(key.clone());
        } else {
            self.on_track.settle(entry.offset);
            if self.on_track.is_empty() {
                cx.memory.busy_lanes -= 1;
            }
        }
    }

    fn redrive_ended(&mut self, key: &LaneKey, outcome: Option<&Outcome>, cx: &mut Context<'_>) {
        let Some(redrive) = self.keys.get_mut(key).and_then(|queue| queue.redrive.pop_front()) else { return };
        let failed = match outcome {
            Some(Outcome::Delivered) => None,
            Some(Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Gone { reason }) => {
                Some(Failure::new(cx.now, reason))
            }
            Some(Outcome::NotTried) | None => Some(Failure::new(cx.now, "the sink did not try it")),
        };
        cx.tally.redriven.push(Redriven { destination: cx.destination.name.clone(), offset: redrive.offset, failed });
    }

    /// Makes a key's failed event due now. `false` if it has none that waits.
    pub(crate) fn retry_now(&mut self, key: &LaneKey, cx: &mut Context<'_>) -> bool {
        let Some(queue) = self.keys.get_mut(key).filter(|queue| queue.in_flight.is_none()) else { return false };
        let Some(retry) = queue.behind.as_mut().and_then(|behind| behind.retry.as_mut()) else { return false };
        retry.next_attempt = cx.now;
        self.changed.insert(key.clone());
        self.schedule(key, cx);
        true
    }

    /// Gives a key's failed event up now. `false` if it has none that waits.
    pub(crate) fn skip(&mut self, key: &LaneKey, cx: &mut Context<'_>) -> bool {
        let Some(queue) = self.keys.get_mut(key).filter(|queue| queue.in_flight.is_none()) else { return false };
        let Some(behind) = queue.behind.as_mut() else { return false };
        let Some(retry) = behind.retry.take() else { return false };
        // A record with a retry state names exactly the failed event, remembered or not.
        if queue.entries.is_empty() {
            let offset = behind.settled_below;
            queue.entries.push_back(super::Entry { offset, event: None });
            behind.known = match behind.known {
                Known::Below(known) => Known::Below(known.max(offset.next())),
                Known::All => Known::All,
            };
            cx.memory.waiting += 1;
        }
        let Some(offset) = queue.entries.front().map(|entry| entry.offset) else { return false };
        let given_up = GivenUp {
            destination: cx.destination.name.clone(),
            offset,
            key: key.clone(),
            at: cx.now,
            reason: format!("skipped by the operator: {}", retry.last_error()).into(),
            retry,
        };
        cx.notices.push_back(Notice::GivenUp { partition: self.partition, given_up: given_up.clone(), held: false });
        self.bury(key, given_up, cx);
        true
    }
}
