//! A node of a Cluster that is down, without a replica: it takes what is in its slots with it, and nothing else.

use super::{connect, event, wait_for};
use laneway_domain::{Commit, Offset, Partition};
use laneway_ports::{EventLog, Lease, ProgressStore, StoreError, WorkerId, Workers};
use laneway_redis::RedisStore;
use laneway_servers::redis::RedisSettings;
use laneway_servers::redis_cluster::RedisCluster;
use std::time::Duration;

/// Enough that each of three nodes has some.
const PARTITIONS: u32 = 16;
/// Far longer than the test.
const LONG: Duration = Duration::from_secs(3600);

/// A Cluster that goes on without one of its nodes, and a store on it.
async fn start() -> (RedisCluster, RedisStore) {
    let settings = RedisSettings::default().with("cluster-require-full-coverage", "no");
    let cluster = RedisCluster::start(3, 0, settings).await.unwrap();
    let store = connect(&cluster.url(), |options| options.partitions = PARTITIONS).await.unwrap();
    (cluster, store)
}

/// The partitions that the node has, and those that it has not.
async fn split(cluster: &RedisCluster, node: usize) -> (Vec<Partition>, Vec<Partition>) {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for partition in (0..PARTITIONS).map(Partition) {
        let has = cluster.primary_of(super::failover::slot(partition)).await.unwrap() == node;
        if has { with.push(partition) } else { without.push(partition) }
    }
    assert!(!with.is_empty() && !without.is_empty(), "{with:?} {without:?}");
    (with, without)
}

async fn append_to(store: &RedisStore, partition: Partition, id: &str) -> Result<Offset, StoreError> {
    let in_it = |key: &String| Partition::of(key, PARTITIONS) == partition;
    let key = (0..).map(|n| format!("k{n}")).find(in_it).unwrap();
    let mut event = event(id, 20);
    event.event.key = Some(laneway_domain::Key::new(&key).unwrap());
    store.append(vec![event]).await.remove(0).map(|placed| placed.offset)
}

/// All that an ingest and a worker do with a partition.
async fn goes_on(store: &RedisStore, lease: &Lease, id: &str) {
    let partition = lease.partition;
    let at = append_to(store, partition, id).await.unwrap();
    let end = store.grown(partition, at).await.unwrap();
    assert!(end > at);
    assert_eq!(store.read(partition, at, 10, usize::MAX).await.unwrap().records.len(), 1);
    store.commit(lease, &Commit { scanned: Some(at.next()), ..Commit::default() }).await.unwrap();
    store.renew(lease, LONG).await.unwrap();
    assert_eq!(store.load(partition).await.unwrap().scanned, at.next());
}

async fn claim_all(store: &RedisStore, partitions: &[Partition]) -> Vec<Lease> {
    let mut leases = Vec::new();
    for partition in partitions {
        leases.push(store.claim(*partition, &WorkerId("w".into()), LONG).await.unwrap().unwrap());
    }
    leases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stands_still_holds_only_what_is_in_its_slots() {
    let (cluster, store) = start().await;
    let (held, others) = split(&cluster, 1).await;
    let leases = claim_all(&store, &others).await;
    cluster.nodes()[1].stop().unwrap();
    // From the moment on in which nobody knows yet, until it is known, and after that.
    let mut waiting = Box::pin(append_to(&store, held[0], "held"));
    let mut round = 0;
    let failed = loop {
        round += 1;
        for lease in &leases {
            goes_on(&store, lease, &format!("during-{round}-{}", lease.partition)).await;
        }
        if let Some(ended) = futures_util::FutureExt::now_or_never(&mut waiting) {
            break ended;
        }
    };
    assert!(failed.is_err(), "{failed:?}");
    for lease in &leases {
        goes_on(&store, lease, &format!("after-{}", lease.partition)).await;
    }
    store.health().unwrap();
    // By then it says so without waiting.
    let refused = async || match append_to(&store, held[0], "refused").await {
        Err(StoreError::RetryLater { what, .. }) if what.contains("cannot be reached") => Some(what),
        _ => None,
    };
    let what = wait_for("the node is known to be away", refused).await;
    assert!(what.contains(&cluster.nodes()[1].address().to_string()), "{what}");
    cluster.nodes()[1].cont().unwrap();
    wait_for("the node is back", async || append_to(&store, held[0], "back").await.ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_holds_only_what_is_in_its_slots() {
    let (mut cluster, store) = start().await;
    let (held, others) = split(&cluster, 2).await;
    let leases = claim_all(&store, &others).await;
    append_to(&store, held[0], "before").await.unwrap();
    cluster.node_mut(2).kill();
    // Until the other nodes have taken it for dead, and beyond.
    let taken_for_dead = async || {
        let nodes = cluster.nodes()[0].command(&["CLUSTER", "NODES"]).await.unwrap().text();
        nodes.lines().any(|line| line.contains(",fail ") || line.contains(" fail ")).then_some(())
    };
    let (mut dead, mut round) = (Box::pin(wait_for("the node is taken for dead", taken_for_dead)), 0);
    loop {
        round += 1;
        for lease in &leases {
            goes_on(&store, lease, &format!("during-{round}-{}", lease.partition)).await;
        }
        if futures_util::FutureExt::now_or_never(&mut dead).is_some() {
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(dead);
    for lease in &leases {
        goes_on(&store, lease, &format!("after-{}", lease.partition)).await;
    }
    cluster.node_mut(2).restart().await.unwrap();
    wait_for("the node is back", async || append_to(&store, held[0], "back").await.ok()).await;
    assert_eq!(store.read(held[0], Offset(0), 1, usize::MAX).await.unwrap().records.len(), 1);
    // The register of workers is in some node's slots, too.
    wait_for("the register", async || store.announce(&WorkerId("w".into()), LONG).await.ok()).await;
}

/// A node that does not have what the store was made with: without that, nobody starts.
async fn another_than_the_stores(cluster: &RedisCluster) -> usize {
    let slot = cluster.nodes()[0].command(&["CLUSTER", "KEYSLOT", "{laneway}:store"]).await.unwrap().text();
    let of_store = cluster.primary_of(slot.parse().unwrap()).await.unwrap();
    (of_store + 1) % 3
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_starts_while_a_node_is_away_uses_the_others_and_that_one_when_it_was_looked_at() {
    let (cluster, store) = start().await;
    drop(store);
    let node = another_than_the_stores(&cluster).await;
    let (held, others) = split(&cluster, node).await;
    let away = &cluster.nodes()[node];
    // Nobody may take its word for it: it is set to lose what it acknowledges.
    away.command(&["CONFIG", "SET", "appendfsync", "everysec"]).await.unwrap();
    away.stop().unwrap();
    let store = connect(&cluster.url(), |options| options.partitions = PARTITIONS).await.unwrap();
    for lease in claim_all(&store, &others).await {
        goes_on(&store, &lease, &format!("without-{}", lease.partition)).await;
    }
    let refused = async |part: &str| match append_to(&store, held[0], "refused").await {
        Err(StoreError::RetryLater { what, .. }) => what.contains(part).then_some(()),
        other => panic!("{other:?}"),
    };
    refused("cannot be reached").await.unwrap();
    away.cont().unwrap();
    wait_for("it is looked at", async || refused("appendfsync = everysec").await).await;
    away.command(&["CONFIG", "SET", "appendfsync", "always"]).await.unwrap();
    wait_for("it is let in", async || append_to(&store, held[0], "back").await.ok()).await;
}

#[tokio::test]
async fn nobody_starts_while_all_nodes_are_away() {
    let (mut cluster, store) = start().await;
    drop(store);
    let url = cluster.url();
    (0..3).for_each(|node| cluster.node_mut(node).kill());
    let error = connect(&url, |options| options.partitions = PARTITIONS).await.unwrap_err();
    assert!(matches!(error, StoreError::RetryLater { .. }), "{error:?}");
}
