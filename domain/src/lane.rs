//! A lane: one destination's way through one partition.
//!
//! An event that comes in is *on track* until it is settled, or until its key falls *behind*:
//! because it failed, because it takes long, or because the key has too much waiting. Events on
//! track are in memory with their data and hold the lane's position. Of a key behind only offsets
//! are remembered, up to a bound; its data is fetched when its turn comes, and what was not
//! remembered is found again by a scan. A key behind holds nothing but its own record.

mod fetch;
mod key_queue;
mod outcomes;
mod progress;
mod scan;
mod status;

pub(crate) use fetch::Fetch;
pub(crate) use key_queue::Part;

use crate::random::Random;
use crate::timers::{LaneTimer, Timer, Timers};
use crate::{
    Attempted, Behind, Destination, GivenUp, LaneKey, LoggedEvent, Notice, Offset, Ordering, Partition, Pause,
    Position, Quarantined, Redriven, Settings, Timestamp, Watermark, key_map::KeyMap,
};
use key_queue::{Entry, InFlight, KeyQueue, Known, Queued};
use scan::Scan;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// A destination's place in the dispatcher's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DestinationIndex(pub(crate) usize);

/// What all lanes of a process share, and what a lane needs for a decision.
pub(crate) struct Context<'a> {
    pub(crate) now: Timestamp,
    pub(crate) settings: &'a Settings,
    pub(crate) destination: &'a Destination,
    pub(crate) random: &'a mut Random,
    pub(crate) timers: &'a mut Timers,
    pub(crate) memory: &'a mut Memory,
    pub(crate) notices: &'a mut VecDeque<Notice>,
    pub(crate) tally: &'a mut Tally,
}

/// What the lanes of a process hold together.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Offsets remembered for keys behind.
    pub(crate) waiting: usize,
    /// Lanes with events on track.
    pub(crate) busy_lanes: usize,
}

/// What a partition has settled since its last commit was made.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) settled: usize,
    /// Whose dead letters these are.
    pub(crate) unsaved: Vec<(DestinationIndex, LaneKey)>,
    pub(crate) dead_letters: Vec<GivenUp>,
    pub(crate) redriven: Vec<Redriven>,
    pub(crate) quarantined: Vec<Quarantined>,
}

/// One destination's way through one partition.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Tells it from earlier and later lanes of the same destination and partition.
    pub(crate) id: u64,
    pub(crate) destination: DestinationIndex,
    partition: Partition,
    ordering: Ordering,
    /// Whether it takes what the partition's reader reads. Else it reads for itself from `cursor`.
    attached: bool,
    cursor: Offset,
    /// Events below are not this lane's: it was made after them, or had settled them.
    from: Offset,
    /// Whether a read of its own is under way.
    reading: bool,
    on_track: Watermark<LaneKey>,
    keys: KeyMap<LaneKey, KeyQueue>,
    /// The keys that are behind.
    behind: BTreeSet<LaneKey>,
    /// Keys with data in hand, in the order in which they came to it.
    ready: VecDeque<LaneKey>,
    ready_since: Timestamp,
    /// Keys whose turn it is, but whose data must be fetched.
    due: VecDeque<LaneKey>,
    /// Keys in flight that will need data next.
    prefetch: VecDeque<LaneKey>,
    fetches: usize,
    /// Keys behind about whose next events nothing is remembered.
    hungry: BTreeSet<LaneKey>,
    /// Restored keys whose first event the lane had yet to look at, by its offset.
    ahead: BTreeSet<(Offset, LaneKey)>,
    scan: Option<Scan>,
    /// Data in memory, by [`crate::Event::weight`].
    bytes: usize,
    straggler_timer: bool,
    /// Attempts of former lanes of the same destination and partition that are in flight.
    former: usize,
    /// Whether it stands in its destination's queue.
    pub(crate) queued_at_gate: bool,
    /// Where it stands in the last commit that was made.
    position: Position,
    paused: Option<Pause>,
    paused_changed: bool,
    changed: BTreeSet<LaneKey>,
}

impl Lane {
    /// A lane that takes what the partition's reader reads, from `from` on.
    pub(crate) fn new(
        id: u64,
        destination: DestinationIndex,
        partition: Partition,
        ordering: Ordering,
        from: Offset,
        seed: u64,
    ) -> Self {
        Self {
            id,
            destination,
            partition,
            ordering,
            attached: true,
            cursor: from,
            from,
            reading: false,
            on_track: Watermark::default(),
            keys: KeyMap::new(seed),
            behind: BTreeSet::new(),
            ready: VecDeque::new(),
            ready_since: Timestamp::ZERO,
            due: VecDeque::new(),
            prefetch: VecDeque::new(),
            fetches: 0,
            hungry: BTreeSet::new(),
            ahead: BTreeSet::new(),
            scan: None,
            bytes: 0,
            straggler_timer: false,
            former: 0,
            queued_at_gate: false,
            position: Position::Shared,
            paused: None,
            paused_changed: false,
            changed: BTreeSet::new(),
        }
    }

    pub(crate) const fn is_attached(&self) -> bool {
        self.attached
    }

    /// From here on it reads for itself.
    pub(crate) fn detach(&mut self, at: Offset) {
        assert!(self.attached, "a lane is detached once");
        self.attached = false;
        self.cursor = at;
    }

    /// It has come as far as the partition's reader.
    pub(crate) fn attach(&mut self) {
        assert!(!self.attached, "a lane is attached once");
        self.attached = true;
    }

    pub(crate) const fn is_reading(&self) -> bool {
        self.reading
    }

    /// Lets go of what it holds of the memory that all lanes share.
    pub(crate) fn discard(&self, memory: &mut Memory) {
        let waiting = |key: &LaneKey| self.keys.get(key).map_or(0, |queue| queue.entries.len());
        memory.waiting -= self.behind.iter().map(waiting).sum::<usize>();
        memory.busy_lanes -= usize::from(self.has_on_track());
    }

    /// So many attempts of former lanes are in flight.
    pub(crate) const fn follow(&mut self, former: usize) {
        self.former = former;
    }

    /// One of them has ended.
    pub(crate) fn former_ended(&mut self) {
        assert!(self.former > 0, "an attempt of a former lane was counted when this one was made");
        self.former -= 1;
    }

    /// Nothing starts before they have ended: what they carry may stand behind it in its key's order.
    pub(crate) const fn has_to_wait(&self) -> bool {
        self.former > 0
    }

    /// Where it has looked up to, with the partition's reader at `head`.
    pub(crate) fn looked_up_to(&self, head: Offset) -> Offset {
        if self.attached { head.max(self.from) } else { self.cursor }
    }

    pub(crate) const fn has_on_track(&self) -> bool {
        !self.on_track.is_empty()
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether records of this key can be of this lane: they cannot once the destination's ordering
    /// was changed.
    pub(crate) const fn can_have(&self, key: &LaneKey) -> bool {
        matches!(
            (self.ordering, key),
            (Ordering::Strict, LaneKey::All)
                | (Ordering::Key, LaneKey::Key(_) | LaneKey::Event(_))
                | (Ordering::None, LaneKey::Event(_))
        )
    }

    fn key_of(&self, event: &LoggedEvent) -> LaneKey {
        match (self.ordering, &event.event.key) {
            (Ordering::Strict, _) => LaneKey::All,
            (Ordering::Key, Some(key)) => LaneKey::Key(key.clone()),
            (Ordering::Key, None) | (Ordering::None, _) => LaneKey::Event(event.offset),
        }
    }

    /// Whether another event can be on track.
    fn has_room(&self, cx: &Context<'_>) -> bool {
        let share = cx.settings.window_bytes / cx.memory.busy_lanes.max(1);
        // Restored keys that are still ahead do not count: to come to them is what helps.
        self.behind.len() < cx.settings.max_behind + self.ahead.len()
            && self.on_track.unsettled() < cx.settings.window_events
            && (self.bytes < share || self.on_track.is_empty())
    }

    /// Takes a wanted event that comes next in the lane's order of reading. `false`: there is no
    /// room; the lane has not looked at it.
    pub(crate) fn offer(&mut self, event: &Arc<LoggedEvent>, cx: &mut Context<'_>) -> bool {
        if event.offset < self.from {
            return true;
        }
        let key = self.key_of(event);
        if let Some(queue) = self.keys.get_mut(&key)
            && let Some(behind) = &queue.behind
        {
            // What is not known up to here will be found by the scan.
            if event.offset >= behind.settled_below && behind.known == Known::All {
                let was_empty = queue.entries.is_empty();
                queue.remember(event.offset, cx);
                if was_empty {
                    // Its record may say that it has caught up, or that it was to come.
                    self.changed.insert(key.clone());
                    self.schedule(&key, cx);
                }
            }
            return true;
        }
        if !self.has_room(cx) {
            return false;
        }
        self.take_on_track(&key, event, cx);
        true
    }

    fn take_on_track(&mut self, key: &LaneKey, event: &Arc<LoggedEvent>, cx: &mut Context<'_>) {
        if self.on_track.is_empty() {
            cx.memory.busy_lanes += 1;
        }
        self.on_track.track(event.offset, key.clone());
        self.bytes += event.event.weight();
        let queue = self.keys.get_or_insert_with(key.clone(), KeyQueue::default);
        queue.entries.push_back(Entry { offset: event.offset, event: Some(event.clone()) });
        if queue.entries.len() == 1 {
            self.schedule(key, cx);
        } else if queue.entries.len() > cx.settings.window_events_per_key && self.ordering != Ordering::Strict {
            self.fall_behind(key, cx);
        }
    }

    /// Puts a key where it belongs after anything about it has changed.
    fn schedule(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        let Some(queue) = self.keys.get_mut(key) else { return };
        if queue.in_flight.is_some() || queue.queued != Queued::No || queue.unsaved > 0 {
            return;
        }
        let redrive_in_hand = queue.redrive.front().map(|redrive| redrive.event.is_some());
        let in_hand = match (redrive_in_hand, queue.entries.front()) {
            (Some(in_hand), _) => in_hand,
            (None, Some(_)) if queue.waits_until(cx.now) => return,
            (None, Some(entry)) => entry.event.is_some(),
            (None, None) if queue.waits_until(cx.now) => return,
            (None, None) => return self.without_entries(key),
        };
        if in_hand {
            queue.queued = Queued::Ready;
            if self.ready.is_empty() {
                self.ready_since = cx.now;
            }
            self.ready.push_back(key.clone());
        } else if !queue.fetching {
            queue.queued = Queued::Due;
            self.due.push_back(key.clone());
        }
    }

    /// A key with nothing to do: forgotten if it has caught up, else a scan must look for more.
    fn without_entries(&mut self, key: &LaneKey) {
        match self.keys.get(key).and_then(|queue| queue.behind.as_ref()) {
            Some(behind) if behind.ahead => {}
            Some(behind) if behind.known != Known::All => {
                self.hungry.insert(key.clone());
            }
            Some(_) => {
                self.behind.remove(key);
                self.hungry.remove(key);
                self.changed.insert(key.clone());
                self.keys.remove(key);
            }
            None => {
                self.keys.remove(key);
            }
        }
    }

    /// Takes a key off the track: from here on it holds nothing but its own record.
    fn fall_behind(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        let Some(queue) = self.keys.get_mut(key) else { return };
        for entry in &mut queue.entries {
            self.on_track.settle(entry.offset);
            if let Some(event) = entry.event.take() {
                self.bytes -= event.event.weight();
            }
        }
        queue.fell_behind();
        cx.memory.waiting += queue.entries.len();
        self.behind.insert(key.clone());
        self.changed.insert(key.clone());
        if self.on_track.is_empty() {
            cx.memory.busy_lanes -= 1;
        }
        if self.behind.len() == cx.settings.max_behind {
            let destination = cx.destination.name.clone();
            cx.notices.push_back(Notice::TooManyBehind {
                destination,
                partition: self.partition,
                keys: self.behind.len(),
            });
        }
    }

    /// The next attempt: a single event, or as many as the destination's batches hold.
    pub(crate) fn next_delivery(&mut self, cx: &mut Context<'_>) -> Option<(Vec<Part>, Vec<Attempted>)> {
        let batch = cx.destination.batch;
        if batch.max_events > 1 && self.ready.len() < batch.max_events {
            let until = self.ready_since.after(batch.linger);
            if cx.now < until {
                cx.timers.set(until, self.timer(LaneTimer::Linger));
                return None;
            }
        }
        let (mut parts, mut events, mut bytes) = (Vec::new(), Vec::new(), 0);
        while events.len() < batch.max_events.max(1)
            && let Some(key) = self.ready.pop_front()
        {
            let Some(queue) = self.keys.get_mut(&key) else { continue };
            if queue.unsaved > 0 {
                queue.queued = Queued::No;
                continue;
            }
            let alone = queue.goes_alone();
            let first_weight = queue.first_weight();
            if !events.is_empty() && (alone || bytes + first_weight > batch.max_bytes) {
                self.ready.push_front(key);
                break;
            }
            queue.queued = Queued::No;
            let room = if alone { 1 } else { batch.max_events - events.len() };
            let taken = queue.take(room, batch.max_bytes.saturating_sub(bytes), &mut events);
            if taken.count == 0 {
                // Its data was dropped while it stood in the queue.
                self.schedule(&key, cx);
                continue;
            }
            bytes += taken.bytes;
            let entries = if taken.redrive { 0 } else { taken.count };
            queue.in_flight = Some(InFlight { since: cx.now, entries });
            if queue.needs_prefetch(taken.count) {
                self.prefetch.push_back(key.clone());
            }
            parts.push(Part { key, count: taken.count, redrive: taken.redrive });
            if alone {
                break;
            }
        }
        self.ready_since = cx.now;
        if events.is_empty() {
            return None;
        }
        self.watch_stragglers(cx);
        Some((parts, events))
    }

    fn timer(&self, timer: LaneTimer) -> Timer {
        Timer::Lane(self.partition, self.destination, timer)
    }

    fn watch_stragglers(&mut self, cx: &mut Context<'_>) {
        if !self.straggler_timer && !self.on_track.is_empty() {
            self.straggler_timer = true;
            cx.timers.set(cx.now.after(cx.settings.straggler_after), self.timer(LaneTimer::Straggler));
        }
    }

    /// Records keys whose attempt has held the settled prefix back for too long as behind.
    pub(crate) fn look_for_stragglers(&mut self, cx: &mut Context<'_>) {
        self.straggler_timer = false;
        while let Some((_, key)) = self.on_track.first() {
            let key = key.clone();
            let since = self.keys.get(&key).and_then(|queue| queue.in_flight.as_ref()).map(|in_flight| in_flight.since);
            let until = since.unwrap_or(cx.now).after(cx.settings.straggler_after);
            if cx.now < until {
                self.straggler_timer = true;
                cx.timers.set(until, self.timer(LaneTimer::Straggler));
                return;
            }
            self.fall_behind(&key, cx);
        }
    }

    /// Nothing goes on here: what is on track is recorded key by key, so that whoever takes over
    /// repeats nothing.
    pub(crate) fn wind_down(&mut self, cx: &mut Context<'_>) {
        let keys: BTreeSet<LaneKey> = self.on_track.unsettled_of().cloned().collect();
        for key in keys {
            self.fall_behind(&key, cx);
        }
    }

    /// These keys have dead letters that are not in a stored commit yet.
    pub(crate) fn hold(&mut self, keys: Vec<LaneKey>) {
        for key in keys {
            self.keys.get_or_insert_with(key, KeyQueue::default).unsaved += 1;
        }
    }

    /// A commit with a dead letter of this key is stored: the key may go on.
    pub(crate) fn saved(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        if let Some(queue) = self.keys.get_mut(key) {
            queue.unsaved = queue.unsaved.saturating_sub(1);
            self.schedule(key, cx);
        }
    }

    /// A timer of a key's backoff has come.
    pub(crate) fn key_due(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        self.schedule(key, cx);
    }

    /// Where to read for itself, if it needs to and may.
    pub(crate) fn next_read(&mut self, end: Offset, cx: &Context<'_>) -> Option<Offset> {
        let half_empty = self.on_track.unsettled() <= cx.settings.window_events / 2;
        if self.attached || self.reading || self.cursor >= end || !half_empty || !self.has_room(cx) {
            return None;
        }
        self.reading = true;
        Some(self.cursor)
    }

    /// What it had asked for was read, up to `next`; offers follow. Returns where it had asked from.
    pub(crate) fn read_ended(&mut self) -> Offset {
        self.reading = false;
        self.cursor
    }

    /// It has looked at everything below `next`.
    pub(crate) fn advance(&mut self, next: Offset) {
        assert!(!self.attached && next >= self.cursor, "a lane that reads for itself goes forward");
        self.cursor = next;
    }

    /// Restores a key that was behind when the progress was stored.
    pub(crate) fn restore(&mut self, key: &LaneKey, mut behind: Behind, head: Offset, cx: &mut Context<'_>) {
        behind.retry = behind.retry.map(|retry| retry.as_of(cx.now));
        let looked_up_to = self.looked_up_to(head);
        let offset = behind.offset;
        let queue = self.keys.get_or_insert_with(key.clone(), KeyQueue::default);
        if queue.restore(key, behind, looked_up_to, cx.memory) {
            self.ahead.insert((offset, key.clone()));
        }
        if let Some(at) = queue.next_attempt().filter(|at| *at > cx.now && *at < Timestamp::MAX) {
            cx.timers.set(at, Timer::Lane(self.partition, self.destination, LaneTimer::Key(key.clone())));
        }
        self.behind.insert(key.clone());
        self.schedule(key, cx);
    }
}
