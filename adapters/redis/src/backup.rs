//! `laneway backup` of a store on Redis: a copy that is made step by step while the store is used.
//!
//! **What the copy is.** The end of every partition's log is noted first. Of each partition the copy has all that was
//! acknowledged before (what comes later is not in it), with progress, dead letters and what was kept aside as they were a
//! little later, after the log was copied; the registry of destinations and the tokens are of the end.
//!
//! **Why that holds together.** Nothing may be missing that the copy calls settled, and nothing may be called settled that
//! was not. So each part is read after all that it relies on:
//!
//! 1. The log, up to the noted end. Only what everybody has settled is trimmed meanwhile.
//! 2. Progress: what is beyond the noted end counts as up to there. Within it, positions first and then the keys behind them
//!    (`lua/backup.lua` says why that makes no copy wrong).
//! 3. Dead letters: what progress has passed by giving up is among them. One that was added in between is in the copy and
//!    not settled there: its event is tried once more.
//! 4. Remembered ids, but those of events behind the noted end: whoever sends such an event again must not be told that it
//!    is there.
//! 5. The registry. It is never older than a partition's cuts: a partition takes over what the registry says already. A
//!    change that a partition's copy does not have yet is taken over after the restore, at the log's end, and so at or
//!    behind the noted end, as it was. (Were it read first, a partition could follow a change that nobody knows of, and a
//!    destination that was deleted meanwhile would come back without the keys that were behind.)

pub(crate) mod file;
mod partition;
mod shared;

use crate::connect::Redis;
use crate::failure::Effect;
use crate::keys::Keys;
use crate::library::slot;
use crate::options::RedisOptions;
use crate::processes::{Processes, Statement};
use crate::progress::answer;
use crate::startup;
use bytes::Bytes;
use file::{Kind, Writer};
use fred::types::{ClusterHash, Value};
use laneway_domain::{Offset, Partition, Timestamp};
use laneway_ports::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) use shared::scan_keys;

/// The format of the file. A release reads all up to its own. Format 1 does not say what has expired.
pub(crate) const FORMAT: u32 = 2;
/// The most findings that are listed.
const MAX_FINDINGS: usize = 100;

/// How far a copy, or a restore, has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progressed {
    /// Events that are done.
    pub events: u64,
    /// Events that there were when it began, about.
    pub of: u64,
}

/// What is in a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// How many partitions the store has.
    pub partitions: u32,
    /// How many events the copy has that can be read.
    pub events: u64,
    /// What is wrong with the store, and so with the copy, for people. Empty: nothing.
    pub findings: Vec<String>,
}

impl BackupReport {
    fn add(&mut self, finding: String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// The first part of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format: u32,
    /// The release that made it, which can read it.
    pub(crate) release: String,
    /// When it was begun.
    pub(crate) made_at: Timestamp,
    pub(crate) partitions: u32,
    /// About how many events it has.
    pub(crate) events: u64,
    /// What offsets are called outside, as in the store's key.
    pub(crate) numbers: String,
    /// What else is in the store's key: the versions of what is stored.
    pub(crate) fields: BTreeMap<String, String>,
}

/// A store that is copied.
pub(crate) struct Source {
    pub(crate) redis: Redis,
    pub(crate) keys: Keys,
    pub(crate) partitions: u32,
}

/// Copies the store into the new file `to`, and checks the events on the way. Producers, receivers and workers notice
/// nothing of it: it is read in small steps. What is damaged in the store is copied as it is, and is among the findings.
///
/// # Errors
/// If `to` exists, there is no store, it cannot be read, or the copy cannot be written. Then there is no file `to`.
pub async fn backup(
    options: RedisOptions,
    to: &Path,
    mut progressed: impl FnMut(Progressed) + Send,
) -> Result<BackupReport, StoreError> {
    startup::check_options(&options)?;
    let made_at = crate::log::append::now();
    let mut writer = Writer::beside(to)?;
    let redis = Redis::connect(&options).await?;
    let keys = Keys::new(&options.key_prefix);
    let fields = store_fields(&redis, &keys).await?;
    // It is there while the copy is made: nothing is written meanwhile in a form that the release it names cannot read.
    let processes = Processes::begin(&redis, &keys, &options, Statement::of_this_release("backup")).await?;
    redis.prepare_all(&options.key_prefix).await?;
    let (numbers, made) = startup::open(&redis, &keys, options.partitions).await?;
    processes.know_store(made);
    let header_numbers = numbers.to_string();
    let source = Source { redis, keys: keys.numbered(numbers), partitions: options.partitions };
    let attending = AbortOnDrop(tokio::spawn(processes.go_on()));
    let noted = partition::note_ends(&source).await?;
    let of = noted.iter().map(|noted| noted.entries).sum();
    let header = Header {
        format: FORMAT,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        made_at,
        partitions: source.partitions,
        events: of,
        numbers: header_numbers,
        fields,
    };
    // Numbers and text can always be written.
    writer.add(Kind::Header, &[serde_json::to_vec(&header).unwrap_or_default()])?;
    let mut report = BackupReport { partitions: source.partitions, ..BackupReport::default() };
    for noted in &noted {
        let mut copied = |events| progressed(Progressed { events, of });
        partition::copy(&source, noted, &mut writer, &mut report, &mut copied).await?;
    }
    let ends: Vec<Offset> = noted.iter().map(|noted| noted.end).collect();
    shared::copy_ids(&source, &ends, &mut writer).await?;
    shared::copy_registry(&source, &mut writer, &mut report).await?;
    shared::copy_books(&source, &mut writer).await?;
    drop(attending);
    writer.finish(to)?;
    Ok(report)
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is in the store's key, but for what a restore decides anew.
async fn store_fields(redis: &Redis, keys: &Keys) -> Result<BTreeMap<String, String>, StoreError> {
    let fields = hash(redis, &keys.store()).await?;
    if fields.is_empty() {
        return Err(StoreError::refused(format!(
            "there is no store at {} under the name that store.key_prefix gives ({}): name it with --store, or its \
             configuration with --config FILE",
            redis.place(),
            keys.store(),
        )));
    }
    let decided_anew = ["partitions", "schema", "needs", "numbers", "restored_by"];
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let fields = fields.iter().map(|(field, value)| (text(field), text(value)));
    Ok(fields.filter(|(field, _)| !decided_anew.contains(&field.as_str())).collect())
}

/// All of a small hash.
pub(crate) async fn hash(redis: &Redis, key: &str) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    let answer = command(redis, "HGETALL", key, Vec::new()).await?;
    pairs(answer)
}

/// A command that reads something of that key.
pub(crate) async fn command(
    redis: &Redis,
    name: &'static str,
    key: &str,
    arguments: Vec<Value>,
) -> Result<Value, StoreError> {
    let key = key.to_owned();
    let at: ClusterHash = slot(std::slice::from_ref(&key));
    let arguments = std::iter::once(Value::from(key)).chain(arguments).collect();
    redis.command(name, at, arguments, Effect::Reads).await
}

/// Fields and values, however the server puts them.
pub(crate) fn pairs(answer: Value) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    let flat = match answer {
        Value::Map(map) => map.inner().into_iter().flat_map(|(field, value)| [Value::from(field), value]).collect(),
        other => answer::list(other)?,
    };
    let bytes: Vec<Bytes> = flat.into_iter().map(bytes).collect();
    Ok(bytes.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
}

pub(crate) fn bytes(value: Value) -> Bytes {
    match value {
        Value::String(text) => text.into_inner(),
        Value::Bytes(bytes) => bytes,
        other => other.into_string().map(Bytes::from).unwrap_or_default(),
    }
}

/// One page of a scan: where it goes on (`0`: it is through), and fields and values, or members and scores.
pub(crate) async fn scan(
    redis: &Redis,
    name: &'static str,
    key: &str,
    cursor: &str,
    count: i64,
) -> Result<(String, Vec<(Bytes, Bytes)>), StoreError> {
    let answered = command(redis, name, key, vec![cursor.into(), "COUNT".into(), count.into()]).await?;
    let [next, page] = answer::exactly(answered)?;
    Ok((answer::text(&next)?, pairs(page)?))
}

/// A partition's log as it was when the backup was begun.
pub(crate) struct Noted {
    pub(crate) partition: Partition,
    /// What was acknowledged before is below, as Redis counts.
    pub(crate) end: Offset,
    pub(crate) generation: u64,
    pub(crate) entries: u64,
}
