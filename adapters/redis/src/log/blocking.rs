//! A connection that waits inside Redis, and does nothing else.

use crate::connect::{self, Redis};
use crate::failure::Effect;
use crate::store::Shared;
use fred::interfaces::{ClusterInterface, EventInterface};
use fred::types::ClusterHash;
use fred::types::config::{Server, ServerConfig};
use laneway_ports::StoreError;
use std::time::Duration;
use tokio::sync::broadcast;

/// A connection to read on.
pub(super) struct Connection {
    pub(super) redis: Redis,
    pub(super) node: Option<Server>,
    pub(super) number: i64,
    pub(super) reconnects: broadcast::Receiver<Server>,
}

impl Connection {
    pub(super) async fn open(shared: &Shared, at: &ClusterHash, longest_block: Duration) -> Result<Self, StoreError> {
        let mut config = connect::config(&shared.options.url)?;
        let mut node = None;
        if let ClusterHash::Custom(slot) = at
            && shared.redis.is_cluster()
        {
            let client = shared.redis.client();
            let owner = |client: &fred::clients::Client| {
                client.cached_cluster_state().and_then(|state| state.get_server(*slot).cloned())
            };
            // Nobody else may have asked since the slot went elsewhere.
            let synced = tokio::time::timeout(shared.options.command_timeout, client.sync_cluster()).await;
            if !matches!(synced, Ok(Ok(()))) {
                tracing::debug!(redis = shared.redis.place(), "the nodes of the Cluster could not be asked for");
            }
            let server = owner(client).ok_or_else(|| {
                StoreError::retry_later(format!("no node of the Cluster at {} has slot {slot}", shared.redis.place()))
            })?;
            config.server = ServerConfig::Centralized { server: server.clone() };
            node = Some(server);
        }
        let longest = longest_block + shared.options.command_timeout;
        let redis = Redis::connect_to(config, shared.redis.place().to_owned(), longest).await?;
        let reconnects = redis.client().reconnect_rx();
        let mut connection = Self { redis, node, number: 0, reconnects };
        connection.renumber().await?;
        Ok(connection)
    }

    /// Learns what Redis calls the connection.
    pub(super) async fn renumber(&mut self) -> Result<(), StoreError> {
        self.reconnects = self.reconnects.resubscribe();
        let number = self.redis.command("CLIENT", ClusterHash::Random, vec!["ID".into()], Effect::Reads).await?;
        self.number = number.as_i64().unwrap_or(0);
        Ok(())
    }
}
