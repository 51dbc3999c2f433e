//! What the tasks of a store have in common.

use crate::connect::Redis;
use crate::failure::Effect;
use crate::inspection::Inspector;
use crate::keys::Keys;
use crate::library::CallError;
use crate::log::{Group, PartitionLog, Waiting};
use crate::options::RedisOptions;
use crate::processes::Processes;
use crate::replicated::Replicated;
use bytes::Bytes;
use fred::types::Value;
use laneway_domain::Revision;
use std::sync::Arc;
use tokio::sync::watch as watch_channel;

/// What the tasks of a store have in common.
pub(crate) struct Shared {
    pub(crate) options: RedisOptions,
    pub(crate) keys: Keys,
    /// For everything that is short: reads, commits, leases.
    pub(crate) redis: Redis,
    /// For writes that replicas have to acknowledge, if any have to.
    pub(crate) replicated: Option<Replicated>,
    /// Whether the servers keep what they acknowledge.
    pub(crate) inspector: Arc<Inspector>,
    /// Which processes have the store open, and what they read.
    pub(crate) processes: Arc<Processes>,
    /// By partition.
    pub(crate) logs: Vec<PartitionLog>,
    /// What watches them.
    pub(crate) groups: Vec<Arc<Group>>,
    /// What waits to be appended.
    pub(crate) waiting: Waiting,
    /// The last change of the registry that this process has made: it need not wait until it looks.
    pub(crate) registry_moved: watch_channel::Sender<Revision>,
}

impl Shared {
    /// Calls a function that changes something; resolves when as many replicas as the options ask
    /// for have it.
    pub(crate) async fn write(
        &self,
        function: &'static str,
        keys: &[String],
        args: Vec<Bytes>,
    ) -> Result<Value, CallError> {
        match &self.replicated {
            Some(replicated) => replicated.write(function, keys, &args).await,
            None => self.redis.call(function, Effect::Writes, keys, args).await,
        }
    }
}
