//! The functions that run inside Redis: loaded at start, and whenever they are found missing.

use crate::connect::{MAX_TRIES, Redis, WHILE_MOVING};
use crate::failure::Effect;
use bytes::Bytes;
use fred::types::{ClusterHash, CustomCommand, Value};
use laneway_ports::StoreError;
use std::fmt;

/// The library's source. Its parts are one chunk of Lua, in this order.
pub(crate) const SOURCE: &str = concat!(
    include_str!("../lua/header.lua"),
    include_str!("../lua/log.lua"),
    include_str!("../lua/progress.lua"),
    include_str!("../lua/dead.lua"),
    include_str!("../lua/history.lua"),
    include_str!("../lua/replays.lua"),
    include_str!("../lua/expiry.lua"),
    include_str!("../lua/commit.lua"),
    include_str!("../lua/workers.lua"),
    include_str!("../lua/processes.lua"),
    include_str!("../lua/registry.lua"),
    include_str!("../lua/tokens.lua"),
    include_str!("../lua/trim.lua"),
    include_str!("../lua/backup.lua"),
    include_str!("../lua/restore.lua"),
    include_str!("../lua/rights.lua"),
);

/// The version of the library; the same number stands in `lua/header.lua`. It rises with every
/// change of a function, and old calls must go on working: processes of two releases may share a store.
pub(crate) const VERSION: i64 = 18;
/// The oldest version whose calls these functions answer as it expects; the same number stands in `lua/header.lua`.
pub(crate) const OLDEST_CALLS: i64 = 6;

/// Why a function did not do what it was called for. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `LANEWAY_FENCED`: the epoch is not the partition's.
    Fenced,
    /// `LANEWAY_BEYOND`: a position beyond the log's end.
    Beyond(String),
    /// `LANEWAY_GENERATION`: the log is not the one that was seen: data was lost, or its
    /// generation was raised because of that.
    Generation(String),
    /// `LANEWAY_LETTERS`: so many dead letters are to be dropped that it has to be done in steps before.
    Letters,
    /// `LANEWAY_REFUSED`: anything else that a function says no to.
    Other(String),
}

/// What became of one try to call a function.
#[derive(Clone, Debug)]
pub(crate) enum Called {
    /// It ran.
    Answered(Value),
    /// It did not run: Redis does not have it.
    Missing,
    /// It did not run: its slot went to another node, which is known by now.
    Moved,
}

/// How a call failed.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// The function said no.
    Refused(Refusal),
    /// The way there, or Redis itself.
    Store(StoreError),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced => f.write_str("the lease is no longer held under this epoch"),
            Self::Letters => f.write_str("there are too many dead letters to drop them in one step"),
            Self::Beyond(text) | Self::Generation(text) | Self::Other(text) => f.write_str(text),
        }
    }
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// For calls whose function has nothing to refuse.
impl From<CallError> for StoreError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refusal) => Self::refused(refusal.to_string()),
            CallError::Store(error) => error,
        }
    }
}

fn refusal(text: &str) -> Option<Refusal> {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some(match code {
        "LANEWAY_FENCED" => Refusal::Fenced,
        "LANEWAY_BEYOND" => Refusal::Beyond(rest.to_owned()),
        "LANEWAY_GENERATION" => Refusal::Generation(rest.to_owned()),
        "LANEWAY_LETTERS" => Refusal::Letters,
        "LANEWAY_REFUSED" => Refusal::Other(rest.to_owned()),
        _ => return None,
    })
}

impl Redis {
    /// Calls a function of the library. All keys must be in one slot; there is at least one.
    ///
    /// Loads the library where Redis has lost it, and calls again: nothing had happened.
    pub(crate) async fn call(
        &self,
        function: &'static str,
        effect: Effect,
        keys: &[String],
        arguments: Vec<Bytes>,
    ) -> Result<Value, CallError> {
        for _ in 0..MAX_TRIES {
            match self.call_once(function, effect, keys, &arguments).await? {
                Called::Answered(value) => return Ok(value),
                again => self.prepare_again(&again, slot(keys)).await?,
            }
        }
        Err(CallError::Store(self.never_took(function)))
    }

    /// Makes ready for another try of a call that did not come to run.
    pub(crate) async fn prepare_again(&self, why: &Called, slot: ClusterHash) -> Result<(), StoreError> {
        match why {
            Called::Missing => self.load_at(slot).await,
            Called::Moved => {
                tokio::time::sleep(WHILE_MOVING).await;
                Ok(())
            }
            Called::Answered(_) => Ok(()),
        }
    }

    pub(crate) fn never_took(&self, function: &str) -> StoreError {
        StoreError::retry_later(format!(
            "Redis at {} did not come to run {function}: its slots move, or it loses its functions",
            self.place()
        ))
    }

    /// Calls a function, once.
    pub(crate) async fn call_once(
        &self,
        function: &'static str,
        effect: Effect,
        keys: &[String],
        arguments: &[Bytes],
    ) -> Result<Called, CallError> {
        let at = slot(keys);
        let route = self.route(&at).await?;
        let values = || {
            let mut values: Vec<Value> = Vec::with_capacity(2 + keys.len() + arguments.len());
            values.push(Value::from_static_str(function));
            values.push(i64::try_from(keys.len()).unwrap_or(i64::MAX).into());
            values.extend(keys.iter().map(Value::from));
            values.extend(arguments.iter().cloned().map(Value::from));
            values
        };
        let command = CustomCommand::new_static("FCALL", at, false);
        let mut sent = route.link.send(command.clone(), values()).await;
        if let Err(error) = &sent
            && let Some(other) = self.asked_elsewhere(&route, error.details()).await
        {
            if self.link().is_some() {
                // What belongs together would be torn apart: the WAIT behind this stays here.
                return Ok(Called::Moved);
            }
            sent = other.link.send_asking(command, values()).await;
        }
        match sent {
            Ok(value) => Ok(Called::Answered(value)),
            Err(error) if error.details().contains("Function not found") => Ok(Called::Missing),
            Err(error) if self.has_moved(&route, error.details()) => Ok(Called::Moved),
            Err(error) => Err(match refusal(error.details()) {
                Some(refusal) => CallError::Refused(refusal),
                None => CallError::Store(self.failed(&route, &error, effect)),
            }),
        }
    }

    /// Loads the library at the node that has `slot`.
    async fn load_at(&self, slot: ClusterHash) -> Result<(), StoreError> {
        tracing::warn!(redis = self.place(), "Redis has lost Laneway's functions; loading them again");
        let arguments = vec!["LOAD".into(), "REPLACE".into(), Value::from_static_str(SOURCE)];
        self.command("FUNCTION", slot, arguments, Effect::Reads).await.map(|_| ())
    }

    /// Loads the library at the only server, or at this one, if it is missing there or older.
    async fn load_library(&self) -> Result<(), StoreError> {
        if self.library_version().await? < Some(VERSION) {
            let arguments = vec!["LOAD".into(), "REPLACE".into(), Value::from_static_str(SOURCE)];
            self.command("FUNCTION", ClusterHash::FirstKey, arguments, Effect::Reads).await?;
        }
        Ok(())
    }

    /// Loads the library at this server, if it is missing or older, and sees that the functions may do what they do.
    pub(crate) async fn prepare(&self, prefix: &str) -> Result<(), StoreError> {
        self.load_library().await?;
        self.check_rights(prefix).await
    }

    /// The same at every server that takes writes: for a process that may (see `processes`). Nodes that cannot be
    /// reached are prepared when they are inspected.
    pub(crate) async fn prepare_all(&self, prefix: &str) -> Result<(), StoreError> {
        for node in self.primaries() {
            match self.at(node.as_ref()).prepare(prefix).await {
                Err(StoreError::RetryLater { .. }) if node.is_some() => {}
                prepared => prepared?,
            }
        }
        Ok(())
    }

    async fn library_version(&self) -> Result<Option<i64>, StoreError> {
        let arguments = vec!["laneway_version".into(), 0.into()];
        match self.command("FCALL", ClusterHash::FirstKey, arguments, Effect::Reads).await {
            Ok(version) => Ok(version.as_i64()),
            Err(StoreError::Refused { what }) if what.contains("Function not found") => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The slot of the first key, which is that of all.
pub(crate) fn slot(keys: &[String]) -> ClusterHash {
    match keys.first() {
        Some(key) => ClusterHash::Custom(fred::util::redis_keyslot(key.as_bytes())),
        None => ClusterHash::Random,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_stands_in_the_library_too() {
        assert!(SOURCE.starts_with("#!lua name=laneway\n"));
        assert!(SOURCE.contains(&format!("local VERSION = {VERSION}\n")));
        assert!(SOURCE.contains(&format!("local OLDEST_CALLS = {OLDEST_CALLS}\n")));
    }

    /// A new version of an entry that the library does not know would have no id there, and a commit could not be made
    /// of what it became.
    #[test]
    fn the_library_knows_the_newest_entries_and_what_clocks_may_differ_by() {
        let [_, newest] = crate::codec::READS;
        assert!(SOURCE.contains(&format!("local NEWEST_ENTRY = {newest}\n")));
        let skew = laneway_domain::MAX_CLOCK_SKEW.as_millis();
        assert!(SOURCE.contains(&format!("local MAX_CLOCK_SKEW = {skew}\n")));
    }

    #[test]
    fn a_refusal_is_told_from_a_failure() {
        assert_eq!(refusal("LANEWAY_FENCED"), Some(Refusal::Fenced));
        assert_eq!(refusal("LANEWAY_BEYOND 7 > 5"), Some(Refusal::Beyond("7 > 5".into())));
        assert_eq!(refusal("ERR LANEWAY_FENCED"), None);
    }
}
