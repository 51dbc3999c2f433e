//! The queues of a lane's keys, and the sums over them: how much data is in memory, and how many offsets.

mod key_queue;

pub(crate) use key_queue::Part;
pub(super) use key_queue::{Asked, Entry, InFlight, KeyQueue, Known, Queued};

use super::context::{Context, OfGroup};
use crate::event::LoggedEvent;
use crate::key_map::KeyMap;
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::progress::{Behind, Expiry};
use crate::time::Timestamp;
use key_queue::Held;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// All that a lane knows of its keys. A key with nothing to do has no queue.
#[derive(Debug)]
pub(super) struct Queues {
    by_key: KeyMap<LaneKey, KeyQueue>,
    /// The sum over all queues. Of it, `waiting` is also in the memory that all lanes share.
    held: Held,
    /// Where waiting has a limit: the first event of each key of which the age is known, the one that waits for longest
    /// first.
    oldest: Option<BTreeSet<Oldest>>,
}

/// From when on the waiting of a key's first event counts, and where it is.
pub(super) type Oldest = (Timestamp, Offset, LaneKey);

impl Queues {
    pub(super) fn new(seed: u64) -> Self {
        Self { by_key: KeyMap::new(seed), held: Held::default(), oldest: None }
    }

    /// Whether it is known which key's first event waits for longest.
    pub(super) const fn knows_oldest(&self) -> bool {
        self.oldest.is_some()
    }

    /// From now on it is to be known, or no longer. Returns the keys whose first event has to be looked at for that.
    pub(super) fn know_oldest(&mut self, wanted: bool, memory: &mut OfGroup<'_>) -> BTreeSet<LaneKey> {
        let mut to_look_at = BTreeSet::new();
        if wanted == self.knows_oldest() {
            return to_look_at;
        }
        self.oldest = wanted.then(BTreeSet::new);
        if !wanted {
            return to_look_at;
        }
        let mut keys = BTreeSet::new();
        self.by_key.for_each(|key, _| keys.extend([key.clone()]));
        for key in keys {
            if self.change(&key, memory, KeyQueue::seek_age) {
                to_look_at.insert(key.clone());
            }
            if let (Some((since, offset)), Some(oldest)) = (self.known(&key).oldest(), &mut self.oldest) {
                oldest.insert((since, offset, key));
            }
        }
        to_look_at
    }

    /// The keys whose first event waits since `until` or before, the oldest first.
    pub(super) fn waiting_since(&self, until: Timestamp) -> impl Iterator<Item = &Oldest> {
        self.oldest.iter().flatten().take_while(move |(since, ..)| *since <= until)
    }

    /// The same of those that wait since later than `after`.
    pub(super) fn waiting_since_after(&self, after: Timestamp) -> impl Iterator<Item = &Oldest> {
        let first = (after.after(Duration::from_millis(1)), Offset::ZERO, LaneKey::Event(Offset::ZERO));
        self.oldest.iter().flat_map(move |oldest| oldest.range(first.clone()..))
    }

    /// Since when the first event waits that waits since later than `after`.
    pub(super) fn next_waiting_since(&self, after: Timestamp) -> Option<Timestamp> {
        let first = (after, Offset(u64::MAX), LaneKey::All);
        self.oldest.as_ref()?.range(first..).map(|(since, ..)| *since).find(|since| *since > after)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Data in memory, by [`crate::Event::weight`].
    pub(super) const fn bytes(&self) -> usize {
        self.held.bytes
    }

    /// Offsets remembered of keys behind.
    pub(super) const fn waiting(&self) -> usize {
        self.held.waiting
    }

    pub(super) fn get(&self, key: &LaneKey) -> Option<&KeyQueue> {
        self.by_key.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &LaneKey) -> Option<&mut KeyQueue> {
        self.by_key.get_mut(key)
    }

    /// The queue of a key that something is under way with.
    pub(super) fn known(&self, key: &LaneKey) -> &KeyQueue {
        self.by_key.get(key).unwrap_or_else(|| panic!("nothing is known of {key}"))
    }

    /// The same, to be changed.
    pub(super) fn known_mut(&mut self, key: &LaneKey) -> &mut KeyQueue {
        self.by_key.get_mut(key).unwrap_or_else(|| panic!("nothing is known of {key}"))
    }

    /// The queue of a key, a new one if nothing was known of it.
    pub(super) fn get_or_new(&mut self, key: &LaneKey) -> &mut KeyQueue {
        self.by_key.get_or_insert_with(key.clone(), KeyQueue::default)
    }

    /// Forgets a key that has nothing to do.
    pub(super) fn forget(&mut self, key: &LaneKey) {
        if let Some(queue) = self.by_key.remove(key) {
            assert_eq!(queue.held(), Held::default(), "{key} is forgotten, and something of it waits");
        }
    }

    /// Takes an event that comes next, with its data; its waiting counts `since` then. Returns how many of its key wait now.
    pub(super) fn push(&mut self, key: &LaneKey, event: &Arc<LoggedEvent>, since: Timestamp) -> usize {
        let queue = self.by_key.get_or_insert_with(key.clone(), KeyQueue::default);
        let before = queue.held();
        queue.push(event, since);
        self.held = self.held.after(before, queue.held());
        let waiting = queue.entries().len();
        if waiting == 1
            && let Some(oldest) = &mut self.oldest
        {
            oldest.insert((since, event.offset, key.clone()));
        }
        waiting
    }

    /// Takes a key off the track: nothing but offsets is kept of it. Returns those.
    pub(super) fn fall_behind(&mut self, key: &LaneKey, memory: &mut OfGroup<'_>) -> Vec<Offset> {
        self.change(key, memory, |queue| {
            queue.fall_behind();
            queue.entries().iter().map(|entry| entry.offset).collect()
        })
    }

    /// Restores a key from its record. See [`KeyQueue::restore`].
    pub(super) fn restore(
        &mut self,
        key: &LaneKey,
        behind: Behind,
        looked_up_to: Offset,
        memory: &mut OfGroup<'_>,
    ) -> bool {
        self.get_or_new(key);
        let aging = self.knows_oldest();
        self.change(key, memory, |queue| queue.restore(key, behind, looked_up_to, aging))
    }

    /// Remembers that an event of a key behind waits, `since` then, if there is room. Returns whether there was.
    pub(super) fn remember(&mut self, key: &LaneKey, offset: Offset, since: Timestamp, cx: &mut Context<'_>) -> bool {
        let (most, no_room) = (cx.settings.waiting_per_key, !cx.memory.may_remember(cx.settings.waiting_total));
        self.change(key, &mut cx.memory, |queue| {
            let waiting = queue.entries().len();
            // Each key may have one, or it would never come to its turn.
            let full = waiting >= most || (no_room && waiting > 0);
            queue.remember(offset, since, full);
            !full
        })
    }

    /// Remembers a key's failed event, if only its record tells of it.
    pub(super) fn remember_failed(&mut self, key: &LaneKey, memory: &mut OfGroup<'_>) {
        self.change(key, memory, KeyQueue::remember_failed);
    }

    /// Keeps nothing but offsets of a key.
    pub(super) fn drop_data(&mut self, key: &LaneKey, memory: &mut OfGroup<'_>) {
        self.change(key, memory, KeyQueue::drop_data);
    }

    /// Gives a key data that was fetched, as far as it still waits for it. `expiry` says from when on its waiting counts.
    pub(super) fn fill(
        &mut self,
        key: &LaneKey,
        events: &[Arc<LoggedEvent>],
        expiry: Expiry,
        memory: &mut OfGroup<'_>,
    ) {
        let since = |event: &LoggedEvent| expiry.waits_since(event.offset, event.accepted_at);
        self.change(key, memory, |queue| events.iter().for_each(|event| queue.fill(event, since(event))));
    }

    /// How many dead letters are to be attempted once more.
    pub(super) const fn redrives(&self) -> usize {
        self.held.redrives
    }

    /// Takes a dead letter of a key that is to be attempted once more. `false` if it is there already.
    pub(super) fn redrive(&mut self, key: &LaneKey, offset: Offset, memory: &mut OfGroup<'_>) -> bool {
        let is_new = self.get_or_new(key).redrives().iter().all(|redrive| redrive.offset != offset);
        if is_new {
            self.change(key, memory, |queue| queue.push_redrive(offset));
        }
        is_new
    }

    /// Gives a key's first dead letter its event; without one, or with another's, it is let go of.
    pub(super) fn fill_redrive(&mut self, key: &LaneKey, event: Option<Arc<LoggedEvent>>, memory: &mut OfGroup<'_>) {
        if !event.is_some_and(|event| self.known_mut(key).fill_redrive(event)) {
            self.pop_redrive(key, memory);
        }
    }

    /// Takes out a key's first dead letter.
    pub(super) fn pop_redrive(&mut self, key: &LaneKey, memory: &mut OfGroup<'_>) -> Option<Entry> {
        self.change(key, memory, KeyQueue::pop_redrive)
    }

    /// Takes out a key's first event, which is settled. Returns where it was, and whether the key is on track.
    pub(super) fn settle_first(&mut self, key: &LaneKey, memory: &mut OfGroup<'_>) -> (Offset, bool) {
        self.change(key, memory, KeyQueue::settle_first)
    }

    /// Changes what is counted. The only place where the sums are.
    fn change<R>(&mut self, key: &LaneKey, memory: &mut OfGroup<'_>, act: impl FnOnce(&mut KeyQueue) -> R) -> R {
        let queue = self.by_key.get_mut(key).unwrap_or_else(|| panic!("nothing is known of {key}"));
        let (before, oldest_before) = (queue.held(), queue.oldest());
        let result = act(queue);
        let (after, oldest_after) = (queue.held(), queue.oldest());
        self.held = self.held.after(before, after);
        if after.waiting != before.waiting {
            memory.remembered(before.waiting, after.waiting);
        }
        if let Some(oldest) = self.oldest.as_mut().filter(|_| oldest_before != oldest_after) {
            if let Some((since, offset)) = oldest_before {
                oldest.remove(&(since, offset, key.clone()));
            }
            oldest.extend(oldest_after.map(|(since, offset)| (since, offset, key.clone())));
        }
        result
    }

    /// Looks at every key, in no order: for checks that hold of each.
    pub(super) fn for_each(&self, look: impl FnMut(&LaneKey, &KeyQueue)) {
        self.by_key.for_each(look);
    }

    /// See [`crate::Dispatcher::check`].
    pub(super) fn check(&self) {
        let mut held = Held::default();
        self.by_key.for_each(|key, queue| {
            assert_eq!(queue.held(), queue.held_anew(), "what is in memory of {key}");
            let rising = queue.entries().iter().zip(queue.entries().iter().skip(1)).all(|(a, b)| a.offset < b.offset);
            assert!(rising, "the events of {key} stand in their order: {queue:?}");
            held = held.after(Held::default(), queue.held());
        });
        assert_eq!(self.held, held, "what is in memory of all keys");
        if let Some(known) = &self.oldest {
            let mut oldest = BTreeSet::new();
            self.by_key.for_each(|key, queue| {
                oldest.extend(queue.oldest().map(|(since, offset)| (since, offset, key.clone())));
            });
            assert_eq!(*known, oldest, "which keys' first events wait for longest");
        }
    }
}

impl Held {
    /// A sum of which one part was `before` and is `now`.
    const fn after(self, before: Self, now: Self) -> Self {
        Self {
            bytes: self.bytes + now.bytes - before.bytes,
            waiting: self.waiting + now.waiting - before.waiting,
            redrives: self.redrives + now.redrives - before.redrives,
        }
    }
}

#[cfg(test)]
mod tests;
