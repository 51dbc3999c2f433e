//! A build without Redis: the configuration has refused its URL before, and says what brings it.

use super::{BackupReport, Progressed, RestoreOptions, Restored};
use crate::config::{RedisStore, Store};
use std::path::Path;

const LEFT_OUT: &str = "this laneway was built without Redis";

pub(super) async fn backup(
    _: &Store,
    _: &RedisStore,
    _: &Path,
    _: impl FnMut(Progressed) + Send,
) -> Result<BackupReport, String> {
    Err(LEFT_OUT.to_owned())
}

pub(super) async fn restore(
    _: &Store,
    _: &RedisStore,
    _: &Path,
    _: RestoreOptions,
    _: impl FnMut(Progressed) + Send,
) -> Result<Restored, String> {
    Err(LEFT_OUT.to_owned())
}
