//! The dispatcher against a naive model of what it must and must not do.

mod again;
mod aging;
mod asking;
mod bounds;
mod catching_up;
mod changing;
mod checks;
mod claiming;
mod commands;
mod deleting;
mod down;
mod ending;
mod endings;
mod ends;
mod expiring;
mod fixtures;
mod isolation;
mod joining;
mod keeping;
mod losing;
mod passing;
mod pausing;
mod polling;
mod positions;
mod refiltering;
mod remembering;
mod replaying;
mod replays;
mod scanning;
mod scenarios;
mod sharing;
mod status;
mod storing;
mod surveying;
mod telling;
mod turns;
mod weighing;
mod world;
mod yielding;

use super::*;
use proptest::prelude::*;
use world::{Op, World};

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (0_u8..5, 1_u8..6).prop_map(|(key, count)| Op::Append { key, count }),
        2 => any::<u8>().prop_map(Op::AppendUnheard),
        1 => Just(Op::Trim),
        12 => (any::<u64>(), 0_u8..14).prop_map(|(which, outcome)| Op::End { which, outcome }),
        4 => any::<u64>().prop_map(Op::Answer),
        3 => (any::<u64>(), 0_u8..8).prop_map(|(which, answer)| Op::Store { which, answer }),
        4 => (0_u16..400).prop_map(Op::Wait),
        1 => Just(Op::Crash),
        1 => (0_u8..16).prop_map(Op::Reconfigure),
        1 => any::<u64>().prop_map(Op::RetryDeadLetter),
        1 => (any::<u64>(), any::<bool>()).prop_map(|(which, skip)| Op::Operate { which, skip }),
        1 => Just(Op::Release),
        3 => Just(Op::Renew),
        1 => any::<u64>().prop_map(Op::LoseWrites),
        1 => (any::<u8>(), any::<u64>()).prop_map(|(destination, from)| Op::Replay { destination, from }),
        2 => replaying::wishes().prop_map(Op::BeginReplay),
        1 => (any::<u8>(), 0_u8..4).prop_map(|(destination, id)| Op::CancelReplay { destination, id }),
        3 => (0_usize..3, changing::changes()).prop_map(|(which, change)| Op::Change { which, change }),
    ];
    prop::collection::vec(op, 1..250)
}

fn tight_settings() -> impl Strategy<Value = Settings> {
    (1_usize..8, 1_usize..4, 1_usize..5, 1_usize..4, 1_usize..6, 1_usize..5, 1_usize..2_000).prop_map(
        |(window, per_key, behind, waiting, read, settlements, letters)| Settings {
            straggler_after: std::time::Duration::from_millis(100),
            commit_interval: std::time::Duration::from_millis(25),
            commit_settlements: settlements,
            max_uncommitted: settlements * 3,
            commit_dead_letter_bytes: letters,
            window_events: window,
            window_bytes: 600 * window,
            window_events_per_key: per_key,
            max_behind: behind,
            waiting_per_key: waiting,
            waiting_total: waiting * 2,
            read_events: read,
            read_bytes: 1 << 20,
            expire_every: std::time::Duration::from_millis(20),
            expire_ahead: std::time::Duration::from_millis(100),
            expire_keys: 2,
            max_attempts: behind + 1,
            max_reads: per_key,
            history: true,
            check_state: true,
        },
    )
}

proptest! {
    #![proptest_config(config(cases()))]

    /// G2, G3, G6: any order of outcomes, answers, failures, crashes and commands. The world checks
    /// after each step; here everything must come to its end once the destinations are well.
    #[test]
    fn every_event_ends_settled_in_order_whatever_happens(ops in ops(), settings in tight_settings(), seed: u64) {
        let mut world = World::new(settings, seed);
        for op in &ops {
            world.step(op);
        }
        world.heal_and_finish();
    }
}

proptest! {
    #![proptest_config(config(cases()))]

    /// The same, where waiting has a limit, which comes and goes: what has waited for so long may expire, and nothing else,
    /// and no less is counted.
    #[test]
    fn every_event_ends_settled_in_order_also_where_waiting_has_a_limit(
        ops in ops_of_waiting(), settings in tight_settings(), at_first in 0_u8..64, in_the_end in 0_u8..4, seed: u64,
    ) {
        let mut world = World::with(settings, seed, fixtures::destinations(at_first));
        world.in_the_end = in_the_end * fixtures::AGED;
        for op in &ops {
            world.step(op);
        }
        world.heal_and_finish();
    }
}

proptest! {
    #![proptest_config(config(cases() / 3))]

    /// The same, where a tenant is deleted at some moment: nothing of it is attempted after, nothing of it holds anything
    /// up, and everybody else's events end as ever.
    #[test]
    fn every_event_ends_settled_in_order_also_where_a_tenant_is_deleted(
        ops in ops(), settings in tight_settings(), at: prop::sample::Index, seed: u64,
    ) {
        let mut world = World::new(settings, seed);
        let at = at.index(ops.len());
        for (n, op) in ops.iter().enumerate() {
            if n == at {
                world.delete_tenant();
            }
            world.step(op);
        }
        world.heal_and_finish();
    }
}

/// More waiting and fewer changes than in [`ops`], and limits that come and go.
fn ops_of_waiting() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (0_u8..5, 1_u8..6).prop_map(|(key, count)| Op::Append { key, count }),
        12 => (any::<u64>(), 0_u8..14).prop_map(|(which, outcome)| Op::End { which, outcome }),
        8 => any::<u64>().prop_map(Op::Answer),
        5 => (any::<u64>(), 0_u8..8).prop_map(|(which, answer)| Op::Store { which, answer }),
        6 => (0_u16..200).prop_map(Op::Wait),
        1 => Just(Op::Crash),
        2 => (0_u8..64).prop_map(Op::Reconfigure),
        1 => any::<u64>().prop_map(Op::RetryDeadLetter),
        1 => (any::<u64>(), any::<bool>()).prop_map(|(which, skip)| Op::Operate { which, skip }),
        1 => Just(Op::Release),
        4 => Just(Op::Renew),
        1 => any::<u64>().prop_map(Op::LoseWrites),
        1 => (any::<u8>(), any::<u64>()).prop_map(|(destination, from)| Op::Replay { destination, from }),
        1 => replaying::wishes().prop_map(Op::BeginReplay),
    ];
    prop::collection::vec(op, 1..250)
}

proptest! {
    #![proptest_config(config(cases()))]

    /// The same, of many replays at one destination.
    #[test]
    fn replays_that_meet_deliver_what_each_has_to(ops in ops_of_replays(), seed: u64) {
        let settings = Settings { commit_settlements: 2, check_state: true, ..Settings::default() };
        let mut world = World::new(settings, seed);
        for op in &ops {
            world.step(op);
        }
        world.heal_and_finish();
    }
}

/// Replays of few keys, of which many meet: of most of what can happen else, [`ops`] has enough.
fn ops_of_replays() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (1_u8..4, 1_u8..4).prop_map(|(key, count)| Op::Append { key, count }),
        12 => (any::<u64>(), prop_oneof![1 => 0_u8..9, 3 => Just(9_u8)])
            .prop_map(|(which, outcome)| Op::End { which, outcome }),
        10 => any::<u64>().prop_map(Op::Answer),
        8 => (any::<u64>(), prop_oneof![1 => 0_u8..3, 5 => Just(3_u8)])
            .prop_map(|(which, answer)| Op::Store { which, answer }),
        4 => (0_u16..120).prop_map(Op::Wait),
        4 => Just(Op::Renew),
        1 => Just(Op::Crash),
        1 => Just(Op::Release),
        4 => replaying::wishes().prop_map(|wish| Op::BeginReplay(wish.of_few())),
        1 => (0_u8..4).prop_map(|id| Op::CancelReplay { destination: 0, id }),
    ];
    prop::collection::vec(op, 50..300)
}

/// A failure is shrunk for two minutes at most, or whoever waits for the tests would never hear of it.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, max_shrink_time: 120_000, ..ProptestConfig::default() }
}

/// How many worlds each property goes through: others with each run, so that few at a time become many. More with
/// `PROPTEST_CASES`, which `tests/run --cases` and `tests/mutants` set.
fn cases() -> u32 {
    #[allow(clippy::disallowed_methods)]
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    asked.unwrap_or(150)
}
