//! What the user of `store.url` must be allowed to do in Redis (docs/redis.md has the list).
//!
//! A function that is denied a command half-way leaves a part of a change behind. So all rights are looked at before
//! the first function is used, and whenever a server is inspected, and what is missing is said all at once.

use crate::connect::Redis;
use crate::denied::{DENIED, LISTS};
use crate::failure::Effect;
use crate::progress::answer;
use fred::types::{ClusterHash, Value};
use laneway_ports::StoreError;

/// What a process needs beside the commands of the functions (`lua/rights.lua`), each with a way to try it that changes
/// nothing. What it has needed to come so far is not among it.
const TRIED: [(&str, &str, &[&str]); 3] = [
    ("+client|id", "CLIENT", &["ID"]),
    ("+client|unblock", "CLIENT", &["UNBLOCK", "0"]),
    // Of no replica: it does not wait.
    ("+wait", "WAIT", &["0", "1"]),
];

impl Redis {
    /// Refuses the server, or each one that takes writes, if the user of the URL may not do there all that a process
    /// does. Where the functions are missing or older, nothing is known of it.
    pub(crate) async fn check_rights(&self, prefix: &str) -> Result<(), StoreError> {
        let arguments = vec!["laneway_missing_rights".into(), 0.into(), prefix.into()];
        let mut missing = match self.command("FCALL", ClusterHash::Random, arguments, Effect::Reads).await {
            Ok(missing) => answer::texts(missing)?,
            Err(StoreError::Refused { what }) if what.contains("Function not found") => return Ok(()),
            Err(error) => return Err(error),
        };
        for (right, command, arguments) in TRIED {
            let arguments = arguments.iter().copied().map(Value::from_static_str).collect();
            match self.command(command, ClusterHash::Random, arguments, Effect::Reads).await {
                Err(StoreError::Refused { what }) if what.contains(DENIED) => missing.push(right.to_owned()),
                // A replica refuses WAIT to everybody.
                Ok(_) | Err(StoreError::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let (at, user, missing) = (self.shown(), self.user(), missing.join(" "));
        Err(StoreError::refused(format!(
            "{at} {DENIED} `{user}` do all that Laneway does there: grant what is missing (ACL SETUSER {user} \
             {missing}); {LISTS}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use crate::library::SOURCE;
    use std::collections::BTreeSet;

    /// Every command that a function runs is one that is tried.
    #[test]
    fn every_command_of_the_functions_is_looked_at() {
        let rights = include_str!("../lua/rights.lua");
        let tried: BTreeSet<&str> = rights.split('\'').filter(|text| is_command(text)).collect();
        let mut run = BTreeSet::new();
        for call in ["redis.call(", "redis.pcall(", "call_with("] {
            for (at, _) in SOURCE.match_indices(call) {
                let first = SOURCE[at + call.len()..].trim_start();
                run.extend(first.strip_prefix('\'').and_then(|rest| rest.split('\'').next()).filter(|t| is_command(t)));
            }
        }
        assert!(run.len() > 30, "{run:?}");
        let missing: Vec<_> = run.difference(&tried).collect();
        assert!(missing.is_empty(), "{missing:?} are not in lua/rights.lua");
    }

    fn is_command(text: &str) -> bool {
        text.len() > 2 && text.chars().all(|c| c.is_ascii_uppercase())
    }
}
