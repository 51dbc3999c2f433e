//! Destinations that are made, changed and deleted while events flow, against a plain list of who said what when.

use super::fixtures::{PARTITION, destinations, name, retry};
use super::world::{Op, Place, Whose, World};
use crate::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Names that come and go.
const NAMES: [&str; 3] = ["api-key", "api-strict", "api-none"];

/// What is done to one of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// It is made, or gets another filter: one of three. From 3 on, what is made begins at the oldest event.
    Put(u8),
    Pause,
    Resume,
    /// It sends to another place.
    Move,
    Delete,
    /// The registry has lost it, and it is made again as it was.
    Remake,
}

pub(super) fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0_u8..6).prop_map(Change::Put),
        1 => Just(Change::Pause),
        2 => Just(Change::Resume),
        1 => Just(Change::Move),
        2 => Just(Change::Delete),
        1 => Just(Change::Remake),
    ]
}

fn filter(variant: u8) -> Filter {
    let types = match variant % 3 {
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
    /// Whether the registry knew nothing of its name when it was made.
    takes_over: bool,
    target_since: Revision,
    paused: bool,
    /// Which filter was said at which revision, ascending.
    said: Vec<(Revision, u8)>,
}

/// The registry, as a list.
#[derive(Debug, Default)]
pub(super) struct Registry {
    revision: Revision,
    /// Where the log ended when a change was made.
    ends: BTreeMap<Revision, Offset>,
    there: BTreeMap<DestinationName, Record>,
    /// Those that began at the beginning, because nobody was there before.
    first: BTreeSet<DestinationName>,
    /// Whether the beginning was ever said to be another one.
    trimmed: bool,
}

impl Registry {
    fn destination(&self, of: &DestinationName, record: &Record) -> Destination {
        let (last, before) = record.said.split_last().unwrap();
        let until = record.said.iter().skip(1).map(|(revision, _)| *revision);
        let former = before.iter().zip(until);
        let filters = Filters {
            current: filter(last.1),
            // One that was made again knows nothing of before.
            since: last.0.max(record.born),
            former: former.map(|((_, said), until)| FormerFilter { until, filter: filter(*said) }).collect(),
        };
        Destination {
            born: record.born,
            takes_over: record.takes_over,
            target_since: record.target_since,
            filters: filters.into(),
            retry: retry(),
            paused: record.paused.then(|| "a test".into()),
            ordering: ordering(of),
            from: if self.first.contains(of) { StartFrom::Beginning } else { StartFrom::End },
            ..Destination::new(of.clone())
        }
    }

    fn present(&self) -> Vec<Destination> {
        self.there.iter().map(|(of, record)| self.destination(of, record)).collect()
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
        lanes.filter(|of| of.as_str().starts_with("api") && !self.registry.there.contains_key(*of)).cloned().collect()
    }

    /// Somebody changes a destination.
    pub(super) fn change(&mut self, which: usize, change: Change) {
        let of = name(NAMES[which % NAMES.len()]);
        let revision = Revision(self.registry.revision.0 + 3);
        let mut deleted = Vec::new();
        match (change, self.registry.there.get_mut(&of)) {
            (Change::Put(variant), None) => {
                let said = vec![(revision, variant)];
                let record = Record { born: revision, takes_over: false, target_since: revision, paused: false, said };
                self.registry.there.insert(of.clone(), record);
                // Some begin at the beginning, because they were the first, or because somebody wants that.
                if variant >= 3 && !self.registry.trimmed {
                    self.registry.first.insert(of.clone());
                }
            }
            (Change::Put(variant), Some(record)) => record.said.push((revision, variant)),
            (Change::Pause, Some(record)) => record.paused = true,
            (Change::Resume, Some(record)) => record.paused = false,
            (Change::Move, Some(record)) => {
                record.target_since = revision;
                // What was counted as a free resend may be another attempt now.
                self.ends.forget();
            }
            // Only if it had one filter ever, as the others would be lost with the rest, and if its making was
            // followed: else it begins with its being made again.
            (Change::Remake, Some(record))
                if record.said.len() == 1 && self.stored.cuts.revision() >= record.said[0].0 =>
            {
                *record = Record { born: revision, takes_over: true, target_since: revision, ..record.clone() };
                self.ends.forget();
            }
            (Change::Remake, Some(_)) => return,
            (Change::Delete, Some(_)) => {
                self.registry.there.remove(&of);
                self.registry.first.remove(&of);
                self.forget_all(&of);
                deleted.push(of.clone());
            }
            (_, None) => return,
        }
        self.registry.revision = revision;
        self.registry.ends.insert(revision, self.end);
        let present: Vec<_> =
            self.registry.there.get(&of).map(|record| self.registry.destination(&of, record)).into_iter().collect();
        self.input(Input::Destinations(DestinationChanges { revision, present, deleted, left: Vec::new() }));
    }

    /// Whatever happened at a destination that is gone says nothing of the next one of its name.
    fn forget_all(&mut self, of: &DestinationName) {
        self.forget_replays(of);
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
        match self.registry.there.get(of) {
            Some(record) => lane.born == record.born || (record.takes_over && lane.born < record.born),
            None => !of.as_str().starts_with("api") && lane.born == Revision::ORIGIN,
        }
    }

    /// When a destination was made, as far as the registry knows, where its progress says `stored`.
    pub(super) fn born(&self, of: &DestinationName, stored: Revision) -> Revision {
        self.registry.there.get(of).map_or(stored, |record| record.born.max(stored))
    }

    /// Whether a changing destination wants an event, by the stored cuts alone: from the cut of its making on, by
    /// the last filter whose cut is not above the event.
    pub(super) fn changing_wants(&self, of: &DestinationName, event: &LoggedEvent) -> bool {
        let Some(record) = self.registry.there.get(of) else { return false };
        let cuts: Vec<Cut> = self.stored.cuts.iter().collect();
        let cut_of = |revision: Revision| cuts.iter().find(|cut| cut.revision >= revision).map(|cut| cut.at);
        let stands = record.said.iter().filter(|(said, _)| cut_of(*said).is_some_and(|at| at <= event.offset));
        let first = record.said.first().filter(|_| self.registry.first.contains(of));
        let wanted = stands.last().or(first).is_some_and(|(_, variant)| filter(*variant).wants(&event.event));
        wanted && !self.deleted_tenants.had(&event.event)
    }

    /// Whoever had an event acknowledged before a change knows that the change does not apply to it.
    pub(super) fn check_cut(&self, commit: &Commit) {
        let Some(cut) = commit.cut else { return };
        for (revision, end) in self.registry.ends.range(..=cut.revision) {
            assert!(cut.at >= *end, "{cut:?}, and {revision} was made when the log ended at {end}");
        }
    }

    /// The log keeps its events, which the checks look at; but how those are judged that everybody has settled, and
    /// that nobody can want again, is forgotten.
    pub(super) fn trim_cuts(&mut self) {
        // One that the store has never seen begins where the log does, and the log here stays whole.
        let first = self.registry.first.iter().filter(|of| self.registry.there.contains_key(*of));
        if destinations(0).iter().map(|known| &known.name).chain(first).any(|of| !self.stored.lanes.contains_key(of)) {
            return;
        }
        self.registry.trimmed = true;
        let start = self.stored.settled_below();
        self.input(Input::Trimmed { partition: PARTITION, start });
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
            lane.is_some_and(|lane| lane.position.offset(self.stored.scanned) == self.end && lane.behind.is_empty())
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

/// What the property test has found, as it was found.
fn found(settings: Settings, seed: u64, ops: &[Op]) {
    let mut world = World::new(settings, seed);
    for op in ops {
        world.step(op);
    }
    world.heal_and_finish();
}

/// Answers the first read of that kind, when the log had so many events; `None`: it fails.
fn answer(world: &mut World, kind: impl Fn(&Output) -> bool, seen: Option<usize>) {
    let at = world.reads.iter().position(|(read, _)| kind(read)).expect("it was asked for");
    let (read, _) = world.reads.remove(at);
    world.answer(&read, seen);
}

fn strict_settings() -> Settings {
    Settings { commit_settlements: 1, check_state: true, ..Settings::default() }
}

fn until_at_rest(world: &mut World) {
    for _ in 0..4 {
        while world.work_once() {}
        world.step(&Op::Wait(50));
    }
}

#[test]
fn a_destination_begins_at_its_cut_also_where_more_was_read_than_heard_of() {
    let mut world = World::new(strict_settings(), 1);
    world.append(1, 0);
    world.change(0, Change::Put(0));
    world.step(&Op::AppendUnheard(0));
    // The reader brings both events, and the answer of where the log ends is from when there was one.
    answer(&mut world, |read| matches!(read, Output::Read { .. }), Some(2));
    answer(&mut world, |read| matches!(read, Output::ReadEnd { .. }), Some(1));
    world.heal_and_finish();
    assert_eq!(world.stored.cuts.last().map(|cut| cut.at), Some(Offset(2)));
    assert!(
        world.delivered.iter().all(|(_, to, _)| *to != name("api-key")),
        "both events were sent before it was made"
    );
}

/// Where the log ends is said first by the answer to who asked for it: the lane that waits there need not wait until
/// the log's growth is told as well.
#[test]
fn a_lane_reads_on_as_soon_as_the_log_is_known_to_be_longer() {
    let mut world = World::with(strict_settings(), 1, Vec::new());
    world.change(0, Change::Put(0));
    until_at_rest(&mut world);
    world.append(1, 0);
    until_at_rest(&mut world);
    // Its filter changes, so that it reads for itself until the cut is stored; there is nothing to read yet.
    world.change(0, Change::Put(3));
    assert!(!world.reads.iter().any(|(read, _)| matches!(read, Output::Read { .. })), "{:?}", world.reads);
    world.step(&Op::AppendUnheard(0));
    answer(&mut world, |read| matches!(read, Output::ReadEnd { .. }), Some(2));
    answer(&mut world, |read| matches!(read, Output::Read { .. }), Some(2));
    assert_eq!(world.attempts.len(), 1, "the second event is under way, and the cut is not stored");
    world.heal_and_finish();
}

#[test]
fn a_dead_letter_whose_read_failed_is_not_asked_for_again_when_its_destination_has_left() {
    let mut world = World::new(strict_settings(), 1);
    let all = ["by-key", "strict", "unordered", "batched"];
    world.append(1, 0);
    while world.work_once_but_for(&all) {}
    let rejected = world.attempts.iter().find(|(_, (to, ..))| *to == name("by-key")).map(|(id, _)| *id);
    world.end_attempt(rejected.unwrap(), vec![Outcome::Rejected { reason: "never".into() }]);
    until_at_rest(&mut world);
    world.step(&Op::RetryDeadLetter(0));
    answer(&mut world, |read| matches!(read, Output::ReadDeadLetter { .. }), None);
    assert!(world.dispatcher.has_destination(&name("by-key")) && world.dispatcher.filters(&name("by-key")).is_some());
    world.step(&Op::Reconfigure(4));
    assert!(!world.dispatcher.has_destination(&name("by-key")) && world.dispatcher.filters(&name("by-key")).is_none());
    world.step(&Op::Wait(300));
    world.heal_and_finish();
}

#[test]
fn a_key_whose_dead_letter_is_being_stored_goes_on_when_its_destination_is_lost_and_made_again() {
    let mut world = World::new(strict_settings(), 1);
    world.change(0, Change::Put(0));
    until_at_rest(&mut world);
    world.append(1, 0);
    world.append(1, 0);
    while world.work_once_but_for(&["api-key"]) {}
    let attempt = world.attempts.iter().find(|(_, (to, ..))| *to == name("api-key")).map(|(id, _)| *id);
    world.end_attempt(attempt.unwrap(), vec![Outcome::Rejected { reason: "never".into() }]);
    assert!(world.commits_under_way() > 0, "the commit with the dead letter is on its way");
    world.change(0, Change::Remake);
    until_at_rest(&mut world);
    let got = world.delivered.iter().filter(|(_, to, _)| *to == name("api-key")).count();
    assert_eq!((got, world.dead.len()), (1, 1));
    world.heal_and_finish();
}

#[test]
fn what_stands_in_for_a_first_destination_leaves_nothing_and_the_first_begins_at_the_beginning() {
    let stands_in = Destination { is_kept: false, ..Destination::new(name("console")) };
    let mut world = World::with(strict_settings(), 1, vec![stands_in]);
    (0..3).for_each(|n| world.append(1, n));
    while world.work_once() {}
    world.step(&Op::Wait(50));
    while world.work_once() {}
    assert_eq!((world.stored.scanned, world.stored.lanes.len()), (Offset(3), 0), "it is not known to the store");
    assert_eq!(world.delivered.len(), 3);
    // After a restart it goes on where it was, and the first destination gets what nobody else was to get.
    world.crash();
    while world.work_once() {}
    assert_eq!(world.delivered.len(), 3);
    world.destinations.clear();
    world.registry.first.insert(name("api-key"));
    world.change(0, Change::Put(0));
    let gone = DestinationChanges { deleted: vec![name("console")], ..DestinationChanges::default() };
    world.input(Input::Destinations(gone));
    for _ in 0..4 {
        while world.work_once() {}
        world.step(&Op::Wait(50));
    }
    let got: Vec<_> =
        world.delivered.iter().filter(|(_, to, _)| *to == name("api-key")).map(|(_, _, at)| at.0).collect();
    assert_eq!(got, [0, 1, 2]);
    assert_eq!(world.stored.lanes.keys().collect::<Vec<_>>(), [&name("api-key")]);
}

#[test]
fn a_destination_that_was_made_costs_no_lane_once_it_is_where_the_others_are() {
    let mut world = World::new(strict_settings(), 1);
    (0..3).for_each(|n| world.append(1, n));
    let in_memory = |world: &World| {
        let index = world.dispatcher.shared.destinations.named(&name("api-key")).unwrap();
        world.dispatcher.partitions[&PARTITION].lane(index).is_some()
    };
    world.change(0, Change::Put(0));
    assert!(!in_memory(&world), "it has no lane before its cut");
    answer(&mut world, |read| matches!(read, Output::ReadEnd { .. }), Some(3));
    assert!(in_memory(&world), "its cut is ahead of the others");
    until_at_rest(&mut world);
    assert!(!in_memory(&world) && world.stored.lanes.contains_key(&name("api-key")));
    world.append(1, 0);
    until_at_rest(&mut world);
    assert_eq!(world.delivered.iter().filter(|(_, to, _)| *to == name("api-key")).count(), 1);
}

#[test]
fn a_lane_of_its_own_stands_still_at_a_cut_that_is_not_stored() {
    let settings = Settings {
        commit_settlements: 1,
        window_events: 1,
        window_bytes: 600,
        window_events_per_key: 1,
        max_behind: 1,
        read_events: 1,
        check_state: true,
        ..Settings::default()
    };
    let ops = [
        Op::Append { key: 0, count: 5 },
        Op::Change { which: 1, change: Change::Put(0) },
        Op::Change { which: 1, change: Change::Put(0) },
        Op::Answer(1 << 63),
        Op::Append { key: 0, count: 1 },
    ];
    found(settings, 0, &ops);
}
