//! Connections that stay open and say nothing.

use crate::support::wire::Wire;
use crate::support::{append, event, new_store, open, server};
use laneway_domain::{Offset, Partition};
use laneway_ports::EventLog;
use laneway_redis::{RedisOptions, RedisStore};
use laneway_servers::redis::RedisServer;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const P: Partition = Partition(0);
/// Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is tried: without waiting for an answer, as many callers do that do not know of each other.
const EVERY: Duration = Duration::from_millis(100);

/// A store whose connections have fallen silent. Whoever connects anew is served.
async fn silent() -> (RedisServer, Wire, RedisOptions, Arc<RedisStore>) {
    let server = server().await;
    let wire = Wire::to(server.address()).await;
    let options = new_store(&wire.url(), 1);
    let store = open(&options).await;
    store.append(vec![event("a", "k")]).await.remove(0).unwrap();
    assert_eq!(store.grown(P, Offset(0)).await.unwrap(), Offset(1));
    wire.fall_silent();
    (server, wire, options, Arc::new(store))
}

/// Calls again and again, and resolves when a call has succeeded. What is written meanwhile does not
/// make a silent connection look alive.
async fn until_done<F: Future<Output = bool> + Send + 'static>(call: impl Fn() -> F) {
    let trying = async {
        let mut calls = JoinSet::new();
        loop {
            calls.spawn(call());
            tokio::time::sleep(EVERY).await;
            while let Some(done) = calls.try_join_next() {
                if done.unwrap() {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, trying).await.expect("the connection is made anew");
}

#[tokio::test]
async fn a_silent_connection_is_given_up_however_much_is_asked_on_it() {
    let (_server, _wire, _, store) = silent().await;
    until_done(|| {
        let store = store.clone();
        async move { store.bounds(P).await.is_ok() }
    })
    .await;
}

#[tokio::test]
async fn a_silent_connection_is_given_up_however_much_is_appended_on_it() {
    let (_server, _wire, _, store) = silent().await;
    until_done(|| {
        let store = store.clone();
        async move { store.append(vec![event("b", "k")]).await.remove(0).is_ok() }
    })
    .await;
}

#[tokio::test]
async fn a_store_that_nobody_uses_is_well_again_after_a_silence() {
    let (_server, wire, _, store) = silent().await;
    // The store stays unwell until the test has seen it: however short a look takes, it cannot be missed.
    wire.keep_out();
    let becomes = async |well: bool| {
        while store.health().is_ok() != well {
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, becomes(false)).await.expect("the silence is noticed");
    wire.let_in();
    tokio::time::timeout(PATIENCE, becomes(true)).await.expect("the connection is made anew");
}

#[tokio::test]
async fn growth_is_seen_again_after_a_silence() {
    let (server, _wire, options, store) = silent().await;
    let other = open(&RedisOptions { url: server.url(), ..options }).await;
    other.append(vec![event("b", "k")]).await.remove(0).unwrap();
    let end = tokio::time::timeout(PATIENCE, store.grown(P, Offset(1))).await.expect("it is seen").unwrap();
    assert_eq!(end, Offset(2));
}

/// As one does whose disk takes seconds for an fsync. It is tried whether it answers another connection; it does not, so
/// nothing is won by giving up the one on which something is under way.
#[tokio::test]
async fn what_is_under_way_at_a_server_that_stands_still_has_its_answer_in_the_end() {
    let server = server().await;
    let wire = Wire::to(server.address()).await;
    let store = Arc::new(open(&new_store(&wire.url(), 1)).await);
    append(&store, "a").await.unwrap();
    server.stop().unwrap();
    let appending = {
        let store = store.clone();
        tokio::spawn(async move { append(&store, "b").await })
    };
    tokio::time::timeout(PATIENCE, wire.next_connection()).await.expect("it is tried whether Redis answers elsewhere");
    server.cont().unwrap();
    assert_eq!(appending.await.unwrap().unwrap().offset, Offset(1));
}
