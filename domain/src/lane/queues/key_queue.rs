//! What a lane knows of one key.

use crate::deleted_tenants::DeletedTenants;
use crate::end::{Cause, Resends};
use crate::event::LoggedEvent;
use crate::io::Attempted;
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::progress::Behind;
use crate::retry::{NextAttempt, RetryState};
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;

/// Events ahead of the one in flight whose data is fetched in one read, if they are near.
const PREFETCH_SPAN: u64 = 32;

/// A key's share of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) key: LaneKey,
    pub(crate) count: usize,
    /// What its events weigh.
    pub(crate) bytes: usize,
    /// Whether it is a dead letter that is retried, not the key's next event.
    pub(crate) redrive: bool,
    /// What free resends of its first event there have been.
    pub(crate) resends: Resends,
    /// Its first event. The key's queue may let go of the data while the attempt is under way.
    pub(crate) first: Arc<LoggedEvent>,
}

impl Part {
    /// Whether it costs nothing that the `nth` of its events ended so. Those behind the first one were sent for
    /// the first time.
    pub(crate) const fn is_free(&self, nth: usize, cause: Cause) -> bool {
        if nth == 0 { self.resends.is_free(cause) } else { Resends::fresh().is_free(cause) }
    }
}

/// An unsettled event: with its data, or only where it is.
#[derive(Debug)]
pub(in crate::lane) struct Entry {
    pub(in crate::lane) offset: Offset,
    /// From when on its waiting counts, as far as it was looked at.
    pub(in crate::lane) since: Option<Timestamp>,
    pub(in crate::lane) event: Option<Arc<LoggedEvent>>,
}

/// Which of the lane's queues a key stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::lane) enum Queued {
    #[default]
    No,
    /// With data in hand.
    Ready,
    /// For its data, at this place.
    ToFetch(u64),
}

/// What an operator asked for of a key's failed event while an attempt was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lane) enum Asked {
    Retry,
    Skip,
}

/// An attempt at the key's first events is under way.
#[derive(Debug)]
pub(in crate::lane) struct InFlight {
    pub(in crate::lane) since: Timestamp,
    /// How many of the key's first entries are in it; none when it is a dead letter's retry.
    pub(in crate::lane) entries: usize,
    /// What is done when it ends, if the failed event is still there. A crash forgets it.
    pub(in crate::lane) asked: Option<Asked>,
}

/// How much of a key's waiting events is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lane) enum Known {
    /// All that the lane has looked at.
    All,
    /// Those below this offset.
    Below(Offset),
}

/// What makes a key one that is behind.
#[derive(Debug)]
pub(in crate::lane) struct BehindKey {
    pub(in crate::lane) retry: Option<RetryState>,
    pub(in crate::lane) known: Known,
    /// All of the key's events below are settled. With a retry state, the failed event's offset.
    pub(in crate::lane) settled_below: Offset,
    /// Restored, and the lane has not looked as far as `settled_below` yet.
    pub(in crate::lane) ahead: bool,
}

/// Where `take` stopped.
pub(in crate::lane) struct Taken {
    pub(in crate::lane) count: usize,
    pub(in crate::lane) bytes: usize,
    pub(in crate::lane) redrive: bool,
}

/// What a queue adds to its lane's sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Data in memory, by [`crate::Event::weight`].
    pub(super) bytes: usize,
    /// Offsets remembered because the key is behind.
    pub(super) waiting: usize,
    /// Dead letters that are to be attempted once more.
    pub(super) redrives: usize,
}

/// The unsettled events of one key, as far as they are in memory. At most one attempt is in
/// flight; its events are the first entries.
///
/// What is counted (entries, their data, whether the key is behind) is changed by [`super::Queues`] only,
/// which keeps the sums.
#[derive(Debug, Default)]
pub(in crate::lane) struct KeyQueue {
    entries: VecDeque<Entry>,
    /// The weight of the data in them.
    bytes: usize,
    behind: Option<Box<BehindKey>>,
    pub(in crate::lane) in_flight: Option<InFlight>,
    pub(in crate::lane) queued: Queued,
    pub(in crate::lane) fetching: bool,
    /// Events of the key that were given up and are not in a stored commit yet. Until they are, they
    /// are not settled, and nothing of the key goes on.
    pub(in crate::lane) unsaved: usize,
    /// Dead letters of the key that are to be attempted once more; they go first.
    redrive: VecDeque<Entry>,
    /// What the free resends of what goes first have come to. A crash forgets them: it sends again anyway.
    pub(in crate::lane) resends: Resends,
    /// The same of the first of `redrive`.
    pub(in crate::lane) redrive_resends: Resends,
}

impl KeyQueue {
    pub(super) fn held(&self) -> Held {
        let waiting = if self.behind.is_some() { self.entries.len() } else { 0 };
        Held { bytes: self.bytes, waiting, redrives: self.redrive.len() }
    }

    /// The same, from the entries themselves.
    pub(super) fn held_anew(&self) -> Held {
        let weight = |entry: &Entry| entry.event.as_ref().map_or(0, |event| event.event.weight());
        Held { bytes: self.entries.iter().map(weight).sum(), ..self.held() }
    }

    /// The dead letters that are to be attempted once more, in their order.
    pub(in crate::lane) const fn redrives(&self) -> &VecDeque<Entry> {
        &self.redrive
    }

    /// Takes a dead letter that is to be attempted once more.
    pub(super) fn push_redrive(&mut self, offset: Offset) {
        self.redrive.push_back(Entry { offset, since: None, event: None });
    }

    /// Gives the first dead letter its event, if it is that one's.
    pub(super) fn fill_redrive(&mut self, event: Arc<LoggedEvent>) -> bool {
        match self.redrive.front_mut() {
            Some(redrive) if redrive.offset == event.offset => {
                redrive.event = Some(event);
                true
            }
            _ => false,
        }
    }

    /// Takes out the first dead letter.
    pub(super) fn pop_redrive(&mut self) -> Option<Entry> {
        self.redrive_resends = Resends::default();
        self.redrive.pop_front()
    }

    /// Takes an event with its data, whose waiting counts `since` then.
    pub(super) fn push(&mut self, event: &Arc<LoggedEvent>, since: Timestamp) {
        self.bytes += event.event.weight();
        self.entries.push_back(Entry { offset: event.offset, since: Some(since), event: Some(event.clone()) });
    }

    /// Remembers that the event at `offset` waits, `since` then, or else (`full`) that it is no longer known what does.
    pub(super) fn remember(&mut self, offset: Offset, since: Timestamp, full: bool) {
        let behind = self.behind.as_mut().unwrap_or_else(|| panic!("{offset}: only of keys behind is it remembered"));
        if full {
            behind.known = Known::Below(offset);
            return;
        }
        // A retry state belongs to one event. If that is not wanted any more, neither is its past.
        if self.entries.is_empty() && offset != behind.settled_below {
            behind.retry = None;
        }
        behind.ahead = false;
        self.entries.push_back(Entry { offset, since: Some(since), event: None });
    }

    /// Becomes a key behind, with all its entries known.
    pub(super) fn fall_behind(&mut self) {
        assert!(self.behind.is_none(), "a key falls behind once");
        self.drop_data();
        let settled_below = self.entries.front().map_or(Offset::ZERO, |entry| entry.offset);
        self.behind = Some(Box::new(BehindKey { retry: None, known: Known::All, settled_below, ahead: false }));
    }

    /// Becomes the key that a stored record tells of, in a lane that has looked up to there. `aging`: the age of its
    /// first event has to be found out. Returns whether that is one that the lane has yet to look at.
    pub(super) fn restore(&mut self, key: &LaneKey, behind: Behind, looked_up_to: Offset, aging: bool) -> bool {
        let ahead = behind.offset >= looked_up_to;
        let single = matches!(key, LaneKey::Event(_)) && !ahead && !aging;
        let known = if ahead || single { Known::All } else { Known::Below(behind.offset) };
        if single {
            self.entries.push_back(Entry { offset: behind.offset, since: None, event: None });
        }
        self.behind = Some(Box::new(BehindKey { retry: behind.retry, known, settled_below: behind.offset, ahead }));
        ahead
    }

    /// Keeps nothing but offsets.
    pub(super) fn drop_data(&mut self) {
        for entry in &mut self.entries {
            entry.event = None;
        }
        self.bytes = 0;
    }

    /// Takes out the first event, which is settled. Returns where it was, and whether the key was on track.
    pub(super) fn settle_first(&mut self) -> (Offset, bool) {
        let entry = self.entries.pop_front();
        let entry = entry.unwrap_or_else(|| panic!("what is settled was waiting"));
        self.bytes -= entry.event.map_or(0, |event| event.event.weight());
        let Some(behind) = &mut self.behind else { return (entry.offset, true) };
        behind.settled_below = entry.offset.next();
        behind.retry = None;
        (entry.offset, false)
    }

    /// Remembers the failed event that the record names, if it is not remembered.
    pub(super) fn remember_failed(&mut self) {
        let Some(behind) = self.behind.as_mut().filter(|_| self.entries.is_empty()) else { return };
        let offset = behind.settled_below;
        self.entries.push_back(Entry { offset, since: None, event: None });
        behind.known = match behind.known {
            Known::Below(known) => Known::Below(known.max(offset.next())),
            Known::All => Known::All,
        };
    }

    /// Takes data that was fetched, if it still waits for it. Its waiting counts `since` then.
    pub(super) fn fill(&mut self, event: &Arc<LoggedEvent>, since: Timestamp) {
        let Ok(at) = self.entries.binary_search_by_key(&event.offset, |entry| entry.offset) else { return };
        let entry = &mut self.entries[at];
        entry.since = Some(since);
        if entry.event.is_none() {
            entry.event = Some(event.clone());
            self.bytes += event.event.weight();
        }
    }

    /// Lets a scan find out how old its first event is, if that is not known and nobody is about to see it. Returns whether
    /// it has to.
    pub(super) fn seek_age(&mut self) -> bool {
        let Some(behind) = &mut self.behind else { return false };
        if self.in_flight.is_some() || self.fetching || self.unsaved > 0 || behind.ahead {
            return false;
        }
        let Some(first) = self.entries.front() else { return matches!(behind.known, Known::Below(_)) };
        if first.since.is_some() || first.event.is_some() {
            return false;
        }
        behind.known = Known::Below(first.offset);
        self.entries.clear();
        true
    }

    /// From when on the waiting of its first event counts, and where that is; nothing if it is not known.
    pub(in crate::lane) fn oldest(&self) -> Option<(Timestamp, Offset)> {
        let first = self.entries.front()?;
        Some((first.since?, first.offset))
    }

    /// Whether its first event is nobody's at the moment: neither in flight, nor behind one that has yet to be stored as
    /// a dead letter.
    pub(in crate::lane) const fn is_free(&self) -> bool {
        self.in_flight.is_none() && self.unsaved == 0
    }

    pub(in crate::lane) fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }

    pub(in crate::lane) fn behind(&self) -> Option<&BehindKey> {
        self.behind.as_deref()
    }

    /// What is known of a key behind, but not whether it is.
    pub(in crate::lane) fn behind_mut(&mut self) -> Option<&mut BehindKey> {
        self.behind.as_deref_mut()
    }

    /// Up to where its events are remembered, if not all are.
    pub(in crate::lane) fn known_below(&self) -> Option<Offset> {
        match self.behind()?.known {
            Known::Below(offset) => Some(offset),
            Known::All => None,
        }
    }

    /// Whether so few are remembered that more should be, and there are more.
    pub(in crate::lane) fn runs_low(&self, low: usize) -> bool {
        self.known_below().is_some() && self.entries.len() <= low
    }

    /// Whether nothing is known of it that is to be done.
    pub(in crate::lane) fn is_at_rest(&self) -> bool {
        let waits = self.in_flight.is_some() || self.queued != Queued::No || self.unsaved > 0;
        self.entries.is_empty() && self.redrive.is_empty() && !waits
    }

    pub(in crate::lane) fn retry(&self) -> Option<&RetryState> {
        self.behind.as_ref().and_then(|behind| behind.retry.as_ref())
    }

    pub(in crate::lane) fn next_attempt(&self) -> Option<NextAttempt> {
        self.retry().map(|retry| retry.next_attempt)
    }

    /// Whether its first event is not to be attempted yet.
    pub(in crate::lane) fn waits_until(&self, now: Timestamp) -> bool {
        self.next_attempt().is_some_and(|next| !next.is_due(now))
    }

    /// The record that a commit keeps of it; `None` when it is not behind.
    pub(in crate::lane) fn record(&self) -> Option<Behind> {
        Some(Behind { offset: self.stands_at()?, retry: self.retry().cloned() })
    }

    /// Where that record says that the key stands.
    pub(in crate::lane) fn stands_at(&self) -> Option<Offset> {
        let behind = self.behind.as_ref()?;
        match (self.entries.front(), behind.known) {
            (Some(entry), _) => Some(entry.offset),
            (None, Known::Below(offset)) => Some(offset),
            (None, Known::All) if behind.ahead => Some(behind.settled_below),
            // It has caught up, and will be forgotten when whoever it waits for looks at it.
            (None, Known::All) => None,
        }
    }

    /// An event that has failed before goes by itself, so that it cannot spoil others' batches.
    pub(in crate::lane) fn goes_alone(&self) -> bool {
        !self.redrive.is_empty() || self.retry().is_some()
    }

    pub(in crate::lane) fn first_weight(&self) -> usize {
        let first = self.redrive.front().or_else(|| self.entries.front());
        first.and_then(|entry| entry.event.as_ref()).map_or(0, |event| event.event.weight())
    }

    /// How many of the first `most` events have their data in hand up to the first one that has not, and what the data in
    /// hand weighs.
    pub(in crate::lane) fn in_hand(&self, most: usize) -> (usize, usize) {
        let count = match self.behind {
            // All have.
            None => self.entries.len().min(most),
            Some(_) => self.entries.iter().take(most).take_while(|entry| entry.event.is_some()).count(),
        };
        (count, self.bytes)
    }

    /// Puts the first events that have their data in hand into `events`: at most `most`, and after
    /// the first one at most `most_bytes`; up to one of a deleted tenant.
    pub(in crate::lane) fn take(
        &self,
        most: usize,
        most_bytes: usize,
        deleted: &DeletedTenants,
        events: &mut Vec<Attempted>,
    ) -> Taken {
        if let Some(redrive) = self.redrive.front() {
            let event = redrive.event.clone();
            let count = usize::from(event.is_some());
            let fresh = self.redrive_resends.fresh;
            events.extend(event.map(|event| Attempted { event, attempt: 1, redrive: true, replay: None, fresh }));
            return Taken { count, bytes: 0, redrive: true };
        }
        let (mut count, mut bytes) = (0, 0);
        let mut attempt = self.retry().map_or(0, |retry| retry.attempts).saturating_add(1);
        for event in self.entries.iter().take(most).map_while(|entry| entry.event.as_ref()) {
            let weight = event.event.weight();
            if (count > 0 && bytes + weight > most_bytes) || deleted.had(&event.event) {
                break;
            }
            let fresh = count == 0 && self.resends.fresh;
            events.push(Attempted { event: event.clone(), attempt, redrive: false, replay: None, fresh });
            attempt = 1;
            bytes += weight;
            count += 1;
        }
        Taken { count, bytes, redrive: false }
    }

    /// Whether data will be missing when the first `taken` events are settled.
    pub(in crate::lane) fn needs_prefetch(&self, taken: usize) -> bool {
        !self.fetching && self.behind.is_some() && self.entries.get(taken).is_some_and(|entry| entry.event.is_none())
    }

    /// Where data is missing first, and how many records from there on to read.
    pub(in crate::lane) fn missing(&self) -> Option<(Offset, usize)> {
        let in_flight = self.in_flight.as_ref().map_or(0, |in_flight| in_flight.entries);
        let first = self.entries.iter().skip(in_flight).position(|entry| entry.event.is_none())? + in_flight;
        let from = self.entries.get(first)?.offset;
        let near = self.entries.iter().skip(first).take_while(|entry| from.is_near(entry.offset, PREFETCH_SPAN));
        let last = near.last().map_or(from, |entry| entry.offset);
        Some((from, usize::try_from(from.events_until(last)).unwrap_or(0) + 1))
    }
}

#[cfg(test)]
mod tests;
