//! What tenants share: whoever has little to do waits for nobody else's.

use super::fixtures::name;
use super::world::World;
use crate::*;
use std::collections::BTreeMap;

const EVENTS: usize = 30;
const MOST: usize = 4;

/// A destination that gets everything, of the tenant that its name says.
fn of(text: &str) -> Destination {
    Destination { breaker: None, from: StartFrom::Beginning, ..Destination::new(name(text)) }
}

fn no_answer() -> Vec<Outcome> {
    vec![Outcome::retry(Cause::Unanswered, "no answer".into())]
}

#[test]
fn whoever_has_little_to_do_does_not_wait_for_another_tenants_receivers_that_hang() {
    let hanging: Vec<String> = (0..20).map(|n| format!("acme:hangs-{n}")).collect();
    let hanging: Vec<&str> = hanging.iter().map(String::as_str).collect();
    let all = hanging.iter().copied().chain(["b:works", "operators"]).map(of).collect();
    let settings = Settings { max_attempts: MOST, max_reads: 1, check_state: true, ..Settings::default() };
    let mut world = World::with(settings, 1, all);
    for n in 0..EVENTS {
        world.append(0, u8::try_from(n % 3).unwrap());
        // Time stands still: nothing is waited for but what is under way elsewhere.
        while world.work_once_but_for(&hanging) {}
        for works in ["b:works", "operators"] {
            let delivered = world.delivered.iter().filter(|(_, to, _)| to.as_str() == works).count();
            assert_eq!(delivered, n + 1, "{works} has all that there is");
        }
    }
    let mut in_flight: BTreeMap<DestinationName, usize> = BTreeMap::new();
    world.attempts.values().for_each(|(to, ..)| *in_flight.entry(to.clone()).or_default() += 1);
    assert_eq!(
        in_flight.values().sum::<usize>(),
        MOST,
        "the one that wants more has all that one may have: {in_flight:?}"
    );
    // Their turns come one after the other: with each that ends, one of those that waited longest begins.
    let mut seen = in_flight.keys().cloned().collect::<std::collections::BTreeSet<_>>();
    for _ in 0..hanging.len() {
        let first = world.attempts.iter().find(|(_, (to, ..))| hanging.contains(&to.as_str())).map(|(id, _)| *id);
        world.end_attempt(first.expect("one is in flight"), no_answer());
        while world.work_once_but_for(&hanging) {}
        seen.extend(world.attempts.values().map(|(to, ..)| to.clone()));
    }
    assert_eq!(seen.len(), hanging.len(), "each of its destinations has had a turn: {seen:?}");
}

#[test]
fn a_destination_waits_in_its_own_tenants_turn_whoever_stood_in_its_place_before() {
    let hanging = ["acme:hangs", "acme:stands"];
    let settings = Settings { max_attempts: 1, check_state: true, ..Settings::default() };
    let mut world = World::with(settings, 1, ["acme:hangs", "acme:stands", "b:first"].map(of).to_vec());
    world.append(1, 0);
    while world.reads.pop().is_some_and(|(read, had)| {
        world.answer(&read, Some(had));
        true
    }) {}
    let to = |world: &World| world.attempts.values().map(|(to, ..)| to.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(to(&world), ["acme:hangs", "b:first"], "one of acme's stands behind the other");
    // It leaves while it stands there, and then another tenant's takes its place in the table of destinations.
    for (left, present) in [(vec![name("acme:stands")], vec![]), (vec![], vec![of("b:second")])] {
        world.destinations.retain(|destination| !left.contains(&destination.name));
        world.destinations.extend(present.iter().cloned());
        world.input(Input::Destinations(DestinationChanges { present, left, ..DestinationChanges::default() }));
    }
    world.append(2, 0);
    while world.work_once_but_for(&hanging) {}
    for b in ["b:first", "b:second"] {
        let delivered = world.delivered.iter().filter(|(_, to, _)| to.as_str() == b).count();
        assert_eq!(delivered, 2, "{b} waits for nothing of acme's");
    }
}

/// Which reads are under way that a lane makes for itself: all but those of the log's end and of the shared reader.
fn of_lanes(world: &World) -> usize {
    world.dispatcher.shared.reads.values().filter(|read| read.has_place).count()
}

#[test]
fn whoever_has_little_to_read_does_not_wait_for_another_tenants_backlog() {
    const MOST: usize = 2;
    let behind: Vec<String> = (0..20).map(|n| format!("acme:behind-{n}")).collect();
    let types = |pattern| Filter { types: vec![TypePattern::new(pattern).unwrap()], ..Filter::default() };
    // They have stopped at four places, and lanes that stand at the same one are read for once.
    let wanted = [
        Filter::default(),
        types("t.even"),
        types("odd"),
        Filter { tenant: Some(Tenant::new("acme").unwrap()), ..Filter::default() },
    ];
    let paused = |(n, text): (usize, &String)| Destination {
        paused: Some("a test".into()),
        filters: Filters::always(wanted[n % 4].clone()).into(),
        ..of(text)
    };
    let settings = Settings { max_reads: MOST, window_events: 1, check_state: true, ..Settings::default() };
    let mut all: Vec<Destination> = behind.iter().enumerate().map(paused).collect();
    all.push(Destination { paused: Some("a test".into()), ..of("b:behind") });
    let mut world = World::with(settings, 1, all);
    for key in 1..=EVENTS {
        let key = u8::try_from(key).unwrap();
        world.append(key, key - 1);
        while world.work_once() {}
    }
    assert_eq!(of_lanes(&world), 0, "their windows are full, and nothing is read");
    // All of the one's go on at once. No read of theirs is answered, and time stands still.
    let go_on = |world: &mut World, names: Vec<&str>| {
        for destination in &mut world.destinations {
            if names.contains(&destination.name.as_str()) {
                destination.paused = None;
            }
        }
        let present = world.destinations.clone();
        world.input(Input::Destinations(DestinationChanges { present, ..DestinationChanges::default() }));
        while let Some(id) = world.attempts.keys().next().copied() {
            world.end_attempt(id, vec![Outcome::Delivered]);
        }
    };
    go_on(&mut world, behind.iter().map(String::as_str).collect());
    assert_eq!(of_lanes(&world), MOST, "who is alone has all that one may have");
    go_on(&mut world, vec!["b:behind"]);
    assert_eq!(of_lanes(&world), MOST + 1, "and who comes has its own at once");
    while world.work_once() {}
    let delivered = |name: &str| world.delivered.iter().filter(|(_, to, _)| to.as_str() == name).count();
    let came = (delivered("b:behind"), [0, 1, 2, 3].map(|n| delivered(&behind[n])));
    assert_eq!(came, (EVENTS, [EVENTS, EVENTS / 2, EVENTS / 2, EVENTS / 4]), "all come in, in the end");
}

/// All are one tenant's, or the operator's: of those that hang, one attempt each has failed.
#[test]
fn whoever_answers_does_not_wait_for_receivers_of_the_same_tenant_that_hang() {
    for whose in ["", "acme:"] {
        let hanging: Vec<String> = (0..20).map(|n| format!("{whose}hangs-{n}")).collect();
        let hanging: Vec<&str> = hanging.iter().map(String::as_str).collect();
        let works = format!("{whose}works");
        let all = hanging.iter().copied().chain([works.as_str()]).map(of).collect();
        let settings = Settings { max_attempts: MOST, check_state: true, ..Settings::default() };
        let mut world = World::with(settings, 1, all);
        world.append(0, 1);
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < hanging.len() {
            while world.work_once_but_for(&hanging) {}
            let (id, to) = world.attempts.iter().map(|(id, (to, ..))| (*id, to.clone())).next().unwrap();
            seen.insert(to);
            world.end_attempt(id, no_answer());
        }
        for n in 0..EVENTS {
            world.append(0, u8::try_from(n % 3).unwrap());
            // Time stands still: nothing is waited for but what is under way elsewhere.
            while world.work_once_but_for(&hanging) {}
            let delivered = world.delivered.iter().filter(|(_, to, _)| to.as_str() == works).count();
            assert_eq!(delivered, n + 2, "{works} has all that there is");
        }
        let in_flight = world.attempts.values().filter(|(to, ..)| hanging.contains(&to.as_str())).count();
        assert_eq!(in_flight, MOST, "and those that hang have what is left to them");
    }
}
