//! What a server must be and be set to before it is trusted with events.

use crate::options::Durability;
use fred::types::Value;
use laneway_ports::StoreError;
use std::collections::BTreeMap;

/// Settings and facts of a server, by name.
pub(super) type Known = BTreeMap<String, String>;

/// Redis 7.0 brought functions.
const OLDEST_REDIS: (u32, u32) = (7, 0);
/// Older ones were never tried.
const OLDEST_VALKEY: (u32, u32) = (8, 0);
/// What decides whether an acknowledged event is kept: looked at with appends too.
pub(super) const DECISIVE: [&str; 3] = ["appendonly", "appendfsync", "maxmemory-policy"];
/// All settings that are looked at.
pub(super) const SETTINGS: [&str; 5] =
    ["appendonly", "appendfsync", "maxmemory-policy", "aof-load-truncated", "cluster-require-full-coverage"];

/// The answer to INFO, line by line.
pub(crate) fn parse_info(text: &str) -> Known {
    text.lines().filter_map(|line| line.split_once(':')).map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect()
}

/// The answer to CONFIG GET, or why there is none.
pub(super) fn parse_config(answer: Result<Value, StoreError>, name: &str) -> Result<Known, StoreError> {
    let answer = answer.map_err(|error| match error {
        StoreError::Refused { what } => StoreError::refused(format!(
            "{name} does not let its settings be read, so that nobody knows whether it keeps what it acknowledges: \
             permit it (ACL SETUSER … +config|get), or say store.durability = \"relaxed\" to take its word ({what})"
        )),
        error => error,
    })?;
    answer.convert().map_err(|error| {
        StoreError::refused(format!("{name} answers CONFIG GET with something else than settings: {error}"))
    })
}

/// Refuses a server that is too old.
pub(super) fn check_version(info: &Known, name: &str) -> Result<(), StoreError> {
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

/// Refuses a server that could lose what it acknowledges. What is not known is not judged, but for what only
/// CONFIG GET tells: with full durability that has to be known.
pub(super) fn check_settings(known: &Known, durability: Durability, name: &str) -> Result<(), StoreError> {
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

/// Refuses a server whose AOF cannot be written at the moment (with `appendfsync always` it would have ended itself).
pub(super) fn check_aof_writes(info: &Known, durability: Durability, name: &str) -> Result<(), StoreError> {
    if durability == Durability::Full && info.get("aof_last_write_status").is_some_and(|status| status != "ok") {
        return Err(StoreError::refused(format!(
            "{name} could not write its AOF (aof_last_write_status in INFO): look at its disk and its log"
        )));
    }
    Ok(())
}

/// Whether an AOF is being made. Where it was turned on a moment ago (`CONFIG SET appendonly yes`, or a replica that has
/// just taken a copy of its primary), nothing survives a restart before that has ended.
pub(super) fn makes_its_aof(info: &Known) -> bool {
    let is_on = |name: &str| info.get(name).is_some_and(|value| value == "1");
    is_on("aof_rewrite_in_progress") || is_on("aof_rewrite_scheduled")
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
    fn what_would_lose_events_is_refused_with_its_fix() {
        let good = [("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction")];
        assert!(check_settings(&map(&good), Durability::Full, "Redis at h").is_ok());
        assert!(check_settings(&map(&[]), Durability::Relaxed, "Redis at h").is_ok());
        for (setting, value) in [("appendonly", "no"), ("appendfsync", "everysec"), ("maxmemory-policy", "allkeys-lru")]
        {
            let mut known = map(&good);
            known.insert(setting.into(), value.into());
            let wrong = check_settings(&known, Durability::Full, "Redis at h").unwrap_err().to_string();
            assert!(
                wrong.contains(&format!("Redis at h has {setting} = {value}")) && wrong.contains("set "),
                "{wrong}"
            );
        }
        // Nothing is known: that is not enough.
        assert!(check_settings(&map(&[]), Durability::Full, "Redis at h").is_err());
    }

    #[test]
    fn an_aof_that_is_not_written_or_still_made_is_seen() {
        let info = parse_info("# Persistence\r\naof_last_write_status:err\r\naof_rewrite_scheduled:1\r\n");
        assert!(check_aof_writes(&info, Durability::Full, "h").is_err());
        assert!(check_aof_writes(&info, Durability::Relaxed, "h").is_ok());
        assert!(makes_its_aof(&info) && !makes_its_aof(&map(&[("aof_rewrite_in_progress", "0")])));
    }
}
