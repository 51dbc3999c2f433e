//! G4: a failing key changes nothing for the others.

use super::fixtures::{destinations, name};
use super::world::World;
use crate::*;
use proptest::prelude::*;
use std::time::Duration;

/// Attempts of the other keys, with `poisoned` events (never delivered) among them or left out.
fn attempts_of_others(keys: &[u8], poisoned: bool, crashes: &[usize]) -> Vec<(Timestamp, String)> {
    let settings = Settings { commit_settlements: 1, check_state: true, ..Settings::default() };
    let by_key = destinations(0).into_iter().filter(|d| d.name == name("by-key")).collect();
    let mut world = World::with(settings, 7, by_key);
    let mut others = Vec::new();
    let mut ids = std::collections::BTreeMap::new();
    for (n, key) in keys.iter().enumerate() {
        if poisoned || *key != 1 {
            ids.insert(world.log.len() as u64, (n, *key));
            world.append(*key, 0);
        }
        settle_all(&mut world, &ids);
        if crashes.contains(&n) {
            world.crash();
            settle_all(&mut world, &ids);
        }
        world.now = world.now.after(Duration::from_millis(7));
        world.step(&super::Op::Renew);
        world.step(&super::Op::Wait(0));
        settle_all(&mut world, &ids);
    }
    for (at, _, offset) in &world.started {
        let (n, key) = ids[&offset.0];
        if key != 1 {
            others.push((*at, format!("event {n} of key {key}")));
        }
    }
    others
}

/// Ends everything that is under way: key 1 fails, the others succeed.
fn settle_all(world: &mut World, ids: &std::collections::BTreeMap<u64, (usize, u8)>) {
    loop {
        while let Some(id) =
            world.attempts.iter().find(|(_, (_, events, _))| ids[&events[0].event.offset.0].1 == 1).map(|(id, _)| *id)
        {
            world.end_attempt(id, vec![Outcome::retry(Cause::Refused, "poison".into())]);
        }
        if !world.work_once() {
            break;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn one_blocked_key_leaves_all_other_attempts_exactly_as_they_were(
        keys in prop::collection::vec(1_u8..6, 1..120),
        crashes in prop::collection::vec(0_usize..120, 0..3),
    ) {
        prop_assert_eq!(attempts_of_others(&keys, true, &crashes), attempts_of_others(&keys, false, &crashes));
    }
}

/// Lanes come and go with what they have to do.
#[test]
fn a_lane_is_made_without_a_look_at_what_is_in_flight_elsewhere() {
    let wants = |text: &str, types: &str| Destination {
        from: StartFrom::Beginning,
        filters: Filters::always(Filter { types: vec![TypePattern::new(types).unwrap()], ..Filter::default() }).into(),
        ..Destination::new(name(text))
    };
    let mut all: Vec<_> = (0..20).map(|n| wants(&format!("works-{n}"), "odd")).collect();
    all.push(wants("hangs", "t.*"));
    let mut world = World::with(Settings::default(), 1, all);
    let work = |world: &mut World| while world.work_once_but_for(&["hangs"]) {};
    for _ in 0..60 {
        world.append(0, 0);
        work(&mut world);
    }
    let before = (world.attempts.len(), world.dispatcher.shared.attempts.looked_at.get());
    world.append(0, 1);
    work(&mut world);
    assert_eq!(world.delivered.len(), 20);
    assert_eq!(before, (60, world.dispatcher.shared.attempts.looked_at.get()), "attempts that were looked at");
}
