//! What has waited for too long: what may expire, what has to, and that all of it is counted.

use super::fixtures::{PARTITION, logged, name};
use super::world::{Op, Place, Whose, World};
use crate::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the world has seen expire.
#[derive(Default)]
pub(super) struct Expiring {
    /// What was looked at already.
    seen: BTreeSet<(Place, Timestamp, bool)>,
    /// What progress said when the partition was claimed, and what has expired since.
    counted: BTreeMap<DestinationName, u64>,
    /// In what order, in all ownerships.
    pub(super) order: Vec<Place>,
}

impl World {
    /// Whoever counted may have gone: what is stored counts.
    pub(super) fn forget_expired(&mut self) {
        self.expiring.seen.clear();
        self.expiring.counted = self.stored.lanes.iter().map(|(of, lane)| (of.clone(), lane.expiry.expired)).collect();
    }

    /// Sees at once what has expired, before anything that may follow from it.
    pub(super) fn look_for_expired(&mut self) {
        let Some(owned) = self.dispatcher.partitions.get(&PARTITION) else { return };
        let expired = owned.untold().iter().filter(|told| told.fate == Fate::Expired);
        for told in expired.cloned().collect::<Vec<_>>() {
            self.note_expired(&told);
        }
    }

    /// Something has come of an event.
    pub(super) fn note_expired(&mut self, told: &Told) {
        let place = (told.destination.clone(), told.offset);
        if told.fate != Fate::Expired {
            return;
        }
        if !self.expiring.seen.insert((place.clone(), told.at, told.redrive)) {
            // A second replay may have begun since, of which it expires at the same moment.
            if told.redrive {
                self.replay_gives_up(&place);
            }
            return;
        }
        let (destination, event) = (&told.destination, self.at(told.offset).clone());
        let of = self.destinations.iter().find(|of| of.name == *destination);
        let max_age = of.and_then(|of| of.max_age).expect("only where waiting has a limit does anything expire");
        let lane = self.stored.lanes.get(destination);
        let again = lane.map(|lane| lane.expiry.waits_since(event.offset, event.accepted_at));
        let since = if told.redrive {
            let replays = lane.into_iter().flat_map(|lane| lane.replays.values());
            replays.map(|replay| replay.spec.asked_at).min().expect("it is of a replay")
        } else {
            again.unwrap_or(event.accepted_at)
        };
        let says_something = |since: &Timestamp| *since <= told.at.after(MAX_CLOCK_SKEW);
        let behind = self.log.iter().filter(|behind| behind.offset > told.offset).map(|behind| behind.accepted_at);
        // It was accepted before what is behind it.
        let since = Some(since).filter(says_something).or_else(|| behind.clone().find(says_something)).unwrap_or(since);
        assert!(told.at >= since.after(max_age), "{place:?} has time left: it waits since {since}: {told:?}");
        assert!(self.wants(destination, &event), "{destination} does not want what expires: {told:?}");
        for (to, events, whose) in self.attempts.values() {
            let in_flight = to == destination && matches!(whose, Whose::Lane | Whose::FormerLane);
            let same = |attempted: &Attempted| attempted.event.offset == told.offset;
            assert!(!in_flight || !events.iter().any(same), "{place:?} is in flight, and expires: {told:?}");
        }
        if told.redrive {
            return self.replay_gives_up(&place);
        }
        let key = self.lane_key(destination, &event);
        for earlier in self.log.iter().take_while(|earlier| earlier.offset < told.offset) {
            let done = self.lane_key(destination, earlier) != key
                || !self.wants(destination, earlier)
                || self.settled.contains(&(destination.clone(), earlier.offset));
            assert!(done, "{place:?} of {key} expires before {}", earlier.offset);
        }
        self.ends.settled(&place);
        self.settled.insert(place.clone());
        self.settled_here.insert(place.clone());
        *self.expiring.counted.entry(destination.clone()).or_default() += 1;
        self.expiring.order.push(place);
    }

    /// What was settled when the commit was made that comes out now: something may have expired since.
    pub(super) fn settled_in_commit(&self) -> BTreeSet<Place> {
        let untold = self.dispatcher.partitions.get(&PARTITION).map_or(&[][..], |owned| owned.untold());
        let later = untold.iter().filter(|told| told.fate == Fate::Expired && !told.redrive);
        let later: BTreeSet<Place> = later.map(|told| (told.destination.clone(), told.offset)).collect();
        self.settled_here.difference(&later).cloned().collect()
    }

    /// What has expired is counted, at any moment.
    pub(super) fn check_expired(&self, status: &DestinationStatus) {
        let counted = self.expiring.counted.get(&status.name).copied().unwrap_or(0);
        assert_eq!(status.expired, counted, "what has expired at {}", status.name);
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A destination that gets everything, and nothing that is older than a day.
fn aged() -> Destination {
    Destination { from: StartFrom::Beginning, max_age: Some(DAY), ..Destination::new(name("aged")) }
}

fn world(settings: &Settings, destinations: Vec<Destination>) -> World {
    let mut world =
        World::with(Settings { check_state: true, expire_ahead: DAY / 24, ..settings.clone() }, 1, destinations);
    pass(&mut world, Duration::from_millis(50), &[]);
    world
}

/// Time passes; reads and commits are answered, and attempts succeed but for those at `hanging`.
fn pass(world: &mut World, time: Duration, hanging: &[&str]) {
    let until = world.now.after(time);
    loop {
        while world.work_once_but_for(hanging) {}
        let next = world.dispatcher.next_wakeup().filter(|at| *at < until);
        world.now = next.unwrap_or(until).max(world.now);
        world.renew();
        if next.is_none() {
            break;
        }
    }
    world.drain();
    while world.work_once_but_for(hanging) {}
    world.step(&Op::Renew);
}

fn status(world: &World, of: &str) -> DestinationStatus {
    let all = world.dispatcher.status(world.now).destinations;
    all.into_iter().find(|status| status.name == name(of)).expect("it is there")
}

/// Where the log may be trimmed up to.
fn settled_below(world: &World) -> Offset {
    world.stored.settled_below()
}

fn paused(destination: Destination) -> Destination {
    Destination { paused: Some("on holiday".into()), ..destination }
}

/// Nothing that is older than a day, and two seconds, waits.
fn nothing_old_waits(world: &World) {
    let limit = world.now.before(DAY + Duration::from_secs(2));
    let old = world.log.iter().rfind(|event| event.accepted_at < limit);
    let below = old.map_or(Offset::ZERO, |event| event.offset.next());
    assert!(settled_below(world) >= below, "{} is old, and {} is settled", below, settled_below(world));
}

/// How many hours there are between two events.
const HOURS: u32 = 3;

/// A destination is away for a month, and events come every few hours.
fn a_month(settings: &Settings, destinations: Vec<Destination>, hanging: &[&str]) -> World {
    let mut world = world(settings, destinations);
    for n in 0..30 * 24 / HOURS {
        world.append(u8::try_from(n % 5).unwrap(), u8::try_from(n % 2).unwrap());
        pass(&mut world, Duration::from_secs(3600) * HOURS, hanging);
        nothing_old_waits(&world);
    }
    pass(&mut world, Duration::from_millis(50), hanging);
    world
}

#[test]
fn one_that_is_paused_for_a_month_holds_a_day_of_the_log() {
    let healthy = Destination { from: StartFrom::Beginning, ..Destination::new(name("healthy")) };
    let world = a_month(&Settings::default(), vec![paused(aged()), healthy], &[]);
    let aged = status(&world, "aged");
    assert_eq!((aged.expired + aged.pending, aged.pending_exact), (240, true));
    assert!((7..=9).contains(&aged.pending), "{} wait", aged.pending);
    assert_eq!(status(&world, "healthy").expired, 0);
    // The oldest first, and each once.
    let expired: Vec<u64> = world.expiring.order.iter().map(|(_, offset)| offset.0).collect();
    assert_eq!(expired, (0..aged.expired).collect::<Vec<_>>());
    assert_eq!(world.stored.lanes[&name("aged")].expiry.expired, aged.expired);
}

#[test]
fn one_that_is_paused_alone_with_a_window_of_two_does_not_hold_more() {
    let settings = Settings { window_events: 2, read_events: 3, ..Settings::default() };
    let world = a_month(&settings, vec![paused(aged())], &[]);
    let aged = status(&world, "aged");
    assert!((7..=9).contains(&aged.pending), "{} wait", aged.pending);
    assert_eq!(aged.expired + aged.pending, 240);
}

#[test]
fn a_restart_in_between_forgets_no_age_and_no_count() {
    let settings = Settings { window_events: 2, read_events: 3, waiting_per_key: 1, ..Settings::default() };
    let mut world = world(&settings, vec![paused(aged())]);
    for hour in 0..200_u32 {
        world.append(u8::try_from(hour % 5).unwrap(), 0);
        pass(&mut world, Duration::from_secs(3600), &[]);
        if hour % 7 == 3 {
            world.crash();
            pass(&mut world, Duration::from_secs(10), &[]);
        }
        nothing_old_waits(&world);
    }
    let aged = status(&world, "aged");
    assert_eq!(aged.expired + aged.pending, 200);
}

/// Every attempt of a destination that is there fails, or the last one hangs.
fn fail_all(world: &mut World, of: &str) {
    let all: Vec<_> =
        world.attempts.iter().filter(|(_, (to, ..))| *to == name(of)).map(|(id, of)| (*id, of.1.len())).collect();
    for (id, events) in all {
        world.end_attempt(id, vec![Outcome::retry(Cause::Refused, "no".into()); events]);
    }
}

#[test]
fn one_whose_every_key_is_blocked_holds_a_day_of_the_log_and_makes_room() {
    let retry = RetryPolicy { limit: DAY * 365, total: None, ..RetryPolicy::default() };
    let blocked = Destination { retry, breaker: None, ..aged() };
    let settings = Settings { max_behind: 3, window_events: 4, waiting_per_key: 2, ..Settings::default() };
    let mut world = world(&settings, vec![blocked]);
    for hour in 0..24 * 10_u32 {
        world.append(u8::try_from(hour % 5).unwrap(), 0);
        for _ in 0..60 {
            pass(&mut world, Duration::from_secs(60), &["aged"]);
            fail_all(&mut world, "aged");
        }
        if hour % 50 == 49 {
            world.crash();
        }
        pass(&mut world, Duration::from_secs(3), &["aged"]);
        fail_all(&mut world, "aged");
        pass(&mut world, Duration::from_secs(1), &["aged"]);
        nothing_old_waits(&world);
    }
    assert!(world.dead.is_empty() && world.delivered.is_empty());
    let aged = status(&world, "aged");
    assert!(aged.expired >= 24 * 9 && aged.expired + aged.pending == 240, "{aged:?}");
}

/// One event that is in flight when it has waited for a day.
fn in_flight_for_a_day() -> (World, AttemptId) {
    let mut world = world(&Settings::default(), vec![aged()]);
    world.append(1, 0);
    world.append(1, 0);
    pass(&mut world, DAY + Duration::from_secs(5), &["aged"]);
    let attempt = *world.attempts.keys().next().expect("the first is in flight");
    assert_eq!((status(&world, "aged").expired, status(&world, "aged").pending), (0, 2));
    (world, attempt)
}

#[test]
fn what_is_in_flight_is_not_given_up_and_what_is_delivered_is_delivered() {
    let (mut world, attempt) = in_flight_for_a_day();
    world.end_attempt(attempt, vec![Outcome::Delivered]);
    pass(&mut world, Duration::from_secs(1), &[]);
    let aged = status(&world, "aged");
    assert_eq!((world.delivered.len(), aged.expired, aged.pending), (1, 1, 0));
}

#[test]
fn what_fails_when_it_is_too_old_is_not_tried_again() {
    let (mut world, attempt) = in_flight_for_a_day();
    world.end_attempt(attempt, vec![Outcome::retry(Cause::Refused, "no".into())]);
    let blocked = status(&world, "aged").blocked_keys;
    pass(&mut world, Duration::from_secs(1), &[]);
    let aged = status(&world, "aged");
    assert_eq!((blocked, world.delivered.len(), aged.expired, aged.pending), (0, 0, 2, 0));
    assert!(world.attempts.is_empty() && world.dead.is_empty());
}

#[test]
fn what_goes_back_counts_from_then_on_also_after_a_restart() {
    let mut world = world(&Settings::default(), vec![aged()]);
    (0..4).for_each(|n| world.append(n, 0));
    pass(&mut world, DAY * 3, &[]);
    assert_eq!(world.delivered.len(), 4);
    world.destinations = vec![paused(aged())];
    world.input(Input::Destinations(DestinationChanges::present(world.destinations.clone())));
    world.go_back(&name("aged"), Offset(1));
    pass(&mut world, DAY - Duration::from_secs(60), &[]);
    world.crash();
    pass(&mut world, Duration::from_secs(58), &[]);
    assert_eq!((status(&world, "aged").expired, status(&world, "aged").pending), (0, 3));
    pass(&mut world, Duration::from_secs(5), &[]);
    assert_eq!((status(&world, "aged").expired, status(&world, "aged").pending), (3, 0));
}

#[test]
fn a_replay_counts_from_when_it_was_asked_for_and_what_it_leaves_out_is_not_counted_twice() {
    let mut world = world(&Settings::default(), vec![aged()]);
    (0..4).for_each(|n| world.append(n, 0));
    pass(&mut world, DAY * 3, &[]);
    world.begin_replay(&super::replaying::Wish::of_all(0));
    pass(&mut world, DAY - Duration::from_secs(60), &["aged"]);
    assert!(!world.attempts.is_empty(), "what is three days old is delivered again");
    // None of them gets through, and what is tried again is too old by then.
    world.destinations = vec![paused(aged())];
    world.input(Input::Destinations(DestinationChanges::present(world.destinations.clone())));
    fail_all(&mut world, "aged");
    pass(&mut world, Duration::from_secs(30), &["aged"]);
    let open = |world: &World| world.stored.lanes[&name("aged")].replays.values().any(|replay| !replay.is_done());
    assert!(open(&world));
    pass(&mut world, Duration::from_secs(40), &["aged"]);
    assert!(!open(&world), "{:?}", world.stored);
    assert_eq!((status(&world, "aged").expired, world.delivered.len()), (0, 4));
}

#[test]
fn a_limit_that_is_set_later_counts_from_when_events_were_accepted() {
    for max_age in [None, Some(DAY * 300)] {
        let settings = Settings { window_events: 2, read_events: 3, ..Settings::default() };
        let before = Destination { ordering: Ordering::None, max_age, ..paused(aged()) };
        let mut world = world(&settings, vec![before.clone()]);
        (0..9).for_each(|n| world.append(n % 3, 0));
        pass(&mut world, DAY * 3, &[]);
        // So that what stands on track is behind, and of what is behind nothing is known but where it is.
        world.step(&Op::Release);
        pass(&mut world, Duration::from_secs(60), &[]);
        assert_eq!((status(&world, "aged").expired, settled_below(&world)), (0, Offset(0)));
        world.destinations = vec![Destination { max_age: Some(DAY), ..before }];
        world.input(Input::Destinations(DestinationChanges::present(world.destinations.clone())));
        pass(&mut world, Duration::from_secs(3), &[]);
        assert_eq!((status(&world, "aged").expired, settled_below(&world)), (9, Offset(9)));
    }
}

/// The first was accepted by a clock that was ahead by a year.
#[test]
fn what_a_clock_that_was_ahead_has_accepted_goes_with_what_is_behind_it() {
    let accept_ahead = |world: &mut World, key| {
        let at = world.now.after(DAY * 365);
        world.log.push(logged(world.end, key, 0, at));
        world.end = world.end.next();
    };
    let unordered = Destination { ordering: Ordering::None, ..aged() };
    for (destination, keys, window) in [
        (aged(), [1, 2, 1], 9),
        (aged(), [1, 1, 1], 9),
        (aged(), [1, 2, 3], 1),
        (aged(), [0, 0, 0], 1),
        (unordered, [1, 2, 3], 9),
    ] {
        let settings = Settings { window_events: window, ..Settings::default() };
        let mut world = world(&settings, vec![paused(destination)]);
        accept_ahead(&mut world, keys[0]);
        world.append(keys[1], 0);
        world.append(keys[2], 0);
        pass(&mut world, DAY / 2, &[]);
        assert_eq!(status(&world, "aged").expired, 0);
        world.crash();
        pass(&mut world, DAY * 3 / 2, &[]);
        assert_eq!((status(&world, "aged").expired, status(&world, "aged").pending), (3, 0), "{keys:?} {window}");
        // What is alone with such a time may be young: whose clock is wrong, nobody can tell.
        accept_ahead(&mut world, 1);
        let end = world.end;
        world.input(Input::Grew { partition: PARTITION, end });
        pass(&mut world, DAY * 3, &[]);
        assert_eq!((status(&world, "aged").expired, status(&world, "aged").pending), (3, 1), "{keys:?} {window}");
    }
}

/// Nothing that anybody sees is repeated of what expires.
#[test]
fn what_expires_in_masses_holds_no_attempts_up_while_no_commit_is_stored() {
    let second = Destination { name: name("second"), ..aged() };
    let third = Destination { from: StartFrom::Beginning, ..Destination::new(name("third")) };
    let settings = Settings { max_uncommitted: 3, commit_settlements: 1, expire_keys: 1, ..Settings::default() };
    let mut world = world(&settings, vec![paused(aged()), paused(second), third]);
    (0..10).for_each(|n| world.append(n, 0));
    pass(&mut world, DAY - Duration::from_secs(60), &[]);
    for _ in 0..20 {
        world.now = world.now.after(Duration::from_secs(10));
        world.drain();
        world.renew();
    }
    let expired = |world: &World| status(world, "aged").expired + status(world, "second").expired;
    assert_eq!((world.commits_under_way(), expired(&world)), (1, 1 + 3), "one commit, and what the next one may carry");
    world.append(1, 0);
    while let Some((read, had)) = world.reads.pop() {
        world.answer(&read, Some(had));
    }
    assert_eq!(world.attempts.len(), 1, "what is new is attempted");
    pass(&mut world, Duration::from_millis(100), &[]);
    assert_eq!(expired(&world), 20, "with commits the rest follows at once");
}

/// A key may be forgotten while its data is on its way, and be known again when that comes.
#[test]
fn an_answer_that_comes_late_changes_nothing_of_a_dead_letter_that_is_in_flight() {
    let mut world = world(&Settings::default(), vec![Destination { breaker: None, ..aged() }]);
    let moment = Duration::from_millis(100);
    world.append(1, 0);
    pass(&mut world, moment, &["aged"]);
    let id = *world.attempts.keys().next().expect("the first is in flight");
    world.end_attempt(id, vec![Outcome::Rejected { reason: "no".into() }]);
    pass(&mut world, moment, &["aged"]);
    assert_eq!(world.dead.len(), 1);
    world.append(1, 0);
    pass(&mut world, moment, &["aged"]);
    fail_all(&mut world, "aged");
    pass(&mut world, moment, &["aged"]);
    // It is read for its second attempt, and expires meanwhile.
    world.now = world.now.after(Duration::from_secs(30));
    world.drain();
    let (late, had) = world.reads.pop().expect("its data is asked for");
    pass(&mut world, DAY * 2, &["aged"]);
    assert_eq!((status(&world, "aged").expired, status(&world, "aged").keys_behind), (1, 0));
    // The dead letter is asked for twice, the second time since the late answer says that nothing is on its way.
    world.step(&Op::RetryDeadLetter(0));
    let (first, _) = world.reads.pop().expect("the dead letter is asked for");
    world.answer(&late, Some(had));
    let (second, _) = world.reads.pop().expect("and asked for again");
    world.answer(&first, Some(2));
    assert_eq!(world.attempts.len(), 1);
    world.input(Input::DeadLetterRead { read: read_of(&second), event: None });
    pass(&mut world, moment, &[]);
    assert_eq!((world.dead.len(), world.delivered.len()), (0, 1));
}

fn read_of(output: &Output) -> ReadId {
    match output {
        Output::ReadDeadLetter { read, .. } => *read,
        other => panic!("{other:?} reads no dead letter"),
    }
}

/// A lane that comes and goes leaves its timers, and no more of them than there are steps up to as far ahead as it sets one.
#[test]
fn lanes_that_come_and_go_leave_few_timers() {
    let slow = Destination { max_age: Some(DAY * 7), ..aged() };
    let healthy = Destination { from: StartFrom::Beginning, ..Destination::new(name("healthy")) };
    let settings = Settings { check_state: true, expire_ahead: Duration::from_secs(10), ..Settings::default() };
    let mut world = World::with(settings, 1, vec![slow, healthy]);
    let mut lanes = BTreeSet::new();
    for n in 0..100_u8 {
        world.append(n % 5, 0);
        // It takes longer than two commits, and stands apart until it has caught up.
        pass(&mut world, Duration::from_millis(150), &["aged"]);
        let index = world.dispatcher.shared.destinations.named(&name("aged")).unwrap();
        lanes.extend(world.dispatcher.partitions[&PARTITION].lane(index).map(|lane| lane.id));
        pass(&mut world, Duration::from_millis(850), &[]);
    }
    assert!(lanes.len() > 50, "{} lanes", lanes.len());
    let timers = world.dispatcher.shared.timers.count();
    assert!(timers < 30, "{timers} timers");
}
