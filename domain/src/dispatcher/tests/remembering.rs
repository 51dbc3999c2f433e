//! What commits tell of attempts: what of, and whether at all.

use super::fixtures::{PARTITION, name};
use super::world::{Op, World};
use crate::destination::{Destination, StartFrom};
use crate::history::Fate;
use crate::io::Input;
use crate::outcome::Outcome;
use crate::partition::Offset;
use crate::settings::Settings;

fn world(history: bool, is_kept: bool) -> World {
    let one = Destination { from: StartFrom::Beginning, is_kept, ..Destination::new(name("one")) };
    World::with(Settings { history, check_state: true, ..Settings::default() }, 1, vec![one])
}

/// Time passes, and everything is answered. What is told meanwhile.
fn told(world: &mut World) -> Vec<(Offset, Fate)> {
    let mut told = Vec::new();
    for _ in 0..10 {
        loop {
            for history in world.commits.iter().filter_map(|commit| commit.history.as_ref()) {
                told.extend(history.told.iter().map(|of| (of.offset, of.fate)));
            }
            if let Some(commit) = world.commits.pop() {
                world.apply(&commit);
                world.input(Input::Committed(PARTITION));
            } else if !world.work_once() {
                break;
            }
        }
        world.renew();
        world.step(&Op::Wait(30));
    }
    told
}

#[test]
fn what_came_of_attempts_is_told_where_there_is_a_history_and_something_is_kept_of_the_destination() {
    for (history, is_kept, tells) in
        [(true, true, true), (true, false, false), (false, true, false), (false, false, false)]
    {
        let mut world = world(history, is_kept);
        world.append(1, 0);
        let told = told(&mut world);
        assert_eq!(world.delivered.len(), 1);
        assert_eq!(told, [(Offset(0), Fate::Delivered)][..usize::from(tells)], "{history} {is_kept}");
    }
}

#[test]
fn an_attempt_of_before_its_destination_went_back_is_told_as_one_that_counts_for_nothing() {
    let mut world = world(true, true);
    world.append(1, 0);
    while world.work_once_but_for(&["one"]) {}
    world.go_back(&name("one"), Offset(0));
    let before = *world.attempts.keys().next().expect("it is in flight");
    world.end_attempt(before, vec![Outcome::Delivered]);
    assert_eq!(told(&mut world), [(Offset(0), Fate::Waits), (Offset(0), Fate::Delivered)]);
}
