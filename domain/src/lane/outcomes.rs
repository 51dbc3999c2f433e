//! What the end of an attempt does to its keys.

use super::Lane;
use super::context::{Context, Unsaved};
use super::queues::Part;
use crate::destination::OnGiveUp;
use crate::end::{Cause, Resends};
use crate::io::Notice;
use crate::lane_key::LaneKey;
use crate::outcome::Outcome;
use crate::progress::{GivenUp, Redriven};
use crate::retry::{Backoff, Failure, NextAttempt, RetryState, Verdict};
use crate::timers::LaneTimer;

/// What an event whose data is not in memory counts as where dead letters are bounded: the most that one may have
/// by default.
const WEIGHT_OF_UNSEEN: usize = 256 << 10;

impl Lane {
    /// An attempt at a key's first events has ended. `outage`: its failure is the destination's, and
    /// spends no retry.
    pub(crate) fn ended(&mut self, part: &Part, outcomes: &[Outcome], outage: bool, cx: &mut Context<'_>) {
        let queue = self.queues.known_mut(&part.key);
        assert!(queue.in_flight.take().is_some(), "an attempt at {} ended twice", part.key);
        if part.redrive {
            match outcomes.first() {
                // It goes again at once. After a pause it would not: who asked for it is told, and may ask again.
                Some(Outcome::Retry { cause, .. })
                    if queue.redrive_resends.is_free(*cause) && queue.redrive_resends.spend(*cause).is_zero() => {}
                outcome => self.redrive_ended(&part.key, outcome, cx),
            }
        } else {
            for (nth, outcome) in outcomes.iter().enumerate() {
                match outcome {
                    Outcome::Delivered => self.settle_first(&part.key, cx),
                    Outcome::Retry { cause, reason, .. } if part.is_free(nth, *cause) => {
                        self.repeat(&part.key, *cause, Failure::new(cx.now, reason), cx);
                        break;
                    }
                    Outcome::Retry { reason, not_before, .. } if !outage => {
                        self.failed(part, Failure::new(cx.now, reason), *not_before, cx);
                        break;
                    }
                    Outcome::Rejected { reason } => {
                        let before = self.take_retry(&part.key);
                        let state = Backoff::note(before, Failure::new(cx.now, reason));
                        self.give_up(part, state, "rejected by the destination", cx);
                        break;
                    }
                    Outcome::Retry { .. } | Outcome::Gone { .. } | Outcome::NotTried => break,
                }
            }
        }
        self.schedule(&part.key, cx);
    }

    /// Lets the key's first event go again at no cost: at once, or after a pause.
    fn repeat(&mut self, key: &LaneKey, cause: Cause, failure: Failure, cx: &mut Context<'_>) {
        let pause = self.queues.known_mut(key).resends.spend(cause);
        if pause.is_zero() {
            return;
        }
        let before = self.take_retry(key);
        let first = before.is_none();
        self.wait(key, Backoff::postponed(before, failure, pause), first, cx);
    }

    fn take_retry(&mut self, key: &LaneKey) -> Option<RetryState> {
        self.queues.known_mut(key).behind_mut()?.retry.take()
    }

    fn failed(&mut self, part: &Part, failure: Failure, not_before: Option<std::time::Duration>, cx: &mut Context<'_>) {
        let before = self.take_retry(&part.key);
        let first = before.is_none();
        match Backoff::failed(&cx.destination.retry, before, failure, not_before, cx.random.next()) {
            Verdict::Retry(state) => self.wait(&part.key, state, first, cx),
            Verdict::GiveUp(state) => self.give_up(part, state, "the next delay would pass the retry limit", cx),
        }
    }

    /// Lets the key wait for another attempt; `first` is whether nothing of its event had failed before.
    fn wait(&mut self, key: &LaneKey, state: RetryState, first: bool, cx: &mut Context<'_>) {
        if first {
            let (destination, reason) = (cx.destination.name.clone(), state.last_error().into());
            let (partition, next_attempt, key) = (self.partition, state.next_attempt, key.clone());
            cx.notices.push_back(Notice::KeyBlocked { destination, partition, key, reason, next_attempt });
        }
        self.block(key, state, cx);
    }

    /// Keeps the key's first event for another attempt, or held.
    fn block(&mut self, key: &LaneKey, state: RetryState, cx: &mut Context<'_>) {
        if self.queues.known(key).behind().is_none() {
            self.fall_behind(key, cx);
        }
        self.queues.known_mut(key).resends = Resends::default();
        self.record.changed(key.clone());
        if let NextAttempt::At(at) = state.next_attempt {
            cx.timers.set(at, self.timer(LaneTimer::Key(key.clone())));
        }
        // Until the next attempt nothing but offsets is kept in memory.
        self.queues.drop_data(key, cx.memory);
        if let Some(behind) = self.queues.known_mut(key).behind_mut() {
            behind.retry = Some(state);
        }
    }

    fn give_up(&mut self, part: &Part, retry: RetryState, why: &str, cx: &mut Context<'_>) {
        let key = &part.key;
        let given_up = self.given_up(key, retry, why, cx);
        let held = cx.destination.on_give_up == OnGiveUp::Hold;
        cx.notices.push_back(Notice::GivenUp { partition: self.partition, given_up: given_up.clone(), held });
        if held {
            self.block(key, given_up.retry, cx);
        } else {
            self.bury(key, given_up, part.bytes, cx);
        }
    }

    /// Makes the key's first event a dead letter, of at most so many bytes. It is settled when that is stored.
    fn bury(&mut self, key: &LaneKey, given_up: GivenUp, most_bytes: usize, cx: &mut Context<'_>) {
        cx.uncommitted.dead_letter_bytes += most_bytes;
        self.queues.known_mut(key).unsaved += 1;
        cx.uncommitted.dead_letters.push(given_up);
        let (destination, born) = (cx.destination.name.clone(), cx.destination.born);
        cx.uncommitted.unsaved.push(Unsaved { destination, born, key: key.clone() });
        self.settle_first(key, cx);
    }

    /// The key's first event is settled.
    pub(super) fn settle_first(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        cx.uncommitted.settled += 1;
        self.queues.known_mut(key).resends = Resends::default();
        let (offset, was_on_track) = self.queues.settle_first(key, cx.memory);
        if was_on_track {
            self.on_track.remove(offset, cx.memory);
            return;
        }
        // Sooner than when nothing is left: a scan takes its time.
        if self.queues.known(key).runs_low(cx.settings.waiting_per_key / 8) {
            self.behind.needs_scan(key);
        }
        self.record.changed(key.clone());
    }

    fn redrive_ended(&mut self, key: &LaneKey, outcome: Option<&Outcome>, cx: &mut Context<'_>) {
        let queue = self.queues.known_mut(key);
        queue.redrive_resends = Resends::default();
        let redrive = queue.redrive.pop_front();
        let redrive =
            redrive.unwrap_or_else(|| panic!("the dead letter of {key} that was in flight stays until it ends"));
        let failed = match outcome {
            Some(Outcome::Delivered) => None,
            Some(Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Gone { reason }) => {
                Some(Failure::new(cx.now, reason))
            }
            Some(Outcome::NotTried) | None => Some(Failure::new(cx.now, "the sink did not try it")),
        };
        cx.uncommitted.redriven.push(Redriven {
            destination: cx.destination.name.clone(),
            offset: redrive.offset,
            failed,
        });
    }

    /// Makes a key's failed event due now. `false` if it has none that waits: an operator may be late, or name
    /// any key.
    pub(crate) fn retry_now(&mut self, key: &LaneKey, cx: &mut Context<'_>) -> bool {
        let Some(queue) = self.queues.get_mut(key).filter(|queue| queue.in_flight.is_none()) else { return false };
        let Some(retry) = queue.behind_mut().and_then(|behind| behind.retry.as_mut()) else { return false };
        retry.next_attempt = NextAttempt::At(cx.now);
        self.record.changed(key.clone());
        self.schedule(key, cx);
        true
    }

    /// Makes every failed event due now that waits for another attempt: what it failed at is no more. Held ones are the
    /// operator's.
    pub(crate) fn retry_all(&mut self, cx: &mut Context<'_>) {
        let waits = |key: &&LaneKey| self.queues.known(key).next_attempt().is_some_and(|next| next.at().is_some());
        let waiting: Vec<LaneKey> = self.behind.iter().filter(waits).cloned().collect();
        for key in waiting {
            self.retry_now(&key, cx);
        }
    }

    /// Gives a key's failed event up now. `false` if it has none that waits: an operator may be late, or name
    /// any key.
    pub(crate) fn skip(&mut self, key: &LaneKey, cx: &mut Context<'_>) -> bool {
        let Some(queue) = self.queues.get_mut(key).filter(|queue| queue.in_flight.is_none()) else { return false };
        let Some(retry) = queue.behind_mut().and_then(|behind| behind.retry.take()) else { return false };
        // A record with a retry state names exactly the failed event, remembered or not.
        self.queues.remember_failed(key, cx.memory);
        let given_up = self.given_up(key, retry, "skipped by the operator", cx);
        cx.notices.push_back(Notice::GivenUp { partition: self.partition, given_up: given_up.clone(), held: false });
        self.bury(key, given_up, WEIGHT_OF_UNSEEN, cx);
        true
    }

    /// That the key's first event is given up, and why.
    fn given_up(&self, key: &LaneKey, retry: RetryState, why: &str, cx: &Context<'_>) -> GivenUp {
        let first = self.queues.known(key).entries().front();
        let first = first.unwrap_or_else(|| panic!("{key} has nothing that could be given up"));
        GivenUp {
            destination: cx.destination.name.clone(),
            offset: first.offset,
            key: key.clone(),
            at: cx.now,
            reason: format!("{why}: {}", retry.last_error()).into(),
            retry,
        }
    }
}
