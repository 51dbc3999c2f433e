//! What is refused at start, and what the refusal says.

use super::{P, append, connect};
use laneway_ports::{EventLog, StoreError};
use laneway_redis::{Durability, RedisOptions};
use laneway_servers::redis::{RedisServer, RedisSettings};
use laneway_servers::redis_cluster::RedisCluster;

async fn refused(url: &str, change: impl FnOnce(&mut RedisOptions)) -> String {
    match connect(url, change).await {
        Err(StoreError::Refused { what }) => what,
        other => panic!("not refused: {other:?}"),
    }
}

async fn server(name: &str, value: &str) -> RedisServer {
    RedisServer::start(RedisSettings::default().with(name, value)).await.unwrap()
}

#[tokio::test]
async fn a_redis_without_an_aof_is_refused_and_told_how_to_get_one() {
    let server = server("appendonly", "no").await;
    let what = refused(&server.url(), |_| ()).await;
    assert!(what.contains("appendonly = no") && what.contains("set appendonly yes"), "{what}");
}

#[tokio::test]
async fn a_redis_that_does_not_fsync_always_is_refused_unless_that_is_wanted() {
    let server = server("appendfsync", "everysec").await;
    let what = refused(&server.url(), |_| ()).await;
    assert!(what.contains("appendfsync = everysec") && what.contains("set appendfsync always"), "{what}");
    let store = connect(&server.url(), |options| options.durability = Durability::Relaxed).await.unwrap();
    append(&store, "a").await.unwrap();
}

#[tokio::test]
async fn a_redis_that_evicts_is_refused_however_relaxed_one_is() {
    let server = server("maxmemory-policy", "allkeys-lru").await;
    for durability in [Durability::Full, Durability::Relaxed] {
        let what = refused(&server.url(), |options| options.durability = durability).await;
        assert!(what.contains("maxmemory-policy = allkeys-lru") && what.contains("noeviction"), "{what}");
    }
}

#[tokio::test]
async fn another_number_of_partitions_than_the_store_was_made_with_is_refused() {
    let server = server("appendonly", "yes").await;
    connect(&server.url(), |options| options.partitions = 4).await.unwrap();
    let what = refused(&server.url(), |options| options.partitions = 8).await;
    assert!(what.contains("4 partitions") && what.contains("store.partitions = 8"), "{what}");
    // Another store in the same Redis has its own.
    let other = connect(&server.url(), |options| (options.partitions, options.key_prefix) = (8, "other".into())).await;
    assert_eq!(other.unwrap().partitions(), 8);
}

#[tokio::test]
async fn settings_that_may_not_be_read_are_asked_for_by_name() {
    let server = server("appendonly", "yes").await;
    let rule = ["ACL", "SETUSER", "laneway", "on", ">s3cret", "~*", "&*", "+@all", "-config"];
    server.command(&rule).await.unwrap();
    let url = server.url().replace("redis://", "redis://laneway:s3cret@");
    let what = refused(&url, |_| ()).await;
    assert!(what.contains("+config|get") && what.contains("durability = \"relaxed\""), "{what}");
    assert!(!what.contains("s3cret"), "{what}");
    let store = connect(&url, |options| options.durability = Durability::Relaxed).await.unwrap();
    append(&store, "a").await.unwrap();
    let wrong = refused(&url.replace("s3cret", "wr0ng"), |_| ()).await;
    assert!(wrong.contains("password") && !wrong.contains("wr0ng"), "{wrong}");
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_for_later_and_named() {
    let mut server = server("appendonly", "yes").await;
    server.kill();
    let error = connect(&server.url(), |_| ()).await.unwrap_err();
    assert!(matches!(error, StoreError::RetryLater { .. }), "{error:?}");
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
}

#[tokio::test]
async fn one_wrong_node_of_a_cluster_is_found() {
    let cluster = RedisCluster::start(3, 0, RedisSettings::default()).await.unwrap();
    cluster.nodes()[2].command(&["CONFIG", "SET", "appendfsync", "everysec"]).await.unwrap();
    let what = refused(&cluster.url(), |_| ()).await;
    let wrong = cluster.nodes()[2].address().to_string();
    assert!(what.contains("appendfsync = everysec") && what.contains(&wrong), "{what}");
    cluster.nodes()[2].command(&["CONFIG", "SET", "appendfsync", "always"]).await.unwrap();
    let store = connect(&cluster.url(), |options| options.partitions = 8).await.unwrap();
    assert_eq!(store.bounds(P).await.unwrap().end.0, 0);
}

#[tokio::test]
async fn an_aof_that_may_be_cut_off_within_a_transaction_is_warned_of_with_the_fix() {
    let server = server("aof-load-truncated", "yes").await;
    let store = connect(&server.url(), |_| ()).await.unwrap();
    let [warning] = store.warnings() else { panic!("{:?}", store.warnings()) };
    let named = ["aof-load-truncated = yes", "set aof-load-truncated no", "redis-check-aof --fix", &server.url()[8..]];
    assert!(named.iter().all(|part| warning.contains(part)), "{warning}");
    let relaxed = connect(&server.url(), |options| options.durability = Durability::Relaxed).await.unwrap();
    assert!(relaxed.warnings().is_empty(), "{:?}", relaxed.warnings());
    server.command(&["CONFIG", "SET", "aof-load-truncated", "no"]).await.unwrap();
    let store = connect(&server.url(), |_| ()).await.unwrap();
    assert!(store.warnings().is_empty(), "{:?}", store.warnings());
}

#[tokio::test]
async fn a_cluster_that_stops_as_a_whole_is_warned_of_with_the_fix() {
    let settings = RedisSettings::default().with("aof-load-truncated", "no");
    let cluster = RedisCluster::start(3, 0, settings).await.unwrap();
    let store = connect(&cluster.url(), |_| ()).await.unwrap();
    let [warning] = store.warnings() else { panic!("{:?}", store.warnings()) };
    assert!(warning.contains("set cluster-require-full-coverage no"), "{warning}");
    assert!(cluster.nodes().iter().all(|node| warning.contains(&node.address().to_string())), "{warning}");
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await.unwrap();
    }
    let store = connect(&cluster.url(), |_| ()).await.unwrap();
    assert!(store.warnings().is_empty(), "{:?}", store.warnings());
}
