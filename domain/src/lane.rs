//! A lane: one destination's way through one partition.
//!
//! An event that comes in is *on track* until it is settled, or until its key falls *behind*:
//! because it failed, because it takes long, or because the key has too much waiting. Events on
//! track are in memory with their data and hold the lane's position. Of a key behind only offsets
//! are remembered, up to a bound; its data is fetched when its turn comes, and what was not
//! remembered is found again by a scan. A key behind holds nothing but its own record.
//!
//! Each part of a lane owns its state: how far it reads, what is on track, what is known of each key,
//! who is behind, whose turn it is, and what the store knows. Here is what moves between them.

mod behind;
mod check;
mod context;
mod deleted_tenants;
mod expiry;
mod fetch;
mod on_track;
mod outcomes;
mod progress;
mod queues;
mod reading;
mod record;
mod scan;
mod status;
mod turns;
mod yielding;

pub(crate) use context::{Context, Expired, Held, Memory, Uncommitted, Unsaved};
pub(crate) use fetch::{FETCH_BYTES, Fetch};
pub(crate) use outcomes::Ends;
pub(crate) use queues::Part;

use crate::destination::{BatchPolicy, DestinationIndex, Ordering};
use crate::event::LoggedEvent;
use crate::gate::Appetite;
use crate::io::{Attempted, Notice};
use crate::lane_key::LaneKey;
use crate::partition::{Offset, Partition};
use crate::progress::{Behind, Expiry};
use crate::retry::NextAttempt;
use crate::shares::GroupIndex;
use crate::time::Timestamp;
use crate::timers::{LaneTimer, Timer};
use crate::way::{LaneAt, Way};
use behind::BehindKeys;
use expiry::Ages;
use on_track::OnTrack;
use queues::{InFlight, Known, Queued, Queues};
use reading::Reading;
use record::Record;
use std::sync::Arc;
use turns::Turns;
use yielding::Yielding;

/// Keys that are looked at for whether a batch is full. That is asked for every event that comes while it waits for more,
/// and it is few keys that have many events in hand.
const LOOKED_AT_FOR_BATCH: usize = 16;

/// What makes a lane one that delivers once more.
#[derive(Clone, Copy, Debug)]
struct Replaying {
    /// What its deliveries say.
    number: u64,
    /// How many events it has settled, in this life.
    settled: u64,
}

/// One destination's way through one partition.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Tells it from earlier and later lanes of the same destination and partition.
    pub(crate) id: u64,
    pub(crate) destination: DestinationIndex,
    /// Whose destination it is.
    group: GroupIndex,
    /// If it is that of a replay: what its deliveries say, and how many events it has settled.
    replaying: Option<Replaying>,
    partition: Partition,
    ordering: Ordering,
    reading: Reading,
    on_track: OnTrack,
    queues: Queues,
    behind: BehindKeys,
    turns: Turns,
    record: Record,
    straggler_timer: bool,
    /// From when on waiting counts in it.
    expiry: Expiry,
    ages: Ages,
    yielding: Yielding,
    /// Whether it stands in its destination's queue.
    pub(crate) queued_at_gate: bool,
    /// Whether it had nothing under way when the last commit looked at it.
    pub(crate) was_idle: bool,
}

impl Lane {
    /// A lane that takes what the partition's reader reads, from `from` on.
    pub(crate) fn new(
        id: u64,
        (destination, group): (DestinationIndex, GroupIndex),
        partition: Partition,
        ordering: Ordering,
        from: Offset,
        seed: u64,
    ) -> Self {
        Self {
            id,
            destination,
            group,
            replaying: None,
            partition,
            ordering,
            reading: Reading::attached_from(from),
            on_track: OnTrack::default(),
            queues: Queues::new(seed),
            behind: BehindKeys::default(),
            turns: Turns::default(),
            record: Record::default(),
            straggler_timer: false,
            expiry: Expiry::default(),
            ages: Ages::default(),
            yielding: Yielding::default(),
            queued_at_gate: false,
            was_idle: false,
        }
    }

    pub(crate) const fn is_attached(&self) -> bool {
        self.reading.is_attached()
    }

    /// From here on it reads for itself.
    pub(crate) fn detach(&mut self, at: Offset) {
        self.reading.detach(at);
    }

    /// The same, at an event for which there was no room.
    pub(crate) fn stopped_at(&mut self, event: &LoggedEvent, now: Timestamp) {
        self.reading.set_next_since(self.waits_since_surely(event, now));
    }

    /// How far it has looked, if it reads for itself.
    pub(crate) const fn cursor(&self) -> Offset {
        self.reading.cursor()
    }

    /// It has come as far as the partition's reader.
    pub(crate) fn attach(&mut self) {
        self.reading.attach();
    }

    pub(crate) const fn is_reading(&self) -> bool {
        self.reading.is_under_way()
    }

    /// What it holds of the memory that all lanes share.
    pub(crate) fn holds(&self) -> (GroupIndex, Held) {
        (self.group, Held { waiting: self.queues.waiting(), busy_lanes: self.on_track.busy_lanes() })
    }

    /// The data of events that it holds in memory.
    #[cfg(test)]
    pub(crate) const fn bytes(&self) -> usize {
        self.queues.bytes()
    }

    /// Lets go of that.
    pub(crate) fn discard(&self, memory: &mut Memory) {
        let mut memory = memory.of(self.group);
        memory.remembered(self.queues.waiting(), 0);
        if self.has_on_track() {
            memory.lane_is_idle();
        }
    }

    /// Makes it the lane of a replay, whose deliveries say this.
    pub(crate) const fn replays_as(&mut self, number: u64) {
        self.replaying = Some(Replaying { number, settled: 0 });
    }

    /// How many events it has settled since the last time it was asked, if it is that of a replay.
    pub(crate) fn take_replayed(&mut self) -> u64 {
        self.replaying.as_mut().map_or(0, |replaying| std::mem::take(&mut replaying.settled))
    }

    /// Where it is in its partition.
    pub(crate) fn at(&self) -> LaneAt {
        let way = if self.replaying.is_some() { Way::Replay(self.id) } else { Way::Live };
        LaneAt { destination: self.destination, way }
    }

    /// Whether what is of `key` at `offset` is settled, with the partition's reader at `head`.
    pub(crate) fn has_settled(&self, key: &LaneKey, offset: Offset, head: Offset) -> bool {
        let Some(queue) = self.queues.get(key) else { return offset < self.looked_up_to(head) };
        let first = match queue.behind() {
            Some(_) => queue.record().map(|record| record.offset),
            None => queue.entries().front().map(|entry| entry.offset),
        };
        offset < first.unwrap_or_else(|| self.looked_up_to(head))
    }

    /// Whether nothing of it is under way, and it has looked at all that there is below `until`.
    pub(crate) fn is_through(&self, until: Offset) -> bool {
        self.looked_up_to(until) >= until && self.queues.is_empty()
    }

    /// Whether a dead letter of it is not in a stored commit yet.
    pub(crate) fn has_unsaved(&self) -> bool {
        let mut any = false;
        self.queues.for_each(|_, queue| any |= queue.unsaved > 0);
        any
    }

    /// Where it has looked up to, with the partition's reader at `head`.
    pub(crate) fn looked_up_to(&self, head: Offset) -> Offset {
        self.reading.looked_up_to(head)
    }

    pub(crate) const fn has_on_track(&self) -> bool {
        !self.on_track.is_empty()
    }

    /// Whether it is attached, with nothing under way and nothing to be told: a new one could stand in its place.
    pub(crate) fn is_idle(&self) -> bool {
        let at_rest =
            self.queues.is_empty() && self.on_track.is_empty() && self.behind.is_empty() && self.turns.is_idle();
        at_rest && self.record.is_plain() && self.is_attached() && !self.has_to_wait() && !self.queued_at_gate
    }

    pub(crate) fn has_ready(&self) -> bool {
        self.turns.has_ready()
    }

    /// Whether keys wait for data, or will.
    pub(crate) fn has_to_fetch(&self) -> bool {
        self.turns.has_to_fetch()
    }

    /// Whether it knows of something that is attempted next, or is about to: sooner or later that wakes it.
    fn has_to_try(&self) -> bool {
        !self.on_track.is_empty() || !self.turns.is_idle() || self.behind.is_looking()
    }

    /// Whether another event can be on track.
    fn has_room(&self, cx: &Context<'_>) -> bool {
        let share = cx.memory.share_of(cx.settings.window_bytes);
        self.behind.held_back() < cx.settings.max_behind
            && self.on_track.len() < cx.settings.window_events
            && (self.queues.bytes() < share || self.on_track.is_empty())
    }

    /// Takes a wanted event that comes next in the lane's order of reading. `only_old`: unless there is time left for it.
    /// `false`: there is no room, or time; the lane has not looked at it.
    pub(crate) fn offer(&mut self, event: &Arc<LoggedEvent>, only_old: bool, cx: &mut Context<'_>) -> bool {
        if event.offset < self.reading.from() || cx.deleted_tenants.had(&event.event) {
            return true;
        }
        let (key, since) = (self.ordering.key_of(event), self.waits_since(event));
        if let Some(queue) = self.queues.get(&key)
            && let Some(behind) = queue.behind()
        {
            // What is not known up to here will be found by the scan.
            if event.offset >= behind.settled_below && behind.known == Known::All {
                let was_empty = queue.entries().is_empty();
                self.queues.remember(&key, event.offset, since, cx);
                if was_empty {
                    // Its record may say that it has caught up, or that it was to come.
                    self.record.changed(key.clone());
                    self.schedule(&key, cx);
                }
            }
            return true;
        }
        if self.expires_at_once(&key, event, cx) {
            return true;
        }
        if only_old || !self.has_room(cx) {
            return false;
        }
        self.on_track.add(event.offset, key.clone(), &mut cx.memory);
        let waiting = self.queues.push(&key, event, since);
        if waiting == 1 {
            self.schedule(&key, cx);
        } else if waiting > cx.settings.window_events_per_key && self.ordering != Ordering::Strict {
            self.fall_behind(&key, cx);
        }
        if waiting == 1 && self.is_held(&key) {
            self.fall_behind(&key, cx);
        }
        true
    }

    /// Puts a key where it belongs after anything about it has changed. What of it has waited for too long is settled.
    fn schedule(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        self.drop_first_if_deleted(key, cx);
        self.expire_first(key, cx);
        let stopped = self.yielding.stops(key);
        let queue = self.queues.known_mut(key);
        if queue.in_flight.is_some() || queue.queued != Queued::No || queue.unsaved > 0 {
            return;
        }
        let redrive_in_hand = queue.redrives().front().map(|redrive| redrive.event.is_some());
        let in_hand = match (redrive_in_hand, queue.entries().front()) {
            (Some(in_hand), _) => in_hand,
            (None, _) if queue.waits_until(cx.now) => return,
            (None, Some(entry)) => entry.event.is_some(),
            (None, None) => return self.without_entries(key),
        };
        if stopped {
            return; // It is looked at again when that ends.
        }
        if in_hand {
            queue.queued = Queued::Ready;
            self.turns.is_ready(key.clone(), cx.now);
        } else if !queue.fetching {
            queue.queued = Queued::ToFetch(self.turns.needs_data(key.clone()));
        }
    }

    /// A key with nothing to do: forgotten if it has caught up, else a scan must look for more.
    fn without_entries(&mut self, key: &LaneKey) {
        match self.queues.known(key).behind() {
            Some(behind) if behind.ahead => {}
            Some(behind) if behind.known != Known::All => self.behind.needs_scan(key),
            Some(_) => {
                self.behind.remove(key);
                self.record.changed(key.clone());
                self.queues.forget(key);
            }
            None => self.queues.forget(key),
        }
    }

    /// Takes a key off the track: from here on it holds nothing but its own record.
    fn fall_behind(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        for offset in self.queues.fall_behind(key, &mut cx.memory) {
            self.on_track.remove(offset, &mut cx.memory);
        }
        self.behind.insert(key.clone());
        self.record.changed(key.clone());
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
        if batch.max_events > 1 && !self.has_full_batch(batch) {
            let until = self.turns.ready_since().after(batch.linger);
            if cx.now < until {
                cx.timers.set(until, self.timer(LaneTimer::Linger));
                return None;
            }
        }
        let (mut parts, mut events, mut bytes) = (Vec::new(), Vec::new(), 0);
        while events.len() < batch.max_events.max(1)
            && let Some(key) = self.turns.next_ready()
        {
            let queue = self.queues.known_mut(&key);
            if queue.unsaved > 0 || self.yielding.stops(&key) {
                queue.queued = Queued::No;
                continue;
            }
            let alone = queue.goes_alone();
            if !events.is_empty() && (alone || bytes + queue.first_weight() > batch.max_bytes) {
                self.turns.put_back(key);
                break;
            }
            queue.queued = Queued::No;
            let room = if alone { 1 } else { batch.max_events - events.len() };
            let first = events.len();
            let taken = queue.take(room, batch.max_bytes.saturating_sub(bytes), cx.deleted_tenants, &mut events);
            if let Some(Replaying { number, .. }) = self.replaying {
                for attempted in &mut events[first..] {
                    attempted.redrive = true;
                    attempted.replay = Some(number);
                }
            }
            if taken.count == 0 {
                // Its data was dropped while it stood in the queue.
                self.schedule(&key, cx);
                continue;
            }
            bytes += taken.bytes;
            let entries = if taken.redrive { 0 } else { taken.count };
            queue.in_flight = Some(InFlight { since: cx.now, entries, asked: None });
            if queue.needs_prefetch(taken.count) {
                self.turns.will_need_data(key.clone());
            }
            let resends = if taken.redrive { queue.redrive_resends } else { queue.resends };
            let first = events[events.len() - taken.count].event.clone();
            let (count, redrive) = (taken.count, taken.redrive);
            parts.push(Part { key, count, bytes: taken.bytes, redrive, resends, first });
            if alone {
                break;
            }
        }
        self.turns.attempted(cx.now);
        if events.is_empty() {
            return None;
        }
        self.watch_stragglers(cx);
        Some((parts, events))
    }

    /// Whether nothing that comes could join the next batch: it has all that it may have, or what follows goes alone. Keys
    /// with more than one event in hand are found among the first ones.
    fn has_full_batch(&self, batch: BatchPolicy) -> bool {
        let (mut events, mut bytes) = (self.turns.ready(), 0);
        if events >= batch.max_events {
            return true;
        }
        for key in self.turns.ready_keys().take(LOOKED_AT_FOR_BATCH) {
            let queue = self.queues.known(key);
            let (more, weight) = queue.in_hand(batch.max_events);
            events += more.saturating_sub(1);
            bytes += weight;
            if queue.goes_alone() || events >= batch.max_events || bytes >= batch.max_bytes {
                return true;
            }
        }
        false
    }

    fn timer(&self, timer: LaneTimer) -> Timer {
        Timer::Lane(self.partition, self.at(), timer)
    }

    fn watch_stragglers(&mut self, cx: &mut Context<'_>) {
        if !self.straggler_timer && !self.on_track.is_empty() {
            self.straggler_timer = true;
            cx.timers.set(cx.now.after(cx.settings.straggler_after), self.timer(LaneTimer::Straggler));
        }
    }

    /// Records keys whose attempt has held the settled prefix back for too long as behind. Whether there were any.
    pub(crate) fn look_for_stragglers(&mut self, cx: &mut Context<'_>) -> bool {
        self.straggler_timer = false;
        let mut any = false;
        while let Some((_, key)) = self.on_track.first() {
            let key = key.clone();
            let since = self.queues.known(&key).in_flight.as_ref().map(|in_flight| in_flight.since);
            if since.is_none() && self.yielding.stops(&key) {
                // Another lane takes long with it.
                self.fall_behind(&key, cx);
                any = true;
                continue;
            }
            let until = since.unwrap_or(cx.now).after(cx.settings.straggler_after);
            if cx.now < until {
                self.straggler_timer = true;
                cx.timers.set(until, self.timer(LaneTimer::Straggler));
                return any;
            }
            self.fall_behind(&key, cx);
            any = true;
        }
        any
    }

    /// Nothing goes on here: what is on track is recorded key by key, so that whoever takes over
    /// repeats nothing.
    pub(crate) fn wind_down(&mut self, cx: &mut Context<'_>) {
        for key in self.on_track.keys() {
            self.fall_behind(&key, cx);
        }
    }

    /// These keys have dead letters that are not in a stored commit yet.
    pub(crate) fn hold(&mut self, keys: Vec<LaneKey>) {
        for key in keys {
            self.queues.get_or_new(&key).unsaved += 1;
        }
    }

    /// A commit with a dead letter of this key is stored: the key may go on.
    pub(crate) fn saved(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        let queue = self.queues.known_mut(key);
        assert!(queue.unsaved > 0, "{key} waits for each of its dead letters to be stored");
        queue.unsaved -= 1;
        self.schedule(key, cx);
    }

    /// A timer of a key's backoff has come. The key may have gone on since, and have nothing to do.
    pub(crate) fn key_due(&mut self, key: &LaneKey, cx: &mut Context<'_>) {
        if self.queues.get(key).is_some() {
            self.schedule(key, cx);
        }
    }

    /// Where to read for itself, if it needs to and may. Without appetite it reads only what may have waited for too long.
    pub(crate) fn next_read(&mut self, end: Offset, appetite: Appetite, cx: &Context<'_>) -> Option<Offset> {
        let half_empty = self.on_track.len() <= cx.settings.window_events / 2;
        let wants_more = match appetite {
            Appetite::Full => half_empty,
            Appetite::ToProbe => !self.has_to_try(),
            Appetite::None => false,
        };
        let takes_more = wants_more && self.has_room(cx);
        (self.reading.may_begin(end) && (takes_more || self.has_to_look(cx))).then(|| self.reading.begin())
    }

    /// What it had asked for was read, up to `next`; offers follow. Returns where it had asked from.
    pub(crate) const fn read_ended(&mut self) -> Offset {
        self.reading.end()
    }

    /// It has looked at everything below `next`, and seen these events there and from there on.
    pub(crate) fn advance(&mut self, next: Offset, seen: &[Arc<LoggedEvent>], cx: &Context<'_>) {
        self.has_looked(self.reading.looked_up_to(next), next, cx);
        self.reading.advance(next);
        self.reading.set_next_since(self.next_waits_since(seen, next, cx.now));
    }

    /// Restores a key that was behind when the progress was stored.
    pub(crate) fn restore(&mut self, key: &LaneKey, mut behind: Behind, head: Offset, cx: &mut Context<'_>) {
        behind.retry = behind.retry.map(|retry| retry.as_of(cx.now));
        let offset = behind.offset;
        if self.queues.restore(key, behind, self.looked_up_to(head), &mut cx.memory) {
            self.behind.is_ahead(offset, key.clone());
        }
        let next_attempt = self.queues.known(key).next_attempt().and_then(NextAttempt::at);
        if let Some(at) = next_attempt.filter(|at| *at > cx.now) {
            cx.timers.set(at, self.timer(LaneTimer::Key(key.clone())));
        }
        self.behind.insert(key.clone());
        if self.queues.knows_oldest() && self.queues.known(key).known_below().is_some() {
            // How old it is has to be known before its turn comes.
            self.behind.needs_scan(key);
        }
        self.schedule(key, cx);
    }
}

#[cfg(test)]
mod tests;
