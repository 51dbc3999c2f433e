//! The servers that a store is on: a single one, or the nodes of a Cluster.
//!
//! Each has a link of its own, so that one that is away holds up nothing that another has. (The
//! client could do a Cluster by itself; but it waits for all nodes whenever it connects to one.)

use super::link::{Link, Timeouts};
use super::map::{Map, Slots};
use crate::failure::{self, later};
use fred::error::{Error, ErrorKind};
use fred::types::config::{Config, Server, ServerConfig};
use fred::types::{ClusterHash, CustomCommand};
use futures_util::future::{join_all, select_ok};
use laneway_ports::StoreError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How often a Cluster is asked who has its slots, while all is well: whoever is wrong is told so.
const LEARN_EVERY: Duration = Duration::from_secs(10);
/// The same while a node is away: nobody says by itself who has taken its slots over.
const LEARN_EVERY_WHILE_AWAY: Duration = Duration::from_millis(500);
/// How often it is looked whether the link to the only server was given up.
const LINK_EVERY: Duration = Duration::from_millis(500);
/// The least time between two such questions.
const LEARN_PAUSE: Duration = Duration::from_millis(100);
/// Who everybody is that does not say who it is.
pub(crate) const DEFAULT_USER: &str = "default";
/// How long a node has to answer that question.
const LEARN_WITHIN: Duration = Duration::from_secs(1);

/// The servers, with a link to each. The key is `None` for the only one, or whichever one a
/// Sentinel names.
pub(crate) struct Nodes {
    config: Config,
    timeouts: Timeouts,
    place: Arc<str>,
    /// Of a Cluster; shared by all who have links to it.
    map: Option<Arc<Map>>,
    links: Mutex<BTreeMap<Option<Server>, Arc<Link>>>,
    /// What keeps the map right, or the only link there.
    keeping: OnceLock<JoinHandle<()>>,
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if let Some(keeping) = self.keeping.get() {
            keeping.abort();
        }
    }
}

impl Nodes {
    /// Connects to what `config` names. Fails if nothing of it can be reached.
    pub(crate) async fn connect(config: Config, timeouts: Timeouts, place: Arc<str>) -> Result<Arc<Self>, Error> {
        let map = config.server.is_clustered().then(Arc::<Map>::default);
        let is_cluster = map.is_some();
        let nodes = Arc::new(Self::new(config, timeouts, place, map));
        let keeping = if is_cluster {
            nodes.connect_cluster().await?;
            tokio::spawn(keep_learning(Arc::downgrade(&nodes)))
        } else {
            let link = Link::open(nodes.config.clone(), timeouts).await?;
            nodes.links().insert(None, Arc::new(link));
            tokio::spawn(keep_linked(Arc::downgrade(&nodes)))
        };
        // Nobody else has set it.
        let _ = nodes.keeping.set(keeping);
        Ok(nodes)
    }

    /// The same servers, with links of their own.
    pub(crate) async fn another(&self, timeouts: Timeouts) -> Result<Arc<Self>, Error> {
        let other = Self::new(self.config.clone(), timeouts, self.place.clone(), self.map.clone());
        if other.map.is_some() {
            other.begin_all().await;
        } else {
            let link = Link::open(other.config.clone(), timeouts).await?;
            other.links().insert(None, Arc::new(link));
        }
        Ok(Arc::new(other))
    }

    fn new(config: Config, timeouts: Timeouts, place: Arc<str>, map: Option<Arc<Map>>) -> Self {
        let timeouts = Timeouts { is_replaced: map.is_some(), ..timeouts };
        Self { config, timeouts, place, map, links: Mutex::default(), keeping: OnceLock::new() }
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<Option<Server>, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of a Cluster: who has its slots.
    pub(crate) fn map(&self) -> Option<&Map> {
        self.map.as_deref()
    }

    /// What a connection to that node alone is made with.
    pub(crate) fn config_of(&self, node: Option<&Server>) -> Config {
        let mut config = self.config.clone();
        if let Some(server) = node {
            config.server = ServerConfig::Centralized { server: server.clone() };
        }
        config
    }

    /// The node for a command that concerns `at`; for one that concerns no slot, any that is there.
    pub(crate) fn node_for(&self, at: &ClusterHash) -> Result<Option<Server>, StoreError> {
        let Some(map) = &self.map else { return Ok(None) };
        if let ClusterHash::Custom(slot) = at {
            let Some(server) = map.owner(*slot) else {
                map.doubt();
                return Err(later(format!("no node of the Cluster at {} has slot {slot}", self.place)));
            };
            return Ok(Some(server));
        }
        let connected = self.links().iter().find(|(_, link)| link.is_connected()).map(|(server, _)| server.clone());
        connected.or_else(|| map.primaries().into_iter().next().map(Some)).ok_or_else(|| self.away(None))
    }

    /// The link to a node, which is made if there is none. Fails if the node cannot be reached now:
    /// a command that waits for a connection cannot be told from one that was sent.
    pub(crate) async fn link(&self, node: Option<&Server>) -> Result<Arc<Link>, StoreError> {
        let link = self.begin(node)?;
        link.begun().await;
        if !link.is_connected() {
            link.mended().await;
        }
        if link.is_connected() {
            return Ok(link);
        }
        if let Some(map) = &self.map {
            map.doubt();
        }
        Err(self.away(node))
    }

    /// The link to a node, whether it is connected or not.
    fn begin(&self, node: Option<&Server>) -> Result<Arc<Link>, StoreError> {
        let mut links = self.links();
        let key = node.cloned();
        if let Some(link) = links.get(&key).filter(|link| !link.has_ended()) {
            return Ok(link.clone());
        }
        let link = Link::begin(self.config_of(node), self.timeouts);
        let link = Arc::new(link.map_err(|error| self.failed(&error, failure::Effect::Reads))?);
        if let Some(map) = &self.map {
            // Those that have no slots any more are of no use.
            let primaries = map.primaries();
            links.retain(|server, _| server.as_ref().is_some_and(|server| primaries.contains(server)));
        }
        links.insert(key, link.clone());
        Ok(link)
    }

    /// What an error of any of them means.
    pub(crate) fn failed(&self, error: &Error, effect: failure::Effect) -> StoreError {
        failure::of(error, effect, &self.place, self.user())
    }

    /// As whom Laneway logs in.
    pub(crate) fn user(&self) -> &str {
        self.config.username.as_deref().unwrap_or(DEFAULT_USER)
    }

    pub(crate) fn away(&self, node: Option<&Server>) -> StoreError {
        let place = &self.place;
        later(match node {
            Some(node) => format!(
                "Redis at {node}, of the Cluster at {place}, cannot be reached; what is in its slots waits, and it is \
                 tried again for as long as it takes"
            ),
            None => format!("Redis at {place} cannot be reached; trying again for as long as it takes"),
        })
    }

    /// Whether something can be reached.
    pub(crate) fn health(&self) -> Result<(), StoreError> {
        if self.links().values().any(|link| link.is_connected()) {
            return Ok(());
        }
        Err(self.away(None))
    }

    /// The nodes that have slots and cannot be reached.
    fn nodes_away(&self) -> Vec<Server> {
        let primaries = self.map.as_ref().map(|map| map.primaries()).unwrap_or_default();
        let links = self.links();
        let connected = |server: &Server| links.get(&Some(server.clone())).is_some_and(|link| link.is_connected());
        primaries.into_iter().filter(|server| !connected(server)).collect()
    }

    /// Asks whoever of those named in the URL answers first, and connects to those that it names.
    async fn connect_cluster(&self) -> Result<(), Error> {
        let first = self.config.server.hosts().into_iter().map(|seed| {
            Box::pin(async move {
                let link = Link::open(self.config_of(Some(&seed)), self.timeouts).await?;
                ask(&seed, &link).await
            })
        });
        let (slots, _) = select_ok(first).await?;
        if let Some(map) = &self.map {
            map.set(slots);
        }
        self.begin_all().await;
        Ok(())
    }

    /// Connects to all nodes that have slots, and waits for the first attempts.
    async fn begin_all(&self) {
        let primaries = self.map.as_ref().map(|map| map.primaries()).unwrap_or_default();
        let links: Vec<_> = primaries.iter().filter_map(|server| self.begin(Some(server)).ok()).collect();
        join_all(links.iter().map(|link| link.begun())).await;
    }

    /// Learns who has which slots: what most of the nodes say that can be reached.
    async fn learn(&self) {
        let Some(map) = &self.map else { return };
        let links: Vec<_> = self.links().iter().map(|(server, link)| (server.clone(), link.clone())).collect();
        let there = links.iter().filter(|(_, link)| link.is_connected());
        let asked = there.filter_map(|(server, link)| Some(ask(server.as_ref()?, link)));
        let mut said: BTreeMap<Slots, usize> = BTreeMap::new();
        for slots in join_all(asked).await.into_iter().flatten() {
            *said.entry(slots).or_default() += 1;
        }
        match said.into_iter().max_by_key(|(_, nodes)| *nodes) {
            Some((slots, _)) => map.set(slots),
            // Nobody is there that was: perhaps those that the URL names know of others.
            None => self.learn_anew(map).await,
        }
        for server in map.primaries() {
            // If it cannot be, whoever needs it is told.
            let _ = self.begin(Some(&server));
        }
    }

    async fn learn_anew(&self, map: &Map) {
        let seeds = self.config.server.hosts();
        let asked = seeds.iter().map(|seed| async move {
            let link = Link::open(self.config_of(Some(seed)), self.timeouts).await.ok()?;
            ask(seed, &link).await.ok()
        });
        if let Some(slots) = join_all(asked).await.into_iter().flatten().next() {
            map.set(slots);
        }
    }
}

/// Makes the only link anew when it was given up, also while nobody sends anything: who asks whether Redis is
/// there, and sends nothing while it is not, has to learn that it is back.
async fn keep_linked(nodes: Weak<Nodes>) {
    while let Some(there) = nodes.upgrade() {
        // If it cannot be, whoever needs it is told.
        let _ = there.begin(None);
        drop(there);
        sleep(LINK_EVERY).await;
    }
}

/// Asks a node who has which slots.
async fn ask(server: &Server, link: &Link) -> Result<Slots, Error> {
    let command = CustomCommand::new_static("CLUSTER", ClusterHash::Random, false);
    let answer = timeout(LEARN_WITHIN, link.send(command, vec!["SLOTS".into()])).await;
    let answer = answer.map_err(|_| Error::new(ErrorKind::Timeout, "it did not say in time who has which slots"))??;
    let none = || Error::new(ErrorKind::Cluster, "CLUSTERDOWN no node is known to have slots");
    Slots::parse(answer, server).ok_or_else(none)
}

/// Keeps the map right, and says which nodes are away.
async fn keep_learning(nodes: Weak<Nodes>) {
    let mut said = Vec::new();
    loop {
        let Some(there) = nodes.upgrade() else { return };
        there.learn().await;
        let away = there.nodes_away();
        report(&there.place, &said, &away);
        let wait = if away.is_empty() { LEARN_EVERY } else { LEARN_EVERY_WHILE_AWAY };
        said = away;
        let Some(map) = there.map.clone() else { return };
        drop(there);
        sleep(LEARN_PAUSE).await;
        // Either is a reason.
        let _ = timeout(wait, map.is_doubted()).await;
    }
}

fn report(place: &str, said: &[Server], away: &[Server]) {
    for node in away.iter().filter(|node| !said.contains(node)) {
        tracing::warn!(redis = place, %node, "a node of the Cluster cannot be reached: the partitions in its slots wait, the others go on");
    }
    for node in said.iter().filter(|node| !away.contains(node)) {
        tracing::info!(redis = place, %node, "a node of the Cluster is back, or replaced by another");
    }
}
