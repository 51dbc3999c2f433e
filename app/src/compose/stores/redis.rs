//! A store on Redis.

use super::{Checked, Role};
use crate::config::{Durability, RedisStore as RedisConfig, Store};
use laneway_domain::{Partition, ProcessStatus};
use laneway_ports::{EventLog as _, StoreError, StoreHealth as _, Stores, WorkerId};
use laneway_redis::{RedisOptions, RedisStore};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often a Redis that is away is looked for at a start.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Connects to it. Waits for a Redis that is away or still loads its data: after a power cut everything starts at once,
/// and a process that ended would be started again with longer and longer delays.
pub(super) async fn open(store: &Store, redis: &RedisConfig, role: Role, process: &WorkerId) -> Result<Stores, String> {
    let options = RedisOptions { process: process.0.clone(), role: role.name().into(), ..options(store, redis)? };
    let mut said = String::new();
    loop {
        match RedisStore::connect(options.clone()).await {
            Ok(store) => return Ok(Stores::of(Arc::new(store))),
            Err(error @ StoreError::Refused { .. }) => return Err(error.to_string()),
            Err(error) => {
                let what = error.to_string();
                if what != said {
                    tracing::warn!("the store cannot be opened yet, and is waited for: {what}");
                    said = what;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}

/// As the configuration names it.
pub(in crate::compose) fn options(store: &Store, redis: &RedisConfig) -> Result<RedisOptions, String> {
    Ok(RedisOptions {
        tls: laneway_redis::RedisTls {
            ca: redis.tls.ca.clone(),
            client_certificate: redis.tls.exposed_client_certificate(),
        },
        key_prefix: redis.key_prefix.clone(),
        duplicate_window: store.duplicate_window,
        durability: match store.durability {
            Durability::Full => laneway_redis::Durability::Full,
            Durability::Relaxed => laneway_redis::Durability::Relaxed,
        },
        replicas: redis.replicas,
        replica_timeout: redis.replica_timeout,
        ..RedisOptions::new(redis.url_with_password()?, store.partitions)
    })
}

/// Connects, which looks at the settings that matter, and makes the store if there is none.
pub(super) async fn check(store: &Store, redis: &RedisConfig) -> Result<Checked, String> {
    let options = options(store, redis)?;
    let partitions = options.partitions;
    let store = RedisStore::connect(options).await.map_err(|e| e.to_string())?;
    let mut events = 0;
    for partition in (0..partitions).map(Partition) {
        let bounds = store.bounds(partition).await.map_err(|e| e.to_string())?;
        events += bounds.start.events_until(bounds.end);
    }
    let found = format!("about {events} events in {partitions} partitions");
    let upgrade = Some(upgrade(&store.processes()));
    Ok(Checked { found: Ok(found), warnings: store.warnings().to_vec(), upgrade })
}

/// What it takes to bring these processes to this release. One that would not understand them could not even check.
fn upgrade(there: &[ProcessStatus]) -> String {
    let this = env!("CARGO_PKG_VERSION");
    let working: Vec<&str> = there.iter().filter(|one| one.role != "tool").map(|one| one.release.as_str()).collect();
    if working.iter().all(|release| *release == this) {
        return format!("none: {} processes share the store, all of this Laneway {this}", working.len());
    }
    let releases: BTreeSet<&str> = working.iter().copied().collect();
    let releases: Vec<&str> = releases.into_iter().collect();
    format!(
        "replace the {} processes that share the store (Laneway {}) by this Laneway {this}, one after the other. While an \
         earlier one is there, nothing is written that it cannot read, and you can go back; when the last one is gone, \
         you cannot",
        working.len(),
        releases.join(", ")
    )
}
