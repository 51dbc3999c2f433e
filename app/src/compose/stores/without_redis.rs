//! A build without Redis: the configuration has refused its URL before, and says what brings it.

use super::{Checked, Role, StoreTls};
use crate::config::{RedisStore, Store};
use crate::registry::Reader;
use laneway_ports::{Stores, WorkerId};

const LEFT_OUT: &str = "this laneway was built without Redis";

pub(super) async fn open(_: &Store, _: &RedisStore, _: StoreTls, _: Role, _: &WorkerId) -> Result<Stores, String> {
    Err(LEFT_OUT.to_owned())
}

pub(super) async fn check(_: &Store, _: &RedisStore, _: &Reader) -> Result<Checked, String> {
    Err(LEFT_OUT.to_owned())
}
