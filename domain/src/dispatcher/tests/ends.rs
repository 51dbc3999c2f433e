//! What the world expects of the ends of attempts: a plain count of what was repeated at no cost.

use super::world::Place;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};

/// What has to come next at a place whose last attempt cost nothing.
#[derive(Clone, Copy)]
struct Next {
    attempt: u32,
    fresh: bool,
}

#[derive(Default)]
pub(super) struct Ends {
    spent: BTreeMap<Place, u8>,
    next: BTreeMap<Place, Next>,
    /// Failed otherwise since it was settled last; whether that was an outage is the breaker's to say.
    unknown: BTreeSet<Place>,
}

impl Ends {
    /// Whoever counted may have been replaced: of what was repeated until now nothing is known.
    pub(super) fn forget(&mut self) {
        self.next.clear();
        self.unknown.extend(std::mem::take(&mut self.spent).into_keys());
    }

    pub(super) fn started(&mut self, place: &Place, attempted: &Attempted) {
        match self.next.remove(place) {
            Some(next) => {
                assert_eq!(attempted.attempt, next.attempt, "a free resend was counted at {place:?}");
                assert_eq!(attempted.fresh, next.fresh, "of a stale connection, and of it only: {place:?}");
            }
            None => assert!(!attempted.fresh || self.unknown.contains(place), "fresh without a reason: {place:?}"),
        }
    }

    /// The first of its key in an attempt that was not delivered ended so.
    pub(super) fn failed(&mut self, place: &Place, attempted: &Attempted, outcome: &Outcome) {
        let spent = self.spent.entry(place.clone()).or_default();
        let again = outcome.end().meaning().again;
        let (free, fresh) = match again {
            Again::AtOnce { most, fresh } => (*spent < most, fresh),
            Again::AfterPause(_) => (true, false),
            Again::No | Again::AfterBackoff => (false, false),
        };
        if !free {
            self.unknown.insert(place.clone());
        }
        if self.unknown.contains(place) {
            return;
        }
        match again {
            Again::AtOnce { .. } => *spent += 1,
            // The pause is a wait like any other: what comes after it begins to count anew.
            _ => *spent = 0,
        }
        self.next.insert(place.clone(), Next { attempt: attempted.attempt, fresh });
    }

    pub(super) fn settled(&mut self, place: &Place) {
        self.spent.remove(place);
        self.unknown.remove(place);
        self.next.remove(place);
    }
}
