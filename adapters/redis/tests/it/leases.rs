//! Nobody changes anything under a lease that another has taken over.

use crate::support::{PATIENCE, new_store, open, server};
use laneway_domain::{Commit, DestinationName, LaneChange, Offset, Partition, Position};
use laneway_ports::{CommitError, EventLog, Lease, ProgressStore, WorkerId, Workers};
use laneway_redis::RedisStore;
use laneway_servers::redis::RedisServer;
use std::time::{Duration, Instant};

const P: Partition = Partition(0);
const LONG: Duration = Duration::from_secs(3600);
/// So short that another can claim at once.
const OVER: Duration = Duration::ZERO;
const RACES: u64 = 1000;

fn worker(name: &str) -> WorkerId {
    WorkerId(name.into())
}

fn at(offset: u64) -> Commit {
    let change = LaneChange { position: Some(Position::At(Offset(offset))), ..LaneChange::default() };
    let name = DestinationName::new("a").unwrap();
    Commit { scanned: Some(Offset(offset)), lanes: [(name, change)].into(), ..Commit::default() }
}

async fn scanned(store: &RedisStore) -> u64 {
    store.load(P).await.unwrap().scanned.0
}

async fn with_events(store: &RedisStore, count: u64) {
    let events = (0..count).map(|n| crate::support::event(&format!("e{n}"), "k")).collect();
    assert!(store.append(events).await.iter().all(Result::is_ok));
}

/// One worker's commit races another's claim: it is stored before the claim, or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_before_a_claim_or_refused() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let (old, new) = (open(&options).await, open(&options).await);
    with_events(&old, RACES + 1).await;
    let mut lease = old.claim(P, &worker("w0"), OVER).await.unwrap().unwrap();
    let (mut fenced, mut stored) = (0, 0);
    for race in 1..=RACES {
        let next = worker(&format!("w{race}"));
        let commit = at(race);
        let (committed, claimed) = tokio::join!(old.commit(&lease, &commit), async {
            // As often as not the claim is sent first.
            if race % 2 == 0 {
                tokio::task::yield_now().await;
            }
            let claimed = new.claim(P, &next, OVER).await.unwrap().unwrap();
            (claimed, scanned(&new).await)
        });
        let (taken, seen) = claimed;
        assert!(taken.epoch > lease.epoch);
        match committed {
            Ok(()) => stored += 1,
            Err(CommitError::Fenced { partition: P, epoch }) if epoch == lease.epoch => fenced += 1,
            Err(other) => panic!("{other:?}"),
        }
        // What the new holder has loaded is what there is, whatever came after its claim.
        assert_eq!(scanned(&new).await, seen, "race {race}");
        assert!(matches!(old.commit(&lease, &at(RACES + 1)).await, Err(CommitError::Fenced { .. })));
        assert_eq!(scanned(&new).await, seen);
        lease = taken;
    }
    assert_eq!(fenced + stored, RACES);
    println!(
        "{fenced} commits were fenced in the race, {stored} came before the claim; {RACES} late ones were all refused"
    );
}

/// Many workers want one partition: at any moment one of them has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_of_many_claims_succeeds() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    for round in 0..20 {
        let claims = (0..20).map(|n| {
            let (store, name) = (&store, worker(&format!("w{round}-{n}")));
            async move { store.claim(P, &name, LONG).await.unwrap() }
        });
        let leases: Vec<Lease> = futures_util::future::join_all(claims).await.into_iter().flatten().collect();
        assert_eq!(leases.len(), 1, "{leases:?}");
        store.release(&leases[0]).await.unwrap();
    }
}

/// The epoch outlives release, expiry, and the server.
#[tokio::test]
async fn the_epoch_rises_over_a_crash_of_redis() {
    let mut server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    let first = store.claim(P, &worker("a"), LONG).await.unwrap().unwrap();
    store.release(&first).await.unwrap();
    server.kill();
    server.restart().await.unwrap();
    let store = open(&options).await;
    let second = store.claim(P, &worker("b"), LONG).await.unwrap().unwrap();
    assert!(second.epoch > first.epoch);
    server.kill();
    server.restart().await.unwrap();
    let store = open(&options).await;
    assert_eq!(store.claim(P, &worker("c"), LONG).await.unwrap(), None, "the lease outlives the crash");
    assert!(matches!(store.commit(&first, &Commit::default()).await, Err(CommitError::Fenced { .. })));
    store.commit(&second, &Commit::default()).await.unwrap();
}

/// Also where everything was lost: an epoch is never given out twice.
#[tokio::test]
async fn an_epoch_is_not_given_out_again_when_the_lease_is_lost() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    let old = store.claim(P, &worker("a"), LONG).await.unwrap().unwrap();
    server.command(&["DEL", &format!("{{{}:0}}:lease", options.key_prefix)]).await.unwrap();
    let new = store.claim(P, &worker("a"), LONG).await.unwrap().unwrap();
    assert!(new.epoch > old.epoch);
    assert!(matches!(store.renew(&old, LONG).await, Err(CommitError::Fenced { .. })));
}

/// Two workers with one epoch (a failover lost the claim, and the new primary's clock is behind): only
/// the one that Redis knows of has the lease.
#[tokio::test]
async fn an_epoch_that_was_given_to_another_worker_is_no_lease() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    let lease = store.claim(P, &worker("a"), LONG).await.unwrap().unwrap();
    let key = format!("{{{}:0}}:lease", options.key_prefix);
    server.command(&["HSET", &key, "worker", "b"]).await.unwrap();
    assert!(matches!(store.renew(&lease, LONG).await, Err(CommitError::Fenced { .. })));
    assert!(matches!(store.commit(&lease, &Commit::default()).await, Err(CommitError::Fenced { .. })));
    assert!(matches!(store.release(&lease).await, Err(CommitError::Fenced { .. })));
    let other = Lease { worker: worker("b"), ..lease };
    store.commit(&other, &Commit::default()).await.unwrap();
}

/// As long as the tests below wait for a lease to run out.
const TTL: Duration = Duration::from_millis(500);
/// By how much the clock went back.
const AN_HOUR: u64 = 3_600_000;

/// Redis' time, in milliseconds.
async fn time_of(server: &RedisServer) -> u64 {
    let time = server.command(&["TIME"]).await.unwrap();
    let parts: Vec<u64> = time.items().iter().map(|part| part.text().parse().unwrap()).collect();
    parts[0] * 1000 + parts[1] / 1000
}

/// Has the lease end as it does when it was renewed before the clock went back.
async fn renewed_before_the_clock_went_back(server: &RedisServer, key: &str) {
    let until = time_of(server).await + AN_HOUR;
    server.command(&["HSET", key, "until", &until.to_string()]).await.unwrap();
}

/// Claims for as long as it is refused; answers how long that was.
async fn claimed_in_the_end(store: &RedisStore, name: &str) -> Duration {
    let began = Instant::now();
    let claiming = async {
        while store.claim(P, &worker(name), TTL).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, claiming).await.expect("it is claimed in the end");
    began.elapsed()
}

/// Redis' clock was set back, or that of the replica that was promoted is behind.
#[tokio::test]
async fn a_dead_workers_lease_ends_in_time_when_the_clock_went_back() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    let key = format!("{{{}:0}}:lease", options.key_prefix);
    // Of a lease from before version 17 it is not known for how long it was asked for.
    for is_of_before in [false, true] {
        store.claim(P, &worker("dead"), TTL).await.unwrap().unwrap();
        if is_of_before {
            server.command(&["HDEL", &key, "ttl"]).await.unwrap();
        }
        renewed_before_the_clock_went_back(&server, &key).await;
        assert!(claimed_in_the_end(&store, "new").await >= TTL * 9 / 10, "it had its time");
        let lease = store.claim(P, &worker("new"), TTL).await.unwrap().unwrap();
        store.release(&lease).await.unwrap();
    }
}

/// Also one that asks for more time than whoever wants its partition.
#[tokio::test]
async fn a_live_worker_keeps_its_lease_when_the_clock_went_back() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    let key = format!("{{{}:0}}:lease", options.key_prefix);
    let lease = store.claim(P, &worker("alive"), LONG).await.unwrap().unwrap();
    renewed_before_the_clock_went_back(&server, &key).await;
    server.command(&["HINCRBY", &key, "until", &AN_HOUR.to_string()]).await.unwrap();
    for _ in 0..3 {
        assert_eq!(store.claim(P, &worker("new"), OVER).await.unwrap(), None);
        let until: u64 = server.command(&["HGET", &key, "until"]).await.unwrap().text().parse().unwrap();
        let left = Duration::from_millis(until - time_of(&server).await);
        assert!(left <= LONG && left > LONG / 2, "it has the time that it asked for: {left:?}");
        store.renew(&lease, LONG).await.unwrap();
    }
    store.commit(&lease, &Commit::default()).await.unwrap();
}

#[tokio::test]
async fn a_dead_worker_leaves_the_register_in_time_when_the_clock_went_back() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    let until = (time_of(&server).await + AN_HOUR).to_string();
    server.command(&["ZADD", &format!("{{{}}}:workers", options.key_prefix), &until, "dead"]).await.unwrap();
    assert_eq!(store.announce(&worker("alive"), TTL).await.unwrap(), [worker("alive"), worker("dead")]);
    let leaving = async {
        while store.announce(&worker("alive"), TTL).await.unwrap() != [worker("alive")] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, leaving).await.expect("it is gone in the end");
}

/// So does a process, and a worker where only ingests are left.
#[tokio::test]
async fn a_dead_process_leaves_the_register_in_time_when_the_clock_went_back() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let _store = open(&options).await;
    let [processes, formats, workers] =
        ["processes", "processes:formats", "workers"].map(|name| format!("{{{}}}:{name}", options.key_prefix));
    let until = (time_of(&server).await + AN_HOUR).to_string();
    let said = server.command(&["HVALS", &formats]).await.unwrap().items()[0].text();
    server.command(&["HSET", &formats, "dead", &said]).await.unwrap();
    server.command(&["ZADD", &processes, &until, "dead"]).await.unwrap();
    server.command(&["ZADD", &workers, &until, "dead"]).await.unwrap();
    // The store says every second that it is there.
    let leaving = async {
        let is_there = async || !server.command(&["ZSCORE", &processes, "dead"]).await.unwrap().text().is_empty();
        while is_there().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, leaving).await.expect("it is gone in the end");
    let worker: u64 = server.command(&["ZSCORE", &workers, "dead"]).await.unwrap().text().parse().unwrap();
    assert!(worker < time_of(&server).await + AN_HOUR / 2);
}

/// A full Redis has to take what frees memory in the end.
#[tokio::test]
async fn leases_and_commits_go_on_when_redis_is_full() {
    let server = server().await;
    let options = new_store(&server.url(), 1);
    let store = open(&options).await;
    with_events(&store, 3).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    assert!(store.append(vec![crate::support::event("more", "k")]).await[0].is_err(), "it is full");
    let lease = store.claim(P, &worker("a"), LONG).await.unwrap().unwrap();
    store.renew(&lease, LONG).await.unwrap();
    store.commit(&lease, &at(3)).await.unwrap();
    assert_eq!(store.trim(P, laneway_domain::Timestamp::MAX, 10).await.unwrap(), 3);
    store.release(&lease).await.unwrap();
}
