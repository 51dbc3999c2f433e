//! Connections to Redis.

use crate::failure::{self, Effect};
use crate::options::RedisOptions;
use fred::clients::{Client, WithOptions};
use fred::interfaces::ClientLike;
use fred::types::config::{
    Config, ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy, ServerConfig, TcpConfig, UnresponsiveConfig,
};
use fred::types::{Builder, ClientState, ClusterHash, CustomCommand, Resp3Frame, Value};
use laneway_ports::StoreError;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The first wait before connecting again; it doubles up to the longest, for ever.
const FIRST_RECONNECT_MS: u32 = 50;
/// The longest wait before connecting again: what a recovery is late at most.
const LONGEST_RECONNECT_MS: u32 = 1000;
/// The most commands that may wait for a connection. Each caller has few at a time, and events
/// wait in a bounded queue before they become a command.
const MAX_WAITING_COMMANDS: usize = 10_000;
/// How long a connection, with TLS and log-in, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a connection is looked at for answers that are overdue.
const LOOK_FOR_OVERDUE: Duration = Duration::from_millis(500);

const SCHEMES: &str = "redis://, rediss:// (TLS), redis-cluster://, rediss-cluster://, redis-sentinel:// or \
                       rediss-sentinel://";

/// A client with its name for people.
#[derive(Clone)]
pub(crate) struct Redis {
    client: WithOptions<Client>,
    place: Arc<str>,
    connections: Arc<Connections>,
}

/// Closed when nobody uses them any more.
struct Connections(Client);

impl Drop for Connections {
    fn drop(&mut self) {
        let client = self.0.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { client.quit().await });
        }
    }
}

/// The URL as it may be shown: without user, password and query.
pub(crate) fn without_secrets(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) => {
            // Neither can fail where there is a host; where there is none, there is no user.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.set_fragment(None);
            url.to_string().trim_end_matches('/').to_owned()
        }
        Err(_) => "store.url".to_owned(),
    }
}

/// Understands the URL of a store.
pub(crate) fn config(url: &str) -> Result<Config, StoreError> {
    let shown = without_secrets(url);
    let parsed = Url::parse(url).map_err(|error| {
        StoreError::refused(format!("store.url is no URL ({error}); write one that begins with {SCHEMES}"))
    })?;
    let known = ["redis", "rediss"].iter().any(|base| {
        let rest = parsed.scheme().strip_prefix(base);
        matches!(rest, Some("" | "-cluster" | "-sentinel"))
    });
    if !known {
        return Err(StoreError::refused(format!("store.url = \"{shown}\" is no Redis; it must begin with {SCHEMES}")));
    }
    Config::from_url(url).map_err(|error| StoreError::refused(format!("store.url = \"{shown}\": {}", error.details())))
}

impl Redis {
    /// Connects, and stays connected: whenever the connection is lost, it is made anew, for ever.
    pub(crate) async fn connect(options: &RedisOptions) -> Result<Self, StoreError> {
        let longest = options.command_timeout + options.replica_timeout;
        Self::connect_to(config(&options.url)?, without_secrets(&options.url), longest).await
    }

    /// Connects to what `config` says. `longest`: what the slowest command may take.
    pub(crate) async fn connect_to(config: Config, place: String, longest: Duration) -> Result<Self, StoreError> {
        let client = Builder::from_config(config)
            .with_connection_config(|connection: &mut ConnectionConfig| {
                connection.connection_timeout = CONNECT_TIMEOUT;
                connection.internal_command_timeout = CONNECT_TIMEOUT;
                // A command that was sent again after a lost connection would be done twice: what
                // becomes of one without an answer is decided here, not by the client.
                connection.max_command_attempts = 1;
                connection.max_command_buffer_len = MAX_WAITING_COMMANDS;
                connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
                // A server that was stopped or cut off closes nothing.
                connection.unresponsive =
                    UnresponsiveConfig { max_timeout: Some(longest + LOOK_FOR_OVERDUE), interval: LOOK_FOR_OVERDUE };
            })
            .with_performance_config(|performance: &mut PerformanceConfig| {
                performance.default_command_timeout = longest;
            })
            .set_policy(ReconnectPolicy::new_exponential(0, FIRST_RECONNECT_MS, LONGEST_RECONNECT_MS, 2))
            .build()
            .map_err(|error| StoreError::refused(format!("cannot set up a client for {place}: {}", error.details())))?;
        client.init().await.map_err(|error| cannot_connect(&error, &place))?;
        let connections = Arc::new(Connections(client.clone()));
        Ok(Self { client: client.with_options(&Options::default()), place: place.into(), connections })
    }

    /// The same connections, with other options of sending.
    pub(crate) fn with(&self, options: &Options) -> Self {
        let connections = self.connections.clone();
        Self { client: connections.0.with_options(options), place: self.place.clone(), connections }
    }

    /// The client itself.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Where this is, for people; without user and password.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Whether this is a Cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.client.client_config().server, ServerConfig::Clustered { .. })
    }

    /// Sends a command, and answers what came of it as it is.
    pub(crate) async fn send(
        &self,
        command: CustomCommand,
        arguments: Vec<Value>,
    ) -> Result<Value, fred::error::Error> {
        self.client.custom(command, arguments).await
    }

    /// Runs a command at the node that has `slot`.
    pub(crate) async fn command(
        &self,
        name: &'static str,
        slot: ClusterHash,
        arguments: Vec<Value>,
        effect: Effect,
    ) -> Result<Value, StoreError> {
        self.connected()?;
        let sent = self.client.custom(CustomCommand::new_static(name, slot, false), arguments).await;
        sent.map_err(|error| self.failed(&error, effect))
    }

    /// The same, with the answer as it came, and perhaps after a long time.
    pub(crate) async fn raw(
        &self,
        name: &'static str,
        slot: ClusterHash,
        arguments: Vec<Value>,
        blocks: bool,
    ) -> Result<Resp3Frame, StoreError> {
        self.connected()?;
        let sent = self.client.custom_raw(CustomCommand::new_static(name, slot, blocks), arguments).await;
        let frame = sent.map_err(|error| self.failed(&error, Effect::Reads))?;
        match frame {
            Resp3Frame::SimpleError { data, .. } => {
                let error = fred::error::Error::new(fred::error::ErrorKind::Unknown, data.to_string());
                Err(self.failed(&error, Effect::Reads))
            }
            frame => Ok(frame),
        }
    }

    /// Refuses to send where there is no connection: a command that waits for one cannot be told
    /// from one that was sent.
    pub(crate) fn connected(&self) -> Result<(), StoreError> {
        if self.client.state() == ClientState::Connected {
            return Ok(());
        }
        Err(failure::later(format!("Redis at {} cannot be reached; trying again for as long as it takes", self.place)))
    }

    /// What the error means. One of a former primary makes the client look for the new one.
    pub(crate) fn failed(&self, error: &fred::error::Error, effect: Effect) -> StoreError {
        if error.details().starts_with("READONLY") {
            let client = (*self.client).clone();
            tokio::spawn(async move { client.force_reconnection().await });
        }
        failure::of(error, effect, &self.place)
    }
}

fn cannot_connect(error: &fred::error::Error, place: &str) -> StoreError {
    match failure::of(error, Effect::Reads, place) {
        StoreError::RetryLater { after, .. } => StoreError::RetryLater {
            what: format!("cannot reach Redis at {place}: {}; is it running, and is store.url right?", error.details()),
            after,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let url = "rediss-sentinel://user:s3cret@h:26379?sentinelServiceName=m&sentinelPassword=s3cret";
        assert_eq!(without_secrets(url), "rediss-sentinel://h:26379");
        let options = RedisOptions::new(url, 1);
        assert!(!format!("{options:?}").contains("s3cret"), "{options:?}");
        let wrong = config("redis-sentinel://user:s3cret@h:26379").unwrap_err().to_string();
        assert!(wrong.contains("sentinel") && !wrong.contains("s3cret"), "{wrong}");
    }

    #[test]
    fn a_url_of_something_else_is_refused_and_says_what_would_be_right() {
        for url in ["mysql://h", "redis-unix://h", "redis", "redisx://h"] {
            let wrong = config(url).unwrap_err().to_string();
            assert!(wrong.contains("redis-cluster://"), "{url}: {wrong}");
        }
        assert!(config("redis-cluster://h:7000?node=h:7001").is_ok());
    }
}
