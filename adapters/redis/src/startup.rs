//! What Redis must be and be set to before it is trusted with events.

mod warnings;

use crate::connect::Redis;
use crate::failure::Effect;
use crate::keys::Keys;
use crate::options::{Durability, MAX_KEY_PREFIX_BYTES, RedisOptions};
use bytes::Bytes;
use fred::types::config::Server;
use fred::types::{ClusterHash, Value};
use laneway_domain::MAX_PARTITIONS;
use laneway_ports::StoreError;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;
use warnings::Warnings;

/// Settings and facts of a server, by name.
type Known = BTreeMap<String, String>;

/// The shape of what is stored. A Laneway refuses a store of another one.
const SCHEMA: u32 = 1;
/// Redis 7.0 brought functions.
const OLDEST_REDIS: (u32, u32) = (7, 0);
/// How often a node that was away at the start is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The settings that are looked at.
const SETTINGS: [&str; 5] =
    ["appendonly", "appendfsync", "maxmemory-policy", "aof-load-truncated", "cluster-require-full-coverage"];
/// Older ones were never tried.
const OLDEST_VALKEY: (u32, u32) = (8, 0);

/// Refuses what can be seen to be wrong without asking anyone.
pub(crate) fn check_options(options: &RedisOptions) -> Result<(), StoreError> {
    let refuse = |what: String| Err(StoreError::refused(what));
    if !(1..=MAX_PARTITIONS).contains(&options.partitions) {
        return refuse(format!("store.partitions = {} must be from 1 to {MAX_PARTITIONS}", options.partitions));
    }
    let prefix = &options.key_prefix;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if prefix.is_empty() || prefix.len() > MAX_KEY_PREFIX_BYTES || !prefix.chars().all(plain) {
        return refuse(format!(
            "store.key_prefix = {prefix:?} must be 1 to {MAX_KEY_PREFIX_BYTES} of A-Z, a-z, 0-9 and -_.: \
             (braces would change the slots of a Cluster)"
        ));
    }
    if options.duplicate_window.as_millis() == 0 {
        return refuse("the duplicate window must be at least one millisecond".into());
    }
    Ok(())
}

/// Checks every server that takes writes, and loads the library there. Nodes of a Cluster that cannot be reached are
/// barred until they were looked at too ([`let_in_later`]), if others can be. What is not refused but
/// should be known is returned, for people.
pub(crate) async fn check_servers(redis: &Redis, durability: Durability) -> Result<Vec<String>, StoreError> {
    let primaries = redis.primaries();
    let mut warnings = Warnings::default();
    let mut away = None;
    let mut checked = 0;
    for node in primaries {
        match (check_server(redis, node.as_ref(), durability, &mut warnings).await, node) {
            (Ok(()), _) => checked += 1,
            (Err(StoreError::RetryLater { what, after }), Some(node)) => {
                redis.bar(&node, not_looked_at(&node, &what));
                away = Some(StoreError::RetryLater { what, after });
            }
            (Err(error), _) => return Err(error),
        }
    }
    if checked == 0 {
        let nobody = format!("the Redis Cluster at {} says of no node that it has slots", redis.place());
        return Err(away.unwrap_or_else(|| StoreError::retry_later(nobody)));
    }
    Ok(warnings.into_lines())
}

async fn check_server(
    redis: &Redis,
    node: Option<&Server>,
    durability: Durability,
    warnings: &mut Warnings,
) -> Result<(), StoreError> {
    let name = match node {
        Some(node) => format!("Redis at {node} (of the Cluster at {})", redis.place()),
        None => format!("Redis at {}", redis.place()),
    };
    let there = redis.at(node);
    let info = info(&there).await?;
    check_version(&info, &name)?;
    let settings = settings(&there, &info, durability, &name).await?;
    check_settings(&settings, durability, &name)?;
    warnings.look_at(&settings, redis.is_cluster(), &name);
    there.load_library().await
}

fn not_looked_at(node: &Server, why: &str) -> String {
    format!("Redis at {node} is not used before its settings were looked at, and that was not possible yet: {why}")
}

/// Looks at the barred nodes again and again, and lets in those that are found good. Ends when all are.
pub(crate) async fn let_in_later(redis: Redis, durability: Durability) {
    loop {
        let barred = redis.barred();
        if barred.is_empty() {
            return;
        }
        for (node, known) in barred {
            let mut warnings = Warnings::default();
            match check_server(&redis, Some(&node), durability, &mut warnings).await {
                Ok(()) => {
                    warnings.into_lines().iter().for_each(|warning| tracing::warn!("{warning}"));
                    tracing::info!(redis = redis.place(), %node, "a node that was away at the start is used from now on");
                    redis.let_in(&node);
                }
                Err(StoreError::RetryLater { what, .. }) => redis.bar(&node, not_looked_at(&node, &what)),
                Err(error) => {
                    let why = error.to_string();
                    if why != known {
                        tracing::error!(redis = redis.place(), %node, %error, "a node that was away at the start cannot be used");
                    }
                    redis.bar(&node, why);
                }
            }
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Makes the store if it is not there, and refuses one that was made otherwise.
pub(crate) async fn open(redis: &Redis, keys: &Keys, partitions: u32) -> Result<(), StoreError> {
    let arguments = vec![Bytes::from(partitions.to_string()), Bytes::from(SCHEMA.to_string())];
    let made: Vec<Option<u32>> = redis
        .call("laneway_open", Effect::Reads, &[keys.store()], arguments)
        .await
        .map_err(StoreError::from)?
        .convert()
        .map_err(|error| StoreError::refused(format!("the key {} is no store's: {error}", keys.store())))?;
    let (had, schema) = (made.first().copied().flatten(), made.get(1).copied().flatten());
    if schema != Some(SCHEMA) {
        return Err(StoreError::refused(format!(
            "the store at {} was made by another release of Laneway (schema {}, this one has {SCHEMA})",
            redis.place(),
            schema.unwrap_or_default()
        )));
    }
    if had != Some(partitions) {
        return Err(StoreError::refused(format!(
            "the store at {} was made with {} partitions, and store.partitions = {partitions}: the number cannot be \
             changed, because keys would move to other partitions and lose their order; set it back, or use a new \
             store (another store.key_prefix)",
            redis.place(),
            had.unwrap_or_default()
        )));
    }
    Ok(())
}

async fn info(redis: &Redis) -> Result<Known, StoreError> {
    let text = redis.command("INFO", ClusterHash::Random, Vec::new(), Effect::Reads).await?;
    let text = text.into_string().unwrap_or_default();
    Ok(text.lines().filter_map(|line| line.split_once(':')).map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect())
}

fn check_version(info: &Known, name: &str) -> Result<(), StoreError> {
    let (what, version, oldest) = match info.get("valkey_version") {
        Some(version) => ("Valkey", version.as_str(), OLDEST_VALKEY),
        None => ("Redis", info.get("redis_version").map_or("unknown", String::as_str), OLDEST_REDIS),
    };
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < oldest {
        return Err(StoreError::refused(format!(
            "{name} is {what} {version}, which is too old: Laneway needs Redis {}.{} (for functions) or Valkey {}.{}",
            OLDEST_REDIS.0, OLDEST_REDIS.1, OLDEST_VALKEY.0, OLDEST_VALKEY.1
        )));
    }
    Ok(())
}

/// The settings that matter, as far as they can be known.
async fn settings(redis: &Redis, info: &Known, durability: Durability, name: &str) -> Result<Known, StoreError> {
    let mut known = BTreeMap::new();
    if let Some(policy) = info.get("maxmemory_policy") {
        known.insert("maxmemory-policy".to_owned(), policy.clone());
    }
    if durability == Durability::Relaxed {
        return Ok(known);
    }
    let arguments: Vec<Value> = std::iter::once("GET").chain(SETTINGS).map(Value::from_static_str).collect();
    let answer = redis.command("CONFIG", ClusterHash::Random, arguments, Effect::Reads).await;
    let answer = answer.map_err(|error| match error {
        StoreError::Refused { what } => StoreError::refused(format!(
            "{name} does not let its settings be read, so that nobody knows whether it keeps what it acknowledges: \
             permit it (ACL SETUSER … +config|get), or say store.durability = \"relaxed\" to take its word ({what})"
        )),
        error => error,
    })?;
    let pairs: Known = answer.convert().map_err(|error| {
        StoreError::refused(format!("{name} answers CONFIG GET with something else than settings: {error}"))
    })?;
    known.extend(pairs);
    Ok(known)
}

fn check_settings(known: &Known, durability: Durability, name: &str) -> Result<(), StoreError> {
    let value = |setting: &str| known.get(setting).map_or("", String::as_str);
    let refuse = |setting: &str, why: &str, fix: &str| {
        Err(StoreError::refused(format!("{name} has {setting} = {}: {why}; set {fix}", value(setting))))
    };
    if durability == Durability::Full && value("appendonly") != "yes" {
        let fix = "appendonly yes and appendfsync always, or say store.durability = \"relaxed\"";
        return refuse("appendonly", "a restart would lose acknowledged events", fix);
    }
    if durability == Durability::Full && value("appendfsync") != "always" {
        let fix = "appendfsync always, or say store.durability = \"relaxed\"";
        return refuse("appendfsync", "a power cut would lose acknowledged events", fix);
    }
    if !matches!(value("maxmemory-policy"), "noeviction" | "") {
        return refuse(
            "maxmemory-policy",
            "a full Redis would silently throw events and progress away",
            "maxmemory-policy noeviction",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Known {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn versions_that_are_too_old_are_refused() {
        let wrong = check_version(&map(&[("redis_version", "6.2.14")]), "Redis at h").unwrap_err().to_string();
        assert!(wrong.contains("6.2.14") && wrong.contains("7.0"), "{wrong}");
        // Valkey says to be Redis 7.2.4, for clients that ask for that.
        let valkey = map(&[("redis_version", "7.2.4"), ("valkey_version", "7.2.9")]);
        assert!(check_version(&valkey, "h").is_err());
        for good in ["7.0.0", "7.4.1", "8.2.0", "10.0"] {
            assert!(check_version(&map(&[("redis_version", good)]), "h").is_ok(), "{good}");
        }
        assert!(check_version(&map(&[("redis_version", "7.2.4"), ("valkey_version", "8.1.0")]), "h").is_ok());
    }

    #[test]
    fn options_that_cannot_be_are_refused_by_name() {
        let with = |change: fn(&mut RedisOptions)| {
            let mut options = RedisOptions::new("redis://h", 8);
            change(&mut options);
            check_options(&options).unwrap_err().to_string()
        };
        assert!(with(|o| o.partitions = 0).contains("store.partitions"));
        assert!(with(|o| o.key_prefix = "a{b}".into()).contains("store.key_prefix"));
        assert!(check_options(&RedisOptions::new("redis://h", 8)).is_ok());
    }
}
