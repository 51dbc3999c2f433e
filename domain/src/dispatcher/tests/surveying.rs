//! A status that is found out in pieces, while everything goes on.

use super::fixtures::{logged, name};
use super::world::World;
use crate::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// A survey that a world makes, a piece at a time.
pub(super) struct Surveying {
    survey: Survey,
    /// Which destinations were there all the time.
    there: Option<BTreeSet<DestinationName>>,
}

impl Default for Surveying {
    fn default() -> Self {
        Self { survey: Survey::new(true), there: None }
    }
}

impl World {
    /// Looks at one more thing. Whatever happens meanwhile, no destination is told of twice, and none left out.
    pub(super) fn go_on_with_survey(&mut self) {
        let now: BTreeSet<DestinationName> = self.destinations.iter().map(|d| d.name.clone()).collect();
        let now = now.into_iter().filter(|name| self.dispatcher.has_destination(name)).collect();
        let there = match self.surveying.there.take() {
            Some(there) => &there & &now,
            None => now,
        };
        let Some(report) = self.dispatcher.survey(&mut self.surveying.survey, 1, self.now) else {
            self.surveying.there = Some(there);
            return;
        };
        self.surveying.survey = Survey::new(true);
        let names: Vec<_> = report.destinations.iter().map(|status| status.name.clone()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert!(there.iter().all(|there| names.contains(there)), "{there:?} were there all the time, of {names:?}");
        assert_eq!(report.partitions, self.dispatcher.partitions().collect::<Vec<_>>());
    }
}

/// Destinations with these names, of which the second has something under way, in a partition with two events.
fn dispatcher(names: &[&str]) -> (Dispatcher, Timestamp) {
    let now = Timestamp::from_millis(1_000);
    let mut dispatcher = Dispatcher::new(Settings::default(), 1);
    dispatcher.handle(Input::Destinations(all(names)), now);
    claim(&mut dispatcher, 0, now);
    (dispatcher, now)
}

fn all(names: &[&str]) -> DestinationChanges {
    let of = |text: &&str| Destination { from: StartFrom::Beginning, ..Destination::new(name(text)) };
    DestinationChanges::present(names.iter().map(of).collect())
}

/// Takes a partition over, and reads its two events.
fn claim(dispatcher: &mut Dispatcher, partition: u32, now: Timestamp) {
    let until = now.after(Duration::from_secs(3600));
    let (partition, progress, log) = (Partition(partition), PartitionProgress::default(), Offset(0)..Offset(2));
    dispatcher.handle(Input::Claimed { partition, progress, gone: [].into(), log, until }, now);
    while let Some(output) = dispatcher.poll(now) {
        let Output::Read { read, .. } = output else { continue };
        while dispatcher.poll(now).is_some() {}
        let events = vec![logged(Offset(0), 1, 0, now), logged(Offset(1), 2, 0, now)];
        dispatcher.handle(Input::Read { read, events, corrupt: Vec::new(), next: Offset(2) }, now);
    }
}

/// The names that a survey finds which has looked at `before` things when `meanwhile` happens, with what waits for
/// each.
fn found(
    before: usize,
    dispatcher: &mut Dispatcher,
    now: Timestamp,
    meanwhile: impl FnOnce(&mut Dispatcher),
) -> Vec<(String, bool, u64)> {
    let mut survey = Survey::new(false);
    for _ in 0..before {
        assert!(dispatcher.survey(&mut survey, 1, now).is_none(), "it is not done yet");
    }
    meanwhile(dispatcher);
    while dispatcher.poll(now).is_some() {}
    let report = std::iter::repeat_with(|| dispatcher.survey(&mut survey, 1, now)).flatten().next().unwrap();
    report.destinations.into_iter().map(|d| (d.name.to_string(), d.configured, d.pending)).collect()
}

/// How many pieces a survey has, at one thing each.
fn pieces(dispatcher: &Dispatcher, now: Timestamp) -> usize {
    let mut survey = Survey::new(false);
    std::iter::repeat_with(|| dispatcher.survey(&mut survey, 1, now)).take_while(Option::is_none).count()
}

#[test]
fn one_that_leaves_during_a_survey_is_in_it_once_with_all_that_waits() {
    let (dispatcher_before, now) = dispatcher(&["a", "b", "c"]);
    for before in 0..=pieces(&dispatcher_before, now) {
        let (mut dispatcher, now) = dispatcher(&["a", "b", "c"]);
        let left = DestinationChanges { left: vec![name("b")], ..DestinationChanges::default() };
        let found = found(before, &mut dispatcher, now, |d| d.handle(Input::Destinations(left), now));
        let of_b: Vec<_> = found.iter().filter(|(name, ..)| name == "b").collect();
        assert_eq!(found.len(), 3, "{found:?}");
        let [(_, _, 2)] = of_b[..] else { panic!("after {before} pieces: {found:?}") };
    }
}

#[test]
fn a_partition_that_comes_during_a_survey_is_in_it_whole() {
    let (dispatcher_before, now) = dispatcher(&["a", "b"]);
    for before in 0..=pieces(&dispatcher_before, now) {
        let (mut dispatcher, now) = dispatcher(&["a", "b"]);
        let found = found(before, &mut dispatcher, now, |d| claim(d, 1, now));
        assert_eq!(found, [("a".into(), true, 4), ("b".into(), true, 4)], "after {before} pieces");
    }
}

#[test]
fn one_that_is_made_anew_during_a_survey_is_in_it_as_it_was_or_as_it_is() {
    // It is paused, so that nothing of it is in flight, and another one may have its place at once.
    let paused =
        Destination { from: StartFrom::Beginning, paused: Some("a test".into()), ..Destination::new(name("a")) };
    let scene = || {
        let now = Timestamp::from_millis(1_000);
        let mut dispatcher = Dispatcher::new(Settings::default(), 1);
        dispatcher.handle(Input::Destinations(DestinationChanges::present(vec![paused.clone()])), now);
        (0..2).for_each(|partition| claim(&mut dispatcher, partition, now));
        (dispatcher, now)
    };
    let make_anew = |dispatcher: &mut Dispatcher, now: Timestamp| {
        let place = dispatcher.shared.destinations.named(&name("a"));
        let deleted = DestinationChanges { deleted: vec![name("a")], ..DestinationChanges::default() };
        dispatcher.handle(Input::Destinations(deleted), now);
        while dispatcher.poll(now).is_some() {}
        let present = vec![Destination { born: Revision(5), ..Destination::new(name("a")) }];
        let revision = Revision(5);
        let changes = DestinationChanges { revision, present, ..DestinationChanges::default() };
        dispatcher.handle(Input::Destinations(changes), now);
        assert_eq!(dispatcher.shared.destinations.named(&name("a")), place, "it has the place of the one before");
    };
    let (mut other, now) = scene();
    let after = found(0, &mut other, now, |dispatcher| make_anew(dispatcher, now));
    let (dispatcher_before, now) = scene();
    for before in 0..=pieces(&dispatcher_before, now) {
        let (mut dispatcher, now) = scene();
        let found = found(before, &mut dispatcher, now, |dispatcher| make_anew(dispatcher, now));
        assert!(found == [("a".into(), true, 4)] || found == after, "after {before} pieces: {found:?}, not {after:?}");
    }
    assert_ne!(after[0].2, 4, "what waited for the one before does not wait for it");
}

#[test]
fn a_survey_that_lists_no_keys_counts_them() {
    let destination = Destination { from: StartFrom::Beginning, ..Destination::new(name("a")) };
    let mut world = World::with(Settings::default(), 1, vec![destination]);
    world.append(1, 0);
    world.append(2, 0);
    while world.work_once_but_for(&["a"]) {}
    for attempt in world.attempts.keys().copied().collect::<Vec<_>>() {
        world.end_attempt(attempt, vec![Outcome::retry(Cause::Refused, "no".into())]);
    }
    let report = |list_keys: bool| {
        let report = world.dispatcher.survey(&mut Survey::new(list_keys), usize::MAX, world.now).unwrap();
        (report.destinations[0].blocked_keys, report.destinations[0].blocked.len())
    };
    assert_eq!((report(true), report(false)), ((2, 2), (2, 0)));
}
