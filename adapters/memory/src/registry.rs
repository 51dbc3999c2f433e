//! The registry of destinations.

use crate::disk::Durable;
use crate::faults::Call;
use crate::records::Records;
use crate::store::MemoryStore;
use async_trait::async_trait;
use laneway_domain::{DestinationName, Offset, Registered, Revision};
use laneway_ports::{
    JournalEntry, MAX_JOURNAL, Registry, RegistryChanges, RegistryHead, RegistryPage, RegistryWrite, StoreError,
    check_names,
};
use std::collections::BTreeSet;
use std::time::Duration;

impl MemoryStore {
    async fn change_registry<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Records) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_one(Call::Registry, move |durable: &mut Durable, _| change(&mut durable.registry)).await
    }

    fn look_at_registry<T>(&self, look: impl FnOnce(&Records) -> T) -> Result<T, StoreError> {
        self.begin(Call::Registry)?;
        Ok(self.disk().look(|durable| look(&durable.registry)))
    }
}

#[async_trait]
impl Registry for MemoryStore {
    async fn head(&self) -> Result<RegistryHead, StoreError> {
        let clock = self.disk().now().as_millis() * 1000;
        self.look_at_registry(|registry| RegistryHead { last: registry.last, clock })
    }

    async fn records(&self, names: &[DestinationName]) -> Result<Vec<Registered>, StoreError> {
        check_names(names)?;
        let asked: BTreeSet<_> = names.iter().collect();
        self.look_at_registry(|registry| {
            asked.into_iter().filter_map(|name| registry.records.get(name)).map(|(record, _)| record.clone()).collect()
        })
    }

    async fn changed_since(&self, after: Revision) -> Result<RegistryChanges, StoreError> {
        self.look_at_registry(|registry| registry.changed_since(after))
    }

    async fn page(&self, after: &str, most: usize) -> Result<RegistryPage, StoreError> {
        self.look_at_registry(|registry| registry.list(after, most))
    }

    async fn write(&self, write: &RegistryWrite) -> Result<bool, StoreError> {
        let encoded = write.encoded()?;
        let sizes: Vec<usize> = encoded.records.iter().map(String::len).collect();
        let write = write.clone();
        self.change_registry(move |registry| registry.write(&write, &sizes, &encoded.fingerprint)).await
    }

    async fn journal(
        &self,
        name: &DestinationName,
        before: Option<Revision>,
        most: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        self.look_at_registry(|registry| {
            let entries = registry.journal.get(name).into_iter().flatten();
            let earlier = entries.filter(|entry| before.is_none_or(|before| entry.revision < before));
            earlier.take(most.min(MAX_JOURNAL)).cloned().collect()
        })
    }

    async fn wait(&self, after: Revision, patience: Duration) -> Result<Revision, StoreError> {
        self.begin(Call::Registry)?;
        let waiting = self.disk().registry_moved().beyond(Offset(after.0), || self.alive());
        match tokio::time::timeout(patience, waiting).await {
            Ok(last) => Ok(Revision(last?.0)),
            Err(_) => self.look_at_registry(|registry| registry.last),
        }
    }

    async fn forget_deleted(&self, upto: Revision, most: usize) -> Result<usize, StoreError> {
        self.change_registry(move |registry| registry.forget_deleted(upto, most)).await
    }
}
