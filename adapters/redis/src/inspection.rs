//! Whether the servers keep what they acknowledge, looked at again and again.
//!
//! Settings change while a server runs (`CONFIG SET`), with its restart, and when another server takes its place: a
//! promoted replica, the node that a slot moves to. So nothing that was once found good is believed for long:
//!
//! - Before the first append over a connection, and over each one that was made anew, its server is inspected over that
//!   very connection.
//! - An append carries the question after the decisive settings along, behind it on its connection, when they were last
//!   seen more than [`LOOK_ALONG_AFTER`] ago. It is acknowledged only if they are right. So a changed setting is noticed by
//!   the first append that is sent [`LOOK_ALONG_AFTER`] after the change, and that one is not acknowledged.
//! - Every server is inspected every [`INSPECT_EVERY`] also while nothing is appended: that is how long it takes until
//!   people hear of it, and until a server that was mended is used again.
//!
//! A server that is found wanting gets no appends, which are told to come again later. Everything else goes on there:
//! what is delivered, committed and trimmed is not acknowledged to a producer, and can at most happen again.

mod settings;
mod verdicts;
mod warnings;

use crate::connect::{InspectedFrom, Redis};
use crate::failure::{Effect, later};
use crate::options::{Durability, RedisOptions};
use fred::types::{ClusterHash, Value};
use laneway_ports::StoreError;
use settings::Known;
pub(crate) use settings::parse_info;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;
use verdicts::Verdicts;
use warnings::Warnings;

/// How long the decisive settings are believed without asking again, while events are appended: an acknowledged event was
/// stored at most this long after they were right. At a hundred questions a second and server they cost nothing that can
/// be measured.
const LOOK_ALONG_AFTER: Duration = Duration::from_millis(10);
/// How often every server is inspected.
const INSPECT_EVERY: Duration = Duration::from_secs(2);

/// Inspects the servers of a store, and knows what came of it.
pub(crate) struct Inspector {
    redis: Redis,
    durability: Durability,
    /// What the store's keys begin with.
    prefix: String,
    verdicts: Verdicts,
    /// Warnings that were told, so that none is told twice.
    warned: Mutex<BTreeSet<String>>,
}

/// What was asked along with an append.
pub(crate) struct Along {
    from: InspectedFrom,
    answer: Result<(), StoreError>,
}

/// A server as it was found.
struct Found {
    run: String,
    warnings: Vec<String>,
}

impl Inspector {
    /// Inspects every server that takes writes. Nodes of a Cluster that cannot be reached
    /// are inspected before they are first used, if others can be. What is not refused but should be known is returned
    /// too, for people.
    pub(crate) async fn begin(redis: &Redis, options: &RedisOptions) -> Result<(Arc<Self>, Vec<String>), StoreError> {
        let (redis_again, durability, prefix) = (redis.clone(), options.durability, options.key_prefix.clone());
        let (verdicts, warned) = (Verdicts::default(), Mutex::default());
        let inspector = Self { redis: redis_again, durability, prefix, verdicts, warned };
        let (mut warnings, mut away, mut checked) = (Warnings::default(), None, 0);
        for node in redis.primaries() {
            match inspector.look(&redis.at(node.as_ref()), &mut warnings).await {
                Ok(info) => {
                    checked += 1;
                    inspector.verdicts.good(node.as_ref(), run_of(&info));
                }
                Err(StoreError::RetryLater { what, after }) if node.is_some() => {
                    away = Some(StoreError::RetryLater { what, after });
                }
                Err(error) => return Err(error),
            }
        }
        if checked == 0 {
            let nobody = format!("the Redis Cluster at {} says of no node that it has slots", redis.place());
            return Err(away.unwrap_or_else(|| StoreError::retry_later(nobody)));
        }
        let warnings = warnings.into_lines();
        inspector.warn(&warnings);
        Ok((Arc::new(inspector), warnings))
    }

    /// Inspects all servers again and again, for ever.
    pub(crate) async fn go_on(self: Arc<Self>) {
        loop {
            sleep(INSPECT_EVERY).await;
            let nodes = self.redis.primaries();
            self.verdicts.keep_only(&nodes);
            let looks = nodes.iter().map(|node| self.judge(self.redis.at(node.as_ref())));
            // Side by side: one that is away must not keep the others from being looked at. What came of it is noted.
            futures_util::future::join_all(looks).await;
        }
    }

    /// Lets an append over this connection go, or says why nothing is appended there.
    pub(crate) async fn admit(&self, there: &Redis) -> Result<(), StoreError> {
        let Some(link) = there.link() else { return Ok(()) };
        if link.inspected_at().is_none() {
            let _one_at_a_time = link.inspecting().await;
            if link.inspected_at().is_none() {
                let from = link.inspected_from();
                self.judge(there.clone()).await?;
                link.note_inspected(from);
            }
        }
        match self.verdicts.why_unsafe(there.node()) {
            Some(why) => Err(later(why)),
            None => Ok(()),
        }
    }

    /// Asks for the decisive settings behind an append on its connection, if they were not seen for a while.
    pub(crate) async fn look_along(&self, there: &Redis) -> Option<Along> {
        let link = there.link().filter(|_| self.durability == Durability::Full)?;
        if link.inspected_at().is_some_and(|at| at.elapsed() < LOOK_ALONG_AFTER) {
            return None;
        }
        let from = link.inspected_from();
        let name = there.shown();
        let answer = config(there, &settings::DECISIVE, &name).await;
        let answer = answer.and_then(|known| settings::check_settings(&known, self.durability, &name));
        Some(Along { from, answer })
    }

    /// Whether what was appended over this connection may be acknowledged.
    pub(crate) async fn confirm(&self, there: &Redis, along: Option<Along>) -> Result<(), StoreError> {
        let Some(link) = there.link() else { return Ok(()) };
        let unclear = |why: &StoreError| {
            StoreError::unknown(format!("Redis at {} has the event, but might lose it: {why}", self.redis.place()))
        };
        match along {
            Some(Along { from, answer: Ok(()) }) => link.note_inspected(from),
            Some(Along { answer: Err(error), .. }) => {
                if matches!(error, StoreError::Refused { .. }) {
                    self.verdicts.unsafe_because(&self.redis, there.node(), &error);
                }
                return Err(unclear(&error));
            }
            None => {}
        }
        if link.inspected_at().is_some() {
            return Ok(());
        }
        // The connection was made anew meanwhile, and perhaps to another server.
        self.admit(there).await.map_err(|error| unclear(&error))
    }

    /// Why nothing is appended anywhere; of a Cluster, only if that is so of every node.
    pub(crate) fn health(&self) -> Result<(), String> {
        let nodes = self.redis.primaries();
        let reasons: Vec<String> = nodes.iter().filter_map(|node| self.verdicts.why_unsafe(node.as_ref())).collect();
        if reasons.is_empty() || reasons.len() < nodes.len() { Ok(()) } else { Err(reasons.join("; ")) }
    }

    /// Of each server that gets no appends the reason, for people.
    pub(crate) fn unsafe_servers(&self) -> Vec<String> {
        self.redis.primaries().iter().filter_map(|node| self.verdicts.why_unsafe(node.as_ref())).collect()
    }

    /// Inspects a server, and notes what came of it. Fails if it cannot be reached.
    async fn judge(&self, there: Redis) -> Result<(), StoreError> {
        let node = there.node().cloned();
        let mut warnings = Warnings::default();
        let looked = match self.look(&there, &mut warnings).await {
            Ok(info) => there.prepare(&self.prefix).await.map(|()| info),
            Err(error) => Err(error),
        };
        let found = looked.and_then(|info| {
            let run = run_of(&info);
            if self.durability == Durability::Full
                && settings::makes_its_aof(&info)
                && !self.verdicts.was_good(node.as_ref(), &run)
            {
                let name = there.shown();
                return Err(StoreError::refused(format!(
                    "{name} makes an AOF that it did not have before, and keeps nothing until that is done: it is used \
                     as soon as it is"
                )));
            }
            Ok(Found { run, warnings: warnings.into_lines() })
        });
        match found {
            Ok(Found { run, warnings }) => {
                self.warn(&warnings);
                self.verdicts.mended(&self.redis, node.as_ref(), run);
                Ok(())
            }
            Err(error @ StoreError::Refused { .. }) => {
                self.verdicts.unsafe_because(&self.redis, node.as_ref(), &error);
                Ok(())
            }
            // Nothing is known of one that is away, and nothing can be appended there.
            Err(error) => Err(error),
        }
    }

    /// Looks at all that matters of a server.
    async fn look(&self, there: &Redis, warnings: &mut Warnings) -> Result<Known, StoreError> {
        let name = there.shown();
        let text = there.command("INFO", ClusterHash::Random, Vec::new(), Effect::Reads).await?;
        let info = parse_info(&text.into_string().unwrap_or_default());
        settings::check_version(&info, &name)?;
        settings::check_aof_writes(&info, self.durability, &name)?;
        let mut known = Known::new();
        if let Some(policy) = info.get("maxmemory_policy") {
            known.insert("maxmemory-policy".to_owned(), policy.clone());
        }
        if self.durability == Durability::Full {
            known.extend(config(there, &settings::SETTINGS, &name).await?);
        }
        settings::check_settings(&known, self.durability, &name)?;
        warnings.look_at(&known, self.redis.is_cluster(), &name);
        Ok(info)
    }

    fn warn(&self, warnings: &[String]) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings.iter().filter(|warning| warned.insert((*warning).clone())) {
            tracing::warn!("{warning}");
        }
    }
}

/// What tells one run of a server from the next.
fn run_of(info: &Known) -> String {
    info.get("run_id").cloned().unwrap_or_default()
}

async fn config(there: &Redis, settings: &[&'static str], name: &str) -> Result<Known, StoreError> {
    let arguments: Vec<Value> =
        std::iter::once("GET").chain(settings.iter().copied()).map(Value::from_static_str).collect();
    settings::parse_config(there.command("CONFIG", ClusterHash::Random, arguments, Effect::Reads).await, name)
}
