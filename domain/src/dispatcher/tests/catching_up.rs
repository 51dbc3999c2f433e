//! Lanes that are behind read together.

use super::fixtures::name;
use super::world::World;
use crate::*;
use std::collections::BTreeSet;

const LANES: usize = 40;
const EVENTS: usize = 160;
const READ: usize = 8;

fn set_paused(world: &mut World, which: impl Fn(&str) -> bool, paused: Option<&str>) {
    for destination in world.destinations.iter_mut().filter(|destination| which(destination.name.as_str())) {
        destination.paused = paused.map(Into::into);
    }
    let present = world.destinations.clone();
    world.input(Input::Destinations(DestinationChanges { present, ..DestinationChanges::default() }));
}

/// Works until nothing is left to do, and returns how many reads that took.
fn reads(world: &mut World) -> usize {
    let mut reads = 0;
    loop {
        reads += usize::from(!world.reads.is_empty());
        if !world.work_once() {
            return reads;
        }
    }
}

#[test]
fn a_log_is_not_read_anew_for_each_of_the_lanes_that_are_behind() {
    for tenants in [1, 4] {
        let names: Vec<String> = (0..LANES).map(|n| format!("t{}:d{n}", n % tenants)).collect();
        let of = |text: &String| Destination { from: StartFrom::Beginning, ..Destination::new(name(text)) };
        let narrow = Settings { read_events: READ, window_events: 1, history: false, ..Settings::default() };
        let mut world = World::with(narrow, 1, names.iter().map(of).collect());
        // Each is paused after another event, and so has stopped at another one.
        for n in 0..EVENTS {
            world.append(u8::try_from(n % 200).unwrap(), 0);
            reads(&mut world);
            if let Some(stops) = names.get(n) {
                set_paused(&mut world, |name| name == stops, Some("a test"));
            }
        }
        // As after a restart: they find room for all that waits, and so what they read is all that counts.
        world.settings.window_events = 2 * EVENTS;
        world.crash();
        reads(&mut world);
        set_paused(&mut world, |_| true, None);
        let reads = reads(&mut world);
        let delivered = world.delivered.iter().map(|(_, to, offset)| (to, offset)).collect::<BTreeSet<_>>();
        assert_eq!(delivered.len(), EVENTS * LANES, "every destination has had all of it");
        let (once, each) = (EVENTS / READ, EVENTS / READ * LANES);
        // Those that were asked for before they met may come in vain; and each tenant asks for itself.
        let most = tenants * (2 * once + LANES);
        assert!(reads <= most, "{reads} reads, where {once} read all, and {each} all of it for each");
    }
}

/// Who asked goes away, and another one waits for the same read.
#[test]
fn a_read_that_several_wait_for_comes_although_the_one_who_asked_has_gone() {
    let of = |text: &str| Destination { from: StartFrom::Beginning, ..Destination::new(name(text)) };
    let settings = Settings { window_events: 1, check_state: true, ..Settings::default() };
    let mut world = World::with(settings, 1, vec![of("asks"), of("stays")]);
    set_paused(&mut world, |_| true, Some("a test"));
    for n in 0..5 {
        world.append(n, 0);
        reads(&mut world);
    }
    set_paused(&mut world, |_| true, None);
    // Each has one event on track, of which the attempt ends: then both are to read on, from the same place.
    while let Some(id) = world.attempts.keys().next().copied() {
        world.end_attempt(id, vec![Outcome::Delivered]);
    }
    assert_eq!(world.reads.len(), 1, "both wait for one read");
    let left = vec![name("asks")];
    world.destinations.retain(|destination| destination.name != left[0]);
    world.input(Input::Destinations(DestinationChanges { left, ..DestinationChanges::default() }));
    reads(&mut world);
    let stays = world.delivered.iter().filter(|(_, to, _)| to.as_str() == "stays").count();
    assert_eq!(stays, 5, "who is left has had all");
}
