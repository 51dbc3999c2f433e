//! What has expired stays counted and is told, whatever becomes of its destination.

use super::fixtures::{PARTITION, logged, name};
use super::world::{Op, World};
use crate::destination::{Destination, StartFrom};
use crate::dispatcher::Dispatcher;
use crate::event::LoggedEvent;
use crate::filter::{Filter, Filters, TypePattern};
use crate::io::{DestinationChanges, Input, Notice, Output};
use crate::partition::Offset;
use crate::progress::{Commit, PartitionProgress};
use crate::settings::Settings;
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// A destination whose events wait for an hour, while it is paused.
fn aged(is_kept: bool) -> Destination {
    let (max_age, paused) = (Some(HOUR), Some("a test".into()));
    Destination { from: StartFrom::Beginning, max_age, paused, is_kept, ..Destination::new(name("aged")) }
}

#[test]
fn what_has_expired_stays_counted_where_its_destination_leaves_and_comes_back() {
    let mut world = World::with(Settings { check_state: true, ..Settings::default() }, 1, vec![aged(true)]);
    (1..=3).for_each(|key| world.append(key, 0));
    let pass = |world: &mut World| {
        while world.work_once() {}
        world.step(&Op::Wait(30));
        while world.work_once() {}
    };
    pass(&mut world);
    world.now = world.now.after(2 * HOUR);
    world.drain();
    let counted = |world: &World| world.dispatcher.status(world.now).destinations[0].expired;
    let stored = |world: &World| world.stored.lanes[&name("aged")].expiry.expired;
    assert_eq!((counted(&world), stored(&world)), (3, 0), "no commit says it yet");
    for is_told in [true, false] {
        let left = vec![name("aged")];
        world.input(Input::Destinations(DestinationChanges { left, ..DestinationChanges::default() }));
        assert_eq!(counted(&world), 3);
        world.step(&Op::Wait(30));
        let tells = world.commits.last().and_then(|commit| commit.lanes.get(&name("aged"))?.expiry);
        assert_eq!(tells.map(|expiry| expiry.expired), is_told.then_some(3));
        pass(&mut world);
        assert_eq!((counted(&world), stored(&world)), (3, 3));
        world.input(Input::Destinations(DestinationChanges::present(world.destinations.clone())));
        pass(&mut world);
        assert_eq!((counted(&world), stored(&world)), (3, 3));
    }
}

/// A partition whose log grows, and whose commits are stored at once.
struct Scene {
    dispatcher: Dispatcher,
    now: Timestamp,
    log: Vec<Arc<LoggedEvent>>,
    commits: Vec<Arc<Commit>>,
    /// How many have expired, by what was told each time.
    told: Vec<u64>,
}

impl Scene {
    fn new(present: Vec<Destination>) -> Self {
        let now = Timestamp::from_millis(1_000_000_000);
        let settings = Settings { history: false, check_state: true, ..Settings::default() };
        let mut dispatcher = Dispatcher::new(settings, 1);
        dispatcher.handle(Input::Destinations(DestinationChanges::present(present)), now);
        while dispatcher.poll(now).is_some() {}
        let (progress, log) = (PartitionProgress::default(), Offset(0)..Offset(0));
        let until = now.after(100 * HOUR);
        let mut scene = Self { dispatcher, now, log: Vec::new(), commits: Vec::new(), told: Vec::new() };
        scene.handle(Input::Claimed { partition: PARTITION, progress, gone: [].into(), log, until });
        scene
    }

    fn append(&mut self, accepted_at: Timestamp) {
        let offset = Offset(self.log.len() as u64);
        self.log.push(logged(offset, 0, 0, accepted_at));
        self.handle(Input::Grew { partition: PARTITION, end: offset.next() });
    }

    fn handle(&mut self, input: Input) {
        self.dispatcher.handle(input, self.now);
        self.poll();
    }

    fn poll(&mut self) {
        let outputs: Vec<Output> = std::iter::from_fn(|| self.dispatcher.poll(self.now)).collect();
        for output in outputs {
            match output {
                Output::Read { read, from, .. } => {
                    let events = self.log.iter().filter(|event| event.offset >= from).cloned().collect();
                    let next = Offset(self.log.len() as u64);
                    self.handle(Input::Read { read, events, corrupt: Vec::new(), next });
                }
                Output::Commit { partition, commit } => {
                    self.commits.push(commit);
                    self.handle(Input::Committed(partition));
                }
                Output::Notice(Notice::Expired { count, last, .. }) => {
                    assert!(last < Offset(self.log.len() as u64));
                    self.told.push(count);
                }
                _ => {}
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now.after(time);
        while let Some(at) = self.dispatcher.next_wakeup().filter(|at| *at <= until) {
            self.now = at.max(self.now);
            self.poll();
        }
        self.now = until;
        self.poll();
    }
}

#[test]
fn how_much_has_expired_is_told_once_that_is_stored_and_kept_only_of_those_of_which_anything_is() {
    for is_kept in [true, false] {
        let mut scene = Scene::new(vec![aged(is_kept)]);
        let before = scene.now.before(HOUR);
        (0..3).for_each(|_| scene.append(before));
        assert!(scene.told.is_empty(), "it is not stored");
        scene.pass(Duration::from_secs(1));
        assert_eq!(scene.told, [3]);
        let expiry = |commit: &Arc<Commit>| commit.lanes.get(&name("aged"))?.expiry;
        let kept: Vec<u64> = scene.commits.iter().filter_map(expiry).map(|expiry| expiry.expired).collect();
        assert_eq!(kept, [3_u64][..usize::from(is_kept)]);
        assert!(is_kept || scene.commits.iter().all(|commit| commit.lanes.is_empty()));
    }
}

#[test]
fn what_has_expired_without_anything_to_store_is_told_with_the_next_commit() {
    // Beside one that has nothing to do, what waits holds no position back that is stored.
    let filters = Filters::always(Filter { types: vec![TypePattern::new("never").unwrap()], ..Filter::default() });
    let idle = Destination { filters: filters.into(), ..Destination::new(name("idle")) };
    let mut scene = Scene::new(vec![aged(false), idle]);
    for _ in 0..2 {
        scene.append(scene.now);
        scene.pass(Duration::from_secs(600));
    }
    scene.pass(2 * HOUR);
    let commits = scene.commits.len();
    assert!(scene.told.is_empty());
    scene.append(scene.now);
    scene.pass(Duration::from_secs(1));
    assert!(scene.commits.len() > commits);
    assert_eq!(scene.told, [2]);
}
