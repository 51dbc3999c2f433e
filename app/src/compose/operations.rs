//! What operators ask and tell, of all the workers that share the store.

use crate::registry::Targets;
use crate::worker::{Handle, command_all, status_of_all};
use async_trait::async_trait;
use laneway_domain::{Command, DestinationName, Filters, StatusReport};
use laneway_ports::{Stores, WorkerControl, WorkerId};
use std::sync::Arc;

/// The workers that share the store, the one of this process (if it has one) first.
pub(super) struct Shared {
    pub(super) own: Option<(WorkerId, Handle)>,
    pub(super) stores: Stores,
    /// Where each destination sends to.
    pub(super) targets: Arc<Targets>,
}

#[async_trait]
impl WorkerControl for Shared {
    async fn status(&self) -> Option<StatusReport> {
        let own = match &self.own {
            Some((id, own)) => Some((id.clone(), own.status().await?)),
            None => None,
        };
        let all = status_of_all(&*self.stores.workers, self.stores.log.partitions(), own).await;
        let all = all.inspect_err(|error| tracing::warn!(%error, "the status of the workers cannot be read"));
        all.ok().map(|report| StatusReport { processes: self.stores.health.processes(), ..report })
    }

    async fn command(&self, command: Command) -> Result<bool, String> {
        let own = self.own.as_ref().map(|(_, own)| own);
        command_all(&*self.stores.workers, self.stores.log.partitions(), own, command).await
    }

    fn own_worker(&self) -> Option<&WorkerId> {
        self.own.as_ref().map(|(id, _)| id)
    }

    fn target(&self, destination: &DestinationName) -> Option<String> {
        self.targets.of(destination)
    }

    async fn filters(&self, destination: &DestinationName) -> Option<Arc<Filters>> {
        let (_, own) = self.own.as_ref()?;
        own.filters(destination).await
    }

    async fn not_ready(&self) -> Vec<String> {
        let mut reasons = match &self.own {
            Some((_, own)) => own.not_ready().await,
            None => Vec::new(),
        };
        reasons.extend(self.stores.health.health().err());
        reasons
    }

    async fn limitations(&self) -> Vec<String> {
        self.stores.health.limitations()
    }
}
