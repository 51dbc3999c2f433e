//! Leases, by the server's clock.

use super::names::Names;
use super::{answer, refused};
use crate::failure::Effect;
use crate::store::RedisStore;
use bytes::Bytes;
use fred::types::Value;
use laneway_domain::Partition;
use laneway_ports::{CommitError, Lease, StoreError, WorkerId};
use std::time::Duration;

fn millis(ttl: Duration) -> Bytes {
    ttl.as_millis().to_string().into()
}

fn held(lease: &Lease) -> [Bytes; 2] {
    [lease.epoch.to_string().into(), lease.worker.0.clone().into()]
}

/// [`laneway_ports::ProgressStore::claim`].
pub(super) async fn claim(
    store: &RedisStore,
    partition: Partition,
    worker: &WorkerId,
    ttl: Duration,
) -> Result<Option<Lease>, StoreError> {
    // What was read so far is forgotten with the claim. Should it turn out to be of another log than
    // there is now, that has to be found out before.
    let log = store.partition(partition)?;
    store.shared.check_log(log).await?;
    let keys = [Names::new(&store.shared.keys, partition).lease()];
    let args = vec![worker.0.clone().into(), millis(ttl)];
    let answer = store.shared.write("laneway_claim", &keys, args).await?;
    if answer == Value::Null {
        return Ok(None);
    }
    log.forget_position();
    Ok(Some(Lease { partition, epoch: answer::number(&answer)?, worker: worker.clone() }))
}

/// [`laneway_ports::ProgressStore::renew`].
pub(super) async fn renew(store: &RedisStore, lease: &Lease, ttl: Duration) -> Result<(), CommitError> {
    let [epoch, worker] = held(lease);
    change(store, "laneway_renew", lease, vec![epoch, worker, millis(ttl)]).await
}

/// [`laneway_ports::ProgressStore::release`].
pub(super) async fn release(store: &RedisStore, lease: &Lease) -> Result<(), CommitError> {
    change(store, "laneway_release", lease, held(lease).into()).await
}

async fn change(
    store: &RedisStore,
    function: &'static str,
    lease: &Lease,
    args: Vec<Bytes>,
) -> Result<(), CommitError> {
    let keys = [Names::new(&store.shared.keys, lease.partition).lease()];
    let called = store.shared.redis.call(function, Effect::Writes, &keys, args).await;
    called.map(|_| ()).map_err(|error| refused(lease, error))
}
