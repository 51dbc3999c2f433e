//! A Sentinel that replaces the primary.

use super::{append, append_surely, connect, ids_from};
use crate::support::{documented_rights, permit};
use laneway_domain::Offset;
use laneway_ports::StoreError;
use laneway_redis::RedisOptions;
use laneway_servers::redis::RedisSettings;
use laneway_servers::redis_sentinel::RedisSentinel;

#[tokio::test]
async fn a_primary_that_sentinel_replaces_is_followed_without_loss() {
    let mut sentinel = RedisSentinel::start(RedisSettings::default()).await.unwrap();
    let (rights, mut permitted) = (documented_rights(), RedisOptions::new(sentinel.url(), 1));
    let without_role: Vec<String> = rights.iter().filter(|right| *right != "+role").cloned().collect();
    permit(sentinel.servers(), &mut permitted, &without_role).await;
    let denied = connect(&permitted.url, |_| ()).await.map(|_| ()).unwrap_err();
    assert!(matches!(&denied, StoreError::Refused { what } if what.contains("+role")), "{denied:?}");
    permit(sentinel.servers(), &mut permitted, &rights).await;
    let store = connect(&permitted.url, |options| options.replicas = 1).await.unwrap();
    for n in 0..20 {
        append(&store, &format!("a{n}")).await.unwrap();
    }
    sentinel.server_mut(0).kill();
    assert_eq!(sentinel.wait_failover(0).await.unwrap(), 1);
    sentinel.server_mut(0).restart().await.unwrap();
    permit(sentinel.servers(), &mut permitted, &rights).await;
    append_surely(&store, "b").await;
    let mut ids = ids_from(&store, Offset(0)).await;
    ids.dedup();
    assert_eq!(ids.len(), 21, "{ids:?}");
    assert_eq!((ids[0].as_str(), ids[19].as_str(), ids[20].as_str()), ("a0", "a19", "b"));
}
