//! Connections that have just been closed.

use crate::support::{append, append_surely, new_store, open, server};
use laneway_ports::StoreError;
use laneway_redis::{RedisOptions, RedisStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Far more than it takes, and far less than a command may take.
const PATIENCE: Duration = Duration::from_secs(30);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(600);

/// Appends until it is told that Redis is away.
async fn until_away(store: Arc<RedisStore>, name: usize) {
    for n in 0_u32.. {
        match append(&store, &format!("{name}-{n}")).await {
            Ok(_) | Err(StoreError::Unknown { .. }) => {}
            Err(StoreError::RetryLater { .. }) => return,
            Err(refused) => panic!("{refused}"),
        }
    }
}

/// Between the end of a connection and the first attempt to make another one, the client still takes commands, and
/// keeps them until it is connected. Whoever gives it one then would wait for as long as a command may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_waits_in_a_connection_that_has_just_been_closed() {
    let mut server = server().await;
    let options = RedisOptions { command_timeout: COMMAND_TIMEOUT, ..new_store(&server.url(), 4) };
    let store = Arc::new(open(&options).await);
    let mut appending = JoinSet::new();
    for name in 0..16 {
        appending.spawn(until_away(store.clone(), name));
    }
    append(&store, "first").await.unwrap();
    server.kill();
    let all = async { while appending.join_next().await.transpose().unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, all).await.expect("whoever appends is told that Redis is away");
    server.restart().await.unwrap();
    append_surely(&store, "last").await;
}
