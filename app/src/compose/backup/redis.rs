//! Backups of a store on Redis.

use super::{BackupReport, Progressed, RestoreOptions, Restored};
use crate::compose::stores::redis_options;
use crate::config::{RedisStore, Store};
use laneway_redis::RedisOptions;
use std::path::Path;

pub(super) async fn backup(
    store: &Store,
    redis: &RedisStore,
    to: &Path,
    mut progressed: impl FnMut(Progressed) + Send,
) -> Result<BackupReport, String> {
    let options = RedisOptions { role: "backup".into(), ..redis_options(store, redis)? };
    let report = laneway_redis::backup(options, to, |copied| progressed(events(copied))).await;
    let laneway_redis::BackupReport { partitions, events, findings } = report.map_err(|error| error.to_string())?;
    Ok(BackupReport { partitions, events, findings })
}

pub(super) async fn restore(
    store: &Store,
    redis: &RedisStore,
    from: &Path,
    options: RestoreOptions,
    mut progressed: impl FnMut(Progressed) + Send,
) -> Result<Restored, String> {
    let into = redis_options(store, redis)?;
    let options = laneway_redis::RestoreOptions { keep_tokens: options.keep_tokens };
    let made = laneway_redis::restore(into, from, options, |restored| progressed(events(restored))).await;
    let laneway_redis::Restored { backed_up_at, goes_on_at, revoked_tokens } =
        made.map_err(|error| error.to_string())?;
    let backed_up_at = Some(backed_up_at);
    Ok(Restored { backed_up_at, goes_on_at, revoked_tokens, replaced: None, log_alone: None, findings: Vec::new() })
}

fn events(progressed: laneway_redis::Progressed) -> Progressed {
    Progressed { done: progressed.events, of: progressed.of, unit: "events" }
}
