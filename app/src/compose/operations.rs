//! What operators ask and tell, of all the workers that share the store.

use super::stores::Stores;
use crate::worker::Handle;
use async_trait::async_trait;
use laneway_domain::{Command, StatusReport};
use laneway_ports::Operations;

/// The workers that share the store, the one of this process (if it has one) first.
pub(super) struct Shared {
    pub(super) own: Option<Handle>,
    pub(super) stores: Stores,
}

#[async_trait]
impl Operations for Shared {
    async fn status(&self) -> Option<StatusReport> {
        match &self.own {
            Some(own) => own.status().await,
            None => None,
        }
    }

    async fn command(&self, command: Command) -> Result<bool, String> {
        match &self.own {
            Some(own) => own.command(command).await,
            None => Err("this process takes events in but delivers none: ask the address of a worker".to_owned()),
        }
    }

    async fn not_ready(&self) -> Vec<String> {
        let mut reasons = match &self.own {
            Some(own) => own.not_ready().await,
            None => Vec::new(),
        };
        reasons.extend(self.stores.health.health().await.err());
        reasons
    }
}
