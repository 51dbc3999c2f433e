//! The registry of destinations, in a slot of its own; `lua/registry.lua` says what is in it.

use crate::dead_letters::field;
use crate::failure::Effect;
use crate::library::slot;
use crate::progress::{answer, unreadable};
use crate::store::RedisStore;
use async_trait::async_trait;
use bytes::Bytes;
use fred::types::Value;
use futures_util::{StreamExt, TryStreamExt, stream};
use laneway_domain::{DestinationName, Registered, Revision, Standing};
use laneway_ports::{
    JournalEntry, MAX_JOURNAL, MAX_REGISTRY_PAGE, MAX_WRITE_BYTES, Registry, RegistryChanges, RegistryHead,
    RegistryPage, RegistryWrite, StoreError, check_names,
};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often whoever waits looks whether another process has changed something: five times a second, so that a change is
/// seen within a second also where one look fails; of a Redis that answers a hundred thousand times a second.
const POLL: Duration = Duration::from_millis(200);
/// Records that one command reads by their names: 8 MiB of the largest.
const RECORDS_AT_ONCE: usize = 32;
/// Such commands that are under way at a time.
const READS_AT_ONCE: usize = 8;

/// The names of what the registry is kept in.
struct Names {
    head: String,
    records: String,
    changed: String,
    names: String,
    deleted: String,
}

impl RedisStore {
    fn registry(&self) -> Names {
        let of = |what| self.shared.keys.registry(what);
        Names {
            head: of("head"),
            records: of("records"),
            changed: of("changed"),
            names: of("names"),
            deleted: of("deleted"),
        }
    }

    fn journal_of(&self, name: &DestinationName) -> String {
        self.shared.keys.registry(&format!("journal:{name}"))
    }

    async fn ask(&self, function: &'static str, keys: &[String], args: Vec<String>) -> Result<Value, StoreError> {
        let args = args.into_iter().map(Bytes::from).collect();
        Ok(self.shared.redis.call(function, Effect::Reads, keys, args).await?)
    }

    /// The last revision, without asking for the time.
    async fn last_revision(&self) -> Result<Revision, StoreError> {
        let head = self.registry().head;
        match field(&self.shared.redis, &head, "last").await? {
            None => Ok(Revision::ORIGIN),
            Some(last) => revision(&head, &String::from_utf8_lossy(&last)),
        }
    }

    /// The records of a few names.
    async fn few_records(&self, names: Vec<DestinationName>) -> Result<Vec<Registered>, StoreError> {
        let key = self.registry().records;
        let mut arguments: Vec<Value> = vec![key.as_str().into()];
        arguments.extend(names.iter().map(|name| Value::from(name.as_str())));
        let at = slot(std::slice::from_ref(&key));
        let found = answer::list(self.shared.redis.command("HMGET", at, arguments, Effect::Reads).await?)?;
        let there = names.iter().zip(&found).filter(|(_, found)| !found.is_null());
        there.map(|(name, found)| record(&key, name.as_str(), &answer::text(found)?)).collect()
    }
}

fn revision(key: &str, text: &str) -> Result<Revision, StoreError> {
    let number = text.parse().map_err(|_| unreadable(key, "the last revision", format!("{text:?} is no number")))?;
    Ok(Revision(number))
}

fn record(key: &str, name: &str, json: &str) -> Result<Registered, StoreError> {
    serde_json::from_str(json).map_err(|error| unreadable(key, format!("the record of {name:?}"), error))
}

/// Records from names and their JSON, one after the other.
fn records(key: &str, flat: &[Value]) -> Result<Vec<Registered>, StoreError> {
    flat.chunks_exact(2).map(|pair| record(key, &answer::text(&pair[0])?, &answer::text(&pair[1])?)).collect()
}

/// The call that makes a change: its keys and arguments.
fn call_of(store: &RedisStore, write: &RegistryWrite) -> Result<(Vec<String>, Vec<Bytes>), StoreError> {
    let encoded = write.encoded()?;
    let Names { head, records, changed, names, deleted } = store.registry();
    let mut keys = vec![head, records, changed, names, deleted];
    keys.extend(write.journal.iter().map(|entry| store.journal_of(&entry.name)));
    let mut args = vec![write.last.to_string(), write.revision.to_string(), encoded.fingerprint];
    args.extend([MAX_JOURNAL.to_string(), write.records.len().to_string()]);
    for (record, json) in write.records.iter().zip(encoded.records) {
        let deleted = if record.standing == Standing::Deleted { "1" } else { "0" };
        args.extend([record.name.to_string(), deleted.to_owned(), json]);
    }
    for entry in &write.journal {
        let json = serde_json::to_string(entry).map_err(|error| {
            StoreError::refused(format!(
                "what is to be said of the change of {} cannot be written: {error}",
                entry.name
            ))
        })?;
        args.push(json);
    }
    Ok((keys, args.into_iter().map(Bytes::from).collect()))
}

#[async_trait]
impl Registry for RedisStore {
    async fn head(&self) -> Result<RegistryHead, StoreError> {
        let head = self.registry().head;
        let answer = self.ask("laneway_registry_head", std::slice::from_ref(&head), Vec::new()).await?;
        let [last, clock] = answer::exactly(answer)?;
        Ok(RegistryHead { last: revision(&head, &answer::text(&last)?)?, clock: answer::number(&clock)? })
    }

    async fn records(&self, names: &[DestinationName]) -> Result<Vec<Registered>, StoreError> {
        check_names(names)?;
        let names: Vec<DestinationName> = names.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let chunks: Vec<Vec<DestinationName>> = names.chunks(RECORDS_AT_ONCE).map(<[_]>::to_vec).collect();
        let reading = stream::iter(chunks).map(|few| self.few_records(few)).buffered(READS_AT_ONCE);
        Ok(reading.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
    }

    async fn changed_since(&self, after: Revision) -> Result<RegistryChanges, StoreError> {
        let Names { head, records: key, changed, .. } = self.registry();
        let keys = [head, key, changed];
        let args = vec![after.to_string(), MAX_REGISTRY_PAGE.to_string(), MAX_WRITE_BYTES.to_string()];
        let mut flat = answer::list(self.ask("laneway_registry_changes", &keys, args).await?)?;
        let found = flat.split_off(flat.len().min(3));
        let [upto, more, forgotten] = answer::exactly(Value::Array(flat))?;
        Ok(RegistryChanges {
            records: records(&keys[1], &found)?,
            upto: revision(&keys[0], &answer::text(&upto)?)?,
            more: answer::number(&more)? == 1,
            forgotten: revision(&keys[0], &answer::text(&forgotten)?)?,
        })
    }

    async fn page(&self, after: &str, most: usize) -> Result<RegistryPage, StoreError> {
        let Names { records: key, names, .. } = self.registry();
        let keys = [key, names];
        let args = vec![after.to_owned(), most.min(MAX_REGISTRY_PAGE).to_string(), MAX_WRITE_BYTES.to_string()];
        let (more, found) = answer::first_and_rest(self.ask("laneway_registry_page", &keys, args).await?)?;
        Ok(RegistryPage { records: records(&keys[0], &found)?, more: answer::number(&more)? == 1 })
    }

    async fn write(&self, write: &RegistryWrite) -> Result<bool, StoreError> {
        let (keys, args) = call_of(self, write)?;
        let written = self.shared.write("laneway_registry_write", &keys, args).await.map_err(StoreError::from)?;
        let written = answer::number(&written)? == 1;
        if written {
            self.shared.registry_moved.send_replace(write.revision);
        }
        Ok(written)
    }

    async fn journal(
        &self,
        name: &DestinationName,
        before: Option<Revision>,
        most: usize,
    ) -> Result<Vec<JournalEntry>, StoreError> {
        let key = self.journal_of(name);
        let before = before.map_or_else(String::new, |before| before.to_string());
        let args = vec![before, most.min(MAX_JOURNAL).to_string()];
        let found = self.ask("laneway_registry_journal", std::slice::from_ref(&key), args).await?;
        let entry = |json: String| {
            serde_json::from_str(&json).map_err(|error| unreadable(&key, format!("the entry {json:?}"), error))
        };
        answer::texts(found)?.into_iter().map(entry).collect()
    }

    async fn wait(&self, after: Revision, patience: Duration) -> Result<Revision, StoreError> {
        let until = Instant::now() + patience;
        let mut own = self.shared.registry_moved.subscribe();
        loop {
            let last = self.last_revision().await?;
            let left = until.saturating_duration_since(Instant::now());
            if last > after || left.is_zero() {
                return Ok(last);
            }
            tokio::select! {
                () = sleep(POLL.min(left)) => {}
                // The store has the other end.
                _ = own.changed() => {}
            }
        }
    }

    async fn forget_deleted(&self, upto: Revision, most: usize) -> Result<usize, StoreError> {
        let Names { head, records, changed, deleted, .. } = self.registry();
        let args = vec![upto.to_string(), most.min(MAX_REGISTRY_PAGE).to_string()];
        let found = self.ask("laneway_registry_deleted", std::slice::from_ref(&deleted), args).await?;
        let found = answer::texts(found)?;
        if found.is_empty() {
            return Ok(0);
        }
        let mut keys = vec![head, records, changed, deleted];
        for name in found.iter().step_by(2) {
            keys.push(self.shared.keys.registry(&format!("journal:{name}")));
        }
        let args = found.into_iter().map(Bytes::from).collect();
        let gone = self.shared.write("laneway_registry_forget", &keys, args).await.map_err(StoreError::from)?;
        Ok(usize::try_from(answer::number(&gone)?).unwrap_or(usize::MAX))
    }
}
