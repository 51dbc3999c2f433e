//! Whose turn it is: keys with data in hand wait for their attempt, keys without for their data.

use super::queues::Queued;
use crate::lane_key::LaneKey;
use crate::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// Keys in the order of their turns. Which of the queues a key stands in, it knows itself
/// ([`super::key_queue::Queued`]), so that it stands in one of them at most.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Keys with data in hand, in the order in which they came to it.
    ready: VecDeque<LaneKey>,
    /// Since when there are any, or since the last attempt.
    ready_since: Timestamp,
    /// Keys whose turn it is, but whose data must be fetched, by the numbers of their places.
    to_fetch: BTreeMap<u64, LaneKey>,
    /// The number of the next place there.
    next_place: u64,
    /// Keys in flight that will need data next.
    to_prefetch: VecDeque<LaneKey>,
    /// Fetches under way.
    fetches: usize,
}

impl Turns {
    pub(super) fn is_ready(&mut self, key: LaneKey, now: Timestamp) {
        if self.ready.is_empty() {
            self.ready_since = now;
        }
        self.ready.push_back(key);
    }

    /// Whether nobody waits for a turn or for data.
    pub(super) fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.to_fetch.is_empty() && self.to_prefetch.is_empty() && self.fetches == 0
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether keys wait for data, or will.
    pub(super) fn has_to_fetch(&self) -> bool {
        !self.to_fetch.is_empty() || !self.to_prefetch.is_empty()
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Those keys, in the order of their turns.
    pub(super) fn ready_keys(&self) -> impl Iterator<Item = &LaneKey> {
        self.ready.iter()
    }

    pub(super) const fn ready_since(&self) -> Timestamp {
        self.ready_since
    }

    pub(super) fn next_ready(&mut self) -> Option<LaneKey> {
        self.ready.pop_front()
    }

    /// It does not fit into the attempt that is being made, and is the first of the next one.
    pub(super) fn put_back(&mut self, key: LaneKey) {
        self.ready.push_front(key);
    }

    /// An attempt was made of what was ready. A batch that lingers counts from here.
    pub(super) const fn attempted(&mut self, now: Timestamp) {
        self.ready_since = now;
    }

    /// Returns at which place it stands.
    pub(super) fn needs_data(&mut self, key: LaneKey) -> u64 {
        let place = self.next_place;
        self.next_place += 1;
        self.to_fetch.insert(place, key);
        place
    }

    /// A key leaves the queue that it stands in: what it stood there for is settled.
    pub(super) fn leave(&mut self, key: &LaneKey, queued: Queued) {
        match queued {
            Queued::No => {}
            // Those that wait for longest stand at the front; there are no more than a window and some fetched ones.
            Queued::Ready => {
                let at = self.ready.iter().position(|ready| ready == key);
                drop(at.and_then(|at| self.ready.remove(at)));
            }
            Queued::ToFetch(place) => drop(self.to_fetch.remove(&place)),
        }
    }

    pub(super) fn will_need_data(&mut self, key: LaneKey) {
        self.to_prefetch.push_back(key);
    }

    /// The next key to get data for, and whether it is only ahead of its turn, unless `most` have their data or
    /// are about to.
    pub(super) fn next_to_fetch(&mut self, most: usize) -> Option<(LaneKey, bool)> {
        if self.fetches + self.ready.len() >= most {
            return None;
        }
        let due = self.to_fetch.pop_first().map(|(_, key)| (key, false));
        due.or_else(|| self.to_prefetch.pop_front().map(|key| (key, true)))
    }

    /// Fetches under way.
    pub(super) const fn fetches(&self) -> usize {
        self.fetches
    }

    pub(super) const fn fetch_begins(&mut self) {
        self.fetches += 1;
    }

    pub(super) fn fetch_ended(&mut self) {
        assert!(self.fetches > 0, "a fetch that ends has begun");
        self.fetches -= 1;
    }

    /// See [`crate::Dispatcher::check`]. `expected`: how many keys say that they are ready, that they need data, and
    /// that their data is on its way.
    pub(super) fn check(&self, (ready, to_fetch, fetching): (usize, usize, usize)) {
        assert_eq!(self.ready.len(), ready, "keys with data in hand: {self:?}");
        assert_eq!(self.to_fetch.len(), to_fetch, "keys that need data: {self:?}");
        assert!(self.fetches >= fetching, "fetches under way: {self:?}");
    }
}
