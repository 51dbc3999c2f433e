//! Ages where a clock was wrong: what says that it was accepted in the future.
//!
//! A log is in the order in which its events were accepted. So an event whose time lies ahead is at least as old as the next
//! one behind it whose time does not, and goes with that one, as in [`crate::age::Oldest`]: otherwise it would hold everything
//! behind it until its time has come. More of them in a row than one read brings are told from young ones only when they are
//! in memory.

use crate::event::LoggedEvent;
use crate::lane::Lane;
use crate::lane::context::Context;
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::time::{MAX_CLOCK_SKEW, Timestamp};
use std::sync::Arc;

/// Whether a moment says nothing of since when something waits: it lies ahead, so that a clock was wrong. That may be the
/// one which says `now`, so that nothing is old because of it.
fn says_nothing(since: Timestamp, now: Timestamp) -> bool {
    since > now.after(MAX_CLOCK_SKEW)
}

impl Lane {
    /// It has read these: what has waited for too long of them tells of what was accepted before.
    pub(crate) fn sees(&mut self, events: &[Arc<LoggedEvent>], cx: &Context<'_>) {
        if !self.has_limit() {
            return; // As most.
        }
        let Some(latest) = self.expires_since(cx) else { return };
        if let Some(old) = events.iter().rfind(|event| self.waits_since(event) <= latest) {
            self.ages.old_below = self.ages.old_below.max(old.offset.next());
        }
    }

    /// Whether what is at `offset` and waits `since` then has waited since `latest` or before. Where its time says nothing,
    /// it goes with the next one behind it that is old.
    pub(super) fn has_waited(&self, (since, offset): (Timestamp, Offset), latest: Timestamp, now: Timestamp) -> bool {
        let goes_with_next = || {
            // What counts again does so from then on, however old it is.
            let counts = offset >= self.expiry.again_below || self.expiry.again_since <= latest;
            says_nothing(since, now) && offset < self.ages.old_below && counts
        };
        since <= latest || goes_with_next()
    }

    /// The same, of the key's first event.
    pub(super) fn has_expired_since(&self, key: &LaneKey, latest: Timestamp, now: Timestamp) -> bool {
        let queue = self.queues.known(key);
        let Some(first) = queue.oldest() else { return false };
        self.has_waited(first, latest, now)
    }

    /// The keys whose first event has a time that says nothing, and is old as what follows it is. At most so many are looked
    /// at as expire at once: there are more only after a clock has been wrong for long, and the earliest come first.
    pub(super) fn as_old_as_what_follows(&mut self, latest: Timestamp, cx: &Context<'_>) -> Vec<LaneKey> {
        let ahead = self.queues.waiting_since_after(cx.now.after(MAX_CLOCK_SKEW)).take(cx.settings.expire_keys);
        let ahead: Vec<LaneKey> = ahead.map(|(.., key)| key.clone()).collect();
        for key in &ahead {
            let entries = self.queues.known(key).entries().iter();
            let mut known = entries.filter_map(|entry| Some((entry.since?, entry.offset)));
            let next = known.find(|(since, _)| !says_nothing(*since, cx.now));
            if let Some((_, offset)) = next.filter(|(since, _)| *since <= latest) {
                self.ages.old_below = self.ages.old_below.max(offset.next());
            }
        }
        ahead.into_iter().filter(|key| self.has_expired_since(key, latest, cx.now) && self.is_free(key)).collect()
    }

    /// From when on an event's waiting counts; nothing if its time says nothing.
    pub(in crate::lane) fn waits_since_surely(&self, event: &LoggedEvent, now: Timestamp) -> Option<Timestamp> {
        Some(self.waits_since(event)).filter(|since| !says_nothing(*since, now))
    }

    /// Since when what it reads next waits at least, after it has read `events` and has not taken those from `next` on; nothing
    /// if that cannot be told.
    pub(in crate::lane) fn next_waits_since(
        &self,
        events: &[Arc<LoggedEvent>],
        next: Offset,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let (taken, left) = events.split_at(events.partition_point(|event| event.offset < next));
        let since = |event: &Arc<LoggedEvent>| self.waits_since_surely(event, now);
        if left.is_empty() {
            // It is hardly older than what was before it.
            return taken.iter().rev().find_map(since);
        }
        // What has a time that says nothing goes with what is behind it, and that is yet to be accepted if there is none.
        Some(left.iter().find_map(since).unwrap_or(now))
    }
}
