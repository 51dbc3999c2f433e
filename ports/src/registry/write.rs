//! What is written in one step, and what of it is refused before.

use super::{
    JournalEntry, MAX_JOURNAL_ENTRY_BYTES, MAX_RECORD_BYTES, MAX_REGISTRY_PAGE, MAX_REVISION, MAX_WRITE_BYTES,
};
use crate::StoreError;
use laneway_domain::{DestinationName, Registered, Revision};
use std::collections::BTreeSet;
use xxhash_rust::xxh3::Xxh3Default;

/// One change of the registry: all of it is written, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryWrite {
    /// The revision of the last change that whoever made this has seen.
    pub last: Revision,
    /// The revision of this change: larger than `last`.
    pub revision: Revision,
    /// The changed records, each with [`Registered::revision`] `revision`, each destination once. There may be none:
    /// the registry's revision rises all the same.
    pub records: Vec<Registered>,
    /// What is said of them; at most one entry per destination.
    pub journal: Vec<JournalEntry>,
}

/// A write as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedWrite {
    /// The records as JSON, in the order of [`RegistryWrite::records`].
    pub records: Vec<String>,
    /// See [`RegistryWrite::fingerprint`].
    pub fingerprint: String,
}

impl RegistryWrite {
    /// Checks it, and writes its records as JSON.
    ///
    /// # Errors
    /// [`StoreError::Refused`], which names the destination and the bound: more than [`MAX_REGISTRY_PAGE`] records, a
    /// record of more than [`MAX_RECORD_BYTES`], more than [`MAX_WRITE_BYTES`] in all, an entry of the journal of more
    /// than [`MAX_JOURNAL_ENTRY_BYTES`], a revision that is not larger than `last` or is beyond [`MAX_REVISION`],
    /// records or entries of another revision, and a destination twice.
    pub fn encoded(&self) -> Result<EncodedWrite, StoreError> {
        self.check_revision()?;
        self.check_journal()?;
        let records = self.encoded_records()?;
        let fingerprint = self.fingerprint(&records);
        Ok(EncodedWrite { records, fingerprint })
    }

    fn check_revision(&self) -> Result<(), StoreError> {
        let Self { last, revision, .. } = self;
        if revision <= last {
            return refused(format!("revision {revision} is not larger than {last}, which it is to follow"));
        }
        if *revision > MAX_REVISION {
            return refused(format!("revision {revision} is beyond {MAX_REVISION}, the last one: is the clock right?"));
        }
        Ok(())
    }

    fn check_journal(&self) -> Result<(), StoreError> {
        check_names_of("journal", self.revision, self.journal.iter().map(|entry| (&entry.name, entry.revision)))?;
        for entry in &self.journal {
            let bytes = entry.by.len() + entry.what.len();
            if bytes > MAX_JOURNAL_ENTRY_BYTES {
                let (name, most) = (&entry.name, MAX_JOURNAL_ENTRY_BYTES);
                return refused(format!(
                    "what is to be said of the change of {name} has {bytes} bytes; at most {most} are kept"
                ));
            }
        }
        Ok(())
    }

    fn encoded_records(&self) -> Result<Vec<String>, StoreError> {
        check_names_of("records", self.revision, self.records.iter().map(|record| (&record.name, record.revision)))?;
        let (mut encoded, mut all) = (Vec::with_capacity(self.records.len()), 0);
        for record in &self.records {
            let name = &record.name;
            let json = serde_json::to_string(record)
                .map_err(|error| StoreError::refused(format!("the record of {name} cannot be written: {error}")))?;
            if json.len() > MAX_RECORD_BYTES {
                let bytes = json.len();
                return refused(format!("the record of {name} has {bytes} bytes; at most {MAX_RECORD_BYTES} are kept"));
            }
            all += json.len();
            encoded.push(json);
        }
        if all > MAX_WRITE_BYTES {
            let count = encoded.len();
            return refused(format!(
                "the records of {count} destinations have {all} bytes together; one change may have {MAX_WRITE_BYTES}: \
                 change fewer at a time"
            ));
        }
        Ok(encoded)
    }

    /// What tells this write from another one that got the same revision: two that have seen the same last revision
    /// may both have come to the next one, where a clock stands still or goes by the millisecond.
    fn fingerprint(&self, records: &[String]) -> String {
        let mut hash = Xxh3Default::new();
        // Each part with its length: no two writes give the same bytes.
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(&self.last.0.to_le_bytes());
        records.iter().for_each(|record| part(record.as_bytes()));
        part(b"journal");
        for entry in &self.journal {
            part(entry.name.as_str().as_bytes());
            part(&entry.at.as_millis().to_le_bytes());
            part(entry.by.as_bytes());
            part(entry.what.as_bytes());
        }
        format!("{:032x}", hash.digest128())
    }
}

/// Refuses too many of something, another revision's, and a destination twice.
fn check_names_of<'a>(
    what: &str,
    revision: Revision,
    all: impl ExactSizeIterator<Item = (&'a DestinationName, Revision)>,
) -> Result<(), StoreError> {
    let count = all.len();
    if count > MAX_REGISTRY_PAGE {
        return refused(format!(
            "a change with {what} of {count} destinations: at most {MAX_REGISTRY_PAGE} go into one"
        ));
    }
    let mut names = BTreeSet::new();
    for (name, of) in all {
        if of != revision {
            return refused(format!("the change at revision {revision} has {what} of {name} with revision {of}"));
        }
        if !names.insert(name) {
            return refused(format!("the change at revision {revision} has {what} of {name} twice"));
        }
    }
    Ok(())
}

fn refused<T>(what: String) -> Result<T, StoreError> {
    Err(StoreError::refused(what))
}
