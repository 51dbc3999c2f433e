//! A Cluster that fails over, with and without loss.

use super::{P, append, append_surely, connect, event, ids_from, wait_for};
use laneway_domain::{Offset, Partition};
use laneway_ports::{EventLog, ProgressStore, StoreError, WorkerId};
use laneway_redis::RedisStore;
use laneway_servers::redis::RedisSettings;
use laneway_servers::redis_cluster::{RedisCluster, slot_of};
use std::time::Duration;

pub(super) fn slot(partition: Partition) -> u16 {
    slot_of(&format!("laneway:{partition}"))
}

async fn start(replicas: u32) -> (RedisCluster, RedisStore) {
    let cluster = RedisCluster::start(3, 3, RedisSettings::default()).await.unwrap();
    let store = connect(&cluster.url(), |options| options.replicas = replicas).await.unwrap();
    (cluster, store)
}

#[tokio::test]
async fn nothing_that_replicas_acknowledged_is_lost_when_the_primary_is_killed() {
    let (mut cluster, store) = start(1).await;
    for n in 0..100 {
        append(&store, &format!("a{n}")).await.unwrap();
    }
    let primary = cluster.primary_of(slot(P)).await.unwrap();
    cluster.node_mut(primary).kill();
    cluster.wait_failover(slot(P), primary).await.unwrap();
    cluster.node_mut(primary).restart().await.unwrap();
    append_surely(&store, "b").await;
    let ids = ids_from(&store, Offset(0)).await;
    let acknowledged: Vec<&String> = ids.iter().filter(|id| id.starts_with('a')).collect();
    assert_eq!(acknowledged, (0..100).map(|n| format!("a{n}")).collect::<Vec<_>>().iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn an_event_that_no_replica_has_is_not_acknowledged() {
    let (cluster, store) = start(1).await;
    append(&store, "a").await.unwrap();
    let nodes = cluster.nodes_of(slot(P)).await.unwrap();
    let replica = &cluster.nodes()[nodes[1]];
    replica.stop().unwrap();
    let error = append(&store, "b").await.unwrap_err();
    replica.cont().unwrap();
    assert!(matches!(error, StoreError::Unknown { .. }) && error.to_string().contains("replicas"), "{error:?}");
    cluster.wait_healthy().await.unwrap();
    append_surely(&store, "c").await;
}

#[tokio::test]
async fn an_event_that_no_replica_has_is_not_read() {
    let (cluster, store) = start(1).await;
    let reader = connect(&cluster.url(), |options| options.replicas = 1).await.unwrap();
    append(&store, "a").await.unwrap();
    assert_eq!(ids_from(&reader, Offset(0)).await, ["a"]);
    let nodes = cluster.nodes_of(slot(P)).await.unwrap();
    let replica = &cluster.nodes()[nodes[1]];
    replica.stop().unwrap();
    append(&store, "b").await.unwrap_err();
    // Neither by a read of the log, nor out of what the watcher has kept.
    assert_eq!(reader.grown(P, Offset(1)).await.unwrap(), Offset(2));
    for from in [0, 1] {
        let error = reader.read(P, Offset(from), 10, usize::MAX).await.unwrap_err();
        assert!(matches!(&error, StoreError::RetryLater { what, .. } if what.contains("replicas")), "{error:?}");
    }
    // What it has is read on, as far as it goes.
    assert_eq!(reader.read(P, Offset(0), 1, usize::MAX).await.unwrap().next, Offset(1));
    replica.cont().unwrap();
    cluster.wait_healthy().await.unwrap();
    let read = wait_for("the event", async || reader.read(P, Offset(1), 10, usize::MAX).await.ok()).await;
    assert_eq!(read.next, Offset(2));
}

#[tokio::test]
async fn a_duplicate_waits_for_replicas_too() {
    let (cluster, store) = start(1).await;
    let mut given = event("a", 10);
    given.id_given = true;
    assert!(!store.append(vec![given.clone()]).await[0].as_ref().unwrap().duplicate);
    let nodes = cluster.nodes_of(slot(P)).await.unwrap();
    let replica = &cluster.nodes()[nodes[1]];
    replica.stop().unwrap();
    let again = store.append(vec![given.clone()]).await.remove(0);
    replica.cont().unwrap();
    assert!(matches!(again, Err(StoreError::Unknown { .. })), "{again:?}");
    cluster.wait_healthy().await.unwrap();
    let again = wait_for("an answer", async || store.append(vec![given.clone()]).await.remove(0).ok()).await;
    assert!(again.duplicate);
}

/// Acknowledges events that the slot's replica does not get, and promotes it.
async fn lose(cluster: &mut RedisCluster, store: &RedisStore, lost: &[&str]) {
    let nodes = cluster.nodes_of(slot(P)).await.unwrap();
    let (primary, replica) = (nodes[0], nodes[1]);
    // A stopped replica that was cut off has nothing in its socket, and cannot come back for it.
    cluster.nodes()[replica].stop().unwrap();
    cluster.nodes()[primary].command(&["CLIENT", "KILL", "TYPE", "replica"]).await.unwrap();
    for id in lost {
        append(store, id).await.unwrap();
    }
    cluster.node_mut(primary).kill();
    cluster.nodes()[replica].cont().unwrap();
    cluster.wait_failover(slot(P), primary).await.unwrap();
}

async fn what_is_known_to_be_lost(cluster: &RedisCluster) -> String {
    let primary = cluster.primary_of(slot(P)).await.unwrap();
    cluster.nodes()[primary].command(&["HGETALL", "{laneway:0}:lost"]).await.unwrap().text()
}

#[tokio::test]
async fn what_a_promoted_replica_lacks_is_named_by_whoever_had_it_acknowledged() {
    let (mut cluster, store) = start(0).await;
    for n in 0..5 {
        append(&store, &format!("a{n}")).await.unwrap();
    }
    cluster.wait_healthy().await.unwrap();
    lose(&mut cluster, &store, &["lost5", "lost6", "lost7"]).await;
    let placed = append_surely(&store, "b").await;
    assert!(placed.offset >= Offset(1 << 40), "{placed:?}");
    assert_eq!(what_is_known_to_be_lost(&cluster).await, "1 5:8");
    assert_eq!(store.losses(P).await.unwrap(), [Offset(5)..Offset(8)]);
    let ids = ids_from(&store, Offset(0)).await;
    assert_eq!(ids, ["a0", "a1", "a2", "a3", "a4", "b"]);
}

#[tokio::test]
async fn what_a_promoted_replica_lacks_is_noticed_by_whoever_has_read_it_also_when_its_numbers_came_again() {
    let (mut cluster, store) = start(0).await;
    let reader = connect(&cluster.url(), |_| ()).await.unwrap();
    for n in 0..5 {
        append(&store, &format!("a{n}")).await.unwrap();
    }
    cluster.wait_healthy().await.unwrap();
    lose_after_reading(&mut cluster, store, &reader).await;
    // Somebody who knows of nothing gives the numbers 5 and 6 out again, and goes beyond.
    let other = connect(&cluster.url(), |_| ()).await.unwrap();
    for id in ["b5", "b6", "b7", "b8"] {
        append_surely(&other, id).await;
    }
    wait_for("the reader notices", async || {
        let read = reader.read(P, Offset(7), 10, usize::MAX).await;
        matches!(read, Err(StoreError::RetryLater { what, .. }) if what.contains("lost")).then_some(())
    })
    .await;
    assert_eq!(what_is_known_to_be_lost(&cluster).await, "1 5:7");
    // It never had the partition: it goes on with what there is.
    assert_eq!(ids_from(&reader, Offset(5)).await, ["b5", "b6", "b7", "b8"]);
    // Its lease is over, so that whoever claims reads on from progress that lies before the loss.
    assert_eq!(ids_from(&other, Offset(5)).await, ["b5", "b6", "b7", "b8"]);
    assert!(append_surely(&other, "c").await.offset >= Offset(1 << 40));
}

async fn lose_after_reading(cluster: &mut RedisCluster, store: RedisStore, reader: &RedisStore) {
    let nodes = cluster.nodes_of(slot(P)).await.unwrap();
    let (primary, replica) = (nodes[0], nodes[1]);
    cluster.nodes()[replica].stop().unwrap();
    cluster.nodes()[primary].command(&["CLIENT", "KILL", "TYPE", "replica"]).await.unwrap();
    for id in ["lost5", "lost6"] {
        append(&store, id).await.unwrap();
    }
    assert_eq!(ids_from(reader, Offset(0)).await.len(), 7);
    drop(store);
    cluster.node_mut(primary).kill();
    cluster.nodes()[replica].cont().unwrap();
    cluster.wait_failover(slot(P), primary).await.unwrap();
}

#[tokio::test]
async fn slots_that_move_to_another_node_take_their_events_with_them() {
    let (cluster, store) = start(0).await;
    for n in 0..5 {
        append(&store, &format!("a{n}")).await.unwrap();
    }
    assert_eq!(store.grown(P, Offset(0)).await.unwrap(), Offset(5));
    let nodes = cluster.nodes_of(slot(P)).await.unwrap();
    // A failover by hand loses nothing, and leaves the old primary alive to say MOVED.
    cluster.nodes()[nodes[1]].command(&["CLUSTER", "FAILOVER"]).await.unwrap();
    cluster.wait_failover(slot(P), nodes[0]).await.unwrap();
    let placed = append_surely(&store, "b").await;
    let end = wait_for("growth is seen", async || store.grown(P, Offset(5)).await.ok()).await;
    assert_eq!(end, placed.offset.next());
    assert_eq!(ids_from(&store, Offset(0)).await, ["a0", "a1", "a2", "a3", "a4", "b"]);
}

#[tokio::test]
async fn a_slot_that_is_being_moved_is_used_where_its_keys_are() {
    let cluster = RedisCluster::start(3, 0, RedisSettings::default()).await.unwrap();
    let store = connect(&cluster.url(), |_| ()).await.unwrap();
    for n in 0..5 {
        append(&store, &format!("a{n}")).await.unwrap();
    }
    let moving = cluster.begin_moving(slot(P), None).await.unwrap();
    // There is no lease yet: what is new is made where the slot goes.
    let lease = store.claim(P, &WorkerId("w".into()), Duration::from_secs(3600)).await.unwrap().unwrap();
    store.renew(&lease, Duration::from_secs(3600)).await.unwrap();
    // Some of its keys are here, some there: nobody can append now, and nothing is half done.
    assert!(matches!(append(&store, "not-now").await, Err(StoreError::RetryLater { .. })));
    cluster.end_moving(moving).await.unwrap();
    append_surely(&store, "b").await;
    store.renew(&lease, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(ids_from(&store, Offset(0)).await, ["a0", "a1", "a2", "a3", "a4", "b"]);
}
