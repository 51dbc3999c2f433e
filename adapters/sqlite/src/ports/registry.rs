//! [`Registry`]: who asks for what.

use crate::registry;
use crate::store::{SqliteStore, into_store_error};
use crate::writer;
use async_trait::async_trait;
use laneway_domain::{DestinationName, Registered, Revision};
use laneway_ports::{
    JournalEntry, MAX_REGISTRY_PAGE, Registry, RegistryChanges, RegistryHead, RegistryPage, RegistryWrite, StoreError,
    check_names,
};
use std::time::Duration;

#[async_trait]
impl Registry for SqliteStore {
    async fn head(&self) -> Result<RegistryHead, StoreError> {
        self.shared.usable()?;
        let clock = self.clock.now().as_millis().saturating_mul(1000);
        Ok(RegistryHead { last: *self.shared.registry.borrow(), clock })
    }

    async fn records(&self, names: &[DestinationName]) -> Result<Vec<Registered>, StoreError> {
        check_names(names)?;
        self.shared.usable()?;
        let names = names.iter().cloned().collect();
        self.readers.read(move |conn| registry::records(conn, &names)).await
    }

    async fn changed_since(&self, after: Revision) -> Result<RegistryChanges, StoreError> {
        self.shared.usable()?;
        self.readers.read(move |conn| registry::changed_since(conn, after)).await
    }

    async fn page(&self, after: &str, most: usize) -> Result<RegistryPage, StoreError> {
        self.shared.usable()?;
        let after = after.to_owned();
        self.readers.read(move |conn| registry::page(conn, &after, most)).await
    }

    async fn write(&self, write: &RegistryWrite) -> Result<bool, StoreError> {
        let (encoded, write) = (write.encoded()?, write.clone());
        let written = self.change(move |tx| writer::write_registry(tx, &write, &encoded)).await;
        written.map_err(into_store_error)
    }

    async fn journal(
        &self,
        name: &DestinationName,
        before: Option<Revision>,
        most: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.shared.usable()?;
        let name = name.clone();
        self.readers.read(move |conn| registry::journal(conn, &name, before, most)).await
    }

    async fn wait(&self, after: Revision, patience: Duration) -> Result<Revision, StoreError> {
        // Nobody else writes into the file, and every write is told here.
        let mut last = self.shared.registry.subscribe();
        let beyond = last.wait_for(|last| *last > after);
        drop(tokio::time::timeout(patience, beyond).await);
        self.shared.usable()?;
        let last = *last.borrow();
        Ok(last)
    }

    async fn forget_deleted(&self, upto: Revision, most: usize) -> Result<usize, StoreError> {
        let most = most.min(MAX_REGISTRY_PAGE);
        let forgotten = self.change(move |tx| writer::forget_deleted(tx, registry::number(upto), most)).await;
        forgotten.map_err(into_store_error)
    }
}
