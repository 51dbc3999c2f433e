//! Redis ends and comes back, forgets its functions or its data, or is full.

use super::{P, append, append_surely, connect, event, ids_from, wait_for};
use laneway_domain::{Offset, Timestamp};
use laneway_ports::{EventLog, StoreError};
use laneway_redis::RedisStore;
use laneway_servers::redis::{RedisServer, RedisSettings};
use std::time::Duration;

async fn start() -> (RedisServer, RedisStore) {
    let server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let store = connect(&server.url(), |_| ()).await.unwrap();
    (server, store)
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_redis_was_killed_and_the_store_goes_on() {
    let (mut server, store) = start().await;
    for n in 0..50 {
        append(&store, &format!("a{n}")).await.unwrap();
    }
    server.kill();
    let error = append(&store, "lost").await.unwrap_err();
    assert!(!matches!(error, StoreError::Refused { .. }), "{error:?}");
    wait_for("the store says that Redis is away", async || store.health().err()).await;
    let not_stored = async || matches!(append(&store, "lost").await, Err(StoreError::RetryLater { .. })).then_some(());
    wait_for("events are known not to be stored", not_stored).await;
    server.restart().await.unwrap();
    let placed = append_surely(&store, "b").await;
    wait_for("the store says that Redis is back", async || store.health().ok()).await;
    let ids = ids_from(&store, Offset(0)).await;
    assert_eq!(ids.iter().filter(|id| id.starts_with('a')).count(), 50, "{ids:?}");
    assert_eq!(ids.last().unwrap(), "b");
    assert_eq!(placed.offset.0 + 1, ids.len() as u64);
}

#[tokio::test]
async fn a_store_that_nobody_uses_is_well_again_after_redis_was_restarted() {
    let (mut server, store) = start().await;
    for _ in 0..3 {
        server.kill();
        wait_for("the store says that Redis is away", async || store.health().err()).await;
        server.restart().await.unwrap();
        wait_for("the store says that Redis is back", async || store.health().ok()).await;
    }
}

#[tokio::test]
async fn whoever_waits_for_growth_hears_of_it_after_redis_was_restarted() {
    let (mut server, store) = start().await;
    append(&store, "a").await.unwrap();
    assert_eq!(store.grown(P, Offset(0)).await.unwrap(), Offset(1));
    let grown = async { store.grown(P, Offset(1)).await.unwrap() };
    let meanwhile = async {
        server.kill();
        server.restart().await.unwrap();
        append_surely(&store, "b").await
    };
    let (end, placed) = tokio::join!(grown, meanwhile);
    assert_eq!(end, placed.offset.next());
    assert_eq!(ids_from(&store, placed.offset).await, ["b"]);
}

#[tokio::test]
async fn functions_that_are_gone_are_loaded_again_and_nobody_notices() {
    let (server, store) = start().await;
    append(&store, "a").await.unwrap();
    server.command(&["FUNCTION", "FLUSH"]).await.unwrap();
    append(&store, "b").await.unwrap();
    server.command(&["FUNCTION", "FLUSH"]).await.unwrap();
    assert_eq!(store.bounds(P).await.unwrap().end, Offset(2));
    assert_eq!(ids_from(&store, Offset(0)).await, ["a", "b"]);
}

#[tokio::test]
async fn an_older_library_is_replaced_at_start() {
    let server = RedisServer::start(RedisSettings::default()).await.unwrap();
    let old = "#!lua name=laneway\nredis.register_function{function_name='laneway_version', \
               callback=function() return 0 end, flags={'no-writes'}}";
    server.command(&["FUNCTION", "LOAD", old]).await.unwrap();
    let store = connect(&server.url(), |_| ()).await.unwrap();
    append(&store, "a").await.unwrap();
}

#[tokio::test]
async fn a_full_redis_takes_nothing_until_events_were_trimmed() {
    let (server, store) = start().await;
    // Everything will have been settled by everyone, as far as the trim can see.
    server.command(&["HSET", "{laneway:0}:progress", "scanned", "1000", "lane:a", "shared"]).await.unwrap();
    let used = server.command(&["INFO", "memory"]).await.unwrap().field("used_memory").unwrap();
    let used: u64 = used.parse().unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", &(used + (4 << 20)).to_string()]).await.unwrap();
    let (mut stored, mut full) = (0_u64, None);
    for n in 0..200 {
        match store.append(vec![event(&format!("e{n}"), 60_000)]).await.remove(0) {
            Ok(_) => stored += 1,
            Err(error) => {
                full = Some(error);
                break;
            }
        }
    }
    let full = full.expect("4 MiB cannot hold 12 MB");
    assert!(matches!(full, StoreError::RetryLater { .. }) && full.to_string().contains("maxmemory"), "{full:?}");
    assert!(stored > 10);
    assert_eq!(ids_from(&store, Offset(0)).await.len() as u64, stored);
    assert_eq!(store.trim(P, Timestamp::MAX, 1000).await.unwrap() as u64, stored);
    let placed = append_surely(&store, "again").await;
    assert_eq!(placed.offset, Offset(stored));
}

#[tokio::test]
async fn a_flushed_redis_does_not_give_out_its_offsets_again() {
    let (server, store) = start().await;
    for n in 0..10 {
        append(&store, &format!("a{n}")).await.unwrap();
    }
    assert_eq!(ids_from(&store, Offset(0)).await.len(), 10);
    server.command(&["FLUSHALL"]).await.unwrap();
    let placed = append(&store, "b").await.unwrap();
    assert_eq!(placed.offset, Offset(1 << 40), "the first of the second generation");
    let lost = server.command(&["HGETALL", "{laneway:0}:lost"]).await.unwrap().text();
    assert_eq!(lost, "1 0:10");
    // What the store was made with is put back.
    let kept = server.command(&["HGET", "{laneway}:store", "partitions"]).await.unwrap().text();
    assert_eq!(kept, "1");
    assert_eq!(ids_from(&store, Offset(10)).await, ["b"]);
}

#[tokio::test]
async fn a_store_that_appends_nothing_notices_a_flush_by_what_it_has_read() {
    let (server, writer) = start().await;
    let reader = connect(&server.url(), |_| ()).await.unwrap();
    for n in 0..10 {
        append(&writer, &format!("a{n}")).await.unwrap();
    }
    assert_eq!(ids_from(&reader, Offset(0)).await.len(), 10);
    drop(writer);
    server.command(&["FLUSHALL"]).await.unwrap();
    // Another ingest, which knows of nothing, gives the numbers out again.
    let writer = connect(&server.url(), |_| ()).await.unwrap();
    for n in 0..12 {
        append(&writer, &format!("b{n}")).await.unwrap();
    }
    let error = reader.read(P, Offset(10), 10, usize::MAX).await.unwrap_err();
    assert!(matches!(error, StoreError::RetryLater { .. }), "{error:?}");
    assert_eq!(server.command(&["HGETALL", "{laneway:0}:lost"]).await.unwrap().text(), "1 0:10");
    assert_eq!(append(&writer, "c").await.unwrap().offset, Offset(1 << 40));
}

#[tokio::test]
async fn too_much_at_once_is_refused_at_once() {
    let (server, store) = start().await;
    drop(store);
    let store = connect(&server.url(), |options| options.queue_events = 10).await.unwrap();
    server.stop().unwrap();
    let first = store.append((0..10).map(|n| event(&format!("a{n}"), 10)).collect());
    let second = async {
        let error = append(&store, "b").await.unwrap_err();
        server.cont().unwrap();
        error
    };
    let (first, error) = tokio::join!(biased; first, second);
    assert!(matches!(error, StoreError::RetryLater { .. }) && error.to_string().contains("wait"), "{error:?}");
    assert!(first.iter().all(Result::is_ok), "{first:?}");
}

#[tokio::test]
async fn a_redis_that_hangs_leaves_it_unknown_and_is_back_when_it_goes_on() {
    let (server, store) = start().await;
    append(&store, "a").await.unwrap();
    server.stop().unwrap();
    let error = append(&store, "b").await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown { .. }), "{error:?}");
    server.cont().unwrap();
    append_surely(&store, "c").await;
    let ids = ids_from(&store, Offset(0)).await;
    assert_eq!((ids.first().unwrap().as_str(), ids.last().unwrap().as_str()), ("a", "c"));
    tokio::time::timeout(Duration::from_secs(30), store.grown(P, Offset(0))).await.unwrap().unwrap();
}
