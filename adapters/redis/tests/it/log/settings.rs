//! Settings that change while the store is open: with the server running, with its restart, and when another server takes
//! its place. What Redis would not keep is never acknowledged, and everything goes on by itself when that is mended.

use super::failover::slot;
use super::{P, PATIENCE, append, append_surely, connect, ids_from, wait_for};
use laneway_domain::{Commit, Offset, Partition};
use laneway_ports::{EventLog, ProgressStore, StoreError, WorkerId};
use laneway_redis::RedisStore;
use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_servers::redis_cluster::RedisCluster;
use std::time::{Duration, Instant};

/// For how long settings are believed without looking at them again (`LOOK_ALONG_AFTER`), and some more.
const BELIEVED: Duration = Duration::from_millis(20);

async fn set(server: &RedisServer, setting: &str, value: &str) {
    server.command(&["CONFIG", "SET", setting, value]).await.unwrap();
}

/// Appends until it is said why that cannot be. Nothing may be acknowledged meanwhile.
async fn refused_because(store: &RedisStore, part: &str) {
    let begun = Instant::now();
    loop {
        let error = match append(store, "refused").await {
            Err(StoreError::Refused { what }) => panic!("{what}: that would be for good"),
            Err(error) => error.to_string(),
            Ok(_) => panic!("acknowledged with {part}"),
        };
        if error.contains(part) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What is delivered goes on.
async fn works_but_for_appends(store: &RedisStore) {
    store.read(P, Offset(0), 10, usize::MAX).await.unwrap();
    let lease = store.claim(P, &WorkerId("w".into()), Duration::from_secs(60)).await.unwrap().unwrap();
    let commit = Commit { scanned: Some(Offset(1)), ..Commit::default() };
    store.commit(&lease, &commit).await.unwrap();
    store.release(&lease).await.unwrap();
}

#[tokio::test]
async fn a_setting_that_is_changed_while_redis_runs_is_noticed_and_mended_ones_too() {
    for (setting, wrong, right) in [
        ("appendonly", "no", "yes"),
        ("appendfsync", "everysec", "always"),
        ("appendfsync", "no", "always"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("maxmemory-policy", "volatile-ttl", "noeviction"),
    ] {
        let server = RedisServer::start(RedisSettings::default()).await.unwrap();
        let store = connect(&server.url(), |_| ()).await.unwrap();
        append(&store, "before").await.unwrap();
        set(&server, setting, wrong).await;
        tokio::time::sleep(BELIEVED).await;
        let text = format!("{setting} = {wrong}");
        refused_because(&store, &text).await;
        let health = store.health().unwrap_err();
        assert!(health.contains(&text) && health.contains("no event is accepted"), "{health}");
        works_but_for_appends(&store).await;
        set(&server, setting, right).await;
        append_surely(&store, "after").await;
        wait_for("it is well again", async || store.health().ok()).await;
        // It was not acknowledged, but perhaps stored: what was acknowledged is there, in its order.
        let mut ids = ids_from(&store, Offset(0)).await;
        ids.retain(|id| id != "refused");
        assert_eq!(ids, ["before", "after"], "{text}");
    }
}

#[tokio::test]
async fn a_change_is_noticed_while_nothing_is_appended() {
    let server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let store = connect(&server.url(), |_| ()).await.unwrap();
    set(&server, "appendfsync", "no").await;
    wait_for("the change is seen", async || store.health().err()).await;
    set(&server, "appendfsync", "always").await;
    wait_for("it is well again", async || store.health().ok()).await;
}

#[tokio::test]
async fn settings_that_may_no_longer_be_read_are_not_believed() {
    let server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let user = |rule: &'static str| ["ACL", "SETUSER", "laneway", "on", ">s3cret", "~*", "&*", "+@all", rule];
    server.command(&user("+config")).await.unwrap();
    let store = connect(&server.url().replace("redis://", "redis://laneway:s3cret@"), |_| ()).await.unwrap();
    append(&store, "before").await.unwrap();
    server.command(&user("-config")).await.unwrap();
    tokio::time::sleep(BELIEVED).await;
    refused_because(&store, "does not let its settings be read").await;
    server.command(&user("+config")).await.unwrap();
    append_surely(&store, "after").await;
}

#[tokio::test]
async fn a_redis_that_is_started_again_with_other_settings_gets_nothing_that_it_would_not_keep() {
    for (setting, wrong) in [("appendfsync", "no"), ("maxmemory-policy", "allkeys-random"), ("appendonly", "no")] {
        let mut server = RedisServer::start(RedisSettings::default()).await.unwrap();
        let store = connect(&server.url(), |_| ()).await.unwrap();
        append(&store, "before").await.unwrap();
        server.with_setting(setting, wrong);
        server.kill();
        server.restart().await.unwrap();
        // No first one, either.
        refused_because(&store, &format!("{setting} = {wrong}")).await;
        let right = match setting {
            "appendfsync" => "always",
            "appendonly" => "yes",
            _ => "noeviction",
        };
        server.with_setting(setting, right);
        server.kill();
        server.restart().await.unwrap();
        append_surely(&store, "after").await;
    }
}

/// A partition in the slots of another node than `node`'s.
async fn on_another(cluster: &RedisCluster, node: usize, partitions: u32) -> Partition {
    for partition in (0..partitions).map(Partition) {
        if cluster.primary_of(slot(partition)).await.unwrap() != node {
            return partition;
        }
    }
    panic!("all partitions are on node {node}");
}

async fn append_to(store: &RedisStore, partition: Partition, partitions: u32) -> Result<(), StoreError> {
    let key = (0..).map(|n| format!("key-{n}")).find(|key| {
        let mut event = super::event("e", 20);
        event.event.key = Some(laneway_domain::Key::new(key).unwrap());
        Partition::of(event.event.ordered_by(), partitions) == partition
    });
    let mut event = super::event("e", 20);
    event.event.key = Some(laneway_domain::Key::new(&key.unwrap()).unwrap());
    store.append(vec![event]).await.remove(0).map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_of_a_cluster_whose_settings_change_is_refused_alone() {
    let cluster = RedisCluster::start(3, 0, RedisSettings::default()).await.unwrap();
    let store = connect(&cluster.url(), |options| options.partitions = 12).await.unwrap();
    let held = P;
    let node = cluster.primary_of(slot(held)).await.unwrap();
    let other = on_another(&cluster, node, 12).await;
    append_to(&store, held, 12).await.unwrap();
    append_to(&store, other, 12).await.unwrap();
    set(&cluster.nodes()[node], "appendonly", "no").await;
    tokio::time::sleep(BELIEVED).await;
    let error = append_to(&store, held, 12).await.unwrap_err();
    assert!(error.to_string().contains("appendonly = no"), "{error}");
    for _ in 0..20 {
        append_to(&store, other, 12).await.unwrap();
    }
    // It goes on taking events, and says what it does not take.
    store.health().unwrap();
    let limits = store.limitations();
    assert!(limits.len() == 1 && limits[0].contains(&cluster.nodes()[node].address().to_string()), "{limits:?}");
    set(&cluster.nodes()[node], "appendonly", "yes").await;
    wait_for("it is used again", async || append_to(&store, held, 12).await.ok()).await;
    wait_for("nothing is limited", async || store.limitations().is_empty().then_some(())).await;
}

/// Moves a slot with all that is in it, as `redis-cli --cluster reshard` does.
async fn move_slot(cluster: &RedisCluster, slot: u16, from: usize, to: usize) {
    let slot = slot.to_string();
    let (from, to) = (&cluster.nodes()[from], &cluster.nodes()[to]);
    let id = async |node: &RedisServer| node.command(&["CLUSTER", "MYID"]).await.unwrap().text();
    let (from_id, to_id) = (id(from).await, id(to).await);
    to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await.unwrap();
    from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await.unwrap();
    loop {
        let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await.unwrap();
        let keys: Vec<String> = keys.items().iter().map(laneway_servers::redis::Reply::text).collect();
        if keys.is_empty() {
            break;
        }
        let (host, port) = (to.address().ip().to_string(), to.address().port().to_string());
        let mut command = vec!["MIGRATE".into(), host, port, String::new(), "0".into(), "5000".into(), "KEYS".into()];
        command.extend(keys);
        from.command(&command).await.unwrap();
    }
    for node in [to, from] {
        node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_to_a_node_with_other_settings_gets_nothing_there() {
    let cluster = RedisCluster::start(3, 0, RedisSettings::default()).await.unwrap();
    let store = connect(&cluster.url(), |options| options.partitions = 1).await.unwrap();
    append(&store, "before").await.unwrap();
    let from = cluster.primary_of(slot(P)).await.unwrap();
    let to = (from + 1) % 3;
    // It had been found good when the store was opened, and had nothing to do since.
    set(&cluster.nodes()[to], "appendfsync", "everysec").await;
    move_slot(&cluster, slot(P), from, to).await;
    refused_because(&store, "appendfsync = everysec").await;
    set(&cluster.nodes()[to], "appendfsync", "always").await;
    append_surely(&store, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_with_other_settings_gets_nothing() {
    let mut cluster = RedisCluster::start(3, 3, RedisSettings::default()).await.unwrap();
    let store = connect(&cluster.url(), |options| options.replicas = 1).await.unwrap();
    append(&store, "before").await.unwrap();
    let nodes = cluster.nodes_of(slot(P)).await.unwrap();
    let (primary, replica) = (nodes[0], nodes[1]);
    set(&cluster.nodes()[replica], "appendonly", "no").await;
    append(&store, "still").await.unwrap();
    cluster.node_mut(primary).kill();
    cluster.wait_failover(slot(P), primary).await.unwrap();
    refused_because(&store, "appendonly = no").await;
    set(&cluster.nodes()[replica], "appendonly", "yes").await;
    cluster.node_mut(primary).restart().await.unwrap();
    append_surely(&store, "after").await;
    let ids = ids_from(&store, Offset(0)).await;
    assert!(ids.starts_with(&["before".into(), "still".into()]) && ids.contains(&"after".into()), "{ids:?}");
}
