//! Leases, by the server's clock.

use super::names::Names;
use super::text::unreadable;
use super::{answer, refused};
use crate::failure::Effect;
use crate::log::Held;
use crate::store::RedisStore;
use bytes::Bytes;
use fred::types::Value;
use laneway_domain::{Partition, Timestamp};
use laneway_ports::{CommitError, Lease, StoreError, Tenure, TenureEnd, WorkerId};
use std::time::{Duration, Instant};

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
    let asked = Instant::now();
    let answer = store.shared.write("laneway_claim", &keys, args).await?;
    if answer == Value::Null {
        return Ok(None);
    }
    let lease = Lease { partition, epoch: answer::number(&answer)?, worker: worker.clone() };
    log.forget_position(Held::new(&lease, asked, ttl));
    Ok(Some(lease))
}

/// [`laneway_ports::ProgressStore::renew`].
pub(super) async fn renew(store: &RedisStore, lease: &Lease, ttl: Duration) -> Result<(), CommitError> {
    let [epoch, worker] = held(lease);
    store.partition(lease.partition)?.memory().renewing(lease, Instant::now(), ttl);
    change(store, "laneway_renew", lease, vec![epoch, worker, millis(ttl)]).await
}

/// [`laneway_ports::ProgressStore::release`].
pub(super) async fn release(store: &RedisStore, lease: &Lease) -> Result<(), CommitError> {
    change(store, "laneway_release", lease, held(lease).into()).await?;
    store.partition(lease.partition)?.memory().released(lease);
    Ok(())
}

/// [`laneway_ports::ProgressStore::tenures`].
pub(super) async fn tenures(store: &RedisStore, partition: Partition) -> Result<Vec<Tenure>, StoreError> {
    let key = Names::new(&store.shared.keys, partition).lease();
    let asked = store.shared.redis.call("laneway_tenures", Effect::Reads, std::slice::from_ref(&key), Vec::new());
    let [epoch, worker, since, until, former] = answer::exactly::<5>(asked.await?)?;
    let [epoch, worker, since, until] =
        [answer::text(&epoch)?, answer::text(&worker)?, answer::text(&since)?, answer::text(&until)?];
    let mut all = Vec::new();
    if !worker.is_empty() {
        let present = tenure(&epoch, &since, &until, None, &worker);
        all.push(present.ok_or_else(|| unreadable(&key, "the lease", "its fields are no numbers"))?);
    }
    for line in answer::text(&former)?.lines() {
        let parts: Vec<&str> = line.splitn(5, ' ').collect();
        let former = match parts[..] {
            [epoch, since, until, "over", worker] => tenure(epoch, since, until, Some(TenureEnd::HandedOver), worker),
            [epoch, since, until, "out", worker] => tenure(epoch, since, until, Some(TenureEnd::RanOut), worker),
            _ => None,
        };
        all.push(former.ok_or_else(|| unreadable(&key, "the field former", format!("{line:?} is none of its lines")))?);
    }
    Ok(all)
}

fn tenure(epoch: &str, since: &str, until: &str, ended: Option<TenureEnd>, worker: &str) -> Option<Tenure> {
    // Older releases do not write down since when.
    let since: u64 = if since.is_empty() { 0 } else { since.parse().ok()? };
    let since = (since > 0).then(|| Timestamp::from_millis(since));
    let until = Timestamp::from_millis(until.parse().ok()?);
    Some(Tenure { epoch: epoch.parse().ok()?, worker: WorkerId(worker.to_owned()), since, until, ended })
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
