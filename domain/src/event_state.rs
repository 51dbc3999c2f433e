//! What progress says of one event at one destination: the truth, as far as it is stored.
//!
//! Progress says whether an event is settled, and if it is not, what it waits for. How a settled one was settled is told
//! by dead letters and by the history.

use crate::destination::{DestinationName, Ordering};
use crate::event::LoggedEvent;
use crate::filter::Filters;
use crate::history::{Fate, Told};
use crate::lane_key::LaneKey;
use crate::partition::Offset;
use crate::progress::{LaneProgress, PartitionProgress};
use crate::retry::RetryState;
use crate::revision::Revision;

/// Where an event stands at a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventState {
    /// The destination does not want it, by the filter that stood for it.
    NotWanted,
    /// The destination was made after it, and has nothing to do with it.
    BeforeDestination,
    /// It is settled: delivered, given up, passed over, or expired.
    Settled,
    /// It has failed, and its key waits for its next attempt, or is held.
    Blocked(RetryState),
    /// It is the first of its key that is not settled: its attempt is under way, or it waits for its turn.
    Next,
    /// It waits until the event at that offset is settled, which is the first of its key that is not.
    Behind(Offset),
    /// The destination has yet to come to it: it has settled everything below that offset but for keys behind, and goes
    /// on from there.
    ToCome(Offset),
    /// The partition has no progress of the destination yet.
    NotBegun,
}

/// What has to be known of a destination for that.
#[derive(Clone, Copy, Debug)]
pub struct StateOf<'a> {
    /// Its name.
    pub name: &'a DestinationName,
    /// When it was made.
    pub born: Revision,
    /// Whether events of before it was made are its, too ([`crate::Registered::is_first`]).
    pub is_first: bool,
    /// What its events are ordered by.
    pub ordering: Ordering,
    /// Which events it wants, and wanted before.
    pub filters: &'a Filters,
}

impl StateOf<'_> {
    /// The key whose record in progress says where the event stands.
    #[must_use]
    pub fn lane_key(&self, event: &LoggedEvent) -> LaneKey {
        self.ordering.key_of(event)
    }

    /// Where the event stands, by what is stored of its partition.
    #[must_use]
    pub fn state(&self, event: &LoggedEvent, progress: &PartitionProgress) -> EventState {
        let revision = progress.cuts.revision_at(event.offset);
        if revision < self.born && !self.is_first {
            return EventState::BeforeDestination;
        }
        if !self.filters.at(revision).wants(&event.event) {
            return EventState::NotWanted;
        }
        match progress.lanes.get(self.name) {
            Some(lane) => self.in_lane(event, lane, progress.scanned),
            None => EventState::NotBegun,
        }
    }

    fn in_lane(&self, event: &LoggedEvent, lane: &LaneProgress, default: Offset) -> EventState {
        let (offset, position) = (event.offset, lane.position.offset(default));
        match lane.behind.get(&self.lane_key(event)) {
            Some(behind) if offset < behind.offset => EventState::Settled,
            Some(behind) if offset > behind.offset => EventState::Behind(behind.offset),
            Some(behind) => behind.retry.clone().map_or(EventState::Next, EventState::Blocked),
            None if offset < position => EventState::Settled,
            None if offset == position => EventState::Next,
            None => EventState::ToCome(position),
        }
    }
}

impl LaneProgress {
    /// Whether it has settled the event, for whoever does not know how its events are ordered: only what they are ordered
    /// by has records. `default` is the partition's default position.
    #[must_use]
    pub fn has_settled(&self, event: &LoggedEvent, default: Offset) -> bool {
        let keys = [Ordering::Key, Ordering::None, Ordering::Strict].map(|ordering| ordering.key_of(event));
        let behind = keys.iter().find_map(|key| self.behind.get(key));
        event.offset < behind.map_or_else(|| self.position.offset(default), |behind| behind.offset)
    }
}

/// How a settled event was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HowSettled {
    /// The destination has it.
    Delivered,
    /// It is a dead letter.
    DeadLetter,
    /// It was a dead letter, and is none any more: somebody has discarded it.
    Discarded,
    /// It had waited for as long as it may.
    Expired,
    /// Nothing tells of it any more.
    Unknown,
}

impl HowSettled {
    /// Of an event that is a dead letter or not, and whose attempts at the destination are told so, in their order.
    #[must_use]
    pub fn of(is_dead_letter: bool, told: &[Told]) -> Self {
        if is_dead_letter {
            return Self::DeadLetter;
        }
        // What came of the others is undone by what came after them.
        let settles = |fate: &Fate| matches!(fate, Fate::Delivered | Fate::DeadLetter | Fate::Expired);
        match told.iter().rev().map(|told| told.fate).find(settles) {
            Some(Fate::Delivered) => Self::Delivered,
            Some(Fate::Expired) => Self::Expired,
            Some(_) => Self::Discarded,
            None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventId, EventType, Key};
    use crate::filter::{Filter, TypePattern};
    use crate::partition::Partition;
    use crate::progress::{Behind, Position};
    use crate::retry::{Backoff, Failure};
    use crate::revision::Cut;
    use crate::time::Timestamp;

    fn event(offset: u64, key: &str) -> LoggedEvent {
        let event = Event {
            key: Some(Key::new(key).unwrap()),
            ..Event::new(EventId::new("e").unwrap(), EventType::new("t.a").unwrap(), bytes::Bytes::new())
        };
        let (partition, accepted_at) = (Partition(0), Timestamp::ZERO);
        LoggedEvent { partition, offset: Offset(offset), accepted_at, event }
    }

    fn only(pattern: &str) -> Filter {
        Filter { types: vec![TypePattern::new(pattern).unwrap()], ..Filter::default() }
    }

    #[test]
    fn every_state_is_told_from_the_others() {
        let name = DestinationName::new("a").unwrap();
        let retry = Backoff::note(None, Failure::new(Timestamp::ZERO, "answered 503"));
        let behind = |offset, retry: Option<&RetryState>| Behind { offset: Offset(offset), retry: retry.cloned() };
        let key = |key| LaneKey::Key(Key::new(key).unwrap());
        let lane = LaneProgress {
            position: Position::At(Offset(50)),
            behind: [(key("failed"), behind(20, Some(&retry))), (key("slow"), behind(30, None))].into(),
            ..LaneProgress::default()
        };
        let mut progress = PartitionProgress { lanes: [(name.clone(), lane)].into(), ..PartitionProgress::default() };
        progress.cuts.add(Cut { revision: Revision(5), at: Offset(10) });
        progress.cuts.add(Cut { revision: Revision(9), at: Offset(60) });
        // Nothing from 60 on.
        let filters = Filters::always(only("t.*")).changed(only("u"), Revision(9));
        let of =
            StateOf { name: &name, born: Revision(5), is_first: false, ordering: Ordering::Key, filters: &filters };
        let cases = [
            (9, "any", EventState::BeforeDestination),
            (10, "any", EventState::Settled),
            (19, "failed", EventState::Settled),
            (20, "failed", EventState::Blocked(retry)),
            (21, "failed", EventState::Behind(Offset(20))),
            (30, "slow", EventState::Next),
            (31, "slow", EventState::Behind(Offset(30))),
            (49, "any", EventState::Settled),
            (50, "any", EventState::Next),
            (51, "any", EventState::ToCome(Offset(50))),
            (55, "failed", EventState::Behind(Offset(20))),
            (60, "any", EventState::NotWanted),
        ];
        for (offset, key, expected) in cases {
            let event = event(offset, key);
            assert_eq!(of.state(&event, &progress), expected, "{offset} of {key}");
            if !matches!(expected, EventState::BeforeDestination | EventState::NotWanted) {
                let settled = progress.lanes[&name].has_settled(&event, progress.scanned);
                assert_eq!(settled, expected == EventState::Settled, "{offset} of {key}");
            }
        }
        let first = StateOf { is_first: true, ..of };
        assert_eq!(first.state(&event(9, "any"), &progress), EventState::Settled);
        progress.lanes.clear();
        assert_eq!(of.state(&event(30, "any"), &progress), EventState::NotBegun);
    }

    #[test]
    fn the_ordering_says_whose_record_counts() {
        let name = DestinationName::new("a").unwrap();
        let filters = Filters::default();
        let behind = |offset| Behind { offset: Offset(offset), retry: None };
        let lane = LaneProgress {
            position: Position::At(Offset(50)),
            behind: [(LaneKey::All, behind(20)), (LaneKey::Event(Offset(40)), behind(40))].into(),
            ..LaneProgress::default()
        };
        let progress = PartitionProgress { lanes: [(name.clone(), lane)].into(), ..PartitionProgress::default() };
        let state = |ordering, offset| {
            let of = StateOf { name: &name, born: Revision::ORIGIN, is_first: false, ordering, filters: &filters };
            of.state(&event(offset, "k"), &progress)
        };
        for (key, offset, settled) in [
            (LaneKey::All, 19, true),
            (LaneKey::All, 20, false),
            (LaneKey::Event(Offset(20)), 20, false),
            (LaneKey::Event(Offset(20)), 21, true),
        ] {
            let behind = [(key.clone(), behind(20))].into();
            let lane = LaneProgress { position: Position::Shared, behind, ..LaneProgress::default() };
            assert_eq!(lane.has_settled(&event(offset, "k"), Offset(50)), settled, "{offset} with {key} behind");
        }
        assert_eq!(state(Ordering::Strict, 30), EventState::Behind(Offset(20)));
        assert_eq!(state(Ordering::Key, 30), EventState::Settled);
        assert_eq!(state(Ordering::None, 40), EventState::Next);
        assert_eq!(state(Ordering::None, 41), EventState::Settled);
    }
}
