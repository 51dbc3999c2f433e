//! The store: who asks for what.

use crate::connect::Redis;
use crate::inspection::Inspector;
use crate::keys::Keys;
use crate::log::append::Appender;
use crate::log::watch::{self, Watchers};
use crate::log::{PartitionLog, Waiting, count_losses, groups};
use crate::options::RedisOptions;
use crate::processes::{Processes, Statement};
use crate::replicated::Replicated;
use crate::shared::Shared;
use crate::startup;
use laneway_domain::{Partition, ProcessStatus};
use laneway_ports::{StoreError, StoreHealth};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch as watch_channel;
use tokio::task::JoinHandle;

/// How often it is tried to open a store if an answer gets lost on the way, as on a busy machine: all that is written
/// then may be written again.
const CONNECT_TRIES: usize = 3;

/// The store on Redis. Any number of processes can have it open at the same time.
pub struct RedisStore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) appender: Appender,
    warnings: Vec<String>,
    inspecting: JoinHandle<()>,
    pub(crate) attending: JoinHandle<()>,
    _watchers: Watchers,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.inspecting.abort();
        self.attending.abort();
    }
}

/// What is there before a store is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether there is a store of this prefix.
    pub is_store: bool,
    /// What an operator should know of Redis' settings: a line each.
    pub warnings: Vec<String>,
}

impl RedisStore {
    /// Looks whether there is a store, and at Redis' settings. Only reads.
    ///
    /// # Errors
    /// As [`RedisStore::connect`].
    pub async fn look(options: &RedisOptions) -> Result<Look, StoreError> {
        startup::check_options(options)?;
        let redis = Redis::connect(options).await?;
        let (_, warnings) = Inspector::begin(&redis, options).await?;
        let is_store = startup::is_there(&redis, &Keys::new(&options.key_prefix)).await?;
        Ok(Look { is_store, warnings })
    }

    /// Connects to the store, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError::RetryLater`] if Redis cannot be reached. [`StoreError::Refused`] if the URL
    /// or another option is wrong, if Redis or its settings are such that it could lose what it
    /// acknowledged, if the store was made with another number of partitions, or if this release and the
    /// processes that have it open would not understand each other; the text says which setting or
    /// release, and what to do.
    pub async fn connect(options: RedisOptions) -> Result<Self, StoreError> {
        let mut tries = 1;
        loop {
            let statement = Statement::of_this_release(&options.role);
            match Self::connect_as(options.clone(), statement).await {
                Err(StoreError::Unknown { what }) if tries < CONNECT_TRIES => {
                    tracing::warn!("{what}; the store is opened once more");
                    tries += 1;
                }
                opened => return opened,
            }
        }
    }

    pub(crate) async fn connect_as(options: RedisOptions, statement: Statement) -> Result<Self, StoreError> {
        startup::check_options(&options)?;
        let redis = Redis::connect(&options).await?;
        let (inspector, warnings) = Inspector::begin(&redis, &options).await?;
        let keys = Keys::new(&options.key_prefix);
        // First: nothing is loaded over the functions of processes that this one does not get on with.
        let processes = Processes::begin(&redis, &keys, &options, statement).await?;
        redis.prepare_all(&options.key_prefix).await?;
        let (numbers, made) = startup::open(&redis, &keys, options.partitions).await?;
        processes.know_store(made);
        let keys = keys.numbered(numbers);
        let logs: Vec<_> = (0..options.partitions).map(|p| PartitionLog::new(Partition(p))).collect();
        let groups = groups(logs.len(), redis.is_cluster());
        let replicated = Replicated::connect(&redis, &options).await?;
        let waiting = Waiting::default();
        let registry_moved = watch_channel::Sender::default();
        let shared = Arc::new(Shared {
            options,
            keys,
            redis,
            replicated,
            inspector,
            processes,
            logs,
            groups,
            waiting,
            registry_moved,
        });
        count_losses();
        let appender = Appender::start(&shared).await?;
        let watchers = watch::start(&shared);
        let inspecting = tokio::spawn(shared.inspector.clone().go_on());
        let attending = tokio::spawn(shared.processes.clone().go_on());
        Ok(Self { shared, appender, warnings, inspecting, attending, _watchers: watchers })
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
    /// If Redis cannot be reached, or its settings are such that it might lose what it acknowledges (of a
    /// Cluster, if that is so of all nodes), or if this release cannot read any more what others write.
    pub fn health(&self) -> Result<(), String> {
        self.shared.redis.connected().map_err(|error| error.to_string())?;
        self.shared.processes.health()?;
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

    fn processes(&self) -> Vec<ProcessStatus> {
        self.shared.processes.there()
    }
}
