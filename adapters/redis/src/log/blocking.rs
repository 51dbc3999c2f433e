//! A connection that waits inside Redis, and does nothing else.

use crate::connect::{Reconnects, Redis};
use crate::failure::Effect;
use crate::shared::Shared;
use fred::types::ClusterHash;
use laneway_ports::StoreError;
use std::time::Duration;

/// A connection to read on.
pub(super) struct Connection {
    pub(super) redis: Redis,
    pub(super) number: i64,
    pub(super) reconnects: Reconnects,
}

impl Connection {
    /// To the server that `at` is about; what is read there may take `longest`.
    pub(super) async fn open(shared: &Shared, at: &ClusterHash, longest: Duration) -> Result<Self, StoreError> {
        let redis = shared.redis.alone(at, longest).await?;
        let reconnects = Reconnects::of(&redis);
        let mut connection = Self { redis, number: 0, reconnects };
        connection.renumber().await?;
        Ok(connection)
    }

    /// Learns what Redis calls the connection.
    pub(super) async fn renumber(&mut self) -> Result<(), StoreError> {
        self.reconnects = Reconnects::of(&self.redis);
        let number = self.redis.command("CLIENT", ClusterHash::Random, vec!["ID".into()], Effect::Reads).await?;
        self.number = number.as_i64().unwrap_or(0);
        Ok(())
    }
}
