//! Whatever is committed, asked for, forgotten and trimmed: the store answers as the reference does.

use crate::support::{new_store, open};
use laneway_domain::{
    Behind, Commit, Cut, DestinationName, EventId, Expiry, Failure, GivenUp, Key, LaneChange, LaneKey, Offset,
    Partition, Pause, Position, Quarantined, Redriven, ReplayChange, ReplayId, ReplayMark, ReplaySpec, RetryState,
    Revision, Timestamp, TypePattern,
};
use laneway_memory::{Disk, MemoryStore, Settings};
use laneway_ports::{DeadLetterQuery, Lease, MAX_REVISION, Selection, Store, WorkerId};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use std::time::Duration;

const P: Partition = Partition(0);
/// Events in the partition: few, so that offsets, keys and dead letters meet.
const EVENTS: u64 = 12;
const NAMES: [&str; 4] = ["a", "b.c", "d-1", "a.b"];

#[derive(Clone, Debug)]
enum Step {
    Commit(Commit),
    CommitAgain,
    Retry(Selection),
    Discard(Selection),
    Forget(DestinationName),
    Trim(usize),
}

fn name() -> impl Strategy<Value = DestinationName> {
    prop::sample::select(&NAMES[..]).prop_map(|name| DestinationName::new(name).unwrap())
}

fn lane_key() -> impl Strategy<Value = LaneKey> {
    prop_oneof![
        Just(LaneKey::All),
        (0..EVENTS).prop_map(|offset| LaneKey::Event(Offset(offset))),
        prop::sample::select(&["k0", "shared", "-", "a b:c\"ü", "event:3"][..])
            .prop_map(|key| LaneKey::Key(Key::new(key).unwrap())),
    ]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<u64>(), Just(u64::MAX), 0..9_u64].prop_map(Timestamp::from_millis)
}

fn failure() -> impl Strategy<Value = Failure> {
    let status = prop_oneof![Just(None), Just(Some(422)), Just(Some(500))];
    (moment(), any::<String>(), status).prop_map(|(at, reason, status)| Failure::new(at, &reason).answered(status))
}

fn retry_state() -> impl Strategy<Value = RetryState> {
    (any::<u32>(), moment(), moment(), vec(failure(), 0..=5)).prop_map(
        |(attempts, first_failure, next_attempt, history)| RetryState {
            attempts,
            first_failure,
            next_attempt: next_attempt.into(),
            history,
        },
    )
}

fn behind() -> impl Strategy<Value = Behind> {
    (0..EVENTS, option::of(retry_state())).prop_map(|(offset, retry)| Behind { offset: Offset(offset), retry })
}

fn change() -> impl Strategy<Value = LaneChange> {
    let position = prop_oneof![Just(Position::Shared), (0..=EVENTS).prop_map(|offset| Position::At(Offset(offset)))];
    let pause = (moment(), any::<String>()).prop_map(|(since, reason)| Pause { since, reason: reason.into() });
    let behind = btree_map(lane_key(), option::of(behind()), 0..5);
    let born = option::weighted(0.3, (0..=MAX_REVISION.0).prop_map(Revision));
    let id = prop::sample::select(&["a", "a-1", "A.b"][..]).prop_map(|id| ReplayId::new(id).unwrap());
    let replays = btree_map(id, option::weighted(0.8, replay()), 0..3);
    let expiry = (any::<u64>(), 0..=EVENTS, moment()).prop_map(|(expired, below, again_since)| Expiry {
        expired,
        again_below: Offset(below),
        again_since,
    });
    (born, option::of(position), option::of(option::of(pause)), behind, replays, option::weighted(0.4, expiry))
        .prop_map(|(born, position, paused, behind, replays, expiry)| LaneChange {
            born,
            position,
            paused,
            behind,
            replays,
            expiry,
        })
}

fn replay() -> impl Strategy<Value = ReplayChange> {
    let spec =
        (moment(), 0..=EVENTS, 0..=EVENTS, any::<bool>()).prop_map(|(asked_at, from, until, first)| ReplaySpec {
            asked_at,
            from: Offset(from),
            until: Offset(until),
            selection: laneway_domain::Selection {
                tenant: Some(laneway_domain::Tenant::new("acme").unwrap()),
                types: vec![TypePattern::new("order.*").unwrap()],
                keys: [Key::new("a b:c\"ü").unwrap()].into(),
                events: [EventId::new("1").unwrap()].into(),
            },
            first,
        });
    let number = prop_oneof![0..9_u64, Just(1 << 53)];
    let mark = (number, 0..=EVENTS, any::<u64>()).prop_map(|(number, scanned, settled)| ReplayMark {
        number,
        scanned: Offset(scanned),
        settled,
    });
    (option::of(spec), option::of(mark), btree_map(lane_key(), option::of(behind()), 0..4))
        .prop_map(|(made, mark, behind)| ReplayChange { made, mark, behind })
}

fn given_up() -> impl Strategy<Value = GivenUp> {
    (name(), 0..EVENTS, lane_key(), moment(), any::<String>(), retry_state()).prop_map(
        |(destination, offset, key, at, reason, retry)| GivenUp {
            destination,
            offset: Offset(offset),
            key,
            at,
            reason: reason.into(),
            retry,
        },
    )
}

fn commit() -> impl Strategy<Value = Commit> {
    let redriven = (name(), 0..EVENTS, option::of(failure())).prop_map(|(destination, offset, failed)| Redriven {
        destination,
        offset: Offset(offset),
        failed,
    });
    let quarantined = (0..EVENTS, any::<String>())
        .prop_map(|(offset, reason)| Quarantined { offset: Offset(offset), reason: reason.into() });
    // Also revisions that are known already, and offsets below those that have come before.
    let revision = prop_oneof![0..30_u64, MAX_REVISION.0 - 3..=MAX_REVISION.0].prop_map(Revision);
    let cut = (revision, (0..=EVENTS).prop_map(Offset)).prop_map(|(revision, at)| Cut { revision, at });
    (
        option::of((0..=EVENTS).prop_map(Offset)),
        option::weighted(0.4, cut),
        btree_set(name(), 0..2),
        btree_map(name(), change(), 0..3),
        vec(given_up(), 0..3),
        vec(redriven, 0..3),
        vec(quarantined, 0..2),
    )
        .prop_map(|(scanned, cut, dropped, lanes, dead_letters, redriven, quarantined)| Commit {
            scanned,
            cut,
            dropped,
            lanes,
            dead_letters,
            redriven,
            quarantined,
            history: None,
        })
}

fn selection() -> impl Strategy<Value = Selection> {
    let key = option::weighted(0.3, (0..4).prop_map(|n| Key::new(&format!("k{n}")).unwrap()));
    let id = option::weighted(0.2, (0..EVENTS).prop_map(|n| EventId::new(&format!("e{n}")).unwrap()));
    let types = prop_oneof![3 => Just(Vec::new()), 1 => Just(vec![TypePattern::new("order.*").unwrap()]), 1 => Just(vec![TypePattern::new("x").unwrap()])];
    let statuses = prop_oneof![2 => Just([].into()), 1 => Just([422].into()), 1 => Just([422, 500].into())];
    let times = (option::weighted(0.2, moment()), option::weighted(0.2, moment()));
    (option::weighted(0.9, name()), key, id, types, statuses, times).prop_map(
        |(destination, key, event_id, types, statuses, (from, to))| Selection {
            destination,
            tenant: None,
            key,
            event_id,
            types,
            statuses,
            from,
            to,
            places: [].into(),
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => commit().prop_map(Step::Commit),
        1 => Just(Step::CommitAgain),
        2 => selection().prop_map(Step::Retry),
        1 => selection().prop_map(Step::Discard),
        1 => name().prop_map(Step::Forget),
        1 => (0_usize..4).prop_map(Step::Trim),
    ]
}

/// What a step answered, without what differs between stores.
async fn done(store: &impl Store, lease: &Lease, step: &Step, last: &Commit) -> String {
    match step {
        Step::Commit(commit) => format!("{:?}", store.commit(lease, commit).await.is_ok()),
        Step::CommitAgain => format!("{:?}", store.commit(lease, last).await.is_ok()),
        Step::Retry(selection) => format!("{:?}", store.retry(selection).await.ok()),
        Step::Discard(selection) => format!("{:?}", store.discard(selection).await.ok()),
        Step::Forget(name) => format!("{:?}", store.forget(name).await.unwrap()),
        Step::Trim(most) => format!("{:?}", store.trim(P, Timestamp::MAX, *most).await.unwrap()),
    }
}

/// Everything that can be seen.
async fn seen(store: &impl Store) -> String {
    let query = DeadLetterQuery { most: 1000, ..DeadLetterQuery::default() };
    let letters = store.list(&query).await.unwrap();
    let mut events = Vec::new();
    for letter in &letters {
        let at = &letter.given_up;
        events.push(store.event(P, at.offset, &at.destination).await.unwrap().unwrap().event);
    }
    format!(
        "{:#?} {:?} {:?} {:#?} {:#?}",
        store.load(P).await.unwrap(),
        store.bounds(P).await.unwrap(),
        store.counts().await.unwrap(),
        letters,
        events,
    )
}

async fn filled(store: &impl Store) -> Lease {
    let events = (0..EVENTS).map(|n| crate::support::event(&format!("e{n}"), &format!("k{}", n % 4))).collect();
    assert!(store.append(events).await.iter().all(Result::is_ok));
    store.claim(P, &WorkerId("w".into()), Duration::from_secs(3600)).await.unwrap().unwrap()
}

async fn same(redis: &impl Store, steps: &[Step]) {
    let memory = MemoryStore::open(Disk::new(1), Settings::default());
    let (of_redis, of_memory) = (filled(redis).await, filled(&memory).await);
    let mut last = Commit::default();
    for step in steps {
        let answers = (done(redis, &of_redis, step, &last).await, done(&memory, &of_memory, step, &last).await);
        assert_eq!(answers.0, answers.1, "{step:?}");
        if let Step::Commit(commit) = step {
            last = commit.clone();
        }
        assert_eq!(seen(redis).await, seen(&memory).await, "after {step:?}");
    }
}

#[test]
fn the_store_answers_as_the_reference_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(crate::support::server());
    let config = ProptestConfig { cases: 100, max_shrink_iters: 200, ..ProptestConfig::default() };
    proptest!(config, |(steps in vec(step(), 1..20))| {
        runtime.block_on(async { same(&open(&new_store(&server.url(), 1)).await, &steps).await });
    });
}
