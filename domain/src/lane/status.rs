//! What an operator sees of a lane.

use super::Lane;
use crate::partition::Offset;
use crate::status::{BlockedKey, DestinationStatus, MAX_LISTED_KEYS};

impl Lane {
    /// Adds this lane to its destination's status, with the partition's reader at `head` and the
    /// log's end at `end`.
    pub(crate) fn add_to(&self, status: &mut DestinationStatus, (head, end): (Offset, Offset), list_keys: bool) {
        let looked_up_to = self.looked_up_to(head);
        let mut pending = self.on_track.len() as u64;
        let mut unknown_from = looked_up_to;
        let mut unknown_failed = 0;
        let mut first = self.settled_below(head);
        for key in self.behind.iter() {
            let queue = self.queues.known(key);
            pending += queue.entries().len() as u64;
            first = queue.stands_at().map_or(first, |at| first.min(at));
            if let Some(offset) = queue.known_below() {
                unknown_from = unknown_from.min(offset);
            }
            // A record with a retry state names an event that has failed, remembered or not.
            unknown_failed += u64::from(queue.retry().is_some() && queue.entries().is_empty());
        }
        self.add_keys_to(status, list_keys);
        status.waits_from(self.partition, first, end);
        // Across generations, nobody knows how many there are: those that have failed, at least.
        status.pending += pending + unknown_from.may_wait_until(end).max(unknown_failed);
        status.pending_exact &= unknown_from >= end;
        status.pending_at_least |= !unknown_from.is_counted_until(end);
    }

    /// Adds the keys that are behind, of a replay too: what they wait for can be retried or skipped.
    pub(crate) fn add_keys_to(&self, status: &mut DestinationStatus, list_keys: bool) {
        status.keys_behind += self.behind.len() as u64;
        for key in self.behind.iter() {
            let queue = self.queues.known(key);
            let Some(retry) = queue.retry() else { continue };
            status.blocked_keys += 1;
            if list_keys && status.blocked.len() < MAX_LISTED_KEYS {
                status.blocked.push(BlockedKey {
                    key: key.to_string(),
                    partition: self.partition,
                    head: queue.stands_at().unwrap_or(Offset::ZERO),
                    attempts: retry.attempts,
                    since: retry.first_failure,
                    next_attempt: retry.next_attempt.at(),
                    last_error: retry.last_error().into(),
                });
            }
        }
    }
    /// How many keys are behind.
    pub(crate) fn behind_count(&self) -> usize {
        self.behind.len()
    }
}
