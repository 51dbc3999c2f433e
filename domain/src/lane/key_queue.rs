//! What a lane knows of one key.

use super::{Context, Memory};
use crate::{Attempted, Behind, LaneKey, LoggedEvent, Offset, RetryState, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// Events ahead of the one in flight whose data is fetched in one read, if they are near.
const PREFETCH_SPAN: u64 = 32;

/// A key's share of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) key: LaneKey,
    pub(crate) count: usize,
    /// Whether it is a dead letter that is retried, not the key's next event.
    pub(crate) redrive: bool,
}

/// An unsettled event: with its data, or only where it is.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) offset: Offset,
    pub(super) event: Option<Arc<LoggedEvent>>,
}

/// Which of the lane's queues a key stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Queued {
    #[default]
    No,
    Ready,
    Due,
}

/// An attempt at the key's first events is under way.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) since: Timestamp,
    /// How many of the key's first entries are in it; none when it is a dead letter's retry.
    pub(super) entries: usize,
}

/// How much of a key's waiting events is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// All that the lane has looked at.
    All,
    /// Those below this offset.
    Below(Offset),
}

/// What makes a key one that is behind.
#[derive(Debug)]
pub(super) struct BehindKey {
    pub(super) retry: Option<RetryState>,
    pub(super) known: Known,
    /// All of the key's events below are settled. With a retry state, the failed event's offset.
    pub(super) settled_below: Offset,
    /// Restored, and the lane has not looked as far as `settled_below` yet.
    pub(super) ahead: bool,
}

/// Where `take` stopped.
pub(super) struct Taken {
    pub(super) count: usize,
    pub(super) bytes: usize,
    pub(super) redrive: bool,
}

/// The unsettled events of one key, as far as they are in memory. At most one attempt is in
/// flight; its events are the first entries.
#[derive(Debug, Default)]
pub(super) struct KeyQueue {
    pub(super) entries: VecDeque<Entry>,
    pub(super) in_flight: Option<InFlight>,
    pub(super) queued: Queued,
    pub(super) fetching: bool,
    pub(super) behind: Option<Box<BehindKey>>,
    /// Events of the key that were given up and are not in a stored commit yet. Until they are, they
    /// are not settled, and nothing of the key goes on.
    pub(super) unsaved: usize,
    /// Dead letters of the key that are to be attempted once more; they go first.
    pub(super) redrive: VecDeque<Entry>,
}

impl KeyQueue {
    /// Remembers that the event at `offset` waits, or else that it is no longer known what does.
    /// `false` if it was not remembered.
    pub(super) fn remember(&mut self, offset: Offset, cx: &mut Context<'_>) -> bool {
        let Some(behind) = &mut self.behind else { return false };
        let full = self.entries.len() >= cx.settings.waiting_per_key
            || (cx.memory.waiting >= cx.settings.waiting_total && !self.entries.is_empty());
        if full {
            behind.known = Known::Below(offset);
        } else {
            // A retry state belongs to one event. If that is not wanted any more, neither is its past.
            if self.entries.is_empty() && offset != behind.settled_below {
                behind.retry = None;
            }
            behind.ahead = false;
            self.entries.push_back(Entry { offset, event: None });
            cx.memory.waiting += 1;
        }
        !full
    }

    /// Becomes a key behind, with all its entries known.
    pub(super) fn fell_behind(&mut self) {
        let settled_below = self.entries.front().map_or(Offset::ZERO, |entry| entry.offset);
        self.behind = Some(Box::new(BehindKey { retry: None, known: Known::All, settled_below, ahead: false }));
    }

    /// Becomes the key that a stored record tells of, in a lane that has looked up to there.
    /// Returns whether its first event is one that the lane has yet to look at.
    pub(super) fn restore(&mut self, key: &LaneKey, behind: Behind, looked_up_to: Offset, memory: &mut Memory) -> bool {
        let ahead = behind.offset >= looked_up_to;
        let single = matches!(key, LaneKey::Event(_)) && !ahead;
        let known = if ahead || single { Known::All } else { Known::Below(behind.offset) };
        if single {
            self.entries.push_back(Entry { offset: behind.offset, event: None });
            memory.waiting += 1;
        }
        self.behind = Some(Box::new(BehindKey { retry: behind.retry, known, settled_below: behind.offset, ahead }));
        ahead
    }

    /// Whether nothing is known of it that is to be done.
    pub(super) fn is_at_rest(&self) -> bool {
        let waits = self.in_flight.is_some() || self.queued != Queued::No || self.unsaved > 0;
        self.entries.is_empty() && self.redrive.is_empty() && !waits
    }

    pub(super) fn retry(&self) -> Option<&RetryState> {
        self.behind.as_ref().and_then(|behind| behind.retry.as_ref())
    }

    pub(super) fn next_attempt(&self) -> Option<Timestamp> {
        self.retry().map(|retry| retry.next_attempt)
    }

    /// Whether its first event is not to be attempted yet.
    pub(super) fn waits_until(&self, now: Timestamp) -> bool {
        self.next_attempt().is_some_and(|at| at > now)
    }

    /// The record that a commit keeps of it; `None` when it is not behind.
    pub(super) fn record(&self) -> Option<Behind> {
        let behind = self.behind.as_ref()?;
        let offset = match (self.entries.front(), behind.known) {
            (Some(entry), _) => entry.offset,
            (None, Known::Below(offset)) => offset,
            (None, Known::All) if behind.ahead => behind.settled_below,
            // It has caught up, and will be forgotten when whoever it waits for looks at it.
            (None, Known::All) => return None,
        };
        Some(Behind { offset, retry: behind.retry.clone() })
    }

    /// An event that has failed before goes by itself, so that it cannot spoil others' batches.
    pub(super) fn goes_alone(&self) -> bool {
        !self.redrive.is_empty() || self.retry().is_some()
    }

    pub(super) fn first_weight(&self) -> usize {
        let first = self.redrive.front().or_else(|| self.entries.front());
        first.and_then(|entry| entry.event.as_ref()).map_or(0, |event| event.event.weight())
    }

    /// Puts the first events that have their data in hand into `events`: at most `most`, and after
    /// the first one at most `most_bytes`.
    pub(super) fn take(&self, most: usize, most_bytes: usize, events: &mut Vec<Attempted>) -> Taken {
        if let Some(redrive) = self.redrive.front() {
            let event = redrive.event.clone();
            let count = usize::from(event.is_some());
            events.extend(event.map(|event| Attempted { event, attempt: 1, redrive: true }));
            return Taken { count, bytes: 0, redrive: true };
        }
        let (mut count, mut bytes) = (0, 0);
        let mut attempt = self.retry().map_or(0, |retry| retry.attempts).saturating_add(1);
        for event in self.entries.iter().take(most).map_while(|entry| entry.event.as_ref()) {
            let weight = event.event.weight();
            if count > 0 && bytes + weight > most_bytes {
                break;
            }
            events.push(Attempted { event: event.clone(), attempt, redrive: false });
            attempt = 1;
            bytes += weight;
            count += 1;
        }
        Taken { count, bytes, redrive: false }
    }

    /// Whether data will be missing when the first `taken` events are settled.
    pub(super) fn needs_prefetch(&self, taken: usize) -> bool {
        !self.fetching && self.behind.is_some() && self.entries.get(taken).is_some_and(|entry| entry.event.is_none())
    }

    /// Where data is missing first, and how many records from there on to read.
    pub(super) fn missing(&self) -> Option<(Offset, usize)> {
        let in_flight = self.in_flight.as_ref().map_or(0, |in_flight| in_flight.entries);
        let first = self.entries.iter().skip(in_flight).position(|entry| entry.event.is_none())? + in_flight;
        let from = self.entries.get(first)?.offset;
        let near = self.entries.iter().skip(first).take_while(|entry| from.is_near(entry.offset, PREFETCH_SPAN));
        let last = near.last().map_or(from, |entry| entry.offset);
        Some((from, usize::try_from(from.events_until(last)).unwrap_or(0) + 1))
    }

    /// Takes data that was fetched, if it still waits for it. Returns its weight if it was taken.
    pub(super) fn fill(&mut self, event: &Arc<LoggedEvent>) -> Option<usize> {
        let at = self.entries.binary_search_by_key(&event.offset, |entry| entry.offset).ok()?;
        let entry = self.entries.get_mut(at).filter(|entry| entry.event.is_none())?;
        entry.event = Some(event.clone());
        Some(event.event.weight())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, EventId, EventType, Partition};

    fn entry(offset: u64) -> Entry {
        let event = Event {
            content_type: "text/plain".into(),
            ..Event::new(EventId::new("a").unwrap(), EventType::new("t").unwrap(), bytes::Bytes::new())
        };
        let (offset, accepted_at) = (Offset(offset), Timestamp::ZERO);
        Entry { offset, event: Some(Arc::new(LoggedEvent { partition: Partition(0), offset, accepted_at, event })) }
    }

    #[test]
    fn only_what_comes_out_of_the_keys_order_says_so() {
        let mut queue = KeyQueue { entries: [entry(7), entry(8)].into(), ..KeyQueue::default() };
        queue.redrive.push_back(entry(3));
        let mut taken = Vec::new();
        assert!(queue.take(9, usize::MAX, &mut taken).redrive);
        queue.redrive.clear();
        assert!(!queue.take(9, usize::MAX, &mut taken).redrive);
        let marks: Vec<_> = taken.iter().map(|taken| (taken.event.offset.0, taken.redrive)).collect();
        assert_eq!(marks, [(3, true), (7, false), (8, false)]);
    }
}
