//! Replays beside what is live: each has every effect of a key once more, in order, whatever is repeated.

use super::*;
use proptest::prelude::*;

const EVENTS: u64 = 8;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next live event is attempted; whether it is answered.
    Live(bool),
    /// A replay of what was settled begins, from this part of it on. One that runs ends.
    Replay(u64),
    /// The next event of the replay is attempted.
    Replayed(bool),
    /// Whoever sends commits: a crash goes back no further.
    Commit,
    Crash(u64),
    /// A request of before arrives late.
    Late(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Live),
        1 => any::<u64>().prop_map(Step::Replay),
        5 => any::<bool>().prop_map(Step::Replayed),
        2 => Just(Step::Commit),
        1 => any::<u64>().prop_map(Step::Crash),
        2 => any::<usize>().prop_map(Step::Late),
    ]
}

/// A replay as its sender has it.
#[derive(Clone, Copy)]
struct Running {
    number: u64,
    next: u64,
    committed: u64,
    until: u64,
}

#[derive(Default)]
struct World {
    seen: LastSeen,
    /// Every request that was ever made.
    sent: Vec<(u64, Occasion)>,
    /// The effects, of what is live and of each replay.
    live: Vec<u64>,
    replays: Vec<(u64, u64, Vec<u64>)>,
    next: u64,
    committed: u64,
    running: Option<Running>,
}

impl World {
    fn arrives(&mut self, event: u64, occasion: Occasion) {
        let sequence = Sequence { partition: Partition(0), offset: Offset(event * 10) };
        if !self.seen.is_new(sequence, occasion) {
            return;
        }
        match occasion {
            Occasion::Replay(number) => {
                let of = self.replays.iter_mut().find(|(of, ..)| *of == number);
                of.expect("it has begun").2.push(event);
            }
            _ => self.live.push(event),
        }
    }

    fn send(&mut self, event: u64, occasion: Occasion) {
        self.sent.push((event, occasion));
        self.arrives(event, occasion);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Live(answered) if self.next < EVENTS => {
                self.send(self.next, Occasion::Live);
                self.next += u64::from(answered);
            }
            Step::Live(_) => {}
            Step::Replay(from) => {
                while self.running.is_some() {
                    self.step(Step::Replayed(true));
                }
                // It begins when its record is stored, with what is settled.
                self.step(Step::Commit);
                let from = if self.next == 0 { 0 } else { from % self.next };
                // The log's end, and larger than the last one.
                let last = self.replays.last().map_or(0, |(number, ..)| number + 1);
                let number = (self.next * 10).max(last);
                self.replays.push((number, from, Vec::new()));
                self.running = Some(Running { number, next: from, committed: from, until: self.next });
            }
            Step::Replayed(answered) => {
                let Some(mut running) = self.running else { return };
                if running.next == running.until {
                    self.running = None;
                    return;
                }
                self.send(running.next, Occasion::Replay(running.number));
                running.next += u64::from(answered);
                self.running = Some(running);
            }
            Step::Commit => {
                self.committed = self.next;
                self.running = self.running.map(|running| Running { committed: running.next, ..running });
            }
            Step::Crash(back) => {
                self.next -= back % (self.next - self.committed + 1);
                if let Some(running) = &mut self.running {
                    running.next -= back % (running.next - running.committed + 1);
                }
            }
            Step::Late(which) if !self.sent.is_empty() => {
                let (event, occasion) = self.sent[which % self.sent.len()];
                self.arrives(event, occasion);
            }
            Step::Late(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn each_replay_has_every_effect_once_more_and_in_order(steps in prop::collection::vec(step(), 0..150)) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
        }
        while world.next < EVENTS {
            world.step(Step::Live(true));
        }
        while world.running.is_some() {
            world.step(Step::Replayed(true));
        }
        prop_assert_eq!(&world.live, &(0..EVENTS).collect::<Vec<_>>());
        for (number, from, effects) in &world.replays {
            let expected: Vec<u64> = (*from..).take(effects.len()).collect();
            prop_assert_eq!(effects, &expected, "replay {}", number);
        }
    }
}

#[test]
fn a_recovery_of_two_to_five_is_taken_whole_and_what_is_live_goes_on() {
    let at = |offset| Sequence { partition: Partition(0), offset: Offset(offset) };
    let mut seen = LastSeen::default();
    // Event 2 became a dead letter; then 3, 4 and 5 were delivered.
    for live in [1, 3, 4, 5] {
        assert!(seen.is_new(at(live), Occasion::Live), "{live}");
    }
    for replayed in 2..=5 {
        assert!(seen.is_new(at(replayed), Occasion::Replay(6)), "{replayed}");
        assert!(!seen.is_new(at(replayed), Occasion::Replay(6)), "{replayed} again");
    }
    assert!(!seen.is_new(at(5), Occasion::Live), "it was here before the recovery");
    assert!(seen.is_new(at(6), Occasion::Live));
    assert!(!seen.is_new(at(3), Occasion::Replay(6)), "late, of a replay that is over");
    assert!(seen.is_new(at(3), Occasion::Replay(7)), "another replay");
    let stored = LastSeen::stored(seen.number(), seen.replayed());
    assert_eq!(stored, seen);
    assert_eq!(seen.replayed(), Some(LastReplayed { replay: 7, number: 3 }));
}
