//! What the property test has found, as it was found: each of these failed once.

use super::world::{Op, World};
use crate::Settings;
use std::time::Duration;

fn settings(window: usize, per_key: usize, behind: usize, read: usize) -> Settings {
    Settings {
        straggler_after: Duration::from_millis(100),
        commit_interval: Duration::from_millis(25),
        commit_settlements: 1,
        max_uncommitted: 3,
        commit_dead_letter_bytes: 700,
        window_events: window,
        window_bytes: 600 * window,
        window_events_per_key: per_key,
        max_behind: behind,
        waiting_per_key: 1,
        waiting_total: 2,
        read_events: read,
        read_bytes: 1 << 20,
        expire_every: Duration::from_secs(1),
        expire_ahead: Duration::from_secs(1),
        expire_keys: 1,
        max_attempts: 8192,
        max_reads: 32,
        history: true,
        check_state: true,
    }
}

fn replay(settings: Settings, seed: u64, ops: &[Op]) {
    let mut world = World::new(settings, seed);
    for op in ops {
        world.step(op);
    }
    world.heal_and_finish();
}

const fn append(count: u8) -> Op {
    Op::Append { key: 0, count }
}

const fn end(which: u64, outcome: u8) -> Op {
    Op::End { which, outcome }
}

const fn store(answer: u8) -> Op {
    Op::Store { which: 0, answer }
}

#[test]
fn a_destination_that_left_says_gone() {
    let ops = [
        append(1),
        Op::Answer(0),
        Op::Reconfigure(4),
        Op::LoseWrites(0),
        end(0, 4),
        Op::Release,
        Op::Answer(0),
        store(3),
        store(3),
        append(1),
        append(1),
        append(1),
    ];
    replay(settings(1, 1, 1, 1), 0, &ops);
}

#[test]
fn a_key_catches_up_and_its_destination_leaves() {
    let ops = [
        append(2),
        end(0, 0),
        Op::Answer(0),
        end(0, 3),
        Op::Answer(0),
        end(12_297_829_382_473_034_411, 3),
        Op::Release,
        end(0, 0),
        append(1),
        store(3),
        store(0),
        append(1),
        append(1),
        append(1),
        Op::Wait(17),
        append(1),
        append(1),
        append(1),
        Op::LoseWrites(0),
        Op::Operate { which: 0, skip: true },
        Op::Answer(0),
        Op::Reconfigure(12),
    ];
    replay(settings(1, 1, 1, 1), 899_605_027_373_891_210, &ops);
}

#[test]
fn a_lane_is_ahead_of_the_shared_reader() {
    let mut ops = vec![Op::Append { key: 3, count: 2 }];
    ops.extend((0..11).map(|_| append(1)));
    ops.extend([
        Op::Crash,
        store(0),
        Op::Wait(250),
        Op::Reconfigure(10),
        Op::Answer(0),
        end(1 << 63, 5),
        Op::Wait(110),
        Op::Answer(6_148_914_691_236_517_206),
        append(1),
        Op::Reconfigure(4),
        Op::Answer(0),
        end(13_835_058_055_282_163_712, 0),
        Op::Store { which: 1 << 62, answer: 0 },
    ]);
    replay(settings(3, 2, 2, 4), 0, &ops);
}

#[test]
fn a_dead_letter_is_retried_whose_record_the_store_lost() {
    let ops = [
        append(1),
        Op::Answer(0),
        end(12_297_829_382_473_034_411, 3),
        store(2),
        append(1),
        end(0, 0),
        Op::Crash,
        append(1),
        append(1),
        append(1),
        store(0),
        Op::RetryDeadLetter(0),
        store(0),
        Op::LoseWrites(13_835_058_055_282_163_712),
        Op::Answer(1 << 63),
        end(0, 5),
        Op::Reconfigure(0),
        Op::RetryDeadLetter(0),
        Op::Answer(1 << 63),
        Op::Wait(25),
        store(2),
        Op::Reconfigure(0),
        Op::Release,
    ];
    replay(settings(1, 1, 1, 1), 0, &ops);
}

#[test]
fn a_replay_of_what_a_key_had_settled_ahead_of_its_lane() {
    let mut ops = vec![
        Op::Append { key: 1, count: 3 },
        Op::Answer(1_404_572_897_606_034_587),
        end(0, 5),
        append(1),
        end(0, 4),
        end(0, 5),
        Op::Answer(0),
        end(0, 3),
        store(2),
        append(1),
        Op::Reconfigure(4),
    ];
    ops.extend(std::iter::repeat_n(append(1), 6));
    ops.push(Op::LoseWrites(0));
    ops.extend(std::iter::repeat_n(append(1), 6));
    ops.push(Op::Reconfigure(8));
    ops.extend(std::iter::repeat_n(append(1), 3));
    ops.push(Op::Replay { destination: 0, from: 0 });
    let settings = Settings { commit_settlements: 3, max_uncommitted: 9, ..settings(6, 1, 2, 2) };
    replay(settings, 0, &ops);
}

/// It was the test that told them apart wrongly.
#[test]
fn attempts_of_a_lane_and_of_a_former_one_end_alike() {
    let ops = [
        Op::AppendUnheard(162),
        Op::Reconfigure(4),
        append(1),
        Op::Replay { destination: 0, from: 0 },
        Op::Renew,
        append(1),
        Op::Answer(0),
        Op::Answer(0),
        end(0, 6),
        end(0, 0),
        Op::Reconfigure(12),
        end(0, 0),
        end(0, 6),
    ];
    replay(Settings { commit_dead_letter_bytes: 1, ..settings(2, 1, 1, 1) }, 0, &ops);
}

/// A destination goes back as a whole while the commit that begins a replay of it is on its way.
#[test]
fn a_destination_goes_back_before_its_replay_is_stored() {
    let wish = super::replaying::Wish::of_all(207);
    let ops = [
        append(1),
        Op::Change { which: 0, change: super::changing::Change::Put(2) },
        Op::Answer(0),
        end(12_297_829_382_473_034_411, 3),
        Op::Answer(0),
        store(3),
        append(2),
        append(1),
        append(1),
        Op::BeginReplay(wish),
        Op::RetryDeadLetter(0),
        Op::Wait(25),
        Op::Replay { destination: 86, from: 0 },
    ];
    let settings =
        Settings { commit_settlements: 2, max_uncommitted: 6, commit_dead_letter_bytes: 357, ..settings(3, 1, 1, 2) };
    replay(settings, 0, &ops);
}

/// A replay is asked for while the destination goes back as a whole, which is not stored yet: nothing of it is settled.
#[test]
fn a_replay_is_asked_for_while_its_destination_goes_back() {
    let ops = [
        Op::Append { key: 1, count: 4 },
        append(1),
        Op::Answer(0),
        end(0, 0),
        end(0, 0),
        Op::Wait(8),
        append(2),
        append(1),
        append(1),
        store(1),
        append(1),
        end(0, 0),
        Op::Answer(0),
        Op::Wait(17),
        store(2),
        Op::Replay { destination: 0, from: 0 },
        append(1),
        append(1),
        Op::Crash,
        Op::Reconfigure(40),
        Op::Replay { destination: 212, from: 0 },
        append(1),
        append(1),
        Op::BeginReplay(super::replaying::Wish::of_all(40).before_all()),
        append(1),
        append(1),
    ];
    let (expire_every, expire_ahead) = (Duration::from_millis(20), Duration::from_millis(100));
    let settings =
        Settings { commit_dead_letter_bytes: 1, expire_every, expire_ahead, expire_keys: 2, ..settings(1, 1, 1, 1) };
    replay(settings, 0, &ops);
}

/// Two replays are called off of which one waits for its turn to read: nothing is read for it.
#[test]
fn what_is_called_off_before_its_turn_is_not_read() {
    let wish = || super::replaying::Wish::of_all(0);
    let ops = [
        append(4),
        Op::Answer(0),
        append(5),
        Op::Release,
        append(1),
        store(3),
        append(3),
        store(2),
        append(1),
        Op::Crash,
        append(1),
        Op::Answer(0),
        Op::BeginReplay(wish()),
        Op::BeginReplay(wish().named(2)),
        append(2),
        Op::Release,
        store(3),
        Op::Crash,
        Op::CancelReplay { destination: 0, id: 0 },
        Op::Wait(25),
        store(3),
        Op::CancelReplay { destination: 0, id: 2 },
        Op::Wait(25),
        store(2),
    ];
    replay(Settings { commit_settlements: 2, check_state: true, ..Settings::default() }, 0, &ops);
}

/// The last one that took what the shared reader reads is deleted. One that is ahead of that reader had waited for it.
#[test]
fn one_ahead_of_the_shared_reader_goes_on_when_nobody_else_needs_it() {
    use super::changing::Change::{Delete, Put};
    let of = |key, count| Op::Append { key, count };
    let ops = [
        Op::Change { which: 0, change: Put(2) },
        of(4, 2),
        of(2, 3),
        of(3, 5),
        of(3, 3),
        Op::AppendUnheard(229),
        Op::AppendUnheard(206),
        of(1, 4),
        end(5_233_052_008_980_488_461, 5),
        Op::Trim,
        append(5),
        Op::Answer(3_359_262_242_614_834_051),
        Op::LoseWrites(7_908_169_553_057_519_758),
        Op::LoseWrites(11_393_554_781_134_340_571),
        of(3, 1),
        Op::LoseWrites(14_005_072_306_196_805_499),
        Op::Answer(7_534_690_747_407_016_221),
        store(5),
        Op::Crash,
        Op::Change { which: 1, change: Put(2) },
        of(3, 3),
        Op::Answer(408_196_047_454_773_928),
        Op::Answer(16_447_413_206_995_092_583),
        Op::Answer(906_385_375_099_348_199),
        Op::Answer(9_149_655_828_024_630_417),
        end(16_876_611_603_164_821_107, 8),
        Op::Answer(3_316_971_419_317_445_381),
        Op::Answer(16_237_908_005_398_184_477),
        Op::Change { which: 1, change: Delete },
    ];
    let settings = Settings {
        window_bytes: 1200,
        commit_settlements: 4,
        max_uncommitted: 12,
        max_attempts: 2,
        max_reads: 2,
        ..settings(2, 2, 1, 4)
    };
    replay(settings, 11_592_927_182_012_659_854, &ops);
}
