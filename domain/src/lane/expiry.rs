//! The limit on waiting: what has waited for as long as it may is settled without another attempt.
//!
//! Never an event in flight: that attempt ends by itself, and if it fails, it was the last one. Never one whose key has an
//! earlier event that is not settled. What is not in memory is read for it, when it may be due: so a destination that is
//! paused, or whose lane is full of blocked keys, holds no more of the log than what is young enough.

mod ahead;

use super::Lane;
use super::context::{Context, Memory};
use crate::event::LoggedEvent;
use crate::history::{Ended, Fate, Told};
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::time::Timestamp;
use crate::timers::LaneTimer;
use crate::way::Way;
use std::sync::Arc;
use std::time::Duration;

/// How soon a lane goes on that has settled as many at once as it may.
const GO_ON_AFTER: Duration = Duration::from_millis(1);

/// When a lane looks for what has waited for too long.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// The timer that is set.
    timer: Option<Timestamp>,
    /// When it has looked last.
    looked_at: Timestamp,
    /// Whether there was more to settle then.
    goes_on: bool,
    /// Whether it goes on when a commit is stored.
    waits_for_commit: bool,
    /// Below, everything was accepted before something that has waited for too long, or at the same time: a log is in the
    /// order in which its events were accepted.
    old_below: Offset,
    /// When it reads again what it could not settle: something of the same key is in flight, and there is no room.
    look_again_at: Option<Timestamp>,
}

/// Since when an event has to have waited to have waited for `max_age` now; nothing if the clock has not run for so long.
fn latest(now: Timestamp, max_age: Duration) -> Option<Timestamp> {
    // In whole milliseconds, as `after` counts.
    let age = Timestamp::ZERO.after(max_age).as_millis();
    now.as_millis().checked_sub(age).map(Timestamp::from_millis)
}

impl Lane {
    /// From when on waiting counts in it: where a live lane went back, or when a replay was asked for.
    pub(crate) fn waits_since_again(&mut self, below: Offset, since: Timestamp) {
        (self.expiry.again_below, self.expiry.again_since) = (below, since);
    }

    /// From when on an event's waiting counts.
    pub(super) fn waits_since(&self, event: &LoggedEvent) -> Timestamp {
        self.expiry.waits_since(event.offset, event.accepted_at)
    }

    /// It is a new one of a destination with a limit on waiting.
    pub(crate) fn has_max_age(&mut self, memory: &mut Memory) {
        self.queues.know_oldest(true, &mut memory.of(self.group));
    }

    /// Whether its destination has a limit on waiting.
    pub(crate) const fn has_limit(&self) -> bool {
        self.queues.knows_oldest()
    }

    /// Its destination has a limit on waiting, or has none any more, or another one.
    pub(crate) fn follow_max_age(&mut self, cx: &mut Context<'_>) {
        for key in self.queues.know_oldest(cx.destination.max_age.is_some(), &mut cx.memory) {
            let queue = self.queues.known_mut(&key);
            let queued = std::mem::take(&mut queue.queued);
            self.turns.leave(&key, queued);
            self.behind.needs_scan(&key);
            self.schedule(&key, cx);
        }
        self.ages.timer = None;
        // By another limit, less may be old.
        self.ages.old_below = Offset::ZERO;
        self.expire_old(cx);
    }

    /// Since when an event must have waited at least to expire now; nothing if none may.
    fn expires_since(&self, cx: &Context<'_>) -> Option<Timestamp> {
        let max_age = cx.destination.max_age.filter(|_| !self.yielding.is_unsure())?;
        latest(cx.now, max_age)
    }

    /// The timer for what waits for longest has come.
    pub(crate) fn age_due(&mut self, cx: &mut Context<'_>) {
        // One of a lane before this one, or of before the limit was changed.
        if self.ages.timer.is_some_and(|at| at <= cx.now) {
            self.ages.timer = None;
            self.expire_old(cx);
        }
    }

    /// Whether it has stopped for a commit. Whoever asks sees to it that it goes on.
    pub(crate) fn take_waits_for_commit(&mut self) -> bool {
        std::mem::take(&mut self.ages.waits_for_commit)
    }

    /// A commit is stored that it has stopped for.
    pub(crate) fn go_on_expiring(&mut self, cx: &mut Context<'_>) {
        self.expire_old(cx);
    }

    /// Settles what has waited for too long, the oldest first.
    fn expire_old(&mut self, cx: &mut Context<'_>) {
        self.ages.looked_at = cx.now;
        let Some(latest) = self.expires_since(cx) else { return };
        if cx.uncommitted.settled_unsent >= cx.settings.max_uncommitted {
            // The next commit has enough of them: each may be a record of a key.
            self.ages.waits_for_commit = true;
            return;
        }
        let (mut due, mut until) = (Vec::new(), Offset::ZERO);
        for (_, offset, key) in self.queues.waiting_since(latest).filter(|(.., key)| self.is_free(key)) {
            due.push(key.clone());
            until = until.max(offset.next());
            if due.len() == cx.settings.expire_keys {
                break;
            }
        }
        self.ages.goes_on = due.len() == cx.settings.expire_keys;
        self.ages.old_below = self.ages.old_below.max(until);
        due.extend(self.as_old_as_what_follows(latest, cx));
        for key in due {
            self.schedule(&key, cx);
        }
    }

    /// Whether the key's first event is nobody's at the moment.
    fn is_free(&self, key: &LaneKey) -> bool {
        self.queues.known(key).is_free() && !self.yielding.is_elsewhere(key)
    }

    /// Settles the key's first events, as far as they have waited for too long.
    pub(super) fn expire_first(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        let Some(latest) = self.expires_since(cx).filter(|_| !self.yielding.is_elsewhere(key)) else { return };
        let mut any = false;
        loop {
            let queue = self.queues.known(key);
            let is_due = queue.is_free() && self.has_expired_since(key, latest, cx.now);
            let Some(first) = queue.entries().front().filter(|_| is_due) else { break };
            let (offset, event) = (first.offset, first.event.clone());
            self.count_expired(key, offset, event.as_deref(), cx);
            self.settle_unsent(key, cx);
            any = true;
        }
        if any {
            let queued = std::mem::take(&mut self.queues.known_mut(key).queued);
            self.turns.leave(key, queued);
        }
    }

    /// Whether the key's first event has waited for too long, whatever it is at.
    pub(super) fn has_expired(&self, key: &LaneKey, cx: &Context<'_>) -> bool {
        let Some(latest) = self.expires_since(cx) else { return false };
        self.has_expired_since(key, latest, cx.now)
    }

    /// Settles the key's first event, of which an attempt has just failed.
    pub(super) fn expire_failed(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        let Some((_, offset)) = self.queues.known(key).oldest() else { panic!("{key} has nothing that expires") };
        self.note_expired(offset, cx);
        self.settle_unsent(key, cx);
    }

    /// Settles an event that comes next in the lane's order of reading, if it has waited for too long and nothing of its
    /// key goes before. It needs no room.
    pub(super) fn expires_at_once(&mut self, key: &LaneKey, event: &Arc<LoggedEvent>, cx: &mut Context<'_>) -> bool {
        let first = (self.waits_since(event), event.offset);
        let is_old = self.expires_since(cx).is_some_and(|latest| self.has_waited(first, latest, cx.now));
        if !is_old || self.yielding.is_elsewhere(key) {
            return false;
        }
        if self.queues.get(key).is_some() {
            // Sooner than the timer would, that those before it go.
            self.schedule(key, cx);
        }
        if self.queues.get(key).is_some_and(|queue| !queue.is_free() || !queue.entries().is_empty()) {
            return false;
        }
        self.count_expired(key, event.offset, Some(event.as_ref()), cx);
        cx.uncommitted.settled_unsent += 1;
        if let Some(replaying) = &mut self.replaying {
            replaying.settled += 1;
        }
        true
    }

    /// An event of the key expires without an attempt.
    fn count_expired(&self, key: &LaneKey, offset: Offset, event: Option<&LoggedEvent>, cx: &mut Context<'_>) {
        self.note_expired(offset, cx);
        if cx.settings.history {
            let told = self.told_expired(key, offset, event, cx);
            cx.uncommitted.to_tell.tell(told);
        }
    }

    fn note_expired(&self, offset: Offset, cx: &mut Context<'_>) {
        // What a replay leaves out was settled before.
        let counts = self.at().way == Way::Live && cx.destination.is_kept;
        cx.uncommitted.note_expired(&cx.destination.name, offset, counts);
    }

    fn told_expired(&self, key: &LaneKey, offset: Offset, event: Option<&LoggedEvent>, cx: &Context<'_>) -> Told {
        Told {
            destination: cx.destination.name.clone(),
            born: cx.destination.born,
            offset,
            id: event.map(|event| event.event.id.clone()),
            key: event.map_or_else(|| key.key().cloned(), |event| event.event.key.clone()),
            attempt: 0,
            redrive: self.replaying.is_some(),
            at: cx.now,
            took: Duration::ZERO,
            ended: Ended::Expired,
            fate: Fate::Expired,
            status: None,
            reason: None,
            answer: None,
            request: None,
        }
    }

    /// Whether what it reads next may have waited for too long, or nobody knows how old it is.
    pub(super) fn has_to_look(&self, cx: &Context<'_>) -> bool {
        let Some(max_age) = cx.destination.max_age else { return false };
        if self.yielding.is_unsure() || self.ages.look_again_at.is_some_and(|at| at > cx.now) {
            return false;
        }
        self.reading.next_since().is_none_or(|since| since.after(max_age) <= cx.now)
    }

    /// It has read as far as `next` for itself, and before as far as `from`.
    pub(super) fn has_looked(&mut self, from: Offset, next: Offset, cx: &Context<'_>) {
        self.ages.look_again_at = (from == next).then(|| cx.now.after(cx.settings.expire_every));
    }

    /// Sees to it that it looks when the next event will have waited for too long.
    pub(crate) fn watch_ages(&mut self, cx: &mut Context<'_>) {
        let Some(max_age) = cx.destination.max_age else { return };
        // In whole steps, so that lanes that come and go leave one timer for each step, and not one each.
        let step = Timestamp::ZERO.after(cx.settings.expire_every).as_millis().max(1);
        let rounded =
            |at: Timestamp| Timestamp::from_millis(at.as_millis().checked_next_multiple_of(step).unwrap_or(u64::MAX));
        let soonest = self.ages.looked_at.after(cx.settings.expire_every).max(cx.now.after(GO_ON_AFTER));
        let next = if std::mem::take(&mut self.ages.goes_on) {
            Some(cx.now.after(GO_ON_AFTER))
        } else if self.yielding.is_unsure() || self.ages.waits_for_commit {
            Some(rounded(soonest))
        } else {
            // What is due already is in flight, or waits for a commit: it is looked at when that ends.
            let latest = latest(cx.now, max_age).unwrap_or(Timestamp::ZERO);
            let known = self.queues.next_waiting_since(latest);
            let unread = self.reading.next_since().filter(|since| *since > latest);
            let due = known.into_iter().chain(unread).map(|since| since.after(max_age).max(soonest));
            due.chain(self.ages.look_again_at.filter(|at| *at > cx.now)).min().map(rounded)
        };
        let Some(next) = next else { return };
        let at = next.min(rounded(cx.now.after(cx.settings.expire_ahead)));
        if self.ages.timer.is_some_and(|set| set <= at) {
            return;
        }
        self.ages.timer = Some(at);
        cx.timers.set(at, self.timer(LaneTimer::Age));
    }
}
