//! The queues of a lane's keys, and the sums over them: how much data is in memory, and how many offsets.

mod key_queue;

pub(crate) use key_queue::Part;
pub(super) use key_queue::{Entry, InFlight, KeyQueue, Known, Queued};

use super::context::{Context, Memory};
use crate::event::LoggedEvent;
use crate::key_map::KeyMap;
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::progress::Behind;
use key_queue::Held;
use std::sync::Arc;

/// All that a lane knows of its keys. A key with nothing to do has no queue.
#[derive(Debug)]
pub(super) struct Queues {
    by_key: KeyMap<LaneKey, KeyQueue>,
    /// The sum over all queues. Of it, `waiting` is also in the memory that all lanes share.
    held: Held,
}

impl Queues {
    pub(super) fn new(seed: u64) -> Self {
        Self { by_key: KeyMap::new(seed), held: Held::default() }
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

    /// Takes an event that comes next, with its data. Returns how many of its key wait now.
    pub(super) fn push(&mut self, key: &LaneKey, event: &Arc<LoggedEvent>) -> usize {
        let queue = self.by_key.get_or_insert_with(key.clone(), KeyQueue::default);
        let before = queue.held();
        queue.push(event);
        self.held = self.held.after(before, queue.held());
        queue.entries().len()
    }

    /// Takes a key off the track: nothing but offsets is kept of it. Returns those.
    pub(super) fn fall_behind(&mut self, key: &LaneKey, memory: &mut Memory) -> Vec<Offset> {
        self.change(key, memory, |queue| {
            queue.fall_behind();
            queue.entries().iter().map(|entry| entry.offset).collect()
        })
    }

    /// Restores a key from its record. See [`KeyQueue::restore`].
    pub(super) fn restore(&mut self, key: &LaneKey, behind: Behind, looked_up_to: Offset, memory: &mut Memory) -> bool {
        self.get_or_new(key);
        self.change(key, memory, |queue| queue.restore(key, behind, looked_up_to))
    }

    /// Remembers that an event of a key behind waits, if there is room. Returns whether there was.
    pub(super) fn remember(&mut self, key: &LaneKey, offset: Offset, cx: &mut Context<'_>) -> bool {
        let (most, no_room) = (cx.settings.waiting_per_key, cx.memory.waiting >= cx.settings.waiting_total);
        self.change(key, cx.memory, |queue| {
            let waiting = queue.entries().len();
            // Each key may have one, or it would never come to its turn.
            let full = waiting >= most || (no_room && waiting > 0);
            queue.remember(offset, full);
            !full
        })
    }

    /// Remembers a key's failed event, if only its record tells of it.
    pub(super) fn remember_failed(&mut self, key: &LaneKey, memory: &mut Memory) {
        self.change(key, memory, KeyQueue::remember_failed);
    }

    /// Keeps nothing but offsets of a key.
    pub(super) fn drop_data(&mut self, key: &LaneKey, memory: &mut Memory) {
        self.change(key, memory, KeyQueue::drop_data);
    }

    /// Gives a key data that was fetched, as far as it still waits for it.
    pub(super) fn fill(&mut self, key: &LaneKey, events: &[Arc<LoggedEvent>], memory: &mut Memory) {
        self.change(key, memory, |queue| events.iter().for_each(|event| queue.fill(event)));
    }

    /// Takes out a key's first event, which is settled. Returns where it was, and whether the key is on track.
    pub(super) fn settle_first(&mut self, key: &LaneKey, memory: &mut Memory) -> (Offset, bool) {
        self.change(key, memory, KeyQueue::settle_first)
    }

    /// Changes what is counted. The only place where the sums are.
    fn change<R>(&mut self, key: &LaneKey, memory: &mut Memory, act: impl FnOnce(&mut KeyQueue) -> R) -> R {
        let queue = self.by_key.get_mut(key).unwrap_or_else(|| panic!("nothing is known of {key}"));
        let before = queue.held();
        let result = act(queue);
        let after = queue.held();
        self.held = self.held.after(before, after);
        memory.waiting = memory.waiting + after.waiting - before.waiting;
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
    }
}

impl Held {
    /// A sum of which one part was `before` and is `now`.
    const fn after(self, before: Self, now: Self) -> Self {
        Self { bytes: self.bytes + now.bytes - before.bytes, waiting: self.waiting + now.waiting - before.waiting }
    }
}
