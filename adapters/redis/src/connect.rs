//! Connections to Redis.

mod link;
mod map;
mod nodes;

pub(crate) use link::{InspectedFrom, Link, SILENT_FOR, Timeouts};

use crate::address::{self, without_secrets};
use crate::failure::{self, Effect};
use crate::options::RedisOptions;
use fred::error::Error;
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, Resp3Frame, Value};
use laneway_ports::StoreError;
use nodes::{DEFAULT_USER, Nodes};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::sleep;

/// How often a command is sent when its slot turns out to be elsewhere: enough for one that moves
/// once more while the way to it is looked up.
pub(crate) const MAX_TRIES: usize = 4;
/// The wait before a command is sent to a slot's new node.
pub(crate) const WHILE_MOVING: Duration = Duration::from_millis(50);

/// Redis, with its name for people.
#[derive(Clone)]
pub(crate) struct Redis {
    nodes: Arc<Nodes>,
    target: Target,
    place: Arc<str>,
}

/// Where commands go.
#[derive(Clone)]
enum Target {
    /// To whoever has the slot.
    Slot,
    /// To that node.
    Node(Option<Server>),
    /// Over that connection.
    Link(Option<Server>, Arc<Link>),
}

/// A connection, and where it leads.
pub(crate) struct Route {
    pub(crate) link: Arc<Link>,
    node: Option<Server>,
}

/// Tells whether a connection was made anew since this was made: then what was written over it
/// before is another connection's, of which WAIT does not speak, and perhaps another server's.
pub(crate) struct Reconnects(Option<broadcast::Receiver<Server>>);

impl Reconnects {
    /// Of the connection of [`Redis::held`] or [`Redis::alone`].
    pub(crate) fn of(redis: &Redis) -> Self {
        Self(redis.link().map(Link::reconnects))
    }

    pub(crate) fn were_some(&self) -> bool {
        self.0.as_ref().is_none_or(|reconnects| !reconnects.is_empty())
    }
}

impl Redis {
    /// Connects, and stays connected: whenever a connection is lost, it is made anew, for ever.
    pub(crate) async fn connect(options: &RedisOptions) -> Result<Self, StoreError> {
        let place: Arc<str> = without_secrets(&options.url).into();
        let timeouts = timeouts(options, Duration::ZERO);
        let config = address::config_with(&options.url, options.tls.as_ref())?;
        let user = config.username.clone().unwrap_or_else(|| DEFAULT_USER.to_owned());
        let nodes = Nodes::connect(config, timeouts, place.clone()).await;
        let nodes = nodes.map_err(|error| cannot_connect(&error, &place, &user))?;
        Ok(Self { nodes, target: Target::Slot, place })
    }

    /// The same Redis over connections of their own, which WAIT may hold up.
    pub(crate) async fn another(&self, options: &RedisOptions) -> Result<Self, StoreError> {
        let held_up = if options.replicas > 0 { options.replica_timeout } else { Duration::ZERO };
        let nodes = self.nodes.another(timeouts(options, held_up)).await;
        let nodes = nodes.map_err(|error| cannot_connect(&error, &self.place, self.user()))?;
        Ok(Self { nodes, target: Target::Slot, place: self.place.clone() })
    }

    /// The same Redis over one new connection to the node that `at` is about, for commands that wait
    /// inside it for up to `longest`.
    pub(crate) async fn alone(&self, at: &ClusterHash, longest: Duration) -> Result<Self, StoreError> {
        let node = self.nodes.node_for(at)?;
        let link =
            Link::open(self.nodes.config_of(node.as_ref()), Timeouts { longest, silence: None, is_replaced: false })
                .await;
        let link = Arc::new(link.map_err(|error| cannot_connect(&error, &self.place, self.user()))?);
        Ok(Self { nodes: self.nodes.clone(), target: Target::Link(node, link), place: self.place.clone() })
    }

    /// The connection that leads to `at` now.
    pub(crate) async fn route(&self, at: &ClusterHash) -> Result<Route, StoreError> {
        let node = match &self.target {
            Target::Slot => self.nodes.node_for(at)?,
            Target::Node(node) => node.clone(),
            Target::Link(node, link) => {
                self.connected()?;
                return Ok(Route { link: link.clone(), node: node.clone() });
            }
        };
        let link = self.nodes.link(node.as_ref()).await?;
        Ok(Route { link, node })
    }

    /// The same, with everything over the one connection that leads to `at` now: for commands of
    /// which the second is about the first.
    pub(crate) async fn held(&self, at: &ClusterHash) -> Result<Self, StoreError> {
        let Route { link, node } = self.route(at).await?;
        Ok(Self { nodes: self.nodes.clone(), target: Target::Link(node, link), place: self.place.clone() })
    }

    /// The same, with everything to that node.
    pub(crate) fn at(&self, node: Option<&Server>) -> Self {
        Self { nodes: self.nodes.clone(), target: Target::Node(node.cloned()), place: self.place.clone() }
    }

    /// The connection of [`Redis::alone`] and [`Redis::held`].
    pub(crate) fn link(&self) -> Option<&Link> {
        match &self.target {
            Target::Link(_, link) => Some(link),
            _ => None,
        }
    }

    /// Whether both are over one connection ([`Redis::held`]).
    pub(crate) fn is_over_the_link_of(&self, other: &Self) -> bool {
        matches!((&self.target, &other.target), (Target::Link(_, own), Target::Link(_, its)) if Arc::ptr_eq(own, its))
    }

    /// The node of a Cluster that [`Redis::alone`], [`Redis::held`] and [`Redis::at`] are about.
    pub(crate) fn node(&self) -> Option<&Server> {
        match &self.target {
            Target::Slot => None,
            Target::Node(node) | Target::Link(node, _) => node.as_ref(),
        }
    }

    /// Where this is, for people; without user and password.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The server that this is about, for people: of a Cluster the node, if it is about one.
    pub(crate) fn shown(&self) -> String {
        match self.node() {
            Some(node) => format!("Redis at {node} (of the Cluster at {})", self.place),
            None => format!("Redis at {}", self.place),
        }
    }

    /// As whom Laneway logs in there.
    pub(crate) fn user(&self) -> &str {
        self.nodes.user()
    }

    /// Whether this is a Cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        self.nodes.map().is_some()
    }

    /// All primaries of a Cluster; `None` is the only server there is.
    pub(crate) fn primaries(&self) -> Vec<Option<Server>> {
        match self.nodes.map() {
            Some(map) => map.primaries().into_iter().map(Some).collect(),
            None => vec![None],
        }
    }

    /// Runs a command at the node that has `slot`.
    pub(crate) async fn command(
        &self,
        name: &'static str,
        slot: ClusterHash,
        arguments: Vec<Value>,
        effect: Effect,
    ) -> Result<Value, StoreError> {
        for _ in 0..MAX_TRIES {
            let route = self.route(&slot).await?;
            let command = CustomCommand::new_static(name, slot.clone(), false);
            match route.link.send(command, arguments.clone()).await {
                Err(error) if self.has_moved(&route, error.details()) => sleep(WHILE_MOVING).await,
                sent => return sent.map_err(|error| self.failed(&route, &error, effect)),
            }
        }
        Err(self.keeps_moving(name))
    }

    /// The same, with the answer as it came, and perhaps after a long time.
    pub(crate) async fn raw(
        &self,
        name: &'static str,
        slot: ClusterHash,
        arguments: Vec<Value>,
        blocks: bool,
    ) -> Result<Resp3Frame, StoreError> {
        for _ in 0..MAX_TRIES {
            let route = self.route(&slot).await?;
            let command = CustomCommand::new_static(name, slot.clone(), blocks);
            let error = match route.link.send_raw(command, arguments.clone()).await {
                Ok(Resp3Frame::SimpleError { data, .. }) => {
                    Error::new(fred::error::ErrorKind::Unknown, data.to_string())
                }
                Ok(frame) => return Ok(frame),
                Err(error) => error,
            };
            if !self.has_moved(&route, error.details()) {
                return Err(self.failed(&route, &error, Effect::Reads));
            }
            sleep(WHILE_MOVING).await;
        }
        Err(self.keeps_moving(name))
    }

    /// Whether that was the answer of a node that does not have the slot (any more). Then it is known
    /// who has.
    pub(crate) fn has_moved(&self, route: &Route, answer: &str) -> bool {
        let Some(map) = self.nodes.map().filter(|_| answer.starts_with("MOVED ")) else { return false };
        match map::parse_redirection(answer, route.node.as_ref()) {
            Some((slot, server)) => map.note_moved(slot, server),
            None => map.doubt(),
        }
        true
    }

    /// The route to a node that is taking over the slot that was asked for, if that was the answer.
    pub(crate) async fn asked_elsewhere(&self, route: &Route, answer: &str) -> Option<Route> {
        if !answer.starts_with("ASK ") {
            return None;
        }
        let (_, server) = map::parse_redirection(answer, route.node.as_ref())?;
        let link = self.nodes.link(Some(&server)).await.ok()?;
        Some(Route { link, node: Some(server) })
    }

    pub(crate) fn keeps_moving(&self, what: &str) -> StoreError {
        StoreError::retry_later(format!("Redis at {} could not run {what}: its slots are being moved", self.place))
    }

    /// Whether anything can be reached.
    pub(crate) fn connected(&self) -> Result<(), StoreError> {
        match &self.target {
            Target::Link(_, link) if link.is_connected() => Ok(()),
            Target::Link(node, _) => Err(self.nodes.away(node.as_ref())),
            _ => self.nodes.health(),
        }
    }

    /// What the error means. One of a former primary makes the client look for the new one.
    pub(crate) fn failed(&self, route: &Route, error: &Error, effect: Effect) -> StoreError {
        if error.details().starts_with("READONLY") {
            route.link.end();
        }
        self.nodes.failed(error, effect)
    }
}

fn timeouts(options: &RedisOptions, held_up: Duration) -> Timeouts {
    let longest = options.command_timeout + options.replica_timeout;
    Timeouts { longest, silence: Some(SILENT_FOR + held_up), is_replaced: false }
}

fn cannot_connect(error: &Error, place: &str, user: &str) -> StoreError {
    match failure::of(error, Effect::Reads, place, user) {
        // It was reached, and has said what keeps it.
        answered if failure::is_answer(error) => answered,
        StoreError::RetryLater { after, .. } => StoreError::RetryLater {
            what: format!(
                "cannot reach Redis at {place}: {}; is it running, and is store.url right?",
                failure::in_words(error.details())
            ),
            after,
        },
        other => other,
    }
}
