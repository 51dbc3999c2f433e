//! What is known of each server: whether it keeps what it acknowledges.

use crate::connect::Redis;
use fred::types::config::Server;
use laneway_ports::StoreError;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// 1 for a server that gets no appends because of its settings, else 0.
const UNSAFE_METRIC: &str = "laneway_store_server_unsafe";

/// By node; `None` is the only server there is.
#[derive(Debug, Default)]
pub(super) struct Verdicts(Mutex<BTreeMap<Option<Server>, Verdict>>);

#[derive(Clone, Debug)]
enum Verdict {
    /// In that run of it.
    Good(String),
    /// With the reason.
    Unsafe(String),
}

impl Verdicts {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Option<Server>, Verdict>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing is appended at the server, if that is so.
    pub(super) fn why_unsafe(&self, node: Option<&Server>) -> Option<String> {
        match self.all().get(&node.cloned()) {
            Some(Verdict::Unsafe(why)) => Some(why.clone()),
            _ => None,
        }
    }

    /// Whether the server was last found good, and in that run of it.
    pub(super) fn was_good(&self, node: Option<&Server>, run: &str) -> bool {
        matches!(self.all().get(&node.cloned()), Some(Verdict::Good(known)) if known == run)
    }

    /// Found good at the start.
    pub(super) fn good(&self, node: Option<&Server>, run: String) {
        self.all().insert(node.cloned(), Verdict::Good(run));
    }

    /// Found good now: says so if it was not.
    pub(super) fn mended(&self, redis: &Redis, node: Option<&Server>, run: String) {
        let before = self.all().insert(node.cloned(), Verdict::Good(run));
        if matches!(before, Some(Verdict::Unsafe(_))) {
            tracing::info!(redis = %name(redis, node), "Redis keeps what it acknowledges again: events are accepted there");
            metrics::gauge!(UNSAFE_METRIC, "server" => name(redis, node)).set(0.0);
        }
    }

    /// Found to lose what it acknowledges: says so if that is new.
    pub(super) fn unsafe_because(&self, redis: &Redis, node: Option<&Server>, error: &StoreError) {
        let why = format!("no event is accepted there until this is mended: {error}");
        let before = self.all().insert(node.cloned(), Verdict::Unsafe(why.clone()));
        if !matches!(before, Some(Verdict::Unsafe(known)) if known == why) {
            tracing::error!(redis = %name(redis, node), %error, "Redis might lose what it acknowledges: no event is accepted there until this is mended");
            metrics::gauge!(UNSAFE_METRIC, "server" => name(redis, node)).set(1.0);
        }
    }

    /// Forgets those that have no slots any more. One that comes back is inspected before it is used.
    pub(super) fn keep_only(&self, nodes: &[Option<Server>]) {
        self.all().retain(|node, _| nodes.contains(node));
    }
}

fn name(redis: &Redis, node: Option<&Server>) -> String {
    node.map_or_else(|| redis.place().to_owned(), ToString::to_string)
}
