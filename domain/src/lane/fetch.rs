//! Fetching the data of events that only their offsets were remembered of.

use super::key_queue::{Entry, KeyQueue, Queued};
use super::{Context, Lane};
use crate::{LaneKey, LoggedEvent, Notice, Offset};
use std::ops::Range;
use std::sync::Arc;

/// Fetches and fetched events that may wait for their attempt, as a multiple of `max_in_flight`:
/// one is in flight while the next is at hand.
const FETCHED_PER_ATTEMPT: usize = 2;

/// What to get.
#[derive(Debug)]
pub(crate) enum Fetch {
    /// Events of the log.
    Log { key: LaneKey, from: Offset, most: usize },
    /// The copy that a dead letter keeps.
    DeadLetter { key: LaneKey, offset: Offset },
}

impl Lane {
    /// The next thing to fetch, if attempts will soon be able to use it.
    pub(crate) fn next_fetch(&mut self, cx: &mut Context<'_>) -> Option<Fetch> {
        let in_flight = usize::try_from(cx.destination.max_in_flight.get()).unwrap_or(usize::MAX);
        let most = in_flight.saturating_mul(FETCHED_PER_ATTEMPT);
        while self.fetches + self.ready.len() < most {
            let (key, ahead) = match self.due.pop_front() {
                Some(key) => (key, false),
                None => (self.prefetch.pop_front()?, true),
            };
            let Some(queue) = self.keys.get_mut(&key) else { continue };
            if !ahead {
                queue.queued = Queued::No;
            }
            if queue.fetching {
                continue;
            }
            let fetch = if let Some(redrive) = queue.redrive.front().filter(|redrive| redrive.event.is_none()) {
                Fetch::DeadLetter { key, offset: redrive.offset }
            } else if let Some((from, most)) = queue.missing() {
                Fetch::Log { key, from, most }
            } else {
                self.schedule(&key, cx);
                continue;
            };
            queue.fetching = true;
            self.fetches += 1;
            return Some(fetch);
        }
        None
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
        self.fetches -= 1;
        let Some(queue) = self.keys.get_mut(key) else { return };
        queue.fetching = false;
        for event in events {
            self.bytes += queue.fill(event).unwrap_or(0);
        }
        while let Some(offset) = self.keys.get(key).and_then(|queue| lost_in(queue, &range)) {
            cx.notices.push_back(Notice::Lost {
                destination: cx.destination.name.clone(),
                partition: self.partition,
                offset,
            });
            self.settle_first(key, cx);
        }
        self.schedule(key, cx);
    }

    /// The copy of a dead letter's event; `None` if it was discarded meanwhile.
    pub(crate) fn fetched_dead_letter(&mut self, key: &LaneKey, event: Option<Arc<LoggedEvent>>, cx: &mut Context<'_>) {
        self.fetches -= 1;
        let Some(queue) = self.keys.get_mut(key) else { return };
        queue.fetching = false;
        match (event, queue.redrive.front_mut()) {
            (Some(event), Some(redrive)) if redrive.offset == event.offset => redrive.event = Some(event),
            _ => drop(queue.redrive.pop_front()),
        }
        self.schedule(key, cx);
    }

    /// Someone wants a dead letter of this key attempted once more. Asking twice changes nothing.
    pub(crate) fn redrive(&mut self, key: &LaneKey, offset: Offset, cx: &mut Context<'_>) {
        let queue = self.keys.get_or_insert_with(key.clone(), KeyQueue::default);
        if !queue.redrive.iter().any(|redrive| redrive.offset == offset) {
            queue.redrive.push_back(Entry { offset, event: None });
            self.schedule(key, cx);
        }
    }
}

/// The first event of a key, if it should have been in the range that was read and was not: the log
/// no longer has it.
fn lost_in(queue: &KeyQueue, range: &Range<Offset>) -> Option<Offset> {
    let first = queue.entries.front().filter(|_| queue.in_flight.is_none())?;
    (first.event.is_none() && range.contains(&first.offset)).then_some(first.offset)
}
