//! What each function of the library, and each read, costs Redis at the largest events that are allowed by default:
//! bytes that they touch, and memory that they take.

use crate::support::{new_store, open};
use bytes::Bytes;
use laneway_domain::{
    Behind, Commit, DestinationName, Event, EventId, EventType, GivenUp, Key, LaneChange, LaneKey, NewEvent,
    NextAttempt, Offset, Partition, PartitionProgress, Pause, Position, Quarantined, RetryState, Timestamp,
};
use laneway_ports::{DeadLetterQuery, DeadLetters, EventLog, Lease, ProgressStore, Selection, WorkerId};
use laneway_redis::{RedisOptions, RedisStore};
use laneway_servers::redis::{RedisServer, RedisSettings};
use std::time::Duration;

const P: Partition = Partition(0);
/// The largest event that is accepted by default.
const LARGEST: usize = 256 << 10;
/// Far more than any bound of bytes lets one call touch.
const EVENTS: u64 = 240;
/// What one call may take of Redis' memory and of its Lua's: some of the largest events.
const ONE_CALL: u64 = 4 << 20;
/// What one group of appended events may take: 4 MiB of them, which are in Lua and in the log.
const ONE_GROUP: u64 = 16 << 20;
/// What one read may take: as many of the largest events as one call brings, and the buffers that they go through.
const ONE_READ: u64 = 48 << 20;

/// Large events, with some small ones before them, whose sizes say nothing of those behind.
async fn filled(options: &RedisOptions) -> RedisStore {
    let store = open(options).await;
    let small = (0..EVENTS).map(|n| event(&format!("small-{n}"), 100)).collect();
    assert!(store.append(small).await.iter().all(Result::is_ok));
    for n in 0..EVENTS {
        store.append(vec![event(&format!("large-{n}"), LARGEST)]).await.remove(0).unwrap();
    }
    store
}

fn event(id: &str, bytes: usize) -> NewEvent {
    let event = Event {
        key: Some(Key::new("k").unwrap()),
        ..Event::new(EventId::new(id).unwrap(), EventType::new("order.paid").unwrap(), Bytes::from(vec![b'x'; bytes]))
    };
    NewEvent { event, id_given: false }
}

/// What Redis says of its memory, in bytes.
#[derive(Clone, Copy, Debug)]
struct Memory {
    used: u64,
    peak: u64,
    /// Of Lua, with what it has not yet cleared away: its collector clears in steps, so one call that holds much is seen.
    lua: u64,
}

async fn memory(server: &RedisServer) -> Memory {
    let info = server.command(&["INFO", "memory"]).await.unwrap().text();
    let number = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{name} in {info}")).trim().parse().unwrap()
    };
    Memory { used: number("used_memory"), peak: number("used_memory_peak"), lua: number("used_memory_vm_functions") }
}

/// How many bytes Redis has sent to all its clients.
async fn sent(server: &RedisServer) -> u64 {
    let info = server.command(&["INFO", "stats"]).await.unwrap().text();
    let line = info.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    line.unwrap().trim().parse().unwrap()
}

/// Runs it, and expects Redis to have needed no more than `most` for it.
async fn within<T>(server: &RedisServer, most: u64, what: &str, call: impl Future<Output = T>) -> T {
    let before = memory(server).await;
    let done = call.await;
    let after = memory(server).await;
    let (lua, peak) = (after.lua.saturating_sub(before.lua), after.peak.saturating_sub(before.peak.max(before.used)));
    println!("{what:60} Lua {lua:9} peak {peak:9}");
    assert!(lua <= most && peak <= most, "{what}: {before:?} {after:?}");
    done
}

fn name() -> DestinationName {
    DestinationName::new("billing").unwrap()
}

fn settled(below: u64) -> Commit {
    let lane = LaneChange { position: Some(Position::Shared), ..LaneChange::default() };
    Commit { scanned: Some(Offset(below)), lanes: [(name(), lane)].into(), ..Commit::default() }
}

fn given_up(offset: u64) -> GivenUp {
    let at = Timestamp::from_millis(1);
    GivenUp {
        destination: name(),
        offset: Offset(offset),
        key: LaneKey::Key(Key::new("k").unwrap()),
        at,
        reason: "no".into(),
        retry: RetryState { attempts: 1, first_failure: at, next_attempt: NextAttempt::At(at), history: Vec::new() },
    }
}

async fn claimed(store: &RedisStore) -> Lease {
    let lease = store.claim(P, &WorkerId("w".into()), Duration::from_secs(3600)).await.unwrap();
    lease.unwrap()
}

#[tokio::test]
async fn no_function_touches_more_than_some_of_the_largest_events() {
    let server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let options = new_store(&server.url(), 1);
    let store = filled(&options).await;
    let lease = within(&server, ONE_CALL, "claim", claimed(&store)).await;
    within(&server, ONE_CALL, "load", store.load(P)).await.unwrap();
    within(&server, ONE_CALL, "bounds", store.bounds(P)).await.unwrap();
    // So that commits have a witness, and a log to compare.
    let mut from = Offset(EVENTS);
    while from.0 < EVENTS * 2 {
        from = store.read(P, from, 8, 2 << 20).await.unwrap().next;
    }
    within(&server, ONE_CALL, "commit", store.commit(&lease, &settled(EVENTS * 2))).await.unwrap();
    let dead = Commit { dead_letters: vec![given_up(EVENTS * 2 - 1)], ..Commit::default() };
    within(&server, ONE_CALL, "commit with a dead letter", store.commit(&lease, &dead)).await.unwrap();
    let aside = Quarantined { offset: Offset(EVENTS * 2 - 2), reason: "test".into() };
    let aside = Commit { quarantined: vec![aside], ..Commit::default() };
    within(&server, ONE_CALL, "commit with a record set aside", store.commit(&lease, &aside)).await.unwrap();
    within(&server, ONE_CALL, "list", store.list(&DeadLetterQuery { most: 100, ..DeadLetterQuery::default() }))
        .await
        .unwrap();
    let of_it = Selection::of(name());
    within(&server, ONE_CALL, "retry", store.retry(&of_it)).await.unwrap();
    within(&server, ONE_CALL, "requested", store.retry_requested(P, None, 100)).await.unwrap();
    // Nothing is old enough; then all of it; the small ones and the large ones in one call, as far as that goes.
    assert_eq!(within(&server, ONE_CALL, "trim: too young", store.trim(P, Timestamp::ZERO, 1000)).await.unwrap(), 0);
    within(&server, ONE_CALL, "trim: old enough", store.trim(P, Timestamp::MAX, 1000)).await.unwrap();
    assert_eq!(store.bounds(P).await.unwrap().start, Offset(EVENTS * 2));
    // The claim compares the log with what was read of it.
    within(&server, ONE_CALL, "claim, comparing", claimed(&store)).await;
    within(&server, ONE_CALL, "discard", store.discard(&of_it)).await.unwrap();
    within(&server, ONE_CALL, "forget", store.forget(&name())).await.unwrap();
    // What is appended at once is one group after the other, however much it is.
    let many = (0..64).map(|n| event(&format!("many-{n}"), LARGEST)).collect();
    let before = memory(&server).await;
    let placed = store.append(many).await;
    assert!(placed.iter().all(Result::is_ok));
    let after = memory(&server).await;
    println!("append of {} bytes: {before:?} {after:?}", 64 * LARGEST);
    let lua = after.lua.saturating_sub(before.lua);
    assert!(lua <= ONE_GROUP, "{before:?} {after:?}");
}

#[tokio::test]
async fn progress_of_any_number_of_destinations_is_read_in_pages() {
    const DESTINATIONS: usize = 40_000;
    let server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    store.append(vec![event("first", 10)]).await.remove(0).unwrap();
    let lease = claimed(&store).await;
    let name = |n: usize| DestinationName::new(&format!("destination-{n:05}")).unwrap();
    let mut expected = PartitionProgress::default();
    for some in (0..DESTINATIONS).collect::<Vec<_>>().chunks(4_000) {
        let lane = |n: usize| {
            // Some are paused, some have a key behind.
            let pause = Pause { since: Timestamp::from_millis(1), reason: format!("number {n}").into() };
            let key = LaneKey::Key(Key::new(&format!("key-{n}")).unwrap());
            let behind = [(key, Some(Behind { offset: Offset(0), retry: None }))];
            LaneChange {
                position: Some(Position::At(Offset(n as u64 % 2))),
                paused: n.is_multiple_of(3).then_some(Some(pause)),
                behind: behind.into_iter().filter(|_| n.is_multiple_of(20)).collect(),
                ..LaneChange::default()
            }
        };
        let commit = Commit { lanes: some.iter().map(|n| (name(*n), lane(*n))).collect(), ..Commit::default() };
        store.commit(&lease, &commit).await.unwrap();
        expected.apply(&commit);
    }
    server.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
    // Without pages 8 MiB.
    let loaded = within(&server, ONE_CALL, "load of 40,000 lanes", store.load(P)).await.unwrap();
    assert!(loaded == expected, "what was read of {} lanes is not what was committed", loaded.lanes.len());
    let stats = server.command(&["INFO", "commandstats"]).await.unwrap().text();
    assert!(stats.contains("cmdstat_hscan"), "{stats}");
}

#[tokio::test]
async fn the_boundary_of_what_is_old_is_found_with_few_looks() {
    let server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    let mut between = Timestamp::ZERO;
    for n in 0..150_u64 {
        let at = store.append(vec![event(&format!("e-{n}"), LARGEST)]).await.remove(0).unwrap().offset;
        if n == 59 {
            let chunk = store.read(P, at, 1, usize::MAX).await.unwrap();
            let laneway_ports::LogRecord::Event(last) = &chunk.records[0] else { panic!("{chunk:?}") };
            between = Timestamp::from_millis(last.accepted_at.as_millis() + 1);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let lease = claimed(&store).await;
    store.commit(&lease, &settled(150)).await.unwrap();
    let mut trimmed = 0;
    for round in 0.. {
        server.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
        let gone = within(&server, ONE_CALL, "trim", store.trim(P, between, 1000)).await.unwrap();
        trimmed += gone;
        let stats = server.command(&["INFO", "commandstats"]).await.unwrap().text();
        let looks: u64 = stats
            .split("cmdstat_xrange:calls=")
            .nth(1)
            .map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap());
        assert!(looks <= 5, "a megabyte of the largest events: {looks} in round {round}");
        assert!(trimmed <= 60, "{trimmed}: younger ones are gone");
        if gone == 0 {
            break;
        }
    }
    assert_eq!(trimmed, 60);
}

#[tokio::test]
async fn a_read_brings_few_of_the_largest_events_at_once_whatever_came_before_them() {
    let server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let options = RedisOptions { tail_bytes: 0, ..new_store(&server.url(), 1) };
    let store = filled(&options).await;
    claimed(&store).await;
    let mut from = Offset::ZERO;
    while from.0 < EVENTS * 2 {
        let before = sent(&server).await;
        let read = store.read(P, from, 1000, 1 << 20);
        let chunk = within(&server, ONE_READ, &format!("read from {from}"), read).await.unwrap();
        assert!(!chunk.records.is_empty(), "at {from}");
        from = chunk.next;
        let brought = sent(&server).await - before;
        // Where all before were small, one call finds out; from then on it is known.
        assert!(brought <= (65 * LARGEST as u64) + (2 << 20), "{brought} bytes to read up to {from}");
        if from.0 > EVENTS + 64 {
            assert!(brought <= 3 << 20, "{brought} bytes to read up to {from}");
        }
    }
}

/// How long appends take while the log is trimmed, by size; printed, not asserted (`cargo test -p laneway-redis
/// how_long_appends -- --nocapture`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_appends_take_beside_the_trim() {
    const EACH: u32 = 150;
    const PAUSE: Duration = Duration::from_millis(10);
    let server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let store = std::sync::Arc::new(open(&new_store(&server.url(), 1)).await);
    let mut medians = Vec::new();
    for bytes in [16 << 10, LARGEST, 16 << 10, LARGEST] {
        let lease = claimed(&store).await;
        let trimming = store.clone();
        // All of it is settled, and nothing is old: as it is most of the time.
        let trims = tokio::spawn(async move {
            loop {
                trimming.trim(P, Timestamp::from_millis(1), 1000).await.unwrap();
                tokio::time::sleep(PAUSE).await;
            }
        });
        let mut took = Vec::new();
        for n in 0..EACH {
            let begun = std::time::Instant::now();
            let placed = store.append(vec![event(&format!("{bytes}-{n}"), bytes)]).await.remove(0).unwrap();
            took.push(begun.elapsed());
            if n == 0 {
                store.commit(&lease, &settled(placed.offset.0)).await.unwrap();
            }
            tokio::time::sleep(PAUSE).await;
        }
        trims.abort();
        took.sort();
        println!("{bytes:7} bytes: p50 {:?}, p99 {:?}", took[took.len() / 2], took[took.len() * 99 / 100]);
        medians.push(took[took.len() / 2]);
        store.commit(&lease, &settled(store.bounds(P).await.unwrap().end.0)).await.unwrap();
        store.trim(P, Timestamp::MAX, 1000).await.unwrap();
    }
    assert_eq!(medians.len(), 4);
}
