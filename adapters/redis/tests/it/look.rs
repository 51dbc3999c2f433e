//! A look before a store is opened.

use crate::support::{new_store, open, server};
use laneway_redis::RedisStore;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_makes_nothing_and_says_whether_there_is_a_store() {
    let server = server().await;
    let options = new_store(&server.url(), 3);
    assert!(!RedisStore::look(&options).await.unwrap().is_store);
    assert_eq!(server.command(&["DBSIZE"]).await.unwrap().number(), Some(0));
    let functions = server.command(&["FUNCTION", "LIST"]).await.unwrap();
    assert_eq!(format!("{functions:?}"), "List([])");
    drop(open(&options).await);
    assert!(RedisStore::look(&options).await.unwrap().is_store);
    assert!(!RedisStore::look(&new_store(&server.url(), 3)).await.unwrap().is_store, "of another prefix");
}
