//! A store on Redis.

use super::{Checked, Role};
use crate::compose::certificates::{StoreTls, redis_tls};
use crate::compose::starting::patiently;
use crate::config::{Durability, RedisStore as RedisConfig, Store};
use crate::registry::{Reader, check_keys};
use laneway_domain::{Partition, ProcessStatus};
use laneway_ports::{EventLog as _, StoreHealth as _, Stores, WorkerId};
use laneway_redis::{RedisOptions, RedisStore};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Connects to it. Waits for a Redis that is away, loads its data, or has no primary at the moment: a large Redis takes
/// minutes. What only people can mend is an error.
pub(super) async fn open(
    store: &Store,
    redis: &RedisConfig,
    tls: StoreTls,
    role: Role,
    process: &WorkerId,
) -> Result<Stores, String> {
    let (process, role) = (process.0.clone(), role.name().into());
    let options = RedisOptions { process, role, tls, ..options(store, redis)? };
    let connected = patiently(|| RedisStore::connect(options.clone())).await;
    connected.map(|store| Stores::of(Arc::new(store))).map_err(|error| error.to_string())
}

/// As the configuration names it.
pub(in crate::compose) fn options(store: &Store, redis: &RedisConfig) -> Result<RedisOptions, String> {
    Ok(RedisOptions {
        tls: redis_tls(&redis.tls)?,
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

/// Connects, which looks at the settings that matter. Where there is no store, none is made: how many partitions it has
/// could never be changed.
pub(super) async fn check(store: &Store, redis: &RedisConfig, reader: &Reader) -> Result<Checked, String> {
    let options = options(store, redis)?;
    let partitions = options.partitions;
    let there = RedisStore::look(&options).await.map_err(|e| e.to_string())?;
    if !there.is_store {
        let found = format!("{} will be made, with {partitions} partitions", store.url);
        return Ok(Checked { found: Ok(found), warnings: there.warnings, upgrade: None });
    }
    let store = RedisStore::connect(options).await.map_err(|e| e.to_string())?;
    let mut events = 0;
    for partition in (0..partitions).map(Partition) {
        let bounds = store.bounds(partition).await.map_err(|e| e.to_string())?;
        events += bounds.start.events_until(bounds.end);
    }
    let found = format!("about {events} events in {partitions} partitions");
    let found = check_keys(&store, reader).await.map(|()| found).map_err(|error| error.to_string());
    let upgrade = Some(upgrade(&store.processes()));
    Ok(Checked { found, warnings: store.warnings().to_vec(), upgrade })
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
