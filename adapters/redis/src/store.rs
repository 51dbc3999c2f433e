//! The store: who asks for what.

use crate::connect::Redis;
use crate::inspection::Inspector;
use crate::keys::Keys;
use crate::log::PartitionLog;
use crate::log::append::{Appender, Waiting};
use crate::log::watch::{self, Group, Watchers};
use crate::options::RedisOptions;
use crate::progress::Replicated;
use crate::startup;
use laneway_domain::{Partition, Revision};
use laneway_ports::{StoreError, StoreHealth};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch as watch_channel;
use tokio::task::JoinHandle;

/// The store on Redis. Any number of processes can have it open at the same time.
pub struct RedisStore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) appender: Appender,
    warnings: Vec<String>,
    inspecting: JoinHandle<()>,
    _watchers: Watchers,
}

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
    /// By partition.
    pub(crate) logs: Vec<PartitionLog>,
    /// What watches them.
    pub(crate) groups: Vec<Arc<Group>>,
    /// What waits to be appended.
    pub(crate) waiting: Waiting,
    /// The last change of the registry that this process has made: it need not wait until it looks.
    pub(crate) registry_moved: watch_channel::Sender<Revision>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.inspecting.abort();
    }
}

impl RedisStore {
    /// Connects to the store, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError::RetryLater`] if Redis cannot be reached. [`StoreError::Refused`] if the URL
    /// or another option is wrong, if Redis or its settings are such that it could lose what it
    /// acknowledged, or if the store was made with another number of partitions; the text says
    /// which setting, and what to do.
    pub async fn connect(options: RedisOptions) -> Result<Self, StoreError> {
        startup::check_options(&options)?;
        let redis = Redis::connect(&options).await?;
        let (inspector, warnings) = Inspector::begin(&redis, options.durability).await?;
        let keys = Keys::new(&options.key_prefix);
        startup::open(&redis, &keys, options.partitions).await?;
        let logs: Vec<_> = (0..options.partitions).map(|p| PartitionLog::new(Partition(p))).collect();
        let groups = watch::groups(logs.len(), redis.is_cluster());
        let replicated = Replicated::connect(&redis, &options).await?;
        let waiting = Waiting::default();
        let registry_moved = watch_channel::Sender::default();
        let shared =
            Arc::new(Shared { options, keys, redis, replicated, inspector, logs, groups, waiting, registry_moved });
        let appender = Appender::start(&shared).await?;
        let watchers = watch::start(&shared);
        let inspecting = tokio::spawn(shared.inspector.clone().go_on());
        Ok(Self { shared, appender, warnings, inspecting, _watchers: watchers })
    }

    /// What an operator should know of Redis' settings, which were taken as they are: a line each. They
    /// were logged too.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What keeps the store from taking events, for people.
    ///
    /// # Errors
    /// If Redis cannot be reached, or its settings are such that it might lose what it acknowledges; of a
    /// Cluster, if that is so of all nodes.
    pub fn health(&self) -> Result<(), String> {
        self.shared.redis.connected().map_err(|error| error.to_string())?;
        self.shared.inspector.health()
    }

    /// What keeps the store from taking some of the events, while it takes others: of each node of a Cluster whose
    /// settings are such that it might lose what it acknowledges, the reason, for people.
    #[must_use]
    pub fn limitations(&self) -> Vec<String> {
        self.shared.inspector.unsafe_servers()
    }

    /// What is known of a partition; refuses one that the store does not have.
    pub(crate) fn partition(&self, partition: Partition) -> Result<&PartitionLog, StoreError> {
        self.shared.logs.get(partition.0 as usize).ok_or_else(|| {
            StoreError::refused(format!(
                "there is no partition {partition}: the store has {}",
                self.shared.options.partitions
            ))
        })
    }
}

impl StoreHealth for RedisStore {
    fn health(&self) -> Result<(), String> {
        Self::health(self)
    }

    fn limitations(&self) -> Vec<String> {
        Self::limitations(self)
    }
}
