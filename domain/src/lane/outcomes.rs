//! What the end of an attempt does to its keys.

use super::Lane;
use super::context::{Context, Unsaved};
use super::queues::{Asked, Entry, Part};
use crate::destination::OnGiveUp;
use crate::end::{Cause, Resends};
use crate::event::LoggedEvent;
use crate::history::{Ended, Fate, Sent, Told};
use crate::io::Notice;
use crate::lane_key::LaneKey;
use crate::outcome::Outcome;
use crate::partition::Offset;
use crate::progress::{GivenUp, Redriven};
use crate::retry::{Backoff, Failure, NextAttempt, RetryState, Verdict};
use crate::revision::Revision;
use crate::time::Timestamp;
use crate::timers::LaneTimer;
use std::sync::Arc;
use std::time::Duration;

/// What an event whose data is not in memory counts as where dead letters are bounded: the most that one may have
/// by default.
const WEIGHT_OF_UNSEEN: usize = 256 << 10;

/// What came of the events of an attempt, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends<'a> {
    pub(crate) outcomes: &'a [Outcome],
    /// The HTTP statuses that they were answered with. None where all were delivered.
    pub(crate) statuses: &'a [Option<u16>],
    /// Whether the failure is the destination's, and spends no retry.
    pub(crate) outage: bool,
}

impl Ends<'_> {
    /// Those of the first `count` events, and those of the rest.
    pub(crate) fn split_at(self, count: usize) -> (Self, Self) {
        let (outcomes, others) = self.outcomes.split_at(count);
        let (statuses, other_statuses) = self.statuses.split_at(count.min(self.statuses.len()));
        (Self { outcomes, statuses, ..self }, Self { outcomes: others, statuses: other_statuses, ..self })
    }

    /// The failure of the `nth` event, for this reason.
    fn failure(self, nth: usize, reason: &str, now: Timestamp) -> Failure {
        Failure::new(now, reason).answered(self.statuses.get(nth).copied().flatten())
    }
}

impl Lane {
    /// An attempt at a key's first events has ended. `sent`: what is to be told of the events, one for each; empty if
    /// nothing is.
    pub(crate) fn ended(&mut self, part: &Part, ends: Ends<'_>, sent: &[Sent], cx: &mut Context<'_>) {
        let outcomes = ends.outcomes;
        let in_flight = self.queues.known_mut(&part.key).in_flight.take();
        let in_flight = in_flight.unwrap_or_else(|| panic!("an attempt at {} ended twice", part.key));
        if part.redrive {
            let fate = self.retry_of_letter_ended(&part.key, ends, cx);
            tell(sent, outcomes, 0, fate, cx);
        } else {
            for nth in 0..outcomes.len() {
                let fate = self.first_ended(part, nth, ends, cx);
                tell(sent, outcomes, nth, fate, cx);
                if fate != Fate::Delivered {
                    // They went with it, and go again behind it.
                    (nth + 1..outcomes.len()).for_each(|rest| tell(sent, outcomes, rest, Fate::Waits, cx));
                    break;
                }
            }
        }
        match in_flight.asked {
            // Without a failed event there is nothing to do any more: it was delivered, say.
            Some(Asked::Retry) => _ = self.retry_now(&part.key, cx),
            Some(Asked::Skip) => _ = self.skip(&part.key, cx),
            None => {}
        }
        self.schedule(&part.key, cx);
    }

    /// What the `nth` outcome of an attempt means for the event that is now the key's first. Behind one that is not
    /// delivered none counts.
    fn first_ended(&mut self, part: &Part, nth: usize, ends: Ends<'_>, cx: &mut Context<'_>) -> Fate {
        match &ends.outcomes[nth] {
            Outcome::Delivered => {
                self.take_back(&part.key, cx);
                self.settle_first(&part.key, cx);
                Fate::Delivered
            }
            // Whatever it met: it goes nowhere any more, also not among the dead letters.
            _ if self.was_of_deleted_tenant(part, nth, cx) => {
                self.settle_unsent(&part.key, cx);
                Fate::Waits
            }
            // It was the last one that it had time for.
            Outcome::Retry { .. } | Outcome::Gone { .. } if self.has_expired(&part.key, cx) => {
                self.expire_failed(&part.key, cx);
                Fate::Expired
            }
            Outcome::Retry { cause, reason, .. } if part.is_free(nth, *cause) => {
                let failure = ends.failure(nth, reason, cx.now);
                self.repeat(&part.key, *cause, failure, self.event_of(part, nth), cx);
                Fate::Waits
            }
            Outcome::Retry { reason, not_before, .. } if !ends.outage => {
                self.failed(part, nth, ends.failure(nth, reason, cx.now), *not_before, cx)
            }
            Outcome::Rejected { reason } => {
                let before = self.take_retry(&part.key);
                let state = Backoff::note(before, ends.failure(nth, reason, cx.now));
                self.give_up(part, nth, state, "rejected by the destination", cx)
            }
            Outcome::Retry { .. } | Outcome::Gone { .. } | Outcome::NotTried => Fate::Waits,
        }
    }

    /// The retry of a dead letter of the key has ended.
    fn retry_of_letter_ended(&mut self, key: &LaneKey, ends: Ends<'_>, cx: &mut Context<'_>) -> Fate {
        let queue = self.queues.known_mut(key);
        match ends.outcomes.first() {
            // It goes again at once. After a pause it would not: who asked for it is told, and may ask again.
            Some(Outcome::Retry { cause, .. })
                if queue.redrive_resends.is_free(*cause) && queue.redrive_resends.spend(*cause).is_zero() =>
            {
                Fate::Waits
            }
            outcome => {
                self.redrive_ended(key, ends, cx);
                if outcome == Some(&Outcome::Delivered) { Fate::Delivered } else { Fate::DeadLetter }
            }
        }
    }

    /// Lets the key's first event go again at no cost: at once, or after a pause.
    fn repeat(
        &mut self,
        key: &LaneKey,
        cause: Cause,
        failure: Failure,
        event: Option<Arc<LoggedEvent>>,
        cx: &mut Context<'_>,
    ) {
        let pause = self.queues.known_mut(key).resends.spend(cause);
        if pause.is_zero() {
            return;
        }
        let before = self.take_retry(key);
        let first = before.is_none();
        self.wait(key, Backoff::postponed(before, failure, pause), first, event, cx);
    }

    fn take_retry(&mut self, key: &LaneKey) -> Option<RetryState> {
        self.queues.known_mut(key).behind_mut()?.retry.take()
    }

    fn failed(
        &mut self,
        part: &Part,
        nth: usize,
        failure: Failure,
        not_before: Option<Duration>,
        cx: &mut Context<'_>,
    ) -> Fate {
        let before = self.take_retry(&part.key);
        let first = before.is_none();
        match Backoff::failed(&cx.destination.retry, before, failure, not_before, cx.random.next()) {
            Verdict::Retry(state) => {
                self.wait(&part.key, state, first, self.event_of(part, nth), cx);
                Fate::Retried
            }
            Verdict::GiveUp(state) => self.give_up(part, nth, state, "the next delay would pass the retry limit", cx),
        }
    }

    /// Lets the key wait for another attempt; `first` is whether nothing of its event had failed before.
    fn wait(
        &mut self,
        key: &LaneKey,
        state: RetryState,
        first: bool,
        event: Option<Arc<LoggedEvent>>,
        cx: &mut Context<'_>,
    ) {
        if first {
            let (destination, reason) = (cx.destination.name.clone(), state.last_error().into());
            let (partition, next_attempt, key) = (self.partition, state.next_attempt, key.clone());
            cx.notices.push_back(Notice::KeyBlocked { destination, partition, key, reason, next_attempt, event });
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
        self.queues.drop_data(key, &mut cx.memory);
        if let Some(behind) = self.queues.known_mut(key).behind_mut() {
            behind.retry = Some(state);
        }
    }

    fn give_up(&mut self, part: &Part, nth: usize, retry: RetryState, why: &str, cx: &mut Context<'_>) -> Fate {
        let key = &part.key;
        let given_up = self.given_up(key, retry, why, cx);
        let held = cx.destination.on_give_up == OnGiveUp::Hold;
        let (partition, event) = (self.partition, self.event_of(part, nth));
        cx.notices.push_back(Notice::GivenUp { partition, event, given_up: given_up.clone(), held });
        if held {
            self.block(key, given_up.retry, cx);
            Fate::Held
        } else {
            self.bury(key, given_up, part.bytes, cx);
            Fate::DeadLetter
        }
    }

    /// Makes the key's first event a dead letter, of at most so many bytes. It is settled when that is stored.
    fn bury(&mut self, key: &LaneKey, given_up: GivenUp, most_bytes: usize, cx: &mut Context<'_>) {
        cx.uncommitted.dead_letter_bytes += most_bytes;
        self.queues.known_mut(key).unsaved += 1;
        cx.uncommitted.dead_letters.push(given_up);
        let (destination, born, way) = (cx.destination.name.clone(), cx.destination.born, self.at().way);
        cx.uncommitted.unsaved.push(Unsaved { destination, born, way, key: key.clone() });
        self.settle_first(key, cx);
    }

    /// A replay delivers the key's first event. If it was a dead letter, it is none any more.
    fn take_back(&self, key: &LaneKey, cx: &mut Context<'_>) {
        if self.replaying.is_none() {
            return;
        }
        let first = self.queues.known(key).entries().front();
        let first = first.unwrap_or_else(|| panic!("what is delivered of {key} was waiting"));
        cx.uncommitted.take_back(&cx.destination.name, first.offset);
    }

    /// The key's first event is settled by an attempt.
    fn settle_first(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        cx.uncommitted.settled += 1;
        self.take_first(key, cx);
    }

    /// The key's first event is settled, and nobody gets it.
    pub(super) fn settle_unsent(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        cx.uncommitted.settled_unsent += 1;
        self.take_first(key, cx);
    }

    fn take_first(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        if let Some(replaying) = &mut self.replaying {
            replaying.settled += 1;
        }
        self.queues.known_mut(key).resends = Resends::default();
        let (offset, was_on_track) = self.queues.settle_first(key, &mut cx.memory);
        if was_on_track {
            self.on_track.remove(offset, &mut cx.memory);
            return;
        }
        // Sooner than when nothing is left: a scan takes its time.
        if self.queues.known(key).runs_low(cx.settings.waiting_per_key / 8) {
            self.behind.needs_scan(key);
        }
        self.record.changed(key.clone());
    }

    fn redrive_ended(&mut self, key: &LaneKey, ends: Ends<'_>, cx: &mut Context<'_>) {
        let redrive = self.queues.pop_redrive(key, &mut cx.memory);
        let redrive =
            redrive.unwrap_or_else(|| panic!("the dead letter of {key} that was in flight stays until it ends"));
        let failed = match ends.outcomes.first() {
            Some(Outcome::Delivered) => None,
            Some(Outcome::Retry { reason, .. } | Outcome::Rejected { reason } | Outcome::Gone { reason }) => {
                Some(ends.failure(0, reason, cx.now))
            }
            Some(Outcome::NotTried) | None => Some(Failure::new(cx.now, "the sink did not try it")),
        };
        self.redriven(redrive, failed, cx);
    }

    /// The copy that the first dead letter of the key keeps of its event can never be read. Its retry has failed, so
    /// that the key goes on.
    pub(super) fn redrive_is_unreadable(&mut self, key: &LaneKey, why: &str, cx: &mut Context<'_>) {
        let redrive = self.queues.pop_redrive(key, &mut cx.memory);
        let redrive = redrive.unwrap_or_else(|| panic!("{key} has no dead letter whose copy could have been read"));
        self.redriven(redrive, Some(Failure::new(cx.now, why)), cx);
    }

    /// Tells how the retry of a dead letter has ended.
    fn redriven(&self, redrive: Entry, failed: Option<Failure>, cx: &mut Context<'_>) {
        let destination = cx.destination.name.clone();
        cx.notices.push_back(Notice::Redriven {
            destination: destination.clone(),
            partition: self.partition,
            event: redrive.event,
            failed: failed.as_ref().map(|failure| failure.reason.clone()),
        });
        cx.uncommitted.redriven.push(Redriven { destination, offset: redrive.offset, failed });
    }

    /// Makes a key's failed event due now; if an attempt is under way, as soon as that fails. `false` if it has none:
    /// an operator may be late, or name any key.
    pub(crate) fn retry_now(&mut self, key: &LaneKey, cx: &mut Context<'_>) -> bool {
        if self.asks_of_attempt(key, Asked::Retry) {
            return true;
        }
        // Nobody answers for what an operator names.
        let Some(queue) = self.queues.get_mut(key) else { return false };
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

    /// Gives a key's failed event up now; if an attempt is under way, as soon as that fails. `false` if it has none: an
    /// operator may be late, or name any key.
    pub(crate) fn skip(&mut self, key: &LaneKey, cx: &mut Context<'_>) -> bool {
        if self.asks_of_attempt(key, Asked::Skip) {
            return true;
        }
        // Nobody answers for what an operator names.
        let Some(queue) = self.queues.get_mut(key) else { return false };
        let Some(retry) = queue.behind_mut().and_then(|behind| behind.retry.take()) else { return false };
        // A record with a retry state names exactly the failed event, remembered or not.
        self.queues.remember_failed(key, &mut cx.memory);
        let given_up = self.given_up(key, retry, "skipped by the operator", cx);
        let (partition, event) = (self.partition, self.first_event(key));
        cx.notices.push_back(Notice::GivenUp { partition, event, given_up: given_up.clone(), held: false });
        if cx.settings.history {
            cx.uncommitted.to_tell.tell(skipped(&given_up, cx.destination.born));
        }
        self.bury(key, given_up, WEIGHT_OF_UNSEEN, cx);
        true
    }

    /// Whether an event of the key has failed and is not settled: this one, if one is named.
    pub(crate) fn is_blocked(&self, key: &LaneKey, head: Option<Offset>) -> bool {
        // An operator may be late, or name any key.
        let Some(queue) = self.queues.get(key).filter(|queue| queue.retry().is_some()) else { return false };
        head.is_none_or(|head| queue.stands_at() == Some(head))
    }

    /// Leaves it to the attempt under way to do this when it ends. `false` if there is none, or nothing of the key
    /// has failed.
    fn asks_of_attempt(&mut self, key: &LaneKey, asked: Asked) -> bool {
        let Some(queue) = self.queues.get_mut(key).filter(|queue| queue.retry().is_some()) else { return false };
        let Some(in_flight) = &mut queue.in_flight else { return false };
        in_flight.asked = Some(asked);
        true
    }

    /// The `nth` event of an attempt, which is the key's first unsettled one by now. Behind the first one it may be
    /// that its data was let go of while the attempt took long.
    pub(super) fn event_of(&self, part: &Part, nth: usize) -> Option<Arc<LoggedEvent>> {
        if nth == 0 { Some(part.first.clone()) } else { self.first_event(&part.key) }
    }

    /// The key's first event, if its data is in memory.
    fn first_event(&self, key: &LaneKey) -> Option<Arc<LoggedEvent>> {
        self.queues.known(key).entries().front()?.event.clone()
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

/// Tells what came of the `nth` event of an attempt.
fn tell(sent: &[Sent], outcomes: &[Outcome], nth: usize, fate: Fate, cx: &mut Context<'_>) {
    // Nothing is sent that could be told of where there is no history.
    let (Some(sent), Some(outcome)) = (sent.get(nth), outcomes.get(nth)) else { return };
    if let Some(told) = sent.told(cx.destination, cx.now, outcome, fate) {
        cx.uncommitted.to_tell.tell(told);
    }
}

/// That an operator gave an event up. Its data is not in memory, so its id is not known here.
fn skipped(given_up: &GivenUp, born: Revision) -> Told {
    let key = given_up.key.key().cloned();
    Told {
        destination: given_up.destination.clone(),
        born,
        offset: given_up.offset,
        id: None,
        key,
        attempt: 0,
        redrive: false,
        at: given_up.at,
        took: Duration::ZERO,
        ended: Ended::Skipped,
        fate: Fate::DeadLetter,
        status: None,
        reason: Some(given_up.reason.clone()),
        answer: None,
        request: None,
    }
}
