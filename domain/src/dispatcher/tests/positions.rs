//! Who holds the position back that lanes share, and for how long.

use super::fixtures::{PARTITION, name};
use super::world::{Op, World};
use crate::*;
use std::time::Duration;

const STRAGGLER_AFTER: Duration = Duration::from_secs(1);

/// Destinations that want everything from the beginning on, and some that want nothing.
fn world(busy: &[&str], idle: usize) -> World {
    let check_state = idle == 0; // It looks at every lane each time.
    let settings = Settings { straggler_after: STRAGGLER_AFTER, check_state, ..Settings::default() };
    let wants = |text: &str, pattern: &str| Destination {
        filters: Filters::always(Filter { types: vec![TypePattern::new(pattern).unwrap()], ..Filter::default() })
            .into(),
        from: StartFrom::Beginning,
        ..Destination::new(name(text))
    };
    let busy = busy.iter().map(|text| wants(text, "*"));
    let idle = (0..idle).map(|n| wants(&format!("idle-{n}"), "never"));
    let mut world = World::with(settings, 1, busy.chain(idle).collect());
    // The first commit makes all of them known.
    pass(&mut world, Duration::from_millis(25), &[]);
    world
}

/// Time passes; reads and commits are answered, and attempts succeed but for those at `hanging`.
fn pass(world: &mut World, time: Duration, hanging: &[&str]) {
    let until = world.now.after(time);
    while world.now < until {
        world.step(&Op::Wait(1));
        world.step(&Op::Renew);
        while world.work_once_but_for(hanging) {}
    }
}

fn position(world: &World, of: &str) -> Position {
    world.stored.lanes[&name(of)].position
}

#[test]
fn what_hangs_at_one_destination_is_repeated_at_no_other() {
    let mut world = world(&["healthy", "hanging"], 0);
    for key in 1..=9 {
        world.append(key, 0);
        // One commit may still be held back.
        pass(&mut world, Duration::from_millis(60), &["hanging"]);
        assert_eq!(position(&world, "healthy").offset(world.stored.scanned), world.end, "after event {key}");
        assert_eq!(position(&world, "hanging"), Position::At(Offset(0)));
    }
    let commits = world.commits_stored;
    pass(&mut world, Duration::from_millis(300), &["hanging"]);
    assert_eq!(world.commits_stored, commits, "nothing has changed");
    // Once it has caught up, one number says again where both are.
    pass(&mut world, Duration::from_millis(60), &[]);
    assert_eq!(position(&world, "hanging"), Position::Shared);
    assert_eq!(world.stored.scanned, world.end);
}

#[test]
fn one_that_is_alone_keeps_the_shared_position() {
    let mut world = world(&["hanging"], 0);
    world.append(1, 0);
    pass(&mut world, Duration::from_millis(300), &["hanging"]);
    assert_eq!((position(&world, "hanging"), world.stored.scanned), (Position::Shared, Offset(0)));
}

#[test]
fn a_commit_says_as_much_beside_a_hundred_idle_destinations_as_beside_none() {
    let lanes_in_commits = |idle: usize| {
        let mut world = world(&["healthy", "hanging"], idle);
        for key in 1..=9 {
            world.append(key, 0);
            pass(&mut world, Duration::from_millis(30), &["hanging"]);
        }
        world.lanes_in_commits
    };
    assert_eq!(lanes_in_commits(100) - 100, lanes_in_commits(0));
}

#[test]
fn one_that_has_always_kept_up_has_no_lane_in_memory_once_it_has_nothing_to_do() {
    let mut world = world(&["one", "other"], 0);
    let in_memory = |world: &World| {
        let owned = &world.dispatcher.partitions[&PARTITION];
        let indices = world.dispatcher.shared.destinations.present();
        indices.filter(|index| owned.lane(*index).is_some()).count()
    };
    for key in 1..=9 {
        world.append(key, 0);
        pass(&mut world, Duration::from_millis(100), &["other"]);
        assert_eq!(in_memory(&world), 1, "the one that hangs, after event {key}");
    }
    pass(&mut world, Duration::from_millis(100), &[]);
    assert_eq!((in_memory(&world), world.delivered.len()), (0, 18));
    let commits = world.commits_stored;
    pass(&mut world, Duration::from_millis(300), &[]);
    assert_eq!(world.commits_stored, commits, "nothing has changed");
}
