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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::tests::{NOW, key};
    use std::time::Duration;

    #[test]
    fn nothing_is_idle_while_a_key_waits_for_its_turn_or_for_data_or_will() {
        let busy: [fn(&mut Turns); 4] = [
            |turns| turns.is_ready(key(1), NOW),
            |turns| _ = turns.needs_data(key(1)),
            |turns| turns.will_need_data(key(1)),
            Turns::fetch_begins,
        ];
        let made = busy.map(|make| {
            let mut turns = Turns::default();
            assert!(turns.is_idle() && !turns.has_ready() && !turns.has_to_fetch());
            make(&mut turns);
            (turns.is_idle(), turns.has_ready(), turns.has_to_fetch())
        });
        assert_eq!(
            made,
            [(false, true, false), (false, false, true), (false, false, true), (false, false, false)],
            "ready, to fetch, to prefetch, fetching"
        );
    }

    #[test]
    fn keys_have_their_turns_in_order_and_one_that_is_put_back_is_the_next_again() {
        let mut turns = Turns::default();
        (1..=3).for_each(|n| turns.is_ready(key(n), NOW));
        assert_eq!(turns.next_ready(), Some(key(1)));
        turns.put_back(key(1));
        assert_eq!(turns.ready(), 3);
        assert!(turns.ready_keys().eq(&[key(1), key(2), key(3)]));
    }

    #[test]
    fn a_key_that_leaves_takes_nobody_with_it() {
        let mut turns = Turns::default();
        (1..=3).for_each(|n| turns.is_ready(key(n), NOW));
        let places: Vec<_> = (4..=6).map(|n| turns.needs_data(key(n))).collect();
        turns.leave(&key(2), Queued::Ready);
        turns.leave(&key(5), Queued::ToFetch(places[1]));
        turns.leave(&key(1), Queued::No);
        assert!(turns.ready_keys().eq(&[key(1), key(3)]));
        assert!(turns.to_fetch.values().eq(&[key(4), key(6)]));
    }

    #[test]
    fn a_batch_lingers_from_when_its_first_key_came_or_from_the_attempt_before() {
        let mut turns = Turns::default();
        let at = |seconds| NOW.after(Duration::from_secs(seconds));
        turns.is_ready(key(1), at(1));
        turns.is_ready(key(2), at(2));
        assert_eq!(turns.ready_since(), at(1));
        turns.attempted(at(3));
        assert_eq!(turns.ready_since(), at(3));
    }

    #[test]
    fn those_whose_turn_it_is_get_data_first_and_no_more_than_so_many_are_at_it() {
        let mut turns = Turns::default();
        turns.will_need_data(key(1));
        (2..=4).for_each(|n| _ = turns.needs_data(key(n)));
        turns.is_ready(key(9), NOW);
        assert_eq!(turns.next_to_fetch(1), None, "one has its data");
        assert_eq!(turns.next_to_fetch(2), Some((key(2), false)));
        turns.fetch_begins();
        assert_eq!((turns.fetches(), turns.next_to_fetch(2)), (1, None), "another one is about to");
        assert_eq!(turns.next_to_fetch(3), Some((key(3), false)));
        turns.fetch_begins();
        assert_eq!((turns.fetches(), turns.next_to_fetch(3)), (2, None));
        turns.fetch_ended();
        assert_eq!(turns.fetches(), 1);
        assert_eq!(turns.next_to_fetch(3), Some((key(4), false)));
        assert_eq!(turns.next_to_fetch(3), Some((key(1), true)), "who is only ahead of its turn comes last");
        assert_eq!(turns.next_to_fetch(3), None);
    }
}
