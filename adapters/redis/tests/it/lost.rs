//! Progress where data is lost, and where replicas have to acknowledge it.

use crate::support::{event, new_store, open, server};
use laneway_domain::{Commit, DestinationName, LaneChange, Offset, Partition, Position};
use laneway_ports::{CommitError, EventLog, LogRecord, ProgressStore, StoreError, WorkerId};
use laneway_redis::{RedisOptions, RedisStore};
use laneway_servers::redis::{RedisServer, RedisSettings};
use std::time::Duration;

const P: Partition = Partition(0);
const LONG: Duration = Duration::from_secs(3600);

fn worker(name: &str) -> WorkerId {
    WorkerId(name.into())
}

fn settled(offset: u64) -> Commit {
    let change = LaneChange { position: Some(Position::Shared), ..LaneChange::default() };
    let name = DestinationName::new("a").unwrap();
    Commit { scanned: Some(Offset(offset)), lanes: [(name, change)].into(), ..Commit::default() }
}

async fn append(store: &RedisStore, ids: &[&str]) {
    let events = ids.iter().map(|id| event(id, "k")).collect();
    assert!(store.append(events).await.iter().all(Result::is_ok));
}

async fn read(store: &RedisStore) -> Vec<String> {
    let chunk = store.read(P, Offset::ZERO, 100, usize::MAX).await.unwrap();
    let id = |record: LogRecord| match record {
        LogRecord::Event(event) => event.event.id.to_string(),
        LogRecord::Corrupt { reason, .. } => panic!("{reason}"),
    };
    chunk.records.into_iter().map(id).collect()
}

/// Puts what one store's log has into the place of another's.
async fn replace_log(server: &RedisServer, from: &RedisOptions, to: &RedisOptions) {
    let log = |options: &RedisOptions| format!("{{{}:0}}:log", options.key_prefix);
    server.command(&["COPY", &log(from), &log(to), "REPLACE"]).await.unwrap();
}

async fn fenced_in_the_end(store: &RedisStore, lease: &laneway_ports::Lease, commit: &Commit) {
    for _ in 0..3 {
        match store.commit(lease, commit).await {
            Err(CommitError::Fenced { .. }) => return,
            Err(CommitError::Store(StoreError::RetryLater { .. })) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the lease of a log that was lost goes on");
}

/// A store whose log is going to be replaced by that of another, of which it has the first event only.
async fn before_a_loss(server: &RedisServer) -> (RedisOptions, RedisOptions, RedisStore) {
    let (options, others) = (new_store(&server.url(), 1), new_store(&server.url(), 1));
    let (store, other) = (open(&options).await, open(&others).await);
    append(&store, &["kept", "lost-1", "lost-2"]).await;
    append(&other, &["kept", "new-1", "new-2", "new-3"]).await;
    (options, others, store)
}

/// A failover to a replica without the last events, and new ones have got their numbers: what was
/// settled of the old must not be taken for the new.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn events_that_were_read_are_not_settled_in_place_of_others_with_their_numbers() {
    let server = server().await;
    let (options, others, store) = before_a_loss(&server).await;
    let lease = store.claim(P, &worker("w"), LONG).await.unwrap().unwrap();
    assert_eq!(read(&store).await, ["kept", "lost-1", "lost-2"]);
    store.commit(&lease, &settled(1)).await.unwrap();

    replace_log(&server, &others, &options).await;
    fenced_in_the_end(&store, &lease, &settled(3)).await;
    let lost = server.command(&["HGETALL", &format!("{{{}:0}}:lost", options.key_prefix)]).await.unwrap();
    assert!(!lost.items().is_empty(), "the loss is on record");

    // Whoever works on it next begins where progress is, and skips nothing.
    let lease = store.claim(P, &worker("w"), LONG).await.unwrap().unwrap();
    assert_eq!(store.load(P).await.unwrap().scanned, Offset(1));
    assert_eq!(read(&store).await, ["kept", "new-1", "new-2", "new-3"]);
    store.commit(&lease, &settled(4)).await.unwrap();
}

/// The same without new events: the positions are beyond the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn events_that_were_read_and_are_gone_are_not_settled() {
    let server = server().await;
    let (options, others) = (new_store(&server.url(), 1), new_store(&server.url(), 1));
    let (store, other) = (open(&options).await, open(&others).await);
    append(&store, &["kept", "lost-1", "lost-2"]).await;
    append(&other, &["kept"]).await;
    let lease = store.claim(P, &worker("w"), LONG).await.unwrap().unwrap();
    read(&store).await;
    replace_log(&server, &others, &options).await;
    fenced_in_the_end(&store, &lease, &settled(3)).await;
    store.claim(P, &worker("w"), LONG).await.unwrap().unwrap();
    assert_eq!(read(&store).await, ["kept"]);
}

/// Reads what is there, as a process does that only looks events up: a read may be told to come again, once.
async fn read_in_the_end(store: &RedisStore) -> Vec<String> {
    for _ in 0..2 {
        match store.read(P, Offset::ZERO, 100, usize::MAX).await {
            Ok(_) => return read(store).await,
            Err(StoreError::RetryLater { what, .. }) => assert!(what.contains("lost"), "{what}"),
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("a log that was lost is never read again")
}

/// Nobody who has not claimed the partition counts on what was read, and nobody would claim it for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_process_that_does_not_work_on_a_partition_reads_on_after_a_loss() {
    let server = server().await;
    let (options, others, worker_b) = before_a_loss(&server).await;
    let [looks_up, released, ran_out] = [open(&options).await, open(&options).await, open(&options).await];
    ran_out.claim(P, &worker("ran-out"), Duration::ZERO).await.unwrap().unwrap();
    let lease = released.claim(P, &worker("released"), LONG).await.unwrap().unwrap();
    released.release(&lease).await.unwrap();
    let lease = worker_b.claim(P, &worker("b"), LONG).await.unwrap().unwrap();
    for store in [&looks_up, &released, &ran_out] {
        assert_eq!(read(store).await, ["kept", "lost-1", "lost-2"]);
    }

    replace_log(&server, &others, &options).await;
    for store in [&looks_up, &released, &ran_out] {
        assert_eq!(read_in_the_end(store).await, ["kept", "new-1", "new-2", "new-3"]);
    }
    let lost = server.command(&["HGETALL", &format!("{{{}:0}}:lost", options.key_prefix)]).await.unwrap();
    assert!(!lost.items().is_empty(), "the loss is on record");
    assert!(matches!(worker_b.commit(&lease, &settled(3)).await, Err(CommitError::Fenced { .. })));
}

/// Whoever has the lease counts on what was read: it reads no more of the log, not even when Redis says that the lease
/// has ended, until it has claimed the partition anew. That is so of one that is winding down, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_holder_of_a_lease_reads_no_more_after_a_loss_until_it_claims_again() {
    let server = server().await;
    let (options, others, store) = before_a_loss(&server).await;
    let lease = store.claim(P, &worker("w"), LONG).await.unwrap().unwrap();
    assert_eq!(read(&store).await, ["kept", "lost-1", "lost-2"]);
    replace_log(&server, &others, &options).await;
    let refuses = async || {
        let error = store.read(P, Offset::ZERO, 100, usize::MAX).await.unwrap_err();
        assert!(matches!(&error, StoreError::RetryLater { what, .. } if what.contains("claiming")), "{error:?}");
    };
    refuses().await;
    assert!(matches!(store.renew(&lease, LONG).await, Err(CommitError::Fenced { .. })));
    refuses().await;
    assert!(matches!(store.commit(&lease, &settled(3)).await, Err(CommitError::Fenced { .. })));
    assert!(matches!(store.release(&lease).await, Err(CommitError::Fenced { .. })));
    refuses().await;
    let lease = store.claim(P, &worker("w"), LONG).await.unwrap().unwrap();
    assert_eq!(read(&store).await, ["kept", "new-1", "new-2", "new-3"]);
    store.commit(&lease, &settled(4)).await.unwrap();
}

/// A worker that claims again forgets what it has read; that something is lost is found out before.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_claim_notices_what_was_lost_before_it() {
    let server = server().await;
    let (options, others) = (new_store(&server.url(), 1), new_store(&server.url(), 1));
    let (store, other) = (open(&options).await, open(&others).await);
    append(&store, &["kept", "lost-1"]).await;
    append(&other, &["kept", "new-1"]).await;
    store.claim(P, &worker("w"), LONG).await.unwrap().unwrap();
    read(&store).await;
    replace_log(&server, &others, &options).await;
    let lease = store.claim(P, &worker("w"), LONG).await.unwrap().unwrap();
    let lost = server.command(&["HGETALL", &format!("{{{}:0}}:lost", options.key_prefix)]).await.unwrap();
    assert!(!lost.items().is_empty(), "the loss is on record");
    store.commit(&lease, &settled(2)).await.unwrap();
}

async fn replica_of(primary: &RedisServer) -> RedisServer {
    let address = primary.address();
    let settings = RedisSettings::default()
        .with("replicaof", format!("{} {}", address.ip(), address.port()))
        .with("repl-diskless-sync-delay", 0);
    RedisServer::start(settings).await.unwrap()
}

/// With replicas that have to acknowledge: what is not on them is not known to be stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_waits_for_its_replicas_and_a_renewal_does_not() {
    let primary = server().await;
    let replica = replica_of(&primary).await;
    let options = RedisOptions { replicas: 1, replica_timeout: Duration::from_secs(2), ..new_store(&primary.url(), 1) };
    let store = open(&options).await;
    let lease = claim_in_the_end(&store).await;
    store.commit(&lease, &settled(0)).await.unwrap();

    replica.stop().unwrap();
    let commit = settled(0);
    let mut commit = std::pin::pin!(store.commit(&lease, &commit));
    tokio::select! {
        biased;
        committed = &mut commit => panic!("a replica that stands still has acknowledged: {committed:?}"),
        renewed = store.renew(&lease, LONG) => renewed.unwrap(),
    }
    let failed = commit.await.unwrap_err();
    assert!(matches!(failed, CommitError::Store(StoreError::Unknown { .. })), "{failed:?}");
    assert!(failed.to_string().contains("store.replicas"), "{failed}");

    replica.cont().unwrap();
    committed_in_the_end(&store, &lease).await;
}

/// The replica needs a moment to get in step.
async fn claim_in_the_end(store: &RedisStore) -> laneway_ports::Lease {
    for _ in 0..30 {
        match store.claim(P, &worker("w"), LONG).await {
            Ok(lease) => return lease.unwrap(),
            Err(StoreError::Unknown { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("the replica does not get in step");
}

async fn committed_in_the_end(store: &RedisStore, lease: &laneway_ports::Lease) {
    for _ in 0..30 {
        match store.commit(lease, &settled(0)).await {
            Ok(()) => return,
            Err(CommitError::Store(StoreError::Unknown { .. })) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("the replica does not get in step");
}
