//! What Laneway itself pauses is stored, whoever has met the reason.

use super::fixtures::name;
use super::world::{Op, World};
use crate::destination::{Destination, StartFrom};
use crate::io::Input;
use crate::outcome::Outcome;
use crate::settings::Settings;

/// A destination with an attempt in flight, and everything else answered.
fn in_flight() -> World {
    let one = Destination { from: StartFrom::Beginning, ..Destination::new(name("one")) };
    let mut world = World::with(Settings { check_state: true, ..Settings::default() }, 1, vec![one]);
    world.append(1, 0);
    settle(&mut world);
    assert_eq!(world.attempts.len(), 1);
    world
}

/// Time passes, and everything is answered but attempts.
fn settle(world: &mut World) {
    for _ in 0..10 {
        while world.work_once_but_for(&["one"]) {}
        world.renew();
        world.step(&Op::Wait(30));
    }
}

/// The attempt that began first says that the receiver is gone.
fn is_gone(world: &mut World) {
    let first = *world.attempts.keys().next().expect("one is in flight");
    world.end_attempt(first, vec![Outcome::Gone { reason: "410".into() }]);
}

fn stored(world: &World) -> Option<&str> {
    world.stored.lanes[&name("one")].paused.as_ref().map(|pause| &*pause.reason)
}

#[test]
fn a_pause_is_stored_and_stands_after_a_restart_until_it_is_ended() {
    let mut world = in_flight();
    is_gone(&mut world);
    settle(&mut world);
    assert_eq!(stored(&world), Some("410"));
    world.crash();
    settle(&mut world);
    let paused = |world: &World| world.dispatcher.status(world.now).destinations[0].paused.clone();
    assert_eq!((paused(&world).as_deref(), world.attempts.len()), (Some("410"), 0));
    let resume = crate::status::Command::Resume { destination: name("one") };
    assert!(world.command(resume.clone()));
    settle(&mut world);
    assert_eq!((paused(&world), stored(&world), world.attempts.len()), (None, None, 1));
    assert!(!world.command(resume), "it is not paused");
}

#[test]
fn a_pause_that_an_attempt_of_an_earlier_ownership_brings_is_stored_though_nothing_else_happens() {
    let mut world = in_flight();
    world.input(Input::LeaseLost(super::fixtures::PARTITION));
    world.claim();
    settle(&mut world);
    assert_eq!(world.attempts.len(), 2, "the next owner makes it again");
    let commits = world.commits_stored;
    settle(&mut world);
    assert_eq!(world.commits_stored, commits, "nothing has changed");
    is_gone(&mut world);
    settle(&mut world);
    assert_eq!(stored(&world), Some("410"));
}
