//! The copy of what is of no partition, and of the ids, which only a scan of everything finds.

use super::file::{Kind, Writer};
use super::{BackupReport, Source, bytes, command};
use crate::backup::hash;
use crate::failure::Effect;
use crate::progress::answer;
use bytes::Bytes;
use fred::types::{ClusterHash, Value};
use futures_util::{StreamExt, TryStreamExt, stream};
use laneway_domain::{Offset, Partition, Registered};
use laneway_ports::{MAX_JOURNAL, MAX_WRITE_BYTES, StoreError};
use std::collections::BTreeMap;

/// Keys that one step of a scan looks at: less than a millisecond of Redis' time.
pub(crate) const SCANNED_AT_ONCE: i64 = 1000;
/// Ids of one call: half a millisecond.
const IDS_AT_ONCE: usize = 500;
/// Destinations of one call.
const RECORDS_AT_ONCE: usize = 500;
/// Journals that are read at the same time.
const JOURNALS_AT_ONCE: usize = 32;
/// What is said of an id whose key never ends (nobody writes such): that it is remembered for a day.
const NO_END_MS: i64 = 24 * 3600 * 1000;

/// All keys whose names match the pattern, in steps, each with the keys that it found.
pub(crate) async fn scan_keys(
    redis: &crate::connect::Redis,
    pattern: &str,
    mut found: impl AsyncFnMut(Vec<String>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for node in redis.primaries() {
        let there = redis.at(node.as_ref());
        let mut cursor = "0".to_owned();
        loop {
            let arguments: Vec<Value> =
                vec![cursor.into(), "MATCH".into(), pattern.into(), "COUNT".into(), SCANNED_AT_ONCE.into()];
            let answered = there.command("SCAN", ClusterHash::Random, arguments, Effect::Reads).await?;
            let [next, keys] = answer::exactly(answered)?;
            let keys = answer::texts(keys)?;
            if !keys.is_empty() {
                found(keys).await?;
            }
            cursor = answer::text(&next)?;
            if cursor == "0" {
                break;
            }
        }
    }
    Ok(())
}

/// Copies the ids that are remembered of events below the ends of their partitions.
pub(super) async fn copy_ids(source: &Source, ends: &[Offset], writer: &mut Writer) -> Result<(), StoreError> {
    // Partitions have numbers; the braces of the pattern are none of its signs.
    let pattern = source.keys.all_ids();
    let copy = async |keys: Vec<String>| {
        let mut of_partitions: BTreeMap<Partition, Vec<String>> = BTreeMap::new();
        for key in keys {
            if let Some((partition, _)) = source.keys.parse_id(&key)
                && (partition.0 as usize) < ends.len()
            {
                of_partitions.entry(partition).or_default().push(key);
            }
        }
        for (partition, keys) in of_partitions {
            let end = ends.get(partition.0 as usize).copied().unwrap_or_default();
            for keys in keys.chunks(IDS_AT_ONCE) {
                copy_some_ids(source, partition, end, keys, writer).await?;
            }
        }
        Ok(())
    };
    scan_keys(&source.redis, &pattern, copy).await
}

async fn copy_some_ids(
    source: &Source,
    partition: Partition,
    end: Offset,
    keys: &[String],
    writer: &mut Writer,
) -> Result<(), StoreError> {
    let answered = source.redis.call("laneway_copy_ids", Effect::Reads, keys, Vec::new()).await?;
    let values = answer::list(answered)?;
    let mut fields = vec![partition.to_string()];
    for (key, row) in keys.iter().zip(values.chunks_exact(2)) {
        // Forgotten meanwhile, or of an event that is not in the copy.
        let (Some(offset), Some(left)) = (row[0].as_u64().filter(|at| *at < end.0), row[1].as_i64()) else { continue };
        let left = if left < 0 { NO_END_MS } else { left.max(1) };
        if let Some((_, name)) = source.keys.parse_id(key) {
            fields.extend([name.to_owned(), offset.to_string(), left.to_string()]);
        }
    }
    if fields.len() > 1 { writer.add(Kind::Ids, &fields) } else { Ok(()) }
}

/// Copies the registry of destinations, as it is when the last of them is read.
pub(super) async fn copy_registry(
    source: &Source,
    writer: &mut Writer,
    report: &mut BackupReport,
) -> Result<(), StoreError> {
    let keys = ["head", "records", "changed", "deleted"].map(|what| source.keys.registry(what));
    let mut after = "0".to_owned();
    loop {
        let args = [after.clone(), RECORDS_AT_ONCE.to_string(), MAX_WRITE_BYTES.to_string()].map(Bytes::from).to_vec();
        let answered = source.redis.call("laneway_copy_records", Effect::Reads, &keys, args).await?;
        let mut values: Vec<Bytes> = answer::list(answered)?.into_iter().map(bytes).collect();
        let rows = values.split_off(values.len().min(2));
        let Some(last) = rows.chunks_exact(4).last() else {
            // Nothing has changed since: the copy is of this moment.
            return writer.add(Kind::Registry, &values);
        };
        after = String::from_utf8_lossy(&last[1]).into_owned();
        for row in rows.chunks_exact(4) {
            if let Err(why) = serde_json::from_slice::<Registered>(&row[3]) {
                report.add(format!("the record of the destination {}: {why}", String::from_utf8_lossy(&row[0])));
            }
        }
        writer.add(Kind::Records, &rows)?;
        let names: Vec<Bytes> = rows.chunks_exact(4).map(|row| row[0].clone()).collect();
        let mut reading = stream::iter(names).map(|name| journal(source, name)).buffered(JOURNALS_AT_ONCE);
        while let Some(fields) = reading.try_next().await? {
            if fields.len() > 1 {
                writer.add(Kind::Journal, &fields)?;
            }
        }
    }
}

/// What was said of a destination's changes: its name, and revision and entry of each.
async fn journal(source: &Source, name: Bytes) -> Result<Vec<Bytes>, StoreError> {
    let key = source.keys.registry(&format!("journal:{}", String::from_utf8_lossy(&name)));
    let most = i64::try_from(MAX_JOURNAL).unwrap_or(i64::MAX);
    let arguments = vec!["0".into(), (most - 1).into(), "WITHSCORES".into()];
    let entries = answer::list(command(&source.redis, "ZRANGE", &key, arguments).await?)?;
    let mut fields = vec![name];
    for pair in entries.chunks_exact(2) {
        // A score comes as a double.
        let revision = pair[1].as_f64().map_or_else(String::new, |revision| format!("{revision:.0}"));
        fields.extend([revision.into(), bytes(pair[0].clone())]);
    }
    Ok(fields)
}

/// Copies the tokens that were made over the HTTP interface, and what is known of tenants.
pub(super) async fn copy_books(source: &Source, writer: &mut Writer) -> Result<(), StoreError> {
    copy_book(source, writer, Kind::Tokens, &source.keys.tokens()).await?;
    copy_book(source, writer, Kind::Tenants, &source.keys.tenants()).await
}

async fn copy_book(source: &Source, writer: &mut Writer, kind: Kind, key: &str) -> Result<(), StoreError> {
    let fields = hash(&source.redis, key).await?;
    let of = |name: &str| fields.iter().find(|(field, _)| *field == *name).map(|(_, value)| value.clone());
    match (of("revision"), of("book")) {
        (Some(revision), Some(book)) => writer.add(kind, &[revision, book]),
        _ => Ok(()),
    }
}
