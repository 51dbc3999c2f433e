//! Destinations that are made, changed and deleted while events flow, against a plain list of who said what when.

use super::fixtures::name;
use super::world::{Place, Whose, World};
use crate::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Names that come and go.
const NAMES: [&str; 3] = ["api-key", "api-strict", "api-none"];

/// What is done to one of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// It is made, or gets another filter.
    Put(u8),
    Pause,
    Resume,
    /// It sends to another place.
    Move,
    Delete,
}

pub(super) fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0_u8..3).prop_map(Change::Put),
        1 => Just(Change::Pause),
        2 => Just(Change::Resume),
        1 => Just(Change::Move),
        2 => Just(Change::Delete),
    ]
}

fn filter(variant: u8) -> Filter {
    let types = match variant {
        0 => Vec::new(),
        1 => vec![TypePattern::new("t.*").unwrap()],
        _ => vec![TypePattern::new("odd").unwrap()],
    };
    Filter { types, ..Filter::default() }
}

/// What is known of one that is there.
#[derive(Clone, Debug)]
struct Record {
    born: Revision,
    target_since: Revision,
    paused: bool,
    /// Which filter was said at which revision, ascending.
    said: Vec<(Revision, u8)>,
}

/// The registry, as a list.
#[derive(Debug, Default)]
pub(super) struct Registry {
    revision: Revision,
    there: BTreeMap<DestinationName, Record>,
}

impl Registry {
    fn destination(of: &DestinationName, record: &Record) -> Destination {
        let (last, before) = record.said.split_last().unwrap();
        let until = record.said.iter().skip(1).map(|(revision, _)| *revision);
        let former = before.iter().zip(until);
        let filters = Filters {
            current: filter(last.1),
            since: last.0,
            former: former.map(|((_, said), until)| FormerFilter { until, filter: filter(*said) }).collect(),
        };
        let retry = RetryPolicy {
            initial: Duration::from_millis(20),
            factor: 2.0,
            limit: Duration::from_millis(100),
            jitter: 0.2,
        };
        Destination {
            born: record.born,
            target_since: record.target_since,
            filters: filters.into(),
            retry,
            paused: record.paused.then(|| "a test".into()),
            ordering: ordering(of),
            ..Destination::new(of.clone())
        }
    }

    fn present(&self) -> Vec<Destination> {
        self.there.iter().map(|(of, record)| Self::destination(of, record)).collect()
    }
}

fn ordering(of: &DestinationName) -> Ordering {
    match of.as_str() {
        "api-key" => Ordering::Key,
        "api-strict" => Ordering::Strict,
        _ => Ordering::None,
    }
}

impl World {
    /// All that a process which starts is told.
    pub(super) fn all_destinations(&self) -> DestinationChanges {
        let present = self.destinations.iter().cloned().chain(self.registry.present()).collect();
        DestinationChanges { revision: self.registry.revision, present, ..DestinationChanges::default() }
    }

    /// Which of those that have stored progress are no more.
    pub(super) fn gone(&self) -> BTreeSet<DestinationName> {
        let lanes = self.stored.lanes.keys();
        lanes.filter(|of| of.as_str().starts_with("api") && !self.registry.there.contains_key(of)).cloned().collect()
    }

    /// Somebody changes a destination.
    pub(super) fn change(&mut self, which: usize, change: Change) {
        let of = name(NAMES[which % NAMES.len()]);
        let revision = Revision(self.registry.revision.0 + 3);
        let mut deleted = Vec::new();
        match (change, self.registry.there.get_mut(&of)) {
            (Change::Put(variant), None) => {
                let said = vec![(revision, variant)];
                let record = Record { born: revision, target_since: revision, paused: false, said };
                self.registry.there.insert(of.clone(), record);
            }
            (Change::Put(variant), Some(record)) => record.said.push((revision, variant)),
            (Change::Pause, Some(record)) => record.paused = true,
            (Change::Resume, Some(record)) => record.paused = false,
            (Change::Move, Some(record)) => {
                record.target_since = revision;
                // What was counted as a free resend may be another attempt now.
                self.ends.forget();
            }
            (Change::Delete, Some(_)) => {
                self.registry.there.remove(&of);
                self.forget_all(&of);
                deleted.push(of.clone());
            }
            (_, None) => return,
        }
        self.registry.revision = revision;
        let present: Vec<_> =
            self.registry.there.get(&of).map(|record| Registry::destination(&of, record)).into_iter().collect();
        self.input(Input::Destinations(DestinationChanges { revision, present, deleted, left: Vec::new() }));
    }

    /// Whatever happened at a destination that is gone says nothing of the next one of its name.
    fn forget_all(&mut self, of: &DestinationName) {
        let other = |place: &Place| place.0 != *of;
        for places in [
            &mut self.settled,
            &mut self.settled_here,
            &mut self.again,
            &mut self.replayed,
            &mut self.made.here,
            &mut self.made.here_before,
        ] {
            places.retain(other);
        }
        for (to, _, whose) in self.attempts.values_mut() {
            if to == of {
                *whose = Whose::Gone;
            }
        }
    }

    /// What a changing destination orders events by; `None` for one of the configuration.
    pub(super) fn changing_order(&self, of: &DestinationName) -> Option<Ordering> {
        of.as_str().starts_with("api").then(|| ordering(of))
    }

    /// Whether the destination was made when a stored record says that it was.
    pub(super) fn is_of_now(&self, of: &DestinationName, lane: &LaneProgress) -> bool {
        let born = self.registry.there.get(of).map_or(Revision::ORIGIN, |record| record.born);
        let known = !of.as_str().starts_with("api") || self.registry.there.contains_key(of);
        known && lane.born == born
    }

    /// Whether a changing destination wants an event, by the stored cuts alone: from the cut of its making on, by
    /// the last filter whose cut is not above the event.
    pub(super) fn changing_wants(&self, of: &DestinationName, event: &LoggedEvent) -> bool {
        let Some(record) = self.registry.there.get(of) else { return false };
        let cuts: Vec<Cut> = self.stored.cuts.iter().collect();
        let cut_of = |revision: Revision| cuts.iter().find(|cut| cut.revision >= revision).map(|cut| cut.at);
        let stands = record.said.iter().filter(|(said, _)| cut_of(*said).is_some_and(|at| at <= event.offset));
        stands.last().is_some_and(|(_, variant)| filter(*variant).wants(&event.event))
    }

    /// The changing destinations that there are.
    pub(super) fn changing(&self) -> Vec<DestinationName> {
        self.registry.there.keys().cloned().collect()
    }

    /// Nothing waits for whoever is paused any more.
    pub(super) fn end_pauses(&mut self) {
        for which in 0..NAMES.len() {
            self.change(which, Change::Resume);
        }
    }

    /// All that changing destinations want is settled, and of those that are gone nothing is left.
    pub(super) fn changes_are_complete(&self) -> bool {
        let complete = |(of, record): (&DestinationName, &Record)| {
            let lane = self.stored.lanes.get(of).filter(|lane| lane.born == record.born);
            lane.is_some_and(|lane| lane.position.offset(self.stored.scanned) == self.end() && lane.behind.is_empty())
        };
        let follows = self.stored.cuts.revision() == self.registry.revision;
        follows && self.gone().is_empty() && self.registry.there.iter().all(complete)
    }

    /// After everything has come to its end.
    pub(super) fn check_changes(&self) {
        let gates = self.dispatcher.shared.destinations.gates().count();
        assert_eq!(gates, self.dispatcher.shared.destinations.present().count(), "something is left of what is gone");
        for of in self.registry.there.keys() {
            let lane = &self.stored.lanes[of];
            for event in self.log.iter().filter(|event| self.changing_wants(of, event)) {
                let settled = self.settled.contains(&(of.clone(), event.offset));
                assert!(settled, "{of} wants {}, and it is not settled: {lane:?} {:?}", event.offset, self.stored.cuts);
            }
        }
    }
}
