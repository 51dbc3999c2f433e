//! The records of the registry, as plain maps.

use laneway_domain::{DestinationName, Registered, Revision, Standing};
use laneway_ports::{
    ChangesPage, JournalEntry, MAX_JOURNAL, MAX_REGISTRY_PAGE, MAX_WRITE_BYTES, RegistryChanges, RegistryPage,
    RegistryWrite,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// What the disk has of the registry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub(crate) last: Revision,
    /// Of the last write.
    fingerprint: String,
    forgotten: Revision,
    /// With their size as JSON.
    pub(crate) records: BTreeMap<DestinationName, (Registered, usize)>,
    changed: BTreeSet<(Revision, DestinationName)>,
    pub(crate) journal: BTreeMap<DestinationName, Vec<JournalEntry>>,
}

impl Records {
    pub(crate) fn write(&mut self, write: &RegistryWrite, sizes: &[usize], fingerprint: &str) -> bool {
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

    pub(crate) fn changed_since(&self, after: Revision) -> RegistryChanges {
        let mut page = ChangesPage::default();
        let changed = self.changed.iter().skip_while(|(revision, _)| *revision <= after);
        for (record, bytes) in changed.filter_map(|(_, name)| self.records.get(name)) {
            if !page.add(record.clone(), *bytes) {
                break;
            }
        }
        page.finish(self.last, self.forgotten)
    }

    pub(crate) fn list(&self, after: &str, most: usize) -> RegistryPage {
        let names = self.records.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
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

    pub(crate) fn forget_deleted(&mut self, upto: Revision, most: usize) -> usize {
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
