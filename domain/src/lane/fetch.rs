//! Fetching the data of events that only their offsets were remembered of.

use super::Lane;
use super::context::Context;
use super::queues::{KeyQueue, Queued};
use crate::event::LoggedEvent;
use crate::gate::Appetite;
use crate::io::Notice;
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use std::ops::Range;
use std::sync::Arc;

/// Fetches and fetched events that may wait for their attempt, as a multiple of `max_in_flight`:
/// one is in flight while the next is at hand.
const FETCHED_PER_ATTEMPT: usize = 2;

/// Bytes of one read that fetches a key's next events, and what it counts as until it has ended: small, because many keys
/// may be at it.
pub(crate) const FETCH_BYTES: usize = 64 << 10;

/// Dead letters of a destination that may wait in a partition for being attempted once more. Those of one that is
/// paused or down wait for as long as that lasts, and a million of them must not fill the memory: all others stay in
/// the store, where they are asked for.
const MAX_REDRIVES: usize = 1000;

/// What to get.
#[derive(Debug)]
pub(crate) enum Fetch {
    /// Events of the log.
    Log { key: LaneKey, from: Offset, most: usize },
    /// The copy that a dead letter keeps.
    DeadLetter { key: LaneKey, offset: Offset },
}

impl Lane {
    /// The next thing to fetch, if attempts will soon be able to use it. Without appetite nothing is: what has waited for too
    /// long is settled without its data. Else one key has its data at hand, whatever it weighs, so that there is something
    /// to try.
    pub(crate) fn next_fetch(&mut self, appetite: Appetite, cx: &mut Context<'_>) -> Option<Fetch> {
        let in_flight = usize::try_from(cx.destination.max_in_flight.get()).unwrap_or(usize::MAX);
        let most = match appetite {
            Appetite::Full => in_flight.saturating_mul(FETCHED_PER_ATTEMPT),
            Appetite::ToProbe => 1,
            Appetite::None => 0,
        };
        let share = cx.memory.share_of(cx.settings.window_bytes);
        loop {
            let has_room = self.queues.bytes() + self.turns.fetches() * FETCH_BYTES < share;
            let (key, is_ahead) = self.turns.next_to_fetch(if has_room { most } else { most.min(1) })?;
            let Some(queue) = self.queues.get_mut(&key) else {
                assert!(is_ahead, "{key} needs data, and nothing is known of it");
                continue; // It was in flight, and has nothing to do any more.
            };
            if !is_ahead {
                queue.queued = Queued::No;
            }
            if queue.fetching {
                continue;
            }
            let fetch = if let Some(redrive) = queue.redrives().front().filter(|redrive| redrive.event.is_none()) {
                Fetch::DeadLetter { key, offset: redrive.offset }
            } else if let Some((from, most)) = queue.missing() {
                Fetch::Log { key, from, most }
            } else {
                self.schedule(&key, cx);
                continue;
            };
            queue.fetching = true;
            self.turns.fetch_begins();
            return Some(fetch);
        }
    }

    /// Events of the log that were fetched for a key, and others between them: all that the log has
    /// in `range`.
    pub(crate) fn fetched(
        &mut self,
        key: &LaneKey,
        events: &[Arc<LoggedEvent>],
        range: Range<Offset>,
        cx: &mut Context<'_>,
    ) {
        self.turns.fetch_ended();
        // The key may have gone on without it, and have nothing to do any more.
        let Some(queue) = self.queues.get_mut(key) else { return };
        queue.fetching = false;
        self.queues.fill(key, events, self.expiry, &mut cx.memory);
        while let Some(offset) = lost_in(self.queues.known(key), &range) {
            cx.notices.push_back(Notice::EventMissing {
                destination: cx.destination.name.clone(),
                partition: self.partition,
                offset,
            });
            self.settle_unsent(key, cx);
        }
        self.schedule(key, cx);
    }

    /// The copy that the dead letter at `offset` keeps of its event; `None` if it was discarded meanwhile; or why it can
    /// never be read.
    pub(crate) fn fetched_dead_letter(
        &mut self,
        key: &LaneKey,
        offset: Offset,
        event: Result<Option<Arc<LoggedEvent>>, Box<str>>,
        cx: &mut Context<'_>,
    ) {
        self.turns.fetch_ended();
        // The key may have gone on without it, and have nothing to do any more.
        let Some(queue) = self.queues.get_mut(key) else { return };
        queue.fetching = false;
        // It may have come late, when another one stands first, or the same one that was asked for again: with its event it
        // may be in flight.
        if queue.redrives().front().is_some_and(|first| first.offset == offset && first.event.is_none()) {
            match event {
                Ok(event) => self.queues.fill_redrive(key, event, &mut cx.memory),
                Err(why) => self.redrive_is_unreadable(key, &why, cx),
            }
        }
        self.schedule(key, cx);
    }

    /// Someone wants a dead letter of this key attempted once more. Asking twice changes nothing. Of one for which
    /// there is no room nothing is kept: whoever asks does so again until it has been attempted.
    pub(crate) fn redrive(&mut self, key: &LaneKey, offset: Offset, cx: &mut Context<'_>) {
        if self.queues.redrives() < MAX_REDRIVES && self.queues.redrive(key, offset, &mut cx.memory) {
            self.schedule(key, cx);
        }
    }
}

/// The first event of a key, if it should have been in the range that was read and was not: the log
/// no longer has it.
fn lost_in(queue: &KeyQueue, range: &Range<Offset>) -> Option<Offset> {
    let first = queue.entries().front().filter(|_| queue.in_flight.is_none())?;
    (first.event.is_none() && range.contains(&first.offset)).then_some(first.offset)
}
