//! Events of tenants that were deleted: what waits of them is settled without another attempt, as if nobody had wanted it.
//!
//! A tenant's own destinations go with it; what is left are those of the operator, which get everybody's events. An attempt
//! that is in flight ends by itself.

use super::Lane;
use super::context::Context;
use super::queues::{Entry, KeyQueue, Part};
use crate::lane_key::LaneKey;
use std::collections::BTreeSet;

impl Lane {
    /// Tenants were deleted: looks at every key, which is a rare thing.
    pub(crate) fn drop_deleted_tenants(&mut self, cx: &mut Context<'_>) {
        let mut keys = BTreeSet::new();
        self.queues.for_each(|key, _| keys.extend([key.clone()]));
        for key in keys {
            self.drop_first_if_deleted(&key, cx);
            self.schedule(&key, cx);
        }
    }

    /// Settles the key's first events, as far as they are a deleted tenant's.
    pub(super) fn drop_first_if_deleted(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        if cx.deleted_tenants.is_empty() {
            return; // As nearly always.
        }
        let queue = self.queues.known(key);
        let is_theirs = cx.deleted_tenants.have(key) == Some(true);
        if is_theirs && queue.is_free() && queue.retry().is_some() {
            // A record with a retry state names exactly the failed event, remembered or not.
            self.queues.remember_failed(key, &mut cx.memory);
        }
        let mut any = false;
        let is_letter_of_theirs = |letter: &Entry| {
            is_theirs || letter.event.as_ref().is_some_and(|event| cx.deleted_tenants.had(&event.event))
        };
        let may_drop = |queue: &KeyQueue| queue.is_free() && queue.redrives().front().is_some_and(is_letter_of_theirs);
        while may_drop(self.queues.known(key)) {
            self.queues.pop_redrive(key, &mut cx.memory);
            any = true;
        }
        while self.queues.known(key).is_free() && self.is_of_deleted_tenant(key, cx) {
            self.settle_unsent(key, cx);
            any = true;
        }
        if any {
            let queued = std::mem::take(&mut self.queues.known_mut(key).queued);
            self.turns.leave(key, queued);
        }
    }

    /// Whether the key's first event is a deleted tenant's, as far as that is known. Where the key does not tell whose it
    /// is, it is known once its data is in hand: before an attempt.
    fn is_of_deleted_tenant(&self, key: &LaneKey, cx: &Context<'_>) -> bool {
        if cx.deleted_tenants.is_empty() {
            return false; // As nearly always.
        }
        let Some(first) = self.queues.known(key).entries().front() else { return false };
        let by_event = || first.event.as_ref().is_some_and(|event| cx.deleted_tenants.had(&event.event));
        cx.deleted_tenants.have(key).unwrap_or_else(by_event)
    }

    /// Whether the `nth` event of an attempt, now the key's first, is a deleted tenant's. Its data may have been let go of
    /// while the attempt was under way.
    pub(super) fn was_of_deleted_tenant(&self, part: &Part, nth: usize, cx: &Context<'_>) -> bool {
        self.is_of_deleted_tenant(&part.key, cx)
            || self.event_of(part, nth).is_some_and(|event| cx.deleted_tenants.had(&event.event))
    }
}
