//! What is known of replays with a selection.

use super::{By, Judge, OrderedBy, Place, place};
use laneway_domain::{LoggedEvent, Ordering, ReplayOrder, Selection};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What has to come once more, asked for while all was settled and nothing went wrong any more.
pub(super) struct Chosen {
    selection: Selection,
    first: bool,
    expected: BTreeSet<Place>,
    /// What replays have delivered since, in order.
    pub(super) delivered: Vec<Place>,
}

impl Judge<'_> {
    /// Everything that it selects was settled, unless it is lost.
    pub(super) fn chosen(&mut self, order: &ReplayOrder) {
        if self.destination.max_age.is_some() {
            return; // What expired may come for the first time, and what comes again may expire.
        }
        let filter = &self.destination.filters.current;
        let is_lost = |at: &Place| self.oracle.lost.iter().any(|lost| lost.contains(at));
        let expected = self.log.values().filter(|event| {
            let within = order.ranges.get(&event.partition).is_some_and(|range| range.contains(&event.offset));
            within && filter.wants(&event.event) && order.selection.picks(&event.event)
        });
        // What is new from here on was not attempted yet.
        let expected = expected.map(|event| place(event)).filter(|at| self.seen.started.contains(at) && !is_lost(at));
        let (selection, first) = (order.selection.clone(), order.first);
        self.chosen = Some(Chosen { selection, first, expected: expected.collect(), delivered: Vec::new() });
    }

    /// Attempts of a replay: of a key, what comes for the first time comes behind all that came of this replay and of
    /// those before, so that a receiver can tell it from what is repeated.
    pub(super) fn replayed(&mut self, by: By, number: u64, events: &[Arc<LoggedEvent>]) {
        for event in events {
            let (key, now) = (self.ordered_by(event), (number, place(event)));
            let seen = self.seen.replayed.entry(key.clone()).or_default();
            let last = seen.last().copied();
            // One that stood still may be behind others.
            if !seen.insert(now) || by.late || last.is_none_or(|last| last < now) {
                continue;
            }
            self.broken(&format!("{by} {} of {key:?} is replayed behind {last:?}", event.event.id));
        }
    }

    /// Attempts at what is new: what was chosen may go before.
    pub(super) fn comes_after_what_was_chosen(&mut self, events: &[Arc<LoggedEvent>]) {
        let Some(chosen) = &self.chosen else { return };
        for event in events {
            let key = self.ordered_by(event);
            let waits = chosen.first
                || match (&key, self.destination.ordering) {
                    (_, Ordering::Strict) => !chosen.selection.keys.is_empty(),
                    (OrderedBy::Key(tenant, key), _) => {
                        chosen.selection.tenant == *tenant && chosen.selection.keys.contains(key)
                    }
                    _ => false,
                };
            let goes_before = |at: &&Place| self.log.get(at).is_some_and(|other| self.ordered_by(other) == key);
            let open = chosen.expected.iter().filter(goes_before).filter(|at| !chosen.delivered.contains(at));
            let open: Vec<Place> = open.copied().collect();
            if waits && !open.is_empty() {
                let what = format!("{} of {key:?} was attempted before {open:?}, which was chosen", event.event.id);
                return self.broken(&what);
            }
        }
    }

    /// Once each.
    pub(super) fn just_what_was_chosen_has_come(&mut self) {
        let Some(Chosen { expected, delivered, .. }) = self.chosen.take() else { return };
        let mut come = delivered;
        come.sort_unstable();
        if come.iter().ne(&expected) {
            self.broken(&format!("{expected:?} was to come once more, and {come:?} has"));
        }
    }
}
