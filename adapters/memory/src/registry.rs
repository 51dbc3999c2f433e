//! The registry of destinations, as plain maps.

use crate::disk::Durable;
use crate::{Call, MemoryStore};
use async_trait::async_trait;
use laneway_domain::{DestinationName, Offset, Registered, Revision, Standing};
use laneway_ports::{
    ChangesPage, JournalEntry, MAX_JOURNAL, MAX_REGISTRY_PAGE, MAX_WRITE_BYTES, Registry, RegistryChanges,
    RegistryHead, RegistryPage, RegistryWrite, StoreError, check_names,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

/// What the disk has of the registry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub(crate) last: Revision,
    /// Of the last write.
    fingerprint: String,
    forgotten: Revision,
    /// With their size as JSON.
    records: BTreeMap<DestinationName, (Registered, usize)>,
    changed: BTreeSet<(Revision, DestinationName)>,
    journal: BTreeMap<DestinationName, Vec<JournalEntry>>,
}

impl Records {
    fn write(&mut self, write: &RegistryWrite, sizes: &[usize], fingerprint: &str) -> bool {
        if self.last == write.revision && self.fingerprint == fingerprint {
            return true;
        }
        if self.last != write.last {
            return false;
        }
        (self.last, self.fingerprint) = (write.revision, fingerprint.to_owned());
        for (record, size) in write.records.iter().zip(sizes) {
            if let Some((before, _)) = self.records.insert(record.name.clone(), (record.clone(), *size)) {
                self.changed.remove(&(before.revision, before.name));
            }
            self.changed.insert((record.revision, record.name.clone()));
        }
        for entry in &write.journal {
            let entries = self.journal.entry(entry.name.clone()).or_default();
            entries.insert(0, entry.clone());
            entries.truncate(MAX_JOURNAL);
        }
        true
    }

    fn changed_since(&self, after: Revision) -> RegistryChanges {
        let mut page = ChangesPage::default();
        let changed = self.changed.iter().skip_while(|(revision, _)| *revision <= after);
        for (record, bytes) in changed.filter_map(|(_, name)| self.records.get(name)) {
            if !page.add(record.clone(), *bytes) {
                break;
            }
        }
        page.finish(self.last, self.forgotten)
    }

    fn list(&self, after: Option<&DestinationName>, most: usize) -> RegistryPage {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.records.range::<DestinationName, _>((after, Bound::Unbounded));
        let there = names.map(|(_, record)| record).filter(|(record, _)| record.standing != Standing::Deleted);
        let (mut page, mut all) = (RegistryPage::default(), 0);
        for (record, bytes) in there {
            all += bytes;
            if page.records.len() == most.min(MAX_REGISTRY_PAGE) || all > MAX_WRITE_BYTES {
                page.more = true;
                break;
            }
            page.records.push(record.clone());
        }
        page
    }

    fn forget_deleted(&mut self, upto: Revision, most: usize) -> usize {
        let changed = self.changed.iter().take_while(|(revision, _)| *revision <= upto).map(|(_, name)| name);
        let deleted = |name: &&DestinationName| self.records[*name].0.standing == Standing::Deleted;
        let gone: Vec<_> = changed.filter(deleted).take(most.min(MAX_REGISTRY_PAGE)).cloned().collect();
        for name in &gone {
            if let Some((record, _)) = self.records.remove(name) {
                self.forgotten = self.forgotten.max(record.revision);
                self.changed.remove(&(record.revision, record.name));
            }
            self.journal.remove(name);
        }
        gone.len()
    }
}

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

    async fn page(&self, after: Option<&DestinationName>, most: usize) -> Result<RegistryPage, StoreError> {
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
